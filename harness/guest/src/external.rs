//! Files and mounts that a checkpointer takes from outside: its caller has them, too, and gives
//! them to the restored process.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

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

/// A mount that criu takes from outside.
#[derive(Clone, Debug)]
pub struct ExternalMount {
    /// The mount point in the process's namespace.
    pub mount_point: PathBuf,
    /// The name that the images know it by.
    pub key: String,
    /// The directory of the agent that shows the same tree at restore.
    pub source: PathBuf,
}

impl ExternalMount {
    /// What criu takes behind `--external` at a dump.
    pub fn of_dump(&self) -> OsString {
        let mut text = OsString::from("mnt[");
        text.push(&self.mount_point);
        text.push(format!("]:{}", self.key));
        text
    }

    /// The same at a restore.
    pub fn of_restore(&self) -> OsString {
        let mut text = OsString::from(format!("mnt[{}]:", self.key));
        text.push(&self.source);
        text
    }
}

/// What a dump leaves to others.
pub struct Externals<'a> {
    /// Mounts.
    pub mounts: &'a [ExternalMount],
    /// Files that the caller has.
    pub files: Vec<ExternalFile>,
    /// Files that are given at the restore, by their keys (`assist`).
    pub keys: Vec<String>,
}

impl Externals<'_> {
    /// What criu takes behind `--external` (criu(8)).
    pub fn of_dump(&self) -> impl Iterator<Item = OsString> {
        let keys = self.files.iter().map(ExternalFile::key).chain(self.keys.iter().cloned());
        self.mounts.iter().map(ExternalMount::of_dump).chain(keys.map(OsString::from))
    }
}

/// What a restored process has from others.
pub struct Inherited<'a> {
    /// Pipes that lead out of it, with their inode numbers.
    pub pipes: Vec<(&'a OwnedFd, u64)>,
    /// Those that the caller had at the dump.
    pub files: &'a [OwnedFd],
    /// Files with their keys (`assist`).
    pub given: &'a [(String, OwnedFd)],
}

/// The directory that an absolute path is in.
pub fn directory_of(path: &Bytes) -> Bytes {
    let end = path.0.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
    Bytes::from(&path.0[..end.max(1)])
}
