//! Rounds of runs: every trial once or more often, then what is not the same again, until it is
//! decided or is not going to be.
//!
//! Of forty trials that changed in one way, from one cause to another, one is run again: what it
//! comes to is what the others would.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use scenarios::capability::{Profile, profile};

use super::Settings;
use super::saved::{Saved, key};
use super::side::{Rig, Side, SideRun};
use crate::compare::{Change, RunOutcome, compare};
use crate::judge::{Expectations, Signature, Trial};
use crate::notices::say;
use crate::run::{Machines, Task};
use crate::session::Session;

/// How often what differs is run again at most; what was the same each time once is decided by
/// then.
const AGAIN: u32 = 3;

/// The part of the budget that the first rounds may take; the rest is for running again what
/// differs.
const FIRST: f64 = 0.75;

/// The runs of one trial with both.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    /// The trial without its subject, or what else the two sides do not have in common.
    pub(super) id: String,
    /// The candidate's.
    pub(super) trial: Trial,
    pub(super) base: Vec<RunOutcome>,
    pub(super) candidate: Vec<RunOutcome>,
    /// The folder of the candidate's failure, where it is known.
    pub(super) artifacts: Option<PathBuf>,
    /// What the program needs; empty where the reports do not say.
    pub(super) profile: Profile,
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

/// A change from one cause to another; a pass counts as a cause.
type Transition = (Change, Signature, Signature);

/// A gate under way: all its pairs.
pub(super) struct GateRun {
    /// In the order of their importance.
    order: Vec<String>,
    pairs: HashMap<String, Pair>,
    saved: bool,
}

