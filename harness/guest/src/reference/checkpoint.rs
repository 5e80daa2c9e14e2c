//! What a capture keeps of a process: descriptions of its objects, which travel as JSON.
//!
//! Nothing in it is alive: no descriptor, no number that ends with the process. Mounts of the
//! process's namespace are named by their IDs, because the namespace is kept; a detached mount is
//! described so that it can be made again.

mod watches;

use protocol::observation::{FileId, FileKind};
use scenarios::Bytes;
use serde::{Deserialize, Serialize};

use crate::sys::FileHandle;
pub use watches::{MarkImage, PollImage, TargetImage, WatchImage, WatchesImage};

/// Everything about the processes of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The processes: the one that the others come from first, each behind its parent.
    pub processes: Vec<ProcessImage>,
    /// The executable, from the root of the mount namespace.
    pub executable: Bytes,
    /// The mounts that objects are on.
    pub mounts: Vec<MountImage>,
    /// The files.
    pub files: Vec<FileImage>,
    /// Inodes that have lost the name that they were opened by.
    pub inodes: Vec<InodeImage>,
    /// Open file descriptions.
    pub descriptions: Vec<DescriptionImage>,
}

/// What a process has of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessImage {
    /// Its process ID as it sees it.
    pub number: i32,
    /// Its parent: an index into the processes; of the first one itself.
    pub parent: usize,
    /// What waitpid(2) gives of it, where it has ended: then it has nothing of what follows.
    pub ended: Option<i32>,
    /// Descriptors.
    pub descriptors: Vec<DescriptorImage>,
    /// Mappings of files, but for the executable's.
    pub mappings: Vec<MappingImage>,
    /// The working directory: an index into `files`.
    pub cwd: usize,
    /// The root directory: an index into `files`.
    pub root: usize,
}

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MountImage {
    /// One in the mountinfo of the kept namespace, by its ID there.
    Visible {
        /// `mnt_id`
        id: u64,
    },
    /// One of the namespace that the process left, which lives: files on it are inherited.
    Elsewhere,
    /// One that has to be made again.
    Detached(DetachedMount),
    /// The kernel's own, for memfds.
    Internal,
}

/// A detached mount: a bind of a part of a visible one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetachedMount {
    /// The ID of a visible mount of the same superblock that shows the root.
    pub base: u64,
    /// The root, from that of the base; empty for the same.
    pub root: Bytes,
    /// Where the root was removed from its directory: an index into `inodes`.
    pub removed_root: Option<usize>,
    /// `MOUNT_ATTR_*` bits.
    pub attributes: u64,
}

/// A file as an object has it: a path on a mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileImage {
    /// The first object that has it, for messages.
    pub object: String,
    /// An index into `mounts`.
    pub mount: usize,
    /// The path from the mount's root, without a slash in front, without ` (deleted)`; empty for
    /// the root itself.
    pub path: Bytes,
    /// The object at this path.
    pub name: NameImage,
}

/// The object at a file's path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NameImage {
    /// The file itself.
    Live {
        /// Which must be found there.
        file: FileId,
        /// What it is.
        kind: FileKind,
    },
    /// The entry was removed.
    Removed {
        /// The inode: an index into `inodes`.
        inode: usize,
        /// The directories above, the nearest first, as far as they were removed too. The process
        /// may not be able to see which one it was: then any will do.
        above: Vec<Option<FileId>>,
    },
    /// There never was an entry (`O_TMPFILE`).
    Never {
        /// The inode.
        inode: usize,
        /// As for a removed entry.
        above: Vec<Option<FileId>>,
    },
    /// A memfd: the path is its label.
    Memfd {
        /// The inode.
        inode: usize,
        /// `F_GET_SEALS`
        seals: i32,
    },
    /// A socket has no path, and neither has an instance of epoll, inotify or fanotify.
    Pathless {
        /// Which.
        file: FileId,
    },
}

/// An inode without the name that it was opened by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InodeImage {
    /// The visible mount that it is put back through; 0 for a memfd.
    pub base: u64,
    /// Which file it was.
    pub file: FileId,
    /// Where to get it.
    pub source: InodeSource,
}

/// Where an inode comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InodeSource {
    /// It has other names and stays where it is: by its handle, or by one of the names, from the
    /// root of the base.
    Linked {
        /// Its handle.
        handle: Option<FileHandle>,
        /// One of its other names.
        path: Option<Bytes>,
    },
    /// It ends with the process and is made again.
    Contents(Box<Contents>),
}

impl Contents {
    /// An empty directory of root's.
    pub fn directory() -> Self {
        Contents {
            kind: FileKind::Directory,
            mode: 0o755,
            uid: 0,
            gid: 0,
            rdev: 0,
            size: 0,
            times: [(0, 0); 2],
            xattrs: Vec::new(),
            extents: Vec::new(),
            target: Bytes::default(),
        }
    }
}

