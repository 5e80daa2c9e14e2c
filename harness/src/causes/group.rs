//! Failures by cause.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use protocol::limits;
use scenarios::capability::{Capability, Explanation, Profile, Word, explain};
use serde::Serialize;

use super::case::{Case, End, profiles};
use crate::judge::{FailureKind, Signature};

/// A cause of failures, as reports have it (`docs/FORMATS.md`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cause {
    /// The identity that its failures share.
    pub signature: Signature,
    /// Their kind; `None` where the trial was flaky, an error, or passed against a record.
    pub kind: Option<FailureKind>,
    /// How many there are.
    pub count: usize,
    /// How many of them hold nothing on a detached mount: the subject breaks ordinary files.
    pub controls: usize,
    /// What the smallest one shows first: an error line or a difference.
    pub first: String,
    /// The steps of the smallest program, a line each.
    pub program: String,
    /// The id of its trial.
    pub example: String,
    /// The ids of all its trials, the smallest program first.
    pub trials: Vec<String>,
    /// What its scenarios have that no passing one has.
    pub blocked_by: Vec<Word>,
    /// The same for people: `subdirectory bind with mount attributes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked_by_text: Option<String>,
}

impl Cause {
    /// Its kind; the verdict where it has none.
    pub fn word(&self) -> &str {
        let verdict = self.signature.0.split(' ').next().unwrap_or_default();
        self.kind.map_or(verdict, |kind| kind.word())
    }

    /// What else is known of it: ordinary files fail, too, or what blocks it.
    pub fn note(&self) -> Option<String> {
        match (self.controls, &self.blocked_by_text) {
            (0, text) => text.as_ref().map(|text| format!("blocked by: {text}")),
            (count, None) => Some(format!("{count} of these hold no detached file: ordinary files fail, too")),
            (count, Some(text)) => Some(format!("blocked by: {text}, in ordinary files, too ({count})")),
        }
    }
}

/// The causes of the failures: first those that break ordinary files, then the most common ones.
pub fn causes(cases: &[Case]) -> Vec<Cause> {
    let mut by_signature: BTreeMap<&Signature, Vec<&Case>> = BTreeMap::new();
    for case in cases.iter().filter(|case| case.is_failure) {
        by_signature.entry(&case.signature).or_default().push(case);
    }
    let mut all: Vec<(Cause, Vec<&Case>)> = by_signature.into_iter().map(cause).collect();
    all.sort_by_key(|(cause, _)| {
        (cause.controls == 0, Reverse(cause.count), Reverse(cause.kind.map(FailureKind::severity)))
    });
    let restored = Restored::of(cases);
    for (cause, group) in all.iter_mut().take(limits::EXPLAINED_CAUSES) {
        let explanation = restored.blocked(group);
        cause.blocked_by_text = explanation.as_ref().map(ToString::to_string);
        cause.blocked_by = explanation.map(|found| found.words).unwrap_or_default();
    }
    all.into_iter().map(|(cause, _)| cause).collect()
}

fn cause<'a>((signature, mut group): (&Signature, Vec<&'a Case>)) -> (Cause, Vec<&'a Case>) {
    group.sort_by_key(|case| (case.steps.is_empty(), case.steps.len(), &case.id));
    let smallest = group[0];
    let cause = Cause {
        signature: signature.clone(),
        kind: smallest.kind,
        count: group.len(),
        controls: group.iter().filter(|case| case.is_control()).count(),
        first: smallest.first.clone(),
        program: smallest.steps.iter().map(|step| format!("{step}\n")).collect(),
        example: smallest.id.clone(),
        trials: group.iter().map(|case| case.id.clone()).collect(),
        blocked_by: Vec::new(),
        blocked_by_text: None,
    };
    (cause, group)
}

/// What was restored with each kernel and subject, each profile once.
struct Restored<'a>(BTreeMap<&'a (String, String), BTreeSet<&'a Profile>>);

impl<'a> Restored<'a> {
    /// What must be refused proves nothing: a subject that refuses everything passes it.
    fn of(cases: &'a [Case]) -> Self {
        let mut all: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        let is_refusal = |case: &Case| case.profile.capabilities.contains(&Capability::Refusal);
        for case in cases.iter().filter(|case| case.end == End::Good && !is_refusal(case)) {
            all.entry(&case.pool).or_default().insert(&case.profile);
        }
        Self(all)
    }

    /// What the failures have in common. Evidence is what passed with the same kernel and subject.
    fn blocked(&self, group: &[&Case]) -> Option<Explanation> {
        if group.iter().any(|case| case.end != End::Bad) {
            return None;
        }
        let pools: BTreeSet<_> = group.iter().map(|case| &case.pool).collect();
        let failed = profiles(group.iter().copied());
        let passed: BTreeSet<&Profile> =
            pools.into_iter().filter_map(|pool| self.0.get(pool)).flatten().copied().collect();
        let passed: Vec<_> = passed.into_iter().filter(|profile| !failed.contains(profile)).collect();
        explain(&failed, &passed)
    }
}
