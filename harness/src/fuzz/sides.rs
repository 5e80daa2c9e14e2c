//! On what the programs of a campaign run: each side is a kernel and a subject.
//!
//! A worker of the campaign has one of them, and a program is judged by itself. In a *differential*
//! campaign it has all, each with a machine of its own; every program runs on each, and what counts
//! is whether they come to the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use protocol::message::{Engine, Lifecycle};
use scenarios::Scenario;

use super::finding::finding;
use super::known::KnownFailures;
use crate::judge::{FailureKind, Judgement, Signature, Trial, Verdict};
use crate::run::{News, Over, Pool, Task, Worker};

/// A kernel and a subject.
#[derive(Clone, Debug)]
pub struct Side {
    /// Its name where several sides are distinguished.
    pub name: String,
    /// The parts of its trials that are the same for all programs.
    pub trial: Trial,
    /// What dumps and restores.
    pub engine: Engine,
}

impl Side {
    fn task(&self, program: &Planned) -> Task {
        let Planned { scenario, lifecycle } = program;
        let trial = Trial { scenario: scenario.name.clone(), lifecycle: *lifecycle, ..self.trial.clone() };
        Task { trial, scenario: scenario.clone(), engine: self.engine.clone() }
    }
}

/// A program that is to run.
#[derive(Clone, Debug)]
pub struct Planned {
    /// It, with a name and what is expected.
    pub scenario: Scenario,
    /// What is done to its process.
    pub lifecycle: Lifecycle,
}

/// What became of a program.
#[derive(Debug)]
pub struct Outcome {
    /// The run that tells: the only one, or one that failed.
    pub over: Over,
    /// What it is filed under; `None` where nothing was found.
    pub signature: Option<Signature>,
}

impl Outcome {
    /// The program that ran.
    pub fn planned(&self) -> Planned {
        Planned { scenario: self.over.task.scenario.clone(), lifecycle: self.over.task.trial.lifecycle }
    }
}

/// One worker's sides.
pub(super) struct Sides<'a> {
    all: Vec<(&'a Side, Worker<'a>)>,
    known_failures: &'a KnownFailures,
}

impl<'a> Sides<'a> {
    /// Those of worker `number`: one, or all of them.
    pub(super) fn new(
        number: usize,
        sides: &'a [Side],
        differential: bool,
        pool: &Arc<Pool<'a>>,
        news: &Sender<News>,
        known_failures: &'a KnownFailures,
    ) -> Self {
        let worker =
            |number: usize| (&sides[number % sides.len()], Worker::new(number, pool).reporting_to(news.clone()));
        let all = match differential {
            true => (number * sides.len()..(number + 1) * sides.len()).map(worker).collect(),
            false => vec![worker(number)],
        };
        Self { all, known_failures }
    }

    /// Runs programs, each to its end on every side.
    pub(super) fn run(&mut self, programs: &[Planned], on_outcome: &mut dyn FnMut(Outcome)) {
        if let [(side, worker)] = &mut self.all[..] {
            let tasks = programs.iter().map(|program| side.task(program)).collect();
            return worker.run_all(tasks, &mut |over| on_outcome(Outcome { signature: finding(&over), over }));
        }
        let mut overs: BTreeMap<String, Vec<(&str, Over)>> = BTreeMap::new();
        for (side, worker) in &mut self.all {
            let tasks = programs.iter().map(|program| side.task(program)).collect();
            worker.run_all(tasks, &mut |over| {
                overs.entry(over.task.scenario.name.clone()).or_default().push((&side.name, over));
            });
        }
        for overs in overs.into_values() {
            // What was confirmed once is expected from now on.
            for (_, over) in &overs {
                if let Some(signature) = finding(over) {
                    self.known_failures.add(&signature);
                }
            }
            on_outcome(compared(overs));
        }
    }

    /// What a program would be filed under, by one run on every side that nothing confirms.
    pub(super) fn try_out(&mut self, program: &Planned) -> Option<Signature> {
        let try_out = |(side, worker): &mut (&'a Side, Worker<'a>)| (&*side.name, worker.try_out(side.task(program)));
        let mut overs: Vec<(&str, Over)> = self.all.iter_mut().map(try_out).collect();
        match &mut overs[..] {
            [(_, over)] => finding(over),
            _ => compared(overs).signature,
        }
    }

    /// Whether the reference engine, on the first side's machine, refuses a program, too: then
    /// restoring it is impossible.
    pub(super) fn is_refused_by_reference(&mut self, task: &Task, reference: Engine) -> bool {
        let mut refused = false;
        self.all[0].1.run_all(vec![Task { engine: reference, ..task.clone() }], &mut |over| {
            // Known when another program of the same batch was refused so before.
            let verdict = over.judgement.verdict;
            refused = matches!(verdict, Verdict::Fail(kind) | Verdict::Xfail(kind) if kind == FailureKind::DumpFailed);
        });
        refused
    }
}

/// One program's runs on all sides as one: a finding where their signatures differ. Between two
/// subjects, `gate` also compares values; a campaign does not, because it files by signature. A
/// program that did not run, or does not come to the same each time on one side, says nothing about
/// the others.
fn compared(overs: Vec<(&str, Over)>) -> Outcome {
    let silent =
        |over: &Over| matches!(over.judgement.verdict, Verdict::NotRun | Verdict::Unsupported | Verdict::Flaky { .. });
    let words: Vec<(String, String)> = overs
        .iter()
        .map(|(name, over)| {
            let word = finding(over).map_or_else(|| "pass".to_owned(), |signature| signature.0);
            ((*name).to_owned(), word)
        })
        .collect();
    let silent_side = overs.iter().position(|(_, over)| silent(over));
    let failed = overs.iter().position(|(_, over)| finding(over).is_some());
    let differ = silent_side.is_none() && words.iter().any(|(_, word)| *word != words[0].1);
    let (_, over) = overs.into_iter().nth(silent_side.or(failed).unwrap_or_default()).expect("there are sides");
    if !differ {
        return Outcome { over, signature: None };
    }
    let by_side: Vec<String> = words.into_iter().map(|(name, word)| format!("{name}: {word}")).collect();
    let signature = Signature(format!("differs {}", by_side.join("; ")));
    let reason = format!("{}; {}", by_side.join("; "), over.judgement.reason);
    let judgement = Judgement { reason, ..over.judgement.clone() };
    Outcome { over: Over { judgement, ..over }, signature: Some(signature) }
}
