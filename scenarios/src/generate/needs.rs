//! What a step needs before it can be done.

use arbitrary::{Result, Unstructured};

use super::choose::{self, Spot, StepRequest};
use super::{ProgramBuilder, Swarm};
use crate::grammar::StepKind;
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
    kind: StepKind,
    length: usize,
) -> Result<()> {
    let is_done = fulfil(u, builder, swarm, StepRequest::of(kind), length, DEPTH)?;
    // By itself hardly any step finds the one pipe or device that there is, or the one file with an
    // attribute.
    let next = match kind {
        StepKind::Mkfifo | StepKind::Mksocket | StepKind::Mknod => {
            Some(StepRequest { at: Spot::Special, ..StepRequest::of(StepKind::Open) })
        }
        StepKind::OpenTree => Some(StepRequest { at: Spot::Tree, ..StepRequest::of(StepKind::Open) }),
        StepKind::Setxattr => Some(StepRequest::of(StepKind::Unlink)),
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
    if matches!(request.kind, StepKind::MountAgain | StepKind::Overlay | StepKind::Subvolume)
        && builder.model.survey().root_moved
    {
        builder.add(&Step::Chroot { at: Place { base: None, path: Bytes::from(".") } });
    }
    for &need in needs(request.kind) {
        let is_met = fulfil(u, builder, swarm, need, length, depth - 1)?;
        if !is_met && need.kind == StepKind::Mount && need.filesystem.is_none() {
            // Without a filesystem of its own a program has binds.
            fulfil(u, builder, swarm, StepRequest::of(StepKind::Bind), length, depth - 1)?;
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
            // Otherwise the executable stays behind, and no program can be restored.
            if let Step::UnshareMounts { .. } = step {
                builder.add(&Step::Exec);
            }
            return Ok(true);
        }
    }
    Ok(false)
}

/// The steps that a step of this kind needs before it.
fn needs(kind: StepKind) -> &'static [StepRequest] {
    const MOUNT: StepRequest = StepRequest::of(StepKind::Mount);
    const BTRFS: StepRequest = StepRequest { filesystem: Some(Filesystem::Btrfs), ..StepRequest::of(StepKind::Mount) };
    const DISK: StepRequest = StepRequest { filesystem: Some(Filesystem::Ext4), ..StepRequest::of(StepKind::Mount) };
    const MKDIR: StepRequest = StepRequest::of(StepKind::Mkdir);
    const WRITE: StepRequest = StepRequest::of(StepKind::Write);
    const OPEN: StepRequest = StepRequest::of(StepKind::Open);
    const SUBVOLUME: StepRequest = StepRequest::of(StepKind::Subvolume);
    const WRITE_IN_SUBVOLUME: StepRequest = StepRequest { at: Spot::Subvolume, ..WRITE };
    const UNSHARE: StepRequest = StepRequest::of(StepKind::UnshareMounts);
    const FORK: StepRequest = StepRequest::of(StepKind::Fork);
    const SOCKETS: StepRequest = StepRequest::of(StepKind::Socketpair);
    const PEER: StepRequest = StepRequest::of(StepKind::Peer);
    const SEND: StepRequest = StepRequest::of(StepKind::Send);
    const SEALABLE: StepRequest = StepRequest { at: Spot::Sealable, ..StepRequest::of(StepKind::Memfd) };
    const MKFIFO: StepRequest = StepRequest::of(StepKind::Mkfifo);
    const PIPE: StepRequest = StepRequest { at: Spot::Special, ..StepRequest::of(StepKind::Open) };
    const READABLE: StepRequest = StepRequest { flags: &[OpenFlag::Rdwr], ..StepRequest::of(StepKind::Open) };
    const DIRECTORY: StepRequest = StepRequest { flags: &[OpenFlag::Directory], ..StepRequest::of(StepKind::Open) };
    use StepKind as K;
    match kind {
        K::MountAgain => &[DISK],
        K::Overlay => &[MOUNT, MKDIR, MKDIR],
        K::Bind | K::Rbind => &[MKDIR, WRITE],
        K::Move | K::Unmount | K::UnmountLazy | K::Remount | K::Propagate | K::PivotRoot => &[MOUNT],
        K::Append | K::Truncate | K::Link | K::Rename | K::Unlink | K::Open | K::Chmod | K::Chown | K::Touch => {
            &[WRITE]
        }
        K::Setxattr => &[MOUNT, WRITE],
        K::Rmdir | K::Chdir | K::Chroot => &[MKDIR],
        K::Subvolume => &[BTRFS],
        K::Snapshot => &[SUBVOLUME, WRITE_IN_SUBVOLUME],
        K::DeleteSubvolume => &[SUBVOLUME],
        K::Map | K::Seek | K::Read | K::WriteTo | K::Lock => &[WRITE, READABLE],
        K::Seal => &[SEALABLE],
        K::Epoll => &[MKFIFO, PIPE],
        K::Inotify | K::Fanotify => &[MOUNT, WRITE],
        K::SetOwner | K::SetSignal => &[WRITE, READABLE],
        K::Dup | K::Close | K::UnshareMounts => &[OPEN],
        K::OpenTree => &[MOUNT, WRITE],
        K::Fork => &[OPEN],
        K::As | K::Exit => &[FORK],
        K::External => &[OPEN, UNSHARE],
        K::ReadEntries => &[MKDIR, DIRECTORY],
        K::Peer => &[SOCKETS],
        K::Send => &[SOCKETS, OPEN],
        K::Receive => &[OPEN, PEER, SEND],
        K::Mount | K::Mkdir | K::Write | K::Symlink | K::Mkfifo | K::Mksocket | K::Mknod | K::Memfd | K::Socketpair => {
            &[]
        }
        K::NewTree | K::Exec | K::Assert => &[],
    }
}
