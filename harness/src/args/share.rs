//! Which of the planned trials are run.

use std::path::PathBuf;

use clap::Args;

use crate::plan::share::{Shard, WantedShare};

/// Which of the trials are run.
#[derive(Args, Clone, Debug, Default)]
pub struct ShareArgs {
    /// Run the I-th of N parts, 1/4 to 4/4: every trial is in exactly one of them, and each machine
    /// finds the same parts
    #[arg(long, value_name = "I/N", env = "ZDTM_DETACHED_SHARD")]
    pub shard: Option<Shard>,
    /// JSON report whose durations balance the shards; the same for all of them
    /// [default: every trial counts the same]
    #[arg(long, value_name = "FILE", requires = "shard")]
    pub durations: Option<PathBuf>,
    /// JSON report of a run that was broken off: its finished trials are reported from there and
    /// not run again
    #[arg(long, value_name = "FILE")]
    pub resume: Option<PathBuf>,
}

impl ShareArgs {
    /// What they say.
    pub fn wanted(&self) -> WantedShare {
        let Self { shard, durations, resume } = self.clone();
        WantedShare { shard, durations, resume }
    }
}
