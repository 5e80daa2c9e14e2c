//! What kinds of objects there are, and which of them execve(2) ends.

use crate::program::{OpenFlag, Step};

/// What an object is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FileKind {
    /// `cwd`, `root`
    Directory,
    /// `exe`
    Executable,
    Descriptor(Opened),
    Mapping,
    /// One end of a pair; whether the other end has a name too.
    Socket {
        peer: bool,
    },
    /// Sent and not received.
    InFlight(Opened),
    /// An instance of epoll, inotify or fanotify.
    Watcher,
}

/// What can be done with a descriptor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) path_only: bool,
    pub(super) reads: bool,
    pub(super) writes: bool,
    pub(super) memory: bool,
}

impl FileKind {
    /// Whether kcmp(2) can tell its open file description from others.
    pub(super) fn has_description(self) -> bool {
        matches!(self, FileKind::Descriptor(_) | FileKind::Socket { .. } | FileKind::InFlight(_) | FileKind::Watcher)
    }
}

/// Whether execve(2) takes away what a step makes.
pub(super) fn ends_at_exec(step: &Step) -> bool {
    match step {
        Step::Open { flags, .. } => flags.contains(&OpenFlag::Cloexec),
        Step::Dup { cloexec, .. } | Step::Receive { cloexec, .. } => *cloexec,
        Step::Map { .. } => true,
        _ => false,
    }
}
