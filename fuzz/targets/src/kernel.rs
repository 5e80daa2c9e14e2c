//! The model, the reference engine and this machine's own kernel: what the model predicts is what
//! is seen, what it refuses the kernel refuses with the same error, and what the reference engine
//! dumps it restores.

use anyhow::{Context as _, bail};
use clap::Parser;
use protocol::message::{Lifecycle, TrialReport};
use scenarios::Errno;
use scenarios::check::Checker;
use scenarios::model::{Model, Refusal};
use scenarios::program::Line;
use scenarios::{Program, Step};

use crate::warm::{self, Warm};
use harness::args::MachineArgs;
use harness::host;
use harness::judge::range::Version;
use harness::judge::{FailureKind, Judgement, Trial, Verdict};
use harness::machine::Backend;
use harness::oracle;
use harness::subject::Subject;

/// So many differences are shown.
const SHOWN: usize = 8;

/// Where images are; from the environment only.
#[derive(Parser)]
struct Surroundings {
    #[command(flatten)]
    machines: MachineArgs,
}

/// Starts the agent on this machine's own kernel, or ends the process and says what it lacks.
pub fn init() {
    warm::make(|| {
        if !host::is_root() {
            bail!("disks, device nodes and files of other users need root of the machine: run it as root");
        }
        let given = Surroundings::try_parse_from(["fuzz"]).context("reading ZDTM_DETACHED_* of the environment")?;
        if given.machines.backend != Backend::Host {
            bail!("programs run on this machine's own kernel: set ZDTM_DETACHED_BACKEND=host to allow that");
        }
        let session = given.machines.session()?;
        Warm::new(session, &Subject::Reference(None), host::kernel_name(), Box::new(known))
    });
}

/// A step that fails harms no machine, and what the engine refuses is not told a second time.
fn known(_: &Trial, _: Option<&Version>, judgement: Judgement) -> Judgement {
    let refused = judgement.verdict == Verdict::Fail(FailureKind::DumpFailed);
    let stopped = judgement.verdict == Verdict::Error && judgement.reason.starts_with("line ");
    let verdict = if refused || stopped { Verdict::Unsupported } else { judgement.verdict };
    Judgement { verdict, ..judgement }
}

/// The bytes are a program ([`scenarios::fuzz::scenario`]): its steps up to the first that the
/// kernel refuses.
///
/// # Panics
/// When the model and the kernel, or before and after, are not one. [`init`] was not called.
pub fn model_and_kernel(data: &[u8]) {
    let Some(scenario) = scenarios::fuzz::scenario(data) else { return };
    let (program, model, refused) = carried(&scenario.program);
    let lifecycle = refused.map(|_| Lifecycle::LeaveRunning);
    let over = warm::with(|warm| warm.run(&program, lifecycle, None));
    let judgement = &over.judgement;
    let Some(report) = &over.report else {
        match judgement.verdict {
            // A filesystem that this machine does not have.
            Verdict::Unsupported | Verdict::NotRun => return,
            _ => warm::finding(&program, &judgement.reason),
        }
    };
    if report.setup_failure.as_ref().is_some_and(|failure| failure.missing.is_some()) {
        return;
    }
    let differences = match refused {
        Some(errno) => refusal(&program, errno, report),
        None => prediction(&model, report),
    };
    if !differences.is_empty() {
        warm::finding(&program, &differences.join("\n"));
    }
    let fine = matches!(judgement.verdict, Verdict::Pass | Verdict::Unsupported | Verdict::NotRun);
    if refused.is_none() && !fine {
        let seen: Vec<String> = judgement.differences.iter().take(SHOWN).map(|seen| format!("{seen:?}")).collect();
        warm::finding(&program, &format!("{}: {}\n{}", judgement.verdict, judgement.reason, seen.join("\n")));
    }
}

/// The steps that checker and model take, up to and with the first that the kernel must refuse, and
/// its error. Steps of which the model does not know what they do are left out.
fn carried(program: &Program) -> (Program, Model, Option<Errno>) {
    let (mut checker, mut model) = (Checker::new(), Model::new());
    let mut steps: Vec<Line> = Vec::new();
    for Line { step, .. } in &program.steps {
        let (mut next, mut after) = (checker.clone(), model.clone());
        if matches!(step, Step::Assert { .. }) || !next.step(step).is_empty() {
            continue;
        }
        let refused = match after.step(step) {
            Ok(()) => None,
            Err(Refusal::Errno(errno)) => Some(errno),
            Err(Refusal::Fails(_) | Refusal::Unknown(_)) => continue,
        };
        steps.push(Line { number: steps.len() + 1, step: step.clone() });
        if refused.is_some() {
            return (Program::of(steps), model, refused);
        }
        (checker, model) = (next, after);
    }
    (Program::of(steps), model, None)
}

fn refusal(program: &Program, errno: Errno, report: &TrialReport) -> Vec<String> {
    let last = program.steps.len();
    match &report.setup_failure {
        Some(failure) if failure.line == last && failure.errno == Some(errno) => Vec::new(),
        Some(failure) => {
            vec![format!(
                "the model says {errno} in line {last}, the kernel in line {}: {}",
                failure.line, failure.what
            )]
        }
        None => vec![format!("the model says {errno} in line {last}, the kernel takes all")],
    }
}

fn prediction(model: &Model, report: &TrialReport) -> Vec<String> {
    match (&report.setup_failure, &report.before) {
        (Some(failure), _) => {
            vec![format!("the model takes all, the kernel not line {}: {}", failure.line, failure.what)]
        }
        (None, Some(before)) => oracle::compare(&model.predict(), before).differences.into_iter().take(SHOWN).collect(),
        (None, None) => vec!["the agent saw nothing".to_owned()],
    }
}
