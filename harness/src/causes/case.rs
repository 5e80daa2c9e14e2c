//! What causes and ladder need of a trial.

use std::collections::BTreeSet;
use std::path::Path;

use scenarios::capability::{Capability, Profile};
use scenarios::{Step, text};

use crate::judge::{FailureKind, Group, Judgement, Signature, Verdict};
use crate::report::record::TrialRecord;

/// What a trial says of the subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything came back, but for what known defects lose; or what must be refused was.
    Good,
    /// It did not.
    Bad,
    /// The trial says nothing: an error of the harness or of the scenario.
    Silent,
}

/// A trial.
#[derive(Clone, Debug)]
pub struct Case {
    /// The trial's id.
    pub id: String,
    /// The scenario's name.
    pub scenario: String,
    /// Kernel and subject.
    pub pool: (String, String),
    /// What it says of the subject.
    pub end: End,
    /// It is one of the run's failures.
    pub is_failure: bool,
    /// The kind of the failure.
    pub kind: Option<FailureKind>,
    /// The identity of the failure; meaningless for what did not fail.
    pub signature: Signature,
    /// What differs first, or what was said.
    pub first: String,
    /// What the program needs; empty where the report does not say.
    pub profile: Profile,
    /// The steps, a line each, without what only checks the situation. Of failures alone.
    pub steps: Vec<String>,
}

impl Case {
    /// A trial of a report; none for one that was not run, or could not be.
    pub fn of(record: &TrialRecord) -> Option<Self> {
        let verdict = record.verdict().ok().filter(|verdict| verdict.group() != Group::Skipped)?;
        let is_failure = verdict.group() == Group::Failed;
        let judgement = Judgement {
            differences: record.differences.clone(),
            said: record.said.clone(),
            ..Judgement::plain(verdict, record.reason.as_str())
        };
        Some(Self {
            id: record.id.clone(),
            scenario: record.scenario.clone(),
            pool: (record.kernel.clone(), record.subject.clone()),
            end: end(&judgement),
            is_failure,
            kind: verdict.kind(),
            signature: Signature::of(&judgement),
            first: first(&judgement),
            profile: Profile {
                bases: record.bases.iter().copied().collect(),
                capabilities: record.capabilities.iter().copied().collect(),
            },
            steps: if is_failure { steps(record) } else { Vec::new() },
        })
    }
}

impl Case {
    /// Whether the ladder counts it: it says something of the subject, and can be restored at all.
    pub fn is_on_ladder(&self) -> bool {
        self.end != End::Silent && !self.profile.capabilities.contains(&Capability::Refusal)
    }

    /// Whether nothing is held on a detached mount.
    pub(super) fn is_control(&self) -> bool {
        !self.profile.bases.is_empty() && !self.profile.is_detached()
    }
}

fn end(judgement: &Judgement) -> End {
    match judgement.verdict {
        Verdict::Error => End::Silent,
        _ if is_restored(judgement) => End::Good,
        _ => End::Bad,
    }
}

/// Whether the process came back, but for what known defects lose of its files.
pub fn is_restored(judgement: &Judgement) -> bool {
    let only_known = !judgement.differences.is_empty() && judgement.differences.iter().all(|one| one.known.is_some());
    match judgement.verdict {
        Verdict::Pass | Verdict::Xpass | Verdict::Improved => true,
        Verdict::Xfail(_) => only_known,
        _ => false,
    }
}

fn first(judgement: &Judgement) -> String {
    match judgement.deciding() {
        Some(difference) => format!("{difference}: expected {}, got {}", difference.expected, difference.got),
        None => judgement.said().to_owned(),
    }
}

/// The steps of the program that the report has. It may be anybody's: a text that is no program has
/// none.
fn steps(record: &TrialRecord) -> Vec<String> {
    let program = record.program.as_deref().unwrap_or_default();
    let read = text::scenarios(program.as_bytes(), &record.scenario, Path::new("program")).unwrap_or_default();
    let steps = read.first().map(|scenario| scenario.program.steps.as_slice()).unwrap_or_default();
    let made = steps.iter().filter(|line| !matches!(line.step, Step::Assert { .. }));
    made.map(|line| text::print_step(&line.step)).collect()
}

/// The profiles of these cases, each once.
pub(super) fn profiles<'a>(cases: impl Iterator<Item = &'a Case>) -> Vec<&'a Profile> {
    cases.map(|case| &case.profile).collect::<BTreeSet<_>>().into_iter().collect()
}
