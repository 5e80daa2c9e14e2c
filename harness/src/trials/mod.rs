//! Runs planned trials and reports each as it ends: the main job of this program.
//!
//! What is missing is prepared first, so that nothing is reported of a run that cannot begin. Each
//! kernel with each subject has a pool of workers, one after the other.
//!
//! - `reporter`: passes events on, and keeps what failed trials leave

mod reporter;

use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use scenarios::Scenario;

use crate::judge::{Expectations, Trial};
use crate::plan::Axes;
use crate::plan::share::{Share, WantedShare};
use crate::report::terminal::Terminal;
use crate::report::{Event, Finished, Reporters, SharedAxes};
use crate::run::confirm::Wanted;
use crate::run::order::teaching_first;
use crate::run::{Machines, News, Over, Policy, Queue, Task};
use crate::session::{ExpectationsSource, Session};
use crate::subject::{Parts, ReferenceOptions, Subject};
use reporter::RunReporter;

/// How often a run without events checks whether a progress line is due.
const TICK: Duration = Duration::from_secs(1);

/// Which trials, and how they are run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The scenarios.
    pub scenarios: Vec<Scenario>,
    /// They are the whole catalogue.
    pub whole: bool,
    /// What is tested.
    pub subject: Vec<Subject>,
    /// Patches on top of it.
    pub patch: Vec<PathBuf>,
    /// How the reference engine works.
    pub reference_options: ReferenceOptions,
    /// Kernel, flavor, lifecycle.
    pub axes: Axes,
    /// What is known to fail.
    pub expectations: ExpectationsSource,
    /// Which of the trials.
    pub share: WantedShare,
    /// No more trials are begun after the first that fails.
    pub fail_fast: bool,
    /// How often each trial is run.
    pub repeat: u32,
    /// How often what is unexpected is run again.
    pub retries: u32,
    /// The first run of a trial finds out as much as it can.
    pub thorough: bool,
    /// The process is probed, and a twin of it.
    pub probes: bool,
    /// Which failures are run again.
    pub confirm: Wanted,
    /// Programs that may share a process.
    pub pack: usize,
    /// Folder for the artifacts of failed trials.
    pub keep: PathBuf,
}

/// The trials of one kernel and one subject.
struct Group {
    kernel: String,
    /// The number of the subject.
    subject: usize,
    tasks: Vec<Task>,
}

/// Trials that can begin: all that they need is there.
pub struct Trials<'a> {
    session: &'a Session,
    settings: Settings,
    expectations: Expectations,
    parts: Vec<Parts>,
    groups: Vec<Group>,
    /// Results of an earlier run.
    finished: Vec<Finished>,
}

impl<'a> Trials<'a> {
    /// Plans the trials, and builds what they need.
    ///
    /// # Errors
    /// A mistake of the user, or what keeps any trial from running.
    pub fn plan(session: &'a Session, settings: Settings) -> anyhow::Result<Self> {
        let subjects = session.subjects(&settings.subject, &settings.patch)?;
        let kernels = session.kernels(&settings.axes)?;
        session.check_backend(&subjects)?;
        let expectations = session.expectations(&settings.expectations)?;
        let mut groups = Vec::new();
        for kernel in &kernels {
            for (number, subject) in subjects.iter().enumerate() {
                let options = settings.reference_options;
                let tasks = settings.axes.tasks(kernel, subject, options, &settings.scenarios);
                groups.push(Group { kernel: kernel.clone(), subject: number, tasks });
            }
        }
        let planned = groups.iter().flat_map(|group| &group.tasks).cloned().collect();
        let Share { tasks: mine, finished } = settings.share.of(planned)?;
        let mine: HashSet<&Trial> = mine.iter().map(|task| &task.trial).collect();
        for group in &mut groups {
            group.tasks.retain(|task| mine.contains(&task.trial));
        }
        let parts = subjects.iter().map(|subject| subject.prepare(session.store()));
        let parts = parts.collect::<Result<_, _>>()?;
        Ok(Self { session, settings, expectations, parts, groups, finished })
    }

