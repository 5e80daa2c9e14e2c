//! Rounds of runs: every trial once or more often, then what is not the same again, until it is decided or is not going
//! to be.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::GateArgs;
use super::compare::{Change, Seen, compare};
use super::saved::{Saved, key};
use super::side::{Rig, Side, Specs, Told};
use crate::judge::{Expectations, Trial};
use crate::run::Task;

/// How often what differs is run again at most; what was the same each time once is decided by then.
const AGAIN: u32 = 3;

/// The part of the budget that the first rounds may take; the rest is for running again what differs.
const FIRST: f64 = 0.75;

/// The runs of one trial with both.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    /// The trial without its subject, or what else the two sides do not have in common.
    pub(super) id: String,
    /// The candidate's.
    pub(super) trial: Trial,
    pub(super) base: Vec<Seen>,
    pub(super) candidate: Vec<Seen>,
    /// The folder of the candidate's failure, where it is known.
    pub(super) artifacts: Option<PathBuf>,
    /// How many runs of each were of the first rounds.
    first: (usize, usize),
}

/// What came of a pair.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// Decided.
    Change(Change),
    /// It differed, and did not again when both were run again.
    Flaky(String),
    /// Nothing could be decided, and why.
    Undecided(String),
    /// Not run, or not with both.
    LeftOut,
}

/// All pairs of a gate.
pub(super) struct Course {
    /// In the order of their importance.
    order: Vec<String>,
    pairs: HashMap<String, Pair>,
    saved: bool,
}

/// What a round on one kernel needs.
pub(super) struct Runner<'a> {
    pub(super) args: &'a GateArgs,
    pub(super) expectations: &'a Expectations,
    pub(super) candidate: (Vec<Task>, Specs),
    pub(super) base: Option<(Vec<Task>, Specs)>,
    pub(super) budget: Option<Duration>,
}

impl Pair {
    /// Of runs that are over.
    pub(super) fn of_runs(
        id: String,
        trial: Trial,
        base: Vec<Seen>,
        candidate: Vec<Seen>,
        artifacts: Option<PathBuf>,
    ) -> Self {
        let first = (base.len(), candidate.len());
        Self { id, trial, base, candidate, artifacts, first }
    }

    fn change(&self) -> Change {
        compare(&self.base, &self.candidate)
    }

    fn complete(&self) -> bool {
        !self.base.is_empty() && !self.candidate.is_empty()
    }

    fn end(&self, saved: bool) -> End {
        if !self.complete() {
            return End::LeftOut;
        }
        let again = (&self.base[self.first.0..], &self.candidate[self.first.1..]);
        match self.change() {
            change @ (Change::Same | Change::Unsupported) => End::Change(change),
            Change::Undecided => {
                let settled = if saved { compare(&self.base, again.1) } else { compare(again.0, again.1) };
                match settled {
                    Change::Same | Change::Unsupported if again.1.len() > 1 => End::Flaky(self.told()),
                    _ => End::Undecided(self.told()),
                }
            }
            _ if again.1.is_empty() => End::Undecided("no time was left to run it again".to_owned()),
            change => End::Change(change),
        }
    }

    /// `base pass in 2 of 2 runs, candidate pass in 1 of 3`, and what else was said.
    pub(super) fn told(&self) -> String {
        let unknown = self.base.iter().chain(&self.candidate).find(|one| one.is_unknown());
        let count = |seen: &[Seen]| {
            let passed = seen.iter().filter(|one| matches!(one.outcome, super::compare::Outcome::Pass)).count();
            format!("passed in {passed} of {}", seen.len())
        };
        let counts = format!("base {} runs, candidate {}", count(&self.base), count(&self.candidate));
        match unknown {
            Some(one) => format!("{counts}; {}: {}", one.judgement.verdict, one.judgement.reason),
            None => counts,
        }
    }
}

impl Course {
    pub(super) fn new(tasks: Vec<Task>, saved: Option<&Saved>) -> Self {
        let pair = |task: Task| {
            let key = key(&task);
            let base: Vec<Seen> = saved.and_then(|saved| saved.seen.get(&key).cloned()).into_iter().collect();
            (key.clone(), Pair::of_runs(key, task.trial, base, Vec::new(), None))
        };
        let order = tasks.iter().map(key).collect();
        Self { order, pairs: tasks.into_iter().map(pair).collect(), saved: saved.is_some() }
    }

