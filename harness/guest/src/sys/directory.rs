//! getdents64(2) itself. The C library's readdir(3) asks for the directory's status, sets flags and
//! seeks, all of which costs more than reading a small directory.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

use rustix::fs::{FileType, RawDir};
use rustix::io::Errno;

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The name.
    pub name: Vec<u8>,
    /// It is a directory, or the filesystem does not tell what it is (`DT_UNKNOWN`). What is
    /// mounted on it is a directory if and only if it is one itself, mount(2).
    pub may_be_directory: bool,
}

/// The names from the directory's position on, without `.` and `..`, in the filesystem's order.
/// `dir` is open for reading; one that was removed (ENOENT) has none.
///
/// # Errors
/// The call's.
pub fn entries(dir: BorrowedFd<'_>) -> io::Result<Vec<Entry>> {
    let mut buffer = vec![MaybeUninit::uninit(); 16 << 10];
    let (mut read, mut all) = (RawDir::new(dir, &mut buffer), Vec::new());
    loop {
        match read.next() {
            None | Some(Err(Errno::NOENT)) => return Ok(all),
            Some(entry) => {
                let entry = entry?;
                let name = entry.file_name().to_bytes().to_vec();
                let may_be_directory = matches!(entry.file_type(), FileType::Directory | FileType::Unknown);
                all.extend(Some(Entry { name, may_be_directory }).filter(|one| one.name != b"." && one.name != b".."));
            }
        }
    }
}

/// One call with a buffer for a few entries, so that a directory with more keeps a position in
/// between.
///
/// # Errors
/// The call's, and a directory without entries left.
pub fn read_some_entries(dir: BorrowedFd<'_>) -> io::Result<()> {
    // Entries start at multiples of eight: 96 bytes of them, wherever the buffer stands.
    let mut buffer = [MaybeUninit::uninit(); 96 + 7];
    match RawDir::new(dir, &mut buffer).next() {
        None => Err(io::Error::other("no entries left")),
        Some(entry) => Ok(entry.map(drop)?),
    }
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
