//! Steps that change mounts.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::AtFlags;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, SFlag, fstatat, mkdirat};
use scenarios::Step;
use scenarios::program::{Filesystem, MountAttribute, Place, Propagation, Subvolume};

use super::world::World;
use crate::sys::{self, MountAttr, mount_setattr};

pub(super) fn carry_out(world: &mut World, step: &Step) -> io::Result<()> {
    match step {
        Step::Mount { filesystem, at, attributes } => mount_new(world, *filesystem, at, attributes),
        Step::MountAgain { of, at, subvolume, attributes } => {
            if let Some(tree) = subvolume.is_none().then(|| world.disks.take_tree_again(of)).flatten() {
                make_mount_point(world, at, false)?;
                return attach(world, &tree, at, attributes);
            }
            let (fs_type, device) = world.disks.at(of)?;
            let data = subvolume.as_ref().map(|subvolume| match subvolume {
                Subvolume::Path(path) => [b"subvol=".as_slice(), path.as_slice()].concat(),
                Subvolume::Id(id) => format!("subvolid={id}").into_bytes(),
            });
            make_mount_point(world, at, false)?;
            let flags = flags_of(attributes);
            mount_at(world, at, &device, &fs_type, flags, data.as_deref().or(options_of(&fs_type)))
        }
        Step::Overlay { .. } => overlay(world, step),
        Step::Bind { from, to, recursive, attributes } => bind(world, from, to, *recursive, attributes),
        Step::Move { from, to } => {
            make_mount_point(world, to, false)?;
            let (from, to) = (world.path_in_proc(from)?, world.path_in_proc(to)?);
            let none = None::<&CStr>;
            world.in_proc(|| Ok(mount(Some(from.as_c_str()), to.as_c_str(), none, MsFlags::MS_MOVE, none)?))
        }
        Step::Remount { at, superblock: true, .. } => {
            let at = world.at(at)?;
            sys::set_superblock(at.dir(), &at.path, true)
        }
        Step::Remount { at, attributes, .. } => set_attributes(world, at, attributes),
        Step::Propagate { at, kind, recursive } => propagate(world, at, *kind, *recursive),
        Step::Unmount { at, lazy } => {
            let path = world.path_in_proc(at)?;
            let flags = if *lazy { MntFlags::MNT_DETACH } else { MntFlags::empty() };
            world.in_proc(|| Ok(umount2(path.as_c_str(), flags)?))
        }
        Step::PivotRoot { new_root, put_old } => {
            let (new_root, put_old) = (world.path_in_proc(new_root)?, world.path_in_proc(put_old)?);
            world.in_proc(|| Ok(nix::unistd::pivot_root(new_root.as_c_str(), put_old.as_c_str())?))?;
            Ok(nix::unistd::chdir("/")?)
        }
        Step::UnshareMounts { keep_old } => world.unshare(*keep_old),
        _ => unreachable!("the caller sends mount steps only"),
    }
}

/// Whether a step takes the next disk, or a mount of a disk that the agent made.
pub(super) fn takes_disk(step: &Step) -> bool {
    match step {
        Step::Mount { filesystem, .. } => filesystem.needs_disk(),
        Step::MountAgain { subvolume, .. } => subvolume.is_none(),
        _ => false,
    }
}

/// Another process carries out a step: what it takes is taken for this process, too. A mount that
/// another process holds is busy for umount(2).
pub(super) fn pass_over(world: &mut World, step: &Step) -> io::Result<()> {
    match step {
        Step::Mount { filesystem, at, .. } if filesystem.needs_disk() => match world.disks.take_tree(at) {
            Some(tree) => drop(tree),
            None => drop(world.disks.assign(at, filesystem.type_name())?),
        },
        Step::MountAgain { of, subvolume: None, .. } => drop(world.disks.take_tree_again(of)),
        _ => {}
    }
    Ok(())
}

fn mount_new(world: &mut World, filesystem: Filesystem, at: &Place, attributes: &[MountAttribute]) -> io::Result<()> {
    make_mount_point(world, at, false)?;
    let fs_type = filesystem.type_name();
    if let Some(tree) = filesystem.needs_disk().then(|| world.disks.take_tree(at)).flatten() {
        return attach(world, &tree, at, attributes);
    }
    let source = if filesystem.needs_disk() {
        world.disks.take(at, fs_type)?
    } else {
        CString::new(fs_type).map_err(io::Error::other)?
    };
    // ro belongs to this mount, not to the superblock: a bind of it may be writable.
    mount_at(world, at, &source, fs_type, MsFlags::empty(), options_of(fs_type))?;
    if attributes.is_empty() { Ok(()) } else { set_attributes(world, at, attributes) }
}

/// A mount that the agent made, because root of a user namespace may not.
fn attach(world: &World, tree: &OwnedFd, at: &Place, attributes: &[MountAttribute]) -> io::Result<()> {
    let path = world.path_in_proc(at)?;
    world.in_proc(|| sys::attach(tree.as_fd(), &path))?;
    if attributes.is_empty() { Ok(()) } else { set_attributes(world, at, attributes) }
}

/// Options that every mount of this type has.
fn options_of(fs_type: &str) -> Option<&'static [u8]> {
    match fs_type {
        // What containers use.
        "devpts" => Some(b"newinstance,ptmxmode=0666"),
        // Every disk comes from the same few blank filesystems, and a kernel knows this one by its
        // number (xfs(5)).
        "xfs" => Some(b"nouuid"),
        _ => None,
    }
}

