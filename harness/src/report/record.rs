//! The shape of the JSON report, to be written and read back. A contract: `docs/FORMATS.md`.

use std::path::PathBuf;

use protocol::limits;
use protocol::message::{Flavor, Lifecycle};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use scenarios::capability::{Base, Capability, Profile};

use super::Finished;
use super::zdtm::ZdtmTest;
use crate::causes::ladder::CellRecord;
use crate::causes::{Case, Cause, Ladder, causes};
use crate::judge::verdict::words;
use crate::judge::{Difference, FailureKind, Group, Judgement, Tally, Trial, Verdict};
use crate::subject::Identity;

/// The version of the shape.
pub const VERSION: u32 = 1;

/// A whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// [`VERSION`]
    pub version: u32,
    /// The numbers.
    pub summary: Summary,
    /// Which criu the subjects are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<Identity>,
    /// The images whose packages are not those of `vm-images/images.lock`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_as_locked: Vec<String>,
    /// Why trials failed, most common first. Computed from the trials, never read.
    #[serde(default, skip_deserializing)]
    pub causes: Vec<Cause>,
    /// What came back, capability by base.
    #[serde(default, skip_deserializing)]
    pub ladder: Vec<CellRecord>,
    /// What CRIU's own tests came to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zdtm: Vec<ZdtmTest>,
    /// Every trial, in the order in which they finished.
    pub trials: Vec<TrialRecord>,
}

impl RunRecord {
    /// A run of these trials.
    pub fn new(summary: Summary, trials: Vec<TrialRecord>) -> Self {
        let cases: Vec<Case> = trials.iter().filter_map(TrialRecord::case).collect();
        let (causes, ladder) = (causes(&cases), Ladder::of(&cases).records());
        let (subjects, zdtm, not_as_locked) = (Vec::new(), Vec::new(), Vec::new());
        Self { version: VERSION, summary, subjects, not_as_locked, causes, ladder, zdtm, trials }
    }
}

/// The numbers of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// pass + xfail + improved
    pub passed: usize,
    /// fail + xpass + changed-fail + flaky + error
    pub failed: usize,
    /// unsupported + not-run
    pub skipped: usize,
    /// error; these are also in `failed`.
    pub error: usize,
    /// Wall time so far.
    pub seconds: f64,
}

impl Summary {
    /// The numbers of a tally.
    pub fn new(tally: &Tally, seconds: f64) -> Self {
        let (passed, failed, skipped) = (tally.passed(), tally.failed(), tally.skipped());
        Self { passed, failed, skipped, error: tally.of("error"), seconds: rounded(seconds) }
    }
}

/// A trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialRecord {
    /// `deleted/unlinked@ext4/ns/dump-restore/6.12/debian:trixie`
    pub id: String,
    /// `deleted/unlinked@ext4`
    pub scenario: String,
    /// `deleted`
    pub family: String,
    /// `ns`
    pub flavor: Flavor,
    /// `dump-restore`
    pub lifecycle: Lifecycle,
    /// `6.12`
    pub kernel: String,
    /// `debian:trixie`
    pub subject: String,
    /// The verdict's word without its kind: `fail`.
    pub verdict: String,
    /// The kind of a failure, expected or not.
    pub kind: Option<FailureKind>,
    /// One line; empty for a plain pass.
    pub reason: String,
    /// What differs, the most telling first.
    pub differences: Vec<Difference>,
    /// How many more there were.
    pub more_differences: usize,
    /// Lines of logs that say what went wrong.
    pub log: Vec<String>,
    /// Wall time.
    pub seconds: f64,
    /// The folder with everything about it.
    pub artifacts: Option<PathBuf>,
    /// How many runs of it passed, and how many there were; only of a flaky one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<(u32, u32)>,
    /// The version of criu, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub criu: Option<String>,
    /// The file of a scenario that is not in the catalogue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// The program of a trial that failed, variables filled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// [`digest`] of the program, whatever became of the trial: tells whether two results are of
    /// the same one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// What happened, where `reason` also says what is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// What its detached mounts show.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bases: Vec<Base>,
    /// What the program needs beside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<Capability>,
}

