//! What workers share: the machines that they start, what is known of failures, and how trials are
//! run. A worker needs nothing else; a queue of tasks is only for those that [`super::start`]
//! starts.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Confirm, Task};
use crate::judge::range::Version;
use crate::judge::{Judgement, Trial};
use crate::machine::MachineSpec;

/// How long one action of a lifecycle may take under KVM; other accelerators scale it.
pub(crate) const ACTION_TIME_LIMIT: Duration = Duration::from_secs(12);
/// Of that a campaign waits so much: its programs are short, and one that hangs costs its pack
/// several such waits.
const PATIENCE_OF_CAMPAIGNS: f64 = 0.25;

/// The description of worker N's next machine.
pub type Machines<'a> = Arc<dyn Fn(usize) -> MachineSpec + Send + Sync + 'a>;

/// What a judgement is in the light of what is known of the trial and this version of criu.
pub type Known<'a> = Box<dyn Fn(&Trial, Option<&Version>, Judgement) -> Judgement + Send + Sync + 'a>;

/// What workers share.
pub struct Pool<'a> {
    machines: Machines<'a>,
    known: Known<'a>,
    pub(super) policy: Policy,
    stopped: AtomicBool,
}

impl<'a> Pool<'a> {
    /// Workers run tasks on `machines`, and `known` has the last word on each judgement.
    pub fn new(machines: Machines<'a>, known: Known<'a>, policy: Policy) -> Arc<Self> {
        Arc::new(Pool { machines, known, policy, stopped: AtomicBool::new(false) })
    }

    /// No more tasks are begun.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether no more tasks are to be begun.
    pub fn is_stopped(&self) -> bool {
        crate::process::interrupt::requested() || self.stopped.load(Ordering::Relaxed)
    }

    /// The factor on all time limits.
    pub fn timeout_scale(&self) -> f64 {
        self.policy.timeout_scale
    }

    pub(super) fn machine(&self, worker: usize) -> MachineSpec {
        (self.machines)(worker)
    }

    pub(super) fn known(&self, trial: &Trial, criu: Option<&str>, judgement: Judgement) -> Judgement {
        (self.known)(trial, criu.and_then(Version::find).as_ref(), judgement)
    }

    /// How long one action may take on a machine with this factor on time limits.
    pub(super) fn action_time_limit(&self, scale: f64) -> Duration {
        ACTION_TIME_LIMIT.mul_f64(if self.policy.campaign { scale * PATIENCE_OF_CAMPAIGNS } else { scale })
    }
}

/// Tasks that wait for a worker.
#[derive(Debug, Default)]
pub struct Queue(Mutex<VecDeque<Task>>);

impl Queue {
    /// These, in this order.
    pub fn new(tasks: impl Into<VecDeque<Task>>) -> Self {
        Self(Mutex::new(tasks.into()))
    }

    /// The tasks; others wait meanwhile.
    pub fn lock(&self) -> MutexGuard<'_, VecDeque<Task>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
    /// The process of a program that is alone is probed, and a twin of it.
    pub probes: bool,
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
            probes: true,
            repeat: 1,
            pack: 0,
        }
    }
}
