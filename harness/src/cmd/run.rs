//! `run`: the main job. Prepares what is missing, runs the chosen trials, prints the table.

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::Sender;

use clap::{Args, Parser};
use protocol::message::DetachMethod;
use scenarios::Scenario;

use crate::args::output::OutputArgs;
use crate::args::{AxesArgs, MachineArgs, ShareArgs};
use crate::exit;
use crate::notices::print;
use crate::plan::Axes;
use crate::plan::group::Group;
use crate::plan::select::{NoMatch, select, select_with_controls};
use crate::report::terminal::{Detail, Look, Terminal};
use crate::report::{Event, Finished, Reporter};
use crate::run::confirm::Wanted;
use crate::session::ExpectationsSource;
use crate::subject::{self, ReferenceOptions, Subject};
use crate::trials::{Settings, Trials};
use crate::usage::Usage;

/// The last line of a run in which nothing ran.
const NOTHING: &str = "result: 0 passed, 0 failed, 0 skipped\n";

/// Run scenarios: checkpoint, restore, compare.
///
/// Prepares what is missing (QEMU, a kernel, the subject), starts a VM for each core, and runs
/// every chosen scenario in every combination of kernel, subject, flavor and lifecycle. Each trial
/// is a process that is observed, checkpointed, restored and observed again. It passes when nothing
/// differs, or when it cannot be restored and the dump refused it cleanly.
///
/// What is known to fail (scenarios/expectations.toml) is an xfail and does not fail the run. What
/// fails otherwise is kept in a folder for `replay`, `shell` and `shrink`, and the first failure of
/// each cause is run once more in a fresh VM. A run ends in the causes and in what came back,
/// capability by base.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  zdtm-detached run                                    the whole catalogue, on the default kernel
  zdtm-detached run --group quick                      something of everything, in a minute
  zdtm-detached run 'deleted/*' --kernel 7.3           some scenarios, on another kernel
  zdtm-detached run ./mine.scn                         a scenario of your own
  zdtm-detached run --subject src:../criu              a CRIU source tree, built first
  zdtm-detached run --subject debian:sid --subject git:../criu@master --kernel 6.12 --kernel 7.3
  zdtm-detached run --report json=report.json,html=report.html
  zdtm-detached run --resume report.json               go on with a run that was broken off
  zdtm-detached run ./mine.scn --watch                 again whenever the file changes
  zdtm-detached run --shard 2/4                        the second of four parts, for four machines
  zdtm-detached run --subject src:../criu --expectations branch.toml     what a branch is known to fail

Exit status: 0 as expected, 1 something failed, 2 wrong usage, 3 infrastructure, 4 nothing ran, 130 interrupted.")]
pub struct RunArgs {
    /// Part of a scenario's name, a pattern with `*`, or a scenario file that ends in .scn; all
    /// when none is given
    pub what: Vec<String>,
    /// How much is run; names, --flavor and --lifecycle narrow it
    #[arg(long, value_enum, default_value = "default")]
    pub group: Group,
    /// The derived controls, too: the same programs without their lazy unmounts,
    /// FAMILY/NAME+visible
    #[arg(long)]
    pub visible: bool,
    /// What is tested; may be given more than once [default: debian:trixie]
    #[arg(long, value_name = "SUBJECT", env = "ZDTM_DETACHED_SUBJECT", long_help = subject::HELP)]
    pub subject: Vec<Subject>,
    /// Patch on top of every src: and git: subject; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub patch: Vec<PathBuf>,
    /// Subject reference: do without statmount(STATMOUNT_BY_FD) where the kernel has it
    #[arg(long)]
    pub without_statmount: bool,
    /// Subject reference: make detached mounts by a bind and a lazy unmount, not by open_tree
    #[arg(long)]
    pub bind_mounts: bool,
    /// Kernel, flavor, lifecycle
    #[command(flatten)]
    pub axes: AxesArgs,
    /// What is known to fail: a file (see `bless --into`), or none, and every failure is one
    /// [default: scenarios/expectations.toml]
    #[arg(long, value_name = "FILE", default_value = "", hide_default_value = true, value_parser = expectations_source)]
    pub expectations: ExpectationsSource,
    /// Begin no more trials after the first that fails
    #[arg(long)]
    pub fail_fast: bool,
    /// Run each trial so often; what does not always come to the same is flaky
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: u32,
    /// Run what fails or passes unexpectedly so often again, each time in a fresh VM; another
    /// result makes it flaky
    #[arg(long, value_name = "N", default_value = "1")]
    pub retries: u32,
    /// As `replay` does: the first run of a trial is its only one, and finds out as much as it can.
    #[arg(skip)]
    pub thorough: bool,
    /// Only look. Without it each process that is alone in a checkpoint is also tried: it reads on,
    /// writes, makes names, unmounts, and so does a twin that was never checkpointed
    #[arg(long)]
    pub no_probes: bool,
    /// Which failures are run again: the first of each cause, or all
    #[arg(long, value_name = "WHICH", default_value = "cause")]
    pub confirm: Wanted,
    /// Programs that may share a process and a checkpoint: a number, auto, or off; what does not
    /// pass runs alone
    #[arg(long, value_name = "N", default_value = "off", value_parser = pack)]
    pub pack: usize,
    /// Which of the trials are run
    #[command(flatten)]
    pub share: ShareArgs,
    /// Run again whenever a scenario file, the file of known failures or the subject's program or
    /// sources change
    #[arg(long)]
    pub watch: bool,
    /// Folder for the artifacts of failed trials
    #[arg(long, value_name = "DIR", default_value = "zdtm-results")]
    pub keep: PathBuf,
    /// How results are reported
    #[command(flatten)]
    pub output: OutputArgs,
    /// What trials run on
    #[command(flatten)]
    pub machines: MachineArgs,
}

