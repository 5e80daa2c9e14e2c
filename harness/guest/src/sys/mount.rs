//! The mount API of 5.2 and later: move_mount(2), fsmount(2), mount_setattr(2), statmount(2), and
//! the mount ID of statx(2).

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use protocol::observation::{FileId, StatMount};

use rustix::fs::{AtFlags, CWD, StatxFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_reconfigure, fsconfig_set_flag, fsopen, fspick, move_mount,
};

use super::check;

/// `struct mount_attr` of `linux/mount.h`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct MountAttr {
    /// `MOUNT_ATTR_*` bits to set.
    pub set: u64,
    /// `MOUNT_ATTR_*` bits to clear.
    pub clear: u64,
    /// `MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE` or `MS_UNBINDABLE`; 0 leaves it.
    pub propagation: u64,
    /// User namespace for an ID-mapped mount.
    pub userns_fd: u64,
}

/// mount_setattr(2) on `path` relative to `dir`.
///
/// # Errors
/// The call's.
pub fn mount_setattr(dir: BorrowedFd<'_>, path: &CStr, recursive: bool, attr: MountAttr) -> io::Result<()> {
    let mut flags = if recursive { libc::AT_RECURSIVE } else { 0 };
    if path.is_empty() {
        flags |= libc::AT_EMPTY_PATH;
    }
    // SAFETY: `path` ends in NUL, `attr` has the kernel's layout and the size we name.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            dir.as_raw_fd(),
            path.as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    })
    .map(drop)
}

