//! A base that was run before: its saved JSON report, accepted as long as it is about the same
//! trials.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use crate::compare::RunOutcome;
use crate::report::Finished;
use crate::report::merge::read;
use crate::report::record::digest;
use crate::run::Task;
use crate::usage::Usage;

/// How many names of trials a refusal has.
const NAMES: usize = 5;

/// What a saved report says.
pub(super) struct Saved {
    /// The subject that it is about.
    pub(super) subject: String,
    /// The images of its run that were not as locked.
    pub(super) not_as_locked: Vec<String>,
    /// By the trial without its subject.
    pub(super) runs: HashMap<String, RunOutcome>,
}

/// A trial without its subject: what both sides have in common.
pub(super) fn key(task: &Task) -> String {
    let trial = &task.trial;
    format!("{}/{}/{}/{}", trial.scenario, trial.flavor.word(), trial.lifecycle.word(), trial.kernel)
}

/// The scenarios that a report has results of.
///
/// # Errors
/// [`Usage`]: it cannot be read.
pub(super) fn scenarios(file: &Path) -> Result<BTreeSet<String>, Usage> {
    let run = read(file).map_err(|error| Usage(format!("--base: {error}")))?;
    Ok(run.trials.into_iter().map(|trial| trial.scenario).collect())
}

impl Saved {
    /// Reads a report and holds it against the trials that are to be run.
    ///
    /// # Errors
    /// [`Usage`]: it cannot be read, lacks trials, or has them of other programs; what differs is
    /// named.
    pub(super) fn of(file: &Path, tasks: &[Task]) -> Result<Saved, Usage> {
        let refuse = |why: String| Usage(format!("--base {}: {why}", file.display()));
        let run = read(file).map_err(|error| Usage(format!("--base: {error}")))?;
        let subjects: BTreeSet<&str> = run.trials.iter().map(|trial| trial.subject.as_str()).collect();
        let subject = match subjects.iter().collect::<Vec<_>>()[..] {
            [one] => (*one).to_owned(),
            [] => return Err(refuse("it has no trials".to_owned())),
            _ => return Err(refuse(format!("it has several subjects ({}); one is compared", list(subjects.iter())))),
        };
        let kernels: BTreeSet<String> = run.trials.iter().map(|trial| trial.kernel.clone()).collect();
        let mut records = HashMap::new();
        for trial in run.trials {
            let program = trial.digest.clone();
            let finished = Finished::try_from(trial).map_err(|error| refuse(error.to_string()))?;
            let task = |subject: String| crate::judge::Trial { subject, ..finished.trial.clone() };
            let id = task(String::new()).to_string();
            records.insert(id.trim_end_matches('/').to_owned(), (program, RunOutcome::of(finished.judgement)));
        }
        let (mut missing, mut changed, mut runs) = (Vec::new(), Vec::new(), HashMap::new());
        for task in tasks {
            let key = key(task);
            let program = digest(&scenarios::text::print_scenario(&task.scenario));
            match records.remove(&key) {
                None => missing.push(key),
                Some((Some(old), _)) if old != program => changed.push(key),
                Some((None, _)) => {
                    return Err(refuse(
                        "it is of an older zdtm-detached and does not tell which programs it ran; run the base again"
                            .to_owned(),
                    ));
                }
                Some((_, judged)) => drop(runs.insert(key, judged)),
            }
        }
        let mut wrong = Vec::new();
        if !missing.is_empty() {
            let kernels = list(kernels.iter());
            wrong.push(format!("it has no result of {} (its kernels: {kernels})", some(&missing)));
        }
        if !changed.is_empty() {
            wrong.push(format!("the program has changed since of {}", some(&changed)));
        }
        if wrong.is_empty() {
            return Ok(Saved { subject, not_as_locked: run.not_as_locked, runs });
        }
        let what = wrong.join("; ");
        Err(refuse(format!("{what}. Run the base again, or choose trials that it has")))
    }
}

fn list(words: impl Iterator<Item = impl AsRef<str>>) -> String {
    words.map(|word| word.as_ref().to_owned()).collect::<Vec<_>>().join(", ")
}

fn some(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMES);
    let first = list(names.iter().take(NAMES));
    if more == 0 { first } else { format!("{first} and {more} more trials") }
}
