//! Descriptors: fcntl(2), dup2(2), close_range(2).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, fcntl};
use rustix::fs::FlockOperation;

use super::{check, check_fd};

/// flock(2) without waiting.
///
/// # Errors
/// The call's.
pub fn flock(fd: BorrowedFd<'_>, write: bool) -> io::Result<()> {
    let exclusive = FlockOperation::NonBlockingLockExclusive;
    Ok(rustix::fs::flock(fd, if write { exclusive } else { FlockOperation::NonBlockingLockShared })?)
}

/// flock(2) with `LOCK_UN`.
///
/// # Errors
/// The call's: `EBADF` for a descriptor opened with `O_PATH`.
pub fn unlock(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::fs::flock(fd, FlockOperation::Unlock)?)
}

/// `fcntl(F_SETLEASE)`.
///
/// # Errors
/// The call's.
pub fn set_lease(fd: BorrowedFd<'_>, write: bool) -> io::Result<()> {
    let kind = if write { libc::F_WRLCK } else { libc::F_RDLCK };
    // SAFETY: no pointers.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETLEASE, kind) }.into()).map(drop)
}

/// `fcntl(F_SETLEASE, F_UNLCK)`.
///
/// # Errors
/// The call's.
pub fn end_lease(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK) }.into()).map(drop)
}

/// Gives descriptors to a command under the numbers named with them; they must not be among the
/// standard streams.
pub fn inherit(command: &mut std::process::Command, descriptors: &[(&OwnedFd, libc::c_int)]) {
    use std::os::unix::process::CommandExt as _;
    let pairs: Vec<(libc::c_int, libc::c_int)> = descriptors.iter().map(|(fd, to)| (fd.as_raw_fd(), *to)).collect();
    let hand_over = move || {
        for &(from, to) in &pairs {
            // SAFETY: no pointers; dup2 may be called between fork and exec.
            check(unsafe { libc::dup2(from, to) }.into())?;
        }
        Ok(())
    };
    // SAFETY: the closure only makes dup2 calls, which are async-signal-safe, and reads a vector
    // made before the fork.
    unsafe { command.pre_exec(hand_over) };
}

/// Has a command start without a descriptor 0.
pub fn start_without_input(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt as _;
    // SAFETY: close(2) has no pointers and may be called between fork and exec.
    let close = || check(unsafe { libc::close(0) }.into()).map(drop);
    // SAFETY: the closure only closes a descriptor.
    unsafe { command.pre_exec(close) };
}

/// Takes over a descriptor that this process was started with, as the only one besides the standard
/// streams: all others are closed.
///
/// # Errors
/// `EBADF` when it is not open, `EINVAL` for a standard stream.
pub fn keep_only(fd: libc::c_int) -> io::Result<OwnedFd> {
    if fd <= 2 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let number = libc::c_uint::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: no pointers.
    check(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) }.into())?;
    for (first, last) in [(3, number - 1), (number + 1, libc::c_uint::MAX)] {
        if first <= last {
            // SAFETY: no pointers. Called at the start of the process: no code of this program has
            // one of these descriptors.
            check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) })?;
        }
    }
    // SAFETY: it is open, and no other code in this process owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Closes all descriptors from a number on, whichever of the harness's have them: for a process
/// that was copied from another and goes on as a new one.
///
/// # Errors
/// close_range(2)'s.
pub fn close_from(first: RawFd) -> io::Result<()> {
    let first = libc::c_uint::try_from(first).map_err(io::Error::other)?;
    // SAFETY: no pointers. The caller does not come back to code that owns one of them.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) }).map(drop)
}

/// The harness's own descriptors start here, where they are in the way of neither a program's nor
/// those that are restored.
const OWN_DESCRIPTORS: libc::c_int = 900;

/// A descriptor that passed over execve(2) under a number that the program before told.
///
/// # Errors
/// `EBADF` where nothing is open.
pub fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    check(unsafe { libc::fcntl(number, libc::F_GETFD) }.into())?;
    // SAFETY: it is open, and this program, which has just started, has made no owner of it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Copies of descriptors under the numbers from `first` on, which pass over execve(2).
///
/// # Errors
/// Those of dup2(2).
pub fn place<'a>(descriptors: impl IntoIterator<Item = &'a OwnedFd>, first: RawFd) -> io::Result<()> {
    for (fd, number) in descriptors.into_iter().zip(first..) {
        // SAFETY: no pointers. Whatever had this number is gone in the program that is started.
        check(unsafe { libc::dup2(fd.as_raw_fd(), number) }.into())?;
    }
    Ok(())
}

/// A copy of a descriptor that passes over execve(2), out of the way of those that have numbers of
/// their own.
///
/// # Errors
/// Those of fcntl(2).
pub fn hand_over(fd: impl AsFd) -> io::Result<OwnedFd> {
    duplicate(fd, OWN_DESCRIPTORS, false)
}

/// A copy of a descriptor, out of the way of those that have numbers of their own.
///
/// # Errors
/// Those of fcntl(2); `EMFILE` also where the limit is below these numbers, which is `EINVAL` for
/// the kernel.
pub fn set_apart(fd: impl AsFd) -> io::Result<OwnedFd> {
    duplicate(fd, OWN_DESCRIPTORS, true).map_err(|error| match error.raw_os_error() {
        Some(libc::EINVAL) => io::Error::from_raw_os_error(libc::EMFILE),
        _ => error,
    })
}

/// A copy of a descriptor under the lowest free number from `lowest` on (`F_DUPFD`,
/// `F_DUPFD_CLOEXEC`).
///
/// # Errors
/// Those of fcntl(2).
pub fn duplicate(fd: impl AsFd, lowest: RawFd, cloexec: bool) -> io::Result<OwnedFd> {
    let copy = fcntl(fd, if cloexec { FcntlArg::F_DUPFD_CLOEXEC(lowest) } else { FcntlArg::F_DUPFD(lowest) })?;
    // SAFETY: the kernel just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// A copy of the program's descriptor with this number, which no variable of this process owns, out
/// of the way of those that have numbers of their own.
///
/// # Errors
/// The call's; `EBADF` when it is not open.
pub fn copy_of(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the call touches no memory of ours.
    check_fd(unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, OWN_DESCRIPTORS) }.into())
}

/// `fcntl(F_SETLK)` on the descriptor with this number: one of the program's, which no variable of
/// this process owns.
///
/// # Errors
/// The call's; `EBADF` when it is not open.
pub fn set_posix_lock(number: RawFd, lock: &libc::flock) -> io::Result<()> {
    // SAFETY: the pointer is to a live flock. A lock on a descriptor closes and moves none.
    check(unsafe { libc::fcntl(number, libc::F_SETLK, &raw const *lock) }.into()).map(drop)
}
