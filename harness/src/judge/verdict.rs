//! The words for what became of a trial.
//!
//! The words are a contract with users and scripts (`docs/FORMATS.md`): they are only ever added
//! to.

use std::fmt;

use protocol::message::{Flavor, Lifecycle};
use serde::{Deserialize, Serialize};

use super::difference::Difference;

pub(crate) use super::kind::words;
pub use super::kind::{FailureKind, Severity, UnknownKind};
pub use super::tally::Tally;

/// What became of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Everything is as it must be.
    Pass,
    /// Something is not.
    Fail(FailureKind),
    /// It failed with the kind that the expectations record.
    Xfail(FailureKind),
    /// It passed although the expectations record a failure: the record is stale.
    Xpass,
    /// It passed where a failure is recorded of other subjects: good news of a tree under test.
    Improved,
    /// It failed with another kind than the expectations record.
    ChangedFail(FailureKind),
    /// This kernel or image lacks something; the reason says what.
    Unsupported,
    /// The harness or the scenario itself is at fault; nothing is known about the subject.
    Error,
    /// It was never begun.
    NotRun,
    /// It passed in some runs only.
    Flaky {
        /// Runs that passed.
        passed: u32,
        /// All runs.
        runs: u32,
    },
}

/// The three numbers of the last line, and the columns of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// `pass`, `xfail`, `improved`
    Passed,
    /// `fail`, `xpass`, `changed-fail`, `error`, `flaky`
    Failed,
    /// `unsupported`, `not-run`
    Skipped,
}

impl Verdict {
    /// The words, in the order of the table's columns.
    pub const WORDS: &[&str] =
        &["pass", "xfail", "improved", "fail", "xpass", "changed-fail", "flaky", "unsupported", "not-run", "error"];

    /// The word alone, without kind or counts: `fail`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail(_) => "fail",
            Self::Xfail(_) => "xfail",
            Self::Xpass => "xpass",
            Self::Improved => "improved",
            Self::ChangedFail(_) => "changed-fail",
            Self::Unsupported => "unsupported",
            Self::Error => "error",
            Self::NotRun => "not-run",
            Self::Flaky { .. } => "flaky",
        }
    }

    /// The verdict that a report tells by its word, the kind of a failure, and the runs of a flaky
    /// one.
    pub fn from_parts(word: &str, kind: Option<FailureKind>, runs: Option<(u32, u32)>) -> Option<Self> {
        match (word, kind, runs) {
            ("pass", ..) => Some(Self::Pass),
            ("fail", Some(kind), _) => Some(Self::Fail(kind)),
            ("xfail", Some(kind), _) => Some(Self::Xfail(kind)),
            ("xpass", ..) => Some(Self::Xpass),
            ("improved", ..) => Some(Self::Improved),
            ("changed-fail", Some(kind), _) => Some(Self::ChangedFail(kind)),
            ("unsupported", ..) => Some(Self::Unsupported),
            ("error", ..) => Some(Self::Error),
            ("not-run", ..) => Some(Self::NotRun),
            ("flaky", _, Some((passed, runs))) => Some(Self::Flaky { passed, runs }),
            _ => None,
        }
    }

    /// The kind of a failure, expected or not.
    pub const fn kind(self) -> Option<FailureKind> {
        match self {
            Self::Fail(kind) | Self::Xfail(kind) | Self::ChangedFail(kind) => Some(kind),
            _ => None,
        }
    }

    /// Where it is counted. A trial that passes only now and then has not passed.
    pub const fn group(self) -> Group {
        match self {
            Self::Pass | Self::Xfail(_) | Self::Improved => Group::Passed,
            Self::Fail(_) | Self::Xpass | Self::ChangedFail(_) | Self::Error | Self::Flaky { .. } => Group::Failed,
            Self::Unsupported | Self::NotRun => Group::Skipped,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.kind()) {
            (Self::Flaky { passed, runs }, _) => f.pad(&format!("flaky({passed}/{runs})")),
            (_, Some(kind)) => f.pad(&format!("{}({kind})", self.word())),
            (_, None) => f.pad(self.word()),
        }
    }
}

/// Which trial: scenario x flavor x lifecycle x kernel x subject.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Trial {
    /// The scenario's name: `deleted/unlinked@ext4`.
    pub scenario: String,
    /// Its family; empty for a user's own file.
    pub family: String,
    /// In which namespaces the process runs.
    pub flavor: Flavor,
    /// What is done to it.
    pub lifecycle: Lifecycle,
    /// The kernel's name in its manifest: `6.12`.
    pub kernel: String,
    /// What is tested: `debian:trixie`.
    pub subject: String,
}

impl fmt::Display for Trial {
    /// The id: `deleted/unlinked@ext4/ns/dump-restore/6.12/debian:trixie`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Trial { scenario, flavor, lifecycle, kernel, subject, .. } = self;
        write!(f, "{scenario}/{}/{lifecycle}/{kernel}/{subject}", flavor.word())
    }
}

/// A verdict and everything that explains it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What became of the trial.
    pub verdict: Verdict,
    /// One line: why. Empty for a plain pass.
    pub reason: String,
    /// What differs, the most telling first; at most [`super::DIFFERENCE_LIMIT`].
    pub differences: Vec<Difference>,
    /// How many more differences there were.
    pub more_differences: usize,
    /// Lines of logs that say what went wrong, oldest first.
    pub quotes: Vec<String>,
    /// What happened, where the reason also says what is known of it.
    pub said: Option<String>,
}

impl Judgement {
    /// What happened, without what is known of it.
    pub fn said(&self) -> &str {
        self.said.as_deref().unwrap_or(&self.reason)
    }

    /// The first difference that no known defect explains, where differences decided: what a failed
    /// action left behind besides decides nothing.
    pub fn deciding(&self) -> Option<&Difference> {
        use FailureKind as K;
        let by_action = [K::DumpFailed, K::RestoreFailed, K::Hang, K::Crash, K::KernelSplat];
        let is_difference = self.verdict.kind().is_none_or(|kind| !by_action.contains(&kind));
        let unknown = self.differences.iter().find(|difference| difference.known.is_none());
        unknown.filter(|_| is_difference)
    }

    /// Whether something differs, and known defects explain all that does.
    pub fn is_explained(&self) -> bool {
        !self.differences.is_empty() && self.differences.iter().all(|difference| difference.known.is_some())
    }

    /// Whether it fails with this kind, or with one that is only ever found beside another
    /// (`harmed-by-restore`).
    pub fn has_kind(&self, kind: FailureKind) -> bool {
        let Some(verdict) = self.verdict.kind() else { return false };
        verdict == kind || (kind == FailureKind::HarmedByRestore && self.is_harmed_by_restore())
    }

    /// Whether a restore that failed did something besides that is not known of the subject.
    pub fn is_harmed_by_restore(&self) -> bool {
        let harm = |one: &Difference| one.kind == FailureKind::HarmedByRestore && one.known.is_none();
        self.differences.iter().any(harm)
    }

    /// A judgement that needs no more than a reason.
    pub fn plain(verdict: Verdict, reason: impl Into<String>) -> Self {
        Self {
            verdict,
            reason: reason.into(),
            differences: Vec::new(),
            more_differences: 0,
            quotes: Vec::new(),
            said: None,
        }
    }
}
