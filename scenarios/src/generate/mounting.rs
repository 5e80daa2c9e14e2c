//! Steps that change mounts, with arguments that exist.

use arbitrary::{Result, Unstructured};

use super::ProgramBuilder;
use super::arguments::{Choice, below};
use crate::Bytes;
use crate::model::{Entry, EntryKind, MountPoint};
use crate::program::{Filesystem, MountAttribute, OverlaySettings, Place, Propagation, Step, Subvolume};

pub(super) fn mount(u: &mut Unstructured<'_>, choice: &Choice<'_>, filesystem: Option<Filesystem>) -> Result<Step> {
    let filesystem = match filesystem {
        Some(filesystem) => filesystem,
        None => choice.swarm.filesystem(u)?,
    };
    Ok(Step::Mount { filesystem, at: target(u, choice)?, attributes: attributes(u)? })
}

pub(super) fn bind(u: &mut Unstructured<'_>, choice: &Choice<'_>, recursive: bool) -> Result<Option<Step>> {
    let Some(from) = choice.entry(u, |entry| entry.kind != EntryKind::Symlink && entry.attached)? else {
        return Ok(None);
    };
    let to = match from.kind {
        EntryKind::Directory => target(u, choice)?,
        _ => file_target(u, choice)?,
    };
    Ok(Some(Step::Bind { from: from.place.clone(), to, recursive, attributes: attributes(u)? }))
}

pub(super) fn move_mount(u: &mut Unstructured<'_>, choice: &Choice<'_>) -> Result<Option<Step>> {
    let Some(mount) = mounted(u, choice)? else { return Ok(None) };
    Ok(Some(Step::Move { from: mount.place.clone(), to: target(u, choice)? }))
}

pub(super) fn remount(u: &mut Unstructured<'_>, choice: &Choice<'_>) -> Result<Option<Step>> {
    let Some(mount) = mounted(u, choice)? else { return Ok(None) };
    if u.ratio(1, 8)? {
        let attributes = vec![MountAttribute::Ro];
        return Ok(Some(Step::Remount { at: mount.place.clone(), superblock: true, attributes }));
    }
    let mut attributes = attributes(u)?;
    if attributes.is_empty() {
        attributes.push(MountAttribute::Nosuid);
    }
    Ok(Some(Step::Remount { at: mount.place.clone(), superblock: false, attributes }))
}

pub(super) fn propagate(u: &mut Unstructured<'_>, choice: &Choice<'_>) -> Result<Step> {
    use Propagation::{Private, Shared, Slave, Unbindable};
    let at = match mounted(u, choice)? {
        Some(mount) if !u.ratio(1, 8)? => mount.place.clone(),
        _ => Place { base: None, path: Bytes::from(".") },
    };
    let kind = *u.choose(&[Shared, Shared, Shared, Slave, Slave, Private, Unbindable])?;
    Ok(Step::Propagate { at, kind, recursive: u.ratio(1, 4)? })
}

pub(super) fn unmount(u: &mut Unstructured<'_>, choice: &Choice<'_>) -> Result<Option<Step>> {
    let idle: Vec<_> = choice.survey.mounts.iter().filter(|mount| mount.objects == 0).collect();
    if idle.is_empty() {
        return Ok(None);
    }
    Ok(Some(Step::Unmount { at: u.choose(&idle)?.place.clone(), lazy: false }))
}

pub(super) fn unmount_lazily(u: &mut Unstructured<'_>, choice: &Choice<'_>) -> Result<Option<Step>> {
    let Some(any) = mounted(u, choice)? else { return Ok(None) };
    let held: Vec<_> = choice.survey.mounts.iter().filter(|mount| mount.objects > 0).collect();
    let mount = if !held.is_empty() && u.ratio(7, 8)? { *u.choose(&held)? } else { any };
    Ok(Some(Step::Unmount { at: mount.place.clone(), lazy: true }))
}

/// A mount that the program made.
fn mounted<'a>(u: &mut Unstructured<'_>, choice: &'a Choice<'_>) -> Result<Option<&'a MountPoint>> {
    let mounts = &choice.survey.mounts;
    if mounts.is_empty() { Ok(None) } else { u.choose(mounts).map(Some) }
}

/// Where something is mounted: a directory that is there, or a new name.
fn target(u: &mut Unstructured<'_>, choice: &Choice<'_>) -> Result<Place> {
    let there = |entry: &Entry| entry.kind == EntryKind::Directory && entry.attached;
    match choice.entry(u, there)? {
        Some(entry) if u.ratio(1, 2)? => Ok(entry.place.clone()),
        _ if u.ratio(2, 3)? => Ok(Place { base: None, path: Bytes::from(choice.swarm.name(u)?) }),
        _ => choice.fresh(u),
    }
}

fn file_target(u: &mut Unstructured<'_>, choice: &Choice<'_>) -> Result<Place> {
    match choice.entry(u, |entry| entry.kind == EntryKind::File && entry.attached)? {
        Some(entry) if u.ratio(1, 3)? => Ok(entry.place.clone()),
        _ => Ok(Place { base: None, path: Bytes::from(choice.swarm.name(u)?) }),
    }
}

/// Few attributes, and most often none: a read-only mount prevents everything else.
fn attributes(u: &mut Unstructured<'_>) -> Result<Vec<MountAttribute>> {
    use MountAttribute as A;
    let mut out = Vec::new();
    let all = [A::Nosuid, A::Nodev, A::Noexec, A::Noatime, A::Nodiratime, A::Relatime, A::Strictatime, A::Nosymfollow];
    if u.ratio(1, 6)? {
        out.push(*u.choose(&all)?);
    }
    if u.ratio(1, 12)? {
        out.push(A::Ro);
    }
    Ok(out)
}

