//! Through which directory entry a file is open. The kernel knows: an open file holds the entry,
//! not just the inode, but it does not show it for a file on a detached mount. An event does:
//! a watch of the file (or of its directory) reports the directory and the name when the file is
//! opened once more through its magic link. This holds for removed entries too.
//!
//! fanotify(7) needs file handles and gives the handle of the directory, even of a removed one.
//! inotify(7) needs none, but a watch on every directory, and so finds only what still has a path.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::fcntl::{OFlag, openat};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::stat::Mode;
use protocol::observation::{FileId, FileKind};
use scenarios::Bytes;

use super::super::private_mount_ns::{PrivateMountNs, in_proc, look_at};
use super::super::table::join;
use super::object::CapturedObject;
use crate::observe;
use crate::sys::{self, EntryWatch, FileHandle};

/// A directory on the bare mount and the name in it that a file is open by.
#[derive(Debug)]
pub struct Entry {
    /// The directory, `O_PATH`.
    pub directory: OwnedFd,
    /// The name.
    pub name: Bytes,
}

/// More names than this are not walked through.
const WALK_LIMIT: usize = 100_000;

/// The entry of a file, if it can be found out.
///
/// # Errors
/// Those of a call that should not fail.
pub fn entry_of(
    watch: Option<&EntryWatch>,
    proc: BorrowedFd<'_>,
    captured: &CapturedObject,
    private_ns: &PrivateMountNs,
) -> io::Result<Option<Entry>> {
    if !may_be_opened(captured) {
        return Ok(None);
    }
    if let Some(watch) = watch
        && let Some((handle, name)) = watched_entry(watch, proc, captured)?
        && let Some(directory) = directory_of(&handle, private_ns)?
    {
        return Ok(Some(Entry { directory, name: name.into() }));
    }
    overheard(proc, captured, private_ns)
}

/// Opening a device or a leased file does something to it; links and sockets cannot be opened.
fn may_be_opened(captured: &CapturedObject) -> bool {
    let leased = captured
        .descriptor
        .iter()
        .flat_map(|descriptor| &descriptor.details)
        .any(|line| line.0.windows(5).any(|word| word == b"LEASE"));
    matches!(captured.status.kind, FileKind::File | FileKind::Fifo) && !leased
}

fn open_once(proc: BorrowedFd<'_>, captured: &CapturedObject) -> io::Result<()> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    openat(proc, captured.magic.as_str(), flags | OFlag::O_NOATIME, Mode::empty())
        .or_else(|_| openat(proc, captured.magic.as_str(), flags, Mode::empty()))?;
    Ok(())
}

fn watched_entry(
    watch: &EntryWatch,
    proc: BorrowedFd<'_>,
    captured: &CapturedObject,
) -> io::Result<Option<(FileHandle, Vec<u8>)>> {
    let magic = CString::new(captured.magic.as_str()).map_err(io::Error::other)?;
    if !watch.begin(proc, &magic) {
        return Ok(None);
    }
    let opened = open_once(proc, captured);
    let entry = watch.end(proc, &magic);
    opened.and(entry)
}

/// The directory with this handle; by opening it, or where that is forbidden by searching all.
fn directory_of(handle: &FileHandle, private_ns: &PrivateMountNs) -> io::Result<Option<OwnedFd>> {
    if let Ok(directory) = sys::open_handle(private_ns.root.as_fd(), handle) {
        return Ok(Some(directory));
    }
    let mut found = None;
    walk(private_ns.root.as_fd(), &mut |_, fd, kind| {
        if kind == FileKind::Directory && sys::handle_of(fd).is_ok_and(|other| other == *handle) {
            found = Some(fd.try_clone_to_owned()?);
        }
        Ok(found.is_none())
    })?;
    Ok(found)
}

/// Watches every directory of the bare mount and listens which one gets the event of the open.
fn overheard(
    proc: BorrowedFd<'_>,
    captured: &CapturedObject,
    private_ns: &PrivateMountNs,
) -> io::Result<Option<Entry>> {
    let group = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
    let mut watched = BTreeMap::new();
    in_proc(proc, || {
        walk(private_ns.root.as_fd(), &mut |path, fd, kind| {
            if kind == FileKind::Directory {
                let magic = format!("self/fd/{}", fd.as_raw_fd());
                watched.insert(group.add_watch(magic.as_str(), AddWatchFlags::IN_OPEN)?, path.clone());
            }
            Ok(true)
        })
    })?;
    open_once(proc, captured)?;
    let Ok(events) = group.read_events() else { return Ok(None) };
    for event in events {
        let (Some(path), Some(name)) = (watched.get(&event.wd), event.name) else { continue };
        if !event.mask.contains(AddWatchFlags::IN_ISDIR) {
            let directory = look_at(private_ns.root.as_fd(), path)?;
            return Ok(Some(Entry { directory, name: name.as_os_str().into() }));
        }
    }
    Ok(None)
}

/// Every name below a directory, itself first, on its own mount; until the visitor says false.
///
/// # Errors
/// The visitor's, and a tree that is too large. What cannot be read is left out.
pub fn walk(
    root: BorrowedFd<'_>,
    visit: &mut dyn FnMut(&Bytes, BorrowedFd<'_>, FileKind) -> io::Result<bool>,
) -> io::Result<()> {
    let kind = observe::status(root)?.kind;
    let mut captured = 0;
    if visit(&Bytes::default(), root, kind)? && kind == FileKind::Directory {
        descend(root, &Bytes::default(), visit, &mut captured)?;
    }
    Ok(())
}

fn descend(
    dir: BorrowedFd<'_>,
    prefix: &Bytes,
    visit: &mut dyn FnMut(&Bytes, BorrowedFd<'_>, FileKind) -> io::Result<bool>,
    captured: &mut usize,
) -> io::Result<bool> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NOATIME;
    let listing = openat(dir, ".", flags, Mode::empty()).map_err(io::Error::from);
    let Ok(mut entries) = listing.and_then(|listing| sys::entries(listing.as_fd())) else { return Ok(true) };
    entries.sort();
    for name in entries.into_iter().map(|entry| Bytes(entry.name)) {
        *captured += 1;
        if *captured > WALK_LIMIT {
            return Err(io::Error::other(format!("more than {WALK_LIMIT} names to look at")));
        }
        let Ok(fd) = look_at(dir, &name) else { continue };
        let kind = observe::status(fd.as_fd())?.kind;
        let path = join(prefix, &name);
        let goes_on = visit(&path, fd.as_fd(), kind)?
            && (kind != FileKind::Directory || descend(fd.as_fd(), &path, visit, captured)?);
        if !goes_on {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Every path of a file on the bare mount; a directory has one.
///
/// # Errors
/// Those of [`walk`].
pub fn names_of(private_ns: &PrivateMountNs, file: FileId) -> io::Result<Vec<Bytes>> {
    let mut names = Vec::new();
    walk(private_ns.root.as_fd(), &mut |path, fd, kind| {
        let is_it = observe::status(fd)?.file == file;
        if is_it {
            names.push(path.clone());
        }
        Ok(!(is_it && kind == FileKind::Directory))
    })?;
    Ok(names)
}
