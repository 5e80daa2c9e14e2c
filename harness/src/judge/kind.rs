//! The kinds of failure, how bad each is, and the words for them.
//!
//! The words are a contract with users and scripts (`docs/FORMATS.md`): they are only ever added
//! to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What went wrong, as one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The dump failed, or refused without naming the descriptor.
    DumpFailed,
    /// The restore failed.
    RestoreFailed,
    /// A link text or `getcwd(2)` differs.
    WrongPath,
    /// A path relative to a descriptor resolves to something else.
    WrongResolution,
    /// An object is on another mount, or its mount has other properties.
    WrongMount,
    /// An object is another file.
    WrongFile,
    /// A file holds something else, or has other attributes.
    WrongContent,
    /// Flags, position or locks of a descriptor differ.
    WrongFlags,
    /// An object, or the process itself, is gone; or there is one too many; or what cannot
    /// restore was accepted.
    LostObject,
    /// Descriptors share an open file description that did not, or the reverse.
    BrokenSharing,
    /// Something was left behind.
    Litter,
    /// The process is not as it was after a dump that failed or left it running.
    HarmedByDump,
    /// A restore that failed left something behind, or took something away: a second try is not the
    /// first. A finding beside the failed restore; never the verdict itself.
    HarmedByRestore,
    /// An action took longer than it may.
    Hang,
    /// An action was ended by a signal.
    Crash,
    /// The kernel complained about itself.
    KernelSplat,
}

impl FailureKind {
    /// Whether what fails is the whole checkpoint: then nothing can be said of other programs in
    /// the same process.
    pub fn is_of_the_whole(self) -> bool {
        use FailureKind as K;
        matches!(
            self,
            K::DumpFailed
                | K::RestoreFailed
                | K::HarmedByDump
                | K::HarmedByRestore
                | K::Hang
                | K::Crash
                | K::KernelSplat
        )
    }

    /// What it costs the user.
    pub fn severity(self) -> Severity {
        use FailureKind as K;
        match self {
            K::DumpFailed => Severity::Refused,
            K::RestoreFailed | K::HarmedByRestore => Severity::Lost,
            K::WrongPath
            | K::WrongResolution
            | K::WrongMount
            | K::WrongFile
            | K::WrongContent
            | K::WrongFlags
            | K::LostObject
            | K::BrokenSharing
            | K::Litter => Severity::Wrong,
            K::HarmedByDump | K::Hang | K::Crash | K::KernelSplat => Severity::Harmed,
        }
    }

    /// Every kind, in the order of the documentation.
    pub const ALL: &[FailureKind] = &[
        Self::DumpFailed,
        Self::RestoreFailed,
        Self::WrongPath,
        Self::WrongResolution,
        Self::WrongMount,
        Self::WrongFile,
        Self::WrongContent,
        Self::WrongFlags,
        Self::LostObject,
        Self::BrokenSharing,
        Self::Litter,
        Self::HarmedByDump,
        Self::HarmedByRestore,
        Self::Hang,
        Self::Crash,
        Self::KernelSplat,
    ];

    /// The word of the contract: `dump-failed`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::DumpFailed => "dump-failed",
            Self::RestoreFailed => "restore-failed",
            Self::WrongPath => "wrong-path",
            Self::WrongResolution => "wrong-resolution",
            Self::WrongMount => "wrong-mount",
            Self::WrongFile => "wrong-file",
            Self::WrongContent => "wrong-content",
            Self::WrongFlags => "wrong-flags",
            Self::LostObject => "lost-object",
            Self::BrokenSharing => "broken-sharing",
            Self::Litter => "litter",
            Self::HarmedByDump => "harmed-by-dump",
            Self::HarmedByRestore => "harmed-by-restore",
            Self::Hang => "hang",
            Self::Crash => "crash",
            Self::KernelSplat => "kernel-splat",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// A word that does not name a [`FailureKind`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown kind {0:?}; known are {known}", known = words(FailureKind::ALL.iter().map(|kind| kind.word())))]
pub struct UnknownKind(pub String);

impl FromStr for FailureKind {
    type Err = UnknownKind;

    fn from_str(word: &str) -> Result<Self, UnknownKind> {
        Self::ALL.iter().copied().find(|kind| kind.word() == word).ok_or_else(|| UnknownKind(word.to_owned()))
    }
}

/// Words as a list for people.
pub(crate) fn words<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

/// What a failure costs the user, from the least to the most. A step up is worse, whatever else
/// changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The dump refused, and the process lives on.
    Refused,
    /// The dump succeeded and the restore failed: the process is lost.
    Lost,
    /// The restore succeeded and something is not as it was: without a check the user does not
    /// notice.
    Wrong,
    /// The process was harmed, criu crashed or hung, or the kernel complained.
    Harmed,
}

impl Severity {
    /// A few words for people.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Lost => "the process is lost",
            Self::Wrong => "silently wrong",
            Self::Harmed => "harmed, crashed or hung",
        }
    }
}
