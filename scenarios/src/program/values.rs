//! The values of arguments: locks, seals, marks, devices.

/// Who asks for a lock on a file, and how it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LockKind {
    /// `fcntl(F_SETLK)`: belongs to the process
    Posix,
    /// `fcntl(F_OFD_SETLK)`: belongs to the open file description
    Ofd,
    /// flock(2)
    Flock,
    /// `fcntl(F_SETLEASE)`
    Lease,
}

/// The bytes that a POSIX or an OFD lock is on (fcntl(2)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockRange {
    /// The first byte, from the start of the file.
    pub start: u64,
    /// How many; 0 for all to the end of the file, however long that gets.
    pub length: u64,
}

impl LockRange {
    /// The first byte behind it; `None` where it has no end.
    pub fn end(self) -> Option<u64> {
        (self.length > 0).then(|| self.start.saturating_add(self.length))
    }
}

/// What can no longer be done with a memfd, `F_ADD_SEALS` in fcntl(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Seal {
    /// `F_SEAL_SEAL`: it gets no further seals.
    Seal,
    /// `F_SEAL_SHRINK`: it gets no shorter.
    Shrink,
    /// `F_SEAL_GROW`: it gets no longer.
    Grow,
    /// `F_SEAL_WRITE`: its contents stay.
    Write,
    /// `F_SEAL_FUTURE_WRITE`: its contents change through what is mapped by now only.
    FutureWrite,
}

/// What fanotify_mark(2) watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// `FAN_MARK_INODE`: the file.
    Inode,
    /// `FAN_MARK_MOUNT`: the mount that it is on.
    Mount,
    /// `FAN_MARK_FILESYSTEM`: its filesystem, through whichever mount.
    Filesystem,
}

/// Whether a device node is for characters or blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeviceKind {
    /// Character device
    Char,
    /// Block device
    Block,
}
