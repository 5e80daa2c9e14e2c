//! Files by handle (name_to_handle_at(2), open_by_handle_at(2)), and which directory entry an open
//! file was opened by (fanotify(7), inotify(7)).

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use super::{check, check_fd};

/// `MAX_HANDLE_SZ` of `linux/exportfs.h`.
const HANDLE_MAX: usize = 128;

/// `struct file_handle`.
#[repr(C)]
struct RawHandle {
    bytes: u32,
    kind: i32,
    handle: [u8; HANDLE_MAX],
}

/// A file's handle: names an inode on its filesystem for as long as that has it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FileHandle {
    /// `handle_type`
    pub kind: i32,
    /// `f_handle`
    pub bytes: Vec<u8>,
}

/// name_to_handle_at(2) of an open file.
///
/// # Errors
/// The call's: `EOPNOTSUPP` where the filesystem has no handles that can be opened.
pub fn handle_of(fd: BorrowedFd<'_>) -> io::Result<FileHandle> {
    let mut raw =
        RawHandle { bytes: u32::try_from(HANDLE_MAX).map_err(io::Error::other)?, kind: 0, handle: [0; HANDLE_MAX] };
    let mut mount_id: libc::c_int = 0;
    // SAFETY: an empty path with AT_EMPTY_PATH; the handle has as much room as it says.
    check(unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            fd.as_raw_fd(),
            c"".as_ptr(),
            &raw mut raw,
            &raw mut mount_id,
            libc::AT_EMPTY_PATH,
        )
    })?;
    let length = usize::try_from(raw.bytes).map_err(io::Error::other)?.min(HANDLE_MAX);
    Ok(FileHandle { kind: raw.kind, bytes: raw.handle[..length].to_vec() })
}

/// open_by_handle_at(2): an `O_PATH` descriptor of the file, on the mount that `mount` is on. Which
/// of its names it has there is chance.
///
/// # Errors
/// The call's: `ESTALE` when the filesystem has no such file.
pub fn open_handle(mount: BorrowedFd<'_>, handle: &FileHandle) -> io::Result<OwnedFd> {
    let mut raw = RawHandle {
        bytes: u32::try_from(handle.bytes.len()).map_err(io::Error::other)?,
        kind: handle.kind,
        handle: [0; HANDLE_MAX],
    };
    raw.handle.get_mut(..handle.bytes.len()).ok_or(io::ErrorKind::InvalidInput)?.copy_from_slice(&handle.bytes);
    let flags = libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: the handle is as long as it says.
    check_fd(unsafe { libc::syscall(libc::SYS_open_by_handle_at, mount.as_raw_fd(), &raw const raw, flags) })
}

const FAN_CLOEXEC: libc::c_uint = 1;
const FAN_NONBLOCK: libc::c_uint = 2;
const FAN_REPORT_DFID_NAME: libc::c_uint = 0xc00;
const FAN_MARK_ADD: libc::c_uint = 1;
const FAN_MARK_REMOVE: libc::c_uint = 2;
const FAN_OPEN: u64 = 0x20;
/// `FAN_EVENT_INFO_TYPE_DFID_NAME`
const INFO_DIRECTORY_AND_NAME: u8 = 2;

/// Tells through which directory entry a file is opened (`FAN_REPORT_DFID_NAME`, Linux 5.9). One
/// for many files: to let go of it takes the kernel a grace period (`fsnotify_destroy_group` in
/// fs/notify/group.c).
#[derive(Debug)]
pub struct EntryWatch {
    group: File,
}

impl EntryWatch {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// Those of `fanotify_init`.
    pub fn new() -> io::Result<Self> {
        let flags = FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_DFID_NAME;
        let event_flags = libc::O_RDONLY | libc::O_CLOEXEC;
        // SAFETY: no pointers.
        let group = check_fd(unsafe { libc::syscall(libc::SYS_fanotify_init, flags, event_flags) })?;
        Ok(EntryWatch { group: group.into() })
    }

    /// Whether the file that `path` below `dir` leads to can be watched; from now on it is.
    pub fn begin(&self, dir: BorrowedFd<'_>, path: &CStr) -> bool {
        self.mark(FAN_MARK_ADD, dir, path).is_ok()
    }

    /// The directory and the name of the entry that the file was opened by since; `None` when it
    /// was not opened, or when the entry is not known. It is watched no longer.
    ///
    /// # Errors
    /// Those of reading, and of the call.
    pub fn end(&self, dir: BorrowedFd<'_>, path: &CStr) -> io::Result<Option<(FileHandle, Vec<u8>)>> {
        let mut buffer = [0; 4096];
        let entry = match (&self.group).read(&mut buffer) {
            Ok(length) => Ok(entry_of(&buffer[..length])),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        };
        self.mark(FAN_MARK_REMOVE, dir, path)?;
        entry
    }

    fn mark(&self, how: libc::c_uint, dir: BorrowedFd<'_>, path: &CStr) -> io::Result<()> {
        // SAFETY: `path` ends in NUL.
        check(unsafe {
            libc::syscall(
                libc::SYS_fanotify_mark,
                self.group.as_raw_fd(),
                how,
                FAN_OPEN,
                dir.as_raw_fd(),
                path.as_ptr(),
            )
        })
        .map(drop)
    }
}

/// The first event's `struct fanotify_event_info_fid`: a header, `fsid`, `struct file_handle`, a
/// name that ends in NUL.
fn entry_of(event: &[u8]) -> Option<(FileHandle, Vec<u8>)> {
    let word = |at: usize| Some(u32::from_ne_bytes(event.get(at..at + 4)?.try_into().ok()?));
    let event_end = usize::try_from(word(0)?).ok()?;
    let mut at = usize::from(u16::from_ne_bytes(event.get(6..8)?.try_into().ok()?));
    while at < event_end {
        let length = usize::from(u16::from_ne_bytes(event.get(at + 2..at + 4)?.try_into().ok()?));
        if event[at] == INFO_DIRECTORY_AND_NAME {
            let handle_length = usize::try_from(word(at + 12)?).ok()?;
            let bytes = event.get(at + 20..at + 20 + handle_length)?.to_vec();
            let name = event.get(at + 20 + handle_length..at + length)?;
            let name = name.split(|&byte| byte == 0).next().unwrap_or_default().to_vec();
            return Some((FileHandle { kind: word(at + 16)?.cast_signed(), bytes }, name));
        }
        at += length.max(1);
    }
    None
}
