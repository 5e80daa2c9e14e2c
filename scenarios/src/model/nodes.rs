//! Steps that change files: contents, devices, modes, owners, attributes.

use super::files::{Kind, Type};
use super::mounts::Path;
use super::opening::Access;
use super::{Model, Result, names, overlay, unknown};
use crate::program::{DeviceKind, Place};

/// Offsets beyond this are not the same for all filesystems.
pub(super) const OFFSET_LIMIT: u64 = 1 << 40;

pub(super) fn write(model: &mut Model, at: &Place, bytes: &[u8]) -> Result<()> {
    let access = Access { writes: true, create: true, truncate: true, ..Access::default() };
    edit(model, at, access, |content| content.write(0, bytes))
}

pub(super) fn append(model: &mut Model, at: &Place, bytes: &[u8]) -> Result<()> {
    let access = Access { writes: true, ..Access::default() };
    edit(model, at, access, |content| content.write(content.length(), bytes))
}

pub(super) fn truncate(model: &mut Model, at: &Place, length: u64) -> Result<()> {
    if length > OFFSET_LIMIT {
        return unknown("how long a file may be");
    }
    let access = Access { writes: true, ..Access::default() };
    edit(model, at, access, |content| content.truncate(length))
}

fn edit(model: &mut Model, at: &Place, access: Access, change: impl FnOnce(&mut super::Content)) -> Result<()> {
    // Whether a fifo or a device takes it is not worth knowing.
    if let Ok(path) = model.find(at)
        && !matches!(model.files.inode_of(path.den).kind, Kind::File | Kind::Directory | Kind::Symlink(_))
    {
        return unknown("writing to what is no regular file");
    }
    let path = model.open_path(at, access)?;
    let ino = model.inode_at(path);
    model.changed(ino);
    change(&mut model.files.inode_mut(ino).content);
    model.closed(ino);
    Ok(())
}

pub(super) fn mknod(model: &mut Model, at: &Place, kind: DeviceKind, major: u32, minor: u32) -> Result<()> {
    if model.find_parent(at).is_ok_and(|parent| model.files.type_of(parent.at.den) == Type::Overlay) {
        return unknown("device nodes on an overlay, which may be whiteouts");
    }
    // The kernel keeps 12 bits of the one and 20 of the other (MINORBITS).
    if major >= 1 << 12 || minor >= 1 << 20 {
        return unknown("how large a device number may be");
    }
    names::make(model, at, Kind::Device(kind, major, minor)).map(drop)
}

/// A file whose inode may be changed, and is from now on.
fn for_change(model: &mut Model, at: &Place) -> Result<Path> {
    let path = model.find(at)?;
    model.want_write(path.mnt)?;
    let ino = model.inode_at(path);
    model.may_change(ino)?;
    if matches!(model.files.inode(ino).kind, Kind::Symlink(_)) {
        return unknown("changing a symbolic link");
    }
    if model.is_stub(path.den) {
        return unknown("changing the place of a subvolume in a snapshot");
    }
    if model.files.type_of(path.den) == Type::Vfat {
        return unknown("what a vfat keeps of owners, modes and times");
    }
    overlay::copy_up(model, path)?;
    Ok(path)
}

pub(super) fn chmod(model: &mut Model, at: &Place, mode: u32) -> Result<()> {
    let path = for_change(model, at)?;
    let ino = model.inode_at(path);
    model.files.inode_mut(ino).mode = mode;
    Ok(())
}

pub(super) fn chown(model: &mut Model, at: &Place, uid: u32) -> Result<()> {
    let path = for_change(model, at)?;
    let ino = model.inode_at(path);
    // -1 leaves the owner, chown(2).
    if uid != u32::MAX {
        model.files.inode_mut(ino).uid = uid;
    }
    Ok(())
}

pub(super) fn touch(model: &mut Model, at: &Place) -> Result<()> {
    for_change(model, at).map(drop)
}

pub(super) fn setxattr(model: &mut Model, at: &Place, name: &[u8], value: &[u8]) -> Result<()> {
    const VALUE_LIMIT: usize = 1024;
    let path = model.find(at)?;
    let kind = &model.files.inode_of(path.den).kind;
    let plain = matches!(kind, Kind::File | Kind::Directory);
    let layer = name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.");
    let disk = matches!(model.files.type_of(path.den), Type::Ext4 | Type::Xfs | Type::Btrfs);
    let memory = model.files.type_of(path.den) == Type::Tmpfs;
    let user = name.starts_with(b"user.") && disk && plain;
    let trusted = name.starts_with(b"trusted.") && (disk || memory) && plain;
    if layer || !(user || trusted) || value.len() > VALUE_LIMIT {
        return unknown("whether there can be this attribute");
    }
    for_change(model, at).map(drop)
}