fn mount_at(
    world: &World,
    at: &Place,
    source: &CStr,
    fs_type: &str,
    flags: MsFlags,
    data: Option<&[u8]>,
) -> io::Result<()> {
    let path = world.path_in_proc(at)?;
    world.in_proc(|| Ok(mount(Some(source), path.as_c_str(), Some(fs_type), flags, data)?))
}

fn overlay(world: &World, step: &Step) -> io::Result<()> {
    let Step::Overlay { at, lower, upper, work, nfs_export, settings, attributes } = step else {
        unreachable!("the caller sends overlay steps only");
    };
    make_mount_point(world, at, false)?;
    let mut data = b"lowerdir=".to_vec();
    for (index, place) in lower.iter().enumerate() {
        if index > 0 {
            data.push(b':');
        }
        data.extend(world.absolute(place)?);
    }
    for (key, place) in [("upperdir", upper), ("workdir", work)] {
        if let Some(place) = place {
            make_mount_point(world, place, false)?;
            data.extend(format!(",{key}=").bytes());
            data.extend(world.absolute(place)?);
        }
    }
    if *nfs_export {
        data.extend(b",index=on,nfs_export=on");
    }
    data.extend(settings.options().bytes());
    mount_at(world, at, c"overlay", "overlay", flags_of(attributes), Some(&data))
}

fn bind(world: &World, from: &Place, to: &Place, recursive: bool, attributes: &[MountAttribute]) -> io::Result<()> {
    let source = world.at(from)?;
    let is_directory = fstatat(source.dir(), source.path.as_c_str(), AtFlags::empty())?.st_mode & SFlag::S_IFMT.bits()
        == SFlag::S_IFDIR.bits();
    make_mount_point(world, to, !is_directory)?;
    let (source, target) = (world.path_in_proc(from)?, world.path_in_proc(to)?);
    let flags = if recursive { MsFlags::MS_BIND | MsFlags::MS_REC } else { MsFlags::MS_BIND };
    let none = None::<&CStr>;
    world.in_proc(|| Ok(mount(Some(source.as_c_str()), target.as_c_str(), none, flags, none)?))?;
    if attributes.is_empty() { Ok(()) } else { set_attributes(world, to, attributes) }
}

/// The mount has these attributes and no others (`MS_REMOUNT|MS_BIND`, mount(2)).
fn set_attributes(world: &World, at: &Place, attributes: &[MountAttribute]) -> io::Result<()> {
    let path = world.path_in_proc(at)?;
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | flags_of(attributes);
    let none = None::<&CStr>;
    world.in_proc(|| Ok(mount(none, path.as_c_str(), none, flags, none)?))?;
    if attributes.contains(&MountAttribute::Nosymfollow) {
        const MOUNT_ATTR_NOSYMFOLLOW: u64 = 0x0020_0000;
        let at = world.at(at)?;
        let attr = MountAttr { set: MOUNT_ATTR_NOSYMFOLLOW, ..MountAttr::default() };
        mount_setattr(at.dir(), &at.path, false, attr)?;
    }
    Ok(())
}

fn flags_of(attributes: &[MountAttribute]) -> MsFlags {
    let flag = |attribute: &MountAttribute| match attribute {
        MountAttribute::Ro => MsFlags::MS_RDONLY,
        MountAttribute::Nosuid => MsFlags::MS_NOSUID,
        MountAttribute::Nodev => MsFlags::MS_NODEV,
        MountAttribute::Noexec => MsFlags::MS_NOEXEC,
        MountAttribute::Noatime => MsFlags::MS_NOATIME,
        MountAttribute::Relatime => MsFlags::MS_RELATIME,
        MountAttribute::Strictatime => MsFlags::MS_STRICTATIME,
        MountAttribute::Nodiratime => MsFlags::MS_NODIRATIME,
        // No flag of mount(2) in every C library; set by mount_setattr.
        MountAttribute::Nosymfollow => MsFlags::empty(),
    };
    attributes.iter().map(flag).collect()
}

fn propagate(world: &World, at: &Place, kind: Propagation, recursive: bool) -> io::Result<()> {
    let propagation = match kind {
        Propagation::Shared => MsFlags::MS_SHARED,
        Propagation::Slave => MsFlags::MS_SLAVE,
        Propagation::Private => MsFlags::MS_PRIVATE,
        Propagation::Unbindable => MsFlags::MS_UNBINDABLE,
    };
    let flags = if recursive { propagation | MsFlags::MS_REC } else { propagation };
    let path = world.path_in_proc(at)?;
    let none = None::<&CStr>;
    world.in_proc(|| Ok(mount(none, path.as_c_str(), none, flags, none)?))
}

/// Makes a mount point that is not there: a directory, or an empty file for a file.
pub(super) fn make_mount_point(world: &World, at: &Place, file: bool) -> io::Result<()> {
    let at = world.at(at)?;
    match fstatat(at.dir(), at.path.as_c_str(), AtFlags::empty()) {
        Ok(_) => Ok(()),
        Err(nix::errno::Errno::ENOENT) if file => {
            let flags = nix::fcntl::OFlag::O_CREAT | nix::fcntl::OFlag::O_EXCL | nix::fcntl::OFlag::O_CLOEXEC;
            nix::fcntl::openat(at.dir(), at.path.as_c_str(), flags, Mode::from_bits_truncate(0o644))?;
            Ok(())
        }
        Err(nix::errno::Errno::ENOENT) => Ok(mkdirat(at.dir(), at.path.as_c_str(), Mode::from_bits_truncate(0o755))?),
        Err(error) => Err(error.into()),
    }
}
