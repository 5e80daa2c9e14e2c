//! `shell`: a shell in a VM, beside the process of a trial as it is at some moment.
//!
//! - `relay`: what is typed goes there, what is written comes here
//! - `terminal`: the user's terminal while a shell has it
//!
//! The VM boots, it is not a copy: it also has a static busybox (`image/tools.rs`), which no
//! userland has, because the userland is part of what is tested. The agent leads the trial with the
//! usual steps up to the wanted moment (`agent/shell.rs`), starts a shell, and carries its streams
//! as messages (`agent/relay.rs`). The shell gets a terminal of its own where the user has one,
//! else pipes, so that a script's input is not echoed. A `Drop` restores the user's terminal, and
//! so does the handler of the signal that ends the harness at once.

mod relay;
mod terminal;

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use protocol::message::{Flavor, Lifecycle, Probing, TrialRequest};
use protocol::shell::{FromShell, Moment, ShellRequest};
use protocol::{Event, Request};
use scenarios::Scenario;

use super::saved_trial::{NamedTrial, as_it_was, named_trial};
use crate::args::AxesArgs;
use crate::args::MachineArgs;
use crate::host::KERNEL_PREFIX;
use crate::judge::Trial;
use crate::machine::{Backend, MachineError};
use crate::notices::say;
use crate::plan::single;
use crate::report::epilogue::plain;
use crate::run::patience::{Ended, Heard, Patience};
use crate::run::{ACTION_TIME_LIMIT, BOOT_TIME_LIMIT};
use crate::subject::{Parts, ReferenceOptions, Subject};
use crate::usage::Usage;
use crate::vm::{Vm, VmSpec};

/// Open a shell in a VM, beside the process of a trial as it is at some moment.
///
/// The shell has busybox's commands and knows the trial: $PID is the process,
/// `enter [COMMAND]` goes into its namespaces, $TOP is its top directory, $IMAGES has a folder for
/// each dump with criu's logs. It ends with `exit`, and the VM with it. Without a scenario there is
/// just a shell. With a pipe instead of a terminal it reads commands from there.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  zdtm-detached shell                                       a shell, and nothing else
  zdtm-detached shell zdtm-results/deleted_unlinked...      the process of a failed trial, as it is in the end
  zdtm-detached shell deleted/unlinked@ext4,rdwr,whole --at setup   before it is dumped
  zdtm-detached shell ./mine.scn --at dumped                after the dump: its images, or the process if it failed
  echo 'ls -l /proc/$PID/fd' | zdtm-detached shell ./mine.scn

Exit status: that of the shell; 2 wrong usage, 3 infrastructure, 130 interrupted.")]
pub struct ShellArgs {
    /// A folder of artifacts, a scenario file, or a scenario's name
    pub what: Option<String>,
    /// When: setup (before the dump), dumped, restored; where the dump or the restore fails, then
    #[arg(long, value_name = "MOMENT", default_value = "restored", value_parser = moment)]
    pub at: Moment,
    /// What dumps and restores [default: debian:trixie, or what it was]
    #[arg(long, value_name = "SUBJECT", env = "ZDTM_DETACHED_SUBJECT")]
    pub subject: Option<Subject>,
    /// Kernel, flavor, lifecycle, one of each
    #[command(flatten)]
    pub axes: AxesArgs,
    /// The VM
    #[command(flatten)]
    pub machines: MachineArgs,
}

/// The number of the one trial that there is.
const TRIAL: u64 = 1;

fn moment(word: &str) -> Result<Moment, String> {
    match word {
        "setup" => Ok(Moment::Setup),
        "dumped" => Ok(Moment::Dumped),
        "restored" => Ok(Moment::Restored),
        _ => Err("known are setup, dumped and restored".to_owned()),
    }
}

