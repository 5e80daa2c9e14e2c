//! Runs trials with both subjects at the same time, each side on machines of its own.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::saved::key;
use crate::compare::RunOutcome;
use crate::judge::range::Version;
use crate::judge::{Expectations, Judgement, Trial, Verdict};
use crate::notices::say;
use crate::report::record::digest;
use crate::report::{Finished, artifacts};
use crate::run::{Machines, News, Over, Policy, Queue, Task};
use crate::session::Session;

/// How often a deadline is checked.
const TICK: Duration = Duration::from_millis(500);

/// One of the two.
pub(super) struct Side<'a> {
    pub(super) machines: Machines<'a>,
    pub(super) tasks: Vec<Task>,
    pub(super) workers: usize,
}

/// What holds for all of them.
pub(super) struct Rig<'a> {
    pub(super) session: &'a Session,
    pub(super) expectations: &'a Expectations,
    /// So many programs may share a process.
    pub(super) pack: usize,
    /// No trial is begun after it.
    pub(super) deadline: Option<Instant>,
    /// Where artifacts of failures go; nowhere in a first round, whose failures are mostly those of
    /// both sides.
    pub(super) keep: Option<&'a Path>,
}

/// A run of a trial on the side of this number.
pub(super) struct SideRun {
    pub(super) side: usize,
    pub(super) key: String,
    pub(super) outcome: RunOutcome,
}

impl Rig<'_> {
    /// Runs the tasks of all sides; `on_run` gets each run as it ends. A trial that was not begun
    /// has no run.
    pub(super) fn run(&self, sides: Vec<Side<'_>>, on_run: &mut dyn FnMut(SideRun)) {
        // What the judge said before expectations: machines are thrown away by what is expected,
        // gates go by what is.
        let raw: Mutex<HashMap<String, Judgement>> = Mutex::default();
        let known = |trial: &Trial, criu: Option<&Version>, judgement: Judgement| {
            raw.lock().expect("no thread panics while it holds the lock").insert(trial.to_string(), judgement.clone());
            self.expectations.apply(trial, criu, judgement)
        };
        let policy = || Policy { pack: self.pack, ..Policy::default() };
        let sides: Vec<_> = sides
            .into_iter()
            .map(|Side { machines, tasks, workers }| {
                (self.session.pool(machines, Box::new(known), policy()), Queue::new(tasks), workers)
            })
            .collect();
        std::thread::scope(|scope| {
            let (sender, news) = channel();
            for (side, (pool, queue, workers)) in sides.iter().enumerate() {
                // A side without runs is incomplete.
                let started = crate::run::start(scope, pool, queue, *workers).inspect_err(crate::run::no_thread);
                let Ok(receiver) = started else { continue };
                let sender = sender.clone();
                scope.spawn(move || {
                    for one in receiver {
                        if let News::Over(over) = one {
                            // The other end lasts as long as this scope.
                            let _ = sender.send((side, over));
                        }
                    }
                });
            }
            drop(sender);
            loop {
                if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                    sides.iter().for_each(|(pool, ..)| pool.stop());
                }
                let (side, over) = match news.recv_timeout(TICK) {
                    Ok(over) => over,
                    Err(RecvTimeoutError::Timeout) => continue,
                    Err(RecvTimeoutError::Disconnected) => return,
                };
                let judged =
                    raw.lock().expect("no thread panics while it holds the lock").remove(&over.task.trial.to_string());
                let key = key(&over.task);
                if over.judgement.verdict == Verdict::NotRun {
                    continue;
                }
                let judgement = match over.judgement.verdict {
                    // Not the judge's word: what came of several machines, or of none.
                    Verdict::Flaky { .. } | Verdict::Unsupported | Verdict::Error => over.judgement.clone(),
                    _ => judged.unwrap_or_else(|| over.judgement.clone()),
                };
                let applied = over.judgement.clone();
                self.keep(*over, &judgement);
                on_run(SideRun { side, key, outcome: RunOutcome::with_known(judgement, applied) });
            }
        });
    }

    fn keep(&self, over: Over, judgement: &Judgement) {
        let (Some(folder), Verdict::Fail(_)) = (self.keep, judgement.verdict) else { return };
        let program = scenarios::text::print_scenario(&over.task.scenario);
        let profile = scenarios::capability::profile(&over.task.scenario.program);
        let finished = Finished {
            profile,
            trial: over.task.trial,
            file: over.task.scenario.file.filter(|_| !over.task.scenario.name.contains('/')),
            judgement: judgement.clone(),
            seconds: over.seconds,
            artifacts: None,
            criu: over.criu,
            digest: Some(digest(&program)),
            program: Some(program.clone()),
        };
        let files = over.traces.files();
        let extras: Vec<_> = files.iter().map(|(name, bytes)| artifacts::Extra { name, bytes }).collect();
        if let Err(error) = artifacts::write(folder, &finished, &program, over.report.as_ref(), &extras) {
            say(&format!("error: {error}"));
        }
    }
}