    /// All rounds on one kernel.
    pub(super) fn run(&mut self, runner: &Runner<'_>) {
        let start = Instant::now();
        let part = |part: f64| runner.budget.map(|budget| start + budget.mul_f64(part));
        for round in 0..runner.args.repeat {
            let what = if round == 0 { "compared".to_owned() } else { format!("compared, round {}", round + 1) };
            self.round(runner, &|_| true, part(FIRST), &what, false);
        }
        let here: Vec<String> = runner.candidate.0.iter().map(key).collect();
        for key in &here {
            if let Some(pair) = self.pairs.get_mut(key) {
                pair.first = (pair.base.len(), pair.candidate.len());
            }
        }
        for round in 0..AGAIN {
            let doubtful: Vec<&String> = here
                .iter()
                .filter(|key| {
                    let Some(pair) = self.pairs.get(*key).filter(|pair| pair.complete()) else { return false };
                    match pair.change() {
                        Change::Same | Change::Unsupported => false,
                        Change::Undecided => true,
                        Change::Worse | Change::Better | Change::Different => round == 0,
                    }
                })
                .collect();
            if doubtful.is_empty() || crate::interrupt::requested() {
                return;
            }
            let doubtful: Vec<String> = doubtful.into_iter().cloned().collect();
            self.round(runner, &|key| doubtful.iter().any(|one| one == key), part(1.0), "run again", true);
        }
    }

    /// Runs the chosen trials once with both.
    fn round(
        &mut self,
        runner: &Runner<'_>,
        chosen: &dyn Fn(&str) -> bool,
        deadline: Option<Instant>,
        what: &str,
        again: bool,
    ) {
        let of = |tasks: &[Task]| tasks.iter().filter(|task| chosen(&key(task))).cloned().collect::<Vec<_>>();
        let tasks = of(&runner.candidate.0);
        let count = tasks.len();
        let all = runner.args.machines.workers(count * 2);
        let workers = if runner.base.is_some() { (all / 2).max(1) } else { all.min(count).max(1) };
        let mut sides = vec![Side { specs: &*runner.candidate.1, tasks, workers }];
        if let Some((tasks, specs)) = &runner.base {
            sides.push(Side { specs: &**specs, tasks: of(tasks), workers });
        }
        let rig = Rig {
            expectations: runner.expectations,
            timeout_scale: runner.args.machines.timeout_scale,
            pack: if again { 0 } else { runner.args.pack.min(count.div_ceil(workers)) },
            deadline,
            keep: again.then_some(runner.args.keep.as_path()),
        };
        let mut done = 0;
        rig.run(sides, &mut |Told { side, key, seen }| {
            let Some(pair) = self.pairs.get_mut(&key) else { return };
            if side == 0 { &mut pair.candidate } else { &mut pair.base }.push(seen);
            let both = self.saved || pair.base.len() == pair.candidate.len();
            if both {
                done += 1;
                tell_progress(done, count, what, pair, &key, again);
            }
        });
    }

    /// What came of each, in order.
    pub(super) fn end(self) -> Vec<(Pair, End)> {
        let Self { order, mut pairs, saved } = self;
        let pairs = order.iter().filter_map(|key| pairs.remove(key));
        pairs
            .map(|pair| {
                let end = pair.end(saved);
                (pair, end)
            })
            .collect()
    }
}

/// A line on standard error for what differs, and one now and then for what does not.
fn tell_progress(done: usize, count: usize, what: &str, pair: &Pair, key: &str, again: bool) {
    const EVERY: usize = 25;
    match pair.change() {
        Change::Same | Change::Unsupported if !again => {}
        change => {
            let word = match change {
                Change::Worse => "worse",
                Change::Better => "better",
                Change::Different => "differently bad",
                Change::Undecided => "not always the same",
                Change::Same | Change::Unsupported => "the same",
            };
            eprintln!("[{done}/{count}] {word}: {key}");
            return;
        }
    }
    if done.is_multiple_of(EVERY) || done == count {
        eprintln!("[{done}/{count}] {what}");
    }
}
