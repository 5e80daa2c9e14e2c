//! An observation: everything that can be seen about the objects of a program at one moment, from
//! inside (the process itself) and from outside (the agent, through `/proc/PID`, `pidfd_getfd(2)`
//! and `kcmp(2)`).
//!
//! Device, inode and mount numbers are kept as they are; what they mean after a restore (a
//! partition, never the number) is the judge's business.

pub use crate::read_error::ReadError;
use crate::together;
use serde::{Deserialize, Serialize};
use vocabulary::Bytes;
pub use vocabulary::object::{FileKind, LookupKind, MountState};

/// Everything seen at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// What the process sees of its own objects.
    pub inside: View,
    /// What the agent sees of them.
    pub outside: View,
    /// Pairs of objects that are one open file description, each in its order (kcmp(2),
    /// `KCMP_FILE`).
    pub shared_descriptions: Vec<(ObjectId, ObjectId)>,
    /// The mount table of the process, in the kernel's order (proc_pid_mountinfo(5)).
    pub mounts: Vec<Mount>,
    /// The mount table of the agent's own namespace; what a trial adds here has leaked.
    pub host_mounts: Vec<Mount>,
    /// The names below the program's top directory, mounts included, sorted by path.
    pub tree: Vec<TreeEntry>,
    /// The state of the process (proc_pid_status(5)).
    pub process: ProcessState,
    /// The other processes of the program, in the order of their forks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<OtherProcess>,
}

/// A process that the program made by fork(2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherProcess {
    /// Its name in the program.
    pub name: String,
    /// Its state.
    pub state: ProcessState,
}

/// One side's observation of the objects, sorted by [`Object`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// The objects.
    pub objects: Vec<ObjectView>,
}

/// An object and the process that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectId {
    /// 0 for the process that the program starts as, 1 for the first of [`Observation::others`].
    pub process: u32,
    /// The object.
    pub object: Object,
}

impl From<Object> for ObjectId {
    /// Of the process that the program starts as.
    fn from(object: Object) -> Self {
        ObjectId { process: 0, object }
    }
}

/// What is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Object {
    /// A descriptor, by its number.
    Fd(i32),
    /// A descriptor in flight: it was sent over a Unix socket (`SCM_RIGHTS`, unix(7)) and not
    /// received yet.
    InFlight {
        /// The number of the descriptor whose queue it is in.
        socket: i32,
        /// The how many-th in this queue, from 0, over all messages.
        nth: u32,
    },
    /// The working directory.
    Cwd,
    /// The root directory.
    Root,
    /// The executable.
    Exe,
    /// A mapping that the program made, by its start address.
    Map(u64),
}

/// Everything about one object. A field that could not be read says so with the error's name, it is
/// never left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectView {
    /// Whose it is, as in [`ObjectId::process`].
    #[serde(default, skip_serializing_if = "is_first")]
    pub process: u32,
    /// Which one.
    pub object: Object,
    /// Its name in the program, `child.fd0` for one of the process `child`; none for one that the
    /// program did not make.
    pub name: Option<String>,
    /// The link text of `/proc/PID/fd/N`, `cwd`, `root`, `exe`, or `map_files/...`.
    pub link: Bytes,
    /// What `getcwd(2)` gives; only for the working directory, only from inside.
    pub getcwd: Option<Outcome<Bytes>>,
    /// The mount it is on.
    pub mount: MountRef,
    /// What only descriptors have.
    pub descriptor: Option<Descriptor>,
    /// What only mappings have.
    pub mapping: Option<Mapping>,
    /// What only Unix sockets have: the messages that are still in the queue, the oldest first.
    pub queue: Option<Outcome<Vec<Message>>>,
    /// `statx(2)`.
    pub status: Outcome<FileStatus>,
    /// `fstatvfs(3)`.
    pub filesystem: Outcome<FilesystemStatus>,
    /// `statmount(2)` by descriptor; `None` where the kernel (before 7.0) cannot.
    pub statmount: Option<Outcome<StatMount>>,
    /// What a regular file holds, or why it could not be read.
    pub content: Option<Outcome<Content>>,
    /// Extended attributes, sorted by name.
    pub xattrs: Outcome<Vec<(Bytes, Bytes)>>,
    /// Opening it again through `/proc/self/fd/N`, once for each access mode; only from inside.
    #[serde(with = "together")]
    pub reopen: Vec<Lookup>,
    /// Relative resolution; only directories have these.
    #[serde(with = "together")]
    pub lookups: Vec<Lookup>,
}

impl ObjectView {
    /// Which object of which process.
    pub fn id(&self) -> ObjectId {
        ObjectId { process: self.process, object: self.object }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_first(process: &u32) -> bool {
    *process == 0
}

/// A value, or the error that stood in its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome<T> {
    /// It could be read.
    Ok(T),
    /// It could not.
    Err(ReadError),
}

/// A file's identity while nothing is restored in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileId {
    /// `st_dev`.
    pub device: u64,
    /// `st_ino`.
    pub inode: u64,
}

/// Which mount an object is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountRef {
    /// `mnt_id` of fdinfo, or of `statx(2)`.
    pub id: u64,
    /// Where that number stands.
    pub state: MountState,
}

/// What only descriptors have, proc_pid_fdinfo(5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// File offset in bytes.
    pub position: u64,
    /// Access mode and status flags, close-on-exec included, as the kernel prints them on amd64.
    pub flags: u32,
    /// The remaining lines (locks, epoll, inotify, fanotify), without `pos`, `flags`, `mnt_id` and
    /// `ino`.
    pub details: Vec<Bytes>,
    /// What only the process itself can ask for; only from inside, and not with `O_PATH`.
    pub control: Option<Control>,
}

