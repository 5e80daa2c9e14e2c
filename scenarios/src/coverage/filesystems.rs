//! Which filesystem the detached mount shows, and where its superblock comes from.

use super::facts::{Facts, path};
use super::{Axis, Point, Reason};
use crate::Step;
use crate::capability::{Base, Capability};
use crate::program::{Filesystem, OverlaySettings, Place, Subvolume};

pub(super) const AXIS: Axis = Axis {
    name: "Filesystem",
    points: &[
        Point::detached("tmpfs", |facts| facts.is_on("tmpfs")),
        Point::detached("ramfs", |facts| facts.is_on("ramfs")),
        Point::detached("ext4", |facts| facts.is_on("ext4")),
        Point::detached("xfs", |facts| facts.is_on("xfs")),
        Point::detached("btrfs, top level", |facts| facts.is_on("btrfs") && !facts.step(is_subvolume)),
        Point::detached("btrfs subvolume", |facts| facts.is_on("btrfs") && facts.step(is_subvolume)),
        Point::detached("nested subvolume", |facts| facts.is_on("btrfs") && has_nested_subvolume(facts)),
        Point::detached("snapshot", |facts| facts.step(|step| matches!(step, Step::Snapshot { .. }))),
        Point::detached("read-only snapshot", |facts| {
            facts.step(|step| matches!(step, Step::Snapshot { read_only: true, .. }))
        }),
        Point::detached("mount with subvol=", |facts| facts.has_base(Base::Subvolume) && facts.step(is_subvol_mount)),
        Point::detached("mount with subvolid=", |facts| {
            facts.has_base(Base::Subvolume) && facts.step(is_subvolid_mount)
        }),
        Point::detached("same inode number in two subvolumes", |facts| {
            facts.is_on("btrfs") && has_one_path_in_two_subvolumes(facts)
        }),
        Point::detached("overlay without nfs_export", |facts| has_overlay(facts, false)),
        Point::detached("overlay with nfs_export=on", |facts| has_overlay(facts, true)),
        Point::detached("overlay, lower only", |facts| {
            facts.any(|held, mount| is_overlay(mount.type_name) && held.lower)
        }),
        Point::detached("overlay, copied up", has_copied_up),
        Point::detached("overlay, whiteout", has_whiteout),
        Point::detached("overlay with metacopy", |facts| is_set(facts, |settings| settings.metacopy)),
        Point::detached("overlay with redirect_dir", |facts| is_set(facts, |settings| settings.redirect_dir)),
        Point::detached("overlay with index", |facts| is_set(facts, |settings| settings.index)),
        Point::detached("overlay with xino", |facts| is_set(facts, |settings| settings.xino)),
        Point::detached("squashfs", |facts| facts.is_on("squashfs")),
        Point::detached("erofs", |facts| facts.is_on("erofs")),
        Point::detached("vfat", |facts| facts.is_on("vfat")),
        Point::waits("fuse, exportable", Reason::Filesystem("fuse-exportable")),
        Point::waits("fuse, not exportable", Reason::Filesystem("fuse")),
        Point::detached("proc", |facts| facts.is_on("proc")),
        Point::detached("sysfs", |facts| facts.is_on("sysfs")),
        Point::detached("devpts", |facts| facts.is_on("devpts")),
        // The model knows no files of it, so it does not see that one is held.
        Point::restored("mqueue", |facts| {
            let mounts = |step: &Step| matches!(step, Step::Mount { filesystem: Filesystem::Mqueue, .. });
            facts.step_then(mounts, |_, step| matches!(step, Step::Unmount { lazy: true, .. }))
        }),
        Point::detached("devtmpfs", |facts| facts.is_on("devtmpfs")),
        Point::detached("hugetlbfs", |facts| facts.is_on("hugetlbfs")),
        Point::detached("cgroup2", |facts| facts.is_on("cgroup2")),
        Point::waits(
            "nsfs",
            Reason::Missing("a detached bind of a namespace cannot be told from the kernel's own mount of nsfs"),
        ),
        Point::detached("internal mount beside (memfd)", |facts| facts.has(Capability::Memfd)),
        Point::detached("superblock on a loop device", |facts| is_disk(facts, true)),
        Point::detached("superblock on a virtio disk", |_| false)
            .without(Reason::Missing("the VMs have loop devices only, no virtio disk")),
        Point::detached("superblock in memory", |facts| is_disk(facts, false)),
    ],
};

fn is_subvolume(step: &Step) -> bool {
    matches!(step, Step::Subvolume { .. } | Step::Snapshot { .. })
}

fn is_subvol_mount(step: &Step) -> bool {
    matches!(step, Step::MountAgain { subvolume: Some(Subvolume::Path(_)), .. })
}

