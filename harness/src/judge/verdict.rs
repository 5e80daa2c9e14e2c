//! The words for what became of a trial, how they are counted, and the exit status that follows.
//!
//! The words are a contract with users and scripts (`docs/FORMATS.md`): they are only ever added to.

use std::fmt;
use std::str::FromStr;

use protocol::message::{Flavor, Lifecycle};
use serde::{Deserialize, Serialize};

use super::difference::Difference;

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
    /// An object, or the process itself, is gone; or there is one too many; or what nobody can restore was accepted.
    LostObject,
    /// Descriptors share an open file description that did not, or the reverse.
    BrokenSharing,
    /// Something was left behind.
    Litter,
    /// The process is not as it was after a dump that failed or left it running.
    HarmedByDump,
    /// An action took longer than it may.
    Hang,
    /// An action was ended by a signal.
    Crash,
    /// The kernel complained about itself.
    KernelSplat,
}

impl FailureKind {
    /// Whether what fails is the whole checkpoint: then nothing can be said of other programs in the same process.
    pub fn is_of_the_whole(self) -> bool {
        use FailureKind as K;
        matches!(self, K::DumpFailed | K::RestoreFailed | K::HarmedByDump | K::Hang | K::Crash | K::KernelSplat)
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

/// A word that is no [`FailureKind`].
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
    /// `pass`, `xfail`
    Passed,
    /// `fail`, `xpass`, `changed-fail`, `error`, `flaky`
    Failed,
    /// `unsupported`, `not-run`
    Skipped,
}

impl Verdict {
    /// The words, in the order of the table's columns.
    pub const WORDS: &[&str] =
        &["pass", "xfail", "fail", "xpass", "changed-fail", "flaky", "unsupported", "not-run", "error"];

    /// The word alone, without kind or counts: `fail`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail(_) => "fail",
            Self::Xfail(_) => "xfail",
            Self::Xpass => "xpass",
            Self::ChangedFail(_) => "changed-fail",
            Self::Unsupported => "unsupported",
            Self::Error => "error",
            Self::NotRun => "not-run",
            Self::Flaky { .. } => "flaky",
        }
    }

    /// The verdict that a report tells by its word, the kind of a failure, and the runs of a flaky one.
    pub fn from_parts(word: &str, kind: Option<FailureKind>, runs: Option<(u32, u32)>) -> Option<Self> {
        match (word, kind, runs) {
            ("pass", ..) => Some(Self::Pass),
            ("fail", Some(kind), _) => Some(Self::Fail(kind)),
            ("xfail", Some(kind), _) => Some(Self::Xfail(kind)),
            ("xpass", ..) => Some(Self::Xpass),
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
            Self::Pass | Self::Xfail(_) => Group::Passed,
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
        write!(f, "{scenario}/{}/{lifecycle}/{kernel}/{subject}", flavor_word(*flavor))
    }
}

/// The flavor's word on the command line and in ids.
pub const fn flavor_word(flavor: Flavor) -> &'static str {
    match flavor {
        Flavor::Host => "host",
        Flavor::Ns => "ns",
        Flavor::Userns => "userns",
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
}

impl Judgement {
    /// A judgement that needs no more than a reason.
    pub fn plain(verdict: Verdict, reason: impl Into<String>) -> Self {
        Self { verdict, reason: reason.into(), differences: Vec::new(), more_differences: 0, quotes: Vec::new() }
    }
}

/// How many trials got which verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    counts: [usize; Verdict::WORDS.len()],
}

impl Tally {
    /// Counts one more.
    pub fn add(&mut self, verdict: Verdict) {
        let column = Verdict::WORDS.iter().position(|word| *word == verdict.word());
        self.counts[column.expect("every verdict has its word in WORDS")] += 1;
    }

    /// The counts, in the order of [`Verdict::WORDS`].
    pub fn columns(&self) -> impl Iterator<Item = (&'static str, usize)> {
        Verdict::WORDS.iter().copied().zip(self.counts)
    }

    /// How many got the verdict with this word.
    pub fn of(&self, word: &str) -> usize {
        self.columns().find(|(column, _)| *column == word).map_or(0, |(_, count)| count)
    }

    /// pass + xfail
    pub fn passed(&self) -> usize {
        self.of("pass") + self.of("xfail")
    }

    /// unsupported + not-run
    pub fn skipped(&self) -> usize {
        self.of("unsupported") + self.of("not-run")
    }

    /// fail + xpass + changed-fail + flaky + error
    pub fn failed(&self) -> usize {
        self.total() - self.passed() - self.skipped()
    }

    /// All trials.
    pub fn total(&self) -> usize {
        self.counts.iter().sum()
    }

    /// The exit status of the run: 130 interrupted; 1 when something failed; 3 when nothing failed but an
    /// infrastructure error left something unknown; 4 when nothing ran; 0 as expected. (2 is a usage error.)
    pub fn exit_status(&self, interrupted: bool) -> u8 {
        let errors = self.of("error");
        match () {
            () if interrupted => 130,
            () if self.failed() > errors => 1,
            () if errors > 0 => 3,
            () if self.passed() == 0 => 4,
            () => 0,
        }
    }
}

impl fmt::Display for Tally {
    /// The last line of every run.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "result: {} passed, {} failed, {} skipped", self.passed(), self.failed(), self.skipped())
    }
}
