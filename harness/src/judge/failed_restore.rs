//! What is wrong with a restore beside that it failed: what it left, and a second try in the same
//! root that ends otherwise. The failure stays the verdict, and these are differences that stand
//! with it.

use protocol::message::{ActionEnd, ActionReport};

use super::difference::{Difference, Side};
use super::lifecycle::first_error;
use super::signature::plain;
use super::verdict::FailureKind;

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
