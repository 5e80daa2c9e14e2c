//! Runs trials: one thread a machine, each takes the next trial when it is free; one place collects
//! what became of them.
//!
//! A machine (a VM, or an agent on the host's own kernel) is kept from trial to trial and thrown
//! away after anything suspicious: an unexpected failure, a message of the kernel, something left
//! behind, a channel that broke. An unexpected result is run a second time in a machine that no
//! trial has touched before it is reported, and so is a trial that broke its machine: the fault
//! may be the machine's, or that of a trial before.
//!
//! - [`sharing`]: which programs can be carried out in one process
//! - `pack`: many programs in one process
//! - `blame`: who made a pack fail
//! - `patience`: how long a trial is waited for
//! - [`order`]: what teaches most runs first
//! - `retry`: what two runs of one trial come to
//! - [`confirm`]: which failures are run again
//! - `suspicion`: which trials cost their machine
//! - `pool`: what workers share
//! - `task`: tasks, and what workers report of them
//! - `coverage_hits`: branches of criu that were taken

mod blame;
pub mod confirm;
mod coverage_hits;
pub mod order;
mod pack;
pub(crate) mod patience;
mod pool;
mod retry;
pub mod sharing;
mod suspicion;
mod task;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use protocol::message::{Engine, Probing, Report, Request, TrialReport, TrialRequest};
use scenarios::Outcome;

use crate::judge::{Context, Judgement, Signature, Verdict, judge};
use crate::machine::{Machine, MachineError, Traces};
use crate::notices::say;
pub use confirm::Confirm;
pub use coverage_hits::CoverageHits;
use patience::{Patience, wait_for_report};
pub(crate) use pool::ACTION_TIME_LIMIT;
pub use pool::{Known, Machines, Policy, Pool, Queue};
use suspicion::suspicious;
pub use task::{News, Over, Task};

/// How long a machine may take to come up under KVM.
pub(crate) const BOOT_TIME_LIMIT: Duration = Duration::from_secs(20);

/// The most that a machine which came up slowly lengthens time limits: its guest could sleep.
const MAX_SLOWNESS: f64 = 5.0;

/// The most trials of a machine. It is then thrown away even when nothing was suspicious: what no
/// check names adds up in it. Under TCG a new one costs half a second, most of it for translating
/// its code again: less than 1 % of these trials.
const TRIALS_PER_MACHINE: u32 = 200;
/// The default number of programs that share a process: with more of them it takes hardly
/// less for each.
pub const PACK: usize = 32;
/// With at least this number of tasks left, the next machine is made ready before it is needed.
const WORTH_PREPARING: usize = 8;

/// Starts `workers` on the tasks; their news arrive at the receiver, which ends when the last
/// worker has stopped. Where there are no threads for all, fewer work.
///
/// # Errors
/// There is no thread for the first one.
pub fn start<'scope>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    pool: &Arc<Pool<'scope>>,
    queue: &'scope Queue,
    workers: usize,
) -> io::Result<Receiver<News>> {
    let (sender, receiver) = channel();
    for number in 0..workers {
        let news = sender.clone();
        let worker = Worker { queue: Some(queue), ..Worker::new(number, pool) }.reporting_to(news.clone());
        match std::thread::Builder::new().spawn_scoped(scope, move || worker.work(queue, &news)) {
            Err(error) if number == 0 => return Err(error),
            Err(error) => {
                say(&format!("{number} machines instead of {workers} run at the same time: no more threads: {error}"));
                break;
            }
            Ok(_) => {}
        }
    }
    Ok(receiver)
}

/// Says why nothing runs.
pub(crate) fn no_thread(error: &io::Error) {
    say(&format!("error: starting a thread: {error}"));
}

/// One machine at a time, and who gives it work.
pub struct Worker<'a> {
    number: usize,
    pool: Arc<Pool<'a>>,
    /// What it and others work off, where there is such a queue.
    queue: Option<&'a Queue>,
    /// Who hears of machines and of tasks that begin.
    news: Option<Sender<News>>,
    running: Option<Running>,
    /// How many it had.
    machines: u32,
    /// Where to look for what a machine left that did not come up.
    traces: Traces,
    next_trial: u64,
}

/// A machine in use.
struct Running {
    machine: Machine,
    /// The factor on time limits.
    scale: f64,
    /// Its kernel's taint after the last trial.
    tainted: u64,
    /// How many trials it was given.
    trials: u32,
}

impl<'a> Worker<'a> {
    /// A worker without a machine yet.
    pub fn new(number: usize, pool: &Arc<Pool<'a>>) -> Self {
        let pool = Arc::clone(pool);
        let traces = Traces::none();
        Worker { number, pool, queue: None, news: None, running: None, machines: 0, traces, next_trial: 1 }
    }

    /// The same worker, which reports its machines and the tasks that begin.
    #[must_use]
    pub fn reporting_to(self, news: Sender<News>) -> Self {
        Worker { news: Some(news), ..self }
    }
}

