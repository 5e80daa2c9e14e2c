//! Steps that mount filesystems: where a mount lands, and what is mounted there (fs/namespace.c).

use super::files::{Den, Kind, Sb, Type};
use super::mounts::{Mnt, Path};
use super::{Model, Refusal, Result, errno, names, overlay, unknown};
use crate::Bytes;
use crate::program::{Filesystem, MountAttribute, Place, Step, Subvolume};
use vocabulary::Errno;
use vocabulary::object::LookupKind;

/// The mount point, made when it is missing (`make_mount_point`), with everything that covers it.
pub(super) fn mount_point(model: &mut Model, at: &Place, file: bool) -> Result<Path> {
    match model.find(at) {
        Ok(_) => {}
        Err(Refusal::Errno(Errno::ENOENT)) => {
            names::make(model, at, if file { Kind::File } else { Kind::Directory })?;
        }
        Err(refusal) => return Err(refusal),
    }
    model.find(at)
}

/// `lock_mount`: where a mount lands, which must be in the namespace and not removed.
pub(super) fn landing(model: &Model, at: Path, directory: bool) -> Result<Path> {
    let at = model.mounts.down(at);
    if at == model.process.top {
        return unknown("a mount over the top directory");
    }
    if !is_rooted(model, at.den) {
        return errno(Errno::ENOENT);
    }
    if !model.mounts.get(at.mnt).attached {
        return errno(Errno::EINVAL);
    }
    if model.files.is_directory(at.den) != directory {
        return errno(Errno::ENOTDIR);
    }
    Ok(at)
}

/// Neither the name nor a directory above it was removed.
pub(super) fn is_rooted(model: &Model, den: Den) -> bool {
    let mut at = den;
    while !model.files.is_root(at) {
        if model.files.is_removed(at) {
            return false;
        }
        at = model.files.dentry(at).parent;
    }
    true
}

fn attach_new(model: &mut Model, (sb, root): (Sb, Den), at: Path, attributes: &[MountAttribute]) -> Result<Mnt> {
    let at = landing(model, at, true)?;
    if model.mounts.get(at.mnt).sb == sb && model.mounts.get(at.mnt).root == at.den {
        return errno(Errno::EBUSY);
    }
    let mnt = model.mounts.add(sb, root);
    model.mounts.set_attributes(mnt, attributes);
    model.mounts.attach(mnt, at, &model.files);
    Ok(mnt)
}

pub(super) fn type_of(filesystem: Filesystem) -> Type {
    match filesystem {
        Filesystem::Tmpfs => Type::Tmpfs,
        Filesystem::Ramfs => Type::Ramfs,
        Filesystem::Ext4 => Type::Ext4,
        Filesystem::Xfs => Type::Xfs,
        Filesystem::Btrfs => Type::Btrfs,
        Filesystem::Proc => Type::Proc,
        Filesystem::Sysfs => Type::Sysfs,
        Filesystem::Devpts => Type::Devpts,
        Filesystem::Mqueue => Type::Mqueue,
        Filesystem::Devtmpfs => Type::Devtmpfs,
        Filesystem::Hugetlbfs => Type::Hugetlbfs,
        Filesystem::Cgroup2 => Type::Cgroup2,
        Filesystem::Squashfs => Type::Squashfs,
        Filesystem::Erofs => Type::Erofs,
        Filesystem::Vfat => Type::Vfat,
    }
}

pub(super) fn mount(
    model: &mut Model,
    filesystem: Filesystem,
    place: &Place,
    attributes: &[MountAttribute],
) -> Result<()> {
    let at = mount_point(model, place, false)?;
    let kind = type_of(filesystem);
    let node = if filesystem.needs_disk() { Some(device_folder(model)?) } else { None };
    let known = model.singles.iter().find(|(single, _)| *single == kind).map(|(_, sb)| *sb);
    let sb = known.unwrap_or_else(|| model.files.add_superblock(kind));
    if kind.is_single() && known.is_none() {
        model.singles.push((kind, sb));
    }
    let root = model.files.superblock(sb).root;
    let mnt = attach_new(model, (sb, root), at, &[])?;
    if let Some(node) = node {
        model.disks.insert(place.clone(), (sb, node));
    }
    if attributes.is_empty() {
        return Ok(());
    }
    // The attributes are set afterwards, on what the path leads to: the copies at peers do not have
    // them.
    let found = model.find(place)?;
    if found.mnt != mnt {
        return unknown("setting attributes where the path leads elsewhere");
    }
    model.mounts.set_attributes(mnt, attributes);
    Ok(())
}

/// The folder in which the executor makes the node of a loop device: `/dev` below the root that the
/// process has.
fn device_folder(model: &mut Model) -> Result<Den> {
    if model.process.root != model.process.top {
        return unknown("where the harness makes device nodes in another root");
    }
    let found = match model.look_up(model.process.root, b"dev", LookupKind::Plain) {
        Err(Refusal::Errno(Errno::ENOENT)) => {
            let dev = Place { base: None, path: Bytes::from("dev") };
            names::make(model, &dev, Kind::Directory)?
        }
        found => found?,
    };
    if !model.files.is_directory(found.den) || model.mounts.get(found.mnt).nodev {
        return unknown("device nodes that are no use");
    }
    model.want_write(found.mnt)?;
    let ino = model.inode_at(found);
    model.may_change(ino)?;
    if model.files.type_of(found.den) == Type::Overlay || model.files.inode(ino).opaque || model.files.inode(ino).dead {
        return unknown("device nodes on an overlay");
    }
    model.changed(ino);
    model.files.inode_mut(ino).foreign = true;
    Ok(found.den)
}