/// Attaches a tree that is attached nowhere, move_mount(2).
///
/// # Errors
/// The call's.
pub fn attach(tree: BorrowedFd<'_>, at: &CStr) -> io::Result<()> {
    Ok(move_mount(tree, c"", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

/// Makes the filesystem read-only, or writable, that is mounted on a directory: fspick(2),
/// fsconfig(2). No mount of it changes.
///
/// # Errors
/// Those of the calls: EBUSY where something is open for writing, or deleted and open.
pub fn set_superblock(dir: BorrowedFd<'_>, path: &CStr, read_only: bool) -> io::Result<()> {
    let context = fspick(dir, path, FsPickFlags::FSPICK_CLOEXEC)?;
    fsconfig_set_flag(&context, if read_only { "ro" } else { "rw" })?;
    Ok(fsconfig_reconfigure(&context)?)
}

/// A new instance of a filesystem that takes no options, not attached anywhere: fsopen(2),
/// fsconfig(2), fsmount(2).
///
/// # Errors
/// The first failing call's.
pub fn fsmount(fs_type: &CStr) -> io::Result<OwnedFd> {
    fsmount_with(fs_type, FsMountFlags::FSMOUNT_CLOEXEC)
}

/// The same; the descriptor stays at execve(2).
///
/// # Errors
/// As [`fsmount`].
pub fn fsmount_to_keep(fs_type: &CStr) -> io::Result<OwnedFd> {
    fsmount_with(fs_type, FsMountFlags::empty())
}

fn fsmount_with(fs_type: &CStr, flags: FsMountFlags) -> io::Result<OwnedFd> {
    let context = fsopen(fs_type, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    Ok(rustix::mount::fsmount(&context, flags, MountAttrFlags::empty())?)
}

/// A copy of the mount at `path`, attached nowhere, with or without those below:
/// open_tree(2) with `OPEN_TREE_CLONE`. The descriptor stays at execve(2).
///
/// # Errors
/// The call's.
pub fn open_tree(path: &CStr, recursive: bool) -> io::Result<OwnedFd> {
    let more = if recursive { OpenTreeFlags::AT_RECURSIVE } else { OpenTreeFlags::empty() };
    Ok(rustix::mount::open_tree(CWD, path, OpenTreeFlags::OPEN_TREE_CLONE | more)?)
}

/// `f_type` and `f_flags` of fstatfs(2), all bits.
///
/// # Errors
/// The call's.
pub fn filesystem_of(fd: BorrowedFd<'_>) -> io::Result<(u64, u64)> {
    // The bit that says the flags are valid.
    const ST_VALID: u64 = 0x20;
    let status = rustix::fs::fstatfs(fd)?;
    Ok((status.f_type.cast_unsigned(), status.f_flags.cast_unsigned() & !ST_VALID))
}

/// What tells an open file from all others, in one call.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// Device and inode.
    pub file: FileId,
    /// Type and permission bits, inode(7).
    pub mode: u32,
    /// The mount, as in mountinfo.
    pub mount: u64,
}

/// Who an open file is, and on which mount (`STATX_MNT_ID`, statx(2), Linux 5.8).
///
/// # Errors
/// The call's; `Unsupported` where the kernel does not tell the mount.
pub fn identity(fd: BorrowedFd<'_>) -> io::Result<Identity> {
    let wanted = StatxFlags::MNT_ID | StatxFlags::INO | StatxFlags::TYPE | StatxFlags::MODE;
    let status = rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, wanted)?;
    if status.stx_mask & StatxFlags::MNT_ID.bits() == 0 {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let device = libc::makedev(status.stx_dev_major, status.stx_dev_minor);
    let file = FileId { device, inode: status.stx_ino };
    Ok(Identity { file, mode: status.stx_mode.into(), mount: status.stx_mnt_id })
}

/// The mount ID of an open file.
///
/// # Errors
/// As [`identity`].
pub fn statx_mount_id(fd: BorrowedFd<'_>) -> io::Result<u64> {
    identity(fd).map(|identity| identity.mount)
}

/// `struct mnt_id_req` of `linux/mount.h`, second published size.
#[repr(C)]
struct MntIdReq {
    size: u32,
    mnt_fd: u32,
    mnt_id: u64,
    param: u64,
    mnt_ns_id: u64,
}

/// The head of `struct statmount` of `linux/mount.h`; strings follow at offset 512.
#[repr(C)]
#[derive(Clone, Copy)]
struct StatmountHead {
    size: u32,
    mnt_opts: u32,
    mask: u64,
    sb_dev: [u32; 2],
    sb_magic: u64,
    sb_flags: u32,
    fs_type: u32,
    ids: [u64; 2],
    old_ids: [u32; 2],
    mnt_attr: u64,
    mnt_propagation: u64,
    peers: [u64; 3],
    mnt_root: u32,
    mnt_point: u32,
    mnt_ns_id: u64,
    fs_subtype: u32,
    sb_source: u32,
}

/// Not in the libc crate yet; the same on every architecture.
const SYS_STATMOUNT: libc::c_long = 457;
const STATMOUNT_STRINGS: usize = 512;
const STATMOUNT_BY_FD: libc::c_uint = 1;
const STATMOUNT_SB_BASIC: u64 = 0x1;
const STATMOUNT_MNT_BASIC: u64 = 0x2;
const STATMOUNT_MNT_ROOT: u64 = 0x8;
const STATMOUNT_FS_TYPE: u64 = 0x20;
const STATMOUNT_SB_SOURCE: u64 = 0x400;

/// statmount(2) with `STATMOUNT_BY_FD` (Linux 7.0): what the mount of an open file is.
///
/// # Errors
/// The call's: `ENOSYS` before 6.8, `EINVAL` before 7.0, `ENOENT` for a file on a tree that was
/// never attached.
pub fn statmount_by_fd(fd: BorrowedFd<'_>) -> io::Result<StatMount> {
    statmount(fd).map(|(mount, _)| mount)
}

/// The same, and the device (major, minor) of the superblock.
///
/// # Errors
/// As [`statmount_by_fd`].
pub fn statmount_device(fd: BorrowedFd<'_>) -> io::Result<(StatMount, (u32, u32))> {
    statmount(fd)
}

fn statmount(fd: BorrowedFd<'_>) -> io::Result<(StatMount, (u32, u32))> {
    let request = MntIdReq {
        size: u32::try_from(size_of::<MntIdReq>()).map_err(io::Error::other)?,
        mnt_fd: u32::try_from(fd.as_raw_fd()).map_err(io::Error::other)?,
        mnt_id: 0,
        param: STATMOUNT_SB_BASIC | STATMOUNT_MNT_BASIC | STATMOUNT_MNT_ROOT | STATMOUNT_FS_TYPE | STATMOUNT_SB_SOURCE,
        mnt_ns_id: 0,
    };
    // Eight-byte elements keep the head aligned.
    let mut buffer = vec![0u64; 2 * 4096 / 8 + STATMOUNT_STRINGS / 8];
    // SAFETY: the request has the layout and size it names; the buffer is as long as we say.
    check(unsafe {
        libc::syscall(SYS_STATMOUNT, &raw const request, buffer.as_mut_ptr(), buffer.len() * 8, STATMOUNT_BY_FD)
    })?;
    // SAFETY: the buffer is larger than the head, aligned for it, and any bytes are a valid head.
    let head = unsafe { *buffer.as_ptr().cast::<StatmountHead>() };
    let bytes: Vec<u8> = buffer.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let text = |mask: u64, offset: u32| {
        let start = STATMOUNT_STRINGS + offset as usize;
        let string = bytes.get(start..).filter(|_| head.mask & mask != 0);
        string.and_then(|rest| CStr::from_bytes_until_nul(rest).ok()).map(CStr::to_bytes).unwrap_or_default().into()
    };
    let mount = StatMount {
        fs_type: text(STATMOUNT_FS_TYPE, head.fs_type),
        root: text(STATMOUNT_MNT_ROOT, head.mnt_root),
        attributes: head.mnt_attr,
        propagation: head.mnt_propagation,
        source: text(STATMOUNT_SB_SOURCE, head.sb_source),
    };
    Ok((mount, (head.sb_dev[0], head.sb_dev[1])))
}