impl Worker<'_> {
    fn work(mut self, queue: &Queue, news: &Sender<News>) {
        let mut deaf = false;
        while !deaf && !self.pool.is_stopped() {
            let tasks = self.take(queue);
            if tasks.is_empty() {
                return;
            }
            self.run_all(tasks, &mut |over| deaf |= news.send(News::Over(Box::new(over))).is_err());
        }
    }

    /// The next task, and where it may be packed others that may be with it, wherever they stand.
    fn take(&mut self, queue: &Queue) -> Vec<Task> {
        let next = queue.lock().pop_front();
        let Some(first) = next else { return Vec::new() };
        if self.needs(&first).is_none() {
            return vec![first];
        }
        // Others wait meanwhile: to them an empty queue is the end.
        let mut queue = queue.lock();
        let all = std::iter::once(first).chain(queue.drain(..)).collect();
        let (pack, rest) = self.fitting(all);
        queue.extend(rest);
        pack
    }

    /// The receiver may be gone; a task's own end says the same.
    fn report(&self, news: News) {
        let _ = self.news.as_ref().map(|listener| listener.send(news));
    }

    /// Runs one task to its end.
    fn run(&mut self, task: Task) -> Over {
        if let Some(reason) = crate::needs::unmet(&task.scenario, &task.trial) {
            let judgement = Judgement::plain(Verdict::Unsupported, reason);
            return Over { judgement, ..Over::not_run(task, "") };
        }
        let start = Instant::now();
        let mut all = retry::Repeated::default();
        for _ in 0..self.pool.policy.repeat.max(1) {
            let over = self.confirmed(&task);
            let ran = over.judgement.verdict != Verdict::NotRun;
            all.add(over);
            if !ran {
                break;
            }
        }
        let over = all.sum().unwrap_or_else(|| Over::not_run(task.clone(), "interrupted"));
        Over { task, seconds: start.elapsed().as_secs_f64(), ..over }
    }

    /// Runs a task once, whatever comes of it: a hint, not a verdict.
    pub fn try_out(&mut self, task: Task) -> Over {
        match self.attempt(&task, Care::Usual) {
            Attempt::Over(over) => *over,
            Attempt::Interrupted => Over::not_run(task, "interrupted"),
            Attempt::Died { error, traces, .. } => {
                let judgement = self.pool.known(&task.trial, None, retry::verdict_on(&error));
                Over { judgement, traces, ..Over::not_run(task, "") }
            }
        }
    }

    /// Runs a task once, and again when the result is unexpected.
    fn confirmed(&mut self, task: &Task) -> Over {
        let usual = if self.pool.policy.thorough { Care::Thorough } else { Care::Usual };
        match self.attempt(task, usual) {
            Attempt::Interrupted => Over::not_run(task.clone(), "interrupted"),
            Attempt::Over(over) if retry::is_unexpected(&over.judgement) => {
                let signature = Signature::of(&over.judgement);
                if self.pool.policy.confirm.has(&signature) {
                    return *over;
                }
                let over = retry::confirmed(*over, self.pool.policy.retries, self.pool.policy.campaign, || {
                    // Whatever the last trial left in the machine must not make the second result.
                    self.running = None;
                    self.attempt(task, Care::Thorough)
                });
                self.pool.policy.confirm.note(signature, &over.judgement);
                over
            }
            Attempt::Over(over) => *over,
            Attempt::Died { error, traces, trials_before } => retry::blamed(
                retry::Death { error, traces, trials_before },
                self.attempt(task, usual),
                task,
                |judgement| self.pool.known(&task.trial, None, judgement),
            ),
        }
    }

    /// Runs the task in the machine that is there, or in a new one. Afterwards the machine is gone
    /// if anything was suspicious.
    fn attempt(&mut self, task: &Task, care: Care) -> Attempt {
        let trials_before = self.running.as_ref().map_or(0, |running| running.trials);
        let result = self.trial(task, care);
        let criu = self.criu(task);
        let traces = self.running.as_ref().map_or_else(|| self.traces.clone(), |running| running.machine.traces());
        match result {
            Ok((judgement, mut report)) => {
                let arcs = report.as_mut().map(|report| std::mem::take(&mut report.arcs)).unwrap_or_default();
                let judgement = self.pool.known(&task.trial, criu.as_deref(), judgement);
                self.throw_away_when_worn();
                if report.as_ref().is_some_and(|report| suspicious(&judgement, report)) {
                    self.running = None;
                }
                let (task, hits) = (task.clone(), Arc::new(CoverageHits::new(arcs)));
                Attempt::Over(Box::new(Over { task, judgement, report, criu, seconds: 0.0, traces, hits }))
            }
            Err(error) => {
                self.running = None;
                match error.is_interrupt() {
                    true => Attempt::Interrupted,
                    false => Attempt::Died { error, traces, trials_before },
                }
            }
        }
    }

    /// The version of criu that a task runs. The guest has a criu in any case; what is known of its
    /// versions is nothing about another engine.
    fn criu(&self, task: &Task) -> Option<String> {
        let running = self.running.as_ref().filter(|_| matches!(task.engine, Engine::Criu { .. }));
        running.and_then(|running| running.machine.ready().criu.clone())
    }

    fn throw_away_when_worn(&mut self) {
        if self.running.as_ref().is_some_and(|running| running.trials >= TRIALS_PER_MACHINE) {
            self.running = None;
        }
    }

    /// The machine that runs, or a new one.
    fn machine(&mut self) -> Result<&mut Running, MachineError> {
        if self.running.is_none() {
            let spec = self.pool.machine(self.number);
            self.traces = spec.traces();
            let scale = spec.timeout_scale() * self.pool.policy.timeout_scale;
            let begin = Instant::now();
            let machine = Machine::boot(&spec, begin + BOOT_TIME_LIMIT.mul_f64(scale))?;
            let scale = scale * slowness(begin.elapsed(), spec.usual_start().mul_f64(scale));
            let tainted = machine.ready().tainted;
            self.running = Some(Running { machine, scale, tainted, trials: 0 });
            self.report(News::Machine { reset: self.machines > 0 });
            self.machines += 1;
            if self.queue.is_some_and(|queue| queue.lock().len() >= WORTH_PREPARING) {
                spec.expect();
            }
        }
        Ok(self.running.as_mut().expect("it was started right above"))
    }

    /// Has the trial run, if the machine has what it needs.
    fn trial(&mut self, task: &Task, care: Care) -> Result<(Judgement, Option<TrialReport>), MachineError> {
        let ready = self.machine()?.machine.ready();
        if let Some(reason) = crate::needs::lacking(&task.scenario, task.trial.lifecycle, ready) {
            return Ok((Judgement::plain(Verdict::Unsupported, reason), None));
        }
        let (report, tainted_before) = self.exchange(std::slice::from_ref(task), care)?;
        let Some(report) = report.alone() else {
            return Err(self.machine()?.machine.astray("no report of one program".to_owned()));
        };
        let probed = self.pool.policy.probes;
        let context = Context { lifecycle: task.trial.lifecycle, tainted_before, probed };
        Ok((judge(&task.scenario, context, &report), Some(report)))
    }

    /// Has programs run that share a process: the guest's report, and the kernel's taint before.
    fn exchange(&mut self, tasks: &[Task], care: Care) -> Result<(Report, u64), MachineError> {
        let number = self.next_trial;
        self.next_trial += 1;
        let pool = Arc::clone(&self.pool);
        let running = self.machine()?;
        running.trials += 1;
        let limit = pack::action_time_limit(tasks.len(), pool.action_time_limit(running.scale));
        let Task { trial, engine, .. } = &tasks[0];
        let program = |task: &Task| scenarios::text::print_program_in_place(&task.scenario.program);
        let request = TrialRequest {
            trial: number,
            programs: tasks.iter().map(program).collect(),
            flavor: trial.flavor,
            lifecycle: trial.lifecycle,
            engine: engine.clone(),
            action_timeout_ms: limit.as_millis().try_into().unwrap_or(u64::MAX),
            thorough: care == Care::Thorough,
            probing: probing(tasks, pool.policy.probes),
        };
        running.machine.send(&Request::Run(request))?;
        let patience = Patience::new(number, trial.lifecycle, limit);
        let mut report = wait_for_report(&mut running.machine, number, &patience)?;
        let before = running.tainted;
        running.tainted = report.all().next().map_or(before, |first| first.tainted);
        Ok((report, before))
    }
}

