//! `gate`: does this candidate make anything worse, or better, than the base?
//!
//! Both run the same trials; what is not the same is run again before it is told.
//!
//! - `compare`: what the runs of a trial come to
//! - `side`: running both
//! - `saved`: a base that was run before
//! - `runs`: two runs that are over, for `report --against`
//! - `ladder`: what comes back with each
//! - `render`: the entry of a pair in the comparison
//!
//! Both subjects run at the same time, each on machines of its own. So a slow minute of the host
//! slows both. The gate uses the judge's results before expectations. Expectations only decide, as
//! in `run`, whether a machine may go on.
//!
//! Differences are compared without what changes with every run: times, and the trial's number in
//! paths. What differs is run again, up to three times. Of the trials that changed from one cause
//! to another, one is run again. A trial that passed and failed with one subject is flaky when all
//! later runs agree, and undecided otherwise.

mod compare;
mod ladder;
mod render;
mod rounds;
pub(super) mod runs;
mod saved;
mod side;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use scenarios::Scenario;
use scenarios::visible::is_control;

use crate::args::AxesArgs;
use crate::args::MachineArgs;
use crate::args::output::comparisons;
use crate::plan::select::{select, select_with_controls};
use crate::report::Wanted;
use crate::report::comparison::Comparison;
use crate::report::epilogue;
use crate::report::notices::say;
use crate::report::terminal::{ColourChoice, Detail, Look};
use crate::run::Task;
use crate::run::order::teaching_first;
use crate::session::KnownFailures;
use crate::subject::{self, Identity, Parts, ReferenceOptions, Subject, UnknownSubject};
use crate::usage::Usage;
use rounds::{GateRun, Runner};
use saved::Saved;

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
    /// How the result is told
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

/// How the result is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Human,
    /// One JSON document (docs/FORMATS.md)
    Json,
}

/// What the candidate is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// A subject, run beside the candidate.
    Subject(Subject),
    /// The JSON report of a run.
    Saved(PathBuf),
}

impl FromStr for Base {
    type Err = UnknownSubject;

    fn from_str(word: &str) -> Result<Self, UnknownSubject> {
        match word.ends_with(".json") && !word.contains(':') {
            true => Ok(Self::Saved(word.into())),
            false => word.parse().map(Self::Subject),
        }
    }
}

fn minutes(word: &str) -> Result<Duration, String> {
    let minutes = word.parse().ok().filter(|minutes: &f64| (0.0..=100_000.0).contains(minutes));
    minutes.map(|minutes| Duration::from_secs_f64(minutes * 60.0)).ok_or_else(|| "a number of minutes".to_owned())
}

/// What is compared. A saved base that was run without the controls is compared without them.
fn chosen(args: &GateArgs, tree: &Path) -> anyhow::Result<Vec<Scenario>> {
    let named = select(&args.what, tree);
    if args.no_visible {
        return named;
    }
    let mut chosen = select_with_controls(&args.what, tree)?;
    if let Base::Saved(file) = &args.base {
        let named: BTreeSet<String> = named.into_iter().flatten().map(|scenario| scenario.name).collect();
        let saved = saved::scenarios(file)?;
        chosen.retain(|one| !is_control(&one.name) || named.contains(&one.name) || saved.contains(&one.name));
    }
    Ok(chosen)
}

/// Runs; the exit status.
///
/// # Errors
/// What keeps any trial from running.
pub fn run(args: &GateArgs) -> anyhow::Result<u8> {
    let reports = comparisons(&args.report)?;
    let session = args.machines.session()?;
    let candidate = session.subjects(std::slice::from_ref(&args.candidate), &args.patch)?.remove(0);
    let mut subjects = vec![candidate.clone()];
    if let Base::Subject(base) = &args.base {
        subjects.extend(session.subjects(std::slice::from_ref(base), &[])?);
    }
    session.check_backend(&subjects)?;
    let axes = args.axes.axes();
    let kernels = session.kernels(&axes)?;
    let scenarios = chosen(args, session.tree())?;
    let expectations = session.expectations(&KnownFailures::Project)?;
    let tasks = |subject: &Subject, kernel: &str| {
        teaching_first(axes.tasks(kernel, subject, ReferenceOptions::default(), &scenarios))
    };
    let all: Vec<Task> = kernels.iter().flat_map(|kernel| tasks(&candidate, kernel)).collect();
    let saved = match &args.base {
        Base::Saved(file) => Some(Saved::of(file, &all)?),
        Base::Subject(_) => None,
    };
    // The base first: where it does not build there is nothing to compare with.
    let base_parts = subjects.get(1).map(|base| base.prepare(session.store())).transpose().context("the base")?;
    let parts = candidate.prepare(session.store()).context("the candidate")?;
    let identities = identities(base_parts.iter().chain([&parts]));
    let start = Instant::now();
    let mut gate_run = GateRun::new(all, saved.as_ref());
    let base = saved.as_ref().map_or_else(|| subjects[1].to_string(), |saved| format!("{} (saved)", saved.subject));
    let comparison = |gate_run: &GateRun| {
        let seconds = start.elapsed().as_secs_f64();
        let mut comparison = Comparison::new(base.clone(), candidate.to_string(), seconds);
        comparison.interrupted = crate::process::interrupt::requested();
        comparison.subjects.clone_from(&identities);
        let ends = gate_run.ends();
        comparison.ladder = ladder::of(ends.iter().map(|(pair, _)| *pair));
        for (pair, end) in ends {
            render::add(&mut comparison, pair, end, Some(&args.keep));
        }
        comparison
    };
    for (number, kernel) in kernels.iter().enumerate() {
        let machines = |side: &str, parts| session.machines(kernel, parts, &scenarios, &format!("{number}-{side}"));
        let base_machines = base_parts.as_ref().map(|parts| machines("base", parts)).transpose()?;
        let machines = machines("candidate", &parts)?;
        let left = u32::try_from(kernels.len() - number).unwrap_or(u32::MAX);
        let runner = Runner {
            args,
            session: &session,
            expectations: &expectations,
            candidate: (tasks(&candidate, kernel), machines),
            base: base_machines.map(|machines| (tasks(&subjects[1], kernel), machines)),
            // What earlier kernels left of the budget is shared by the later ones.
            budget: args.budget.map(|budget| budget.saturating_sub(start.elapsed()) / left),
        };
        gate_run.run(&runner, &mut |gate_run| reports.write_so_far(&comparison(gate_run)));
    }
    let comparison = comparison(&gate_run);
    let text = match args.format {
        Format::Json => comparison.json(),
        Format::Human => comparison.text(Look::detect(args.color, Detail::Lines, reports.take_stdout())),
    };
    reports.write(&comparison, &text)?;
    Ok(comparison.exit_status(args.strict))
}

/// Which criu the sides are, each once; printed now, because the result comes late.
fn identities<'a>(sides: impl Iterator<Item = &'a Parts>) -> Vec<Identity> {
    let mut identities: Vec<Identity> = sides.filter_map(|parts| parts.identity.clone()).collect();
    identities.dedup();
    for identity in &identities {
        say(&epilogue::plain(&format!("{}: {identity}", identity.subject)));
    }
    identities
}

impl From<UnknownSubject> for Usage {
    fn from(error: UnknownSubject) -> Self {
        Self(error.to_string())
    }
}
