//! The steps of a program. Each variant names its system call; the text form of
//! each is in `docs/AUTHORING.md`.
//!
//! Paths are relative to the program's top directory, or to a descriptor. An *object* is what a
//! program holds and a checkpoint must preserve; steps that make one give it a name.

mod filesystem;
mod overlay;
mod process;
mod queues;
mod values;

use std::collections::BTreeSet;
use std::fmt;

pub use filesystem::Filesystem;
pub use overlay::OverlaySettings;
pub use process::FIRST_PROCESS;
pub use queues::Queues;
pub use values::{DeviceKind, LockKind, LockRange, Mark, Seal};

use crate::{Bytes, Errno};

/// A program: what the process under test does before it is checkpointed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// The steps, in order, each with its line in the text (1-based; 0 without a text).
    pub steps: Vec<Line>,
    /// What others change in the tree between dump and restore (lifecycle `changed-tree`), each
    /// with its line.
    pub changes: Vec<Line>,
}

impl Program {
    /// A program whose tree others leave alone.
    pub fn of(steps: Vec<Line>) -> Self {
        Program { steps, changes: Vec::new() }
    }

    /// The same changes around other steps.
    pub fn with_steps(&self, steps: Vec<Line>) -> Self {
        Program { steps, changes: self.changes.clone() }
    }

    /// The filesystems that it mounts, by the kernel's names: `ext4`, `overlay`.
    pub fn filesystems(&self) -> BTreeSet<String> {
        let filesystem = |step: &Step| match step {
            Step::Mount { filesystem, .. } | Step::NewTree { filesystem, .. } => Some(filesystem.to_string()),
            Step::Overlay { .. } => Some("overlay".to_owned()),
            _ => None,
        };
        self.steps.iter().filter_map(|line| filesystem(&line.step)).collect()
    }
}

/// A step and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// 1-based line number in the scenario file.
    pub number: usize,
    /// What is done.
    pub step: Step,
}

/// The name of an object: `[a-z][a-z0-9_-]*`. `cwd`, `root` and `exe` exist from the start.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(pub String);

/// A path: relative to the program's top directory (`base` none), or to the directory that a
/// descriptor names (`fd0:d/f`). An empty path with a base is the descriptor itself
/// (`AT_EMPTY_PATH`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The descriptor that the path starts from, if not the top directory.
    pub base: Option<ObjectName>,
    /// The path itself; never starts with `/`.
    pub path: Bytes,
}

/// How a subvolume is named when it is mounted, btrfs(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subvolume {
    /// `subvol=`: by its path from the top of the filesystem.
    Path(Bytes),
    /// `subvolid=`: by its number; the top of the filesystem is 5, others are counted from 256 on
    /// in the order in which they are made.
    Id(u64),
}

/// An attribute of a mount, mount_setattr(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MountAttribute {
    /// Read-only mount
    Ro,
    /// Set-user-ID bits are ignored
    Nosuid,
    /// Device nodes cannot be opened
    Nodev,
    /// Nothing can be executed
    Noexec,
    /// Access times stand still
    Noatime,
    /// Access times move only after a change (the kernel's default)
    Relatime,
    /// Access times always move
    Strictatime,
    /// Access times of directories stand still
    Nodiratime,
    /// Symbolic links are not followed
    Nosymfollow,
}

/// How mounts and unmounts spread, mount_namespaces(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Propagation {
    /// A new peer group
    Shared,
    /// Receives from its former peers
    Slave,
    /// Neither sends nor receives
    Private,
    /// Private, and cannot be bound
    Unbindable,
}

