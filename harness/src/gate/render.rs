//! Makes the comparison of two sides from the pairs of their runs.

use std::path::Path;

use super::rounds::{End, Pair};
use crate::compare::{Change, Outcome, RunOutcome, ever, sign};
use crate::judge::Difference;
use crate::report::artifacts;
use crate::report::comparison::{Comparison, Entry, SideResult};

/// Puts what came of a pair where it belongs. Its artifacts are below `keep`, where there are some.
pub(super) fn add(comparison: &mut Comparison, pair: &Pair, end: End, keep: Option<&Path>) {
    let trial = &pair.trial;
    let folder = keep.map(|keep| keep.join(artifacts::folder_name(&trial.to_string())));
    let entry = |why| Entry {
        id: pair.id.clone(),
        scenario: trial.scenario.clone(),
        family: trial.family.clone(),
        flavor: trial.flavor.word(),
        lifecycle: trial.lifecycle.word(),
        kernel: trial.kernel.clone(),
        why,
        base: side_result(&pair.base, &pair.candidate),
        candidate: side_result(&pair.candidate, &pair.base),
        artifacts: pair.artifacts.clone().or(folder).filter(|folder| folder.exists()),
    };
    match end {
        End::Change(Change::Same) => comparison.same += 1,
        End::Change(Change::Unsupported) => comparison.unsupported += 1,
        End::Change(Change::Worse) => comparison.worse.push(entry(None)),
        End::Change(Change::Better) => comparison.better.push(entry(None)),
        End::Change(Change::Different) => comparison.different.push(entry(None)),
        End::Change(Change::Undecided) => comparison.undecided.push(entry(None)),
        End::Flaky(why) => comparison.flaky.push(entry(Some(why))),
        End::Undecided(why) => comparison.undecided.push(entry(Some(why))),
        End::LeftOut => comparison.left_out.push(pair.id.clone()),
    }
}

/// What one side did, by its last run of the most interesting kind: a failure before a pass, a pass
/// before an unknown result.
fn side_result(runs: &[RunOutcome], other: &[RunOutcome]) -> SideResult {
    let rank = |one: &&RunOutcome| match one.outcome {
        Outcome::Unknown => 0,
        Outcome::Pass | Outcome::Unsupported => 1,
        Outcome::Fail(_) => 2,
    };
    let most = runs.iter().max_by_key(rank).expect("what was not run is left out");
    let others = ever(other);
    let own = |difference: &&Difference| !others.contains(&sign(difference));
    SideResult {
        verdict: match most.outcome {
            // Saved reports have the words of a run with expectations.
            Outcome::Pass => "pass",
            Outcome::Fail(_) => "fail",
            Outcome::Unsupported | Outcome::Unknown => most.judgement.verdict.word(),
        },
        kind: most.judgement.verdict.kind(),
        reason: most.judgement.reason.clone(),
        passed: runs.iter().filter(|one| one.passed()).count(),
        runs: runs.len(),
        differences: most.judgement.differences.iter().filter(own).cloned().collect(),
    }
}
