//! `replay`: one trial of an earlier run once more, exactly as it was: the saved program, the same kernel, subject, flavor
//! and lifecycle, in a machine that nothing has touched.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};

use clap::Args;
use protocol::message::MountWay;
use scenarios::Scenario;

use super::Usage;
use super::machines::MachineArgs;
use super::plan::Axes;
use super::run::{self, Chosen, RunArgs};
use super::share::ShareArgs;
use super::telling::TellingArgs;
use crate::host::KERNEL_PREFIX;
use crate::judge::Verdict;
use crate::machine::Backend;
use crate::report::record::TrialRecord;
use crate::report::{Event, Reporter};

/// Run a trial of an earlier run once more, exactly as it was.
///
/// Takes the folder of artifacts that a failure names (or a file in it), or a scenario file. The program is the saved one,
/// also when the catalogue has changed since.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  zdtm-detached replay zdtm-results/deleted_unlinked@ext4_ns_dump-restore_6.12_debian_trixie-0a1b2c3d
  zdtm-detached replay zdtm-results/deleted_unlinked@ext4_ns_dump-restore_6.12_debian_trixie-0a1b2c3d --repeat 5
  zdtm-detached replay ./mine.scn --kernel 7.3

Exit status: as that of `run`.")]
pub struct ReplayArgs {
    /// A folder of artifacts, or a scenario file
    pub what: PathBuf,
    /// What is tested instead of what was
    #[arg(long, value_name = "SUBJECT")]
    pub subject: Vec<crate::subject::Subject>,
    /// Kernel, flavor, lifecycle instead of what they were
    #[command(flatten)]
    pub axes: Axes,
    /// Run it so often; what does not always come to the same is flaky
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: u32,
    /// Folder for the artifacts of a trial that fails again
    #[arg(long, value_name = "DIR", default_value = "zdtm-replayed")]
    pub keep: PathBuf,
    /// How results are told
    #[command(flatten)]
    pub telling: TellingArgs,
    /// What trials run on
    #[command(flatten)]
    pub machines: MachineArgs,
}

/// A trial as it was saved.
struct Saved {
    scenario: Scenario,
    record: TrialRecord,
}

/// Replays; the exit status.
///
/// # Errors
/// A folder that holds no trial, or what keeps the trial from running.
pub fn run(args: &ReplayArgs) -> anyhow::Result<u8> {
    let mut run_args = RunArgs {
        what: Vec::new(),
        subject: args.subject.clone(),
        patch: Vec::new(),
        without_statmount: false,
        bind_mounts: false,
        axes: args.axes.clone(),
        fail_fast: false,
        repeat: args.repeat,
        retries: 0,
        pack: 0,
        share: ShareArgs::default(),
        keep: args.keep.clone(),
        watch: false,
        telling: args.telling.clone(),
        machines: args.machines.clone(),
    };
    debug_assert_eq!(run_args.manner().way, MountWay::Tree);
    let Some(folder) = folder(&args.what) else {
        if args.what.extension().is_none_or(|extension| extension != "scn") {
            let what = args.what.display();
            return Err(Usage(format!(
                "{what} is neither a folder of a trial nor a scenario file, which ends in .scn"
            ))
            .into());
        }
        let scenarios = super::select::files(&[&args.what])?;
        return run::chosen(&run_args, Chosen { scenarios, whole: false, listener: None });
    };
    let Saved { scenario, record } = saved(&folder)?;
    as_it_was(&mut run_args, &record)?;
    let (sender, receiver) = channel();
    let listener = Some(Box::new(Listener(sender)) as Box<dyn Reporter>);
    let status = run::chosen(&run_args, Chosen { scenarios: vec![scenario], whole: false, listener })?;
    let was = record.verdict().map_err(|error| Usage(error.to_string()))?;
    if let Some(now) = receiver.try_iter().last() {
        let same = if now == was { "the same as before" } else { "not what it was" };
        eprintln!("{same}: it was {was}, and is {now}");
    }
    Ok(status)
}

/// The folder of a trial that is meant; none for a scenario file.
fn folder(what: &Path) -> Option<PathBuf> {
    if what.is_dir() {
        return Some(what.to_owned());
    }
    let beside = what.parent().filter(|folder| folder.join("verdict.json").is_file());
    beside.map(Path::to_owned)
}

fn saved(folder: &Path) -> Result<Saved, Usage> {
    let file = folder.join("verdict.json");
    let wrong = |why: &dyn std::fmt::Display| {
        Usage(format!("{} is no folder of a trial: {}: {why}", folder.display(), file.display()))
    };
    let text = fs::read_to_string(&file).map_err(|error: io::Error| wrong(&error))?;
    let record: TrialRecord = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
    let mut scenarios = super::select::files(&[&folder.join("program.scn")])?;
    if scenarios.len() != 1 {
        return Err(Usage(format!(
            "{}: not one scenario but {}",
            folder.join("program.scn").display(),
            scenarios.len()
        )));
    }
    let mut scenario = scenarios.remove(0);
    scenario.name.clone_from(&record.scenario);
    scenario.family.clone_from(&record.family);
    Ok(Saved { scenario, record })
}

/// What the command line leaves open is as it was.
fn as_it_was(args: &mut RunArgs, record: &TrialRecord) -> Result<(), Usage> {
    if args.subject.is_empty() {
        args.subject = vec![record.subject.parse().map_err(|error| Usage(format!("the saved subject: {error}")))?];
    }
    if record.kernel.starts_with(KERNEL_PREFIX) {
        args.machines.backend = Backend::Host;
    } else if args.axes.kernel.is_empty() {
        args.axes.kernel = vec![record.kernel.clone()];
    }
    if args.axes.flavor.is_empty() {
        args.axes.flavor = vec![record.flavor];
    }
    if args.axes.lifecycle.is_empty() {
        args.axes.lifecycle = vec![record.lifecycle];
    }
    Ok(())
}

/// Hears what became of the trial.
struct Listener(Sender<Verdict>);

impl Reporter for Listener {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        if let Event::TrialFinished(finished) = event {
            // Nobody listens any more only when the replay is over.
            let _ = self.0.send(finished.judgement.verdict);
        }
        Ok(())
    }
}
