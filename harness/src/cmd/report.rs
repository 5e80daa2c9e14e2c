//! `report`: saved results once more: merged, in other formats, or held against those of another
//! run.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::args::output::{OutputArgs, comparisons};
use crate::exit;
use crate::gate::{SavedSide, compare_runs};
use crate::judge::Trial;
use crate::report::merge::{ResultError, check_number, merge, read};
use crate::report::record::RunRecord;
use crate::report::terminal::{Detail, Look};
use crate::report::zdtm::read::is_of_zdtm;
use crate::report::zdtm::{self, Numbers};
use crate::report::{Event, Finished, Reporter, SharedAxes};
use crate::usage::Usage;

/// Merge saved results, compare them, and write them in other formats.
///
/// Takes what `run --report json=FILE` wrote: the shards of a run, or several runs of the same
/// trials. A trial that passed in some results and failed in others becomes flaky; otherwise its
/// latest result counts, and one that was never begun gives way to one that was.
///
/// With results of CRIU's own tests (zdtm) beside, one page shows both suites of a CRIU patch.
///
/// With `--against` nothing is merged: the results are compared with those of another run, in the
/// words of `gate`. What each has only one of, its subject or its kernel, may be another one;
/// several reports of a side are several runs of its trials. Nothing is run again, so what comes
/// and goes shows as worse or better unless there are several.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  zdtm-detached report shard-*.json                               the table of all shards
  zdtm-detached report report.json --report html=report.html      one page that needs no network
  zdtm-detached report results/ --report json=merged.json,junit=junit.xml
  zdtm-detached report report.json criu-testreport.tap --report html=report.html   with the results of zdtm.py --report
  zdtm-detached report --against yesterday.json today.json        what got worse, what got better
  zdtm-detached report --against old.json new.json --report html=changes.html

Exit status: as that of the run that the results come to; with --against as that of gate: 0 nothing is worse, 1 something
is, 2 wrong usage, 3 undecided, 4 no trial is in both.")]
pub struct ReportArgs {
    /// JSON reports, results of CRIU's own tests (`criu-testreport.tap` of `zdtm.py --report`,
    /// `NAME.out` of a test), or folders that hold some
    #[arg(required = true, value_name = "RESULTS")]
    pub results: Vec<PathBuf>,
    /// Compare with this JSON report, or folder of reports, as `gate` does; may be given more than
    /// once
    #[arg(long, value_name = "BASE.json")]
    pub against: Vec<PathBuf>,
    /// With --against: exit with 1 also where a trial fails in another way than before
    #[arg(long, requires = "against")]
    pub strict: bool,
    /// How results are reported
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Tells the results; the exit status.
///
/// # Errors
/// Results that cannot be read, a report that cannot be written.
pub fn run(args: &ReportArgs) -> anyhow::Result<u8> {
    if !args.against.is_empty() {
        return compare(args);
    }
    let (of_zdtm, results): (Vec<PathBuf>, Vec<PathBuf>) =
        files(&args.results)?.into_iter().partition(|file| is_of_zdtm(file));
    let mut run = merge(read_files(&results)?);
    run.zdtm.extend(zdtm::read::read_all(&of_zdtm).map_err(|error| Usage(error.to_string()))?);
    let numbers = Numbers::of(&run.zdtm);
    let finished: Vec<Finished> = run.trials.into_iter().map(Finished::try_from).collect::<Result<_, _>>()?;
    let trials = || finished.iter().map(|finished| -> &Trial { &finished.trial });
    let started = Event::RunStarted { trials: finished.len(), shared: SharedAxes::of(trials()) };
    let subjects = Some(run.subjects).filter(|all| !all.is_empty()).map(Event::Subjects);
    let not_as_locked = Some(run.not_as_locked).filter(|all| !all.is_empty()).map(Event::NotAsLocked);
    let zdtm = Some(run.zdtm).filter(|all| !all.is_empty()).map(Event::Zdtm);
    let ended = Event::RunFinished { seconds: run.summary.seconds, interrupted: false };
    let (mut terminal, mut reporters) = args.output.open(Detail::Failures)?;
    let finished = finished.into_iter().map(|finished| Event::TrialFinished(Box::new(finished)));
    let before = std::iter::once(started).chain(subjects).chain(not_as_locked);
    for event in before.chain(finished).chain(zdtm).chain(std::iter::once(ended)) {
        reporters.event(&event)?;
        terminal.event(&event)?;
    }
    Ok(match terminal.tally().exit_status(false) {
        exit::NOTHING_RAN if numbers.passed > 0 && numbers.failed == 0 => exit::AS_EXPECTED,
        exit::AS_EXPECTED | exit::INFRASTRUCTURE | exit::NOTHING_RAN if numbers.failed > 0 => exit::FAILED,
        status => status,
    })
}

/// Holds the results against others; the exit status of a gate.
fn compare(args: &ReportArgs) -> anyhow::Result<u8> {
    let reports = comparisons(&args.output.report)?;
    let side = |paths: &[PathBuf]| {
        let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        Ok::<_, Usage>(SavedSide { name: names.join(", "), runs: read_all(paths)? })
    };
    let comparison = compare_runs(side(&args.against)?, side(&args.results)?)?;
    let detail = if args.output.verbose { Detail::Reasons } else { Detail::Failures };
    let text = comparison.text(Look::detect(args.output.color, detail, reports.take_stdout()));
    reports.write(&comparison, &text)?;
    Ok(comparison.exit_status(args.strict))
}

/// Every report that is meant.
pub(super) fn read_all(given: &[PathBuf]) -> Result<Vec<RunRecord>, Usage> {
    read_files(&files(given)?)
}

fn read_files(files: &[PathBuf]) -> Result<Vec<RunRecord>, Usage> {
    let runs = files.iter().map(|file| read(file)).collect::<Result<Vec<_>, ResultError>>();
    let runs = runs.map_err(|error| Usage(error.to_string()))?;
    check_number(runs.iter().map(|run| run.trials.len()).sum()).map_err(Usage)?;
    Ok(runs)
}

/// The files that are meant: of a folder its `*.json` and the reports of zdtm.py, by name.
fn files(given: &[PathBuf]) -> Result<Vec<PathBuf>, Usage> {
    let mut files = Vec::new();
    for path in given {
        if path.is_dir() {
            let found = folder(path).map_err(|error| Usage(format!("cannot list {}: {error}", path.display())))?;
            if found.is_empty() {
                return Err(Usage(format!(
                    "the folder {} has no file whose name ends in .json, and no criu-testreport.tap",
                    path.display()
                )));
            }
            files.extend(found);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

/// Those of a folder.
fn folder(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
    let paths = entries.into_iter().map(|entry| entry.path());
    // Other TAP may be a report of this program, which says the same as its JSON.
    let is_meant = |path: &PathBuf| {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        name.ends_with(".json") || name.starts_with("criu-testreport") && name.ends_with(".tap")
    };
    let mut files: Vec<PathBuf> = paths.filter(|path| is_meant(path) && path.is_file()).collect();
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_folder_only_results_are_read() {
        let place = tempfile::tempdir().unwrap();
        for name in ["b.json", "run.tap", "criu-testreport.1.tap", "env00.out", "notes"] {
            std::fs::write(place.path().join(name), "").unwrap();
        }
        let names = folder(place.path()).unwrap().into_iter().map(|path| path.file_name().unwrap().to_owned());
        assert_eq!(names.collect::<Vec<_>>(), ["b.json", "criu-testreport.1.tap"]);
    }
}