pub(super) fn mount_again(
    model: &mut Model,
    (of, place): (&Place, &Place),
    subvolume: Option<&Subvolume>,
    attributes: &[MountAttribute],
) -> Result<()> {
    let Some(&(sb, node)) = model.disks.get(of) else {
        return Err(Refusal::Fails("no block device was mounted there by `mount`"));
    };
    let at = mount_point(model, place, false)?;
    if model.look_up(model.process.root, b"dev", LookupKind::Plain).map(|found| found.den) != Ok(node) {
        return unknown("whether the device's node is still there");
    }
    let kind = model.files.superblock(sb).kind;
    let top = model.files.superblock(sb).root;
    let root = match subvolume {
        None => top,
        Some(_) if kind != Type::Btrfs => return errno(Errno::EINVAL),
        Some(Subvolume::Path(name)) => model.subvolume(top, name.as_slice())?,
        Some(Subvolume::Id(id)) => model.subvolume_by_id(sb, *id)?,
    };
    // `get_tree_bdev` takes a superblock for a mount of the same kind only.
    if model.files.superblock(sb).read_only {
        return match (attributes.contains(&MountAttribute::Ro), is_mounted(model, sb)) {
            (true, true) => attach_new(model, (sb, root), at, &without_nosymfollow(attributes)).map(drop),
            (false, true) => errno(Errno::EBUSY),
            (_, false) => unknown("whether the superblock is still there"),
        };
    }
    // The superblock is read-write, and only btrfs takes that for a mount that is not.
    if attributes.contains(&MountAttribute::Ro) && kind != Type::Btrfs {
        return if is_mounted(model, sb) {
            errno(Errno::EBUSY)
        } else {
            unknown("a superblock that becomes read-only")
        };
    }
    if attributes.contains(&MountAttribute::Ro) {
        return unknown("a read-only mount of a btrfs that may be written to");
    }
    let attributes = without_nosymfollow(attributes);
    attach_new(model, (sb, root), at, &attributes).map(drop)
}

/// The filesystem becomes read-only, none of its mounts does (`reconfigure_super`, fs/super.c).
pub(super) fn make_read_only(model: &mut Model, place: &Place) -> Result<()> {
    let path = model.find(place)?;
    let (sb, root) = (model.mounts.get(path.mnt).sb, model.mounts.get(path.mnt).root);
    if path.den != root || !model.mounts.get(path.mnt).attached {
        return errno(Errno::EINVAL);
    }
    let kind = model.files.superblock(sb).kind;
    let known = matches!(kind, Type::Tmpfs | Type::Ext4 | Type::Xfs | Type::Btrfs | Type::Vfat);
    if !known || sb == model.mounts.get(model.process.top.mnt).sb || model.files.is_layered(sb) {
        return unknown("whether this filesystem can become read-only");
    }
    let is_of_it = |path: &Path| model.files.inode_of(path.den).sb == sb;
    if model.held().any(|path| is_of_it(&path) && model.is_leased(model.inode_at(path))) {
        return unknown("a lease that would be broken by looking at it");
    }
    // `sb_prepare_remount_readonly`: who writes, and what has no links any more.
    let is_gone = |path: &Path| model.files.links(model.inode_at(*path)) == Some(0);
    let is_written = |&mnt: &Mnt| model.mounts.get(mnt).sb == sb && model.has_writers(mnt);
    if model.held().any(|path| is_of_it(&path) && is_gone(&path)) || model.mounts.all().any(|mnt| is_written(&mnt)) {
        return errno(Errno::EBUSY);
    }
    model.files.superblock_mut(sb).read_only = true;
    Ok(())
}

fn is_mounted(model: &Model, sb: Sb) -> bool {
    model.mounts.all().any(|mnt| {
        let row = model.mounts.get(mnt);
        row.sb == sb && (row.attached || row.elsewhere)
    })
}

/// mount(2) has no flag for it that the executor would give.
fn without_nosymfollow(attributes: &[MountAttribute]) -> Vec<MountAttribute> {
    attributes.iter().copied().filter(|attribute| *attribute != MountAttribute::Nosymfollow).collect()
}

pub(super) fn mount_overlay(model: &mut Model, step: &Step) -> Result<()> {
    let Step::Overlay { at, lower, upper, work, attributes, nfs_export, settings } = step else {
        unreachable!("the caller sends overlay steps only");
    };
    let at = mount_point(model, at, false)?;
    for place in [upper, work].into_iter().flatten() {
        mount_point(model, place, false)?;
    }
    let found: Result<Vec<Path>> = lower.iter().map(|place| overlay::layer(model, place)).collect();
    let found = found?;
    let writable = match (upper, work) {
        (Some(upper), Some(work)) => Some((overlay::layer(model, upper)?, overlay::layer(model, work)?)),
        _ => None,
    };
    let on_disk = |path: &Path| matches!(model.files.type_of(path.den), Type::Ext4 | Type::Xfs);
    if writable.is_none() && settings.given().next().is_some() {
        return unknown("settings of an overlay without an upper layer");
    }
    let needs_handles = *nfs_export || settings.index == Some(true);
    if needs_handles && !writable.is_some_and(|(upper, _)| on_disk(&upper) && found.iter().all(on_disk)) {
        return unknown("file handles of these layers");
    }
    if attributes.contains(&MountAttribute::Ro) {
        return unknown("an overlay whose superblock is read-only");
    }
    let layers = overlay::layers(model, found, writable)?;
    landing(model, at, true)?;
    let sb = overlay::mount(model, &layers, writable.map(|(_, work)| work), needs_handles, *settings);
    let root = model.files.superblock(sb).root;
    attach_new(model, (sb, root), at, &without_nosymfollow(attributes)).map(drop)
}
