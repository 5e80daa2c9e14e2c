//! From a trial of a report to what causes and ladder need of it.

use std::path::Path;

use scenarios::capability::Profile;
use scenarios::{Step, text};

use super::record::TrialRecord;
use crate::causes::Case;
use crate::causes::case::{End, is_restored};
use crate::judge::{Group, Judgement, Signature, Verdict};

impl TrialRecord {
    /// What causes and ladder need of it; none for a trial that was not run, or could not be.
    pub fn case(&self) -> Option<Case> {
        let verdict = self.verdict().ok().filter(|verdict| verdict.group() != Group::Skipped)?;
        let is_failure = verdict.group() == Group::Failed;
        let judgement = Judgement {
            differences: self.differences.clone(),
            said: self.said.clone(),
            ..Judgement::plain(verdict, self.reason.as_str())
        };
        Some(Case {
            id: self.id.clone(),
            scenario: self.scenario.clone(),
            pool: (self.kernel.clone(), self.subject.clone()),
            end: end(&judgement),
            is_failure,
            kind: verdict.kind(),
            signature: Signature::of(&judgement),
            first: first(&judgement),
            profile: Profile {
                bases: self.bases.iter().copied().collect(),
                capabilities: self.capabilities.iter().copied().collect(),
            },
            steps: if is_failure { steps(self) } else { Vec::new() },
        })
    }
}

fn end(judgement: &Judgement) -> End {
    match judgement.verdict {
        Verdict::Error => End::Silent,
        _ if is_restored(judgement) => End::Good,
        _ => End::Bad,
    }
}

fn first(judgement: &Judgement) -> String {
    match judgement.deciding() {
        Some(difference) => format!("{difference}: expected {}, got {}", difference.expected, difference.got),
        None => judgement.said().to_owned(),
    }
}

/// The steps of the program that the report has. The report may be from anybody: a text that is not
/// a program has none.
fn steps(record: &TrialRecord) -> Vec<String> {
    let program = record.program.as_deref().unwrap_or_default();
    let read = text::scenarios(program.as_bytes(), &record.scenario, Path::new("program")).unwrap_or_default();
    let steps = read.first().map(|scenario| scenario.program.steps.as_slice()).unwrap_or_default();
    let made = steps.iter().filter(|line| !matches!(line.step, Step::Assert { .. }));
    made.map(|line| text::print_step(&line.step)).collect()
}
