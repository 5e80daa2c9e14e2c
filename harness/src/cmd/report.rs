//! `report`: saved results once more: merged, in other formats.

use std::path::{Path, PathBuf};

use clap::Args;

use super::Usage;
use super::telling::TellingArgs;
use crate::judge::Trial;
use crate::report::merge::{ResultError, merge, read};
use crate::report::record::RunRecord;
use crate::report::terminal::Detail;
use crate::report::{Common, Event, Finished, Reporter};

/// Merge saved results, and write them in other formats.
///
/// Takes what `run --report json=FILE` wrote: the shards of a run, or several runs of the same trials. A trial that
/// passed in some results and failed in others becomes flaky; otherwise its latest result counts, and one that was never
/// begun gives way to one that was.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  zdtm-detached report shard-*.json                               the table of all shards
  zdtm-detached report report.json --report html=report.html      one page that needs no network
  zdtm-detached report results/ --report json=merged.json,junit=junit.xml

Exit status: as that of the run that the results come to.")]
pub struct ReportArgs {
    /// JSON reports, or folders that hold some
    #[arg(required = true, value_name = "RESULTS")]
    pub results: Vec<PathBuf>,
    /// How results are told
    #[command(flatten)]
    pub telling: TellingArgs,
}

/// Tells the results; the exit status.
///
/// # Errors
/// Results that cannot be read, a report that cannot be written.
pub fn run(args: &ReportArgs) -> anyhow::Result<u8> {
    let run = merge(read_all(&args.results)?);
    let finished: Vec<Finished> = run.trials.into_iter().map(Finished::try_from).collect::<Result<_, _>>()?;
    let trials = || finished.iter().map(|finished| -> &Trial { &finished.trial });
    let started = Event::RunStarted { trials: finished.len(), common: Common::of(trials()) };
    let ended = Event::RunFinished { seconds: run.summary.seconds, interrupted: false };
    let (mut terminal, mut reporters) = args.telling.open(Detail::Failures)?;
    let told = finished.into_iter().map(|finished| Event::TrialFinished(Box::new(finished)));
    for event in std::iter::once(started).chain(told).chain(std::iter::once(ended)) {
        reporters.event(&event)?;
        terminal.event(&event)?;
    }
    Ok(terminal.tally().exit_status(false))
}

/// Every report that is meant.
pub(super) fn read_all(given: &[PathBuf]) -> Result<Vec<RunRecord>, Usage> {
    let runs = files(given)?.iter().map(|file| read(file)).collect::<Result<Vec<_>, ResultError>>();
    runs.map_err(|error| Usage(error.to_string()))
}

/// The files that are meant: those of a folder are its `*.json`, by name.
fn files(given: &[PathBuf]) -> Result<Vec<PathBuf>, Usage> {
    let mut files = Vec::new();
    for path in given {
        if path.is_dir() {
            let found = folder(path).map_err(|error| Usage(format!("cannot list {}: {error}", path.display())))?;
            if found.is_empty() {
                return Err(Usage(format!("the folder {} has no file whose name ends in .json", path.display())));
            }
            files.extend(found);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn folder(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
    let paths = entries.into_iter().map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "json") && path.is_file()).collect();
    files.sort();
    Ok(files)
}
