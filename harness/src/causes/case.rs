//! What causes and ladder need of a trial.

use std::collections::BTreeSet;

use scenarios::capability::{Capability, Profile};

use crate::compare::Outcome;
use crate::judge::{FailureKind, Judgement, Signature, Verdict};

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
    /// Whether the ladder counts it: it says something of the subject, and can be restored at all.
    pub fn is_on_ladder(&self) -> bool {
        self.end != End::Silent && !self.profile.capabilities.contains(&Capability::Refusal)
    }

    /// Whether nothing is held on a detached mount.
    pub(super) fn is_control(&self) -> bool {
        !self.profile.bases.is_empty() && !self.profile.is_detached()
    }
}

/// Whether the process came back, but for what known defects lose of its files.
pub fn is_restored(judgement: &Judgement) -> bool {
    let is_known = matches!(judgement.verdict, Verdict::Xfail(_));
    Outcome::of(judgement.verdict) == Outcome::Pass || (is_known && judgement.is_explained())
}

/// The profiles of these cases, each once.
pub(super) fn profiles<'a>(cases: impl Iterator<Item = &'a Case>) -> Vec<&'a Profile> {
    cases.map(|case| &case.profile).collect::<BTreeSet<_>>().into_iter().collect()
}
