//! `torture`: runs that end at random moments.

use std::io;

use clap::Args;

use crate::exit;
use crate::notices::say;
use crate::soak::Format;
use crate::torture::{self, Settings};

/// End runs at random moments, and look for what they left.
///
/// Runs of this program get SIGKILL, SIGINT, SIGTERM or SIGHUP at moments that a seed decides.
/// After each, no process, mount or loop device may be left; after all, a run that is not ended has
/// to remove the folders of the killed ones.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  zdtm-detached torture --runs 50
  zdtm-detached torture --runs 50 --seed 7 -- 'only-mount/*' --backend host --subject reference

Exit status: 0 nothing was left, 1 something was, 3 infrastructure, 130 interrupted.")]
pub struct TortureArgs {
    /// How many runs are ended
    #[arg(long, value_name = "N", default_value = "50")]
    pub runs: usize,
    /// Decides moments and signals; printed [default: a random one]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// For people or for programs
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
    /// Words for `run`, after -- [default: whole-bind/* --subject reference]
    #[arg(last = true)]
    pub words: Vec<String>,
}

/// Runs; the exit status.
///
/// # Errors
/// A run that is not ended fails.
pub fn run(args: &TortureArgs) -> anyhow::Result<u8> {
    let TortureArgs { runs, seed, mut words, .. } = args.clone();
    if words.is_empty() {
        words = ["whole-bind/*", "--subject", "reference"].map(str::to_owned).to_vec();
    }
    let seed = seed.unwrap_or_else(|| fastrand::u64(..1 << 32));
    let record = torture::run(&Settings { runs, seed, words }, &mut |line| say(line))?;
    torture::write(args.format, &record, &mut io::stdout())?;
    Ok(match () {
        () if crate::process::interrupt::requested() => exit::INTERRUPTED,
        () if record.is_good() => exit::AS_EXPECTED,
        () => exit::FAILED,
    })
}
