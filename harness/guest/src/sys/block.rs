//! Loop devices (loop(4)) and the ioctls of btrfs (`linux/btrfs.h`).

use std::ffi::CStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::check;

const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4C82;
const LOOP_CONFIGURE: libc::c_ulong = 0x4C0A;
const LOOP_CLR_FD: libc::c_ulong = 0x4C01;

/// `struct loop_config` of `linux/loop.h`; `info` is `struct loop_info64`.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: [u64; 29],
    reserved: [u64; 8],
}

/// A loop device that shows a file as a block device; detached from its file when dropped.
#[derive(Debug)]
pub struct LoopDevice {
    device: File,
    minor: u32,
}

impl LoopDevice {
    /// A free loop device, attached to `file`.
    ///
    /// # Errors
    /// Those of opening `/dev/loop-control` and `/dev/loopN` and of their ioctls.
    pub fn attach(file: &File) -> io::Result<Self> {
        let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control")?;
        // SAFETY: no argument.
        let minor = check(unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) }.into())?;
        let minor = u32::try_from(minor).map_err(io::Error::other)?;
        let device = OpenOptions::new().read(true).write(true).open(format!("/dev/loop{minor}"))?;
        let config = LoopConfig {
            fd: u32::try_from(file.as_raw_fd()).map_err(io::Error::other)?,
            block_size: 0,
            info: [0; 29],
            reserved: [0; 8],
        };
        // SAFETY: LOOP_CONFIGURE reads a `loop_config`.
        check(unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const config) }.into())?;
        Ok(LoopDevice { device, minor })
    }

    /// The `N` of `/dev/loopN`.
    pub fn minor(&self) -> u32 {
        self.minor
    }

    /// True when something else than us still uses the device: `/sys/block/loopN/loop` outlives `LOOP_CLR_FD` then.
    ///
    /// # Errors
    /// The ioctl's.
    pub fn detach(self) -> io::Result<bool> {
        // SAFETY: no argument.
        check(unsafe { libc::ioctl(self.device.as_raw_fd(), LOOP_CLR_FD) }.into())?;
        let sign = format!("/sys/block/loop{}/loop/autoclear", self.minor);
        drop(self.device);
        std::fs::exists(sign)
    }
}

const BTRFS_IOC_SUBVOL_CREATE: libc::c_ulong = 0x5000_940E;
const BTRFS_IOC_SNAP_DESTROY: libc::c_ulong = 0x5000_940F;
const BTRFS_IOC_SNAP_CREATE_V2: libc::c_ulong = 0x5000_9417;
const BTRFS_IOC_FORGET_DEV: libc::c_ulong = 0x5000_9405;
const BTRFS_SUBVOL_RDONLY: u64 = 2;

/// `struct btrfs_ioctl_vol_args`.
#[repr(C)]
struct VolArgs {
    fd: i64,
    name: [u8; 4088],
}

/// `struct btrfs_ioctl_vol_args_v2`.
#[repr(C)]
struct VolArgsV2 {
    fd: i64,
    transid: u64,
    flags: u64,
    unused: [u64; 4],
    name: [u8; 4040],
}

fn copy_name<const N: usize>(name: &CStr) -> io::Result<[u8; N]> {
    let bytes = name.to_bytes_with_nul();
    let mut out = [0; N];
    out.get_mut(..bytes.len()).ok_or(io::ErrorKind::InvalidFilename)?.copy_from_slice(bytes);
    Ok(out)
}

fn vol_ioctl(dir: BorrowedFd<'_>, request: libc::c_ulong, name: &CStr) -> io::Result<()> {
    let args = VolArgs { fd: 0, name: copy_name(name)? };
    // SAFETY: the request reads a `btrfs_ioctl_vol_args`.
    check(unsafe { libc::ioctl(dir.as_raw_fd(), request, &raw const args) }.into()).map(drop)
}

/// A new subvolume `name` in the directory `dir`.
///
/// # Errors
/// The ioctl's; `ENOTTY` on another filesystem.
pub fn btrfs_create_subvolume(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    vol_ioctl(dir, BTRFS_IOC_SUBVOL_CREATE, name)
}

/// Removes the subvolume `name` in the directory `dir` with all that is in it.
///
/// # Errors
/// The ioctl's.
pub fn btrfs_delete_subvolume(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    vol_ioctl(dir, BTRFS_IOC_SNAP_DESTROY, name)
}

/// A snapshot `name` in `dir` of the subvolume that `source` is the root of.
///
/// # Errors
/// The ioctl's.
pub fn btrfs_snapshot(source: BorrowedFd<'_>, dir: BorrowedFd<'_>, name: &CStr, read_only: bool) -> io::Result<()> {
    let args = VolArgsV2 {
        fd: source.as_raw_fd().into(),
        transid: 0,
        flags: if read_only { BTRFS_SUBVOL_RDONLY } else { 0 },
        unused: [0; 4],
        name: copy_name(name)?,
    };
    // SAFETY: the request reads a `btrfs_ioctl_vol_args_v2`.
    check(unsafe { libc::ioctl(dir.as_raw_fd(), BTRFS_IOC_SNAP_CREATE_V2, &raw const args) }.into()).map(drop)
}

/// The UUIDs of the subvolume that a file is in and of the one that it is a snapshot of (all zero for none).
///
/// # Errors
/// The ioctl's; `ENOTTY` on another filesystem.
pub fn btrfs_subvolume_of(fd: BorrowedFd<'_>) -> io::Result<([u8; 16], [u8; 16])> {
    const BTRFS_IOC_GET_SUBVOL_INFO: libc::c_ulong = 0x81F8_943C;
    const UUID: usize = 296;
    // `struct btrfs_ioctl_get_subvol_info_args`.
    let mut info = [0u8; 504];
    // SAFETY: the request writes a structure of 504 bytes, the length that is in its number.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), BTRFS_IOC_GET_SUBVOL_INFO, info.as_mut_ptr()) }.into())?;
    let uuid = |at: usize| <[u8; 16]>::try_from(&info[at..at + 16]).map_err(io::Error::other);
    Ok((uuid(UUID)?, uuid(UUID + 16)?))
}

/// Makes btrfs forget a device that it has scanned and that is not mounted.
///
/// # Errors
/// Those of opening `/dev/btrfs-control` and of the ioctl.
pub fn btrfs_forget_device(device: &CStr) -> io::Result<()> {
    let control = OpenOptions::new().read(true).write(true).open("/dev/btrfs-control")?;
    vol_ioctl(std::os::fd::AsFd::as_fd(&control), BTRFS_IOC_FORGET_DEV, device)
}
