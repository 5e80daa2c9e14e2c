//! Steps that copy, move, change and remove mounts (fs/namespace.c).

use super::files::Kind;
use super::mounting::{is_rooted, landing, mount_point};
use super::mounts::{Mnt, Path};
use super::{Model, Result, errno, unknown};
use crate::program::{MountAttribute, Place, Propagation};
use vocabulary::Errno;

pub(super) fn bind(
    model: &mut Model,
    (from, to): (&Place, &Place),
    recursive: bool,
    attributes: &[MountAttribute],
) -> Result<()> {
    let source = model.find(from)?;
    let directory = model.files.is_directory(source.den);
    let target = mount_point(model, to, !directory)?;
    // The source is looked up again: the new mount point may have changed what the path leads to.
    let source = model.find(from)?;
    copyable(model, source)?;
    let at = landing(model, target, directory)?;
    // `attach_recursive_mnt` wants to be able to mount something on the root.
    if !is_rooted(model, source.den) {
        return errno(Errno::ENOENT);
    }
    let tree = copy(model, source, recursive);
    model.mounts.attach(tree, at, &model.files);
    if attributes.is_empty() {
        return Ok(());
    }
    remount(model, to, attributes)
}

/// Whether a mount, or a part of it from this place on, can be copied: by a bind, or by
/// open_tree(2).
pub(super) fn copyable(model: &Model, source: Path) -> Result<()> {
    let row = model.mounts.get(source.mnt);
    if row.floating {
        return unknown("a copy of a tree that is attached nowhere, which only newer kernels make");
    }
    if row.unbindable || !row.attached {
        return errno(Errno::EINVAL);
    }
    if matches!(model.files.inode_of(source.den).kind, Kind::Symlink(_)) {
        return unknown("a copy of a mount at a symbolic link");
    }
    if model.is_kernel_file(source) {
        return unknown("a mount of a part of the kernel's own filesystems");
    }
    Ok(())
}

/// The copy, attached nowhere; with `recursive` a tree.
pub(super) fn copy(model: &mut Model, source: Path, recursive: bool) -> Mnt {
    if recursive {
        model.mounts.clone_tree(source.mnt, source.den, &model.files)
    } else {
        model.mounts.clone_mount(source.mnt, source.den)
    }
}

pub(super) fn move_mount(model: &mut Model, from: &Place, to: &Place) -> Result<()> {
    mount_point(model, to, false)?;
    let (source, target) = (model.find(from)?, model.find(to)?);
    let at = model.mounts.down(target);
    if !is_rooted(model, at.den) {
        return errno(Errno::ENOENT);
    }
    let row = model.mounts.get(source.mnt);
    let parent = row.on;
    let root_like = source.mnt == model.process.top.mnt || source.mnt == model.process.root.mnt;
    if root_like {
        return unknown("moving a root");
    }
    if model.mounts.get(at.mnt).floating {
        return unknown("a mount on a tree that is attached nowhere, which only newer kernels make");
    }
    // The root of a tree that is attached nowhere may be attached.
    let is_there = row.attached || row.floating && row.on.is_none();
    let in_namespace = is_there && model.mounts.get(at.mnt).attached;
    if !in_namespace
        || source.den != row.root
        || model.files.is_directory(at.den) != model.files.is_directory(source.den)
    {
        return errno(Errno::EINVAL);
    }
    if parent.is_some_and(|on| model.mounts.get(on.mnt).shared.is_some()) {
        return errno(Errno::EINVAL);
    }
    let unbindable = model.mounts.tree(source.mnt).into_iter().any(|mnt| model.mounts.get(mnt).unbindable);
    if model.mounts.get(at.mnt).shared.is_some() && unbindable {
        return errno(Errno::EINVAL);
    }
    if model.mounts.is_ancestor(source.mnt, at.mnt) {
        return errno(Errno::ELOOP);
    }
    if at == model.process.top {
        return unknown("a mount over the top directory");
    }
    if !is_rooted(model, source.den) {
        return errno(Errno::ENOENT);
    }
    model.mounts.get_mut(source.mnt).on = None;
    model.mounts.attach(source.mnt, at, &model.files);
    Ok(())
}

/// The mount that a path leads to the root of, in the namespace.
fn mounted(model: &Model, at: Path) -> Result<Mnt> {
    let row = model.mounts.get(at.mnt);
    if at.den != row.root || !row.attached { errno(Errno::EINVAL) } else { Ok(at.mnt) }
}

pub(super) fn remount(model: &mut Model, place: &Place, attributes: &[MountAttribute]) -> Result<()> {
    let mnt = mounted(model, model.find(place)?)?;
    if mnt == model.process.top.mnt {
        return unknown("attributes of the top directory's mount, which the harness needs");
    }
    let leased = model.held().any(|path| path.mnt == mnt && model.is_leased(model.inode_at(path)));
    if leased {
        return unknown("a lease that would be broken by looking at it");
    }
    if attributes.contains(&MountAttribute::Ro) && !model.mounts.get(mnt).read_only && model.has_writers(mnt) {
        return errno(Errno::EBUSY);
    }
    model.mounts.set_attributes(mnt, attributes);
    Ok(())
}

