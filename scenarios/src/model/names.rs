//! Steps that make, move and remove names (fs/namei.c).

use super::files::{Kind, Type};
use super::mounts::Path;
use super::walk::{Last, Parent};
use super::{Model, Result, errno, overlay, unknown, vfat};
use crate::program::Place;
use vocabulary::Errno;

pub(super) fn make(model: &mut Model, at: &Place, kind: Kind) -> Result<Path> {
    let free = model.find_free(at, kind == Kind::Directory)?;
    vfat::may_make(model, free.at.den, &kind)?;
    overlay::copy_up(model, free.at)?;
    let directory = model.inode_at(free.at);
    model.changed(directory);
    let den = model.files.make(free.at.den, &free.name, kind);
    Ok(Path { den, ..free.at })
}

pub(super) fn symlink(model: &mut Model, target: &[u8], at: &Place) -> Result<()> {
    let kind = model.find_free(at, false).map(|free| model.files.type_of(free.at.den))?;
    match kind {
        // XFS_SYMLINK_MAXLEN
        Type::Xfs if target.len() >= 1024 => return errno(Errno::ENAMETOOLONG),
        Type::Btrfs | Type::Overlay | Type::Ramfs if target.len() >= 1024 => {
            return unknown("how long a symbolic link may be");
        }
        _ => {}
    }
    make(model, at, Kind::Symlink(target.to_vec())).map(drop)
}

pub(super) fn link(model: &mut Model, old: &Place, new: &Place) -> Result<()> {
    let from = if old.path.is_empty() { model.find(old)? } else { model.find_link(old)? };
    let to = model.find_free(new, false)?;
    if from.mnt != to.at.mnt {
        return errno(Errno::EXDEV);
    }
    if model.files.type_of(to.at.den) == Type::Vfat {
        return errno(Errno::EPERM);
    }
    let ino = model.inode_at(from);
    let row = model.files.inode(ino);
    let directory = model.files.inode_of(to.at.den);
    if row.kind == Kind::Directory {
        return errno(Errno::EPERM);
    }
    if row.opaque && model.files.type_of(from.den) == Type::Overlay {
        return unknown("what became of the layer");
    }
    if row.volume != directory.volume {
        return errno(Errno::EXDEV);
    }
    if model.files.superblock(row.sb).kind == Type::Overlay && model.files.is_removed(from.den) {
        return unknown("a new name for a deleted file of an overlay");
    }
    if row.links == 0 && !row.linkable {
        return errno(Errno::ENOENT);
    }
    overlay::copy_up(model, from)?;
    overlay::copy_up(model, to.at)?;
    let directory = model.inode_at(to.at);
    model.changed(directory);
    model.changed(ino);
    model.files.add_name(to.at.den, &to.name, ino);
    let row = model.files.inode_mut(ino);
    row.links += 1;
    row.linkable = false;
    Ok(())
}

pub(super) fn unlink(model: &mut Model, at: &Place) -> Result<()> {
    let Parent { at, last, slash } = model.find_parent(at)?;
    let Last::Name(name) = last else { return errno(Errno::EISDIR) };
    model.want_write(at.mnt)?;
    let Some(den) = model.child(at.den, &name)? else { return errno(Errno::ENOENT) };
    if slash {
        return errno(if model.files.is_directory(den) { Errno::EISDIR } else { Errno::ENOTDIR });
    }
    model.may_change(model.inode_at(at))?;
    if model.files.is_directory(den) {
        return errno(Errno::EISDIR);
    }
    no_mount_point(model, den)?;
    overlay::copy_up(model, at)?;
    overlay::before_removal(model, Path { den, ..at })?;
    remove(model, at, Path { den, ..at });
    Ok(())
}

/// That nothing is mounted on a name that is to go. What is mounted there outside of the namespace
/// would go with it (`detach_mounts`).
fn no_mount_point(model: &Model, den: super::files::Den) -> Result<()> {
    if model.mounts.is_mount_point(den) {
        return errno(Errno::EBUSY);
    }
    if model.mounts.is_mount_point_elsewhere(den) {
        unknown("a mount point that goes, of a mount outside of the namespace")
    } else {
        Ok(())
    }
}

