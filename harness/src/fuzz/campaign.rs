//! The loop of a campaign: draw, run, file, save. Each worker has a machine of its own; what they share is behind one lock,
//! which nobody holds while something runs.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arbitrary::Unstructured;
use protocol::message::{Engine, MountWay};
use scenarios::live::{self, Terms};
use scenarios::shrink::Shrinker;
use scenarios::{Program, Scenario};

use super::buckets::{Bucket, Filed};
use super::draw::{self, Wanted};
use super::every::Every;
use super::signature::Signature;
use super::state::{CORPUS, State, StateError};
use crate::judge::{FailureKind, Judgement, Trial, Verdict};
use crate::run::{News, Over, Task, Work, Worker};

/// A finding is not shrunk for longer, under KVM.
const SHRINK: Duration = Duration::from_secs(20);
/// And not with more programs.
const SHRINK_PROGRAMS: usize = 300;
/// So many programs are drawn at once as long as each second batch has a finding.
const SMALLEST_BATCH: usize = 4;
/// The state is saved so often, and at the end.
const SAVE: Duration = Duration::from_secs(2);
/// How often whoever watches is told.
const TICK: Duration = Duration::from_millis(500);

/// What a campaign is to do.
#[derive(Clone, Debug)]
pub struct Settings<'a> {
    /// The folder of its state.
    pub folder: PathBuf,
    /// It ends after so long, or never by itself.
    pub time: Option<Duration>,
    /// It ends after so many programs, or never by itself.
    pub programs: Option<u64>,
    /// It ends with the first finding.
    pub first: bool,
    /// How many machines.
    pub workers: usize,
    /// How many programs are drawn at once, at most.
    pub batch: usize,
    /// What programs are like.
    pub wanted: Wanted,
    /// All programs up to a depth, instead of drawn ones.
    pub every: Option<&'a Every>,
    /// What runs them.
    pub engine: Engine,
    /// The trial's other parts: each worker has one of these, in turn.
    pub trials: Vec<Trial>,
    /// Findings that are known: counted only.
    pub known: BTreeSet<Signature>,
    /// What was seen, for whoever decides what is expected.
    pub seen: &'a Seen,
}

/// Findings that need no second look: whoever runs the programs takes them as expected, so that they cost no more than a
/// pass, neither a confirmation nor a fresh machine nor a pack that is split.
#[derive(Debug, Default)]
pub struct Seen(Mutex<BTreeSet<Signature>>);

impl Seen {
    /// One more. What harms a machine is never taken as expected.
    pub fn add(&self, signature: &Signature, verdict: Verdict) {
        let harmless = match verdict {
            Verdict::Fail(kind) => !matches!(kind, FailureKind::Hang | FailureKind::Crash | FailureKind::KernelSplat),
            _ => false,
        };
        if harmless {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(signature.clone());
        }
    }

    /// A judgement in the light of what was seen.
    pub fn expect(&self, judgement: Judgement) -> Judgement {
        let Verdict::Fail(kind) = judgement.verdict else { return judgement };
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&Signature::of(&judgement));
        if seen { Judgement { verdict: Verdict::Xfail(kind), ..judgement } } else { judgement }
    }
}

/// A campaign under way.
pub struct Campaign<'a> {
    settings: &'a Settings<'a>,
    work: &'a Work<'a>,
    shared: Mutex<Shared>,
    start: Instant,
    /// Seconds of earlier runs.
    before: f64,
    over: AtomicBool,
}

struct Shared {
    state: State,
    corpus: Vec<Program>,
    saved: Instant,
    /// What could not be saved; it ends the campaign.
    unsaved: Option<StateError>,
}

/// A failure to look into.
struct Failure {
    signature: Signature,
    over: Over,
}

impl<'a> Campaign<'a> {
    /// A campaign that begins, or goes on. `corpus` are programs to begin with.
    pub fn new(settings: &'a Settings<'a>, work: &'a Work<'a>, state: State, corpus: Vec<Program>) -> Self {
        let before = state.seconds;
        let shared = Mutex::new(Shared { state, corpus, saved: Instant::now(), unsaved: None });
        Self { settings, work, shared, start: Instant::now(), before, over: AtomicBool::new(false) }
    }