pub(super) fn propagate(model: &mut Model, place: &Place, kind: Propagation, recursive: bool) -> Result<()> {
    let path = model.find(place)?;
    if !model.mounts.get(path.mnt).attached {
        return unknown("the propagation of a detached mount, which only newer kernels refuse");
    }
    let mnt = mounted(model, path)?;
    let all = if recursive { model.mounts.tree(mnt) } else { vec![mnt] };
    for mnt in all {
        model.mounts.set_propagation(mnt, kind);
    }
    Ok(())
}

pub(super) fn unmount(model: &mut Model, place: &Place, lazy: bool) -> Result<()> {
    let path = model.mounts.down(model.find(place)?);
    let mnt = mounted(model, path)?;
    let tree = model.mounts.tree(mnt);
    if tree.contains(&model.process.top.mnt) {
        return unknown("unmounting the mount that the harness is on");
    }
    if !lazy {
        busy(model, mnt)?;
    }
    model.mounts.detach(mnt);
    if !model.mounts.get(model.process.top.mnt).attached {
        return unknown("unmounting the mount that the harness is on");
    }
    Ok(())
}

/// `propagate_mount_busy`.
fn busy(model: &Model, mnt: Mnt) -> Result<()> {
    let held = |mnt: Mnt| model.held().any(|path| path.mnt == mnt);
    if mnt == model.process.root.mnt {
        return unknown("unmounting the root");
    }
    if model.mounts.children(mnt).next().is_some() || held(mnt) {
        return errno(Errno::EBUSY);
    }
    let Some(on) = model.mounts.get(mnt).on else { return Ok(()) };
    for receiver in model.mounts.receivers(on.mnt) {
        let Some(child) = model.mounts.at(Path { mnt: receiver, den: on.den }) else { continue };
        let topped = model.mounts.at(model.mounts.root_of(child)).is_some();
        let has_children = model.mounts.children(child).next().is_some();
        if (topped || !has_children) && held(child) {
            return errno(Errno::EBUSY);
        }
    }
    Ok(())
}

pub(super) fn pivot_root(model: &mut Model, new_root: &Place, put_old: &Place) -> Result<()> {
    let (new, old) = (model.find(new_root)?, model.find(put_old)?);
    if !model.files.is_directory(new.den) || !model.files.is_directory(old.den) {
        return errno(Errno::ENOTDIR);
    }
    let old = model.mounts.down(old);
    if !is_rooted(model, old.den) {
        return errno(Errno::ENOENT);
    }
    if model.has_forked() {
        return unknown("the root and working directories of several processes, which move together");
    }
    let root = model.process.root;
    let mounts = &model.mounts;
    let shared = |mnt: Mnt| mounts.get(mnt).shared.is_some();
    let on_shared = |mnt: Mnt| mounts.get(mnt).on.is_some_and(|on| shared(on.mnt));
    let outside = |mnt: Mnt| !mounts.get(mnt).attached;
    if shared(old.mnt) || on_shared(new.mnt) || on_shared(root.mnt) || outside(root.mnt) || outside(new.mnt) {
        return errno(Errno::EINVAL);
    }
    if model.files.is_removed(new.den) {
        return errno(Errno::ENOENT);
    }
    if new.mnt == root.mnt || old.mnt == root.mnt {
        return errno(Errno::EBUSY);
    }
    let is_root = |path: Path| mounts.get(path.mnt).root == path.den && mounts.get(path.mnt).on.is_some();
    if !is_root(root) || !is_root(new) || !model.is_reachable(old, new) || !model.is_reachable(new, root) {
        return errno(Errno::EINVAL);
    }
    let place = mounts.get(root.mnt).on;
    model.mounts.get_mut(new.mnt).on = place;
    model.mounts.get_mut(root.mnt).on = Some(old);
    model.process.root = new;
    // `chroot_fs_refs`, and then the executor goes to the new root anyway.
    model.process.cwd = new;
    Ok(())
}

impl Model {
    /// `is_path_reachable`: going up leads there.
    fn is_reachable(&self, from: Path, to: Path) -> bool {
        let mut at = from;
        while at.mnt != to.mnt {
            let Some(on) = self.mounts.get(at.mnt).on else { return false };
            at = on;
        }
        self.files.is_below(at.den, to.den)
    }

    /// A file of a filesystem of the kernel's other than its root.
    fn is_kernel_file(&self, path: Path) -> bool {
        self.files.type_of(path.den).is_kernels() && !self.files.is_root(path.den)
    }
}
