//! What a restore needs: a process with a chosen number, a mapping at a chosen address, a move of a
//! mount.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::check;

/// A mapping of a file at an address where nothing is yet.
///
/// # Errors
/// mmap(2)'s; `EEXIST` when something is there.
pub fn map_at(
    fd: BorrowedFd<'_>,
    address: u64,
    length: usize,
    protection: libc::c_int,
    shared: bool,
    offset: i64,
) -> io::Result<()> {
    let flags = libc::MAP_FIXED_NOREPLACE | if shared { libc::MAP_SHARED } else { libc::MAP_PRIVATE };
    // SAFETY: MAP_FIXED_NOREPLACE never takes the place of another mapping.
    let got = unsafe { libc::mmap(address as *mut libc::c_void, length, protection, flags, fd.as_raw_fd(), offset) };
    if got == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Puts bytes into a private mapping that [`map_at`] made.
///
/// # Errors
/// mprotect(2)'s.
///
/// # Safety
/// `address` comes from [`map_at`] with `length` bytes, and `bytes` lie within it and within the
/// mapped file.
pub unsafe fn fill_mapping(address: u64, length: usize, protection: libc::c_int, bytes: &[u8]) -> io::Result<()> {
    let start = address as *mut libc::c_void;
    // SAFETY: the caller answers for the range; it is ours alone.
    check(unsafe { libc::mprotect(start, length, libc::PROT_READ | libc::PROT_WRITE) }.into())?;
    // SAFETY: writable now, and as long as the caller says.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), start.cast(), bytes.len()) };
    // SAFETY: as above.
    check(unsafe { libc::mprotect(start, length, protection) }.into()).map(drop)
}

/// The bytes that a pipe holds, left in it: tee(2) from `from`, its reading end, to `to`, an empty
/// pipe's writing end.
///
/// # Errors
/// The call's; an empty pipe is `EAGAIN`.
pub fn tee(from: BorrowedFd<'_>, to: BorrowedFd<'_>, limit: usize) -> io::Result<usize> {
    let flags = libc::SPLICE_F_NONBLOCK;
    // SAFETY: no pointers.
    let count = check(unsafe { libc::syscall(libc::SYS_tee, from.as_raw_fd(), to.as_raw_fd(), limit, flags) })?;
    usize::try_from(count).map_err(io::Error::other)
}