/// How a file is opened, open(2). The first three are the access mode; read-only when none is
/// named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OpenFlag {
    /// `O_RDONLY`
    Rdonly,
    /// `O_WRONLY`
    Wronly,
    /// `O_RDWR`
    Rdwr,
    /// `O_PATH`
    Path,
    /// `O_DIRECTORY`
    Directory,
    /// `O_NOFOLLOW`
    Nofollow,
    /// `O_APPEND`
    Append,
    /// `O_NONBLOCK`
    Nonblock,
    /// `O_DIRECT`
    Direct,
    /// `O_SYNC`
    Sync,
    /// `O_NOATIME`
    Noatime,
    /// `O_CLOEXEC`
    Cloexec,
    /// `O_CREAT`, mode 0644
    Create,
    /// `O_EXCL`
    Exclusive,
    /// `O_TRUNC`
    Truncate,
    /// `O_TMPFILE`: a file without a name in the directory
    Tmpfile,
}

/// One thing that a program does.
#[allow(missing_docs, reason = "the text form in each variant's comment names every field")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `mount FS AT [ATTRIBUTE...]`: a new filesystem; the mount point is made when it is missing.
    Mount { filesystem: Filesystem, at: Place, attributes: Vec<MountAttribute> },
    /// `mount-again OF AT [subvol=PATH | subvolid=NUMBER] [ATTRIBUTE...]`: the block device that is
    /// mounted on `of`, mounted once more.
    MountAgain { of: Place, at: Place, subvolume: Option<Subvolume>, attributes: Vec<MountAttribute> },
    /// `overlay AT lower=DIR... [upper=DIR work=DIR] [nfs-export] [SETTING=on|off...]
    /// [ATTRIBUTE...]`: overlayfs; upper and work are made when missing.
    Overlay {
        at: Place,
        lower: Vec<Place>,
        upper: Option<Place>,
        work: Option<Place>,
        nfs_export: bool,
        settings: OverlaySettings,
        attributes: Vec<MountAttribute>,
    },
    /// `bind FROM TO [ATTRIBUTE...]`, `rbind FROM TO [ATTRIBUTE...]`: the target is made when
    /// missing, a file for a file.
    Bind { from: Place, to: Place, recursive: bool, attributes: Vec<MountAttribute> },
    /// `move FROM TO`: `MS_MOVE`.
    Move { from: Place, to: Place },
    /// `remount AT [superblock] ATTRIBUTE...`: the mount has exactly these attributes from now on
    /// (`MS_REMOUNT|MS_BIND`); with `superblock` its filesystem is read-only and no mount changes,
    /// fspick(2).
    Remount { at: Place, superblock: bool, attributes: Vec<MountAttribute> },
    /// `propagation AT KIND [recursive]`
    Propagate { at: Place, kind: Propagation, recursive: bool },
    /// `umount AT`, `umount-lazy AT`: umount2(2), lazily with `MNT_DETACH`.
    Unmount { at: Place, lazy: bool },
    /// `pivot-root NEW PUT-OLD`: pivot_root(2), then the working directory is the new root.
    PivotRoot { new_root: Place, put_old: Place },
    /// `unshare-mounts [keep-old]`: unshare(2) with `CLONE_NEWNS`. Root and working directory move
    /// to the copies of their mounts; what is open, mapped or executed stays on mounts of the old
    /// namespace. That one ends with it; the one that the process started in can be kept by the
    /// process that started it.
    UnshareMounts { keep_old: bool },

    /// `mkdir P`
    Mkdir { at: Place },
    /// `write P "bytes"`: the file is made or emptied, then written.
    Write { at: Place, bytes: Bytes },
    /// `append P "bytes"`
    Append { at: Place, bytes: Bytes },
    /// `truncate P LENGTH`: in bytes; longer makes it sparse.
    Truncate { at: Place, length: u64 },
    /// `symlink "target" P`: the target is any text.
    Symlink { target: Bytes, at: Place },
    /// `link OLD NEW`: a hard link.
    Link { old: Place, new: Place },
    /// `rename OLD NEW`
    Rename { old: Place, new: Place },
    /// `unlink P`
    Unlink { at: Place },
    /// `rmdir P`
    Rmdir { at: Place },
    /// `mkfifo P`
    Mkfifo { at: Place },
    /// `mksocket P`: mknod(2) with `S_IFSOCK`, the file of a socket that was bound and is closed.
    Mksocket { at: Place },
    /// `mknod P char|block MAJOR MINOR`
    Mknod { at: Place, kind: DeviceKind, major: u32, minor: u32 },
    /// `chmod P MODE` (octal)
    Chmod { at: Place, mode: u32 },
    /// `chown P UID GID`
    Chown { at: Place, uid: u32, gid: u32 },
    /// `setxattr P NAME "value"`
    Setxattr { at: Place, name: Bytes, value: Bytes },
    /// `touch P SECONDS [NANOSECONDS]`: access and modification time.
    Touch { at: Place, seconds: i64, nanoseconds: u32 },
    /// `subvolume P`: a new btrfs subvolume.
    Subvolume { at: Place },
    /// `snapshot FROM TO [ro]`: a btrfs snapshot of a subvolume.
    Snapshot { from: Place, to: Place, read_only: bool },
    /// `delete-subvolume P`: the btrfs subvolume is removed with all that is in it.
    DeleteSubvolume { at: Place },

    /// `NAME = open P [FLAG...]`
    Open { name: ObjectName, at: Place, flags: Vec<OpenFlag> },
    /// `NAME = dup OBJECT [cloexec]`
    Dup { name: ObjectName, of: ObjectName, cloexec: bool },
    /// `NAME = memfd "label" [sealable]`: memfd_create(2), an internal mount that must not be taken
    /// for a detached one; sealable with `MFD_ALLOW_SEALING`.
    Memfd { name: ObjectName, label: Bytes, sealable: bool },
    /// `NAME = map OBJECT private|shared [write]`: one page of it, mmap(2).
    Map { name: ObjectName, of: ObjectName, shared: bool, write: bool },
    /// `NAME = socketpair`: two connected Unix sockets of type `SOCK_SEQPACKET`, socketpair(2); the
    /// first one.
    Socketpair { name: ObjectName },
    /// `NAME = peer SOCKET`: the name of the other one.
    Peer { name: ObjectName, of: ObjectName },
    /// `NAME = send SOCKET OBJECT`: a message of one byte with the descriptor in it (`SCM_RIGHTS`,
    /// unix(7)), which stays in the queue of the other socket; the object made is the descriptor in
    /// flight.
    Send { name: ObjectName, over: ObjectName, object: ObjectName },
    /// `NAME = receive SOCKET [cloexec]`: recvmsg(2), the oldest message in the queue of the
    /// socket, and the descriptor that is in it.
    Receive { name: ObjectName, over: ObjectName, cloexec: bool },
    /// `seek OBJECT OFFSET`: lseek(2) from the start.
    Seek { object: ObjectName, offset: u64 },
    /// `read OBJECT LENGTH`: must give that many bytes.
    Read { object: ObjectName, length: u64 },
    /// `write-to OBJECT "bytes"`
    WriteTo { object: ObjectName, bytes: Bytes },
    /// `read-entries OBJECT`: one getdents64(2) call with a buffer for a few entries; the position
    /// stays in between.
    ReadEntries { object: ObjectName },
    /// `lock OBJECT posix|ofd|flock|lease read|write [from=START] [length=BYTES]`
    Lock { object: ObjectName, kind: LockKind, write: bool, range: LockRange },
    /// `close OBJECT`
    Close { object: ObjectName },
    /// `chdir P`
    Chdir { at: Place },
    /// `chroot P`: paths stay relative to the program's top directory.
    Chroot { at: Place },
    /// `external OBJECT`: the caller of the checkpointer has the descriptor's file in the namespace
    /// that the process left, and gives it: `--external file[MNT:INO]` and `--inherit-fd`, criu(8).
    External { object: ObjectName },
    /// `exec`: execve(2) of the process's own program, from the mounts that it has now.
    Exec,
    /// `NAME = open-tree P [recursive] [ATTRIBUTE...]`: open_tree(2) with `OPEN_TREE_CLONE`, then
    /// mount_setattr(2) on every mount of the copy. When the descriptor is closed, the copy is
    /// dissolved unless it was attached; its mounts stay as long as something holds them.
    OpenTree { name: ObjectName, at: Place, recursive: bool, attributes: Vec<MountAttribute> },
    /// `NAME = fsmount FS [ATTRIBUTE...]`: a new filesystem that is attached nowhere, fsmount(2).
    NewTree { name: ObjectName, filesystem: Filesystem, attributes: Vec<MountAttribute> },

    /// `seal OBJECT SEAL...`: `fcntl(F_ADD_SEALS)`, of a memfd.
    Seal { object: ObjectName, seals: Vec<Seal> },
    /// `set-owner OBJECT`: `fcntl(F_SETOWN)`, the process itself gets the signals of the
    /// description.
    SetOwner { object: ObjectName },
    /// `set-signal OBJECT SIGNAL`: `fcntl(F_SETSIG)`, by its number; 0 for the default, `SIGIO`.
    SetSignal { object: ObjectName, signal: u8 },

    /// `NAME = epoll OBJECT...`: epoll_create1(2), each object watched for `EPOLLIN`.
    Epoll { name: ObjectName, of: Vec<ObjectName> },
    /// `NAME = inotify P...`: inotify_init1(2), each file watched for `IN_ATTRIB` and `IN_MODIFY`.
    Inotify { name: ObjectName, at: Vec<Place> },
    /// `NAME = fanotify MARK P`: fanotify_init(2) with `FAN_REPORT_FID`, and a mark for
    /// `FAN_CLOSE_WRITE`.
    Fanotify { name: ObjectName, mark: Mark, at: Place },

    /// `fork PROCESS`: fork(2). The new process has copies of the descriptors and mappings, under
    /// the same names.
    Fork { process: ObjectName },
    /// `as PROCESS`: this process carries out the steps from here on, and its objects are meant.
    As { process: ObjectName },

    /// `exit PROCESS`: it ends, with status 0. Its parent does not wait: it stays a zombie, which
    /// holds nothing, neither files nor directories.
    Exit { process: ObjectName },

    /// `assert OBJECT CLAIM...`: checked right before the first observation, where all steps are
    /// done.
    Assert { object: ObjectName, claim: Claim },
}