    /// Runs it to its end; `watch` is told of the state now and then, and at the end.
    ///
    /// # Errors
    /// The state cannot be saved.
    pub fn run(self, watch: &mut dyn FnMut(&State)) -> Result<State, StateError> {
        std::thread::scope(|scope| {
            let (news, told) = channel();
            for number in 0..self.settings.workers {
                let (campaign, news) = (&self, news.clone());
                scope.spawn(move || campaign.work(number, news));
            }
            drop(news);
            let mut shown = Instant::now();
            loop {
                match told.recv_timeout(TICK) {
                    Ok(News::Machine { reset: true }) => self.lock().state.resets += 1,
                    Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
                if shown.elapsed() >= TICK {
                    shown = Instant::now();
                    self.end_in_time();
                    watch(&self.lock().state);
                }
            }
        });
        let mut shared = self.shared.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = shared.unsaved.take() {
            return Err(error);
        }
        self.settings.every.inspect(|every| every.note(&mut shared.state));
        shared.state.seconds = self.before + self.start.elapsed().as_secs_f64();
        shared.state.note();
        shared.state.save(&self.settings.folder)?;
        watch(&shared.state);
        Ok(shared.state)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end_in_time(&self) {
        if self.settings.time.is_some_and(|time| self.start.elapsed() >= time) || crate::interrupt::requested() {
            self.over.store(true, Ordering::Relaxed);
            self.work.stop.store(true, Ordering::Relaxed);
        }
    }

    fn work(&self, number: usize, news: Sender<News>) {
        let mut worker = Worker::new(number, self.work, news);
        let trial = &self.settings.trials[number % self.settings.trials.len()];
        let mut batch = SMALLEST_BATCH.min(self.settings.batch);
        while !self.over.load(Ordering::Relaxed) && !crate::interrupt::requested() {
            let tasks = self.draw(trial, batch);
            if tasks.is_empty() {
                break;
            }
            let mut failures = Vec::new();
            worker.run_all(tasks, &mut |over| {
                let ran = over.judgement.verdict != Verdict::NotRun;
                let name = over.task.scenario.name.clone();
                let failure = self.note(over);
                if ran && failure.is_none() {
                    self.done(&name);
                }
                failures.extend(failure);
            });
            // Much that is new at once is soon old.
            batch = if failures.is_empty() { batch * 2 } else { batch / 2 };
            batch = batch.clamp(SMALLEST_BATCH.min(self.settings.batch), self.settings.batch);
            for failure in failures {
                if self.over.load(Ordering::Relaxed) || crate::interrupt::requested() {
                    self.file_as_it_is(failure);
                } else {
                    let name = failure.over.task.scenario.name.clone();
                    self.look_into(&mut worker, failure);
                    self.done(&name);
                }
            }
            self.save();
        }
    }

    /// The next programs. Every second one has parents, as soon as there are some.
    fn draw(&self, trial: &Trial, batch: usize) -> Vec<Task> {
        let task = |(number, program)| self.task(Scenario::generated(format!("fuzz/{number}"), program), trial);
        if let Some(every) = self.settings.every {
            return every.take(batch, &self.over).into_iter().map(task).collect();
        }
        let (seed, numbers, parents) = {
            let mut shared = self.lock();
            let left = self.settings.programs.map_or(u64::MAX, |all| all.saturating_sub(shared.state.next));
            let count = left.min(batch as u64);
            let from = shared.state.next;
            shared.state.next += count;
            let seed = shared.state.seed;
            let mut random = fastrand::Rng::with_seed(seed.wrapping_add(from));
            let choose = |random: &mut fastrand::Rng| random.choice(&shared.corpus).cloned();
            let pair = |random: &mut fastrand::Rng| Some((choose(random)?, choose(random)?)).filter(|_| random.bool());
            let parents: Vec<_> = (0..count).map(|_| pair(&mut random)).collect();
            (seed, from..from + count, parents)
        };
        let program = |number, parents: Option<(Program, Program)>| {
            let parents = parents.as_ref().map(|(one, other)| (one, other));
            draw::program(seed, number, parents, &self.settings.wanted)
        };
        let drawn = numbers.zip(parents).filter_map(|(number, parents)| Some((number, program(number, parents)?)));
        drawn.map(task).collect()
    }

    fn done(&self, scenario: &str) {
        self.settings.every.inspect(|every| every.done(scenario));
    }

    fn task(&self, scenario: Scenario, trial: &Trial) -> Task {
        let trial = Trial { scenario: scenario.name.clone(), ..trial.clone() };
        Task { trial, scenario, engine: self.settings.engine.clone() }
    }

    /// Takes note of a program that ran; a failure is to be looked into.
    fn note(&self, over: Over) -> Option<Failure> {
        let failure = Signature::found(&over);
        let mut shared = self.lock();
        match over.judgement.verdict {
            Verdict::NotRun => return None,
            Verdict::Unsupported => shared.state.unusable += 1,
            _ => shared.state.programs += 1,
        }
        if matches!(over.judgement.verdict, Verdict::Flaky { .. }) {
            shared.state.flaky += 1;
        }
        if shared.state.learn(&over) {
            if shared.corpus.len() >= CORPUS {
                shared.corpus.remove(0);
            }
            shared.corpus.push(over.task.scenario.program.clone());
        }
        let signature = failure?;
        if self.settings.known.contains(&signature) {
            *shared.state.known.entry(signature.0).or_default() += 1;
            return None;
        }
        if matches!(over.judgement.verdict, Verdict::Xfail(_)) {
            // Not in a condition: a lock that is taken there is held to the end of it.
            let is_finding = shared.state.buckets.has(&signature);
            if !is_finding {
                *shared.state.known.entry(signature.0).or_default() += 1;
                return None;
            }
            drop(shared);
            self.file(signature, &over);
            return None;
        }
        Some(Failure { signature, over })
    }

    /// Files a failure, unless the reference engine says that nobody can do it; the first of its kind is made smaller.
    fn look_into(&self, worker: &mut Worker<'_>, Failure { signature, over }: Failure) {
        if over.judgement.verdict == Verdict::Fail(FailureKind::DumpFailed) && self.nobody_can(worker, &over.task) {
            let mut shared = self.lock();
            *shared.state.known.entry("(the reference engine refuses it as well)".to_owned()).or_default() += 1;
            if matches!(self.settings.engine, Engine::Reference { .. }) {
                self.settings.seen.add(&signature, over.judgement.verdict);
            }
            return;
        }
        if self.file(signature.clone(), &over) == Filed::New {
            self.save_now();
            self.shrink(worker, &signature, &over.task);
            if self.settings.first {
                self.over.store(true, Ordering::Relaxed);
                self.work.stop.store(true, Ordering::Relaxed);
            }
        }
    }

    /// The campaign is over: nobody looks into it any more. What nobody may be able to restore is left out.
    fn file_as_it_is(&self, Failure { signature, over }: Failure) {
        if over.judgement.verdict != Verdict::Fail(FailureKind::DumpFailed) {
            self.file(signature, &over);
        }
    }

    fn file(&self, signature: Signature, over: &Over) -> Filed {
        let scenario = &over.task.scenario;
        let first_seconds = self.before + self.start.elapsed().as_secs_f64();
        self.settings.seen.add(&signature, over.judgement.verdict);
        self.lock().state.buckets.file(Bucket {
            signature,
            count: 1,
            program: scenarios::text::print_scenario(scenario),
            steps: steps(&scenario.program),
            verdict: over.judgement.verdict.to_string(),
            reason: over.judgement.reason.clone(),
            first_seconds,
            trial: over.task.trial.to_string(),
            shrunk: false,
        })
    }

    /// Whether the reference engine refuses a program, too.
    fn nobody_can(&self, worker: &mut Worker<'_>, task: &Task) -> bool {
        let engine = Engine::Reference { fault: None, without_statmount: false, way: MountWay::Tree };
        let task = Task { engine, ..task.clone() };
        let mut refused = false;
        worker.run_all(vec![task], &mut |over| {
            // Known when another program of the same batch was refused so before.
            let verdict = over.judgement.verdict;
            refused = matches!(verdict, Verdict::Fail(kind) | Verdict::Xfail(kind) if kind == FailureKind::DumpFailed);
        });
        refused
    }

    fn shrink(&self, worker: &mut Worker<'_>, signature: &Signature, task: &Task) {
        let scenario = &task.scenario;
        let until = Instant::now() + SHRINK.mul_f64(self.work.timeout_scale);
        let mut shrinker = Shrinker::new(&scenario.program);
        for _ in 0..SHRINK_PROGRAMS {
            if Instant::now() >= until || crate::interrupt::requested() {
                break;
            }
            let Some(program) = shrinker.propose() else { break };
            let smaller = Scenario::generated(scenario.name.clone(), program.clone());
            if smaller.outcome != scenario.outcome {
                continue;
            }
            let task = Task { scenario: smaller, ..task.clone() };
            let mut shows = false;
            worker.run_all(vec![task], &mut |over| shows = Signature::found(&over).as_ref() == Some(signature));
            if shows {
                shrinker.accept(program);
            }
        }
        let mut found = shrinker.best().clone();
        // With what the model says of it, it is a scenario.
        if let Ok(program) = live::assert(&mut Unstructured::new(&[0; 4096]), &found, &Terms::default()) {
            let scenario = Scenario { program: program.clone(), ..scenario.clone() };
            worker.run_all(vec![Task { scenario, ..task.clone() }], &mut |over| {
                if Signature::found(&over).as_ref() == Some(signature) {
                    found = program.clone();
                }
            });
        }
        let size = steps(&found);
        let text = scenarios::text::print_scenario(&Scenario { program: found, ..scenario.clone() });
        self.lock().state.buckets.shrunk(signature, text, size);
        self.save_now();
    }

    fn save(&self) {
        if self.lock().saved.elapsed() >= SAVE {
            self.save_now();
        }
    }

    fn save_now(&self) {
        let mut shared = self.lock();
        self.settings.every.inspect(|every| every.note(&mut shared.state));
        shared.state.seconds = self.before + self.start.elapsed().as_secs_f64();
        shared.saved = Instant::now();
        shared.state.note();
        if let Err(error) = shared.state.save(&self.settings.folder) {
            shared.unsaved.get_or_insert(error);
            self.over.store(true, Ordering::Relaxed);
            self.work.stop.store(true, Ordering::Relaxed);
        }
    }
}

/// Steps that do something.
pub(crate) fn steps(program: &Program) -> usize {
    program.steps.iter().filter(|line| !matches!(line.step, scenarios::Step::Assert { .. })).count()
}
