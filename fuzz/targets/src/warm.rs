//! The one machine of a fuzz target's process: made before the first input, kept from input to
//! input, gone with the process.
//!
//! libFuzzer calls the target in the main thread and ends it with exit(3), which drops what that
//! thread has. A finding ends it by abort(3), which drops nothing: so [`finding`] ends the machine
//! first.

use std::cell::RefCell;

use anyhow::Context as _;
use protocol::message::{Engine, Flavor, Lifecycle};
use scenarios::{Program, Scenario};

use harness::judge::Trial;
use harness::run::{Known, Over, Policy, Task, Worker};
use harness::session::Session;
use harness::subject::Subject;

thread_local! {
    static WARM: RefCell<Option<Warm>> = const { RefCell::new(None) };
}

/// What runs the programs.
pub(crate) struct Warm {
    worker: Worker<'static>,
    trial: Trial,
    engine: Engine,
    // After the worker: its machine has files there.
    _session: Session,
}

impl Warm {
    /// Makes what the subject needs and boots the machine.
    ///
    /// # Errors
    /// What it lacks.
    pub(crate) fn new(
        session: Session,
        subject: &Subject,
        kernel: String,
        known: Known<'static>,
    ) -> anyhow::Result<Self> {
        session.check_backend(std::slice::from_ref(subject))?;
        let parts = subject.prepare(session.store())?;
        // Programs of every filesystem may come up.
        let machines = session.machines(&kernel, &parts, &session.catalogue()?, "target")?;
        let pool = session.pool(machines, known, Policy { retries: 1, ..Policy::default() });
        let worker = Worker::new(0, &pool);
        let trial = Trial {
            scenario: "fuzz/input".to_owned(),
            family: "fuzz".to_owned(),
            flavor: Flavor::Ns,
            lifecycle: Lifecycle::DumpRestore,
            kernel,
            subject: subject.to_string(),
        };
        let engine = subject.engine(harness::subject::ReferenceOptions::default());
        let mut warm = Self { worker, trial, engine, _session: session };
        let over = warm.run(&Program::default(), None, None);
        over.report.with_context(|| format!("the machine runs nothing: {}", over.judgement.reason))?;
        Ok(warm)
    }

    /// Runs a program, with another lifecycle or by another engine where one is given.
    pub(crate) fn run(&mut self, program: &Program, lifecycle: Option<Lifecycle>, engine: Option<Engine>) -> Over {
        let scenario = Scenario::generated(self.trial.scenario.clone(), program.clone());
        let lifecycle = lifecycle.unwrap_or(self.trial.lifecycle);
        let trial = Trial { lifecycle, ..self.trial.clone() };
        let task = Task { trial, scenario, engine: engine.unwrap_or_else(|| self.engine.clone()) };
        let mut last = None;
        self.worker.run_all(vec![task], &mut |over| last = Some(over));
        last.expect("a worker tells what became of its task")
    }
}

/// Makes the machine, or ends the process and says what it lacks.
pub(crate) fn make(warm: impl FnOnce() -> anyhow::Result<Warm>) {
    match warm() {
        Ok(warm) => WARM.with(|place| *place.borrow_mut() = Some(warm)),
        Err(error) => {
            eprintln!("this target cannot run here: {error:#}");
            std::process::exit(3);
        }
    }
}

/// Does something with the machine.
///
/// # Panics
/// Before [`make`].
pub(crate) fn with<T>(does: impl FnOnce(&mut Warm) -> T) -> T {
    WARM.with(|place| does(place.borrow_mut().as_mut().expect("the target's `init` made it")))
}

/// Ends the machine and panics: libFuzzer counts a panic as a crash.
pub(crate) fn finding(program: &Program, what: &str) -> ! {
    drop(WARM.with(RefCell::take));
    panic!("{what}\n---\n{}---", scenarios::text::print_program(program));
}
