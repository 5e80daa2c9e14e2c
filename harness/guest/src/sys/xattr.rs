//! Extended attributes, xattr(7).

use std::ffi::CStr;
use std::io;

use rustix::io::Errno;

/// The most that the kernel gives for a list of names or a value (`XATTR_LIST_MAX`,
/// `XATTR_SIZE_MAX`), in bytes.
const XATTR_MAX: usize = 64 << 10;
/// Nearly all of them fit into this.
const USUAL: usize = 256;

/// What a call writes into a buffer; with a larger one when the first is too small.
fn filled(call: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; USUAL];
    let mut length = call(&mut buffer);
    if length == Err(Errno::RANGE) {
        buffer.resize(XATTR_MAX, 0);
        length = call(&mut buffer);
    }
    buffer.truncate(length?);
    Ok(buffer)
}

/// listxattr(2): the names, each with a NUL behind it.
///
/// # Errors
/// The call's.
pub fn listxattr(path: &CStr) -> io::Result<Vec<u8>> {
    filled(|buffer| rustix::fs::listxattr(path, buffer))
}

/// getxattr(2): one value.
///
/// # Errors
/// The call's.
pub fn getxattr(path: &CStr, name: &CStr) -> io::Result<Vec<u8>> {
    filled(|buffer| rustix::fs::getxattr(path, name, buffer))
}
