//! The words for what programs need: bases and capabilities, each with its text.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A text that does not name a base or a capability.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no word for a base or a capability")]
pub struct UnknownWord(String);

macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($variant:ident $word:literal $text:literal $long:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $(#[doc = $long] $variant,)*
        }

        impl $name {
            /// All of them, in the order of a table.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The word for programs.
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }

            /// A few words for people, as behind "blocked by:".
            pub fn text(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }

            /// What exactly is meant.
            pub fn about(self) -> &'static str {
                match self { $($name::$variant => $long,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.word())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                let found = Self::ALL.iter().copied().find(|one| one.word() == text);
                found.ok_or_else(|| UnknownWord(text.to_owned()))
            }
        }

        by_word!($name);
    };
}

macro_rules! by_word {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.word())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

words! {
    /// What a detached mount shows that an object is held on.
    Base {
        Visible "visible" "no detached mount"
            "Everything is held on mounts of the namespace: what any file needs.",
        Whole "whole" "bind of a whole filesystem"
            "The root of the mount is the root of the superblock.",
        Subdir "subdir" "subdirectory bind"
            "The root of the mount is a directory below the root of the superblock.",
        File "file" "file bind"
            "The root of the mount is a single file.",
        Again "again" "device mounted a second time"
            "The root of the superblock, of a block device that is mounted twice.",
        Subvolume "subvol" "subvolume mount"
            "The root of the mount is the root of a btrfs subvolume.",
        Outside "outside" "mount of another namespace"
            "A mount of a namespace that the process left and that lives; nothing is held on a detached mount.",
    }
}

