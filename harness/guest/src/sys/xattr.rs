//! Extended attributes, xattr(7).

use std::ffi::CStr;
use std::io;

/// The most that the kernel gives for a list of names or a value (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`), in bytes.
const XATTR_MAX: usize = 64 << 10;

fn filled(length: libc::ssize_t, mut buffer: Vec<u8>) -> io::Result<Vec<u8>> {
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    buffer.truncate(length);
    Ok(buffer)
}

/// listxattr(2): the names, each with a NUL behind it.
///
/// # Errors
/// The call's.
pub fn listxattr(path: &CStr) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; XATTR_MAX];
    // SAFETY: `path` ends in NUL, the buffer is as long as we say.
    let length = unsafe { libc::listxattr(path.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) };
    filled(length, buffer)
}

/// getxattr(2): one value.
///
/// # Errors
/// The call's.
pub fn getxattr(path: &CStr, name: &CStr) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; XATTR_MAX];
    // SAFETY: both strings end in NUL, the buffer is as long as we say.
    let length = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) };
    filled(length, buffer)
}

/// setxattr(2): makes or replaces one value.
///
/// # Errors
/// The call's.
pub fn setxattr(path: &CStr, name: &CStr, value: &[u8]) -> io::Result<()> {
    // SAFETY: both strings end in NUL, the value is as long as we say.
    super::check(unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) }.into())
        .map(drop)
}