/// More than this takes longer for each program, not shorter.
const PACK_LIMIT: usize = 64;

fn expectations_source(word: &str) -> Result<ExpectationsSource, Infallible> {
    if word.is_empty() { Ok(ExpectationsSource::Project) } else { word.parse() }
}

pub(super) fn pack(word: &str) -> Result<usize, String> {
    match word {
        "off" => Ok(0),
        "auto" => Ok(crate::run::PACK),
        _ => {
            let size = word.parse().ok().filter(|size| (2..=PACK_LIMIT).contains(size));
            size.ok_or_else(|| format!("known are off, auto, and a number from 2 to {PACK_LIMIT}"))
        }
    }
}

/// The arguments of `run`, as typed.
#[derive(Parser)]
struct Line {
    #[command(flatten)]
    run: RunArgs,
}

impl RunArgs {
    /// What these words mean behind `run`, for commands that run something themselves.
    ///
    /// # Errors
    /// [`Usage`]: clap's own complaint.
    pub(super) fn typed<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, Usage> {
        let line = Line::try_parse_from(["run"].into_iter().chain(words));
        line.map(|line| line.run).map_err(|error| Usage(error.to_string()))
    }

    fn trials(&self, scenarios: Vec<Scenario>, whole: bool) -> Settings {
        Settings {
            scenarios,
            whole,
            subject: self.subject.clone(),
            patch: self.patch.clone(),
            reference_options: self.reference_options(),
            axes: Axes { group: self.group, ..self.axes.axes() },
            expectations: self.expectations.clone(),
            share: self.share.wanted(),
            fail_fast: self.fail_fast,
            repeat: self.repeat,
            retries: self.retries,
            thorough: self.thorough,
            probes: !self.no_probes,
            confirm: self.confirm,
            pack: self.pack,
            keep: self.keep.clone(),
        }
    }

    pub(super) fn reference_options(&self) -> ReferenceOptions {
        let way = if self.bind_mounts { DetachMethod::Bind } else { DetachMethod::Tree };
        ReferenceOptions { without_statmount: self.without_statmount, way }
    }
}

/// Runs; the exit status.
///
/// # Errors
/// What keeps any trial from running.
pub fn run(args: &RunArgs) -> anyhow::Result<u8> {
    if args.watch { super::watch::run(args) } else { once(args) }
}

/// Sends on what became of each trial.
pub(super) struct Listener(pub(super) Sender<Finished>);

impl Reporter for Listener {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        if let Event::TrialFinished(finished) = event {
            // The receiver lives as long as the run.
            let _ = self.0.send((**finished).clone());
        }
        Ok(())
    }
}

/// Runs what the command line chooses; the exit status.
pub(super) fn once(args: &RunArgs) -> anyhow::Result<u8> {
    selected(args, None)
}

/// The same, with a second receiver of the events.
pub(super) fn heard(args: &RunArgs, listener: Box<dyn Reporter>) -> anyhow::Result<u8> {
    selected(args, Some(listener))
}

fn selected(args: &RunArgs, listener: Option<Box<dyn Reporter>>) -> anyhow::Result<u8> {
    let tree = args.machines.settings().store.tree()?;
    let choose = if args.visible || args.group.has_controls() { select_with_controls } else { select };
    let scenarios = choose(&args.what, &tree).inspect_err(|error| {
        if error.is::<NoMatch>() {
            // The error that follows says more.
            let _ = print(NOTHING);
        }
    })?;
    chosen(
        args,
        Chosen { scenarios, whole: args.what.is_empty() && args.group != Group::Quick, listener, silent: false },
    )
}

/// What is run.
pub(super) struct Chosen {
    /// The scenarios.
    pub(super) scenarios: Vec<Scenario>,
    /// They are the whole catalogue.
    pub(super) whole: bool,
    /// One more reporter.
    pub(super) listener: Option<Box<dyn Reporter>>,
    /// Nothing is printed but what is being prepared.
    pub(super) silent: bool,
}

/// Runs these scenarios; the exit status.
pub(super) fn chosen(args: &RunArgs, Chosen { scenarios, whole, listener, silent }: Chosen) -> anyhow::Result<u8> {
    if scenarios.is_empty() {
        print(NOTHING)?;
        return Ok(exit::NOTHING_RAN);
    }
    let session = args.machines.session()?;
    let trials = Trials::plan(&session, args.trials(scenarios, whole))?;
    let (mut terminal, mut reporters) = args.output.open(Detail::Lines)?;
    if silent {
        let look = Look { width: 80, colour: false, bar: false, detail: Detail::Failures };
        terminal = Terminal::new(Box::new(io::sink()), look);
    }
    if let Some(listener) = listener {
        reporters.add(listener);
    }
    trials.run(terminal, reporters)
}
