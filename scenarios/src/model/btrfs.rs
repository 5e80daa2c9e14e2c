//! Subvolumes and snapshots of btrfs (fs/btrfs/ioctl.c).

use std::collections::BTreeMap;

use super::files::{Den, Ino, Kind, Sb, Type};
use super::mounts::Path;
use super::walk::{Last, Parent};
use super::{Model, Result, errno, unknown};
use crate::program::Place;
use vocabulary::Errno;

/// `BTRFS_FS_TREE_OBJECTID`, include/uapi/linux/btrfs_tree.h: the top of a filesystem.
const TOP: u64 = 5;
/// `BTRFS_FIRST_FREE_OBJECTID`: the number of the first subvolume.
const FIRST: u64 = 256;

/// The directory and the name of a new subvolume.
fn target(model: &Model, at: &Place) -> Result<(Path, Vec<u8>)> {
    let Parent { at, last, slash } = model.find_parent(at)?;
    let Last::Name(name) = last else { return errno(Errno::EEXIST) };
    if slash || name.len() > 255 {
        return unknown("a subvolume's name that ends in a slash or is too long");
    }
    match model.files.type_of(at.den) {
        Type::Btrfs => {}
        Type::Overlay => return unknown("ioctls on an overlay"),
        kind if kind.is_kernels() => return unknown("ioctls of the kernel's filesystems"),
        _ => return errno(Errno::ENOTTY),
    }
    model.want_write(at.mnt)?;
    model.may_change(model.inode_at(at))?;
    Ok((at, name))
}

fn free(model: &Model, at: &Place) -> Result<(Path, Vec<u8>)> {
    let (at, name) = target(model, at)?;
    if model.child(at.den, &name)?.is_some() {
        return errno(Errno::EEXIST);
    }
    if model.files.inode_of(at.den).dead {
        return errno(Errno::ENOENT);
    }
    Ok((at, name))
}

pub(super) fn subvolume(model: &mut Model, at: &Place) -> Result<()> {
    let (at, name) = free(model, at)?;
    let directory = model.inode_at(at);
    model.changed(directory);
    let den = model.files.make(at.den, &name, Kind::Directory);
    let inode = model.files.dentry(den).inode;
    model.files.inode_mut(inode).volume = Some(inode);
    number(model, inode);
    Ok(())
}

pub(super) fn snapshot(model: &mut Model, from: &Place, to: &Place, read_only: bool) -> Result<()> {
    let source = model.find(from)?;
    if !model.files.is_directory(source.den) {
        return errno(Errno::ENOTDIR);
    }
    let (at, name) = free(model, to)?;
    let source_ino = model.inode_at(source);
    let row = model.files.inode(source_ino);
    if row.sb != model.files.inode_of(at.den).sb {
        return errno(Errno::EXDEV);
    }
    if row.volume != Some(source_ino) {
        return errno(Errno::EINVAL);
    }
    if row.dead || row.opaque {
        return unknown("a snapshot of a deleted subvolume");
    }
    let directory = model.inode_at(at);
    model.changed(directory);
    let den = model.files.make(at.den, &name, Kind::Directory);
    let volume = model.files.dentry(den).inode;
    let mut copied = BTreeMap::new();
    model.files.inode_mut(volume).volume = Some(volume);
    for (name, child) in children_without(model, source.den, volume) {
        copy(model, (&name, child), den, volume, &mut copied);
    }
    model.files.inode_mut(volume).volume_read_only = read_only;
    number(model, volume);
    Ok(())
}

/// A new subvolume has the next number.
fn number(model: &mut Model, volume: Ino) {
    let sb = model.files.inode(volume).sb;
    model.files.superblock_mut(sb).volumes.push(volume);
}

/// What is in a directory, but for the snapshot that is being made: what is copied was there before
/// the copy.
fn children_without(model: &Model, den: Den, snapshot: Ino) -> Vec<(Vec<u8>, Den)> {
    let all = model.files.inode_of(den).children.iter().map(|(name, &den)| (name.clone(), den));
    all.filter(|(_, den)| model.files.dentry(*den).inode != snapshot).collect()
}

