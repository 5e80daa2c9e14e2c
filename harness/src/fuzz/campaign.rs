//! The loop of a campaign: draw, run, file, save. Each worker has a machine of its own; what they
//! share is behind one lock, which no thread holds while a program runs.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use protocol::message::{DetachMethod, Engine, Lifecycle};
use scenarios::{Program, Scenario};

use super::batch::Batch;
use super::buckets::{Bucket, Filed};
use super::draw::Wanted;
use super::every::Every;
use super::finding::finding;
use super::knowledge::Knowledge;
use super::known::KnownFailures;
use super::one_cause::OneCause;
use super::share::Share;
use super::shrink::{smallest, steps};
use super::sides::{Outcome, Planned, Side, Sides};
use super::state::{CORPUS, State, StateError};
use crate::judge::{FailureKind, Group, Signature, Verdict};
use crate::run::{News, Over, Pool};

/// A finding is not shrunk for longer, under KVM.
const SHRINK: Duration = Duration::from_secs(10);
/// How many programs are drawn at once as long as each second batch has a finding.
const SMALLEST_BATCH: usize = 4;
/// The state is saved so often, and at the end.
const SAVE: Duration = Duration::from_secs(2);
/// So often a member of a shared campaign reads what the others wrote.
const READ: Duration = Duration::from_secs(5);
/// How often `watch` is called.
const TICK: Duration = Duration::from_millis(500);

/// What a campaign is to do.
#[derive(Clone, Debug)]
pub struct Settings<'a> {
    /// The folder of its state.
    pub folder: PathBuf,
    /// It ends after so long, or never by itself.
    pub time: Option<Duration>,
    /// The number of programs after which it ends; `None` for no end.
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
    /// What runs them: each worker has one of these, in turn.
    pub sides: Vec<Side>,
    /// Each worker has all of them, and what they come to must be the same.
    pub differential: bool,
    /// What is done to processes: these in turn; without any, almost always dump-restore.
    pub lifecycles: Vec<Lifecycle>,
    /// Then one in this number of programs goes through another.
    pub other_lifecycle: u64,
    /// Findings that are known: counted only.
    pub known: BTreeSet<Signature>,
    /// The failures found so far, for the owner of the known failures.
    pub known_failures: &'a KnownFailures,
    /// The other members of this campaign.
    pub share: Option<&'a Mutex<Share>>,
}

/// A campaign under way.
pub struct Campaign<'a> {
    pub(super) settings: &'a Settings<'a>,
    pub(super) pool: Arc<Pool<'a>>,
    shared: Mutex<Shared>,
    pub(super) knowledge: Mutex<Knowledge>,
    pub(super) start: Instant,
    /// Seconds of earlier runs.
    before: f64,
    pub(super) over: AtomicBool,
}

pub(super) struct Shared {
    pub(super) state: State,
    pub(super) corpus: Vec<Program>,
    /// Programs of the corpus that other members do not have yet.
    pub(super) new: Vec<Program>,
    /// What other members found.
    pub(super) found_by_others: BTreeSet<Signature>,
    pub(super) one_cause: OneCause,
    saved: Instant,
    /// What could not be saved; it ends the campaign.
    unsaved: Option<StateError>,
}

/// A failure to analyze.
struct Failure {
    signature: Signature,
    outcome: Outcome,
}

impl<'a> Campaign<'a> {
    /// A campaign that begins, or goes on. `corpus` are programs to begin with.
    pub fn new(settings: &'a Settings<'a>, pool: &Arc<Pool<'a>>, state: State, corpus: Vec<Program>) -> Self {
        let before = state.seconds;
        let shared = Mutex::new(Shared {
            state,
            corpus,
            new: Vec::new(),
            found_by_others: BTreeSet::new(),
            one_cause: OneCause::default(),
            saved: Instant::now(),
            unsaved: None,
        });
        Self {
            settings,
            pool: Arc::clone(pool),
            shared,
            knowledge: Mutex::default(),
            start: Instant::now(),
            before,
            over: AtomicBool::new(false),
        }
    }