impl Checkpoint {
    /// The files that the restored process inherits, with their indices, in the order of the
    /// numbers.
    pub fn inherited(&self) -> impl Iterator<Item = (usize, &FileImage)> {
        let files = self.files.iter().enumerate();
        files.filter(|(_, file)| matches!(self.mounts[file.mount], MountImage::Elsewhere))
    }

    /// The files that are made again.
    pub fn contents(&mut self) -> impl Iterator<Item = &mut Contents> {
        self.inodes.iter_mut().filter_map(|inode| match &mut inode.source {
            InodeSource::Contents(contents) => Some(&mut **contents),
            InodeSource::Linked { .. } => None,
        })
    }
}

impl InodeSource {
    /// What it is; only files are linked.
    pub fn kind(&self) -> FileKind {
        match self {
            InodeSource::Contents(contents) => contents.kind,
            InodeSource::Linked { .. } => FileKind::File,
        }
    }
}

/// All of a file but its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// What it is.
    pub kind: FileKind,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number of a device node.
    pub rdev: u64,
    /// Size in bytes.
    pub size: u64,
    /// Access and modification time: seconds, nanoseconds.
    pub times: [(i64, i64); 2],
    /// Extended attributes.
    pub xattrs: Vec<(Bytes, Bytes)>,
    /// The data between the holes: offset, bytes.
    pub extents: Vec<(u64, Bytes)>,
    /// Where a symbolic link leads.
    pub target: Bytes,
}

/// An open file description.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescriptionImage {
    /// An index into `files`.
    pub file: usize,
    /// Access mode and status flags, without close-on-exec.
    pub flags: i32,
    /// The position in bytes.
    pub position: u64,
    /// What only a description of open_tree(2) or fsmount(2) has, as long as its mount was never
    /// attached: its close ends the mount.
    pub tree: Option<TreeImage>,
    /// The locks that show in its fdinfo.
    pub locks: Vec<LockImage>,
    /// Who gets its signals (`F_SETOWN`): an index into the processes.
    pub owner: Option<usize>,
    /// Which signal that is (`F_SETSIG`); 0 for `SIGIO`.
    pub signal: i32,
    /// What a named pipe holds.
    pub pipe: Bytes,
    /// Of a reader of a named pipe: it has never seen a writer, so poll(2) does not say `POLLHUP`.
    pub waits_for_writer: bool,
    /// What only sockets have.
    pub socket: Option<SocketImage>,
    /// What only instances of epoll, inotify and fanotify have.
    pub watches: Option<WatchesImage>,
}

/// A mount that was never attached and whose descriptor is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeImage {
    /// It was made in the process's namespace, where it can be copied for that (`may_copy_tree`,
    /// fs/namespace.c, Linux 6.15).
    pub can_be_copied: bool,
}

/// A Unix socket of type `SOCK_SEQPACKET` that is connected to another of the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketImage {
    /// The other end: an index into `descriptions`.
    pub peer: usize,
    /// The messages that wait in it, the oldest first.
    pub queue: Vec<MessageImage>,
}

/// A message that is still in the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageImage {
    /// What it says.
    pub bytes: Bytes,
    /// The descriptors in it: indices into `descriptions`.
    pub descriptions: Vec<usize>,
}

/// A lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockImage {
    /// Who holds it.
    pub kind: LockKind,
    /// For writing.
    pub write: bool,
    /// First byte.
    pub start: i64,
    /// Length in bytes; 0 for the whole rest.
    pub length: i64,
}

/// Who holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LockKind {
    /// The process, `fcntl(F_SETLK)`.
    Posix,
    /// The description, `fcntl(F_OFD_SETLK)`.
    Ofd,
    /// The description, flock(2).
    Flock,
    /// The description, `fcntl(F_SETLEASE)`.
    Lease,
}

/// A descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescriptorImage {
    /// Its number.
    pub number: i32,
    /// An index into `descriptions`.
    pub description: usize,
    /// Close-on-exec.
    pub cloexec: bool,
}

/// A mapping of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappingImage {
    /// The first address.
    pub start: u64,
    /// Length in bytes.
    pub length: u64,
    /// `PROT_*` bits.
    pub protection: i32,
    /// Changes go to the file.
    pub shared: bool,
    /// The file is open for writing: mprotect(2) may make the mapping writable.
    pub writable: bool,
    /// Offset in the file in bytes.
    pub offset: i64,
    /// An index into `files`.
    pub file: usize,
    /// The start of the memory, where it is not what the file holds.
    pub memory: Option<Bytes>,
}
