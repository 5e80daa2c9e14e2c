//! What trials run on.

use std::path::PathBuf;

use clap::Args;

use super::StoreArgs;
use crate::machine::Backend;
use crate::session::{Session, Settings};
use crate::vm::AcceleratorChoice;

/// What trials run on.
#[derive(Args, Clone, Debug)]
pub struct MachineArgs {
    /// On what: vm, or host for namespaces on this machine's own kernel, which is fast and for
    /// subject reference only
    #[arg(long, value_name = "BACKEND", default_value = "vm", env = "ZDTM_DETACHED_BACKEND")]
    pub backend: Backend,
    /// VMs, or agents on the host, that run at the same time
    /// [default: a VM for each core, or two agents, which often wait for the kernel]
    #[arg(short = 'j', value_name = "VMS", env = "ZDTM_DETACHED_JOBS", value_parser = jobs)]
    pub jobs: Option<usize>,
    /// Accelerator of the VMs
    #[arg(long, default_value = "auto", env = "ZDTM_DETACHED_ACCEL")]
    pub accel: AcceleratorChoice,
    /// Boot every VM instead of copying one that was saved: slower, and the same otherwise
    #[arg(long, env = "ZDTM_DETACHED_COLD")]
    pub cold: bool,
    /// QEMU to use: a path, or `host` for the one on PATH [default: one from Debian, in the cache]
    #[arg(long, value_name = "PATH", env = "ZDTM_DETACHED_QEMU")]
    pub qemu: Option<PathBuf>,
    /// Factor on all time limits, for a slow or busy machine
    #[arg(long, value_name = "X", default_value = "1", env = "ZDTM_DETACHED_TIMEOUT_SCALE", value_parser = scale)]
    pub timeout_scale: f64,
    /// Images and where they come from
    #[command(flatten)]
    pub store: StoreArgs,
}

fn jobs(word: &str) -> Result<usize, String> {
    word.parse().ok().filter(|&jobs| jobs > 0).ok_or_else(|| "a number from 1".to_owned())
}

fn scale(word: &str) -> Result<f64, String> {
    word.parse()
        .ok()
        .filter(|scale| (0.1..=1000.0).contains(scale))
        .ok_or_else(|| "a number from 0.1 to 1000".to_owned())
}

impl MachineArgs {
    /// What they say.
    pub fn settings(&self) -> Settings {
        let Self { backend, jobs, accel, cold, qemu, timeout_scale, store } = self.clone();
        Settings { backend, jobs, accelerator: accel, cold, qemu, timeout_scale, store: store.settings() }
    }

    /// A session on these machines.
    ///
    /// # Errors
    /// See [`Session::open`].
    pub fn session(&self) -> anyhow::Result<Session> {
        Session::open(self.settings())
    }
}
