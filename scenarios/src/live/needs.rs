//! What a step needs before it can be done.

use arbitrary::{Result, Unstructured};

use super::choose::{self, Spot, Wish};
use super::{Growth, Swarm};
use crate::program::{Filesystem, OpenFlag, Place};
use crate::{Bytes, Step};

/// A program may get so many steps longer for the needs of its last one.
const NEEDED_STEPS: usize = 8;
/// A step's needs have needs of their own, so deep at most.
const DEPTH: usize = 4;
/// So often a step of one kind is tried before its needs are seen to.
pub(super) const TRIES: usize = 3;

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
    if growth.len() >= length + NEEDED_STEPS {
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

/// A step as wished for, if one comes in so many tries.
pub(super) fn attempt(
    u: &mut Unstructured<'_>,
    growth: &mut Growth,
    swarm: &Swarm,
    wish: Wish,
    tries: usize,
) -> Result<bool> {
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
