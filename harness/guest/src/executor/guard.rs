//! What a program may not do on a kernel that others use as well: a machine's own, with the rights
//! of its root.
//!
//! Capabilities and system calls are taken from the whole process before it starts
//! (`agent::sandbox`). What the kernel has no switch for stands here: writing to the kernel's own
//! filesystems, with any owner of the mount, and opening devices. A program is not code: its steps
//! are carried out one by one by one thread, so a check right before a step is final.

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstat, major, minor};
use nix::sys::statfs::fstatfs;
use scenarios::Step;
use scenarios::program::{DeviceKind, OpenFlag, Place};

use super::world::World;
use crate::sys::Device;

/// Character devices without a machine behind them: null, zero, full, random, urandom; 0:0 is a
/// whiteout; 42 is kept for examples (`Documentation/admin-guide/devices.txt`).
const HARMLESS: [(u32, u32); 7] = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (0, 0), (42, 7)];

/// Major numbers of pseudo-terminals: of the instances that the program or the agent mounted.
const TERMINALS: std::ops::RangeInclusive<u32> = 136..=143;
/// `/dev/ptmx`
const TERMINAL_MAKER: (u32, u32) = (5, 2);

/// Filesystems that are the program's own, by their numbers (statfs(2)): tmpfs, ramfs, ext4, xfs,
/// btrfs, overlayfs, devpts, mqueue, hugetlbfs, squashfs, erofs, vfat.
const OWN: [u32; 12] = [
    0x0102_1994,
    0x8584_58f6,
    0xef53,
    0x5846_5342,
    0x9123_683e,
    0x794c_7630,
    0x1cd1,
    0x1980_0202,
    0x9584_58f6,
    0x7371_7368,
    0xe0f5_e1e2,
    0x4d44,
];

/// The nodes that a process under test may make: harmless ones, and its own disks.
pub(crate) fn devices(disks: &[u32]) -> Vec<Device> {
    let harmless = HARMLESS.iter().map(|&(major, minor)| Device { block: false, major, minor });
    harmless.chain(disks.iter().map(|&minor| Device { block: true, major: 7, minor })).collect()
}

/// Why a step may not be carried out; `None` where it may.
pub(super) fn refusal(world: &World, step: &Step) -> Option<String> {
    match step {
        Step::Mknod { kind: DeviceKind::Block, .. } => Some("right to make block devices".to_owned()),
        Step::Mknod { kind: DeviceKind::Char, major, minor, .. } if !HARMLESS.contains(&(*major, *minor)) => {
            Some(format!("right to make the character device {major}:{minor}"))
        }
        Step::Open { at, flags, .. } => {
            let target = Target::of(world, at)?;
            target.as_device(flags).or_else(|| target.as_file(flags))
        }
        // The kernel's filesystems do not allow to rename a directory, but a mount point onto
        // itself is one that programs may name: it shows the root of what is mounted there.
        Step::Rename { old, new } => {
            let targets = [old, new].into_iter().filter_map(|at| Target::of(world, at));
            targets.filter(|target| target.kind != SFlag::S_IFDIR).find_map(|target| target.changed())
        }
        _ => changed(step).into_iter().find_map(|at| Target::of(world, at)?.changed()),
    }
}

/// What a step changes, besides mounts and what it has open.
fn changed(step: &Step) -> Vec<&Place> {
    match step {
        Step::Mkdir { at }
        | Step::Write { at, .. }
        | Step::Append { at, .. }
        | Step::Truncate { at, .. }
        | Step::Symlink { at, .. }
        | Step::Unlink { at }
        | Step::Rmdir { at }
        | Step::Mkfifo { at }
        | Step::Mksocket { at }
        | Step::Mknod { at, .. }
        | Step::Chmod { at, .. }
        | Step::Chown { at, .. }
        | Step::Setxattr { at, .. }
        | Step::Touch { at, .. }
        | Step::Subvolume { at }
        | Step::DeleteSubvolume { at } => vec![at],
        Step::Link { old, new } => vec![old, new],
        Step::Snapshot { from, to, .. } => vec![from, to],
        // `refusal` looks at these itself.
        Step::Open { .. } | Step::Rename { .. } => Vec::new(),
        Step::Mount { .. }
        | Step::MountAgain { .. }
        | Step::Overlay { .. }
        | Step::Bind { .. }
        | Step::Move { .. }
        | Step::Remount { .. }
        | Step::Propagate { .. }
        | Step::Unmount { .. }
        | Step::PivotRoot { .. }
        | Step::Dup { .. }
        | Step::Memfd { .. }
        | Step::Map { .. }
        | Step::Socketpair { .. }
        | Step::Peer { .. }
        | Step::Send { .. }
        | Step::Receive { .. }
        | Step::Seek { .. }
        | Step::Read { .. }
        | Step::WriteTo { .. }
        | Step::ReadEntries { .. }
        | Step::Lock { .. }
        | Step::Close { .. }
        | Step::Chdir { .. }
        | Step::Chroot { .. }
        | Step::UnshareMounts { .. }
        | Step::External { .. }
        | Step::Exec
        | Step::Fork { .. }
        | Step::As { .. }
        | Step::OpenTree { .. }
        | Step::NewTree { .. }
        | Step::Seal { .. }
        | Step::SetOwner { .. }
        | Step::SetSignal { .. }
        | Step::Epoll { .. }
        | Step::Inotify { .. }
        | Step::Fanotify { .. }
        | Step::Exit { .. }
        | Step::Assert { .. } => Vec::new(),
    }
}

/// What a path leads to now.
struct Target {
    kind: SFlag,
    device: (u32, u32),
    own: bool,
}

impl Target {
    /// `None` where it leads to nothing: the kernel's filesystems do not allow new names.
    fn of(world: &World, place: &Place) -> Option<Self> {
        let look = || -> Result<Self, Errno> {
            let at = world.at(place).map_err(|_| Errno::EINVAL)?;
            let file: OwnedFd = openat(at.dir(), at.path.as_c_str(), OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
            let stat = fstat(&file)?;
            let number = fstatfs(&file)?.filesystem_type().0;
            let device = (number_of(major(stat.st_rdev)), number_of(minor(stat.st_rdev)));
            let kind = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits());
            Ok(Self { kind, device, own: u32::try_from(number).is_ok_and(|number| OWN.contains(&number)) })
        };
        look().ok()
    }

    fn as_device(&self, flags: &[OpenFlag]) -> Option<String> {
        let (major, minor) = self.device;
        let harmless = HARMLESS.contains(&self.device) || self.device == TERMINAL_MAKER || TERMINALS.contains(&major);
        match self.kind {
            _ if flags.contains(&OpenFlag::Path) => None,
            SFlag::S_IFBLK => Some(format!("right to open the block device {major}:{minor}")),
            SFlag::S_IFCHR if !harmless => Some(format!("right to open the character device {major}:{minor}")),
            _ => None,
        }
    }

    /// Directories of the kernel's filesystems may be held and read; their files tell of the
    /// machine or change it.
    fn as_file(&self, flags: &[OpenFlag]) -> Option<String> {
        let plain = self.kind != SFlag::S_IFDIR && !flags.contains(&OpenFlag::Path);
        if plain { self.changed() } else { None }
    }

    fn changed(&self) -> Option<String> {
        let what = "right to open or change what belongs to the kernel (files of proc and sysfs, pipes of others)";
        (!self.own).then(|| what.to_owned())
    }
}

fn number_of(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
