//! The mistakes that the reference engine makes on request: each is one that an implementation
//! may make, and that the judge must catch. The engine makes each at one place; `selftest` proves
//! that a scenario fails with the kind that stands here.
//!
//! What the engine has not learnt ([`crate::Lack`]) is a fault as well, of another sort: it is no
//! mistake that the judge must catch, and is in a list of its own.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Lack;
use crate::lack::UnknownLack;
use crate::message::Lifecycle;

/// What a fault is, for people and for `selftest`.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// The fault.
    pub fault: Fault,
    /// Its name on the command line.
    pub name: &'static str,
    /// The kind of failure that it must end in, a word of the verdicts.
    pub kind: &'static str,
    /// What is done wrong.
    pub text: &'static str,
    /// Parts of the names of scenarios that are likely to catch it: tried first. A hint for speed,
    /// no claim.
    pub likely: &'static [&'static str],
    /// What is done to the process, so that the mistake is made.
    pub lifecycle: Lifecycle,
}

macro_rules! lifecycle {
    () => {
        Lifecycle::DumpRestore
    };
    ($variant:ident) => {
        Lifecycle::$variant
    };
}

macro_rules! faults {
    ($($variant:ident $name:literal $kind:literal $text:literal [$($likely:literal),*] $($lifecycle:ident)?;)*) => {
        /// A mistake, switched on by name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Fault {
            $(#[doc = $text] $variant,)*
            /// Something that it has not learnt.
            Lacks(Lack),
        }

        /// Every fault, in the order of the list; without lacks.
        pub const ALL: &[Description] = &[
            $(Description {
                fault: Fault::$variant, name: $name, kind: $kind, text: $text, likely: &[$($likely),*],
                lifecycle: lifecycle!($($lifecycle)?),
            },)*
        ];
    };
}

