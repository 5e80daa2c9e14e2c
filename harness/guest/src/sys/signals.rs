//! Who gets the signals of an open file description, and which: `F_GETOWN` and `F_GETSIG` in
//! fcntl(2).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use super::{DescriptorOf, check, copy_of, pidfd_open};

/// `F_SETSIG` and `F_GETSIG` (include/uapi/asm-generic/fcntl.h), which `libc` has not.
const SET_SIGNAL: libc::c_int = 10;
const GET_SIGNAL: libc::c_int = 11;

/// A copy of a descriptor of any process (pidfd_getfd(2)).
///
/// # Errors
/// The calls'.
pub fn descriptor_of((pid, number): DescriptorOf) -> io::Result<OwnedFd> {
    if pid == std::process::id().cast_signed() {
        return copy_of(number);
    }
    Ok(rustix::process::pidfd_getfd(pidfd_open(pid)?, number, rustix::process::PidfdGetfdFlags::empty())?)
}

/// The owner of the description behind a descriptor of this process, whichever of its variables
/// owns that: a process, a negative number for a process group, or 0.
///
/// # Errors
/// The call's; `EBADF` when it is not open, or opened with `O_PATH`.
pub fn signal_owner(number: RawFd) -> io::Result<libc::pid_t> {
    // SAFETY: no pointers. The C library gives a group as a negative number; -1 is none (init(1)'s
    // group is its own).
    let owner = check(unsafe { libc::fcntl(number, libc::F_GETOWN) }.into())?;
    libc::pid_t::try_from(owner).map_err(io::Error::other)
}

/// `struct f_owner_ex` and its type of a single thread (include/uapi/asm-generic/fcntl.h).
#[repr(C)]
struct OwnerEx {
    kind: libc::c_int,
    id: libc::pid_t,
}
const OWNER_THREAD: libc::c_int = 0;
const SET_OWNER_EX: libc::c_int = 15;
const GET_OWNER_EX: libc::c_int = 16;

/// Whether the owner is a single thread (`F_GETOWN_EX`), as in [`signal_owner`].
///
/// # Errors
/// As for [`signal_owner`].
pub fn is_owned_by_thread(number: RawFd) -> io::Result<bool> {
    let mut owner = OwnerEx { kind: 0, id: 0 };
    // SAFETY: the pointer is to a live `f_owner_ex`, which the call fills.
    check(unsafe { libc::fcntl(number, GET_OWNER_EX, &raw mut owner) }.into())?;
    Ok(owner.kind == OWNER_THREAD)
}

/// Has the calling thread, which must be the first one, get the signals of a description.
///
/// # Errors
/// The call's.
pub fn own_signals_as_thread(fd: BorrowedFd<'_>) -> io::Result<()> {
    let owner = OwnerEx { kind: OWNER_THREAD, id: std::process::id().cast_signed() };
    // SAFETY: the pointer is to a live `f_owner_ex`, which the call only reads.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), SET_OWNER_EX, &raw const owner) }.into()).map(drop)
}

/// How many bytes the pipe behind a descriptor holds (`F_GETPIPE_SZ`), as in [`signal_owner`].
///
/// # Errors
/// `EBADF` for anything but a pipe.
pub fn pipe_size(number: RawFd) -> io::Result<libc::c_int> {
    // SAFETY: no pointers.
    let size = check(unsafe { libc::fcntl(number, libc::F_GETPIPE_SZ) }.into())?;
    libc::c_int::try_from(size).map_err(io::Error::other)
}

/// The signal of the description behind a descriptor, as in [`signal_owner`]; 0 for `SIGIO`.
///
/// # Errors
/// As for [`signal_owner`].
pub fn signal_of(number: RawFd) -> io::Result<libc::c_int> {
    // SAFETY: no pointers.
    let signal = check(unsafe { libc::fcntl(number, GET_SIGNAL) }.into())?;
    libc::c_int::try_from(signal).map_err(io::Error::other)
}

/// The seals of the file behind a descriptor, as in [`signal_owner`].
///
/// # Errors
/// `EINVAL` for a file that can have none.
pub fn seals_of(number: RawFd) -> io::Result<libc::c_int> {
    // SAFETY: no pointers.
    let seals = check(unsafe { libc::fcntl(number, libc::F_GET_SEALS) }.into())?;
    libc::c_int::try_from(seals).map_err(io::Error::other)
}

/// Has this process get the signals of a description.
///
/// # Errors
/// The call's.
pub fn own_signals(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETOWN, libc::getpid()) }.into()).map(drop)
}

/// Which signal that is; 0 for `SIGIO`.
///
/// # Errors
/// The call's.
pub fn set_signal(fd: BorrowedFd<'_>, signal: libc::c_int) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), SET_SIGNAL, signal) }.into()).map(drop)
}

/// Has a signal wait instead of being delivered. Real-time signals have no name in `nix`.
///
/// # Errors
/// `EINVAL` for a number that is no signal.
pub fn block_signal(signal: libc::c_int) -> io::Result<()> {
    let set = set_of(signal)?;
    // SAFETY: the set is initialized, and nothing is written back.
    match unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Takes a blocked signal that waits for this thread or its process; whether there was one
/// (sigtimedwait(2)).
///
/// # Errors
/// As for [`block_signal`].
pub fn take_signal(signal: libc::c_int) -> io::Result<bool> {
    let set = set_of(signal)?;
    let no_time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: set and time are initialized, and nothing is written back.
    match check(unsafe { libc::sigtimedwait(&raw const set, std::ptr::null_mut(), &raw const no_time) }.into()) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => Ok(false),
        Err(error) => Err(error),
    }
}

fn set_of(signal: libc::c_int) -> io::Result<libc::sigset_t> {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: sigemptyset(3) initializes the set.
    check(unsafe { libc::sigemptyset(set.as_mut_ptr()) }.into())?;
    // SAFETY: initialized right above.
    let mut set = unsafe { set.assume_init() };
    // SAFETY: the set is initialized.
    check(unsafe { libc::sigaddset(&raw mut set, signal) }.into())?;
    Ok(set)
}
