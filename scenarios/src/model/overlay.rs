//! overlayfs: one tree made of layers when it is mounted, and what is copied up later
//! (Documentation/filesystems/overlayfs.rst).

use std::collections::BTreeMap;

use super::files::{Den, Ino, Kind, Layer, Sb, Type};
use super::mounts::Path;
use super::{Model, Result, errno, unknown};
use crate::program::{DeviceKind, OverlaySettings, Place};
use vocabulary::Errno;
use vocabulary::object::LookupKind;

/// The layers of an overlay, topmost first.
pub(super) struct Layers {
    lower: Vec<Path>,
    upper: Option<Path>,
}

/// The options of a mount are text from the root of the process, in which these bytes mean
/// something.
const SPECIAL: &[u8] = b":,\\\"= \t\n";

/// A layer's directory, found as mount(2) finds it.
pub(super) fn layer(model: &Model, place: &Place) -> Result<Path> {
    if place.base.is_some() {
        return Err(super::Refusal::Fails("a layer is named by a path below the top directory"));
    }
    if place.path.as_slice().iter().any(|byte| SPECIAL.contains(byte)) {
        return unknown("how the path of a layer is read");
    }
    let found = model.look_up(model.process.root, place.path.as_slice(), LookupKind::Plain)?;
    if !model.files.is_directory(found.den) {
        return errno(Errno::ENOTDIR);
    }
    let row = model.files.inode_of(found.den);
    if row.opaque
        || row.layer_of.is_some()
        || row.dead
        || row.foreign
        || row.volume.is_some_and(|volume| model.files.inode(volume).volume_read_only)
    {
        return unknown("a layer that another overlay has, or that was removed");
    }
    match model.files.type_of(found.den) {
        Type::Tmpfs | Type::Ext4 | Type::Xfs | Type::Btrfs => Ok(found),
        _ => unknown("a layer on this type of filesystem"),
    }
}

/// Checks the layers, which are found already.
pub(super) fn layers(model: &Model, lower: Vec<Path>, upper: Option<(Path, Path)>) -> Result<Layers> {
    // An overlay needs two layers (`ovl_get_lowerstack`).
    if upper.is_none() && lower.len() < 2 {
        return errno(Errno::EINVAL);
    }
    if let Some((upper, work)) = upper {
        if upper.mnt != work.mnt {
            return errno(Errno::EINVAL);
        }
        model.want_write(upper.mnt)?;
        if !model.files.inode_of(work.den).children.is_empty() {
            return unknown("a work directory with something in it");
        }
    }
    let all: Vec<Path> =
        lower.iter().copied().chain(upper.into_iter().flat_map(|(upper, work)| [upper, work])).collect();
    for (index, one) in all.iter().enumerate() {
        for other in &all[index + 1..] {
            if model.files.is_below(one.den, other.den) || model.files.is_below(other.den, one.den) {
                return unknown("layers that overlap");
            }
        }
        // `clone_private_mount`
        let mount = model.mounts.get(one.mnt);
        if mount.floating {
            return unknown("a layer on a tree that is attached nowhere, which only newer kernels take");
        }
        if mount.unbindable || !mount.attached {
            return errno(Errno::EINVAL);
        }
        if crosses(model, one.den) {
            return unknown("a subvolume or a mount point in a layer");
        }
    }
    Ok(Layers { lower, upper: upper.map(|(upper, _)| upper) })
}

fn crosses(model: &Model, den: Den) -> bool {
    let row = model.files.inode_of(den);
    model.mounts.is_mount_point(den)
        || row.children.values().any(|&child| {
            let below = model.files.inode_of(child);
            below.opaque || below.foreign || below.volume != row.volume || crosses(model, child)
        })
}

/// The superblock of an overlay.
pub(super) fn mount(
    model: &mut Model,
    layers: &Layers,
    work: Option<Path>,
    indexed: bool,
    settings: OverlaySettings,
) -> Sb {
    let sb = model.files.add_superblock(Type::Overlay);
    let mut filesystems = layers.upper.iter().chain(&layers.lower).map(|path| model.files.inode_of(path.den).sb);
    let first = filesystems.next();
    let one_device = filesystems.all(|other| Some(other) == first);
    let row = model.files.superblock_mut(sb);
    row.read_only = layers.upper.is_none();
    row.one_device = one_device || settings.xino == Some(true);
    // `metacopy=on` brings `redirect_dir=on` along.
    row.redirects = settings.redirect_dir.or(settings.metacopy.filter(|&on| on));
    row.indexed = indexed;
    let root = model.files.superblock(sb).root;
    let all: Vec<(Den, bool)> = layers
        .upper
        .iter()
        .map(|path| (path.den, true))
        .chain(layers.lower.iter().map(|path| (path.den, false)))
        .collect();
    let root_inode = model.files.dentry(root).inode;
    model.files.inode_mut(root_inode).layer =
        Some(if all.len() > 1 { Layer::Merged } else { lower_of(model, all[0].0) });
    merge(model, root, &all, &mut BTreeMap::new());
    for (den, upper) in all.iter().copied().chain(work.map(|path| (path.den, true))) {
        claim(model, den, sb, upper);
    }
    sb
}

