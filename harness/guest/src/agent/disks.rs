//! Block devices for a program's filesystems: an empty filesystem from the image, unpacked into a
//! sparse file on tmpfs, behind a loop device.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Deref;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use protocol::blank;
use scenarios::program::Filesystem;
use scenarios::{Program, Step};

use super::fsid;
use crate::sys::{self, LoopDevice};

/// One block device of a trial.
#[derive(Debug)]
pub(super) struct Disk {
    /// The filesystem that is on it.
    pub(super) fs_type: String,
    device: LoopDevice,
}

/// How long other agents on this machine may keep all devices.
const TURN: Duration = Duration::from_secs(5);

/// How long a device may still be used after its trial.
const PATIENCE: Duration = Duration::from_millis(500);

/// The disks of a trial.
#[derive(Debug, Default)]
pub(super) struct Disks(Vec<Disk>);

impl Deref for Disks {
    type Target = [Disk];

    fn deref(&self) -> &[Disk] {
        &self.0
    }
}

impl Disk {
    pub(super) fn minor(&self) -> u32 {
        self.device.minor()
    }

    /// `/dev/loopN`.
    pub(super) fn path(&self) -> String {
        format!("/dev/loop{}", self.minor())
    }
}

/// The block filesystems of a program, in the order of their `mount` steps.
pub(super) fn needed(program: &Program) -> Vec<Filesystem> {
    let filesystem = |step: &Step| match step {
        Step::Mount { filesystem, .. } if filesystem.needs_disk() => Some(*filesystem),
        _ => None,
    };
    program.steps.iter().filter_map(|line| filesystem(&line.step)).collect()
}

impl Disks {
    /// Attaches a disk with an empty filesystem for each; `may_add`: the kernel may make more loop
    /// devices.
    ///
    /// # Errors
    /// What was tried and why it failed.
    pub(super) fn attach(&mut self, filesystems: &[Filesystem], may_add: bool) -> io::Result<()> {
        fs::create_dir_all("/run/disks")?;
        let mut used: BTreeMap<String, usize> = BTreeMap::new();
        for (number, filesystem) in filesystems.iter().enumerate() {
            let fs_type = filesystem.to_string();
            let index = used.entry(fs_type.clone()).or_default();
            let mut blank = format!("/blank/{fs_type}-{index}");
            if !fs::exists(&blank)? {
                // There are more disks than blanks: from the first again.
                (*index, blank) = (0, format!("/blank/{fs_type}-0"));
            }
            *index += 1;
            let backing = PathBuf::from(format!("/run/disks/{number}"));
            let device = unpack(&blank, &backing)
                .and_then(|file| match filesystem {
                    Filesystem::Btrfs => fsid::renew(&file).map(|()| file),
                    _ => Ok(file),
                })
                .and_then(|file| LoopDevice::attach(&file, may_add, TURN))
                .map_err(|error| io::Error::new(error.kind(), format!("a disk from {blank}: {error}")))?;
            // No process opens the disk below a filesystem any more: one that could would change it
            // under the kernel's hands.
            fs::remove_file(&backing)?;
            self.0.push(Disk { fs_type, device });
        }
        Ok(())
    }

    /// Detaches the disks; a disk that is still used is reported.
    pub(super) fn detach(self) -> Vec<String> {
        self.0.into_iter().filter_map(Disk::detach).collect()
    }
}

impl Disk {
    fn detach(self) -> Option<String> {
        let (path, Disk { fs_type, device }) = (self.path(), self);
        if fs_type == "btrfs"
            && let Ok(path) = CString::new(path.as_str())
        {
            // The kernel would remember it for ever.
            let _ = sys::btrfs_forget_device(&path);
        }
        let detached = device.detach(PATIENCE);
        match detached {
            Ok(false) => None,
            Ok(true) => Some(format!("{path} ({fs_type}) is still in use: a mount of it is left")),
            Err(error) => Some(format!("{path} ({fs_type}) cannot be taken away: {error}")),
        }
    }
}

fn unpack(blank: &str, backing: &PathBuf) -> io::Result<File> {
    let stored = fs::read(blank)?;
    let image = blank::decode(&stored).map_err(io::Error::other)?;
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(backing)?;
    file.set_len(image.size())?;
    for (offset, bytes) in image.extents() {
        file.write_all_at(bytes, offset)?;
    }
    Ok(file)
}