faults! {
    Attached "attached" "wrong-mount" "A file is opened on the visible mount instead of a detached one." ["subdir-bind/file@tmpfs,rdwr"];
    SuperblockRoot "superblock-root" "wrong-path" "The detached mount shows the root of the visible mount, not that of the bind." ["subdir-bind/file@tmpfs,rdwr"];
    ParentRoot "parent-root" "wrong-path" "The detached mount starts one level too high." ["subdir-bind/file@tmpfs,rdwr"];
    OtherBind "other-bind" "wrong-mount" "A file is opened on another, visible bind of the same directory." ["sharing/one-visible"];
    OtherHardLink "other-hard-link" "wrong-path" "A file is opened by another of its names." ["hard-link/opened-by-the-other@tmpfs"];
    SameName "same-name" "wrong-file" "For a deleted file the one that took its name is opened." ["deleted/name-taken-by-a-file"];
    SameInodeOtherSubvolume "same-inode-other-subvolume" "wrong-file" "The file with the same inode number in another btrfs subvolume is opened." ["btrfs/same-inode-number"];
    SnapshotForSubvolume "snapshot-for-subvolume" "wrong-file" "A file of a btrfs subvolume and that of its snapshot are taken for one another." ["btrfs/snapshot"];
    Undeleted "undeleted" "wrong-file" "A deleted file comes back with its name." ["deleted/unlinked@tmpfs,rdwr,whole"];
    DeletedLostLinks "deleted-lost-links" "wrong-file" "A deleted file with other links left comes back as a copy without any." ["hard-link/left-inside"];
    GhostCopy "ghost-copy" "wrong-file" "Every descriptor of a deleted file gets a copy of its own." ["deleted/opened-twice"];
    GhostLeft "ghost-left" "litter" "The file that holds the contents of a deleted one for a moment is left." ["deleted/unlinked@tmpfs,rdwr,whole"];
    MountPointLeft "mount-point-left" "litter" "The directory of a temporary mount is left." ["subdir-bind/file@tmpfs,rdwr"];
    MountLeftVisible "mount-left-visible" "litter" "A temporary mount is left in the mount table." ["subdir-bind/file@tmpfs,rdwr"];
    LeakedToPeer "leaked-to-peer" "litter" "A temporary mount below a shared one spreads to a peer and stays there." ["propagation/slave-stays"];
    ParentTouched "parent-touched" "litter" "The times of a directory are not put back." ["deleted/unlinked@tmpfs,rdwr,whole"];
    SplitMount "split-mount" "wrong-mount" "Each object gets a detached mount of its own." ["sharing/one-mount"];
    MergedMounts "merged-mounts" "wrong-mount" "Two detached mounts of one directory become one." ["sharing/two-mounts"];
    SplitDescription "split-description" "broken-sharing" "A duplicate is opened anew." ["sharing/dup"];
    SplitBetweenProcesses "split-between-processes" "broken-sharing" "What two processes share is opened anew for the second one." ["processes/one-description@tmpfs,whole"];
    MergedDescriptions "merged-descriptions" "broken-sharing" "Two descriptions of one file become one." ["deleted/opened-twice", "sharing/dup"];
    PositionLost "position-lost" "wrong-flags" "The position of a descriptor is not put back." ["objects/position"];
    AppendLost "append-lost" "wrong-flags" "A file is opened without O_APPEND." ["objects/flags@tmpfs,append,whole"];
    CloexecFlipped "cloexec-flipped" "wrong-flags" "Close-on-exec is the opposite." ["sharing/dup-cloexec"];
    AccessWidened "access-widened" "wrong-flags" "A file that was open for reading is opened for writing too." ["subdir-bind/file@tmpfs,rdonly"];
    MountRoLost "mount-ro-lost" "wrong-mount" "The detached mount is writable." ["attributes/one@tmpfs,ro,whole"];
    MountNosuidLost "mount-nosuid-lost" "wrong-mount" "The detached mount honours set-user-ID bits." ["attributes/one@tmpfs,nosuid,whole"];
    AtimePolicyLost "atime-policy-lost" "wrong-mount" "The detached mount has the default policy for access times." ["attributes/one@tmpfs,noatime,whole"];
    SuperblockWritable "superblock-writable" "wrong-mount" "The filesystem of a detached mount is made writable." ["attributes/read-only-superblock@ext4,whole"];
    PropagationWrong "propagation-wrong" "wrong-mount" "A mount that was made private for a bind of it stays private." ["propagation/unbindable"];
    PathOpened "path-opened" "wrong-flags" "An O_PATH descriptor becomes a real one." ["objects/path-only"];
    SymlinkFollowed "symlink-followed" "wrong-file" "A descriptor of a symbolic link becomes one of what it points to." ["objects/path-only-symlink"];
    DotNameAsRoot "dot-name-as-root" "wrong-file" "A name that starts with a dot is taken for the mount's root." ["resolution/odd-names"];
    SiblingRootName "sibling-root-name" "wrong-file" "The same name below the root of another detached mount is opened." ["sharing/two-roots"];
    DeletedSuffixLiteral "deleted-suffix-literal" "wrong-file" "A name that ends in \" (deleted)\" is taken for that of a deleted file." ["names/deleted-suffix"];
    SubmountLost "submount-lost" "wrong-mount" "A mount that stands on the visible one is taken away for a bind and not put back." ["resolution/mounted-since"];
    SubmountShowsCovered "submount-shows-covered" "wrong-file" "A file on a child mount is taken for the one that the child covers." ["child-mounts/control"];
    OpenedInside "opened-inside" "wrong-mount" "A file of another namespace is opened by its path in the process's own." ["outside/root-filesystem"];
    NumberShifted "number-shifted" "lost-object" "Descriptors get other numbers." ["subdir-bind/file@tmpfs,rdwr"];
    CwdAttached "cwd-attached" "wrong-mount" "The working directory is on the visible mount." ["objects/cwd@tmpfs,whole"];
    RootAttached "root-attached" "wrong-mount" "The root directory is on the visible mount." ["objects/root"];
    MapPrivateShared "map-private-shared" "wrong-flags" "Private mappings become shared ones and the reverse." ["objects/map-private@tmpfs,whole"];
    InFlightDropped "in-flight-dropped" "lost-object" "A message comes back without the descriptor that was in it." ["in-flight/closed"];
    LockLost "lock-lost" "wrong-flags" "Locks and leases are not taken again." ["objects/lease"];
    LockWidened "lock-widened" "wrong-flags" "A lock on a range comes back on the whole file." ["objects/lock-of-a-range"];
    OwnerLost "owner-lost" "wrong-flags" "The process does not get the signals of a descriptor again." ["objects/signal-owner@tmpfs,whole"];
    OwnerThread "owner-thread" "wrong-flags" "The signals of a descriptor go to one thread instead of the process." ["objects/signal-owner@tmpfs,whole"];
    PipeSizeChanged "pipe-size-changed" "wrong-flags" "A named pipe comes back with room for another number of bytes." ["objects/fifo@tmpfs,whole"];
    SignalLost "signal-lost" "wrong-flags" "A descriptor has the default signal again." ["objects/signal-number"];
    SealsLost "seals-lost" "wrong-flags" "A memfd comes back without its seals." ["objects/seals"];
    EpollEmptied "epoll-emptied" "wrong-flags" "An instance of epoll watches nothing any more." ["objects/epoll"];
    WatchLost "watch-lost" "wrong-flags" "An instance of inotify watches nothing any more." ["objects/inotify"];
    MarkLost "mark-lost" "wrong-flags" "An instance of fanotify has no marks any more." ["objects/fanotify"];
    StaleContent "stale-content" "wrong-content" "A deleted file comes back with older contents." ["deleted/unlinked@tmpfs,rdwr,whole"];
    Truncated "truncated" "wrong-content" "The end of a deleted file is missing." ["deleted/unlinked@tmpfs,rdwr,whole"];
    ModeChanged "mode-changed" "wrong-content" "A deleted file comes back with another mode." ["deleted/unlinked@tmpfs,rdwr,whole"];
    LeftAttached "left-attached" "wrong-mount" "A mount that was made for files of a detached one is not unmounted." ["subdir-bind/file@tmpfs,rdwr"];
    SubmountsKept "submounts-kept" "wrong-resolution" "The detached mount has the mounts on it that the visible one has." ["resolution/mounted-since"];
    SubmountReplaced "submount-replaced" "wrong-mount" "For a mount that was taken away for a bind the directory below it is bound." ["resolution/mounted-since-empty"];
    BaseLeftWritable "base-left-writable" "wrong-mount" "A read-only mount that was made writable for a bind of it stays writable." ["attributes/visible-is-read-only"];
    FileBindOtherName "file-bind-other-name" "wrong-mount" "A bind of a file is made of another name of the file." ["file-bind/two-names"];
    RenamedNotRemoved "renamed-not-removed" "wrong-path" "A deleted directory gets its link text as its name instead of being removed." ["objects/cwd-deleted"];
    TakerLost "taker-lost" "wrong-content" "Who took the name of a deleted file does not get it back." ["hard-link/left-and-name-taken"];
    TakerCopied "taker-copied" "wrong-file" "Who took the name of a deleted file is put back as a copy." ["deleted/name-taken-far-down"];
    TakerOverwritten "taker-overwritten" "wrong-content" "Who took the name of a deleted file gets other contents." ["hard-link/left-and-name-taken"];
    TakerModeChanged "taker-mode-changed" "wrong-content" "Who took the name of a deleted file gets another mode." ["hard-link/left-and-name-taken"];
    TakerLinked "taker-linked" "litter" "Who took the name of a deleted file keeps another one that a mount hides." ["deleted/name-taken-below-a-mount"];
    DeviceNumberLost "device-number-lost" "wrong-file" "A deleted device node comes back with another device number." ["deleted/device"];
    AttributeSet "attribute-set" "wrong-content" "A deleted file comes back with an attribute of chattr(1)." ["deleted/unlinked@ext4,rdwr,whole"];
    HoleFilled "hole-filled" "wrong-content" "A deleted file comes back with zeros where it began with a hole." ["deleted/length@tmpfs,4096,whole"];
    XattrsLost "xattrs-lost" "wrong-content" "A deleted file comes back without its extended attributes." ["deleted/metadata@ext4,whole"];
    TimeLost "time-lost" "wrong-content" "A deleted file comes back with the time of the restore." ["deleted/unlinked@tmpfs,rdwr,whole"];
    MemfdEmptied "memfd-emptied" "wrong-content" "A memfd comes back empty." ["objects/not-a-detached-mount"];
    StaleMemory "stale-memory" "wrong-content" "A private mapping holds something else than its file." ["objects/map-private@tmpfs,whole"];
    SignalBlocked "signal-blocked" "lost-object" "A signal that is blocked during the restore stays blocked." ["subdir-bind/file@tmpfs,rdwr"];
    PrivilegeLost "privilege-lost" "wrong-flags" "The process comes back without CAP_DAC_OVERRIDE." ["objects/metadata"];
    LeftInAgent "left-in-agent" "litter" "A mount is left in the namespace of the one who restores." ["subdir-bind/file@tmpfs,rdwr"];
    ProcessLeft "process-left" "litter" "A process that helped with the restore does not end." ["subdir-bind/file@tmpfs,rdwr"];
    TouchedByDump "touched-by-dump" "litter" "The dump changes the inode of a file, though nothing in it." ["subdir-bind/file@tmpfs,rdwr"] LeaveRunning;
    Restarted "restarted" "harmed-by-dump" "A process without detached files is ended and restored instead of left running." ["subdir-bind/control@tmpfs"] LeaveRunning;
    PidfileElsewhere "pidfile-elsewhere" "wrong-content" "The restored process's number is written to a file beside the one that was named." ["caller/file@tmpfs"] RelativePaths;
    EntryMoved "entry-moved" "wrong-flags" "A name in a directory that was read in part is taken out and put back, so it is read again or never." ["objects/half-read-directory@tmpfs,whole"];
    FileSizeLimitLeft "file-size-limit-left" "wrong-flags" "A limit on the size of files is left behind, so a write comes to less." ["subdir-bind/file@tmpfs,rdwr"];
    TmpfileUnlinkable "tmpfile-unlinkable" "wrong-resolution" "A file made with O_TMPFILE comes back as one that cannot be given a name." ["deleted/never-named-and-directory@tmpfs,whole"];
    UmaskLost "umask-lost" "wrong-flags" "The process comes back without its umask." ["objects/directory"];
    MappingLeft "mapping-left" "litter" "A file of a visible mount stays mapped, so the mount cannot be unmounted." ["in-flight/closed"];
    ReferenceLeft "reference-left" "litter" "A file of a detached mount stays mapped, so its filesystem is never gone." ["subdir-bind/file@tmpfs,rdwr"];
    LockLeft "lock-left" "wrong-flags" "A lock that the restore takes is never let go, by a description that has no descriptor." ["subdir-bind/file@tmpfs,rdwr"];
    RangeLockLeft "range-lock-left" "wrong-flags" "A lock on a range that the restore takes is never let go, by a description that has no descriptor." ["subdir-bind/file@tmpfs,rdwr"];
    MappingNarrowed "mapping-narrowed" "wrong-flags" "A file that is mapped for reading is opened for reading, so the mapping cannot be made writable." ["never-attached/mapping@tmpfs,shared"];
    PrivateCopied "private-copied" "wrong-flags" "A private mapping gets a copy of its file, so what is written to the file does not show there." ["objects/map-private@tmpfs,whole"];
    FifoEmptied "fifo-emptied" "wrong-content" "A named pipe comes back empty." ["objects/fifo@tmpfs,whole"];
    WriterShown "writer-shown" "wrong-content" "The reader of a named pipe sees that a writer was there and has gone." ["objects/fifo-reader@tmpfs,whole"];
    FifoReversed "fifo-reversed" "wrong-content" "The bytes of a named pipe come back in another order." ["objects/fifo@tmpfs,whole"];
    SocketShut "socket-shut" "wrong-content" "Nothing can be sent over a socket any more." ["in-flight/kept"];
    PollOfOtherEnd "poll-of-other-end" "wrong-flags" "An instance of epoll watches another description of the same pipe, under the right number." ["objects/epoll@tmpfs,whole"];
    OwnerPowerless "owner-powerless" "wrong-flags" "The owner of a descriptor's signals is set by another user, so no signal comes." ["objects/signal-owner@tmpfs,whole"];
    TreeDissolved "tree-dissolved" "wrong-mount" "A mount that was never attached is made again, but not its descriptor, so it cannot be attached any more." ["never-attached/open"];
    LeftAnonymous "left-anonymous" "wrong-mount" "A descriptor of a detached mount is that of open_tree(2), so the mount can be attached again." ["never-attached/attached-then-detached"];
    LeaseLeft "lease-left" "wrong-resolution" "A lease that the restore takes is never let go, so nobody can open the file for writing." ["subdir-bind/file@tmpfs,rdonly"];
    CopiedUp "copied-up" "wrong-content" "A file is open for writing for a moment, so an overlay copies it up." ["overlay/mapped-lower"];
    UsedUp "used-up" "wrong-content" "A restore that fails uses up the contents of deleted files, and the next one makes them empty." ["deleted/unlinked@tmpfs,rdwr,whole"] FailedRestore;
    OpenedByName "opened-by-name" "wrong-file" "The file that has the name now is opened, though another one had it at the dump." ["changed/name-taken"] ChangedTree;
    LeavesAfterFailedRestore "leaves-after-failed-restore" "harmed-by-restore" "The restore fails and leaves a file in the root." ["subdir-bind/file@tmpfs,rdwr"];
    FailsOtherwiseAgain "fails-otherwise-again" "harmed-by-restore" "The restore fails, and a second try fails otherwise." ["subdir-bind/file@tmpfs,rdwr"];
    RefusesAll "refuses-all" "dump-failed" "Every dump is refused." ["subdir-bind/file@tmpfs,rdwr"];
    AcceptsUnrestorable "accepts-unrestorable" "lost-object" "What cannot be restored is left out of a dump that succeeds." ["only-mount/file@tmpfs"];
    KillsOnRefusal "kills-on-refusal" "harmed-by-dump" "The process is ended although the dump was refused." ["only-mount/file@tmpfs"];
    LeavesStopped "leaves-stopped" "harmed-by-dump" "The process is left stopped after a refused dump." ["only-mount/file@tmpfs"];
    Hangs "hangs" "hang" "The dump does not end." ["subdir-bind/file@tmpfs,rdwr"];
    Crashes "crashes" "crash" "The dump is ended by a signal." ["subdir-bind/file@tmpfs,rdwr"];
}

