//! A file that the caller of a checkpointer has, too, and gives to the restored process.

use scenarios::Bytes;

/// The first number under which a restored process inherits such files.
pub const FIRST_INHERITED: i32 = 710;

/// A file that the caller has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    /// The process's mount of it, `mnt_id`.
    pub mount: u64,
    /// Its inode number.
    pub inode: u64,
    /// Its path in the namespace that the process left.
    pub path: Bytes,
}

impl External {
    /// How criu calls it: both numbers in hexadecimal.
    pub fn key(&self) -> String {
        format!("file[{:x}:{:x}]", self.mount, self.inode)
    }
}
