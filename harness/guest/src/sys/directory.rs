//! getdents64(2) itself. The C library's readdir(3) asks for the directory's status, sets flags and
//! seeks, all of which costs more than reading a small directory.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::check;

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The name.
    pub name: Vec<u8>,
    /// It is a directory, or the filesystem does not tell what it is (`DT_UNKNOWN`). What is
    /// mounted on it is a directory if and only if it is one itself, mount(2).
    pub may_be_directory: bool,
}

/// Where the fields of `struct linux_dirent64` are: inode and offset of eight bytes each, length,
/// type, name.
const LENGTH: usize = 16;
const TYPE: usize = 18;
const NAME: usize = 19;

/// The names from the directory's position on, without `.` and `..`, in the filesystem's order.
/// `dir` is open for reading; one that was removed (ENOENT) has none.
///
/// # Errors
/// The call's.
pub fn entries(dir: BorrowedFd<'_>) -> io::Result<Vec<Entry>> {
    let mut buffer = vec![0u8; 16 << 10];
    let mut all = Vec::new();
    loop {
        let count = match read_entries(dir, &mut buffer) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => 0,
            count => count?,
        };
        if count == 0 {
            return Ok(all);
        }
        let mut rest = &buffer[..count];
        while let Some((entry, behind)) = split(rest) {
            all.extend(Some(entry).filter(|entry| entry.name != b"." && entry.name != b".."));
            rest = behind;
        }
    }
}

/// One call with a buffer for a few entries, so that a directory with more keeps a position in
/// between.
///
/// # Errors
/// The call's, and a directory without entries left.
pub fn read_some_entries(dir: BorrowedFd<'_>) -> io::Result<()> {
    match read_entries(dir, &mut [0u8; 96])? {
        0 => Err(io::Error::other("no entries left")),
        _ => Ok(()),
    }
}

fn read_entries(dir: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the buffer is as long as we say.
    let count = unsafe { libc::syscall(libc::SYS_getdents64, dir.as_raw_fd(), buffer.as_mut_ptr(), buffer.len()) };
    usize::try_from(check(count)?).map_err(io::Error::other)
}

/// The first entry and what is behind it.
fn split(bytes: &[u8]) -> Option<(Entry, &[u8])> {
    let length = u16::from_ne_bytes(bytes.get(LENGTH..TYPE)?.try_into().ok()?);
    let (first, rest) = bytes.split_at_checked(length.into())?;
    let kind = *first.get(TYPE)?;
    let name = CStr::from_bytes_until_nul(first.get(NAME..)?).ok()?.to_bytes().to_vec();
    let may_be_directory = matches!(kind, libc::DT_DIR | libc::DT_UNKNOWN);
    Some((Entry { name, may_be_directory }, rest))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::fd::AsFd;
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn every_name_is_read_also_where_one_call_does_not_do() {
        let dir = std::env::temp_dir().join(format!("zdtm-detached-entries-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let mut expected: Vec<Entry> = (0..300)
            .map(|number| {
                let name = format!("{number:0100}");
                let may_be_directory = number % 3 == 0;
                let path = dir.join(&name);
                let make = if may_be_directory { fs::create_dir } else { |path: PathBuf| fs::write(path, "") };
                make(path).unwrap();
                Entry { name: name.into_bytes(), may_be_directory }
            })
            .collect();
        let opened = File::open(&dir).unwrap();
        let mut found = entries(opened.as_fd()).unwrap();
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(entries(opened.as_fd()).unwrap(), [], "a removed one has no names");
        assert!(entries(File::open("/proc/self/stat").unwrap().as_fd()).is_err(), "no directory");
    }
}
