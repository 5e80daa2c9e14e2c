//! Kernel, flavor, lifecycle.

use clap::Args;
use protocol::message::{Flavor, Lifecycle};

use crate::plan::Axes;
use crate::plan::group::Group;

/// What a trial is besides its scenario and its subject.
#[derive(Args, Clone, Debug, Default)]
pub struct AxesArgs {
    /// Kernel of the manifest, or one of your own: path:FILE, src:LINUX or git:LINUX@REV; may be
    /// given more than once [default: 6.12]
    ///
    /// `path:FILE[,modules=DIR][,config=FILE]` is a bzImage or vmlinux for amd64. DIR is the tree
    /// that it was built in, or what `make modules_install` filled; without it the tree around
    /// FILE. It needs CONFIG_PVH and what the group `base` of vm-images/images.toml lists.
    ///
    /// `src:LINUX[,config=FILE]` is a kernel source tree as it is, `git:LINUX@REV[,config=FILE]` a
    /// revision of a local repository. Both are built here with the options of
    /// vm-images/kernel.config, and those of FILE on top, in a copy in the cache: your tree stays
    /// as it is, and the next build compiles what changed. The first one takes minutes and 3 GB.
    ///
    /// The kernel is known by its release from then on (`--kernel 6.18.0-rc3+`). What it lacks is
    /// said by name; scenarios that need it are `unsupported`.
    #[arg(long, value_name = "KERNEL", env = "ZDTM_DETACHED_KERNEL")]
    pub kernel: Vec<String>,
    /// Namespaces of the process: ns, host or userns, see --help; may be given more than once
    #[arg(long, value_parser = str::parse::<Flavor>, long_help = flavors())]
    pub flavor: Vec<Flavor>,
    /// What is done to the process: dump-restore, leave-running or another, see --help; may be
    /// given more than once
    #[arg(long, value_parser = str::parse::<Lifecycle>, long_help = lifecycles())]
    pub lifecycle: Vec<Lifecycle>,
}

/// Each flavor with what it is.
fn flavors() -> String {
    let width = Flavor::ALL.iter().map(|flavor| flavor.word().len()).max().unwrap_or_default();
    let line = |flavor: &Flavor| format!("\n  {:width$}  {}", flavor.word(), flavor.text());
    let all: String = Flavor::ALL.iter().map(line).collect();
    format!("Namespaces of the process; may be given more than once [default: ns]{all}")
}

/// Each lifecycle with what it is.
fn lifecycles() -> String {
    let width = Lifecycle::ALL.iter().map(|lifecycle| lifecycle.word().len()).max().unwrap_or_default();
    let line = |lifecycle: &Lifecycle| format!("\n  {lifecycle:width$}  {}", lifecycle.text());
    let all: String = Lifecycle::ALL.iter().map(line).collect();
    format!("What is done to the process; may be given more than once [default: dump-restore]{all}")
}

impl AxesArgs {
    /// What they say.
    pub fn axes(&self) -> Axes {
        let Self { kernel, flavor, lifecycle } = self.clone();
        Axes { kernel, flavor, lifecycle, group: Group::default() }
    }
}
