//! Loop devices (loop(4)) and the ioctls of btrfs (`linux/btrfs.h`).

use std::ffi::CStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use super::{check, request};

/// How often the harness checks whether a device is free.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

const LOOP_CTL_GET_FREE: libc::Ioctl = request(0x4C82);
const LOOP_CONFIGURE: libc::Ioctl = request(0x4C0A);
const LOOP_GET_STATUS64: libc::Ioctl = request(0x4C05);
/// The device releases its file when no process has it open and no mount uses it.
const LO_FLAGS_AUTOCLEAR: u32 = 4;

/// `struct loop_info64` of `linux/loop.h`.
#[repr(C)]
#[derive(Clone, Copy)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    sizelimit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    names: [u8; 64 + 64 + 32],
    init: [u64; 2],
}

const NO_INFO: LoopInfo = LoopInfo {
    device: 0,
    inode: 0,
    rdevice: 0,
    offset: 0,
    sizelimit: 0,
    number: 0,
    encrypt_type: 0,
    encrypt_key_size: 0,
    flags: 0,
    names: [0; 160],
    init: [0; 2],
};

/// `struct loop_config` of `linux/loop.h`.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

/// A loop device that shows a file as a block device. The kernel detaches it when nothing uses it
/// any more, so it goes away with this value and the mounts of it, and also when this process is
/// killed.
#[derive(Debug)]
pub struct LoopDevice {
    device: File,
    minor: u32,
    /// Device and inode of the file.
    backing: (u64, u64),
}

impl LoopDevice {
    /// A loop device that was free, attached to `file`. With `may_add` the kernel makes a new one
    /// when all are in use; that one stays for ever. Otherwise this waits for up to `patience`
    /// until another process releases one.
    ///
    /// # Errors
    /// `EBUSY` when none is free; those of opening `/dev/loopN` and of the ioctls.
    pub fn attach(file: &File, may_add: bool, patience: Duration) -> io::Result<Self> {
        let deadline = Instant::now() + patience;
        loop {
            for minor in loop_devices()? {
                if let Some(device) = Self::configure(file, minor)? {
                    return Ok(device);
                }
            }
            if may_add {
                break;
            }
            if Instant::now() >= deadline {
                let why = "all loop devices of this machine are in use; `losetup -f` as root makes another one";
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, why));
            }
            // The kernel does not report when one becomes free.
            std::thread::sleep(LOOK_AGAIN);
        }
        let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control")?;
        // SAFETY: no argument.
        let minor = check(unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) }.into())?;
        let minor = u32::try_from(minor).map_err(io::Error::other)?;
        Self::configure(file, minor)?.ok_or_else(|| io::ErrorKind::ResourceBusy.into())
    }

    /// Attaches this very device; `None` when it is taken.
    fn configure(file: &File, minor: u32) -> io::Result<Option<Self>> {
        let device = loop_device(minor)?;
        let config = LoopConfig {
            fd: u32::try_from(file.as_raw_fd()).map_err(io::Error::other)?,
            block_size: 0,
            info: LoopInfo { flags: LO_FLAGS_AUTOCLEAR, ..NO_INFO },
            reserved: [0; 8],
        };
        // SAFETY: LOOP_CONFIGURE reads a `loop_config`.
        match check(unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const config) }.into()) {
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => return Ok(None),
            Err(error) => return Err(error),
        }
        let stat = file.metadata()?;
        Ok(Some(LoopDevice { device, minor, backing: (stat.dev(), stat.ino()) }))
    }

    /// The `N` of `/dev/loopN`.
    pub fn minor(&self) -> u32 {
        self.minor
    }

    /// Releases the device; true when something else still uses it after `patience`: somebody may
    /// read it for a moment, and unmounting goes on a little after the last process has ended.
    ///
    /// # Errors
    /// Those of opening the device again and of the ioctl.
    pub fn detach(self, patience: Duration) -> io::Result<bool> {
        let LoopDevice { device, minor, backing } = self;
        drop(device);
        let deadline = Instant::now() + patience;
        loop {
            let device = loop_device(minor)?;
            let mut info = NO_INFO;
            // SAFETY: LOOP_GET_STATUS64 fills a `loop_info64`.
            match check(unsafe { libc::ioctl(device.as_raw_fd(), LOOP_GET_STATUS64, &raw mut info) }.into()) {
                // Another one has it already, with a file of its own.
                Ok(_) if (info.device, info.inode) != backing => return Ok(false),
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENXIO) => return Ok(false),
                Err(error) => return Err(error),
            }
            if Instant::now() >= deadline {
                return Ok(true);
            }
            drop(device);
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

/// The minors of all loop devices, free or not, in ascending order.
///
/// # Errors
/// Those of listing `/sys/block`.
pub fn loop_devices() -> io::Result<Vec<u32>> {
    let mut minors = Vec::new();
    for entry in std::fs::read_dir("/sys/block")? {
        minors.extend(entry?.file_name().to_str().and_then(|name| name.strip_prefix("loop")?.parse::<u32>().ok()));
    }
    minors.sort_unstable();
    Ok(minors)
}

/// `/dev/loopN`, opened for reading and writing; the node is made where the kernel does not make
/// it.
///
/// # Errors
/// Those of making and opening the node.
pub fn loop_device(minor: u32) -> io::Result<File> {
    let path = format!("/dev/loop{minor}");
    let open = || OpenOptions::new().read(true).write(true).open(&path);
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mode = Mode::S_IRUSR | Mode::S_IWUSR;
            mknod(path.as_str(), SFlag::S_IFBLK, mode, makedev(7, minor.into()))?;
            open()
        }
        result => result,
    }
}

const BTRFS_IOC_SUBVOL_CREATE: libc::Ioctl = request(0x5000_940E);
const BTRFS_IOC_SNAP_DESTROY: libc::Ioctl = request(0x5000_940F);
const BTRFS_IOC_SNAP_CREATE_V2: libc::Ioctl = request(0x5000_9417);
const BTRFS_IOC_FORGET_DEV: libc::Ioctl = request(0x5000_9405);
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

fn vol_ioctl(dir: BorrowedFd<'_>, number: libc::Ioctl, name: &CStr) -> io::Result<()> {
    let args = VolArgs { fd: 0, name: copy_name(name)? };
    // SAFETY: these ioctls read a `btrfs_ioctl_vol_args`.
    check(unsafe { libc::ioctl(dir.as_raw_fd(), number, &raw const args) }.into()).map(drop)
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

/// The UUIDs of the subvolume that a file is in and of the one that it is a snapshot of (all zero
/// for none).
///
/// # Errors
/// The ioctl's; `ENOTTY` on another filesystem.
pub fn btrfs_subvolume_of(fd: BorrowedFd<'_>) -> io::Result<([u8; 16], [u8; 16])> {
    const BTRFS_IOC_GET_SUBVOL_INFO: libc::Ioctl = request(0x81F8_943C);
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
