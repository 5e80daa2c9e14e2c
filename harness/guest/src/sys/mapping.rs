//! Mappings of files, mmap(2).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::sys::stat::fstat;

use super::check;

const PAGE: usize = 4096;

/// One page of a file, mapped for as long as the process lives; its address.
///
/// # Errors
/// mmap(2)'s.
pub fn map_page(fd: BorrowedFd<'_>, shared: bool, write: bool) -> io::Result<u64> {
    let protection = libc::PROT_READ | if write { libc::PROT_WRITE } else { 0 };
    let flags = if shared { libc::MAP_SHARED } else { libc::MAP_PRIVATE };
    // SAFETY: a new mapping at an address that the kernel chooses; nothing else is there.
    let address = unsafe { libc::mmap(std::ptr::null_mut(), PAGE, protection, flags, fd.as_raw_fd(), 0) };
    if address == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(address as u64) }
}

/// Takes away what [`map_page`] made, or what a restore made of it.
///
/// # Errors
/// munmap(2)'s.
pub fn unmap_page(address: u64) -> io::Result<()> {
    let address = usize::try_from(address).map_err(io::Error::other)?;
    // SAFETY: the page is a program's, which Rust knows nothing of: no reference goes there.
    check(unsafe { libc::munmap(std::ptr::with_exposed_provenance_mut(address), PAGE) }.into()).map(drop)
}

/// Allows writing to what [`map_page`] made (mprotect(2)).
///
/// # Errors
/// The call's: `EACCES` for a shared mapping of a file that is not open for writing.
pub fn make_page_writable(address: u64) -> io::Result<()> {
    let address = usize::try_from(address).map_err(io::Error::other)?;
    let start = std::ptr::with_exposed_provenance_mut(address);
    // SAFETY: the page is a program's, as for `unmap_page`.
    check(unsafe { libc::mprotect(start, PAGE, libc::PROT_READ | libc::PROT_WRITE) }.into()).map(drop)
}

/// A mapping to be made.
#[derive(Clone, Copy, Debug)]
pub struct MappingRequest<'a> {
    /// The first address.
    pub address: u64,
    /// Length in bytes.
    pub length: u64,
    /// `PROT_*` bits.
    pub protection: libc::c_int,
    /// Changes go to the file.
    pub shared: bool,
    /// Offset in the file in bytes.
    pub offset: i64,
    /// The start of the memory, where it is not what the file holds.
    pub memory: Option<&'a [u8]>,
}

/// Maps a file at an address where nothing is yet.
///
/// # Errors
/// Those of mmap(2) and mprotect(2): `EEXIST` when something is there. `InvalidInput` for memory
/// that is longer than the mapping or reaches behind the end of the file.
pub fn map_at(fd: BorrowedFd<'_>, request: MappingRequest<'_>) -> io::Result<()> {
    let MappingRequest { address, protection, shared, offset, .. } = request;
    let length = usize::try_from(request.length).map_err(io::Error::other)?;
    let start = address as *mut libc::c_void;
    let flags = libc::MAP_FIXED_NOREPLACE | if shared { libc::MAP_SHARED } else { libc::MAP_PRIVATE };
    // SAFETY: MAP_FIXED_NOREPLACE never takes the place of another mapping.
    let got = unsafe { libc::mmap(start, length, protection, flags, fd.as_raw_fd(), offset) };
    if got == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let Some(bytes) = request.memory else { return Ok(()) };
    let in_file = fstat(fd)?.st_size.saturating_sub(offset);
    if bytes.len() > length || i64::try_from(bytes.len()).map_or(true, |bytes| bytes > in_file) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: the range was mapped right above; nothing else of this process is there.
    check(unsafe { libc::mprotect(start, length, libc::PROT_READ | libc::PROT_WRITE) }.into())?;
    // SAFETY: writable now, and long enough, as was checked.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), start.cast(), bytes.len()) };
    // SAFETY: as for the first mprotect.
    check(unsafe { libc::mprotect(start, length, protection) }.into()).map(drop)
}
