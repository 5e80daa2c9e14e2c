//! `list` and `show`: the catalogue for people and programs.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal as _, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use scenarios::capability::{self, Profile};
use scenarios::visible::is_control;
use scenarios::{Outcome, Scenario};
use serde_json::{Map, Value, json};

use super::coverage::{self, Paper};
use crate::cache::error::ImageError;
use crate::exit;
use crate::image::tree;
use crate::notices::{print, say};
use crate::plan::Axes;
use crate::plan::group::Group;
use crate::plan::select::{NoMatch, select, select_with_controls};
use crate::report::terminal::{ColourChoice, Detail, Look};
use crate::sanitize::{sanitized, sanitized_lines};
use crate::usage::Usage;

/// List scenarios: names, and what each is about.
///
/// A name is FAMILY/SCENARIO, with @ and what was chosen where a scenario is there for several
/// filesystems or modes. Any part of it chooses trials in the other commands.
///
/// `--coverage` prints the map of what the catalogue must cover instead: filesystems, mounts,
/// objects, names, lifecycles and more, point by point. Each point has the number of scenarios and
/// of files that are on it, and the file that needs an implementation to get least right. Where
/// there is none, it says which step or word is missing, or why the scenario was not written.
/// Points are computed from the programs.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  zdtm-detached list\n  zdtm-detached list 'deleted/*' --needs\n  zdtm-detached list 'deleted/*@ext4' --format json\n  zdtm-detached list --groups\n  zdtm-detached list --coverage\n  zdtm-detached list 'file-bind/*' --coverage"
)]
pub struct ListArgs {
    /// Part of a scenario's name, or a pattern with `*`; all when none is given
    pub filter: Vec<String>,
    /// Instead of the summary, what a scenario needs an implementation to get right: its bases and
    /// capabilities
    #[arg(long)]
    pub needs: bool,
    /// Instead of scenarios, what `run --group` runs of the chosen ones, and how much that is
    #[arg(long, conflicts_with_all = ["needs", "coverage"])]
    pub groups: bool,
    /// Instead of scenarios, the map of what the catalogue must cover; with FILTERs, what the
    /// chosen scenarios cover of it (controls only where a FILTER names them with `+visible`)
    #[arg(long, conflicts_with = "needs")]
    pub coverage: bool,
    /// For people or for programs
    #[arg(long, default_value = "human")]
    pub format: ListFormat,
    #[command(flatten)]
    tree: TreeArgs,
}

/// Where the catalogue is.
#[derive(Args, Clone, Debug)]
pub struct TreeArgs {
    /// Source tree, or `embedded` for the one in this program [default: the checkout that this
    /// program was built from, else `embedded`]
    #[arg(long, value_name = "DIR", env = "ZDTM_DETACHED_TREE")]
    tree: Option<PathBuf>,
}

/// Show a scenario's program, what it needs and what it expects.
///
/// The program is printed with its choices filled in, as it runs, and with its bases and
/// capabilities. Put into a file that ends in .scn it is a scenario of your own
/// (docs/AUTHORING.md).
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  zdtm-detached show deleted/unlinked@ext4,rdwr,whole\n  zdtm-detached show ./mine.scn"
)]
pub struct ShowArgs {
    /// A scenario's name, or a file that ends in .scn
    pub what: String,
    #[command(flatten)]
    tree: TreeArgs,
}

/// How a list is written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ListFormat {
    /// A line each
    Human,
    /// One JSON array
    Json,
}

impl TreeArgs {
    /// The source tree, or what of it is embedded.
    ///
    /// # Errors
    /// See [`tree::locate`].
    pub(super) fn locate(&self) -> Result<PathBuf, ImageError> {
        tree::locate(self.tree.as_deref())
    }

    /// A source tree that can be written to.
    ///
    /// # Errors
    /// See [`tree::checkout`].
    pub(super) fn checkout(&self) -> Result<PathBuf, ImageError> {
        tree::checkout(self.tree.as_deref())
    }
}

fn outcome(scenario: &Scenario) -> String {
    match &scenario.outcome {
        Outcome::Restored => "restored".to_owned(),
        Outcome::Refused { .. } => "refused".to_owned(),
    }
}

