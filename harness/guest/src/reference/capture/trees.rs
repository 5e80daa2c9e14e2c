//! Mounts outside of every namespace that are still mounted on one another, and trees that were
//! never attached and whose descriptor is open. This engine makes neither, so it refuses both.
//!
//! No table of the kernel's lists such mounts. A tree with an open descriptor is recognised by a
//! call that works on its root only. Mounts that are connected are recognised by lookups that lead
//! from one to the other.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use protocol::observation::FileKind;

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
    /// A refusal for each object that shows such a tree.
    pub(super) fn trees(&self, objects: &[CapturedObject]) -> Vec<Refusal> {
        let cause = |captured: &CapturedObject| {
            if is_root_of_a_tree(captured) {
                Some(Cause::TreeIsOpen)
            } else if captured.status.kind == FileKind::Directory && is_connected(captured).unwrap_or(false) {
                Some(Cause::Connected)
            } else {
                None
            }
        };
        let unlisted = objects.iter().filter(|captured| self.is_unlisted(captured));
        unlisted.filter_map(|captured| Some(refuse(captured, cause(captured)?))).collect()
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