/// The state of a descriptor that only fcntl(2) shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// `F_GETOWN` and `F_GETOWN_EX`
    pub owner: SignalOwner,
    /// `F_GETSIG`; 0 for `SIGIO`.
    pub signal: i32,
    /// `F_GET_SEALS`; none for a file that can have none.
    pub seals: Option<i32>,
    /// `F_GETPIPE_SZ`, in bytes; none for anything but a pipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipe_size: Option<i32>,
}

/// Who gets the signals of an open file description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignalOwner {
    /// No process.
    Unset,
    /// The process that has the descriptor.
    Itself,
    /// Its first thread alone (`F_OWNER_TID`).
    ItsThread,
    /// Another process, or a group.
    Other,
}

/// A message in the queue of a socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// What it says.
    pub bytes: Bytes,
    /// How many descriptors are in it; each is an object, [`Object::InFlight`].
    pub descriptors: u32,
}

/// A mapping, proc_pid_maps(5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// Length in bytes.
    pub length: u64,
    /// `rwxp` letters; the last is `s` for shared.
    pub permissions: String,
    /// Offset in the file in bytes.
    pub offset: u64,
    /// SHA-256 of the mapped memory, in hexadecimal; only from inside.
    pub sha256: Option<String>,
}

/// `statx(2)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStatus {
    /// Device and inode.
    pub file: FileId,
    /// What it is.
    pub kind: FileKind,
    /// Permission bits, set-id and sticky included.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Number of hard links.
    pub links: u64,
    /// Device number of a device node.
    pub rdev: u64,
    /// Last change of the contents: seconds, nanoseconds.
    pub mtime: (i64, u32),
    /// Last change of the inode: seconds, nanoseconds.
    pub ctime: (i64, u32),
    /// `STATX_ATTR_*` bits that chattr(1) sets: append only, immutable, no dump (statx(2)).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attributes: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(bits: &u64) -> bool {
    *bits == 0
}

/// `fstatvfs(3)` and `fstatfs(2)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesystemStatus {
    /// `f_type`, the magic number.
    pub magic: u64,
    /// `ST_RDONLY`, `ST_NOSUID`, ... of the mount.
    pub flags: u64,
}

/// What `statmount(2)` tells by descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatMount {
    /// Filesystem type.
    pub fs_type: Bytes,
    /// The mount's root, from the superblock's.
    pub root: Bytes,
    /// `MOUNT_ATTR_*` bits.
    pub attributes: u64,
    /// `MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE`, `MS_UNBINDABLE` bits.
    pub propagation: u64,
    /// The mount's source.
    pub source: Bytes,
}

/// What a regular file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Bytes read.
    pub length: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
    /// The first bytes, for people (at most 64).
    pub head: Bytes,
    /// Where it has holes: offset and length in bytes (lseek(2), `SEEK_HOLE`); only of objects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holes: Vec<(u64, u64)>,
}

/// One lookup relative to an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookup {
    /// The path, relative to the object.
    pub path: Bytes,
    /// How it was looked up.
    pub how: LookupKind,
    /// Where it led.
    pub outcome: Outcome<Reached>,
}

/// The file that a lookup reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// Its identity.
    pub file: FileId,
    /// What it is.
    pub kind: FileKind,
    /// The mount it was reached on.
    pub mount: MountRef,
    /// Its link text.
    pub link: Bytes,
}

/// A line of mountinfo, proc_pid_mountinfo(5); names unescaped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Mount ID.
    pub id: u64,
    /// ID of the parent mount.
    pub parent: u64,
    /// Device of the superblock.
    pub major: u32,
    /// Device of the superblock.
    pub minor: u32,
    /// Root of the mount in the filesystem.
    pub root: Bytes,
    /// Mount point from the root of the process.
    pub mount_point: Bytes,
    /// Options of the mount.
    pub options: Bytes,
    /// `shared:N`, `master:N`, `propagate_from:N`, `unbindable`.
    pub propagation: Vec<Bytes>,
    /// Filesystem type.
    pub fs_type: Bytes,
    /// Source.
    pub source: Bytes,
    /// Options of the superblock.
    pub super_options: Bytes,
}

/// A name below the program's top directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeEntry {
    /// Path from the top directory; empty for the top itself.
    pub path: Bytes,
    /// Its status, or why it is unknown.
    pub status: Outcome<FileStatus>,
    /// The target of a symbolic link.
    pub target: Option<Bytes>,
    /// What a regular file holds.
    pub content: Option<Outcome<Content>>,
}

/// The state of the process, proc_pid_status(5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessState {
    /// `State`, the letter: `S` for a process that waits for the agent; `T` for a stopped one.
    pub state: String,
    /// `TracerPid`, 0 without a tracer.
    pub tracer: u32,
    /// Process ID in the agent's namespace.
    pub pid: u32,
    /// Process ID as the process sees it.
    pub inner_pid: u32,
    /// `SigPnd`, `ShdPnd`, `SigBlk`, `SigIgn`, `SigCgt`, in that order.
    pub signals: Vec<String>,
    /// Name, umask, user, groups, capabilities; and its limits, proc_pid_limits(5).
    pub attributes: Vec<ProcessAttribute>,
}

/// One property of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessAttribute {
    /// As the kernel calls it: `Umask`, `Max file size`.
    pub name: String,
    /// As the kernel shows it: `0022`; of a limit `SOFT HARD`.
    pub value: String,
}