    /// Runs them; the exit status.
    ///
    /// # Errors
    /// What keeps a trial from running.
    pub fn run(self, terminal: Terminal<Box<dyn Write>>, reporters: Reporters) -> anyhow::Result<u8> {
        let mut reporter = RunReporter::new(terminal, reporters, &self.settings.keep, &self.expectations);
        let known = self.finished.iter().map(|finished| &finished.trial);
        let planned = self.groups.iter().flat_map(|group| &group.tasks).map(|task| &task.trial);
        let trials: Vec<&Trial> = known.chain(planned).collect();
        reporter.report(&Event::RunStarted { trials: trials.len(), shared: SharedAxes::of(trials) })?;
        let identities: Vec<_> = self.parts.iter().filter_map(|parts| parts.identity.clone()).collect();
        if !identities.is_empty() {
            reporter.report(&Event::Subjects(identities))?;
        }
        for finished in &self.finished {
            reporter.report(&Event::TrialFinished(Box::new(finished.clone())))?;
        }
        let start = Instant::now();
        let mut not_as_locked = Vec::new();
        for (number, Group { kernel, subject, tasks }) in self.groups.iter().enumerate() {
            if tasks.is_empty() {
                continue;
            }
            let (parts, scenarios) = (&self.parts[*subject], &self.settings.scenarios);
            let machines = self.session.machines(kernel, parts, scenarios, &number.to_string())?;
            let now = self.session.store().not_as_locked()?;
            if now != not_as_locked {
                reporter.report(&Event::NotAsLocked(now.clone()))?;
                not_as_locked = now;
            }
            self.run_tasks(teaching_first(tasks.clone()), machines, &mut reporter)?;
        }
        let interrupted = crate::process::interrupt::requested();
        let Settings { whole, share, expectations, .. } = &self.settings;
        let whole = *whole && share.is_all() && *expectations == ExpectationsSource::Project;
        reporter.end(&Event::RunFinished { seconds: start.elapsed().as_secs_f64(), interrupted }, whole)
    }

    /// Runs the tasks of one group; what was not begun when the run was stopped is reported as not
    /// run.
    fn run_tasks(
        &self,
        tasks: Vec<Task>,
        machines: Machines<'_>,
        reporter: &mut RunReporter<'_>,
    ) -> anyhow::Result<()> {
        let Settings { repeat, retries, thorough, probes, confirm, pack, fail_fast, .. } = self.settings;
        let (workers, trials) = (self.session.workers(tasks.len()), tasks.len());
        let policy = Policy {
            retries,
            thorough,
            probes,
            confirm: confirm.into(),
            repeat,
            // Every worker gets its part also where that makes smaller packs.
            pack: pack.min(trials.div_ceil(workers)),
            ..Policy::default()
        };
        let queue = Queue::new(tasks);
        let known = |trial: &_, criu: Option<&_>, judgement| self.expectations.apply(trial, criu, judgement);
        let pool = self.session.pool(machines, Box::new(known), policy);
        std::thread::scope(|scope| -> anyhow::Result<()> {
            let news = crate::run::start(scope, &pool, &queue, workers).context("starting a thread")?;
            loop {
                let news = match news.recv_timeout(TICK) {
                    Ok(news) => news,
                    Err(RecvTimeoutError::Timeout) => {
                        reporter.terminal.tick(Instant::now()).context("writing to the terminal")?;
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => return Ok(()),
                };
                match news {
                    News::Machine { reset } => reporter.report(&Event::MachineStarted { reset })?,
                    News::Started(task) => reporter.report(&Event::TrialStarted { trial: task.trial })?,
                    News::Over(over) => {
                        if reporter.over(*over)? && fail_fast {
                            pool.stop();
                        }
                    }
                }
            }
        })?;
        let interrupted = crate::process::interrupt::requested();
        let reason = if interrupted { "interrupted" } else { "after a failure, --fail-fast" };
        for task in queue.lock().drain(..) {
            reporter.over(Over::not_run(task, reason))?;
        }
        Ok(())
    }
}
