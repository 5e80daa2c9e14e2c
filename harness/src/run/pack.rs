//! Packs: many programs in one process, one dump, one restore. For trials that are expected to
//! pass.
//!
//! A program of a pack passes when it does, judged as if it had been alone, and so does the
//! *frame*: what belongs to no single program, such as the process, its root and the agent's
//! mounts. Anything else says nothing about a program: it runs again, as a trial without a pack,
//! with all that belongs to it. When the frame does not pass, nothing is said of any program: the
//! pack is split, those first whose places the error lines name, down to programs that are alone.
//! So a pack only ever says "passed" (or: failed by known differences alone).
//!
//! A dump and a restore of one process cost about the same for one descriptor as for fifty. So one
//! executor carries out many programs, each below a top directory of its own (`/.zdtm/0`,
//! `/.zdtm/1`, ...), in one mount namespace.
//!
//! - *Who may share* follows from the program alone (`scenarios::sharing`; `run/sharing.rs` counts
//!   disks and descriptors). Programs that must be refused, and those that the expectations call
//!   failing, run alone, because one refusal refuses all. With criu, programs whose mounts are
//!   stacked on each other run alone as well: criu then touches `/tmp`, which all programs of a
//!   pack share. In a campaign, where known defects count anywhere, that one is the frame's defect,
//!   and these programs share.
//! - *Each program is observed as if it were alone* (`guest/src/observe/parts.rs`).
//! - *The judge* gets each part and the frame as reports like any other. A part passes when it is
//!   the same or differs by known defects only, and the frame does too. It gets its share of the
//!   seconds.
//! - *A part that does not pass runs alone*, as an ordinary trial, with confirmation and artifacts.
//!   So a failed pack costs time and changes no verdict: `tests/machines/reference/packed.rs` runs
//!   the whole catalogue and every known mistake in both ways.
//!
//! criu logs only errors for a pack (`-v1`), and everything (`-v4`) for a program that is alone.
//!
//! The programs of a pack are not probed: they would disturb each other.
//!
//! The blind spot: a mistake that a subject makes only when a whole process has or lacks something,
//! such as any detached mount. So only `dump-restore` is packed, packs are off by default, and what
//! a campaign or a gate finds is confirmed alone. Sibling processes in one checkpoint are no
//! alternative: criu takes 0.8 s for 5 processes and 2.3 s for 20, hardly less than a cycle for
//! each.
//!
//! With criu, mounts limit a pack, not the harness. For each tmpfs criu starts tar, a shell and
//! gzip, once to dump and once to restore, which takes about 100 ms of processor time under TCG.
//! The rest of a program, both observations included, takes 35 ms.

use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::message::{Engine, Lifecycle, TrialReport};
use scenarios::Outcome;

use super::sharing::{self, Capacity, Needs};
use super::{Care, CoverageHits, News, Over, Task, Worker, blame};
use crate::judge::{Context, FailureKind, Judgement, Verdict, judge};
use crate::machine::{Machine, Traces};

/// So many more programs take an action's time limit once more.
const PROGRAMS_PER_LIMIT: u32 = 16;

/// Disks of one process: in a VM, and where loop devices are shared with the whole machine.
const DISKS: (usize, usize) = (12, 2);

/// What became of a pack.
enum Packed {
    /// These are fine, and of the programs with these numbers nothing can be said.
    Passed(Vec<Over>, Vec<usize>),
    /// These did not even come about, or are to blame by what was said; the others may be fine.
    Without(Vec<usize>),
    /// Something is not as it must be.
    Failed,
}

