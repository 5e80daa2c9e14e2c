//! Block devices for a program's filesystems: an empty filesystem from the image, unpacked into a sparse file on tmpfs,
//! behind a loop device.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use protocol::blank;
use scenarios::program::Filesystem;
use scenarios::{Program, Step};

use crate::sys::{self, LoopDevice};

/// One block device of a trial.
#[derive(Debug)]
pub(super) struct Disk {
    /// The filesystem that is on it.
    pub(super) fs_type: String,
    device: LoopDevice,
    backing: PathBuf,
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

/// Attaches a disk with an empty filesystem for each.
///
/// # Errors
/// What was tried and why it failed.
pub(super) fn attach(filesystems: &[Filesystem]) -> io::Result<Vec<Disk>> {
    fs::create_dir_all("/run/disks")?;
    let mut used: BTreeMap<String, usize> = BTreeMap::new();
    let mut disks = Vec::new();
    for (number, filesystem) in filesystems.iter().enumerate() {
        let fs_type = filesystem.to_string();
        let index = used.entry(fs_type.clone()).or_default();
        let blank = format!("/blank/{fs_type}-{index}");
        *index += 1;
        let backing = PathBuf::from(format!("/run/disks/{number}"));
        let device = unpack(&blank, &backing)
            .and_then(|file| LoopDevice::attach(&file))
            .map_err(|error| io::Error::new(error.kind(), format!("a disk from {blank}: {error}")))?;
        disks.push(Disk { fs_type, device, backing });
    }
    Ok(disks)
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

/// Takes the disks away again; what is still used is told.
pub(super) fn detach(disks: Vec<Disk>) -> Vec<String> {
    let mut leftovers = Vec::new();
    for disk in disks {
        let (path, fs_type, backing) = (disk.path(), disk.fs_type, disk.backing);
        if fs_type == "btrfs"
            && let Ok(path) = CString::new(path.as_str())
        {
            // The kernel remembers the device by its UUID, which the next trial's disk has too.
            let _ = sys::btrfs_forget_device(&path);
        }
        match disk.device.detach() {
            Ok(false) => {}
            Ok(true) => leftovers.push(format!("{path} ({fs_type}) is still in use: a mount of it is left")),
            Err(error) => leftovers.push(format!("{path} ({fs_type}) cannot be taken away: {error}")),
        }
        let _ = fs::remove_file(backing);
    }
    leftovers
}