impl Step {
    /// Whether the process must have a mount namespace of its own for it: what it does to the
    /// namespace would be done to the agent's.
    pub fn needs_own_namespace(&self) -> bool {
        matches!(self, Step::PivotRoot { .. } | Step::UnshareMounts { .. })
    }
}

/// What an `assert` line says about an object.
#[allow(missing_docs, reason = "the text form in each variant's comment names every field")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// `detached`: its mount is in fdinfo, not in mountinfo, and it is not a kernel-internal mount.
    Detached,
    /// `visible`: its mount is in mountinfo.
    Visible,
    /// `elsewhere`: its mount is in the mount namespace that the process left, which lives.
    Elsewhere,
    /// `internal`: a mount of the kernel's own (memfd, pipe, socket).
    Internal,
    /// `link "text"`: what readlink on `/proc/self/fd/N` gives. For a visible object from the
    /// program's top directory.
    Link(Bytes),
    /// `links N`: `st_nlink`.
    Links(u64),
    /// `content "bytes"`: what can be read through `/proc/self/fd/N`.
    Content(Bytes),
    /// `position N`: the file offset, in bytes.
    Position(u64),
    /// `lookup "path" ERRNO`: `openat(O_PATH)` relative to it fails so.
    LookupFails { path: Bytes, errno: Errno },
    /// `lookup "path" link "text"`: `openat(O_PATH)` relative to it reaches a file with this link
    /// text.
    LookupReaches { path: Bytes, link: Bytes },
    /// `same-file OBJECT` (`not` false), `not same-file OBJECT`
    SameFile { other: ObjectName, not: bool },
    /// `same-mount OBJECT`, `not same-mount OBJECT`
    SameMount { other: ObjectName, not: bool },
    /// `same-description OBJECT`, `not same-description OBJECT`: one open file description (kcmp(2)
    /// `KCMP_FILE`).
    SameDescription { other: ObjectName, not: bool },
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Step {
    /// The step as a line of text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(crate::text::print_step(self).trim_end())
    }
}
