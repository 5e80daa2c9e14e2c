//! From a scenario that fails to a short one that fails in the same way. What is proposed is the
//! business of `scenarios::shrink`; here each proposal is run.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use arbitrary::Unstructured;
use protocol::message::Engine;
use scenarios::check::Checker;
use scenarios::program::Line;
use scenarios::shrink::shrink;
use scenarios::{Program, Scenario, Step, generate, text};

use crate::compare::failure;
use crate::exit;
use crate::fuzz::KnownFailures;
use crate::fuzz::shrink::steps;
use crate::judge::{Expectations, Signature, Trial};
use crate::notices::{print, say};
use crate::report::epilogue::{plain, quoted};
use crate::run::{Machines, Over, Policy, Task, Worker};
use crate::session::{ExpectationsSource, Session};
use crate::subject::{ReferenceOptions, Subject};

/// How often assertions that do not hold are dropped before it is given up.
const ASSERTION_ROUNDS: usize = 3;

/// What is shrunk, and for how long.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The scenario that fails.
    pub scenario: Scenario,
    /// In this trial.
    pub trial: Trial,
    /// Of this subject.
    pub subject: Subject,
    /// No longer than this.
    pub budget: Duration,
    /// No more programs than this.
    pub trials: usize,
    /// Where the short program goes.
    pub output: PathBuf,
}

/// Shrinks; the exit status.
///
/// # Errors
/// What keeps programs from running.
pub fn run(session: &Session, settings: &Settings) -> anyhow::Result<u8> {
    let Settings { scenario, trial, subject, .. } = settings;
    let expectations = session.expectations(&ExpectationsSource::Project)?;
    let parts = subject.prepare(session.store())?;
    let machines = session.machines(&trial.kernel, &parts, std::slice::from_ref(scenario), "shrink")?;
    let rig = Rig {
        session,
        settings,
        expectations: &expectations,
        machines,
        engine: subject.engine(ReferenceOptions::default()),
        trial,
        scenario,
        known_failures: KnownFailures::default(),
    };
    rig.shrink()
}

/// What candidates are run with.
struct Rig<'a> {
    session: &'a Session,
    settings: &'a Settings,
    expectations: &'a Expectations,
    machines: Machines<'a>,
    engine: Engine,
    trial: &'a Trial,
    scenario: &'a Scenario,
    known_failures: KnownFailures,
}