fn copy(model: &mut Model, (name, from): (&[u8], Den), into: Den, volume: Ino, copied: &mut BTreeMap<Ino, Ino>) {
    let old = model.files.dentry(from).inode;
    if let Some(&inode) = copied.get(&old) {
        model.files.add_name(into, name, inode);
        return;
    }
    let row = model.files.inode(old).clone();
    let den = model.files.make(into, name, row.kind.clone());
    let inode = model.files.dentry(den).inode;
    copied.insert(old, inode);
    let new = model.files.inode_mut(inode);
    (new.links, new.mode, new.uid, new.content, new.volume) = (row.links, row.mode, row.uid, row.content, Some(volume));
    if row.volume == Some(old) || row.opaque {
        // A subvolume in a subvolume is not part of the snapshot: an empty directory that nothing
        // can be done with.
        new.opaque = true;
        return;
    }
    for (name, child) in children_without(model, from, volume) {
        copy(model, (&name, child), den, volume, copied);
    }
}

pub(super) fn delete(model: &mut Model, at: &Place) -> Result<()> {
    let (at, name) = target(model, at)?;
    let Some(den) = model.child(at.den, &name)? else { return errno(Errno::ENOENT) };
    let inode = model.files.dentry(den).inode;
    let row = model.files.inode(inode);
    if row.kind != Kind::Directory {
        return errno(Errno::ENOTDIR);
    }
    if row.opaque {
        return unknown("the place of a subvolume in a snapshot");
    }
    if row.volume != Some(inode) {
        return errno(Errno::EINVAL);
    }
    if holds_volume(model, den, inode) {
        return errno(Errno::ENOTEMPTY);
    }
    if model.is_used_below(den) {
        return unknown("what becomes of objects and mounts in a deleted subvolume");
    }
    let directory = model.inode_at(at);
    model.changed(directory);
    model.files.remove(den);
    Ok(())
}

fn holds_volume(model: &Model, den: Den, volume: Ino) -> bool {
    model.files.inode_of(den).children.values().any(|&child| {
        let row = model.files.inode_of(child);
        row.volume != Some(volume) || holds_volume(model, child, volume)
    })
}

impl Model {
    /// The place where a subvolume was when a snapshot was taken of the one around it.
    pub(super) fn is_stub(&self, den: Den) -> bool {
        let row = self.files.inode_of(den);
        row.opaque && row.volume.is_some() && row.layer_of.is_none()
    }

    /// Does a process hold a file below a name, or is something mounted there or shows it?
    pub(super) fn is_used_below(&self, den: Den) -> bool {
        let files = &self.files;
        let held = self.held().any(|path| files.is_below(path.den, den));
        let mounted = self.mounts.all().any(|mnt| {
            let row = self.mounts.get(mnt);
            row.attached && (files.is_below(row.root, den) || row.on.is_some_and(|on| files.is_below(on.den, den)))
        });
        held || mounted
    }

    /// The subvolume that `subvolid=` names.
    pub(super) fn subvolume_by_id(&self, sb: Sb, id: u64) -> Result<Den> {
        let superblock = self.files.superblock(sb);
        if id == TOP {
            return Ok(superblock.root);
        }
        let nth = id.checked_sub(FIRST).and_then(|nth| usize::try_from(nth).ok());
        let volume = nth.and_then(|nth| superblock.volumes.get(nth).copied());
        match volume.and_then(|volume| self.files.names_of(volume).next()) {
            Some(den) => Ok(den),
            None => unknown("what has the number of no subvolume"),
        }
    }

    /// The subvolume that `subvol=` names, from the top of the filesystem.
    pub(super) fn subvolume(&self, top: Den, name: &[u8]) -> Result<Den> {
        if name.iter().any(|byte| b",\\\"= \t\n".contains(byte)) {
            return unknown("how the name of a subvolume is read");
        }
        let mut at = top;
        for part in name.split(|&byte| byte == b'/').filter(|part| !part.is_empty()) {
            if matches!(part, b"." | b"..") || !self.files.is_directory(at) {
                return unknown("the way to a subvolume");
            }
            match self.child(at, part)? {
                Some(den) => at = den,
                None => return errno(Errno::ENOENT),
            }
        }
        let inode = self.files.dentry(at).inode;
        match self.files.inode(inode).volume == Some(inode) {
            true => Ok(at),
            false if self.files.is_directory(at) => errno(Errno::EINVAL),
            false => unknown("the way to a subvolume"),
        }
    }
}
