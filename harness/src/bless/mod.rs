//! From results to the file of known failures: what the results prove is written, everything else
//! stays as it is, comments, reasons and links included.
//!
//! - A failure that nothing records, or that another entry records with another kind, gets an entry
//!   of its own, for exactly the flavors, lifecycles, kernels and versions of criu in which it was
//!   seen, before the one that matched.
//! - What passes although a failure is recorded of its subject is taken out of that entry. Where
//!   the entry also speaks of kernels, flavors or lifecycles that were not run, it keeps these.
//! - What is flaky, unsupported, an error or not run proves nothing.
//!
//! An entry is only ever looked up with the judge's own rules ([`Expectations::find`]), and the new
//! text is read again and applied to the results: what would not come out as expected is an error,
//! and nothing is written.

mod entry;
mod group;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::compare::Outcome;
use crate::judge::expectations::{Expectation, ExpectationsError};
use crate::judge::range::Version;
use crate::judge::{Expectations, FailureKind, Judgement, Trial, Verdict, signature};
use entry::{Edit, edited};
use group::Where;

/// What one trial came to, whatever was expected.
#[derive(Clone, Debug)]
pub struct TrialResult {
    /// Which trial.
    pub trial: Trial,
    /// The version of criu, where there is one.
    pub criu: Option<String>,
    /// As reported, with expectations applied.
    pub verdict: Verdict,
    /// What was said, without what is known of it.
    pub why: String,
}

/// What is to be said of a new entry.
#[derive(Clone, Debug, Default)]
pub struct Note {
    /// Its reason; without one, what the results say.
    pub reason: Option<String>,
    /// Where it is discussed.
    pub link: Option<String>,
}

/// The new text.
#[derive(Clone, Debug)]
pub struct Blessed {
    /// Of the whole file.
    pub text: String,
    /// What was changed, a line each; empty when all is as recorded.
    pub changes: Vec<String>,
}

/// Why nothing can be written.
#[derive(Debug, thiserror::Error)]
pub enum BlessError {
    /// The file itself is wrong.
    #[error(transparent)]
    File(#[from] ExpectationsError),
    /// An entry cannot be narrowed without loss.
    #[error(
        "{file}:{line}: {scenario} passes now with {subject}, but the entry speaks of other subjects as well ({patterns}): narrow it by hand"
    )]
    Subjects {
        /// The file.
        file: String,
        /// The entry's line.
        line: usize,
        /// Which scenario.
        scenario: String,
        /// With which subject.
        subject: String,
        /// What the entry says.
        patterns: String,
    },
    /// The results contradict each other, or an entry prevents the change.
    #[error(
        "{trial}: with the new entries this would be {got}; nothing was written. Its results may contradict each other: bless one run at a time"
    )]
    Contradiction {
        /// Which trial.
        trial: String,
        /// What it would be.
        got: Verdict,
    },
}

/// The text of the file `file` with what the results prove. `kernels` are all that there are, for
/// an entry that speaks of every kernel and must be narrowed to those on which it did not pass.
///
/// # Errors
/// The file is wrong, an entry cannot be narrowed, or the results contradict each other.
pub fn bless(
    text: &str,
    file: &Path,
    results: &[TrialResult],
    kernels: &[String],
    note: &Note,
) -> Result<Blessed, BlessError> {
    let expectations = Expectations::parse(text, file)?;
    let mut edits: Vec<Edit> = Vec::new();
    let mut changes = Vec::new();
    for ((line, kind, says), failures) in failures(&expectations, results) {
        for group in group::groups(&failures) {
            let why = note.reason.clone().unwrap_or_else(|| why(results, &group));
            changes.push(format!("{kind}: {}", group.scenarios.join(", ")));
            edits
                .push(Edit::Insert { before: line, text: entry::new(&group, kind, &says, &why, note.link.as_deref()) });
        }
    }
    for (line, passes) in passes(&expectations, results) {
        let entry = expectations.entries().iter().find(|entry| entry.line == line).expect("it was found there");
        check_subjects(file, entry, &passes)?;
        let groups = group::groups(&passes);
        changes.extend(groups.iter().map(|group| format!("passes: {}", group.scenarios.join(", "))));
        let gone = groups.iter().flat_map(|group| group.scenarios.clone()).collect();
        let rest = groups.iter().flat_map(|group| group::rest(entry, group, kernels)).collect();
        edits.push(Edit::Narrow { line, gone, rest });
    }
    let text = edited(text, edits);
    prove(&Expectations::parse(&text, file)?, results)?;
    Ok(Blessed { text, changes })
}