/// Mistakes that only `statmount(STATMOUNT_BY_FD)` shows, Linux 7.0.
pub const NEEDS_STATMOUNT: &[Fault] = &[Fault::FileBindOtherName];

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Lacks(lack) => write!(f, "{LACKS}{lack}"),
            fault => {
                let found = ALL.iter().find(|description| description.fault == *fault);
                f.pad(found.expect("the macro writes enum and table from one list").name)
            }
        }
    }
}

/// Stands before the word of a lack.
const LACKS: &str = "lacks:";

/// A word that is not a fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownFault {
    /// Neither fault nor lack.
    #[error("unknown fault {0:?}; known are {known}", known = names())]
    Fault(String),
    /// No lack.
    #[error("{0}")]
    Lack(#[from] UnknownLack),
}

fn names() -> String {
    ALL.iter().map(|description| description.name).collect::<Vec<_>>().join(", ")
}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(word: &str) -> Result<Self, UnknownFault> {
        if let Some(word) = word.strip_prefix(LACKS) {
            return Ok(Fault::Lacks(word.parse()?));
        }
        let found = ALL.iter().find(|description| description.name == word);
        found.map(|description| description.fault).ok_or_else(|| UnknownFault::Fault(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_wire() {
        for description in ALL {
            assert_eq!(serde_json::to_string(&description.fault).unwrap(), format!("{:?}", description.name));
            assert_eq!(description.name.parse(), Ok(description.fault));
        }
        let lack = Fault::Lacks(Lack::HardLink);
        assert_eq!((lack.to_string().as_str(), "lacks:hard-link".parse()), ("lacks:hard-link", Ok(lack)));
        assert!("lacks:all".parse::<Fault>().is_err());
        let error = "attatched".parse::<Fault>().unwrap_err().to_string();
        assert!(error.starts_with("unknown fault \"attatched\"; known are attached, superblock-root, "), "{error}");
    }
}