impl Rig<'_> {
    fn shrink(&self) -> anyhow::Result<u8> {
        let start = Instant::now();
        let output = &self.settings.output;
        let program = &self.scenario.program;
        let (found, wanted, tried) = match self.with_worker(|run| self.look(run, start)) {
            Ok(found) => found,
            Err(status) => return Ok(status),
        };
        let (before, after) = (steps(program), steps(&found));
        // The one worker is gone, and its machine with it: the next one is as new.
        let asserted = self.with_worker(|run| self.asserted(run, &found, &wanted));
        // A program needs one to run.
        let asserted_program = asserted.clone().unwrap_or_else(|| with_assertions(program, &found));
        let mut short = self.scenario_of(asserted_program);
        short.summary = format!("{wanted}: shrunk from {}", self.scenario.name);
        let text = text::print_scenario(&short);
        std::fs::write(output, &text).with_context(|| format!("writing the program to {}", output.display()))?;
        let seconds = start.elapsed().as_secs_f64();
        let file = plain(&output.display().to_string());
        print(&format!(
            "{before} -> {after} steps, {tried} programs, {seconds:.0} s: {file}\n\n{}\nreplay: {}\n",
            plain_lines(&text),
            plain(&self.command(output))
        ))?;
        match asserted {
            Some(_) => say(&format!("confirmed in a fresh machine: {wanted}")),
            None => say(&format!("not confirmed in a fresh machine, where it must show: {wanted}")),
        }
        Ok(match () {
            () if crate::process::interrupt::requested() => exit::INTERRUPTED,
            () if asserted.is_some() => exit::AS_EXPECTED,
            () => exit::FAILED,
        })
    }

    /// Runs the scenario as it is, then smaller ones, as long as the budget lasts: the smallest,
    /// what it shows, and how many were run. Or the exit status where there is nothing to shrink.
    fn look(
        &self,
        run: &mut dyn FnMut(&Program) -> Option<Over>,
        start: Instant,
    ) -> Result<(Program, Signature, usize), u8> {
        let first = run(&self.scenario.program);
        let Some((wanted, judgement)) = first.and_then(|over| Some((failure(&over.judgement)?, over.judgement))) else {
            let interrupted = crate::process::interrupt::requested();
            say(&format!("{} does not fail here: there is nothing to shrink", self.trial));
            return Err(if interrupted { 130 } else { 1 });
        };
        say(&format!("{}: {}", judgement.verdict, plain(&judgement.reason)));
        self.known_failures.add(&wanted);
        let until = start + self.settings.budget;
        let may_try =
            |tried| tried < self.settings.trials && Instant::now() < until && !crate::process::interrupt::requested();
        let (mut tried, mut before) = (0, steps(&self.scenario.program));
        let shrunk = shrink(&self.scenario.program, may_try, |candidate| {
            tried += 1;
            let shows_it = run(candidate).is_some_and(|over| failure(&over.judgement).as_ref() == Some(&wanted));
            if shows_it {
                let (after, seconds) = (steps(candidate), start.elapsed().as_secs_f64());
                let what = match after < before {
                    true => format!("{before} -> {after} steps"),
                    false => format!("{after} steps, simpler"),
                };
                // The end says the same, or why it cannot.
                let _ = print(&format!("{what}  (program {tried}, {seconds:.0} s)\n"));
                before = after;
            }
            shows_it
        });
        Ok((shrunk.program, wanted, shrunk.tried))
    }

    /// The program with assertions that hold: of the scenario's own those that are left, and what
    /// the model predicts. `None` where it no longer shows the failure.
    fn asserted(
        &self,
        run: &mut dyn FnMut(&Program) -> Option<Over>,
        program: &Program,
        wanted: &Signature,
    ) -> Option<Program> {
        let mut asserted = with_assertions(&self.scenario.program, program);
        for _ in 0..ASSERTION_ROUNDS {
            let over = run(&asserted)?;
            let failed: Vec<usize> = match &over.report {
                Some(report) => report.failed_assertions.iter().map(|claim| claim.line).collect(),
                None => return None,
            };
            if failed.is_empty() {
                return (failure(&over.judgement).as_ref() == Some(wanted)).then_some(asserted);
            }
            asserted.steps.retain(|line| !failed.contains(&line.number));
            asserted = numbered(asserted);
        }
        None
    }

    /// A worker with a machine of its own for as long as `work` lasts. It is given a way to run a
    /// program once.
    fn with_worker<T>(&self, work: impl FnOnce(&mut dyn FnMut(&Program) -> Option<Over>) -> T) -> T {
        let pool = self.session.pool(
            Arc::clone(&self.machines),
            // The wanted failure is expected: the machine may serve the next candidate.
            Box::new(|trial, criu, judgement| {
                self.known_failures.expect(self.expectations.apply_anywhere(trial, criu, judgement))
            }),
            Policy::default(),
        );
        let mut worker = Worker::new(0, &pool);
        work(&mut |program| {
            let scenario = self.scenario_of(program.clone());
            let task = Task { trial: self.trial.clone(), scenario, engine: self.engine.clone() };
            let mut result = None;
            worker.run_all(vec![task], &mut |over| result = Some(over));
            result
        })
    }

    /// The scenario with another program, whose axes are filled in.
    fn scenario_of(&self, program: Program) -> Scenario {
        let mut scenario = Scenario { program, ..self.scenario.clone() };
        scenario.requires.axes.clear();
        scenario
    }

    fn command(&self, output: &Path) -> String {
        let Trial { flavor, lifecycle, kernel, subject, .. } = self.trial;
        let machine = match kernel.strip_prefix(crate::host::KERNEL_PREFIX) {
            Some(_) => "--backend host".to_owned(),
            None => format!("--kernel {}", quoted(kernel)),
        };
        let flavor = flavor.word();
        let file = match output.is_absolute() || output.starts_with(".") {
            true => output.to_owned(),
            false => Path::new(".").join(output),
        };
        format!(
            "zdtm-detached run {} --flavor {flavor} --lifecycle {lifecycle} {machine} --subject {}",
            quoted(&file.display().to_string()),
            quoted(subject)
        )
    }
}

/// A program with the assertions of a longer one that it can have, and those of the model.
fn with_assertions(longer: &Program, program: &Program) -> Program {
    let mut checker = Checker::new();
    for line in &program.steps {
        checker.step(&line.step);
    }
    let predicted =
        generate::assert(&mut Unstructured::new(&[0; 4096]), program, &generate::Limits::default()).unwrap_or_default();
    let mut asserted = program.clone();
    for line in longer.steps.iter().chain(&predicted.steps) {
        let is_new = asserted.steps.iter().all(|other| other.step != line.step);
        let mut next = checker.clone();
        if matches!(line.step, Step::Assert { .. }) && is_new && next.step(&line.step).is_empty() {
            checker = next;
            asserted.steps.push(line.clone());
        }
    }
    numbered(asserted)
}

/// Each step on a line of its own: the line number names the step that failed.
fn numbered(program: Program) -> Program {
    let line = |(index, line): (usize, Line)| Line { number: index + 1, ..line };
    Program { steps: program.steps.into_iter().enumerate().map(line).collect(), ..program }
}

fn plain_lines(text: &str) -> String {
    text.lines().map(|line| format!("  {}\n", plain(line))).collect()
}
