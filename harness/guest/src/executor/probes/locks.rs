//! Locks: what somebody else can lock, who opens the same file anew, and whether an unlock frees
//! it. A lock belongs to a description (flock(2), open file description locks) or to a process
//! (POSIX locks, fcntl(2)). In fdinfo a lock shows only with the descriptor that it was taken by.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use protocol::observation::FileKind;
use protocol::probe::ProbeGroup::Locks;

use super::{Outcomes, Subject, again, done, text};
use crate::sys;

pub(super) fn probe(proc: BorrowedFd<'_>, subjects: &[Subject], outcomes: &mut Outcomes) -> io::Result<()> {
    // POSIX locks go when any descriptor of their file is closed (fcntl(2)): all stay open to the
    // end.
    let mut anew = Vec::new();
    for subject in subjects {
        let kinds = [FileKind::File, FileKind::Directory];
        let Some(fd) = kinds.into_iter().find_map(|kind| subject.fd_of(kind)) else { continue };
        // A lease makes it fail instead of wait.
        match again(proc, fd, OFlag::O_RDONLY) {
            Ok(other) => anew.push((subject, fd, other)),
            Err(error) => outcomes.add(Locks, &subject.name, "open it anew", done::<(), _>(Err(error))),
        }
    }
    for (subject, _, other) in &anew {
        for (what, write) in [("lock it for reading", false), ("lock it for writing", true)] {
            let locked = sys::flock(other.as_fd(), write);
            sys::unlock(other.as_fd())?;
            outcomes.add(Locks, &subject.name, what, done(locked));
        }
        let found = in_the_way(other.as_fd());
        outcomes.add(Locks, &subject.name, "find what keeps a range from being locked", text(found, |found| found));
    }
    for (subject, fd, other) in &anew {
        if sys::unlock(*fd).is_ok() {
            let locked = sys::flock(other.as_fd(), true);
            sys::unlock(other.as_fd())?;
            outcomes.add(Locks, &subject.name, "lock it for writing after its unlock", done(locked));
        }
    }
    Ok(())
}

/// The first lock on a range of the file that keeps the whole of it from being locked.
fn in_the_way(fd: BorrowedFd<'_>) -> io::Result<String> {
    let whole = libc::c_short::try_from(libc::F_WRLCK).map_err(io::Error::other)?;
    let mut lock = libc::flock { l_type: whole, l_whence: 0, l_start: 0, l_len: 0, l_pid: 0 };
    fcntl(fd, FcntlArg::F_OFD_GETLK(&mut lock))?;
    Ok(match i32::from(lock.l_type) {
        libc::F_UNLCK => "nothing".to_owned(),
        kind => {
            let kind = if kind == libc::F_RDLCK { "read" } else { "write" };
            // 0 is up to the end of the file, however long that gets.
            format!("a {kind} lock from {} on, length {}", lock.l_start, lock.l_len)
        }
    })
}
