//! What a step needs before it can be done.

use arbitrary::{Result, Unstructured};

use super::choose::{self, Spot, StepRequest};
use super::{ProgramBuilder, Swarm};
use crate::program::{Filesystem, OpenFlag, Place};
use crate::{Bytes, Step};

/// The most steps that a program gets for the needs of its last one.
const NEEDED_STEPS: usize = 8;
/// A step's needs have needs of their own, so deep at most.
const DEPTH: usize = 4;
/// How often a step of one kind is tried before its needs are provided.
pub(super) const TRIES: usize = 3;

/// A step of this kind, and before it what it needs; nothing where the program would get longer
/// than `length`.
pub(super) fn step(
    u: &mut Unstructured<'_>,
    builder: &mut ProgramBuilder,
    swarm: &Swarm,
    kind: &'static str,
    length: usize,
) -> Result<()> {
    let is_done = fulfil(u, builder, swarm, StepRequest::of(kind), length, DEPTH)?;
    // By itself hardly any step finds the one pipe or device that there is, or the one file with an
    // attribute.
    let next = match kind {
        "mkfifo" | "mknod" => Some(StepRequest { at: Spot::Special, ..StepRequest::of("open") }),
        "setxattr" => Some(StepRequest::of("unlink")),
        _ => None,
    };
    if let Some(next) = next.filter(|_| is_done)
        && u.arbitrary()?
    {
        attempt(u, builder, swarm, next, TRIES)?;
    }
    Ok(())
}

/// Adds the requested step; where none can be added, first what it needs, `depth` levels deep.
fn fulfil(
    u: &mut Unstructured<'_>,
    builder: &mut ProgramBuilder,
    swarm: &Swarm,
    request: StepRequest,
    length: usize,
    depth: usize,
) -> Result<bool> {
    if builder.len() >= length + NEEDED_STEPS {
        return Ok(false);
    }
    if attempt(u, builder, swarm, request, TRIES)? {
        return Ok(true);
    }
    if depth == 0 {
        return Ok(false);
    }
    // Device nodes and layers are found from the root of the process.
    if matches!(request.kind, "mount-again" | "overlay" | "subvolume") && builder.model.survey().root_moved {
        builder.add(&Step::Chroot { at: Place { base: None, path: Bytes::from(".") } });
    }
    for &need in needs(request.kind) {
        let is_met = fulfil(u, builder, swarm, need, length, depth - 1)?;
        if !is_met && need.kind == "mount" && need.filesystem.is_none() {
            // Without a filesystem of its own a program has binds.
            fulfil(u, builder, swarm, StepRequest::of("bind"), length, depth - 1)?;
        }
    }
    attempt(u, builder, swarm, request, TRIES)
}

/// Adds a step as requested, if one of `tries` tries succeeds.
pub(super) fn attempt(
    u: &mut Unstructured<'_>,
    builder: &mut ProgramBuilder,
    swarm: &Swarm,
    request: StepRequest,
    tries: usize,
) -> Result<bool> {
    let survey = builder.model.survey();
    for _ in 0..tries {
        if let Some(step) = choose::step(u, builder, &survey, swarm, request)?
            && builder.add(&step)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The steps that a step of this kind needs before it.
fn needs(kind: &str) -> &'static [StepRequest] {
    const MOUNT: StepRequest = StepRequest::of("mount");
    const BTRFS: StepRequest = StepRequest { filesystem: Some(Filesystem::Btrfs), ..StepRequest::of("mount") };
    const DISK: StepRequest = StepRequest { filesystem: Some(Filesystem::Ext4), ..StepRequest::of("mount") };
    const MKDIR: StepRequest = StepRequest::of("mkdir");
    const WRITE: StepRequest = StepRequest::of("write");
    const OPEN: StepRequest = StepRequest::of("open");
    const SUBVOLUME: StepRequest = StepRequest::of("subvolume");
    const WRITE_IN_SUBVOLUME: StepRequest = StepRequest { at: Spot::Subvolume, ..WRITE };
    const SOCKETS: StepRequest = StepRequest::of("socketpair");
    const READABLE: StepRequest = StepRequest { flags: &[OpenFlag::Rdwr], ..StepRequest::of("open") };
    const DIRECTORY: StepRequest = StepRequest { flags: &[OpenFlag::Directory], ..StepRequest::of("open") };
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
