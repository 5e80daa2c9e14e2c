//! The disks of a program. The agent gives loop devices in the order of the `mount` steps that need
//! one, whichever process carries them out. Root of a user namespace may not mount them, so it is
//! given mounts of them instead, which are attached nowhere.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::sys::stat::{Mode, SFlag, makedev, mknod, stat};
use scenarios::Bytes;
use scenarios::program::{ObjectName, Place};
use serde::{Deserialize, Serialize};

use crate::sys::adopt;

/// Those of a program under way.
pub(super) struct Disks {
    /// Minor numbers of loop devices that no `mount` step has taken yet, the next one last.
    free: Vec<u32>,
    /// The disk that was mounted at a place.
    mounted: BTreeMap<Place, Disk>,
    /// In a user namespace: mounts of each disk that no `mount` step has taken yet, the next disk
    /// last.
    free_trees: Vec<Vec<OwnedFd>>,
    /// In a user namespace: further mounts of the disk that was mounted at a place.
    trees: BTreeMap<Place, Vec<OwnedFd>>,
}

/// A disk: its filesystem's type, the minor number of its loop device.
type Disk = (String, u32);

/// What passes over execve(2).
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PassedOnDisks {
    free: Vec<u32>,
    mounted: Vec<(PlaceParts, Disk)>,
    free_trees: Vec<Vec<RawFd>>,
    trees: Vec<(PlaceParts, Vec<RawFd>)>,
}

/// The base and the path of a place.
type PlaceParts = (Option<String>, Bytes);

fn parts(place: &Place) -> PlaceParts {
    (place.base.as_ref().map(|base| base.0.clone()), place.path.clone())
}

fn place((base, path): PlaceParts) -> Place {
    Place { base: base.map(ObjectName), path }
}

/// Descriptors that passed over execve(2) and do so again.
fn adopt_all(numbers: &[RawFd]) -> io::Result<Vec<OwnedFd>> {
    numbers.iter().map(|&number| adopt(number)).collect()
}

/// Under the name that it has outside too: the kernel keeps the source of a mount as text.
fn node_of(minor: u32) -> io::Result<CString> {
    CString::new(format!("/dev/loop{minor}")).map_err(io::Error::other)
}

impl Disks {
    /// `trees`: for each disk the descriptors of mounts of it, which it takes over.
    pub(super) fn new(minors: &[u32], trees: &[Vec<RawFd>]) -> io::Result<Self> {
        Ok(Disks {
            free: minors.iter().rev().copied().collect(),
            mounted: BTreeMap::new(),
            free_trees: trees.iter().rev().map(|trees| adopt_all(trees)).collect::<io::Result<_>>()?,
            trees: BTreeMap::new(),
        })
    }

    pub(super) fn pass_on(&self) -> PassedOnDisks {
        let numbers = |trees: &Vec<OwnedFd>| trees.iter().map(AsRawFd::as_raw_fd).collect();
        PassedOnDisks {
            free: self.free.clone(),
            mounted: self.mounted.iter().map(|(at, disk)| (parts(at), disk.clone())).collect(),
            free_trees: self.free_trees.iter().map(numbers).collect(),
            trees: self.trees.iter().map(|(at, trees)| (parts(at), numbers(trees))).collect(),
        }
    }

    pub(super) fn take_over(from: PassedOnDisks) -> io::Result<Self> {
        let adopted = |(at, trees): (PlaceParts, Vec<RawFd>)| Ok((place(at), adopt_all(&trees)?));
        Ok(Disks {
            free: from.free,
            mounted: from.mounted.into_iter().map(|(at, disk)| (place(at), disk)).collect(),
            free_trees: from.free_trees.iter().map(|trees| adopt_all(trees)).collect::<io::Result<_>>()?,
            trees: from.trees.into_iter().map(adopted).collect::<io::Result<_>>()?,
        })
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

    /// In a user namespace: a mount of the next disk, attached nowhere, for a filesystem that is
    /// mounted at `at`.
    pub(super) fn take_tree(&mut self, at: &Place) -> Option<OwnedFd> {
        let mut trees = self.free_trees.pop()?;
        let tree = trees.pop();
        self.trees.insert(at.clone(), trees);
        tree
    }

    /// In a user namespace: a further mount of the disk that was mounted at `at`.
    pub(super) fn take_tree_again(&mut self, at: &Place) -> Option<OwnedFd> {
        self.trees.get_mut(at)?.pop()
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
