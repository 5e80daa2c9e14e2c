//! `soak`: the same trials for a long time.

use std::io;

use clap::Args;

use crate::args::MachineArgs;
use crate::exit;
use crate::soak::{self, Format, Settings};
use crate::subject::Subject;

/// Run the same trials over and over: is one flaky, does anything grow?
///
/// The trials go through the pool that every run uses, each several times, without retries. A
/// flake is a trial that does not always get the same verdict. Memory, descriptors, processes and
/// trials a second are taken in the first and in the last tenth.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  zdtm-detached soak --trials 10000 --subject reference
  zdtm-detached soak --trials 10000 --subject reference --backend host --format json
  zdtm-detached soak '*/control*' --trials 2000 --subject debian:trixie

Exit status: 0 no flakes, no errors and nothing grew, 1 otherwise, 3 infrastructure, 130 interrupted.")]
pub struct SoakArgs {
    /// Scenarios [default: those of the whole catalogue, evenly taken, a quarter as many as trials]
    pub scenario: Vec<String>,
    /// How many trials
    #[arg(long, value_name = "N", default_value = "10000", value_parser = clap::value_parser!(u32).range(1..))]
    pub trials: u32,
    /// What is tested [default: debian:trixie]
    #[arg(long, value_name = "SUBJECT", env = "ZDTM_DETACHED_SUBJECT")]
    pub subject: Option<Subject>,
    /// Kernel of the manifest, for VMs [default: 6.12]
    #[arg(long, value_name = "KERNEL", env = "ZDTM_DETACHED_KERNEL")]
    pub kernel: Option<String>,
    /// For people or for programs
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
    /// What trials run on
    #[command(flatten)]
    pub machines: MachineArgs,
}

/// Runs; the exit status.
///
/// # Errors
/// What keeps any trial from running.
pub fn run(args: &SoakArgs) -> anyhow::Result<u8> {
    let SoakArgs { scenario, trials, subject, kernel, .. } = args.clone();
    let settings = Settings { scenarios: scenario, subject, kernel, trials: usize::try_from(trials)? };
    let record = soak::run(&args.machines.session()?, &settings)?;
    soak::write(args.format, &record, &mut io::stdout())?;
    Ok(match () {
        () if crate::process::interrupt::requested() => exit::INTERRUPTED,
        () if record.is_good() => exit::AS_EXPECTED,
        () => exit::FAILED,
    })
}
