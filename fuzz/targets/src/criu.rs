//! Programs against criu in a VM that stays warm: what `zdtm-detached fuzz` does, one program at a
//! time, for those who want libFuzzer, its `-fork` mode or ClusterFuzz to drive.
//!
//! The environment says what is tested: `ZDTM_DETACHED_SUBJECT`, `ZDTM_DETACHED_KERNEL` and all
//! else that `fuzz --help` names.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::Context as _;
use clap::Parser;
use protocol::message::{DetachMethod, Engine};
use scenarios::generate::{self, Limits, Without};
use scenarios::model::Model;
use scenarios::{Program, Step};

use crate::warm::{self, Warm};
use harness::args::{AxesArgs, MachineArgs};
use harness::fuzz::buckets;
use harness::judge::Signature;
use harness::judge::range::Version;
use harness::judge::{FailureKind, Judgement, Trial, Verdict};
use harness::plan;
use harness::run::Over;
use harness::session::ExpectationsSource;
use harness::subject::{self, Subject};
use harness::usage::Usage;

/// What is tested, on what; from the environment only.
#[derive(Parser)]
struct Surroundings {
    #[arg(long, default_value = subject::DEBIAN, env = "ZDTM_DETACHED_SUBJECT")]
    subject: Subject,
    /// Only programs with nothing on detached mounts: lazy unmounts are left out
    #[arg(long, env = "ZDTM_DETACHED_CONTROLS")]
    controls: bool,
    /// Steps, filesystems and `odd-names` that no program has, with commas in between
    #[arg(long, default_value = "", env = "ZDTM_DETACHED_WITHOUT")]
    without: Without,
    /// Findings that are known, a signature on each line
    #[arg(long, env = "ZDTM_DETACHED_KNOWN")]
    known: Option<PathBuf>,
    #[command(flatten)]
    axes: AxesArgs,
    #[command(flatten)]
    machines: MachineArgs,
}

/// What the target must know besides its machine.
struct Wanted {
    controls: bool,
    limits: Limits,
    known: BTreeSet<Signature>,
}

static WANTED: OnceLock<Wanted> = OnceLock::new();

/// Makes the images and boots the VM, or ends the process and says what it lacks.
pub fn init() {
    warm::make(|| {
        let given = Surroundings::try_parse_from(["fuzz"]).context("reading ZDTM_DETACHED_* of the environment")?;
        let session = given.machines.session()?;
        let subjects = session.subjects(std::slice::from_ref(&given.subject), &[])?;
        let kernel = plan::single("ZDTM_DETACHED_KERNEL", &session.kernels(&given.axes.axes())?, None)?;
        let expectations = session.expectations(&ExpectationsSource::Project)?;
        let known = match &given.known {
            Some(file) => buckets::known(file).map_err(|error| Usage(format!("{}: {error}", file.display())))?,
            None => BTreeSet::new(),
        };
        let expected = move |trial: &Trial, criu: Option<&Version>, judgement: Judgement| {
            expectations.apply_anywhere(trial, criu, judgement)
        };
        let warm = Warm::new(session, &subjects[0], kernel, Box::new(expected))?;
        let limits = Limits { detaches: !given.controls, without: given.without, ..Limits::default() };
        WANTED.get_or_init(|| Wanted { controls: given.controls, limits, known });
        Ok(warm)
    });
}

/// The bytes are a program ([`scenarios::fuzz::scenario`]), of which the steps are run that the
/// model takes. One that perhaps cannot be restored is skipped.
///
/// # Panics
/// Before and after are not one, or the dump or the restore fails; [`init`] was not called.
pub fn criu(data: &[u8]) {
    let Some(scenario) = scenarios::fuzz::scenario(data) else { return };
    let wanted = WANTED.get().expect("the target's `init` set it");
    let program = if wanted.controls { without_lazy_unmounts(&scenario.program) } else { scenario.program };
    let program = generate::repair_within(&program, &wanted.limits);
    let Ok(model) = Model::run(&program) else { return };
    if !model.is_restorable() || (wanted.controls && model.survey().has_detached) {
        return;
    }
    let over = warm::with(|warm| warm.run(&program, None, None));
    if let Some(what) = complaint(&over, &program, wanted) {
        warm::finding(&program, &what);
    }
}

fn without_lazy_unmounts(program: &Program) -> Program {
    let mut program = program.clone();
    program.steps.retain(|line| !matches!(line.step, Step::Unmount { lazy: true, .. }));
    program
}

/// What to report of a program that did not pass, if anything.
fn complaint(over: &Over, program: &Program, wanted: &Wanted) -> Option<String> {
    let judgement = &over.judgement;
    if matches!(judgement.verdict, Verdict::Pass | Verdict::Xfail(_) | Verdict::Unsupported | Verdict::NotRun) {
        return None;
    }
    let signature = Signature::of(judgement);
    if wanted.known.contains(&signature) {
        return None;
    }
    if judgement.verdict == Verdict::Fail(FailureKind::DumpFailed) {
        let engine = Engine::Reference { fault: None, without_statmount: false, way: DetachMethod::Tree };
        let reference = warm::with(|warm| warm.run(program, None, Some(engine)));
        if reference.judgement.verdict == judgement.verdict {
            return None;
        }
    }
    Some(format!("{signature}\n{}: {}\n{}", judgement.verdict, judgement.reason, judgement.quotes.join("\n")))
}
