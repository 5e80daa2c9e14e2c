//! `replay`: one trial of an earlier run once more, exactly as it was: the saved program, the same
//! kernel, subject, flavor and lifecycle, in a machine that nothing has touched. What would run
//! outside a VM is asked for once more.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};

use clap::Args;
use protocol::message::DetachMethod;

use super::run::{self, Chosen, RunArgs};
use super::saved_trial;
use crate::args::AxesArgs;
use crate::args::MachineArgs;
use crate::args::ShareArgs;
use crate::args::output::OutputArgs;
use crate::judge::Verdict;
use crate::notices::say;
use crate::plan;
use crate::report::{Event, Reporter};
use crate::session::ExpectationsSource;
use crate::usage::Usage;

/// Run a trial of an earlier run once more, exactly as it was.
///
/// Takes the folder of artifacts that a failure names (or a file in it), or a scenario file. The
/// program is the saved one, also when the catalogue has changed since.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  zdtm-detached replay zdtm-results/deleted_unlinked-0a1b2c3d
  zdtm-detached replay zdtm-results/deleted_unlinked-0a1b2c3d --repeat 5
  zdtm-detached replay zdtm-results/deleted_unlinked-4d5e6f70 --backend host   one that ran without a VM
  zdtm-detached replay ./mine.scn --kernel 7.3

A folder never decides that something runs outside a VM: --backend host, and a subject that is built or started on this
machine (src:, git:, path:), are typed again.

Exit status: as that of `run`.")]
pub struct ReplayArgs {
    /// A folder of artifacts, or a scenario file
    pub what: PathBuf,
    /// What is tested instead of what was
    #[arg(long, value_name = "SUBJECT")]
    pub subject: Vec<crate::subject::Subject>,
    /// Kernel, flavor, lifecycle instead of what they were
    #[command(flatten)]
    pub axes: AxesArgs,
    /// Run it so often; what does not always come to the same is flaky
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: u32,
    /// Folder for the artifacts of a trial that fails again
    #[arg(long, value_name = "DIR", default_value = "zdtm-replayed")]
    pub keep: PathBuf,
    /// How results are reported
    #[command(flatten)]
    pub output: OutputArgs,
    /// What trials run on
    #[command(flatten)]
    pub machines: MachineArgs,
}

/// Replays; the exit status.
///
/// # Errors
/// A folder that holds no trial, or what keeps the trial from running.
pub fn run(args: &ReplayArgs) -> anyhow::Result<u8> {
    let mut run_args = RunArgs {
        group: plan::group::Group::default(),
        what: Vec::new(),
        visible: false,
        subject: args.subject.clone(),
        patch: Vec::new(),
        without_statmount: false,
        bind_mounts: false,
        axes: args.axes.clone(),
        expectations: ExpectationsSource::Project,
        fail_fast: false,
        repeat: args.repeat,
        pack: 0,
        confirm: crate::run::confirm::Wanted::All,
        retries: 0,
        thorough: true,
        no_probes: false,
        share: ShareArgs::default(),
        keep: args.keep.clone(),
        watch: false,
        output: args.output.clone(),
        machines: args.machines.clone(),
    };
    debug_assert_eq!(run_args.reference_options().way, DetachMethod::Tree);
    let Some(folder) = saved_trial::folder(&args.what) else {
        if args.what.extension().is_none_or(|extension| extension != "scn") {
            let what = args.what.display();
            return Err(Usage(format!(
                "{what} is neither a folder of a trial nor a scenario file, which ends in .scn"
            ))
            .into());
        }
        let scenarios = plan::select::files(&[&args.what])?;
        return run::chosen(&run_args, Chosen { scenarios, whole: false, listener: None, silent: false });
    };
    let (scenario, record) = saved_trial::read(&folder)?;
    let RunArgs { subject, axes, machines, .. } = &mut run_args;
    saved_trial::ask_for_the_host(&record, axes, machines.backend)?;
    saved_trial::as_it_was(&record, subject, axes, machines.backend)?;
    let (sender, receiver) = channel();
    let listener = Some(Box::new(Listener(sender)) as Box<dyn Reporter>);
    let status = run::chosen(&run_args, Chosen { scenarios: vec![scenario], whole: false, listener, silent: false })?;
    let was = record.verdict().map_err(|error| Usage(error.to_string()))?;
    if let Some(now) = receiver.try_iter().last() {
        let same = if now == was { "the same as before" } else { "not what it was" };
        say(&format!("{same}: it was {was}, and is {now}"));
    }
    Ok(status)
}

/// Hears what became of the trial.
struct Listener(Sender<Verdict>);

impl Reporter for Listener {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        if let Event::TrialFinished(finished) = event {
            // The receiver is gone only when the replay is over.
            let _ = self.0.send(finished.judgement.verdict);
        }
        Ok(())
    }
}
