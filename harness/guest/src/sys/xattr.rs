//! Extended attributes, xattr(7).

use std::ffi::CStr;
use std::io;

/// The most that the kernel gives for a list of names or a value (`XATTR_LIST_MAX`,
/// `XATTR_SIZE_MAX`), in bytes.
const XATTR_MAX: usize = 64 << 10;
/// Nearly all of them fit into this.
const USUAL: usize = 256;

/// What a call writes into a buffer; with a larger one when the first is too small.
fn filled(call: impl Fn(&mut [u8]) -> libc::ssize_t) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; USUAL];
    let mut length = call(&mut buffer);
    if length < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::ERANGE) {
        buffer.resize(XATTR_MAX, 0);
        length = call(&mut buffer);
    }
    buffer.truncate(usize::try_from(length).map_err(|_| io::Error::last_os_error())?);
    Ok(buffer)
}

/// listxattr(2): the names, each with a NUL behind it.
///
/// # Errors
/// The call's.
pub fn listxattr(path: &CStr) -> io::Result<Vec<u8>> {
    // SAFETY: `path` ends in NUL, the buffer is as long as we say.
    filled(|buffer| unsafe { libc::listxattr(path.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) })
}

/// getxattr(2): one value.
///
/// # Errors
/// The call's.
pub fn getxattr(path: &CStr, name: &CStr) -> io::Result<Vec<u8>> {
    // SAFETY: both strings end in NUL, the buffer is as long as we say.
    filled(|buffer| unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) })
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
