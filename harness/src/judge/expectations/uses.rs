//! Which known defects still show: one that no trial of a whole run shows any more is stale.

use super::super::range::Version;
use super::super::verdict::{Judgement, Trial, Verdict};
use super::{Expectations, ExpectationsError};

/// What became of each known defect in a run, in the order of the file.
#[derive(Debug)]
pub struct Uses<'a> {
    expectations: &'a Expectations,
    /// Whether a trial of its scope was compared, and whether it explained a difference of one.
    seen: Vec<(bool, bool)>,
}

impl<'a> Uses<'a> {
    /// Before the first trial.
    pub fn new(expectations: &'a Expectations) -> Self {
        Self { expectations, seen: vec![(false, false); expectations.defects.len()] }
    }

    /// Takes one more trial, judged.
    pub fn note(&mut self, trial: &Trial, criu: Option<&Version>, judgement: &Judgement) {
        let compared = judgement.verdict == Verdict::Pass || !judgement.differences.is_empty();
        for (defect, (in_scope, explained)) in self.expectations.defects.iter().zip(&mut self.seen) {
            if compared && defect.scope.has(trial, criu) {
                *in_scope = true;
                *explained |= judgement.differences.iter().any(|difference| defect.explains(difference));
            }
        }
    }

    /// A complaint for each defect that could have shown and did not.
    pub fn idle(&self) -> Vec<ExpectationsError> {
        let all = self.expectations.defects.iter().zip(&self.seen);
        let idle = all.filter(|(_, seen)| matches!(seen, (true, false)));
        idle.map(|(defect, _)| {
            let what = format!("no trial shows this defect any more: remove or narrow it (known: {})", defect.reason);
            ExpectationsError::Bad { file: self.expectations.file.clone(), line: defect.line, column: 1, what }
        })
        .collect()
    }
}