/// A trial's place among scenarios, flavors, lifecycles, kernels, subjects and versions of criu.
type Places = BTreeMap<String, BTreeSet<Where>>;

/// Failures by the entry that they must stand before (none for the end), their kind, and what is
/// said.
type Failures = BTreeMap<(Option<usize>, FailureKind, String), Places>;

/// Failures that are not recorded so.
fn failures(expectations: &Expectations, results: &[TrialResult]) -> Failures {
    let mut all: Failures = BTreeMap::new();
    for one in results.iter().filter(|one| !one.trial.family.is_empty()) {
        let Outcome::Fail(kind) = Outcome::of(one.verdict) else { continue };
        let entry = entry_of(expectations, one);
        // A failure that known defects explain, or an entry records.
        let is_explained = entry.is_none() && matches!(one.verdict, Verdict::Xfail(_));
        if is_explained || entry.is_some_and(|entry| entry.records(kind, &one.why)) {
            continue;
        }
        let says = signature::pattern(&one.why);
        let places = all.entry((entry.map(|entry| entry.line), kind, says)).or_default();
        places.entry(one.trial.scenario.clone()).or_default().insert(Where::of(one));
    }
    all
}

/// What passes, by the entry that says it fails.
fn passes(expectations: &Expectations, results: &[TrialResult]) -> BTreeMap<usize, Places> {
    let mut all: BTreeMap<usize, Places> = BTreeMap::new();
    for one in results.iter().filter(|one| Outcome::of(one.verdict) == Outcome::Pass) {
        let entry = entry_of(expectations, one).filter(|entry| entry.scope.speaks_of(&one.trial.subject));
        let Some(entry) = entry else { continue };
        let places = all.entry(entry.line).or_default();
        places.entry(one.trial.scenario.clone()).or_default().insert(Where::of(one));
    }
    all
}

fn criu(result: &TrialResult) -> Option<Version> {
    result.criu.as_deref().and_then(Version::find)
}

fn entry_of<'a>(expectations: &'a Expectations, result: &TrialResult) -> Option<&'a Expectation> {
    expectations.find(&result.trial, criu(result).as_ref())
}

/// An entry about several subjects cannot be narrowed by one of them: `*` has no complement.
fn check_subjects(file: &Path, entry: &Expectation, passes: &Places) -> Result<(), BlessError> {
    for (scenario, places) in passes {
        for place in places {
            let patterns = &entry.scope.subject;
            if patterns.iter().any(|pattern| *pattern != place.subject) || patterns.is_empty() {
                return Err(BlessError::Subjects {
                    file: file.display().to_string(),
                    line: entry.line,
                    scenario: scenario.clone(),
                    subject: place.subject.clone(),
                    patterns: if patterns.is_empty() { "all".to_owned() } else { patterns.join(", ") },
                });
            }
        }
    }
    Ok(())
}

/// What was seen of the first trial of the group.
fn why(results: &[TrialResult], group: &group::Group) -> String {
    let first = results.iter().find(|one| {
        one.trial.scenario == group.scenarios[0] && group.places.contains(&Where::of(one)) && !one.why.is_empty()
    });
    first.map_or_else(|| "cause not established".to_owned(), |one| one.why.clone())
}

/// With the new entries, every result must be as expected.
fn prove(new: &Expectations, results: &[TrialResult]) -> Result<(), BlessError> {
    for one in results {
        let defect = matches!(one.verdict, Verdict::Xfail(_));
        let verdict = match Outcome::of(one.verdict) {
            Outcome::Unsupported | Outcome::Unknown => continue,
            Outcome::Pass => Verdict::Pass,
            // The differences are not here any more: a failure that a defect explains stays
            // explained.
            Outcome::Fail(kind) if defect && entry_of(new, one).is_none() => Verdict::Xfail(kind),
            Outcome::Fail(kind) => Verdict::Fail(kind),
        };
        let got = new.apply(&one.trial, criu(one).as_ref(), Judgement::plain(verdict, one.why.as_str())).verdict;
        if !one.trial.family.is_empty() && !matches!(got, Verdict::Pass | Verdict::Improved | Verdict::Xfail(_)) {
            return Err(BlessError::Contradiction { trial: one.trial.to_string(), got });
        }
    }
    Ok(())
}