fn lower_of(model: &Model, den: Den) -> Layer {
    Layer::Lower(model.files.dentry(den).inode)
}

/// Fills a directory of the overlay from those of the layers, topmost first. `known`: the inodes of
/// an overlay with an index, by those of the lower layers.
fn merge(model: &mut Model, into: Den, from: &[(Den, bool)], known: &mut BTreeMap<Ino, Ino>) {
    let indexed = model.files.superblock(model.files.inode_of(into).sb).indexed;
    let mut names: Vec<Vec<u8>> =
        from.iter().flat_map(|(den, _)| model.files.inode_of(*den).children.keys().cloned()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let found: Vec<(Den, bool)> = from
            .iter()
            .filter_map(|(den, upper)| model.files.inode_of(*den).children.get(&name).map(|child| (*child, *upper)))
            .collect();
        let whiteout = |den: Den| model.files.inode_of(den).kind == Kind::Device(DeviceKind::Char, 0, 0);
        let Some(&(first, upper)) = found.first() else { continue };
        if whiteout(first) {
            continue;
        }
        let directories: Vec<(Den, bool)> =
            found.iter().take_while(|(den, _)| model.files.is_directory(*den)).copied().collect();
        let real_ino = model.files.dentry(first).inode;
        if let Some(&inode) = known.get(&real_ino) {
            model.files.add_name(into, &name, inode);
            continue;
        }
        let real = model.files.inode(real_ino).clone();
        let den = model.files.make(into, &name, real.kind.clone());
        let inode = model.files.dentry(den).inode;
        let layer = match directories.len() {
            0 | 1 if upper => Layer::Upper,
            0 | 1 => lower_of(model, first),
            _ => Layer::Merged,
        };
        let row = model.files.inode_mut(inode);
        (row.layer, row.links, row.mode, row.uid) = (Some(layer), real.links, real.mode, real.uid);
        row.content = real.content;
        let linked = real.kind != Kind::Directory && real.links > 1;
        row.uncertain = linked && (upper || !indexed);
        if linked && !row.uncertain {
            known.insert(real_ino, inode);
        }
        if !directories.is_empty() {
            merge(model, den, &directories, known);
        }
    }
}

/// The layers belong to the overlay from now on; the model does not follow what it does in the
/// upper one.
fn claim(model: &mut Model, den: Den, sb: Sb, upper: bool) {
    let inode = model.files.dentry(den).inode;
    let row = model.files.inode_mut(inode);
    row.layer_of = Some(sb);
    row.opaque |= upper;
    let children: Vec<Den> = row.children.values().copied().collect();
    for child in children {
        claim(model, child, sb, upper);
    }
}

/// Before a change: a file, and every directory above it, is copied to the upper layer.
pub(super) fn copy_up(model: &mut Model, path: Path) -> Result<()> {
    if model.files.type_of(path.den) != Type::Overlay {
        return Ok(());
    }
    if model.files.is_removed(path.den) {
        return match model.files.inode_of(path.den).layer {
            Some(Layer::Upper) => Ok(()),
            _ => unknown("copying up a deleted file"),
        };
    }
    let mut den = path.den;
    loop {
        let inode = model.files.dentry(den).inode;
        copy_up_one(model, inode)?;
        if model.files.is_root(den) {
            return Ok(());
        }
        den = model.files.dentry(den).parent;
    }
}

fn copy_up_one(model: &mut Model, ino: Ino) -> Result<()> {
    let row = model.files.inode(ino);
    let Some(Layer::Lower(real)) = row.layer else { return Ok(()) };
    if row.opaque {
        return unknown("what became of the layer");
    }
    if row.uncertain {
        return unknown("copying up a file with several names");
    }
    let directory = row.kind == Kind::Directory;
    // A file without an index leaves its other names behind in the lower layer.
    let links = if model.files.superblock(row.sb).indexed { model.files.inode(real).links } else { 1 };
    let content = model.files.inode(real).content.clone();
    let row = model.files.inode_mut(ino);
    row.layer = Some(if directory { Layer::Merged } else { Layer::Upper });
    (row.content, row.links) = (content, links);
    Ok(())
}

/// Before a name goes: with an index the file itself is copied up if it has other names
/// (`ovl_nlink_start`).
pub(super) fn before_removal(model: &mut Model, path: Path) -> Result<()> {
    let row = model.files.inode_of(path.den);
    let indexed = model.files.superblock(row.sb).indexed;
    match row.layer {
        Some(Layer::Lower(real)) if indexed && row.kind != Kind::Directory && model.files.inode(real).links > 1 => {
            copy_up(model, path)
        }
        _ => Ok(()),
    }
}

/// A directory that is in a lower layer cannot be renamed without `redirect_dir`. Its default is a
/// setting of the kernel.
pub(super) fn may_rename(model: &Model, source: Den) -> Result<()> {
    let row = model.files.inode_of(source);
    let from_below = matches!(row.layer, Some(Layer::Lower(_) | Layer::Merged));
    if row.kind != Kind::Directory || !from_below {
        return Ok(());
    }
    match model.files.superblock(row.sb).redirects {
        Some(true) => Ok(()),
        Some(false) => errno(Errno::EXDEV),
        None => unknown("whether directories of a lower layer can be renamed"),
    }
}