/// Opens a shell; its exit status.
///
/// # Errors
/// A word that means no scenario, or what keeps the VM from coming up or breaks it.
pub fn run(args: &ShellArgs) -> anyhow::Result<u8> {
    if args.machines.backend == Backend::Host {
        return Err(Usage("a shell needs a VM: leave --backend away".to_owned()).into());
    }
    let tree = args.machines.settings().store.tree()?;
    let meant = args.what.as_deref().map(|word| named_trial(word, &tree)).transpose()?;
    let (mut subject, mut axes) = (Vec::from_iter(args.subject.clone()), args.axes.clone());
    if let Some(NamedTrial { saved: Some(record), .. }) = &meant {
        as_it_was(record, &mut subject, &mut axes, Backend::Vm)?;
        if record.kernel.starts_with(KERNEL_PREFIX) {
            say("the trial ran on the kernel of a machine; the shell is in a VM");
        }
    }
    let session = args.machines.session()?;
    let subjects = session.subjects(&subject, &[])?;
    let kernels = session.kernels(&axes.axes())?;
    let kernel = &single("--kernel", &kernels, None)?;
    let subject = single("--subject", &subjects, None)?;
    let flavor = single("--flavor", &axes.flavor, Some(Flavor::Ns))?;
    let lifecycle = single("--lifecycle", &axes.lifecycle, Some(Lifecycle::DumpRestore))?;
    let scenario = meant.map(|meant| meant.scenario);
    if let Some(scenario) = &scenario {
        check(
            scenario,
            Trial {
                scenario: scenario.name.clone(),
                family: scenario.family.clone(),
                flavor,
                lifecycle,
                kernel: kernel.clone(),
                subject: subject.to_string(),
            },
        )?;
    }
    let parts = Parts { tools: true, ..subject.prepare(session.store())? };
    let spec = session.vm(kernel, &parts)?;
    let scale = spec.accelerator.timeout_scale() * args.machines.timeout_scale;
    let limit = ACTION_TIME_LIMIT.mul_f64(scale);
    let trial = scenario.map(|scenario| TrialRequest {
        trial: TRIAL,
        programs: vec![scenarios::text::print_program_in_place(&scenario.program)],
        flavor,
        lifecycle,
        engine: subject.engine(ReferenceOptions::default()),
        action_timeout_ms: limit.as_millis().try_into().unwrap_or(u64::MAX),
        thorough: false,
        probing: Probing::Never,
    });
    lead(&spec, trial, args.at, limit)
}

fn check(scenario: &Scenario, trial: Trial) -> Result<(), Usage> {
    crate::needs::unmet(scenario, &trial).map_or(Ok(()), |reason| Err(Usage(reason)))
}

/// Boots the VM, has the trial led to its moment, and hands the user over.
fn lead(spec: &VmSpec, trial: Option<TrialRequest>, at: Moment, limit: Duration) -> anyhow::Result<u8> {
    let lifecycle = trial.as_ref().map_or(Lifecycle::DumpRestore, |trial| trial.lifecycle);
    let boot_limit = BOOT_TIME_LIMIT.mul_f64(limit.as_secs_f64() / ACTION_TIME_LIMIT.as_secs_f64());
    let terminal = (std::io::stdin().is_terminal() && std::io::stdout().is_terminal()).then(terminal::describe);
    let window = terminal.as_ref().map(|_| terminal::Window::watch()).transpose();
    let window = window.context("watching the terminal's size")?;
    let mut vm = Vm::boot(spec, Instant::now() + boot_limit)?;
    vm.send(&Request::Shell(Box::new(ShellRequest { trial, at, terminal })))?;
    let ready = |event| match event {
        Event::FromShell(FromShell::Ready(said)) => Heard::Wanted(said),
        other => Heard::Other(other),
    };
    let said = Patience::new(TRIAL, lifecycle, limit).wait(
        |deadline| vm.receive(deadline),
        ready,
        |stage| say(&format!("{}...", plain(stage))),
    );
    let said = said.map_err(|ended| match ended {
        Ended::Machine { error, waiting_for } => MachineError::from(error).waiting_for(waiting_for),
        Ended::Astray(what) => vm.astray(what).into(),
    })?;
    said.iter().for_each(|line| say(&plain(line)));
    let raw = window.as_ref().map(|_| terminal::Raw::new()).transpose().context("setting up the terminal")?;
    let status = relay::relay(&mut vm, window.as_ref());
    drop(raw);
    status
}