/// A record whose verdict this version does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{id}: unknown verdict {verdict:?} with kind {kind:?}; known are {known}", known = words(Verdict::WORDS.iter().copied()))]
pub struct UnknownVerdict {
    id: String,
    verdict: String,
    kind: Option<FailureKind>,
}

impl TrialRecord {
    /// The verdict, from its word, its kind and its runs.
    ///
    /// # Errors
    /// The word is not a verdict, or lacks its kind.
    pub fn verdict(&self) -> Result<Verdict, UnknownVerdict> {
        Verdict::from_parts(&self.verdict, self.kind, self.runs).ok_or_else(|| UnknownVerdict {
            id: self.id.clone(),
            verdict: self.verdict.clone(),
            kind: self.kind,
        })
    }
}

impl TryFrom<TrialRecord> for Finished {
    type Error = UnknownVerdict;

    fn try_from(record: TrialRecord) -> Result<Self, UnknownVerdict> {
        let verdict = record.verdict()?;
        Ok(Self {
            trial: Trial {
                scenario: record.scenario,
                family: record.family,
                flavor: record.flavor,
                lifecycle: record.lifecycle,
                kernel: record.kernel,
                subject: record.subject,
            },
            file: record.file,
            judgement: Judgement {
                verdict,
                reason: record.reason,
                differences: record.differences,
                more_differences: record.more_differences,
                quotes: record.log,
                said: record.said,
            },
            profile: Profile {
                bases: record.bases.into_iter().collect(),
                capabilities: record.capabilities.into_iter().collect(),
            },
            seconds: record.seconds,
            artifacts: record.artifacts,
            criu: record.criu,
            program: record.program,
            digest: record.digest,
        })
    }
}

impl From<&Finished> for TrialRecord {
    fn from(finished: &Finished) -> Self {
        let Finished { trial, file, judgement, seconds, artifacts, criu, program, digest, profile } = finished;
        Self {
            id: trial.to_string(),
            scenario: trial.scenario.clone(),
            family: trial.family.clone(),
            flavor: trial.flavor,
            lifecycle: trial.lifecycle,
            kernel: trial.kernel.clone(),
            subject: trial.subject.clone(),
            verdict: judgement.verdict.word().to_owned(),
            kind: judgement.verdict.kind(),
            reason: cut(&judgement.reason),
            differences: judgement.differences.iter().map(cut_difference).collect(),
            more_differences: judgement.more_differences,
            log: cut_lines(&judgement.quotes),
            seconds: rounded(*seconds),
            artifacts: artifacts.clone(),
            runs: match judgement.verdict {
                Verdict::Flaky { passed, runs } => Some((passed, runs)),
                _ => None,
            },
            criu: criu.clone(),
            file: file.clone(),
            program: program.clone().filter(|_| judgement.verdict.group() == Group::Failed),
            digest: digest.clone(),
            said: judgement.said.as_deref().map(cut),
            bases: profile.bases.iter().copied().collect(),
            capabilities: profile.capabilities.iter().copied().collect(),
        }
    }
}

/// The first 16 digits of the SHA-256 of a program's text.
pub fn digest(program: &str) -> String {
    Sha256::digest(program).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The beginning of a text that a guest may have sent. Cutting it again changes nothing.
fn cut(text: &str) -> String {
    match text.char_indices().nth(limits::REPORT_TEXT) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

fn cut_difference(difference: &Difference) -> Difference {
    let Difference { object, what, expected, got, .. } = difference;
    let object = object.as_deref().map(cut);
    Difference { object, what: cut(what), expected: cut(expected), got: cut(got), ..difference.clone() }
}

fn cut_lines(lines: &[String]) -> Vec<String> {
    let shown = if lines.len() > limits::REPORT_LINES { limits::REPORT_LINES - 1 } else { lines.len() };
    let more = (shown < lines.len()).then(|| format!("... and {} more lines", lines.len() - shown));
    lines[..shown].iter().map(|line| cut(line)).chain(more).collect()
}

/// To milliseconds: more digits mean nothing.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}
