//! Directories: what comes next. A directory that was read in part goes on where it stood, and one
//! that was read to its end is at its end.
//!
//! btrfs leaves out names that were made since the open (`last_index`, fs/btrfs/inode.c). No
//! restore can do that again, because it opens the directory later. So there it makes no difference
//! whether a reader leaves them out.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{Whence, lseek};
use protocol::observation::FileKind;
use protocol::probe::ProbeGroup;
use scenarios::Bytes;

use super::{Outcomes, Subject, list, text};
use crate::sys;

/// `BTRFS_SUPER_MAGIC`, include/uapi/linux/magic.h.
const BTRFS: u64 = 0x9123_683e;

pub(super) fn probe(subjects: &[Subject], outcomes: &mut Outcomes) {
    for subject in subjects.iter().filter(|subject| matches!(subject.object, super::Object::Fd(_))) {
        let Some(directory) = subject.fd_of(FileKind::Directory) else { continue };
        let rest = rest_of(directory).map(|mut names| {
            // The order is the filesystem's.
            names.sort();
            names
        });
        outcomes.add(ProbeGroup::Entries, &subject.name, "read on", text(rest, |names| list(&names)));
    }
}

fn rest_of(directory: BorrowedFd<'_>) -> io::Result<Vec<Bytes>> {
    let is_btrfs = sys::filesystem_of(directory)?.0 == BTRFS;
    let position = if is_btrfs { lseek(directory, 0, Whence::SeekCur)? } else { 0 };
    let rest = names(directory)?;
    if !is_btrfs {
        return Ok(rest);
    }
    let new =
        File::from(openat(directory, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?);
    lseek(&new, position, Whence::SeekSet)?;
    let all = names(new.as_fd())?;
    Ok(if all.starts_with(&rest) { all } else { rest })
}

fn names(directory: BorrowedFd<'_>) -> io::Result<Vec<Bytes>> {
    Ok(sys::entries(directory)?.into_iter().map(|entry| entry.name.into()).collect())
}
