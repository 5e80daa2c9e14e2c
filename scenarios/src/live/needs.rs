//! What a step needs before it can be done, and how a program ends.

use arbitrary::{Result, Unstructured};

use super::choose::{self, Spot, Wish};
use super::{Growth, Swarm};
use crate::program::{Filesystem, OpenFlag, Place};
use crate::{Bytes, Step};

/// So many steps at most an ending adds.
pub(super) const ENDING_STEPS: usize = 8;
/// A step's needs have needs of their own, so deep at most.
const DEPTH: usize = 4;
/// So often a step of one kind is tried before its needs are seen to.
const TRIES: usize = 3;

/// A step of this kind, and before it what it needs; nothing where the program would get longer than `length`.
pub(super) fn step(
    u: &mut Unstructured<'_>,
    growth: &mut Growth,
    swarm: &Swarm,
    kind: &'static str,
    length: usize,
) -> Result<()> {
    let is_done = wish(u, growth, swarm, Wish::of(kind), length, DEPTH)?;
    // By itself hardly any step finds the one pipe or device that there is, or the one file with an attribute.
    let next = match kind {
        "mkfifo" | "mknod" => Some(Wish { at: Spot::Special, ..Wish::of("open") }),
        "setxattr" => Some(Wish::of("unlink")),
        _ => None,
    };
    if let Some(next) = next.filter(|_| is_done)
        && u.arbitrary()?
    {
        attempt(u, growth, swarm, next, TRIES)?;
    }
    Ok(())
}

fn wish(
    u: &mut Unstructured<'_>,
    growth: &mut Growth,
    swarm: &Swarm,
    wish_for: Wish,
    length: usize,
    depth: usize,
) -> Result<bool> {
    if growth.len() >= length + ENDING_STEPS {
        return Ok(false);
    }
    if attempt(u, growth, swarm, wish_for, TRIES)? {
        return Ok(true);
    }
    if depth == 0 {
        return Ok(false);
    }
    // Device nodes and layers are found from the root of the process.
    if matches!(wish_for.kind, "mount-again" | "overlay" | "subvolume") && growth.model.survey().root_moved {
        growth.add(&Step::Chroot { at: Place { base: None, path: Bytes::from(".") } });
    }
    for &need in needs(wish_for.kind) {
        let is_met = wish(u, growth, swarm, need, length, depth - 1)?;
        if !is_met && need.kind == "mount" && need.filesystem.is_none() {
            // Without a filesystem of its own a program has binds.
            wish(u, growth, swarm, Wish::of("bind"), length, depth - 1)?;
        }
    }
    attempt(u, growth, swarm, wish_for, TRIES)
}

fn attempt(u: &mut Unstructured<'_>, growth: &mut Growth, swarm: &Swarm, wish: Wish, tries: usize) -> Result<bool> {
    let survey = growth.model.survey();
    for _ in 0..tries {
        if let Some(step) = choose::step(u, growth, &survey, swarm, wish)?
            && growth.add(&step)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What has to be there for a step of this kind.
fn needs(kind: &str) -> &'static [Wish] {
    const MOUNT: Wish = Wish::of("mount");
    const BTRFS: Wish = Wish { filesystem: Some(Filesystem::Btrfs), ..Wish::of("mount") };
    const DISK: Wish = Wish { filesystem: Some(Filesystem::Ext4), ..Wish::of("mount") };
    const MKDIR: Wish = Wish::of("mkdir");
    const WRITE: Wish = Wish::of("write");
    const OPEN: Wish = Wish::of("open");
    const SUBVOLUME: Wish = Wish::of("subvolume");
    const WRITE_IN_SUBVOLUME: Wish = Wish { at: Spot::Subvolume, ..WRITE };
    const SOCKETS: Wish = Wish::of("socketpair");
    const READABLE: Wish = Wish { flags: &[OpenFlag::Rdwr], ..Wish::of("open") };
    const DIRECTORY: Wish = Wish { flags: &[OpenFlag::Directory], ..Wish::of("open") };
    match kind {
        "mount-again" => &[DISK],
        "overlay" => &[MOUNT, MKDIR, MKDIR],
        "bind" | "rbind" => &[MKDIR, WRITE],
        "move" | "umount" | "umount-lazy" | "remount" | "propagation" | "pivot-root" => &[MOUNT],
        "append" | "truncate" | "link" | "rename" | "unlink" | "open" | "chmod" | "chown" | "touch" => &[WRITE],
        "setxattr" => &[MOUNT, WRITE],
        "rmdir" | "chdir" | "chroot" => &[MKDIR],
        "subvolume" => &[BTRFS],
        "snapshot" => &[SUBVOLUME, WRITE_IN_SUBVOLUME],
        "delete-subvolume" => &[SUBVOLUME],
        "map" | "seek" | "read" | "write-to" | "lock" => &[WRITE, READABLE],
        "dup" | "close" => &[OPEN],
        "read-entries" => &[MKDIR, DIRECTORY],
        "peer" => &[SOCKETS],
        "send" => &[SOCKETS, OPEN],
        _ => &[],
    }
}

/// Has the program hold something on a mount and, if it `detaches`, detaches that; what is mounted nowhere else is bound first,
/// as a rule, because nobody could restore it.
pub(super) fn ending(u: &mut Unstructured<'_>, growth: &mut Growth, swarm: &Swarm, detaches: bool) -> Result<()> {
    for round in 0..3 {
        let survey = growth.model.survey();
        if survey.has_detached {
            return Ok(());
        }
        let held: Vec<_> = survey.mounts.iter().filter(|mount| mount.objects > 0).collect();
        if !held.is_empty() {
            if !detaches {
                return Ok(());
            }
            let best: Vec<_> = held.iter().filter(|mount| mount.elsewhere).collect();
            let chosen = if best.is_empty() { *u.choose(&held)? } else { **u.choose(&best)? };
            if !chosen.elsewhere && !u.ratio(1, 8)? {
                bind_elsewhere(growth, &chosen.place);
            }
            if growth.add(&Step::Unmount { at: chosen.place.clone(), lazy: true }) {
                continue;
            }
        }
        if !attempt(u, growth, swarm, Wish { at: Spot::Mount, ..Wish::of("open") }, TRIES)? || round > 0 {
            from_scratch(growth);
        }
    }
    Ok(())
}

fn at(path: &str) -> Place {
    Place { base: None, path: Bytes::from(path) }
}

/// A path that nobody has.
fn free(growth: &Growth) -> Option<String> {
    (0..100).map(|number| format!("m{number}")).find(|name| growth.after(&Step::Mkdir { at: at(name) }).is_some())
}

fn bind_elsewhere(growth: &mut Growth, from: &Place) {
    let Some(name) = free(growth) else { return };
    growth.add(&Step::Bind { from: from.clone(), to: at(&name), recursive: false, attributes: Vec::new() });
}

/// The shortest way to a file on a mount, where nothing else worked.
fn from_scratch(growth: &mut Growth) {
    let Some(name) = free(growth) else { return };
    let file = format!("{name}/f");
    let object = growth.name("fd");
    growth.add(&Step::Mount { filesystem: Filesystem::Tmpfs, at: at(&name), attributes: Vec::new() });
    growth.add(&Step::Write { at: at(&file), bytes: Bytes::from("x") });
    growth.add(&Step::Open { name: object, at: at(&file), flags: Vec::new() });
}
