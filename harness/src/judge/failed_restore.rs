//! What is wrong with a restore beside that it failed: what it left, and a second try in the same
//! root that ends otherwise. The failure stays the verdict, and these are differences that stand
//! with it.

use protocol::Observation;
use protocol::message::{Action, ActionEnd, ActionReport};

use super::difference::{Difference, Side};
use super::lifecycle::{LifecycleJudge, Step, add, first_error};
use super::refusal;
use super::signature::plain;
use super::verdict::{FailureKind, Judgement};

/// The name of the comparison that takes what the agent found after a failed restore.
pub const LEFT: &str = "failed-restore";

/// The name of the comparison that holds a second try against the first.
pub const SECOND_TRY: &str = "second-try";

/// The differences of a restore that failed with this status.
pub(super) fn differences(restore: &ActionReport, status: i32) -> Vec<Difference> {
    let left = restore.left.iter().map(|what| difference(LEFT, "left by the failed restore", "(nothing)", what));
    let again = restore.second_try.as_ref().and_then(|again| {
        let first = first_error(restore, status);
        let second = match again.end {
            ActionEnd::Done => "it succeeds".to_owned(),
            ActionEnd::Failed(status) => {
                let lines = again.error_lines.clone();
                first_error(&ActionReport { error_lines: lines, ..restore.clone() }, status)
            }
            ActionEnd::Killed(signal) => format!("it is ended by signal {signal}"),
            ActionEnd::TimedOut => "it does not end".to_owned(),
        };
        let same = plain(&first) == plain(&second);
        (!same).then(|| difference(SECOND_TRY, "a second try in the same root", &first, &second))
    });
    left.chain(again).collect()
}

impl LifecycleJudge<'_> {
    /// What a restore that failed did besides.
    pub(super) fn harm_by_restore(&self, restore: &ActionReport, status: i32) -> Vec<Difference> {
        let mut differences = differences(restore, status);
        let is_enabled = |difference: &Difference| self.judge.disabled != Some(&*difference.comparison);
        differences.retain(|difference| is_enabled(difference) && !self.was_left_by_a_killed_one(&difference.got));
        differences
    }

    /// Whether it only says that something is gone that a restore left which was killed.
    fn was_left_by_a_killed_one(&self, what: &str) -> bool {
        let killed = self.report.actions.iter().filter(|one| one.action == Action::KilledRestore);
        // `file PATH`, and later `no longer there: PATH`.
        let mut paths = killed.flat_map(|one| &one.left).filter_map(|left| left.split_once(' ')).map(|(_, path)| path);
        what.strip_prefix("no longer there: ").is_some_and(|gone| paths.any(|path| path == gone))
    }

    /// A restore after others changed the tree may fail, when it says of which object.
    pub(super) fn refused_restore(
        &self,
        restore: &ActionReport,
        status: i32,
        right: &Observation,
        mut differences: Vec<Difference>,
    ) -> Judgement {
        add(&mut differences, self.harm_by_restore(restore, status));
        let objects = [self.before, right].into_iter().flat_map(|seen| {
            seen.inside.objects.iter().chain(&seen.outside.objects).filter(|object| !refusal::is_of_the_harness(object))
        });
        let said = first_error(restore, status);
        if refusal::names_one(&restore.error_lines, &objects.collect::<Vec<_>>()) {
            return self.weigh(differences, None);
        }
        let reason = format!("the tree was changed, and the refusal to restore does not name an object: {said}");
        self.end(Step::Ended { kind: FailureKind::RestoreFailed, reason, differences: Vec::new() }, &differences)
    }
}

fn difference(comparison: &str, what: &str, expected: &str, got: &str) -> Difference {
    Difference {
        comparison: comparison.to_owned(),
        kind: FailureKind::HarmedByRestore,
        view: Side::Outside,
        object: None,
        what: what.to_owned(),
        expected: expected.to_owned(),
        got: got.to_owned(),
        known: None,
    }
}
