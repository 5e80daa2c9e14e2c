//! Groups of fanotify(7).

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use super::{check, check_fd};

const FAN_MARK_ADD: u32 = 0x1;
const FAN_MARK_MOUNT: u32 = 0x10;
const FAN_MARK_FILESYSTEM: u32 = 0x100;

/// What a mark is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FanotifyMark {
    /// A file.
    Inode,
    /// A mount.
    Mount,
    /// A filesystem.
    Filesystem,
}

/// A group.
#[derive(Debug)]
pub struct FanotifyGroup(OwnedFd);

impl From<FanotifyGroup> for OwnedFd {
    fn from(group: FanotifyGroup) -> OwnedFd {
        group.0
    }
}

impl FanotifyGroup {
    /// A group with these flags (fanotify_init(2)).
    ///
    /// # Errors
    /// The call's.
    pub fn new(flags: u32, event_flags: u32) -> io::Result<Self> {
        // SAFETY: no pointers.
        check_fd(unsafe { libc::syscall(libc::SYS_fanotify_init, flags, event_flags) }).map(FanotifyGroup)
    }

    /// Adds a mark, with further `FAN_MARK_*` flags, on what `path` leads to from the working
    /// directory (fanotify_mark(2)).
    ///
    /// # Errors
    /// The call's.
    pub fn mark(&self, mark: FanotifyMark, flags: u32, events: u64, path: &CStr) -> io::Result<()> {
        let what = match mark {
            FanotifyMark::Inode => 0,
            FanotifyMark::Mount => FAN_MARK_MOUNT,
            FanotifyMark::Filesystem => FAN_MARK_FILESYSTEM,
        };
        let (group, flags) = (self.0.as_raw_fd(), FAN_MARK_ADD | what | flags);
        // SAFETY: `path` ends in NUL.
        check(unsafe { libc::syscall(libc::SYS_fanotify_mark, group, flags, events, libc::AT_FDCWD, path.as_ptr()) })
            .map(drop)
    }
}
