//! Mounts outside of every namespace that are still mounted on one another, which this engine does
//! not make, so it refuses them; and mounts that were never attached and whose descriptor is open.
//!
//! No table of the kernel's lists such mounts. A mount with an open descriptor is recognised by a
//! call that works on its root only. Mounts that are connected are recognised by lookups that lead
//! from one to the other.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use protocol::observation::{FileKind, ObjectId};
use rustix::mount::{OpenTreeFlags, open_tree};

use super::super::checkpoint::TreeImage;
use super::object::CapturedObject;
use super::refusal::{Cause, Refusal};
use super::{Capture, is_internal, refuse};
use crate::observe;
use crate::sys::{self, MountAttr};

/// More names than these are not looked at.
const NAME_LIMIT: usize = 4096;
const MOUNT_ATTR_NOSUID: u64 = 0x2;
const ST_NOSUID: u64 = 0x2;

impl Capture<'_> {
    /// A refusal for each object that shows mounts which are connected.
    pub(super) fn connected(&self, objects: &[CapturedObject]) -> Vec<Refusal> {
        let unlisted = objects.iter().filter(|captured| self.is_unlisted(captured));
        let connected = unlisted
            .filter(|captured| captured.status.kind == FileKind::Directory && is_connected(captured).unwrap_or(false));
        connected.map(|captured| refuse(captured, Cause::Connected)).collect()
    }

    /// The objects that are the root of a mount which was never attached and whose descriptor is
    /// open.
    pub(super) fn roots_of_open_trees<'o>(
        &self,
        objects: &'o [CapturedObject],
    ) -> impl Iterator<Item = &'o CapturedObject> {
        objects.iter().filter(|captured| self.is_unlisted(captured) && is_root_of_a_tree(captured))
    }

    /// Notes which description keeps each such mount in being. The kernel does not tell: it is the
    /// only one that can be.
    pub(super) fn open_trees(
        &mut self,
        objects: &[CapturedObject],
        files: &BTreeMap<ObjectId, usize>,
        descriptions: &BTreeMap<ObjectId, usize>,
    ) -> Vec<Refusal> {
        let mut keepers: BTreeMap<u64, (&CapturedObject, BTreeSet<usize>)> = BTreeMap::new();
        for captured in self.roots_of_open_trees(objects).filter(|captured| files.contains_key(&captured.id())) {
            let (_, keepers) = keepers.entry(captured.mount).or_insert((captured, BTreeSet::new()));
            let description = descriptions.get(&captured.id()).copied();
            keepers.extend(description.filter(|&index| self.checkpoint.descriptions[index].flags & libc::O_PATH != 0));
        }
        let mut refusals = Vec::new();
        for (captured, found) in keepers.into_values() {
            match Vec::from_iter(found)[..] {
                [keeper] => {
                    let copy = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
                    let can_be_copied = open_tree(&captured.fd, c"", copy | OpenTreeFlags::AT_EMPTY_PATH).is_ok();
                    self.checkpoint.descriptions[keeper].tree = Some(TreeImage { can_be_copied });
                }
                _ => refusals.push(refuse(captured, Cause::KeeperUnknown)),
            }
        }
        refusals
    }

    /// Whether an object is on a mount that no table lists, and that is not the kernel's own.
    pub(super) fn is_unlisted(&self, captured: &CapturedObject) -> bool {
        let id = captured.mount;
        let is_listed = self.table.get(id).is_some() || self.theirs.contains(&id);
        !is_listed && !self.outside.mounts.contains(&id) && !is_internal(captured) && captured.socket.is_none()
    }
}

/// Whether it is the root of a tree that is attached nowhere and still has its descriptor: there an
/// attribute can be set, to what it is (mount_setattr(2)).
fn is_root_of_a_tree(captured: &CapturedObject) -> bool {
    let attr = if captured.mount_flags & ST_NOSUID != 0 {
        MountAttr { set: MOUNT_ATTR_NOSUID, ..MountAttr::default() }
    } else {
        MountAttr { clear: MOUNT_ATTR_NOSUID, ..MountAttr::default() }
    };
    sys::mount_setattr(captured.fd.as_fd(), c"", false, attr).is_ok()
}

/// Whether a walk from this directory, up and then down, comes to another mount.
fn is_connected(captured: &CapturedObject) -> io::Result<bool> {
    let mut top = step(captured.fd.as_fd(), b".", OFlag::empty())?;
    let mut file = captured.status.file;
    while let Ok(above) = step(top.as_fd(), b"..", OFlag::empty()) {
        let next = observe::status(above.as_fd())?.file;
        if sys::statx_mount_id(above.as_fd())? != captured.mount {
            return Ok(true);
        }
        if next == file {
            break;
        }
        (top, file) = (above, next);
    }
    let mut left = vec![top];
    let mut names = 0;
    while let Some(directory) = left.pop() {
        let Ok(open) = step(directory.as_fd(), b".", OFlag::O_DIRECTORY | OFlag::O_NOATIME) else { continue };
        for entry in sys::entries(open.as_fd())? {
            names += 1;
            let Ok(found) = step(directory.as_fd(), &entry.name, OFlag::O_NOFOLLOW) else { continue };
            if sys::statx_mount_id(found.as_fd())? != captured.mount {
                return Ok(true);
            }
            if names < NAME_LIMIT && entry.may_be_directory {
                left.push(found);
            }
        }
    }
    Ok(false)
}

/// A lookup; an `O_PATH` descriptor unless it is a directory to be read.
fn step(from: BorrowedFd<'_>, name: &[u8], flags: OFlag) -> io::Result<OwnedFd> {
    let path_only = if flags.contains(OFlag::O_DIRECTORY) { OFlag::O_RDONLY } else { OFlag::O_PATH };
    Ok(openat(from, name, flags | path_only | OFlag::O_CLOEXEC, Mode::empty())?)
}
