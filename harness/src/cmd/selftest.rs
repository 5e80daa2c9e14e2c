//! `selftest`: proves that the judge catches mistakes.

use std::io;

use clap::Args;
use protocol::Fault;

use crate::args::StoreArgs;
use crate::exit;
use crate::machine::Backend;
use crate::selftest::{self, Format, Settings, planted};
use crate::session::{self, Session};
use crate::vm::AcceleratorChoice;

/// Prove that the judge catches mistakes: the reference engine with every known fault.
///
/// The reference engine restores without CRIU. Here it gets one mistake after the other built in,
/// and in each case a scenario has to fail with the kind that the mistake declares. Without a
/// mistake everything has to pass. Then it lacks one thing after the other: what needs it has to
/// fail, nothing else, and what the failures have in common has to be its name.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  zdtm-detached selftest                               every fault, the engine without one, every lack
  zdtm-detached selftest --backend host                the same without VMs, in minutes
  zdtm-detached selftest undeleted ghost-left --all    two faults, with every scenario that catches them
  zdtm-detached selftest lacks:subdir lacks:deleted    two things that the engine has not learnt
  zdtm-detached selftest --fuzz                        campaigns that know no scenario: does each find its fault?

Exit status: 0 all caught and named, 1 a fault survived, a lack was not named, or the engine without one failed, 3 infrastructure, 130 interrupted.")]
pub struct SelftestArgs {
    /// Faults to try, and lacks as lacks:WORD; all, and the engine without one, when none is given
    pub fault: Vec<Fault>,
    /// On what: vm, or host for namespaces on this machine's own kernel, which is much faster
    #[arg(long, value_name = "BACKEND", default_value = "vm", env = "ZDTM_DETACHED_BACKEND")]
    pub backend: Backend,
    /// Kernel of the manifest, for VMs [default: 6.12]
    #[arg(long, value_name = "KERNEL", env = "ZDTM_DETACHED_KERNEL")]
    pub kernel: Option<String>,
    /// Run every fault against the whole catalogue, not only until something catches it, and every
    /// lack against all of it, not only one of the scenarios that need the same
    #[arg(long)]
    pub all: bool,
    /// Tell of each comparison of the judge which faults only it catches, by the scenarios that are
    /// likely to catch them (by all of them with --all)
    #[arg(long)]
    pub comparisons: bool,
    /// Let a campaign look for each fault, without the catalogue, for a minute at most: how long it
    /// took, how many steps the program has that shows it
    #[arg(long, conflicts_with_all = ["all", "comparisons", "without_statmount"])]
    pub fuzz: bool,
    /// Do without statmount(STATMOUNT_BY_FD) where the kernel has it
    #[arg(long)]
    pub without_statmount: bool,
    /// For people or for programs
    #[arg(long, default_value = "human")]
    pub format: Format,
    /// Machines that run at the same time [default: a VM for each core, or two agents]
    #[arg(short = 'j', value_name = "N", env = "ZDTM_DETACHED_JOBS")]
    pub jobs: Option<usize>,
    /// Images and where they come from
    #[command(flatten)]
    pub store: StoreArgs,
}

/// Runs; the exit status.
///
/// # Errors
/// What keeps any trial from running.
pub fn run(args: &SelftestArgs) -> anyhow::Result<u8> {
    let SelftestArgs { fault, kernel, all, comparisons, without_statmount, .. } = args.clone();
    let settings = Settings { fault, kernel, all, comparisons, without_statmount };
    if args.fuzz {
        return planted::run(&settings, &machines(args), args.format);
    }
    let record = selftest::run(&Session::open(machines(args))?, &settings)?;
    selftest::write(args.format, &record, &mut io::stdout())?;
    Ok(match () {
        () if crate::process::interrupt::requested() => exit::INTERRUPTED,
        () if record.is_good() => exit::AS_EXPECTED,
        () => exit::FAILED,
    })
}

fn machines(args: &SelftestArgs) -> session::Settings {
    session::Settings {
        backend: args.backend,
        jobs: args.jobs,
        accelerator: AcceleratorChoice::default(),
        cold: false,
        qemu: None,
        timeout_scale: 1.0,
        store: args.store.settings(),
    }
}
