//! A file that the caller of a checkpointer has, too, and gives to the restored process.

use scenarios::Bytes;

/// The first number under which a restored process inherits such files.
pub const FIRST_INHERITED: i32 = 710;

/// A file that the caller has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalFile {
    /// The process's mount of it, `mnt_id`.
    pub mount: u64,
    /// Its inode number.
    pub inode: u64,
    /// Its path in the namespace that the process left.
    pub path: Bytes,
}

impl ExternalFile {
    /// How criu calls it: both numbers in hexadecimal.
    pub fn key(&self) -> String {
        format!("file[{:x}:{:x}]", self.mount, self.inode)
    }
}

/// The directory that an absolute path is in.
pub fn directory_of(path: &Bytes) -> Bytes {
    let end = path.0.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
    Bytes::from(&path.0[..end.max(1)])
}
