//! CRIU's own test suite beside the harness: the same scenarios, exported as tests of zdtm and run
//! by the tree's own `zdtm.py` in a VM, and as trials of the harness, with the same criu.
//!
//! First a control, an ordinary file, goes through `zdtm.py`. Where it does not pass, nothing that
//! `zdtm.py` says of other tests counts.
//!
//! - [`guest`]: the VM that `zdtm.py` runs in
//! - [`said`]: what `zdtm.py` says of a test
//! - [`seen`]: a trial's verdict, by what a test of zdtm compares
//! - [`agreement`]: the rows, the table, the document
//!
//! How the tests are built and what the VM has is in `subject/criu/zdtm.rs` and `image/zdtm.rs`.

pub mod agreement;
pub mod guest;
pub mod said;
pub mod seen;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use protocol::message::{Flavor, Lifecycle};
use scenarios::Scenario;

use crate::export::{ZdtmTest, zdtm_test};
use crate::judge::Verdict;
use crate::plan::Axes;
use crate::run::{BOOT_TIME_LIMIT, Policy, Task, Worker};
use crate::session::Session;
use crate::subject::criu::Sources;
use crate::subject::{Parts, ReferenceOptions, Subject};
use crate::vm::VmSpec;
use agreement::{Control, Harness, Row, Unexpressed, Zdtm};
use guest::{Guest, Limits};
use said::Word;

/// What must pass first: an ordinary file.
pub const CONTROL: &str = "deleted/control@tmpfs";

/// Memory of the VM: its userland and its tests are in memory twice while it boots.
const MEMORY_MIB: u32 = 1536;

/// How long one test may take under KVM; other accelerators scale it. `zdtm.py` itself takes
/// seconds.
const TEST_TIME_LIMIT: Duration = Duration::from_secs(75);

/// How long `zdtm.py` waits for a test to start or to end, in seconds: its default is meant for a
/// machine with KVM.
const PATIENCE: &str = "'timeout': '300', ";

/// What is tested, and on what.
pub struct Settings<'a> {
    /// The sources, and the same as a subject.
    pub sources: (&'a Sources, &'a Subject),
    /// The kernel's name.
    pub kernel: &'a str,
}

/// Scenarios as tests, and those that are none.
pub struct Exported {
    /// Each with its test.
    pub tests: Vec<(Scenario, ZdtmTest)>,
    /// Why the others are none.
    pub unexpressed: Vec<Unexpressed>,
}

impl Exported {
    /// Exports scenarios. A test that needs the namespaces of its caller is left out: the VM's root
    /// is one that criu cannot dump.
    pub fn of(scenarios: &[Scenario]) -> Self {
        let mut exported = Self { tests: Vec::new(), unexpressed: Vec::new() };
        for scenario in scenarios {
            let why = match zdtm_test(scenario, &[]) {
                Ok(test) if test.description.contains("'flavor': 'ns'") => {
                    exported.tests.push((scenario.clone(), patient(test)));
                    continue;
                }
                Ok(_) => "it needs the flavor h of zdtm".to_owned(),
                Err(refusal) => refusal.to_string(),
            };
            exported.unexpressed.push(Unexpressed { scenario: scenario.name.clone(), why });
        }
        exported
    }
}

/// The test with more time.
fn patient(test: ZdtmTest) -> ZdtmTest {
    ZdtmTest { description: test.description.replacen('{', &format!("{{{PATIENCE}"), 1), ..test }
}

/// Both sides, ready.
pub struct Sides<'a> {
    settings: &'a Settings<'a>,
    spec: VmSpec,
    limits: Limits,
    guest: Option<Guest>,
    worker: Worker<'a>,
}