/// What a round on one kernel needs.
pub(super) struct Runner<'a> {
    pub(super) settings: &'a Settings,
    pub(super) session: &'a Session,
    pub(super) expectations: &'a Expectations,
    pub(super) candidate: (Vec<Task>, Machines<'static>),
    pub(super) base: Option<(Vec<Task>, Machines<'static>)>,
    pub(super) budget: Option<Duration>,
}

impl Pair {
    /// Of runs that are over.
    pub(super) fn of_runs(
        id: String,
        trial: Trial,
        base: Vec<RunOutcome>,
        candidate: Vec<RunOutcome>,
        artifacts: Option<PathBuf>,
        profile: Profile,
    ) -> Self {
        let first = (base.len(), candidate.len());
        Self { id, trial, base, candidate, artifacts, profile, first }
    }

    fn change(&self) -> Change {
        compare(&self.base, &self.candidate)
    }

    fn complete(&self) -> bool {
        !self.base.is_empty() && !self.candidate.is_empty()
    }

    /// From which cause to which the trial changed.
    fn transition(&self) -> Option<Transition> {
        let change = self.change();
        let is_same = matches!(change, Change::Same | Change::Unsupported | Change::Undecided);
        let last =
            |runs: &[RunOutcome]| runs.iter().rev().find(|one| !one.is_unknown()).map(|one| one.signature.clone());
        if is_same { None } else { Some((change, last(&self.base)?, last(&self.candidate)?)) }
    }

    fn was_run_again(&self) -> bool {
        self.candidate.len() > self.first.1
    }

    /// `confirmed` are the changes that came again.
    fn end(&self, saved: bool, confirmed: &BTreeSet<Transition>) -> End {
        if !self.complete() {
            return End::LeftOut;
        }
        let again = (&self.base[self.first.0..], &self.candidate[self.first.1..]);
        match self.change() {
            change @ (Change::Same | Change::Unsupported) => End::Change(change),
            Change::Undecided => {
                let settled = if saved { compare(&self.base, again.1) } else { compare(again.0, again.1) };
                match settled {
                    Change::Same | Change::Unsupported if again.1.len() > 1 => End::Flaky(self.describe()),
                    _ => End::Undecided(self.describe()),
                }
            }
            change if self.transition().is_some_and(|transition| confirmed.contains(&transition)) => {
                End::Change(change)
            }
            _ if again.1.is_empty() => End::Undecided("no time was left to run it again".to_owned()),
            change => End::Change(change),
        }
    }

    /// `base pass in 2 of 2 runs, candidate pass in 1 of 3`, and what else was said.
    pub(super) fn describe(&self) -> String {
        let unknown = self.base.iter().chain(&self.candidate).find(|one| one.is_unknown());
        let count = |runs: &[RunOutcome]| {
            let passed = runs.iter().filter(|one| one.passed()).count();
            format!("passed in {passed} of {}", runs.len())
        };
        let counts = format!("base {} runs, candidate {}", count(&self.base), count(&self.candidate));
        match unknown {
            Some(one) => format!("{counts}; {}: {}", one.judgement.verdict, one.judgement.reason),
            None => counts,
        }
    }
}

impl GateRun {
    pub(super) fn new(tasks: Vec<Task>, saved: Option<&Saved>) -> Self {
        let pair = |task: Task| {
            let key = key(&task);
            let base: Vec<RunOutcome> = saved.and_then(|saved| saved.runs.get(&key).cloned()).into_iter().collect();
            let profile = profile(&task.scenario.program);
            (key.clone(), Pair::of_runs(key, task.trial, base, Vec::new(), None, profile))
        };
        let order = tasks.iter().map(key).collect();
        Self { order, pairs: tasks.into_iter().map(pair).collect(), saved: saved.is_some() }
    }

    /// All rounds on one kernel; `so_far` is called after each, so that an unexpected end
    /// loses nothing.
    pub(super) fn run(&mut self, runner: &Runner<'_>, so_far: &mut dyn FnMut(&Self)) {
        let start = Instant::now();
        let part = |part: f64| runner.budget.map(|budget| start + budget.mul_f64(part));
        for round in 0..runner.settings.repeat {
            let what = if round == 0 { "compared".to_owned() } else { format!("compared, round {}", round + 1) };
            self.round(runner, &|_| true, part(FIRST), &what, false);
            so_far(self);
        }
        let here: Vec<String> = runner.candidate.0.iter().map(key).collect();
        for key in &here {
            if let Some(pair) = self.pairs.get_mut(key) {
                pair.first = (pair.base.len(), pair.candidate.len());
            }
        }
        for _ in 0..AGAIN {
            let doubtful = self.doubtful(&here);
            if doubtful.is_empty() || crate::process::interrupt::requested() {
                return;
            }
            self.round(runner, &|key| doubtful.iter().any(|one| one == key), part(1.0), "run again", true);
            so_far(self);
        }
    }

    /// The trials that must be run again: what is undecided, and one for each change that did not
    /// come a second time yet.
    fn doubtful(&self, here: &[String]) -> Vec<String> {
        let mut settled = self.confirmed();
        let mut is_doubtful = |key: &&String| {
            let Some(pair) = self.pairs.get(*key).filter(|pair| pair.complete()) else { return false };
            match pair.transition() {
                Some(transition) => !pair.was_run_again() && settled.insert(transition),
                None => pair.change() == Change::Undecided,
            }
        };
        here.iter().filter(|key| is_doubtful(key)).cloned().collect()
    }

    /// The changes that came again when their trial was run again.
    fn confirmed(&self) -> BTreeSet<Transition> {
        self.pairs.values().filter(|pair| pair.was_run_again()).filter_map(Pair::transition).collect()
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
        let all = runner.session.workers(count * 2);
        let workers = if runner.base.is_some() { (all / 2).max(1) } else { all.min(count).max(1) };
        let mut sides = vec![Side { machines: Arc::clone(&runner.candidate.1), tasks, workers }];
        if let Some((tasks, machines)) = &runner.base {
            sides.push(Side { machines: Arc::clone(machines), tasks: of(tasks), workers });
        }
        let rig = Rig {
            session: runner.session,
            expectations: runner.expectations,
            pack: if again { 0 } else { runner.settings.pack.min(count.div_ceil(workers)) },
            deadline,
            keep: again.then_some(runner.settings.keep.as_path()),
        };
        let mut done = 0;
        rig.run(sides, &mut |SideRun { side, key, outcome }| {
            let Some(pair) = self.pairs.get_mut(&key) else { return };
            if side == 0 { &mut pair.candidate } else { &mut pair.base }.push(outcome);
            let both = self.saved || pair.base.len() == pair.candidate.len();
            if both {
                done += 1;
                tell_progress(done, count, what, pair, &key, again);
            }
        });
    }

    /// What came of each so far, in order.
    pub(super) fn ends(&self) -> Vec<(&Pair, End)> {
        let confirmed = self.confirmed();
        let pairs = self.order.iter().filter_map(|key| self.pairs.get(key));
        pairs.map(|pair| (pair, pair.end(self.saved, &confirmed))).collect()
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
            say(&format!("[{done}/{count}] {word}: {key}"));
            return;
        }
    }
    if done.is_multiple_of(EVERY) || done == count {
        say(&format!("[{done}/{count}] {what}"));
    }
}