impl Worker<'_> {
    /// Runs tasks, as many as possible in one process, and tells each when it is over; the verdicts
    /// are those of tasks that run alone. What was not begun when the run was stopped is reported
    /// as not run.
    pub fn run_all(&mut self, tasks: Vec<Task>, on_over: &mut dyn FnMut(Over)) {
        let mut waiting = vec![tasks];
        while let Some(tasks) = waiting.pop() {
            if self.pool.is_stopped() {
                let why =
                    if crate::process::interrupt::requested() { "interrupted" } else { "stopped after a failure" };
                tasks.into_iter().for_each(|task| on_over(Over::not_run(task, why)));
                continue;
            }
            let (pack, rest) = self.fitting(tasks);
            waiting.extend((!rest.is_empty()).then_some(rest));
            // The first represents all of them: one machine is busy.
            if let Some(first) = pack.first() {
                self.report(News::Started(Box::new(first.clone())));
            }
            if pack.len() < 2 {
                pack.into_iter().for_each(|task| on_over(self.run(task)));
                continue;
            }
            match self.pack(&pack) {
                Packed::Passed(overs, others) => {
                    overs.into_iter().for_each(&mut *on_over);
                    let others = pack.into_iter().enumerate().filter(|(index, _)| others.contains(index));
                    waiting.extend(others.map(|(_, task)| vec![task]));
                }
                Packed::Without(which) => waiting.extend(without(pack, &which)),
                Packed::Failed => waiting.extend(halves(pack)),
            }
        }
    }

    /// The tasks that can be in one pack, up to the limit, and the others; when the first must be
    /// alone, it is.
    pub(super) fn fitting(&mut self, tasks: Vec<Task>) -> (Vec<Task>, Vec<Task>) {
        let (mut pack, mut rest): (Vec<Task>, Vec<Task>) = (Vec::new(), Vec::new());
        let mut needs = Some(Needs::default());
        for task in tasks {
            let Some(so_far) = needs.filter(|_| pack.is_empty() || pack.len() < self.pool.policy.pack) else {
                rest.push(task);
                continue;
            };
            let with = pack.first().is_none_or(|first| alike(first, &task)).then(|| self.needs(&task)).flatten();
            match with.map(|more| so_far.and(more)).filter(|sum| sum.fit(self.capacity(&task))) {
                Some(sum) => needs = Some(sum),
                None if pack.is_empty() => needs = None,
                None => {
                    rest.push(task);
                    continue;
                }
            }
            pack.push(task);
        }
        (pack, rest)
    }

    fn capacity(&self, task: &Task) -> Capacity {
        let on_host = self.running.as_ref().is_some_and(|running| matches!(running.machine, Machine::Host(_)));
        // criu touches the process's /tmp when it dumps a mount with other mounts on it, which is
        // everybody's in a pack: a defect that is known of each scenario that has such mounts, but
        // of a pack only where defects count anywhere.
        let nested = !matches!(task.engine, Engine::Criu { .. }) || self.pool.policy.campaign;
        Capacity { disks: if on_host { DISKS.1 } else { DISKS.0 }, nested }
    }

    /// What a task needs in a pack; none for one that must be alone: it may not share a process,
    /// cannot run here, or is not expected to pass.
    pub(super) fn needs(&mut self, task: &Task) -> Option<Needs> {
        let requires = &task.scenario.requires;
        let needs = sharing::needs(&task.scenario.program)?;
        let anywhere = requires.flavors.is_empty() || requires.flavors.contains(&vocabulary::Flavor::Host);
        let unmet = crate::needs::unmet(&task.scenario, &task.trial).is_some();
        let off = self.pool.policy.pack < 2 || self.pool.policy.repeat > 1;
        // What a dump does to a process that goes on hangs on all that the process has.
        let whole = task.trial.lifecycle != Lifecycle::DumpRestore;
        if off || whole || task.scenario.outcome != Outcome::Restored || !anywhere || unmet {
            return None;
        }
        let ready = self.machine().ok()?.machine.ready();
        let lacking = crate::needs::lacking(&task.scenario, task.trial.lifecycle, ready).is_some();
        let criu = self.criu(task);
        let pass = self.pool.known(&task.trial, criu.as_deref(), Judgement::plain(Verdict::Pass, ""));
        (!lacking && pass.verdict == Verdict::Pass).then_some(needs)
    }

    /// Runs the tasks in one process, once.
    fn pack(&mut self, tasks: &[Task]) -> Packed {
        let start = Instant::now();
        let exchanged = self.exchange(tasks, Care::Usual).ok();
        let reports = exchanged.and_then(|(report, tainted_before)| Some((report.pack()?, tainted_before)));
        let Some(((frame_report, programs), tainted_before)) = reports else {
            self.running = None;
            return Packed::Failed;
        };
        let criu = self.criu(&tasks[0]);
        let context = Context { lifecycle: tasks[0].trial.lifecycle, tainted_before, probed: false };
        let frame = judge(&tasks[0].scenario, context, &frame_report);
        let frame = self.pool.known(&tasks[0].trial, criu.as_deref(), frame);
        let clean = frame_report.leftovers.is_empty() && frame_report.kernel_log.is_empty();
        let not_made: Vec<usize> =
            programs.iter().enumerate().filter(|(_, report)| has_not_come_about(report)).map(|(at, _)| at).collect();
        if clean && !not_made.is_empty() {
            return Packed::Without(not_made);
        }
        let judgements: Vec<Judgement> = tasks
            .iter()
            .zip(&programs)
            .map(|(task, report)| self.pool.known(&task.trial, criu.as_deref(), judge(&task.scenario, context, report)))
            .collect();
        let fine = |judgement: &Judgement| matches!(judgement.verdict, Verdict::Pass | Verdict::Xfail(_));
        let complete = judgements.len() == tasks.len();
        if !(clean && complete && is_fine(&frame)) {
            // After a failure that left nothing behind, the machine is still trusted.
            let failed = |kind| matches!(kind, FailureKind::DumpFailed | FailureKind::RestoreFailed);
            let failed = matches!(frame.verdict, Verdict::Fail(kind) | Verdict::Xfail(kind) if failed(kind));
            if !clean || !failed {
                self.running = None;
            }
            let named = blame::named(&frame_report, &programs);
            return if named.is_empty() { Packed::Failed } else { Packed::Without(named) };
        }
        let others: Vec<usize> = (0..tasks.len()).filter(|&index| !fine(&judgements[index])).collect();
        if others.is_empty() {
            self.throw_away_when_worn();
        } else {
            self.running = None;
        }
        let hits = Arc::new(CoverageHits::new(frame_report.arcs));
        let share = start.elapsed().as_secs_f64() / tasks.len() as f64;
        let over = |((task, judgement), report): ((&Task, Judgement), TrialReport)| Over {
            task: task.clone(),
            judgement,
            report: Some(report),
            criu: criu.clone(),
            seconds: share,
            traces: Traces::none(),
            hits: Arc::clone(&hits),
        };
        let all = tasks.iter().zip(judgements).zip(programs);
        Packed::Passed(all.filter(|((_, judgement), _)| fine(judgement)).map(over).collect(), others)
    }
}

