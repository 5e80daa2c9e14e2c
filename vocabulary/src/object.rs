//! What is observed of an object: the type of its file, where its mount can be seen, and how paths
//! are looked up from it. The model predicts it with the same words.

use serde::{Deserialize, Serialize};

/// The type of a file, inode(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// Regular file
    File,
    /// Directory
    Directory,
    /// Symbolic link
    Symlink,
    /// Named or unnamed pipe
    Fifo,
    /// Socket
    Socket,
    /// Character device
    CharDevice,
    /// Block device
    BlockDevice,
    /// None of the above (anonymous inodes)
    Other,
}

/// Where a mount can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MountState {
    /// In the mountinfo of the process.
    Visible,
    /// In no mountinfo: detached.
    Detached,
    /// In the mountinfo of the agent only.
    Elsewhere,
    /// A mount of the kernel's own: pipes, sockets, memfds.
    Internal,
}

/// How a path is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LookupKind {
    /// `openat(O_PATH)`
    Plain,
    /// `openat(O_PATH|O_NOFOLLOW)`
    Nofollow,
    /// `openat2(RESOLVE_BENEATH)`
    Beneath,
    /// `openat2(RESOLVE_IN_ROOT)`
    InRoot,
    /// `openat2(RESOLVE_NO_XDEV)`
    NoXdev,
    /// Opened again through `/proc/self/fd/N`, read-only
    ReopenRead,
    /// Opened again through `/proc/self/fd/N`, write-only
    ReopenWrite,
    /// Opened again through `/proc/self/fd/N`, for reading and writing
    ReopenReadWrite,
}

impl LookupKind {
    /// Those that are made from a directory, in the observer's order.
    pub const FROM_DIRECTORY: [Self; 5] = [Self::Plain, Self::Nofollow, Self::Beneath, Self::InRoot, Self::NoXdev];
}
