//! The disks of a program. The agent gives loop devices in the order of the `mount` steps that need
//! one, whichever process carries them out.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::sys::stat::{Mode, SFlag, makedev, mknod, stat};
use scenarios::Bytes;
use scenarios::program::{ObjectName, Place};
use serde::{Deserialize, Serialize};

/// Those of a program under way.
pub(super) struct Disks {
    /// Minor numbers of loop devices that no `mount` step has taken yet, the next one last.
    free: Vec<u32>,
    /// The disk that was mounted at a place.
    mounted: BTreeMap<Place, Disk>,
}

/// A disk: its filesystem's type, the minor number of its loop device.
type Disk = (String, u32);

/// What passes over execve(2).
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PassedOnDisks {
    free: Vec<u32>,
    mounted: Vec<(Option<String>, Bytes, Disk)>,
}

/// Under the name that it has outside too: the kernel keeps the source of a mount as text.
fn node_of(minor: u32) -> io::Result<CString> {
    CString::new(format!("/dev/loop{minor}")).map_err(io::Error::other)
}

impl Disks {
    pub(super) fn new(minors: &[u32]) -> Self {
        Disks { free: minors.iter().rev().copied().collect(), mounted: BTreeMap::new() }
    }

    pub(super) fn pass_on(&self) -> PassedOnDisks {
        let disk = |(place, disk): (&Place, &Disk)| {
            (place.base.as_ref().map(|base| base.0.clone()), place.path.clone(), disk.clone())
        };
        PassedOnDisks { free: self.free.clone(), mounted: self.mounted.iter().map(disk).collect() }
    }

    pub(super) fn take_over(from: PassedOnDisks) -> Self {
        let disk =
            |(base, path, disk): (Option<String>, Bytes, Disk)| (Place { base: base.map(ObjectName), path }, disk);
        Disks { free: from.free, mounted: from.mounted.into_iter().map(disk).collect() }
    }

    /// The next disk is that of a filesystem which is mounted at `at`; its minor number.
    pub(super) fn assign(&mut self, at: &Place, fs_type: &str) -> io::Result<u32> {
        let minor = self.free.pop().ok_or_else(|| io::Error::other("the agent gave too few disks"))?;
        self.mounted.insert(at.clone(), (fs_type.to_owned(), minor));
        Ok(minor)
    }

    /// The next block device for a filesystem that is mounted at `at`: a node in the harness's own
    /// corner.
    pub(super) fn take(&mut self, at: &Place, fs_type: &str) -> io::Result<CString> {
        let minor = self.assign(at, fs_type)?;
        let node = node_of(minor)?;
        if !std::fs::exists(Path::new(OsStr::from_bytes(node.to_bytes())))? {
            std::fs::create_dir_all("/dev")?;
            mknod(node.as_c_str(), SFlag::S_IFBLK, Mode::S_IRUSR | Mode::S_IWUSR, makedev(7, minor.into()))?;
        }
        self.at(at).map(|(_, node)| node)
    }

    /// The block device that is mounted at `at`, and its filesystem type.
    pub(super) fn at(&self, at: &Place) -> io::Result<(String, CString)> {
        let disk = self.mounted.get(at).cloned();
        let (fs_type, minor) = disk.ok_or_else(|| io::Error::other("no block device was mounted there by `mount`"))?;
        let node = node_of(minor)?;
        // A program can put the node of another disk there, as the process that has the agent's
        // root sees them all.
        let found = stat(node.as_c_str())?;
        let is_block = found.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFBLK.bits();
        if !is_block || found.st_rdev != makedev(7, minor.into()) {
            return Err(io::Error::other(format!("/dev/loop{minor} is not the program's disk any more")));
        }
        Ok((fs_type, node))
    }
}