words! {
    /// What a program needs an implementation to get right beside the base.
    Capability {
        Directory "directory" "open directory"
            "A descriptor of a directory.",
        WorkingDirectory "cwd" "working directory"
            "The working directory.",
        Root "root" "root directory"
            "The root directory of the process.",
        PathOnly "path-only" "O_PATH descriptor"
            "A descriptor that was opened with O_PATH.",
        OpenTree "open-tree" "descriptor of a never attached mount"
            "A mount that was never attached, and its descriptor: open_tree(2), fsmount(2).",
        Symlink "symlink" "open symbolic link"
            "An O_PATH descriptor of a symbolic link itself.",
        Fifo "fifo" "named pipe"
            "A descriptor of a named pipe.",
        Device "device" "device node"
            "A descriptor of a character or block device.",
        Mapping "mapping" "memory mapping"
            "A file in memory, mmap(2).",
        InFlight "in-flight" "descriptor in flight"
            "A descriptor in the queue of a Unix socket, SCM_RIGHTS.",
        Processes "processes" "several processes"
            "There are several processes, made by fork(2), which share open file descriptions",
        Memfd "memfd" "memfd"
            "A memfd beside: on a mount of the kernel's own, which is not detached.",
        Deleted "deleted" "deleted file or directory"
            "The file's name was removed, and no other name leads to it.",
        RemovedParent "removed-parent" "removed parent directory"
            "A directory above the file was removed.",
        Tmpfile "o-tmpfile" "O_TMPFILE"
            "A file that never had a name, O_TMPFILE.",
        HardLink "hard-link" "hard link"
            "The file's name was removed, and another hard link is left.",
        OtherLinks "other-links" "further hard links"
            "The file has its name, and others.",
        Renamed "renamed" "rename"
            "The file, or a directory above it, was renamed since it was opened or bound.",
        NameTaken "name-taken" "name taken by another file"
            "Another file has the name that the file, or a directory above it, had.",
        OddName "odd-name" "odd name"
            "A name with other bytes than letters, digits, `-`, `_` and `.`, or one that starts with a dot.",
        LongName "long-name" "long name"
            "A name of 200 bytes or more.",
        DeletedSuffix "deleted-suffix" "name that ends in ` (deleted)`"
            "A name that ends as the link text of a deleted file does.",
        Position "position" "file offset"
            "The file offset is not zero.",
        OpenFlags "open-flags" "status flags"
            "O_APPEND, O_NONBLOCK, O_DIRECT, O_SYNC, O_NOATIME or O_NOFOLLOW.",
        Cloexec "cloexec" "close-on-exec flag"
            "FD_CLOEXEC.",
        Lock "lock" "lock"
            "A lock or lease on the file.",
        Signals "signals" "owner and signal"
            "An owner or a signal of the open file description, F_SETOWN or F_SETSIG.",
        Watch "watch" "watch of epoll, inotify or fanotify"
            "An instance of epoll, inotify or fanotify beside.",
        Dup "dup" "shared open file description"
            "Two descriptors of one open file description.",
        OpenedTwice "opened-twice" "two descriptions of one file"
            "Two open file descriptions of one file.",
        HalfReadDirectory "half-read-directory" "half-read directory"
            "A directory whose entries were read in part.",
        Sparse "sparse" "sparse file"
            "A file with a hole.",
        Metadata "metadata" "owner, mode, times, extended attributes"
            "Owner, mode, times or extended attributes were set on the file or a directory above it.",
        MadeSince "made-since" "names changed since the detach"
            "Names below an open directory were made, renamed or removed since its mount was detached.",
        SymlinkResolution "symlink-resolution" "lookup through symbolic links"
            "There are symbolic links below an open directory.",
        Attributes "attributes" "mount attributes"
            "The attributes of the mount (`ro`, `noexec`) are not those of the visible mounts of the filesystem.",
        Propagation "propagation" "mount propagation"
            "The mount, or one that shows the same filesystem, sends or receives mounts, or must not be bound.",
        SameMount "same-mount" "two objects on one detached mount"
            "Two different objects are held on one detached mount.",
        SecondMount "second-mount" "second detached mount of a filesystem"
            "Objects are held on two detached mounts of one superblock.",
        TwoFilesystems "two-filesystems" "detached mounts of two filesystems"
            "Objects are held on detached mounts of two superblocks.",
        VisibleToo "visible-too" "visible object beside"
            "Another object is on a visible mount.",
        ChildMount "child-mount" "child mount"
            "The mount was detached with mounts on it, or with the one that it was on.",
        OverMount "over-mount" "mount over a mount"
            "The mount covered another one, or was covered, at its root.",
        Moved "moved" "moved mount"
            "The mount was moved.",
        MountPointChanged "mount-point-changed" "changed mount point"
            "The mount's mount point was renamed or removed since the detach.",
        Covered "covered" "place that another mount covers"
            "Where a visible mount shows what the detached mount showed, something else is mounted over it.",
        Refusal "refusal" "refusal"
            "No implementation can restore it, as where no visible mount shows the filesystem: the dump must refuse it.",
        Overlay "overlay" "overlayfs"
            "The file is on an overlay.",
        Btrfs "btrfs" "btrfs"
            "The file is on btrfs.",
        InSubvolume "in-subvolume" "btrfs subvolume below the mount's root"
            "The file is in another subvolume than the root of its mount.",
        Xfs "xfs" "XFS"
            "The file is on XFS.",
        OtherFilesystem "other-filesystem" "another filesystem"
            "The file is on a filesystem that has no word of its own: ramfs, vfat, squashfs, proc. tmpfs and ext4 need nothing.",
    }
}

impl Capability {
    /// Those that each program with this one has as well.
    pub fn comes_with(self) -> &'static [Capability] {
        match self {
            Capability::OpenTree | Capability::Symlink => &[Capability::PathOnly],
            Capability::Tmpfile => &[Capability::Deleted],
            Capability::HalfReadDirectory => &[Capability::Directory],
            Capability::InSubvolume => &[Capability::Btrfs],
            _ => &[],
        }
    }
}

/// A base or a capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Word {
    /// Any detached mount, whatever it shows.
    Detached,
    /// What a detached mount shows.
    Base(Base),
    /// What is needed beside.
    Capability(Capability),
}

impl Word {
    /// All of them, bases first.
    pub fn all() -> impl Iterator<Item = Word> {
        let bases = Base::ALL.iter().copied().map(Word::Base);
        std::iter::once(Word::Detached).chain(bases).chain(Capability::ALL.iter().copied().map(Word::Capability))
    }

    /// The word for programs.
    pub fn word(self) -> &'static str {
        match self {
            Word::Detached => "detached",
            Word::Base(base) => base.word(),
            Word::Capability(capability) => capability.word(),
        }
    }

    /// A few words for people, as behind "blocked by:".
    pub fn text(self) -> &'static str {
        match self {
            Word::Detached => "any detached mount",
            Word::Base(base) => base.text(),
            Word::Capability(capability) => capability.text(),
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Word {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        Word::all().find(|one| one.word() == text).ok_or_else(|| UnknownWord(text.to_owned()))
    }
}

by_word!(Word);
