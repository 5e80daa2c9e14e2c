//! Does a finding still show?

use std::collections::BTreeMap;

use super::Finding;
use crate::compare::{self, failure};
use crate::judge::Judgement;
use crate::report::Finished;

/// What became of a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It shows.
    Shows {
        /// The version of criu that it shows with.
        criu: Option<String>,
    },
    /// Its program passes.
    Gone,
    /// Its program fails in another way.
    Another(String),
    /// Its program could not be run, or was not.
    Unknown(String),
}

impl Outcome {
    /// Of a finding whose program has run, or has not.
    pub fn of(finding: &Finding, finished: Option<&Finished>) -> Self {
        let Some(Finished { judgement, criu, .. }) = finished else { return Self::Unknown("not run".to_owned()) };
        match failure(judgement) {
            Some(signature) if signature == finding.signature => Self::Shows { criu: criu.clone() },
            Some(signature) => Self::Another(format!("{signature}: {}", happens(judgement))),
            None if compare::Outcome::of(judgement.verdict) == compare::Outcome::Pass => Self::Gone,
            None => Self::Unknown(judgement.reason.clone()),
        }
    }

    /// A word for a table.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Shows { .. } => "shows",
            Self::Gone => "gone",
            Self::Another(_) => "differs",
            Self::Unknown(_) => "unknown",
        }
    }

    /// What there is to say beside it.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Another(text) | Self::Unknown(text) => Some(text),
            Self::Shows { .. } | Self::Gone => None,
        }
    }
}

/// How many there are of each, in a line.
pub fn summary(results: &[(&Finding, Outcome)]) -> String {
    let mut counts = BTreeMap::<&str, usize>::new();
    for (_, result) in results {
        *counts.entry(result.word()).or_default() += 1;
    }
    let words = [("shows", "as recorded"), ("gone", "gone"), ("differs", "differ"), ("unknown", "unknown")];
    let counts = words.iter().filter_map(|(word, text)| counts.get(word).map(|count| format!("{count} {text}")));
    format!("{} findings: {}", results.len(), counts.collect::<Vec<_>>().join(", "))
}

/// What decided the trial, in a line.
pub fn happens(judgement: &Judgement) -> String {
    match judgement.deciding() {
        Some(difference) => format!("{difference}: expected {}, got {}", difference.expected, difference.got),
        None => format!("`{}`", judgement.said()),
    }
}
