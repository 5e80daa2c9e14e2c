//! Two subjects compared: does a candidate make anything worse, or better, than the base?
//!
//! Both run the same trials. A trial with different results runs again before the gate reports it.
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

mod ladder;
mod render;
mod rounds;
mod runs;
mod saved;
mod side;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use scenarios::Scenario;
use scenarios::visible::is_control;

use crate::notices::say;
use crate::plan::Axes;
use crate::plan::select::{select, select_with_controls};
use crate::report::comparison::Comparison;
use crate::report::epilogue;
use crate::report::merge::not_as_locked;
use crate::run::Task;
use crate::run::order::teaching_first;
use crate::session::{ExpectationsSource, Session};
use crate::subject::{Identity, Parts, ReferenceOptions, Subject, UnknownSubject};
use crate::usage::Usage;
use rounds::{GateRun, Runner};
pub use runs::{SavedSide, compare_runs};
use saved::Saved;

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

/// What a gate is to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Words that choose scenarios.
    pub what: Vec<String>,
    /// The derived controls, too.
    pub visible: bool,
    /// What the candidate is compared with.
    pub base: Base,
    /// What is tested.
    pub candidate: Subject,
    /// Patches on top of the candidate.
    pub patch: Vec<PathBuf>,
    /// The candidate restores what the base dumped.
    pub cross: bool,
    /// Kernel, flavor, lifecycle.
    pub axes: Axes,
    /// How often every trial is run with each.
    pub repeat: u32,
    /// No trial is begun after so long.
    pub budget: Option<Duration>,
    /// Programs that may share a process.
    pub pack: usize,
    /// Folder for the artifacts of what differs.
    pub keep: PathBuf,
}

/// The candidate as the one that restores what the base dumped.
fn crossed(settings: &Settings) -> Result<Subject, Usage> {
    let Base::Subject(base) = &settings.base else {
        return Err(Usage("--cross needs a base that dumps: a saved report has no images to restore".into()));
    };
    let candidate = &settings.candidate;
    let plain =
        || format!("--cross needs two criu without +coverage, +asan and +assist, and not {base} and {candidate}");
    Subject::crossed(base.clone(), candidate.clone()).ok_or_else(|| Usage(plain()))
}

/// What is compared. A saved base that was run without the controls is compared without them.
fn chosen(settings: &Settings, tree: &Path) -> anyhow::Result<Vec<Scenario>> {
    let named = select(&settings.what, tree);
    if !settings.visible {
        return named;
    }
    let mut chosen = select_with_controls(&settings.what, tree)?;
    if let Base::Saved(file) = &settings.base {
        let named: BTreeSet<String> = named.into_iter().flatten().map(|scenario| scenario.name).collect();
        let saved = saved::scenarios(file)?;
        chosen.retain(|one| !is_control(&one.name) || named.contains(&one.name) || saved.contains(&one.name));
    }
    Ok(chosen)
}

/// Runs both; the comparison. `so_far` gets the partial comparison after each round.
///
/// # Errors
/// What keeps any trial from running.
pub fn run(session: &Session, settings: &Settings, so_far: &dyn Fn(&Comparison)) -> anyhow::Result<Comparison> {
    let candidate = if settings.cross { crossed(settings)? } else { settings.candidate.clone() };
    let candidate = session.subjects(&[candidate], &settings.patch)?.remove(0);
    let mut subjects = vec![candidate.clone()];
    if let Base::Subject(base) = &settings.base {
        subjects.extend(session.subjects(std::slice::from_ref(base), &[])?);
    }
    session.check_backend(&subjects)?;
    let kernels = session.kernels(&settings.axes)?;
    let scenarios = chosen(settings, session.tree())?;
    let expectations = session.expectations(&ExpectationsSource::Project)?;
    let tasks = |subject: &Subject, kernel: &str| {
        teaching_first(settings.axes.tasks(kernel, subject, ReferenceOptions::default(), &scenarios))
    };
    let all: Vec<Task> = kernels.iter().flat_map(|kernel| tasks(&candidate, kernel)).collect();
    let saved = match &settings.base {
        Base::Saved(file) => Some(Saved::of(file, &all)?),
        Base::Subject(_) => None,
    };
    // The base first: where it does not build there is nothing to compare with.
    let base_parts = subjects.get(1).map(|base| base.prepare(session.store())).transpose().context("the base")?;
    let parts = candidate.prepare(session.store()).context("the candidate")?;
    let identities = identities(base_parts.iter().chain([&parts]));
    let start = Instant::now();
    let mut gate_run = GateRun::new(all, saved.as_ref());
    let of_base = saved.as_ref().map(|saved| &saved.not_as_locked[..]);
    let base = saved.as_ref().map_or_else(|| subjects[1].to_string(), |saved| format!("{} (saved)", saved.subject));
    let comparison = |gate_run: &GateRun, unlocked: &[String]| {
        let seconds = start.elapsed().as_secs_f64();
        let mut comparison = Comparison::new(base.clone(), candidate.to_string(), seconds);
        comparison.interrupted = crate::process::interrupt::requested();
        comparison.subjects.clone_from(&identities);
        comparison.not_as_locked = not_as_locked(of_base.into_iter().chain([unlocked]));
        let ends = gate_run.ends();
        comparison.ladder = ladder::of(ends.iter().map(|(pair, _)| *pair));
        for (pair, end) in ends {
            render::add(&mut comparison, pair, end, Some(&settings.keep));
        }
        comparison
    };
    let mut unlocked = Vec::new();
    for (number, kernel) in kernels.iter().enumerate() {
        let machines = |side: &str, parts| session.machines(kernel, parts, &scenarios, &format!("{number}-{side}"));
        let base_machines = base_parts.as_ref().map(|parts| machines("base", parts)).transpose()?;
        let machines = machines("candidate", &parts)?;
        unlocked = session.store().not_as_locked()?;
        let left = u32::try_from(kernels.len() - number).unwrap_or(u32::MAX);
        let runner = Runner {
            settings,
            session,
            expectations: &expectations,
            candidate: (tasks(&candidate, kernel), machines),
            base: base_machines.map(|machines| (tasks(&subjects[1], kernel), machines)),
            // What earlier kernels left of the budget is shared by the later ones.
            budget: settings.budget.map(|budget| budget.saturating_sub(start.elapsed()) / left),
        };
        gate_run.run(&runner, &mut |gate_run| so_far(&comparison(gate_run, &unlocked)));
    }
    Ok(comparison(&gate_run, &unlocked))
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