pub(super) fn rmdir(model: &mut Model, at: &Place) -> Result<()> {
    let Parent { at, last, .. } = model.find_parent(at)?;
    let name = match last {
        Last::Name(name) => name,
        Last::Dot => return errno(Errno::EINVAL),
        Last::DotDot => return errno(Errno::ENOTEMPTY),
    };
    model.want_write(at.mnt)?;
    let Some(den) = model.child(at.den, &name)? else { return errno(Errno::ENOENT) };
    model.may_change(model.inode_at(at))?;
    if !model.files.is_directory(den) {
        return errno(Errno::ENOTDIR);
    }
    no_mount_point(model, den)?;
    empty(model, den)?;
    overlay::copy_up(model, at)?;
    remove(model, at, Path { den, ..at });
    Ok(())
}

/// That a directory can be removed.
fn empty(model: &Model, den: super::files::Den) -> Result<()> {
    let row = model.files.inode_of(den);
    if row.opaque {
        return unknown("whether this directory is empty");
    }
    if !row.children.is_empty() || row.foreign { errno(Errno::ENOTEMPTY) } else { Ok(()) }
}

fn remove(model: &mut Model, at: Path, what: Path) {
    let (directory, ino) = (model.inode_at(at), model.inode_at(what));
    model.changed(directory);
    model.changed(ino);
    model.files.remove(what.den);
}

pub(super) fn rename(model: &mut Model, old: &Place, new: &Place) -> Result<()> {
    let (from, to) = (model.find_parent(old)?, model.find_parent(new)?);
    if from.at.mnt != to.at.mnt {
        return errno(Errno::EXDEV);
    }
    let (Last::Name(old_name), Last::Name(new_name)) = (&from.last, &to.last) else { return errno(Errno::EBUSY) };
    model.want_write(from.at.mnt)?;
    let Some(source) = model.child(from.at.den, old_name)? else { return errno(Errno::ENOENT) };
    if new_name.len() > 255 {
        return errno(Errno::ENAMETOOLONG);
    }
    let target = model.child(to.at.den, new_name)?;
    let files = &model.files;
    let is_directory = files.is_directory(source);
    if !is_directory && (from.slash || to.slash) {
        return errno(Errno::ENOTDIR);
    }
    if files.is_below(to.at.den, source) {
        return errno(Errno::EINVAL);
    }
    if target.is_some_and(|target| files.is_below(from.at.den, target)) {
        return errno(Errno::ENOTEMPTY);
    }
    let (source_ino, target_ino) = (files.dentry(source).inode, target.map(|den| files.dentry(den).inode));
    if target_ino == Some(source_ino) {
        return Ok(());
    }
    if model.is_stub(source) {
        return unknown("moving the place of a subvolume in a snapshot");
    }
    may_rename(model, (&from, &to), source, target)?;
    overlay::may_rename(model, source)?;
    overlay::copy_up(model, Path { den: source, ..from.at })?;
    overlay::copy_up(model, from.at)?;
    overlay::copy_up(model, to.at)?;
    if let Some(target) = target {
        overlay::before_removal(model, Path { den: target, ..to.at })?;
        remove(model, to.at, Path { den: target, ..to.at });
    }
    for ino in [model.inode_at(from.at), model.inode_at(to.at)] {
        model.changed(ino);
    }
    model.files.rename(source, to.at.den, new_name);
    Ok(())
}

/// `vfs_rename`'s checks.
fn may_rename(
    model: &Model,
    (from, to): (&Parent, &Parent),
    source: super::files::Den,
    target: Option<super::files::Den>,
) -> Result<()> {
    let files = &model.files;
    let is_directory = files.is_directory(source);
    model.may_change(model.inode_at(from.at))?;
    model.may_change(model.inode_at(to.at))?;
    if files.inode_of(to.at.den).dead {
        return errno(Errno::ENOENT);
    }
    if let Some(target) = target {
        match (is_directory, files.is_directory(target)) {
            (true, false) => return errno(Errno::ENOTDIR),
            (false, true) => return errno(Errno::EISDIR),
            _ => {}
        }
    }
    let source_row = files.inode_of(source);
    let is_volume = source_row.volume == Some(files.dentry(source).inode);
    if is_directory && from.at.den != to.at.den && is_volume && source_row.volume_read_only {
        return errno(Errno::EROFS);
    }
    if model.mounts.is_mount_point(source) {
        return errno(Errno::EBUSY);
    }
    target.map_or(Ok(()), |target| no_mount_point(model, target))?;
    if files.inode_of(from.at.den).volume != files.inode_of(to.at.den).volume && !is_volume {
        return errno(Errno::EXDEV);
    }
    match target {
        Some(target) if is_directory => {
            let row = files.inode_of(target);
            if row.volume == Some(files.dentry(target).inode) {
                return unknown("a subvolume in the way of a rename");
            }
            empty(model, target)
        }
        _ => Ok(()),
    }
}
