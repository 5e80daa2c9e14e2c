//! What workers share, and what they tell: tasks, how these are run, and what became of each.

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use protocol::message::{Engine, TrialReport};
use scenarios::Scenario;

use super::{Confirm, CoverageHits};
use crate::judge::{Judgement, Trial, Verdict};
use crate::machine::{MachineSpec, Traces};

/// How long one action of a lifecycle may take under KVM; other accelerators scale it.
pub(crate) const ACTION_TIME_LIMIT: Duration = Duration::from_secs(12);
/// Of that a campaign waits so much: its programs are short, and one that hangs costs its pack
/// several such waits.
const PATIENCE_OF_CAMPAIGNS: f64 = 0.25;

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

/// What a judgement is in the light of what is known of the trial and this version of criu.
pub type Known<'a> = &'a (dyn Fn(&Trial, Option<&str>, Judgement) -> Judgement + Sync);

/// What workers share.
pub struct Work<'a> {
    /// What is still to be done.
    pub tasks: &'a Mutex<VecDeque<Task>>,
    /// The description of worker N's next machine.
    pub specs: &'a (dyn Fn(usize) -> MachineSpec + Sync),
    /// What is known.
    pub known: Known<'a>,
    /// Set when no more tasks are to be begun.
    pub stop: &'a AtomicBool,
    /// How trials are run.
    pub policy: Policy,
}

/// How trials are run: how long, how often, how many at once.
#[derive(Debug)]
pub struct Policy {
    /// The programs are a campaign's: what is known counts in whichever program shows it, and
    /// becomes more while they run, so a failure that is expected the second time is the same
    /// failure.
    pub campaign: bool,
    /// Factor on all time limits.
    pub timeout_scale: f64,
    /// How often an unexpected result is run again, each time in a new machine, before it is
    /// reported.
    pub retries: u32,
    /// Of which failures.
    pub confirm: Confirm,
    /// The first run of a trial is as thorough as one that confirms a failure: it sends its images,
    /// and tries a failed restore again.
    pub thorough: bool,
    /// How often each trial is run; at least once.
    pub repeat: u32,
    /// How many programs may share a process; fewer than two for none.
    pub pack: usize,
}

impl Default for Policy {
    /// Each trial alone and once.
    fn default() -> Self {
        Self {
            campaign: false,
            timeout_scale: 1.0,
            retries: 0,
            confirm: Confirm::All,
            thorough: false,
            repeat: 1,
            pack: 0,
        }
    }
}

impl Work<'_> {
    /// How long one action may take on a machine with this factor on time limits.
    pub(super) fn action_time_limit(&self, scale: f64) -> Duration {
        ACTION_TIME_LIMIT.mul_f64(if self.policy.campaign { scale * PATIENCE_OF_CAMPAIGNS } else { scale })
    }
}
