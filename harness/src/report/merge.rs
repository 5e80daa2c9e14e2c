//! Several results as one: shards of a run, or the same trials in several runs.
//!
//! A trial that is in several results keeps its latest one, except that one which passed in some
//! and failed in others is flaky, and one that was never begun gives way to one that was.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};

use protocol::limits::{REPORT_BYTES, REPORT_TRIALS};
use serde::Deserialize;

use super::record::{RunRecord, Summary, TrialRecord, UnknownVerdict, VERSION};
use crate::compare::Runs;
use crate::judge::Tally;
use crate::limited;

/// Why a result cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ResultError {
    /// It cannot be read.
    #[error("cannot read the results in {}: {source}", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not a result.
    #[error("{} is no JSON report of a run: {why}; `run --report json=FILE` writes one", .file.display())]
    Shape {
        /// The file.
        file: PathBuf,
        /// What is wrong, with line and column.
        why: String,
    },
    /// It is one of another version.
    #[error("{} has version {version}, and this program reads {VERSION}; read it with the zdtm-detached that wrote it", .file.display())]
    Version {
        /// The file.
        file: PathBuf,
        /// Its version.
        version: u64,
    },
}

/// What every version of a report has.
#[derive(Deserialize)]
struct Head {
    version: Option<u64>,
}

/// Whether one report, or several together, have no more trials than they may.
pub fn check_number(trials: usize) -> Result<(), String> {
    match trials > REPORT_TRIALS {
        true => Err(format!("there are {trials} trials, and no more than {REPORT_TRIALS} are read")),
        false => Ok(()),
    }
}

/// Reads a JSON report. Paths of artifacts that only exist seen from the report's own folder are
/// made to exist.
///
/// # Errors
/// The file cannot be read, or is not such a report.
pub fn read(file: &Path) -> Result<RunRecord, ResultError> {
    let owned = || file.to_owned();
    let shape = |why: String| ResultError::Shape { file: owned(), why };
    let text = limited::read(file, REPORT_BYTES).map_err(|source| ResultError::Read { file: owned(), source })?;
    let head: Head = serde_json::from_str(&text).map_err(|error| shape(error.to_string()))?;
    match head.version.ok_or_else(|| shape("it has no version".to_owned()))? {
        version if version == u64::from(VERSION) => {}
        version => return Err(ResultError::Version { file: owned(), version }),
    }
    // From the text again: it knows lines.
    let mut run: RunRecord = serde_json::from_str(&text).map_err(|error| shape(error.to_string()))?;
    check_number(run.trials.len() + run.zdtm.len()).map_err(shape)?;
    for trial in &mut run.trials {
        trial.verdict().map_err(|error: UnknownVerdict| shape(error.to_string()))?;
        let beside = |path: &PathBuf| file.parent().map(|folder| folder.join(path)).filter(|path| path.exists());
        if let Some(path) = trial.artifacts.as_ref().filter(|path| !path.exists()).and_then(beside) {
            trial.artifacts = Some(path);
        }
    }
    Ok(run)
}

/// The images of several runs that were not as locked, each once.
pub fn not_as_locked<'a>(runs: impl Iterator<Item = &'a [String]>) -> Vec<String> {
    runs.flatten().collect::<BTreeSet<_>>().into_iter().cloned().collect()
}

/// One run of several, in the order in which trials first come up.
pub fn merge(runs: Vec<RunRecord>) -> RunRecord {
    let seconds = runs.iter().map(|run| run.summary.seconds).sum();
    let mut subjects = Vec::new();
    for identity in runs.iter().flat_map(|run| &run.subjects) {
        if !subjects.contains(identity) {
            subjects.push(identity.clone());
        }
    }
    let zdtm = runs.iter().flat_map(|run| run.zdtm.clone()).collect();
    let not_as_locked = not_as_locked(runs.iter().map(|run| &run.not_as_locked[..]));
    let mut order: Vec<String> = Vec::new();
    let mut results: HashMap<String, Vec<TrialRecord>> = HashMap::new();
    for trial in runs.into_iter().flat_map(|run| run.trials) {
        let of_trial = results.entry(trial.id.clone()).or_default();
        if of_trial.is_empty() {
            order.push(trial.id.clone());
        }
        of_trial.push(trial);
    }
    let trials: Vec<TrialRecord> = order.iter().filter_map(|id| results.remove(id)).filter_map(settle).collect();
    RunRecord { subjects, zdtm, not_as_locked, ..RunRecord::new(Summary::new(&tally(&trials), seconds), trials) }
}

/// How many got which verdict.
pub(super) fn tally(trials: &[TrialRecord]) -> Tally {
    let mut tally = Tally::default();
    for verdict in trials.iter().filter_map(|trial| trial.verdict().ok()) {
        tally.add(verdict);
    }
    tally
}

/// What several results of one trial come to.
fn settle(mut results: Vec<TrialRecord>) -> Option<TrialRecord> {
    // Those that say something about the subject.
    let count = |trial: &TrialRecord| Runs::that_count(trial.verdict().ok()?);
    let told: Vec<(usize, Runs)> =
        results.iter().enumerate().filter_map(|(index, trial)| Some((index, count(trial)?))).collect();
    let runs: Runs = told.iter().map(|(_, runs)| *runs).sum();
    let latest = told.last().map_or(results.len().checked_sub(1)?, |(index, _)| *index);
    // What failed tells more of a flaky trial than what passed.
    let failed = told.iter().rev().find(|(_, one)| runs.disagree() && one.passed == 0);
    let mut trial = results.swap_remove(failed.map_or(latest, |(index, _)| *index));
    if runs.disagree() {
        let Runs { passed, all } = runs;
        let was = trial.kind.map_or_else(String::new, |kind| format!("{kind}: "));
        trial.reason = format!("passed in {passed} of {all} runs; {was}{}", trial.reason);
        (trial.verdict, trial.kind, trial.runs) = ("flaky".to_owned(), None, Some((passed, all)));
    }
    Some(trial)
}