/// By how much longer this machine may take for everything, after it took so long to come up.
fn slowness(took: Duration, usual: Duration) -> f64 {
    took.div_duration_f64(usual).clamp(1.0, MAX_SLOWNESS)
}

/// A dump that must fail must not harm the process; of one that fails without need, that is known
/// without probes.
fn probing(tasks: &[Task], wanted: bool) -> Probing {
    match tasks {
        [task] if wanted && task.scenario.outcome == Outcome::Restored => Probing::WhenDone,
        [_] if wanted => Probing::Always,
        _ => Probing::Never,
    }
}

/// How much is found out about a trial.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Care {
    /// What a verdict needs.
    Usual,
    /// What the analysis of a failure needs as well, which costs time: its images, and a second
    /// try of a failed restore.
    Thorough,
}

/// What came of running a task once.
enum Attempt {
    /// It came to its end.
    Over(Box<Over>),
    /// Its machine did not live to tell, or never came up.
    Died {
        /// Why.
        error: MachineError,
        /// What is left of it.
        traces: Traces,
        /// How many trials it had been given before.
        trials_before: u32,
    },
    /// The user wants the run to end.
    Interrupted,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_machine_has_more_time_and_a_fast_one_no_less() {
        let of = |took| slowness(Duration::from_millis(took), Duration::from_millis(200));
        assert_eq!([10, 200, 500, 60_000].map(of), [1.0, 1.0, 2.5, MAX_SLOWNESS]);
    }
}