fn is_subvolid_mount(step: &Step) -> bool {
    matches!(step, Step::MountAgain { subvolume: Some(Subvolume::Id(_)), .. })
}

fn is_overlay(type_name: &str) -> bool {
    type_name == "overlay"
}

fn is_disk(facts: &Facts<'_>, disk: bool) -> bool {
    let needs_disk = |name: &str| {
        let filesystems =
            crate::grammar::words::<Filesystem>().into_iter().zip(<Filesystem as crate::grammar::Vocabulary>::WORDS);
        filesystems.into_iter().any(|(word, (_, filesystem))| word == name && filesystem.needs_disk())
    };
    facts.any(|_, mount| !is_overlay(mount.type_name) && needs_disk(mount.type_name) == disk)
}

/// The paths at which subvolumes are made, snapshots among them.
fn subvolumes<'a>(facts: &'a Facts<'_>) -> Vec<&'a [u8]> {
    let made = facts.steps().filter_map(|step| match step {
        Step::Subvolume { at } | Step::Snapshot { to: at, .. } => path(at),
        _ => None,
    });
    made.collect()
}

/// The rest of a path below a directory.
fn rest<'a>(path: &'a [u8], directory: &[u8]) -> Option<&'a [u8]> {
    path.strip_prefix(directory)?.strip_prefix(b"/")
}

fn has_nested_subvolume(facts: &Facts<'_>) -> bool {
    let all = subvolumes(facts);
    all.iter().any(|outer| all.iter().any(|inner| rest(inner, outer).is_some()))
}

/// The first file of every subvolume has the same number, and a snapshot has those of its origin.
fn has_one_path_in_two_subvolumes(facts: &Facts<'_>) -> bool {
    let all = subvolumes(facts);
    let written: Vec<&[u8]> = facts.steps().filter_map(written).collect();
    let has = |volume: &[u8], name: &[u8]| written.iter().any(|path| rest(path, volume) == Some(name));
    let in_two = all.iter().enumerate().any(|(at, one)| {
        let names = written.iter().filter_map(|path| rest(path, one));
        names.into_iter().any(|name| all[at + 1..].iter().any(|other| has(other, name)))
    });
    let is_copied = |step: &Step| match step {
        Step::Snapshot { from, .. } => {
            path(from).is_some_and(|from| written.iter().any(|path| rest(path, from).is_some()))
        }
        _ => false,
    };
    in_two || facts.step(is_copied)
}

fn written(step: &Step) -> Option<&[u8]> {
    match step {
        Step::Write { at, .. } => path(at),
        _ => None,
    }
}

fn has_overlay(facts: &Facts<'_>, exported: bool) -> bool {
    let is_it = |step: &Step| matches!(step, Step::Overlay { nfs_export, .. } if *nfs_export == exported);
    facts.any(|_, mount| is_overlay(mount.type_name)) && facts.step(is_it)
}

/// Whether something is held on an overlay that has this setting.
fn is_set(facts: &Facts<'_>, setting: fn(&OverlaySettings) -> Option<bool>) -> bool {
    let is_it = |step: &Step| matches!(step, Step::Overlay { settings, .. } if setting(settings) == Some(true));
    facts.any(|_, mount| is_overlay(mount.type_name)) && facts.step(is_it)
}

/// The files of lower layers that the program itself wrote, by their names in the overlay.
fn in_lower_layers<'a>(facts: &'a Facts<'_>) -> Vec<&'a [u8]> {
    let layers: Vec<&[u8]> = facts
        .steps()
        .filter_map(|step| match step {
            Step::Overlay { lower, .. } => Some(lower),
            _ => None,
        })
        .flat_map(|lower: &Vec<Place>| lower.iter().filter_map(path))
        .collect();
    facts.steps().filter_map(written).filter_map(|path| layers.iter().find_map(|layer| rest(path, layer))).collect()
}

fn has_copied_up(facts: &Facts<'_>) -> bool {
    let lower = in_lower_layers(facts);
    facts.any(|held, mount| {
        is_overlay(mount.type_name) && !held.lower && lower.contains(&held.names.join(&b'/').as_slice())
    })
}

/// Removing a name of a lower layer leaves a whiteout in the upper one.
fn has_whiteout(facts: &Facts<'_>) -> bool {
    let lower = in_lower_layers(facts);
    let is_of_one = |at: &Place| {
        let removed = at.path.as_slice();
        lower.iter().any(|name| removed.strip_suffix(*name).is_some_and(|before| before.ends_with(b"/")))
    };
    let is_it = |step: &Step| match step {
        Step::Unlink { at } | Step::Rename { old: at, .. } => is_of_one(at),
        _ => false,
    };
    facts.is_on("overlay") && facts.step(is_it)
}