/// Most often of a mount's root: that is what a copy of can be restored.
pub(super) fn open_tree(
    u: &mut Unstructured<'_>,
    choice: &Choice<'_>,
    builder: &mut ProgramBuilder,
) -> Result<Option<Step>> {
    let fits = |entry: &Entry| entry.kind != EntryKind::Symlink && entry.attached;
    let at = match mounted(u, choice)? {
        Some(mount) if u.ratio(2, 3)? => Some(mount.place.clone()),
        _ => choice.entry(u, fits)?.map(|entry| entry.place.clone()),
    };
    let Some(at) = at else { return Ok(None) };
    let (recursive, attributes) = (u.ratio(1, 3)?, attributes(u)?);
    Ok(Some(Step::OpenTree { name: builder.name("tree"), at, recursive, attributes }))
}

pub(super) fn new_tree(u: &mut Unstructured<'_>, builder: &mut ProgramBuilder) -> Result<Step> {
    let filesystem = *u.choose(&[Filesystem::Tmpfs, Filesystem::Tmpfs, Filesystem::Ramfs])?;
    Ok(Step::NewTree { name: builder.name("tree"), filesystem, attributes: attributes(u)? })
}

pub(super) fn again(u: &mut Unstructured<'_>, choice: &Choice<'_>) -> Result<Option<Step>> {
    let of = &choice.survey.disks;
    if of.is_empty() {
        return Ok(None);
    }
    let (of, filesystem) = u.choose(of)?.clone();
    let subvolumes = choice.survey.entries.iter().filter(|entry| entry.is_subvolume && !entry.is_mount);
    let subvolumes = subvolumes.filter_map(|entry| {
        let inside = entry.place.path.as_slice().strip_prefix(of.path.as_slice())?.strip_prefix(b"/")?;
        (entry.place.base == of.base).then(|| Bytes::from(inside))
    });
    let subvolumes: Vec<Bytes> = subvolumes.collect();
    let subvolume = match filesystem {
        Filesystem::Btrfs if u.ratio(1, 6)? => Some(Subvolume::Id(*u.choose(&[5, 256, 256, 257])?)),
        Filesystem::Btrfs if !subvolumes.is_empty() && u.ratio(2, 3)? => {
            Some(Subvolume::Path(u.choose(&subvolumes)?.clone()))
        }
        _ => None,
    };
    Ok(Some(Step::MountAgain { of, at: target(u, choice)?, subvolume, attributes: attributes(u)? }))
}

pub(super) fn overlay(u: &mut Unstructured<'_>, choice: &Choice<'_>) -> Result<Option<Step>> {
    let fits = |entry: &Entry| {
        entry.kind == EntryKind::Directory && entry.attached && entry.place.base.is_none() && !entry.is_layer
    };
    let mut lower: Vec<Place> = Vec::new();
    for _ in 0..u.int_in_range(1..=2)? {
        let Some(entry) = choice.entry(u, fits)? else { return Ok(None) };
        if !lower.contains(&entry.place) {
            lower.push(entry.place.clone());
        }
    }
    let (mut upper, mut work) = (None, None);
    if lower.len() < 2 || u.ratio(3, 4)? {
        let Some(entry) = choice.entry(u, fits)? else { return Ok(None) };
        let path = entry.place.path.as_slice();
        let parent = path.iter().rposition(|&byte| byte == b'/').map_or(&b""[..], |slash| &path[..slash]);
        let parent = Place { base: None, path: Bytes::from(parent) };
        upper = Some(below(&parent, b"upper"));
        work = Some(below(&parent, b"work"));
    }
    let nfs_export = upper.is_some() && u.ratio(1, 8)?;
    let settings =
        if upper.is_some() && u.ratio(1, 3)? { settings(u, nfs_export)? } else { OverlaySettings::default() };
    Ok(Some(Step::Overlay { at: target(u, choice)?, lower, upper, work, nfs_export, settings, attributes: Vec::new() }))
}

/// Settings that can stand together.
fn settings(u: &mut Unstructured<'_>, nfs_export: bool) -> Result<OverlaySettings> {
    let one = |u: &mut Unstructured<'_>| if u.ratio(1, 2)? { u.arbitrary().map(Some) } else { Ok(None) };
    let mut settings = OverlaySettings { metacopy: one(u)?, redirect_dir: one(u)?, index: one(u)?, xino: one(u)? };
    if settings.redirect_dir == Some(false) || nfs_export {
        settings.metacopy = settings.metacopy.and(Some(false));
    }
    if nfs_export {
        settings.index = settings.index.and(Some(true));
    }
    Ok(settings)
}

pub(super) fn pivot(u: &mut Unstructured<'_>, choice: &Choice<'_>) -> Result<Option<Step>> {
    let mounts: Vec<_> = choice.survey.mounts.iter().filter(|mount| mount.place.base.is_none()).collect();
    if mounts.is_empty() {
        return Ok(None);
    }
    let new_root = u.choose(&mounts)?.place.clone();
    let inside = |entry: &Entry| {
        let rest = entry.place.path.as_slice().strip_prefix(new_root.path.as_slice());
        entry.kind == EntryKind::Directory && rest.is_some_and(|rest| rest.starts_with(b"/"))
    };
    let put_old = choice.entry(u, inside)?.map(|entry| entry.place.clone());
    let put_old = match put_old {
        Some(put_old) if u.ratio(3, 4)? => put_old,
        _ => new_root.clone(),
    };
    Ok(Some(Step::PivotRoot { new_root, put_old }))
}
