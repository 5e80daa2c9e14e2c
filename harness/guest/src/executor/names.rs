//! Steps that change names and files.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmodat, makedev, mkdirat, mknodat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, ftruncate, linkat, symlinkat, unlinkat};
use rustix::fs::{XattrFlags, setxattr};
use scenarios::Step;
use scenarios::program::{DeviceKind, Place};

use super::world::World;
use crate::sys;

pub(super) fn carry_out(world: &World, step: &Step) -> io::Result<()> {
    match step {
        Step::Mkdir { at } => {
            let at = world.at(at)?;
            Ok(mkdirat(at.dir(), at.path.as_c_str(), Mode::from_bits_truncate(0o755))?)
        }
        Step::Write { at, bytes } => {
            let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC;
            File::from(open(world, at, flags)?).write_all(bytes.as_slice())
        }
        Step::Append { at, bytes } => {
            File::from(open(world, at, OFlag::O_WRONLY | OFlag::O_APPEND)?).write_all(bytes.as_slice())
        }
        Step::Truncate { at, length } => {
            let length = i64::try_from(*length).map_err(io::Error::other)?;
            Ok(ftruncate(open(world, at, OFlag::O_WRONLY)?, length)?)
        }
        Step::Symlink { target, at } => {
            let at = world.at(at)?;
            Ok(symlinkat(target.as_slice(), at.dir(), at.path.as_c_str())?)
        }
        Step::Link { old, new } => {
            // With a descriptor alone the file itself is meant: its magic link is followed.
            let flags = if old.path.is_empty() { AtFlags::AT_SYMLINK_FOLLOW } else { AtFlags::empty() };
            let (old, new) = (world.at(old)?, world.at(new)?);
            Ok(linkat(old.dir(), old.path.as_c_str(), new.dir(), new.path.as_c_str(), flags)?)
        }
        Step::Rename { old, new } => {
            let (old, new) = (world.at(old)?, world.at(new)?);
            Ok(renameat(old.dir(), old.path.as_c_str(), new.dir(), new.path.as_c_str())?)
        }
        Step::Unlink { at } => remove(world, at, UnlinkatFlags::NoRemoveDir),
        Step::Rmdir { at } => remove(world, at, UnlinkatFlags::RemoveDir),
        Step::Mkfifo { at } => make_node(world, at, SFlag::S_IFIFO, 0),
        Step::Mksocket { at } => make_node(world, at, SFlag::S_IFSOCK, 0),
        Step::Mknod { at, kind, major, minor } => {
            let kind = match kind {
                DeviceKind::Char => SFlag::S_IFCHR,
                DeviceKind::Block => SFlag::S_IFBLK,
            };
            make_node(world, at, kind, makedev((*major).into(), (*minor).into()))
        }
        Step::Chmod { at, mode } => {
            let at = world.at(at)?;
            let mode = Mode::from_bits_truncate(*mode);
            Ok(fchmodat(at.dir(), at.path.as_c_str(), mode, FchmodatFlags::FollowSymlink)?)
        }
        Step::Chown { at, uid, gid } => {
            let at = world.at(at)?;
            let (uid, gid) = (Uid::from_raw(*uid), Gid::from_raw(*gid));
            Ok(fchownat(at.dir(), at.path.as_c_str(), Some(uid), Some(gid), AtFlags::empty())?)
        }
        Step::Setxattr { at, name, value } => {
            let path = world.path_in_proc(at)?;
            let name = std::ffi::CString::new(name.as_slice()).map_err(io::Error::other)?;
            world.in_proc(|| Ok(setxattr(&path, &name, value.as_slice(), XattrFlags::empty())?))
        }
        Step::Touch { at, seconds, nanoseconds } => {
            let at = world.at(at)?;
            let time = TimeSpec::new(*seconds, (*nanoseconds).into());
            Ok(utimensat(at.dir(), at.path.as_c_str(), &time, &time, UtimensatFlags::FollowSymlink)?)
        }
        _ => subvolumes(world, step),
    }
}

fn subvolumes(world: &World, step: &Step) -> io::Result<()> {
    match step {
        Step::Subvolume { at } => {
            let (dir, name) = world.at(at)?.parent()?;
            sys::btrfs_create_subvolume(dir.as_fd(), &name)
        }
        Step::DeleteSubvolume { at } => {
            let (dir, name) = world.at(at)?.parent()?;
            sys::btrfs_delete_subvolume(dir.as_fd(), &name)
        }
        Step::Snapshot { from, to, read_only } => {
            let source = open(world, from, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
            let (dir, name) = world.at(to)?.parent()?;
            sys::btrfs_snapshot(source.as_fd(), dir.as_fd(), &name, *read_only)
        }
        _ => unreachable!("the caller sends steps on names only"),
    }
}

fn open(world: &World, place: &Place, flags: OFlag) -> io::Result<OwnedFd> {
    let at = world.at(place)?;
    let mode = Mode::from_bits_truncate(0o644);
    Ok(openat(at.dir(), at.path.as_c_str(), flags | OFlag::O_CLOEXEC, mode)?)
}

fn remove(world: &World, place: &Place, flag: UnlinkatFlags) -> io::Result<()> {
    let at = world.at(place)?;
    Ok(unlinkat(at.dir(), at.path.as_c_str(), flag)?)
}

fn make_node(world: &World, place: &Place, kind: SFlag, device: u64) -> io::Result<()> {
    let at = world.at(place)?;
    Ok(mknodat(at.dir(), at.path.as_c_str(), kind, Mode::from_bits_truncate(0o644), device)?)
}
