//! `bench`: this rig's own figures.

use std::io;
use std::path::PathBuf;

use clap::Args;

use crate::args::MachineArgs;
use crate::bench::{Bench, Format, Settings, write};
use crate::machine::Backend;
use crate::usage::Usage;

/// Measure this rig: VMs, trials, and what they cost more than bare dumps and restores.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
A ratio has `x` for its unit and says of what. Absolute times hold for this machine as busy as it is now.

Examples:
  zdtm-detached bench
  zdtm-detached bench --failing --criu ../criu     what failures cost, and a changed line of criu
  zdtm-detached bench --format json --long")]
pub struct BenchArgs {
    /// How the figures are written
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
    /// Kernel of the manifest [default: 6.12]
    #[arg(long, value_name = "KERNEL")]
    pub kernel: Option<String>,
    /// Trials for each median
    #[arg(long, value_name = "N", default_value = "11", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub trials: u32,
    /// Only how many programs a second go through packs
    #[arg(long)]
    pub packed: bool,
    /// Only what failures cost: trials a second where each restore fails, and where each succeeds
    #[arg(long, conflicts_with = "packed")]
    pub failing: bool,
    /// How long it takes from a changed line of this criu tree to the verdict of one scenario, too;
    /// the tree is copied
    #[arg(long, value_name = "DIR")]
    pub criu: Option<PathBuf>,
    /// Go on to 1,000 trials in one VM, which takes some minutes
    #[arg(long)]
    pub long: bool,
    /// What is measured
    #[command(flatten)]
    pub machines: MachineArgs,
}

/// Runs; the exit status.
///
/// # Errors
/// What keeps a figure from being taken.
pub fn run(args: &BenchArgs) -> anyhow::Result<u8> {
    if args.machines.backend == Backend::Host {
        return Err(Usage("bench measures VMs; leave --backend away".to_owned()).into());
    }
    let BenchArgs { kernel, trials, packed, failing, criu, long, .. } = args.clone();
    let settings = Settings { kernel, trials, packed, failing, criu, long };
    let session = args.machines.session()?;
    let mut bench = Bench::new(&session, settings)?;
    let outcome = bench.take();
    write(args.format, bench.figures(), &mut io::stdout())?;
    outcome.map(|()| 0)
}
