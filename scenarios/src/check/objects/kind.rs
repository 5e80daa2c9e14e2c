//! What kinds of objects there are, and which of them execve(2) ends.

use crate::program::{OpenFlag, Step};

/// What an object is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FileKind {
    /// `cwd`, `root`
    Directory,
    /// `exe`
    Executable,
    Descriptor {
        path_only: bool,
        reads: bool,
        writes: bool,
        memory: bool,
    },
    Mapping,
    /// One end of a pair; whether the other end has a name too.
    Socket {
        peer: bool,
    },
    /// Sent and not received.
    InFlight,
    /// An instance of epoll, inotify or fanotify.
    Watcher,
}

impl FileKind {
    /// Whether kcmp(2) can tell its open file description from others.
    pub(super) fn has_description(self) -> bool {
        matches!(self, FileKind::Descriptor { .. } | FileKind::Socket { .. } | FileKind::InFlight | FileKind::Watcher)
    }
}

/// Whether execve(2) takes away what a step makes.
pub(super) fn ends_at_exec(step: &Step) -> bool {
    match step {
        Step::Open { flags, .. } => flags.contains(&OpenFlag::Cloexec),
        Step::Dup { cloexec, .. } => *cloexec,
        Step::Map { .. } => true,
        _ => false,
    }
}
