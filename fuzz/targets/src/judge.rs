//! The judge cannot be fooled: a world that is the same passes, and one with any single change does
//! not.

use arbitrary::{Result, Unstructured};
use protocol::Observation;
use protocol::message::{Action, ActionEnd, ActionReport, Lifecycle, TrialReport};
use scenarios::{Outcome, Program, Scenario};

use harness::judge::{Context, Judgement, Verdict};
use testing::change::{MAY_CHANGE, changes, places, with_stars};
use testing::world::{restored, varied};

/// The bytes choose a world, a place in it and so its changes.
///
/// # Panics
/// When a verdict is not as it must be.
pub fn judge(data: &[u8]) {
    let _ = look(data);
}

fn look(data: &[u8]) -> Result<()> {
    let mut u = Unstructured::new(data);
    let before = varied(&mut u, 0)?;
    let shift = u.int_in_range(1..=7)?;
    let other = restored(varied(&mut Unstructured::new(data), shift)?);
    let same = [(Lifecycle::LeaveRunning, before.clone()), (Lifecycle::DumpRestore, other)];
    for (lifecycle, after) in same {
        let judgement = judged(lifecycle, &before, after);
        assert_eq!(judgement.verdict, Verdict::Pass, "{lifecycle}, nothing changed: {}", judgement.reason);
    }
    let document = serde_json::to_value(&before).expect("an observation can be written");
    let mut all = Vec::new();
    places(&document, "", &mut all);
    let place = u.choose(&all)?;
    let may_change = MAY_CHANGE.iter().any(|(end, _)| with_stars(place).ends_with(end));
    for (what, after) in changes(&before, &document, place) {
        let lifecycles: &[_] =
            if may_change { &[Lifecycle::LeaveRunning] } else { &[Lifecycle::LeaveRunning, Lifecycle::DumpRestore] };
        for &lifecycle in lifecycles {
            let judgement = judged(lifecycle, &before, after.clone());
            assert!(judgement.verdict != Verdict::Pass, "{lifecycle}, {place}: {what}: it passes");
        }
    }
    Ok(())
}

/// The verdict on a trial in which every action was done and this was seen after the last.
fn judged(lifecycle: Lifecycle, before: &Observation, after: Observation) -> Judgement {
    let action = |&action: &Action| ActionReport {
        action,
        end: ActionEnd::Done,
        error_lines: Vec::new(),
        duration_ms: 1,
        after: (action != Action::Dump).then(|| after.clone()),
        unobservable: None,
        caller: Vec::new(),
        left: Vec::new(),
        second_try: None,
    };
    let actions = lifecycle.actions().iter().map(action).collect();
    let report = TrialReport { before: Some(before.clone()), actions, ..TrialReport::default() };
    harness::judge::judge(
        &scenario(Outcome::Restored),
        Context { lifecycle, tainted_before: 0, probed: false },
        &report,
    )
}

/// A scenario with this outcome.
pub(crate) fn scenario(outcome: Outcome) -> Scenario {
    Scenario {
        name: "deleted/unlinked@ext4".to_owned(),
        family: "deleted".to_owned(),
        summary: String::new(),
        requires: scenarios::scenario::Requirements::default(),
        outcome,
        program: Program::default(),
        file: None,
    }
}
