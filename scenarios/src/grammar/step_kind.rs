//! The kinds of steps: one for each verb.
//!
//! What depends on the kind of a step is a `match` that names every kind. So the compiler finds
//! each place that a new kind needs.

use std::fmt;

/// Defines the kinds with their verbs.
macro_rules! step_kinds {
    ($($kind:ident $verb:literal,)*) => {
        /// What a step does, by its verb. `umount` and `umount-lazy` are two kinds, all assertions
        /// are one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum StepKind {
            $(#[doc = concat!("`", $verb, "`")] $kind,)*
        }

        impl StepKind {
            /// Every kind, in the order of the reference. The generator draws in this order, so
            /// that a kind in between changes what a seed gives.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// The word that its lines start with.
            pub const fn verb(self) -> &'static str {
                match self {
                    $(Self::$kind => $verb,)*
                }
            }
        }
    };
}

step_kinds! {
    Mount "mount",
    MountAgain "mount-again",
    Overlay "overlay",
    Bind "bind",
    Rbind "rbind",
    Move "move",
    Remount "remount",
    Propagate "propagation",
    Unmount "umount",
    UnmountLazy "umount-lazy",
    PivotRoot "pivot-root",
    UnshareMounts "unshare-mounts",
    Mkdir "mkdir",
    Write "write",
    Append "append",
    Truncate "truncate",
    Symlink "symlink",
    Link "link",
    Rename "rename",
    Unlink "unlink",
    Rmdir "rmdir",
    Mkfifo "mkfifo",
    Mksocket "mksocket",
    Mknod "mknod",
    Chmod "chmod",
    Chown "chown",
    Setxattr "setxattr",
    Touch "touch",
    Subvolume "subvolume",
    Snapshot "snapshot",
    DeleteSubvolume "delete-subvolume",
    Open "open",
    Dup "dup",
    Memfd "memfd",
    Map "map",
    Socketpair "socketpair",
    Peer "peer",
    Send "send",
    Receive "receive",
    Seek "seek",
    Read "read",
    WriteTo "write-to",
    ReadEntries "read-entries",
    Lock "lock",
    Close "close",
    Chdir "chdir",
    Chroot "chroot",
    External "external",
    Exec "exec",
    OpenTree "open-tree",
    NewTree "fsmount",
    Fork "fork",
    As "as",
    Seal "seal",
    SetOwner "set-owner",
    SetSignal "set-signal",
    Epoll "epoll",
    Inotify "inotify",
    Fanotify "fanotify",
    Exit "exit",
    Assert "assert",
}

impl StepKind {
    /// The kind whose lines start with this word.
    pub fn of_verb(verb: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.verb() == verb)
    }
}

impl fmt::Display for StepKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.verb())
    }
}
