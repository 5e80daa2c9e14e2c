//! `gate`: does this candidate make anything worse, or better, than the base?

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::args::output::comparisons;
use crate::args::{AxesArgs, MachineArgs};
use crate::gate::{self, Base, Settings};
use crate::plan::Axes;
use crate::plan::group::Group;
use crate::report::Wanted;
use crate::report::terminal::{ColourChoice, Detail, Look};
use crate::subject::{self, Subject};

/// Compare two subjects: what got worse, what got better.
///
/// Runs the same trials with both at the same time. What is not the same is run again, up to three
/// times, before it is called worse, better or differently bad; what does not come to the same each
/// time is flaky or undecided.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  zdtm-detached gate --base debian:trixie --candidate src:../criu           is this tree worse than Debian's criu?
  zdtm-detached gate --base git:../criu@master --candidate src:../criu      what does my change do?
  zdtm-detached gate --base src:../criu --candidate src:../criu --patch fix.patch '*/control*'
  zdtm-detached gate --base git:../criu@v4.1 --candidate src:../criu --budget 10 --format json
  zdtm-detached gate --base debian:trixie --candidate src:../criu --cross   does my tree restore what Debian's criu dumped?
  zdtm-detached gate --base base.json --candidate src:../criu               against the report of an earlier run

The derived controls run, too: of what criu refuses on a detached mount they show what it does to the same where it is visible.
Known failures play no part: what fails with both in the same way is the same.
To compare runs that are over: report --against.

Exit status: 0 nothing is worse, 1 something is, 2 wrong usage, 3 undecided or infrastructure, 4 nothing ran, 130
interrupted.")]
pub struct GateArgs {
    /// Part of a scenario's name, a pattern with `*`, or a scenario file that ends in .scn; all
    /// when none is given
    pub what: Vec<String>,
    /// How much is run; names, --flavor and --lifecycle narrow it
    #[arg(long, value_enum, default_value = "default")]
    pub group: Group,
    /// Leave out the derived controls: the same programs without their lazy unmounts,
    /// FAMILY/NAME+visible
    #[arg(long)]
    pub no_visible: bool,
    /// What the candidate is compared with: a subject, or the JSON report of a run (FILE.json)
    #[arg(long, value_name = "SUBJECT|FILE.json")]
    pub base: Base,
    /// What is tested; the forms are those of `run --subject`
    #[arg(long, value_name = "SUBJECT", long_help = candidate_help())]
    pub candidate: Subject,
    /// Patch on top of the candidate; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub patch: Vec<PathBuf>,
    /// Kernel, flavor, lifecycle
    #[command(flatten)]
    pub axes: AxesArgs,
    /// What the base dumps the candidate restores: does an upgrade of criu keep its images?
    #[arg(long)]
    pub cross: bool,
    /// Run every trial so often with each; what does not always come to the same is flaky
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub repeat: u32,
    /// Begin no trial after so many minutes, counted from the first one; the most telling come
    /// first
    #[arg(long, value_name = "MINUTES", value_parser = minutes)]
    pub budget: Option<Duration>,
    /// Programs that may share a process and a checkpoint: a number, auto, or off; what does not
    /// pass runs alone, and so does all that is run again
    #[arg(long, value_name = "N", default_value = "off", value_parser = super::run::pack)]
    pub pack: usize,
    /// Exit with 1 also where a trial fails in another way than before
    #[arg(long)]
    pub strict: bool,
    /// How the result is reported
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
    /// Write the result to files, too: json=FILE, html=FILE; separated by commas, or given more
    /// than once
    #[arg(long, value_name = "FORMAT=FILE", value_delimiter = ',')]
    pub report: Vec<Wanted>,
    /// Folder for the artifacts of what differs
    #[arg(long, value_name = "DIR", default_value = "zdtm-results")]
    pub keep: PathBuf,
    /// Colours: on a terminal, always, or never
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: ColourChoice,
    /// What trials run on; two VMs at least, one for each side
    #[command(flatten)]
    pub machines: MachineArgs,
}

/// The forms of a subject, for one that must be given, and once.
fn candidate_help() -> String {
    subject::HELP.replace("; may be given more than once [default: debian:trixie]", "")
}

/// How the result is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Human,
    /// One JSON document (docs/FORMATS.md)
    Json,
}

fn minutes(word: &str) -> Result<Duration, String> {
    let minutes = word.parse().ok().filter(|minutes: &f64| (0.0..=100_000.0).contains(minutes));
    minutes.map(|minutes| Duration::from_secs_f64(minutes * 60.0)).ok_or_else(|| "a number of minutes".to_owned())
}

/// Runs; the exit status.
///
/// # Errors
/// What keeps any trial from running.
pub fn run(args: &GateArgs) -> anyhow::Result<u8> {
    let reports = comparisons(&args.report)?;
    let session = args.machines.session()?;
    let settings = Settings {
        what: args.what.clone(),
        visible: !args.no_visible,
        base: args.base.clone(),
        candidate: args.candidate.clone(),
        cross: args.cross,
        patch: args.patch.clone(),
        axes: Axes { group: args.group, ..args.axes.axes() },
        repeat: args.repeat,
        budget: args.budget,
        pack: args.pack,
        keep: args.keep.clone(),
    };
    let comparison = gate::run(&session, &settings, &|comparison| reports.write_so_far(comparison))?;
    let text = match args.format {
        Format::Json => comparison.json(),
        Format::Human => comparison.text(Look::detect(args.color, Detail::Lines, reports.take_stdout())),
    };
    reports.write(&comparison, &text)?;
    Ok(comparison.exit_status(args.strict))
}
