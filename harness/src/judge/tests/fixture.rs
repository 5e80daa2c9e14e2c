//! Trials of the small world of [`testing::world`].

use protocol::caller;
use protocol::message::{Action, ActionEnd, ActionReport, Lifecycle, TrialReport};
use protocol::observation::*;
use scenarios::{Outcome as Expected, Program, Scenario};

use crate::judge::Context;
pub(crate) use testing::world::*;

pub(crate) fn scenario() -> Scenario {
    Scenario {
        name: "deleted/unlinked@ext4".into(),
        family: "deleted".into(),
        summary: String::new(),
        requires: Default::default(),
        outcome: Expected::Restored,
        program: Program::default(),
        file: None,
    }
}

pub(crate) fn refused() -> Scenario {
    Scenario { outcome: Expected::Refused { reason: "the superblock is visible nowhere else".into() }, ..scenario() }
}

pub(crate) fn context(lifecycle: Lifecycle) -> Context {
    Context { lifecycle, tainted_before: 0, probed: false }
}

pub(crate) fn action(action: Action, end: ActionEnd, after: Option<Observation>) -> ActionReport {
    let caller = match end {
        ActionEnd::Done => caller::matters(action).iter().map(|matter| matter.found(None)).collect(),
        _ => Vec::new(),
    };
    ActionReport {
        action,
        end,
        error_lines: vec![],
        duration_ms: 400,
        after,
        unobservable: None,
        caller,
        left: vec![],
        second_try: None,
    }
}

pub(crate) fn report(actions: Vec<ActionReport>) -> TrialReport {
    TrialReport { before: Some(observation(0)), actions, ..Default::default() }
}

/// Dump and restore, both done.
pub(crate) fn cycle(after: Observation) -> TrialReport {
    report(vec![action(Action::Dump, ActionEnd::Done, None), action(Action::Restore, ActionEnd::Done, Some(after))])
}

/// A dump that failed and said this.
pub(crate) fn failed_dump(after: Observation, line: &str) -> TrialReport {
    let mut dump = action(Action::Dump, ActionEnd::Failed(1), Some(after));
    dump.error_lines = vec![line.to_owned()];
    report(vec![dump])
}