impl<'a> Sides<'a> {
    /// Builds criu, the test suite and the images.
    ///
    /// # Errors
    /// One of them cannot be had.
    pub fn prepare(
        session: &'a Session,
        settings: &'a Settings<'a>,
        control: &ZdtmTest,
        exported: &Exported,
    ) -> anyhow::Result<Self> {
        let (sources, subject) = settings.sources;
        let mut tests: Vec<ZdtmTest> = exported.tests.iter().map(|(_, test)| test.clone()).collect();
        if !tests.iter().any(|test| test.name == control.name) {
            tests.push(control.clone());
        }
        let store = session.store();
        let parts = subject.prepare(store)?;
        let segment = store.zdtm_tests(sources, &tests)?;
        let machines = session.vms(settings.kernel, &parts, "trials")?;
        let mut spec = session.vm(settings.kernel, &Parts { tools: true, ..parts })?;
        spec.initramfs = store.with_zdtm(&spec.initramfs, &segment)?;
        spec.memory_mib = MEMORY_MIB;
        spec.directory = session.folder()?.join("zdtm");
        let scale = spec.accelerator.timeout_scale() * session.settings().timeout_scale;
        let limits = Limits { boot: BOOT_TIME_LIMIT.mul_f64(scale), test: TEST_TIME_LIMIT.mul_f64(scale) };
        let policy = Policy { probes: false, ..Policy::default() };
        let pool = session.pool(machines, Box::new(|_, _, judgement| judgement), policy);
        Ok(Self { settings, spec, limits, guest: None, worker: Worker::new(0, &pool) })
    }

    /// The control, by both: the trial warms its VM up.
    ///
    /// # Errors
    /// Those of [`Sides::compare`].
    pub fn control(&mut self, scenario: &Scenario, test: &ZdtmTest) -> anyhow::Result<Control> {
        self.harness(scenario)?;
        Ok(Control { scenario: scenario.name.clone(), zdtm: self.zdtm(test)? })
    }

    /// One scenario, by both.
    ///
    /// # Errors
    /// A VM does not come up, or the user wants it to end.
    pub fn compare(&mut self, scenario: &Scenario, test: &ZdtmTest) -> anyhow::Result<Row> {
        let harness = self.harness(scenario)?;
        let zdtm = self.zdtm(test)?;
        Ok(Row { scenario: scenario.name.clone(), test: test.name.clone(), harness, zdtm })
    }

    /// The trial.
    fn harness(&mut self, scenario: &Scenario) -> anyhow::Result<Harness> {
        let (_, subject) = self.settings.sources;
        let axes = Axes { flavor: vec![Flavor::Ns], lifecycle: vec![Lifecycle::DumpRestore], ..Axes::default() };
        let options = ReferenceOptions::default();
        let mut tasks = axes.tasks(self.settings.kernel, subject, options, std::slice::from_ref(scenario));
        let task: Task = tasks.pop().context("a scenario has a trial")?;
        let begin = Instant::now();
        let over = self.worker.try_out(task);
        if crate::process::interrupt::requested() || over.judgement.verdict == Verdict::NotRun {
            anyhow::bail!("interrupted");
        }
        Ok(Harness::of(&over.judgement, begin.elapsed().as_secs_f64()))
    }

    /// The test. Where nothing is known of it, what other tests left in the VM may be the reason:
    /// it runs again in a new one.
    fn zdtm(&mut self, test: &ZdtmTest) -> anyhow::Result<Zdtm> {
        let is_used = self.guest.is_some();
        let mut zdtm = self.zdtm_once(test)?;
        if zdtm.word == Word::Unknown && is_used {
            self.guest = None;
            let first = zdtm.text;
            zdtm = Zdtm { first: Some(first), ..self.zdtm_once(test)? };
        }
        if zdtm.word == Word::Unknown {
            self.guest = None;
        }
        Ok(zdtm)
    }

    fn zdtm_once(&mut self, test: &ZdtmTest) -> anyhow::Result<Zdtm> {
        let mut guest = match self.guest.take() {
            Some(guest) => guest,
            None => Guest::boot(&self.spec, &self.limits).context("the VM for zdtm.py")?,
        };
        let begin = Instant::now();
        match guest.run(&test.name) {
            Ok((status, text)) => {
                self.guest = Some(guest);
                Ok(Zdtm::of(&test.name, status, &text, begin.elapsed().as_secs_f64()))
            }
            Err(error) if error.is_interrupt() => Err(error.into()),
            Err(error) => Ok(Zdtm {
                word: Word::Unknown,
                text: error.to_string(),
                first: None,
                log: guest.heard(),
                seconds: begin.elapsed().as_secs_f64(),
            }),
        }
    }

    /// The version of criu that both run.
    pub fn criu(&self) -> &str {
        self.spec.criu.as_ref().map_or("", |criu| criu.version.as_str())
    }
}
