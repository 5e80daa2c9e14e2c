//! Tasks, and what workers report of them.

use std::sync::Arc;

use protocol::message::{Engine, TrialReport};
use scenarios::Scenario;

use super::CoverageHits;
use crate::judge::{Judgement, Trial, Verdict};
use crate::machine::Traces;

/// One trial to run.
#[derive(Clone, Debug)]
pub struct Task {
    /// Which.
    pub trial: Trial,
    /// What it runs.
    pub scenario: Scenario,
    /// What dumps and restores.
    pub engine: Engine,
}

/// What became of a task.
#[derive(Debug)]
pub enum News {
    /// It begins.
    Started(Box<Task>),
    /// It is over.
    Over(Box<Over>),
    /// A worker has a machine.
    Machine {
        /// In place of one that was thrown away.
        reset: bool,
    },
}

/// A task that is over.
#[derive(Debug)]
pub struct Over {
    /// The task.
    pub task: Task,
    /// The judge's word in the light of what is known.
    pub judgement: Judgement,
    /// The report of the guest, if it sent one.
    pub report: Option<TrialReport>,
    /// The subject's criu version, where it is one and the guest said it.
    pub criu: Option<String>,
    /// Duration in seconds.
    pub seconds: f64,
    /// What its machine left for the artifacts.
    pub traces: Traces,
    /// The branches of criu that were taken, for it or for its pack.
    pub hits: Arc<CoverageHits>,
}

impl Over {
    /// A task that was not begun, or not brought to its end.
    pub fn not_run(task: Task, why: &str) -> Self {
        let judgement = Judgement::plain(Verdict::NotRun, why);
        let (traces, hits) = (Traces::none(), Arc::default());
        Over { task, judgement, report: None, criu: None, seconds: 0.0, traces, hits }
    }
}