/// Lists; the exit status.
///
/// # Errors
/// [`NoMatch`], a catalogue that cannot be read, an output that cannot be written.
pub fn list(args: &ListArgs) -> anyhow::Result<u8> {
    let choose = if args.groups { select_with_controls } else { select };
    let chosen = match choose(&args.filter, &args.tree.locate()?) {
        Err(error) if error.is::<NoMatch>() && matches!(args.format, ListFormat::Json) => {
            print("[]\n")?;
            return Err(error);
        }
        chosen => chosen?,
    };
    let mut out = io::stdout().lock();
    if args.coverage {
        write!(out, "{}", map(&chosen, args.format))?;
        return Ok(exit::AS_EXPECTED);
    }
    if args.groups {
        write!(out, "{}", groups(&chosen, args.format))?;
        return Ok(exit::AS_EXPECTED);
    }
    match args.format {
        ListFormat::Human => {
            for scenario in &chosen {
                let text = if args.needs { needs(scenario) } else { scenario.summary.clone() };
                let line = format!("{:<44} {:<9} {text}", scenario.name, outcome(scenario));
                writeln!(out, "{}", sanitized(&line))?;
            }
        }
        ListFormat::Json => {
            let rows: Vec<_> = chosen.iter().map(row).collect();
            writeln!(out, "{:#}", Value::from(rows))?;
        }
    }
    Ok(exit::AS_EXPECTED)
}

/// What each group has of these scenarios.
fn groups(chosen: &[Scenario], format: ListFormat) -> String {
    let rows = Group::value_variants().iter().filter_map(|&group| {
        let value = group.to_possible_value()?;
        let own: Vec<_> = chosen.iter().filter(|one| group.has_controls() || !is_control(&one.name)).cloned().collect();
        let trials = Axes { group, ..Axes::default() }.combinations(&own);
        let names: BTreeSet<&str> = trials.iter().map(|(scenario, ..)| &*scenario.name).collect();
        let about = value.get_help().map(ToString::to_string).unwrap_or_default();
        Some((value.get_name().to_owned(), names.len(), trials.len(), about))
    });
    match format {
        ListFormat::Human => {
            let line = |(group, scenarios, trials, about)| format!("{group:<8} {scenarios:>9} {trials:>6}  {about}\n");
            format!("group    scenarios trials\n{}", rows.map(line).collect::<String>())
        }
        ListFormat::Json => {
            let row = |(group, scenarios, trials, _)| json!({"group": group, "scenarios": scenarios, "trials": trials});
            format!("{:#}\n", Value::from_iter(rows.map(row)))
        }
    }
}

/// What these scenarios cover.
fn map(chosen: &[Scenario], format: ListFormat) -> String {
    let map = scenarios::coverage::coverage(chosen);
    match format {
        ListFormat::Human => {
            let look = Look::detect(ColourChoice::Auto, Detail::Lines, false);
            let width = io::stdout().is_terminal().then_some(look.width);
            coverage::human(&map, Paper { width, colour: look.colour })
        }
        ListFormat::Json => format!("{:#}\n", coverage::json(&map)),
    }
}

/// `whole, subdir; deleted, hard-link`: the bases, the capabilities.
fn needs(scenario: &Scenario) -> String {
    let Profile { bases, capabilities } = capability::profile(&scenario.program);
    let bases: Vec<_> = bases.iter().map(|base| base.word()).collect();
    let capabilities: Vec<_> = capabilities.iter().map(|capability| capability.word()).collect();
    let between = if capabilities.is_empty() { "" } else { "; " };
    format!("{}{between}{}", bases.join(", "), capabilities.join(", "))
}

fn row(scenario: &Scenario) -> Value {
    let Profile { bases, capabilities } = capability::profile(&scenario.program);
    let axes: Map<String, Value> =
        scenario.requires.axes.iter().map(|(axis, value)| (axis.clone(), value.clone().into())).collect();
    json!({
        "name": scenario.name,
        "family": scenario.family,
        "summary": scenario.summary,
        "requires": axes,
        "outcome": outcome(scenario),
        "bases": bases,
        "capabilities": capabilities,
        "file": scenario.file,
    })
}

/// Shows one scenario; the exit status.
///
/// # Errors
/// As for [`list`].
pub fn show(args: &ShowArgs) -> anyhow::Result<u8> {
    let found = select(std::slice::from_ref(&args.what), &args.tree.locate()?)?;
    let [scenario, others @ ..] = &found[..] else {
        return Err(Usage(format!("{} holds no scenario", args.what)).into());
    };
    if !others.is_empty() {
        let more = format!("`zdtm-detached list '{}'` shows their names", args.what);
        say(&format!("this is {}, and there are {} more; {more}", scenario.name, others.len()));
    }
    let text = scenarios::text::print_scenario(scenario);
    let (summary, rest) = text.split_once('\n').unwrap_or((&text, ""));
    print(&sanitized_lines(&format!("{summary}\n# Needs: {}.\n{rest}", needs(scenario))))?;
    Ok(exit::AS_EXPECTED)
}
