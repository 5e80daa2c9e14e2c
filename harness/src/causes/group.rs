//! Failures by cause.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use scenarios::capability::{Capability, Explanation, Word, explain};
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
    let mut all: Vec<Cause> =
        by_signature.into_iter().map(|(signature, group)| cause(signature, group, cases)).collect();
    all.sort_by_key(|cause| {
        (cause.controls == 0, Reverse(cause.count), Reverse(cause.kind.map(FailureKind::severity)))
    });
    all
}

fn cause(signature: &Signature, mut group: Vec<&Case>, all: &[Case]) -> Cause {
    group.sort_by_key(|case| (case.steps.is_empty(), case.steps.len(), &case.id));
    let smallest = group[0];
    let explanation = blocked(&group, all);
    Cause {
        signature: signature.clone(),
        kind: smallest.kind,
        count: group.len(),
        controls: group.iter().filter(|case| case.is_control()).count(),
        first: smallest.first.clone(),
        program: smallest.steps.iter().map(|step| format!("{step}\n")).collect(),
        example: smallest.id.clone(),
        trials: group.iter().map(|case| case.id.clone()).collect(),
        blocked_by: explanation.as_ref().map(|found| found.words.clone()).unwrap_or_default(),
        blocked_by_text: explanation.map(|found| found.to_string()),
    }
}

/// What the failures have in common. Evidence is what passed with the same kernel and subject. What
/// must be refused proves nothing: a subject that refuses everything passes it.
fn blocked(group: &[&Case], all: &[Case]) -> Option<Explanation> {
    let is_bad = group.iter().all(|case| case.end == End::Bad);
    let pools: BTreeSet<_> = group.iter().map(|case| &case.pool).collect();
    let failed = profiles(group.iter().copied());
    let good = all.iter().filter(|case| case.end == End::Good && pools.contains(&case.pool));
    let restored = good.filter(|case| !case.profile.capabilities.contains(&Capability::Refusal));
    let passed: Vec<_> = profiles(restored).into_iter().filter(|profile| !failed.contains(profile)).collect();
    if is_bad { explain(&failed, &passed) } else { None }
}