/// How long an action may take with `programs` programs in the process, where it may take `limit`
/// with one.
pub(super) fn action_time_limit(programs: usize, limit: Duration) -> Duration {
    match u32::try_from(programs).unwrap_or(u32::MAX) {
        1 => limit,
        programs => limit + limit * programs / PROGRAMS_PER_LIMIT,
    }
}

/// Whether nothing is wrong with a frame but what known defects explain, difference by difference.
/// That the failure as a whole is known says nothing: it is some program's.
fn is_fine(frame: &Judgement) -> bool {
    frame.verdict == Verdict::Pass || matches!(frame.verdict, Verdict::Xfail(_)) && frame.is_explained()
}

/// Whether two tasks are the same trial but for the scenario.
fn alike(one: &Task, other: &Task) -> bool {
    let (a, b) = (&one.trial, &other.trial);
    one.engine == other.engine
        && (a.flavor, a.lifecycle, &a.kernel, &a.subject) == (b.flavor, b.lifecycle, &b.kernel, &b.subject)
}

/// The program could not be carried out, or not as it says: that has nothing to do with the others.
fn has_not_come_about(report: &TrialReport) -> bool {
    report.setup_failure.is_some() || !report.failed_assertions.is_empty()
}

/// Those that did not come about alone, and before them the rest once more.
fn without(tasks: Vec<Task>, which: &[usize]) -> Vec<Vec<Task>> {
    let (mut alone, mut rest) = (Vec::new(), Vec::new());
    for (index, task) in tasks.into_iter().enumerate() {
        if which.contains(&index) { alone.push(vec![task]) } else { rest.push(task) }
    }
    alone.push(rest);
    alone
}

/// The second half below the first on the stack.
fn halves(mut tasks: Vec<Task>) -> [Vec<Task>; 2] {
    let second = tasks.split_off(tasks.len() / 2);
    [second, tasks]
}
