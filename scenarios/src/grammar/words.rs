//! The words for the values of an enumeration.

use crate::Errno;
use crate::program::{DeviceKind, Filesystem, LockKind, Mark, MountAttribute, OpenFlag, Propagation, Seal};

/// An enumeration whose values are written as words.
pub trait Vocabulary: Copy + PartialEq + 'static {
    /// Every value with its word, in the order of the reference.
    const WORDS: &'static [(&'static str, Self)];
}

/// All words of a vocabulary.
pub fn words<T: Vocabulary>() -> Vec<&'static str> {
    T::WORDS.iter().map(|(word, _)| *word).collect()
}

/// The word for a value.
pub fn word<T: Vocabulary>(value: T) -> &'static str {
    T::WORDS.iter().find(|(_, other)| *other == value).map(|(word, _)| *word).expect("every value has a word")
}

/// The value of a word.
pub(super) fn value<T: Vocabulary>(word: &str) -> Option<T> {
    T::WORDS.iter().find(|(other, _)| *other == word).map(|(_, value)| *value)
}

impl Vocabulary for Filesystem {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("tmpfs", Self::Tmpfs),
        ("ramfs", Self::Ramfs),
        ("ext4", Self::Ext4),
        ("xfs", Self::Xfs),
        ("btrfs", Self::Btrfs),
        ("proc", Self::Proc),
        ("sysfs", Self::Sysfs),
        ("devpts", Self::Devpts),
        ("mqueue", Self::Mqueue),
        ("devtmpfs", Self::Devtmpfs),
        ("hugetlbfs", Self::Hugetlbfs),
        ("cgroup2", Self::Cgroup2),
        ("squashfs", Self::Squashfs),
        ("erofs", Self::Erofs),
        ("vfat", Self::Vfat),
    ];
}

impl Vocabulary for MountAttribute {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("ro", Self::Ro),
        ("nosuid", Self::Nosuid),
        ("nodev", Self::Nodev),
        ("noexec", Self::Noexec),
        ("noatime", Self::Noatime),
        ("relatime", Self::Relatime),
        ("strictatime", Self::Strictatime),
        ("nodiratime", Self::Nodiratime),
        ("nosymfollow", Self::Nosymfollow),
    ];
}

impl Vocabulary for Propagation {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("shared", Self::Shared),
        ("slave", Self::Slave),
        ("private", Self::Private),
        ("unbindable", Self::Unbindable),
    ];
}

impl Vocabulary for OpenFlag {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("rdonly", Self::Rdonly),
        ("wronly", Self::Wronly),
        ("rdwr", Self::Rdwr),
        ("path", Self::Path),
        ("directory", Self::Directory),
        ("nofollow", Self::Nofollow),
        ("append", Self::Append),
        ("nonblock", Self::Nonblock),
        ("direct", Self::Direct),
        ("sync", Self::Sync),
        ("noatime", Self::Noatime),
        ("cloexec", Self::Cloexec),
        ("create", Self::Create),
        ("exclusive", Self::Exclusive),
        ("truncate", Self::Truncate),
        ("tmpfile", Self::Tmpfile),
    ];
}

impl Vocabulary for LockKind {
    const WORDS: &'static [(&'static str, Self)] =
        &[("posix", Self::Posix), ("ofd", Self::Ofd), ("flock", Self::Flock), ("lease", Self::Lease)];
}

impl Vocabulary for Seal {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("seal", Self::Seal),
        ("shrink", Self::Shrink),
        ("grow", Self::Grow),
        ("write", Self::Write),
        ("future-write", Self::FutureWrite),
    ];
}

impl Vocabulary for Mark {
    const WORDS: &'static [(&'static str, Self)] =
        &[("inode", Self::Inode), ("mount", Self::Mount), ("filesystem", Self::Filesystem)];
}

impl Vocabulary for DeviceKind {
    const WORDS: &'static [(&'static str, Self)] = &[("char", Self::Char), ("block", Self::Block)];
}

/// Two words of which one must be there; `true` is the first meaning.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Shared(pub(super) bool);

impl Vocabulary for Shared {
    const WORDS: &'static [(&'static str, Self)] = &[("private", Self(false)), ("shared", Self(true))];
}

/// `on` or `off`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct OnOff(pub(super) bool);

impl Vocabulary for OnOff {
    const WORDS: &'static [(&'static str, Self)] = &[("on", Self(true)), ("off", Self(false))];
}

/// `read` or `write`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct ForWriting(pub(super) bool);

impl Vocabulary for ForWriting {
    const WORDS: &'static [(&'static str, Self)] = &[("read", Self(false)), ("write", Self(true))];
}

/// The errors that a lookup can end in, path_resolution(7) and openat2(2).
const LOOKUP_ERRNOS: &[Errno] = &[
    Errno::ENOENT,
    Errno::ENOTDIR,
    Errno::ELOOP,
    Errno::EXDEV,
    Errno::EACCES,
    Errno::EPERM,
    Errno::ENAMETOOLONG,
    Errno::ESTALE,
    Errno::EINVAL,
    Errno::EBADF,
    Errno::EIO,
    Errno::EAGAIN,
    Errno::ENODEV,
    Errno::ENXIO,
    Errno::EOPNOTSUPP,
    Errno::EROFS,
];

pub(super) fn errnos() -> Vec<&'static str> {
    LOOKUP_ERRNOS.iter().map(|errno| errno.name()).collect()
}