    /// Runs it to its end; `watch` gets the state now and then, and at the end.
    ///
    /// # Errors
    /// The state cannot be saved.
    pub fn run(self, watch: &mut dyn FnMut(&State)) -> Result<State, StateError> {
        self.exchange();
        std::thread::scope(|scope| {
            let (news, received) = channel();
            for number in 0..self.settings.workers {
                let (campaign, news) = (&self, news.clone());
                scope.spawn(move || campaign.work(number, news));
            }
            drop(news);
            let (mut shown, mut read) = (Instant::now(), Instant::now());
            loop {
                match received.recv_timeout(TICK) {
                    Ok(News::Machine { reset: true }) => self.lock().state.resets += 1,
                    Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
                if shown.elapsed() >= TICK {
                    shown = Instant::now();
                    self.end_in_time();
                    watch(&self.lock().state);
                }
                if read.elapsed() >= READ {
                    read = Instant::now();
                    self.exchange();
                }
            }
        });
        self.exchange();
        let broken = locked(&self.knowledge).avoid().words();
        let mut shared = self.shared.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = shared.unsaved.take() {
            return Err(error);
        }
        self.settings.every.inspect(|every| every.note(&mut shared.state));
        shared.state.seconds = self.before + self.start.elapsed().as_secs_f64();
        shared.state.broken = broken;
        shared.state.note();
        shared.state.save(&self.settings.folder)?;
        watch(&shared.state);
        Ok(shared.state)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Shared> {
        locked(&self.shared)
    }

    fn end_in_time(&self) {
        if self.settings.time.is_some_and(|time| self.start.elapsed() >= time) || crate::process::interrupt::requested()
        {
            self.over.store(true, Ordering::Relaxed);
            self.pool.stop();
        }
    }

    fn work(&self, number: usize, news: Sender<News>) {
        let Settings { sides, differential, known_failures, .. } = self.settings;
        let mut sides = Sides::new(number, sides, *differential, &self.pool, &news, known_failures);
        drop(news);
        let mut batch = SMALLEST_BATCH.min(self.settings.batch);
        while !self.over.load(Ordering::Relaxed) && !crate::process::interrupt::requested() {
            let Some(Batch { together, alone }) = self.draw(batch) else { break };
            let mut failures = Vec::new();
            sides.run(&together, &mut |outcome| failures.extend(self.over(outcome)));
            // Much that is new at once is soon old.
            batch = if failures.is_empty() { batch * 2 } else { batch / 2 };
            batch = batch.clamp(SMALLEST_BATCH.min(self.settings.batch), self.settings.batch);
            for program in alone {
                sides.run(&[program], &mut |outcome| failures.extend(self.over(outcome)));
            }
            for failure in failures {
                if self.over.load(Ordering::Relaxed) || crate::process::interrupt::requested() {
                    self.file_as_it_is(failure);
                } else {
                    let name = failure.outcome.over.task.scenario.name.clone();
                    self.look_into(&mut sides, failure);
                    self.done(&name);
                }
            }
            self.end_where_all_fail();
            self.save();
        }
    }

    fn done(&self, scenario: &str) {
        self.settings.every.inspect(|every| every.done(scenario));
    }

    /// A program came back; a program without a failure needs no second check.
    fn over(&self, outcome: Outcome) -> Option<Failure> {
        let ran = outcome.over.judgement.verdict != Verdict::NotRun;
        let name = outcome.over.task.scenario.name.clone();
        let failure = self.note(outcome);
        if ran && failure.is_none() {
            self.done(&name);
        }
        failure
    }

    /// Records a program that ran; a failure is to be analyzed.
    fn note(&self, outcome: Outcome) -> Option<Failure> {
        let over = &outcome.over;
        let mut shared = self.lock();
        match over.judgement.verdict {
            Verdict::NotRun => return None,
            Verdict::Unsupported => shared.state.unusable += 1,
            _ => shared.state.programs += 1,
        }
        if matches!(over.judgement.verdict, Verdict::Flaky { .. }) {
            shared.state.flaky += 1;
        }
        let is_known = matches!(over.judgement.verdict, Verdict::Xfail(_)) && finding(over).is_some();
        // What is wrong with a program alone costs its pack nothing. What crashes is never
        // expected, and costs most.
        let breaks = match over.judgement.verdict {
            Verdict::Xfail(kind) => is_known && kind.is_of_the_whole(),
            Verdict::Fail(kind) => kind.is_of_the_whole(),
            _ => false,
        };
        let program = &over.task.scenario.program;
        let is_finding = finding(over).is_some();
        let fails = matches!(over.judgement.verdict, Verdict::Fail(_) | Verdict::Xfail(_)) && is_finding;
        if self.settings.every.is_none() && (fails || over.judgement.verdict.group() == Group::Passed) {
            locked(&self.knowledge).note(program, fails, breaks);
            self.note_for_one_cause(&mut shared.one_cause, program, finding(over).filter(|_| fails));
        }
        if shared.state.learn(over) {
            shared.keep(program.clone());
            if self.settings.share.is_some() {
                shared.new.push(program.clone());
            }
        }
        if self.settings.differential && outcome.signature.is_none() && fails {
            *shared.state.known.entry("(fails everywhere in the same way)".to_owned()).or_default() += 1;
        }
        let signature = outcome.signature.clone()?;
        let is_of_others = shared.found_by_others.contains(&signature) && !shared.state.buckets.has(&signature);
        if self.settings.known.contains(&signature) || is_of_others {
            *shared.state.known.entry(signature.0).or_default() += 1;
            return None;
        }
        if is_known && !self.settings.differential {
            // Not in a condition: a lock that is taken there is held to the end of it.
            let is_finding = shared.state.buckets.has(&signature);
            if !is_finding {
                *shared.state.known.entry(signature.0).or_default() += 1;
                return None;
            }
            drop(shared);
            self.file(signature, over);
            return None;
        }
        Some(Failure { signature, outcome })
    }

    /// Files a failure, unless the reference engine refuses it, too; the first of its
    /// kind is made smaller.
    fn look_into(&self, sides: &mut Sides<'_>, Failure { signature, outcome }: Failure) {
        let over = &outcome.over;
        let refused = !self.settings.differential && over.judgement.verdict == Verdict::Fail(FailureKind::DumpFailed);
        let reference = Engine::Reference { fault: None, without_statmount: false, way: DetachMethod::Tree };
        if refused && sides.is_refused_by_reference(&over.task, reference) {
            let mut shared = self.lock();
            *shared.state.known.entry("(the reference engine refuses it as well)".to_owned()).or_default() += 1;
            if matches!(over.task.engine, Engine::Reference { .. }) {
                self.settings.known_failures.add(&signature);
            }
            return;
        }
        if self.file(signature.clone(), over) == Filed::New {
            // What does not come again cannot be made smaller.
            if !matches!(over.judgement.verdict, Verdict::Flaky { .. }) {
                self.shrink(sides, &signature, &outcome.planned());
            }
            if self.settings.first {
                self.over.store(true, Ordering::Relaxed);
                self.pool.stop();
            }
        }
    }

    /// The campaign is over, so it is not analyzed any more. What perhaps cannot be restored is
    /// left out, unless a subject restored it.
    fn file_as_it_is(&self, Failure { signature, outcome }: Failure) {
        let is_refused = outcome.over.judgement.verdict == Verdict::Fail(FailureKind::DumpFailed);
        if self.settings.differential || !is_refused {
            self.file(signature, &outcome.over);
        }
    }

    /// Files a failure. A new one is on disk before it is shown.
    fn file(&self, signature: Signature, over: &Over) -> Filed {
        let scenario = &over.task.scenario;
        let first_seconds = self.before + self.start.elapsed().as_secs_f64();
        self.settings.known_failures.add(&signature);
        let mut shared = self.lock();
        let filed = shared.state.buckets.file(Bucket {
            signature,
            count: 1,
            program: scenarios::text::print_scenario(scenario),
            steps: steps(&scenario.program),
            // What was expected by then is the failure that it was.
            verdict: match over.judgement.verdict {
                Verdict::Xfail(kind) => Verdict::Fail(kind).to_string(),
                verdict => verdict.to_string(),
            },
            reason: over.judgement.reason.clone(),
            first_seconds,
            trial: over.task.trial.to_string(),
            shrunk: false,
        });
        if filed == Filed::New {
            self.save_state(&mut shared);
        }
        filed
    }

    fn shrink(&self, sides: &mut Sides<'_>, signature: &Signature, planned: &Planned) {
        let until = Instant::now() + SHRINK.mul_f64(self.pool.timeout_scale());
        let found = smallest(sides, signature, planned, until);
        let size = steps(&found);
        let text = scenarios::text::print_scenario(&Scenario { program: found, ..planned.scenario.clone() });
        self.lock().state.buckets.shrunk(signature, text, size);
        self.save_now();
    }

    fn save(&self) {
        if self.lock().saved.elapsed() >= SAVE {
            self.save_now();
        }
    }

    fn save_now(&self) {
        self.save_state(&mut self.lock());
    }

    fn save_state(&self, shared: &mut Shared) {
        self.settings.every.inspect(|every| every.note(&mut shared.state));
        shared.state.seconds = self.before + self.start.elapsed().as_secs_f64();
        shared.state.broken = locked(&self.knowledge).avoid().words();
        shared.saved = Instant::now();
        shared.state.note();
        if let Err(error) = shared.state.save(&self.settings.folder) {
            shared.unsaved.get_or_insert(error);
            self.over.store(true, Ordering::Relaxed);
            self.pool.stop();
        }
    }
}

impl Shared {
    /// Keeps a program that showed something new; the oldest gives way.
    pub(super) fn keep(&mut self, program: Program) {
        if self.corpus.len() >= CORPUS {
            self.corpus.remove(0);
        }
        self.corpus.push(program);
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
