//! The ladders of both sides, of the trials that ran with both.

use crate::causes::case::is_restored;
use crate::compare::RunOutcome;
use crate::report::comparison::Ladders;

use super::rounds::Pair;

/// Of these pairs.
pub(super) fn of<'a>(pairs: impl Iterator<Item = &'a Pair>) -> Ladders {
    let mut ladders = Ladders::default();
    for pair in pairs {
        if let (Some(old), Some(new)) = (restored(&pair.base), restored(&pair.candidate)) {
            ladders.base.count(&pair.profile, old);
            ladders.candidate.count(&pair.profile, new);
        }
    }
    ladders
}

/// Whether the process came back in every conclusive run; `None` without such a run.
fn restored(runs: &[RunOutcome]) -> Option<bool> {
    let mut known = runs.iter().filter(|one| !one.is_unknown()).peekable();
    known.peek()?;
    Some(known.all(|one| is_restored(&one.applied)))
}
