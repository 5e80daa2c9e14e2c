//! `shrink`: from a scenario that fails to a short one that fails in the same way.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use protocol::message::{Flavor, Lifecycle};
use scenarios::Scenario;

use super::saved_trial::{NamedTrial, SHRUNK, as_it_was, ask_for_the_host, named_trial};
use crate::args::{AxesArgs, MachineArgs};
use crate::judge::Trial;
use crate::plan::single;
use crate::shrink::{self, Settings};
use crate::subject::Subject;

/// Find a short program that fails in the same way as a scenario.
///
/// Leaves out steps and simplifies arguments as long as the kind of the failure, what differs first
/// and in which comparison stay the same. Candidates run in a warm VM, the result once more in a
/// fresh one.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  zdtm-detached shrink zdtm-results/deleted_unlinked-0a1b2c3d
  zdtm-detached shrink ./mine.scn --kernel 7.3 -o short.scn
  zdtm-detached shrink ./mine.scn --subject src:../criu --budget 60

Exit status: 0 a program that fails was written, 1 the scenario does not fail or the result is not confirmed, 2 wrong
usage, 3 infrastructure, 130 interrupted.")]
pub struct ShrinkArgs {
    /// A folder of artifacts, a scenario file, or a scenario's name
    pub what: String,
    /// What is tested [default: debian:trixie, or what it was]
    #[arg(long, value_name = "SUBJECT", env = "ZDTM_DETACHED_SUBJECT")]
    pub subject: Option<Subject>,
    /// Kernel, flavor, lifecycle, one of each
    #[command(flatten)]
    pub axes: AxesArgs,
    /// Try no longer than this
    #[arg(long, value_name = "SECONDS", default_value = "600")]
    pub budget: u64,
    /// Try no more programs than this
    #[arg(long, value_name = "N", default_value = "1000")]
    pub trials: usize,
    /// Where the short program goes [default: FILE.min.scn; in the folder of artifacts]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// What programs run on
    #[command(flatten)]
    pub machines: MachineArgs,
}

/// Shrinks; the exit status.
///
/// # Errors
/// A word that means no scenario, or what keeps programs from running.
pub fn run(args: &ShrinkArgs) -> anyhow::Result<u8> {
    let tree = args.machines.settings().store.tree()?;
    let NamedTrial { scenario, saved, folder } = named_trial(&args.what, &tree)?;
    let (mut subject, mut axes) = (Vec::from_iter(args.subject.clone()), args.axes.clone());
    let machines = &args.machines;
    if let Some(record) = &saved {
        ask_for_the_host(record, &axes, machines.backend)?;
        as_it_was(record, &mut subject, &mut axes, machines.backend)?;
    }
    let session = machines.session()?;
    let subject = single("--subject", &session.subjects(&subject, &[])?, None)?;
    session.check_backend(std::slice::from_ref(&subject))?;
    let axes = axes.axes();
    let trial = Trial {
        scenario: scenario.name.clone(),
        family: scenario.family.clone(),
        flavor: single("--flavor", &axes.flavor, Some(Flavor::Ns))?,
        lifecycle: single("--lifecycle", &axes.lifecycle, Some(Lifecycle::DumpRestore))?,
        kernel: single("--kernel", &session.kernels(&axes)?, None)?,
        subject: subject.to_string(),
    };
    let output = args.output.clone().unwrap_or_else(|| beside(&scenario, folder.as_deref()));
    let budget = Duration::from_secs(args.budget);
    shrink::run(&session, &Settings { scenario, trial, subject, budget, trials: args.trials, output })
}

/// `mine.scn` becomes `mine.min.scn`; a scenario of the catalogue goes to the working directory.
fn beside(scenario: &Scenario, folder: Option<&Path>) -> PathBuf {
    match (folder, &scenario.file) {
        (Some(folder), _) => folder.join(SHRUNK),
        (None, Some(file)) if scenario.family.is_empty() => file.with_extension("min.scn"),
        _ => PathBuf::from(format!("{}.min.scn", scenario.name.replace(['/', ',', '@'], "-"))),
    }
}
