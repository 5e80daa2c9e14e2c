//! The names below the program's top directory: what a restore adds or loses there is litter or
//! damage.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::Mode;
use protocol::observation::{FileKind, Outcome, TreeEntry};
use rustix::fs::AtFlags;
use scenarios::Bytes;

use super::lookups::{is_changed_by_reading, is_of_the_kernel};
use super::object::{hash, outcome, status, status_at};
use crate::sys;

/// A tree with more names than this is not one of our programs.
const ENTRY_LIMIT: usize = 10_000;
/// Contents longer than this are not read; programs write less.
const CONTENT_LIMIT: u64 = 4 << 20;

/// All names below `top` (a path below `root`), through every mount that is visible there, kernel
/// filesystems and the harness's own corner left out.
///
/// # Errors
/// Those of opening the top directory, and a tree that is too large.
pub(super) fn walk(root: BorrowedFd<'_>, top: &str) -> io::Result<Vec<TreeEntry>> {
    entries(root, top, true)
}

/// The same without what files hold.
///
/// # Errors
/// Those of [`walk`].
pub(crate) fn names_below(root: BorrowedFd<'_>, top: &str) -> io::Result<Vec<TreeEntry>> {
    entries(root, top, false)
}

fn entries(root: BorrowedFd<'_>, top: &str, contents: bool) -> io::Result<Vec<TreeEntry>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let top = if top.trim_start_matches('/').is_empty() { "." } else { top.trim_start_matches('/') };
    let dir = openat(root, top, flags, Mode::empty())?;
    let status = outcome(status(dir.as_fd()));
    let mut entries = vec![TreeEntry { path: Bytes::default(), status, target: None, content: None }];
    descend(dir, &[], contents, &mut entries)?;
    entries.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(entries)
}

fn descend(dir: OwnedFd, prefix: &[u8], contents: bool, entries: &mut Vec<TreeEntry>) -> io::Result<()> {
    let magic = sys::filesystem_of(dir.as_fd()).map_or(0, |(magic, _)| magic);
    if is_of_the_kernel(magic) {
        return Ok(());
    }
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    for sys::Entry { name, may_be_directory } in sys::entries(dir.as_fd())? {
        if prefix.is_empty() && name == b".zdtm" {
            continue;
        }
        if entries.len() >= ENTRY_LIMIT {
            return Err(io::Error::other(format!("more than {ENTRY_LIMIT} names below the top directory")));
        }
        let path = if prefix.is_empty() { name.clone() } else { [prefix, b"/", &name].concat() };
        entries.push(look(dir.as_fd(), &name, &path, contents && !is_changed_by_reading(magic)));
        let child = may_be_directory.then(|| openat(dir.as_fd(), name.as_slice(), flags, Mode::empty()).ok());
        if let Some(child) = child.flatten() {
            descend(child, &path, contents, entries)?;
        }
    }
    Ok(())
}

fn look(dir: BorrowedFd<'_>, name: &[u8], path: &[u8], readable: bool) -> TreeEntry {
    let status = status_at(dir, name, AtFlags::SYMLINK_NOFOLLOW);
    let kind = status.as_ref().map_or(FileKind::Other, |status| status.kind);
    let target = (kind == FileKind::Symlink).then(|| readlinkat(dir, name).ok()).flatten();
    let read = || -> io::Result<_> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let file = openat(dir, name, flags | OFlag::O_NOATIME, Mode::empty())
            .or_else(|_| openat(dir, name, flags, Mode::empty()))?;
        hash(&mut File::from(file).take(CONTENT_LIMIT))
    };
    let content: Option<Outcome<_>> = (readable && kind == FileKind::File).then(|| outcome(read()));
    TreeEntry {
        path: path.into(),
        status: outcome(status),
        target: target.map(|target| target.as_os_str().into()),
        content,
    }
}
