//! What the mount calls make of a directory that is open: its mount is copied (open_tree(2)), set
//! the attributes that it has (mount_setattr(2)), and something is mounted on it (move_mount(2)).
//! Of a mount that mountinfo does not show, directory or file, it is tried whether it can be
//! attached.
//!
//! A mount that is in no namespace allows none of it. One that open_tree(2) made and that was not
//! attached has a namespace of its own, and allows some. No mount table and no lookup shows the
//! difference.
//! What can be undone is undone; a mount that could be attached is detached afterwards.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, umount2};
use nix::sys::stat::Mode;
use nix::unistd::fchdir;
use protocol::observation::FileKind;
use protocol::probe::ProbeGroup::MountApi;
use rustix::mount::{MountAttrFlags, MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use super::{Outcomes, Subject, done, text};
use crate::observe::own_mount_table;
use crate::sys::{self, MountAttr, set_apart};

/// The first directories only: each costs some mounts.
const DIRECTORIES: usize = 4;

pub(super) fn probe(proc: BorrowedFd<'_>, subjects: &[Subject], top: &str, outcomes: &mut Outcomes) -> io::Result<()> {
    let directories = subjects.iter().filter_map(|one| Some((&one.name, one.fd_of(FileKind::Directory)?)));
    for (name, directory) in directories.take(DIRECTORIES) {
        let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
        outcomes.add(MountApi, name, "copy its mount", done(open_tree(directory, "", clone)));
        outcomes.add(MountApi, name, "set the attributes that its mount has", done(set_attributes(directory)));
        outcomes.add(MountApi, name, "mount something on it", text(mount_on(proc, directory)?, str::to_owned));
        outcomes.add(
            MountApi,
            name,
            "mark its mount as expired",
            done(in_proc(proc, directory, MntFlags::MNT_EXPIRE)?),
        );
    }
    let shown: BTreeSet<u64> = own_mount_table(proc)?.iter().map(|mount| mount.id).collect();
    for subject in subjects {
        // In the corner of the harness, which no program has anything to do with.
        let (at, fd) = match subject.kind {
            Some(FileKind::Directory) => (".zdtm", subject.fd.as_ref()),
            Some(FileKind::File) => (".zdtm/executor", subject.fd.as_ref()),
            _ => continue,
        };
        let Some(fd) = fd.map(AsFd::as_fd) else { continue };
        if !shown.contains(&sys::statx_mount_id(fd)?) {
            let at = CString::new(format!("{}/{at}", top.trim_end_matches('/')))?;
            outcomes.add(MountApi, &subject.name, "attach its mount", done(attach(fd, &at)?));
        }
    }
    Ok(())
}

/// The outer error is of taking it away again.
fn attach(fd: BorrowedFd<'_>, at: &CStr) -> io::Result<io::Result<()>> {
    let attached = sys::attach(fd, at);
    if attached.is_ok() {
        umount2(at, MntFlags::MNT_DETACH)?;
    }
    Ok(attached)
}

/// Nothing changes: an attribute is taken from the mount that it has not, or given that it has.
fn set_attributes(directory: BorrowedFd<'_>) -> io::Result<()> {
    let (_, flags) = sys::filesystem_of(directory)?;
    let attribute = u64::from(MountAttrFlags::MOUNT_ATTR_NODEV.bits());
    let attr = match flags & libc::ST_NODEV {
        0 => MountAttr { clear: attribute, ..MountAttr::default() },
        _ => MountAttr { set: attribute, ..MountAttr::default() },
    };
    sys::mount_setattr(directory, c"", false, attr)
}

/// The outer error is of what is mounted, or of taking it away again. In a mount that was never
/// attached it stays: umount(2) is for mounts of a namespace.
fn mount_on(proc: BorrowedFd<'_>, directory: BorrowedFd<'_>) -> io::Result<io::Result<&'static str>> {
    let tree = match sys::fsmount(c"tmpfs") {
        Ok(tree) => tree,
        Err(error) => return Ok(Err(error)),
    };
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    if let Err(error) = move_mount(&tree, "", directory, "", flags) {
        return Ok(Err(error.into()));
    }
    match in_proc(proc, tree.as_fd(), MntFlags::MNT_DETACH)? {
        Ok(()) => Ok(Ok("done")),
        Err(Errno::EINVAL) => Ok(Ok("done, and it stays")),
        Err(error) => Err(error.into()),
    }
}

/// umount(2) of what a descriptor leads to, by its magic link; the inner result is the call's. With
/// `MNT_EXPIRE` nothing is unmounted: the call fails with `EBUSY` where the mount is one of this
/// namespace, which the descriptor holds.
fn in_proc(proc: BorrowedFd<'_>, fd: BorrowedFd<'_>, flags: MntFlags) -> io::Result<nix::Result<()>> {
    let before = set_apart(open(".", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?)?;
    fchdir(proc)?;
    let result = umount2(format!("self/fd/{}", fd.as_raw_fd()).as_str(), flags);
    fchdir(before)?;
    Ok(result)
}
