//! The one trial that a word of the command line means: that of an artifacts folder, as it was; of a scenario file; of a
//! name of the catalogue.

use std::fs;
use std::path::{Path, PathBuf};

use scenarios::Scenario;

use super::Usage;
use super::plan::Axes;
use super::select::{files, select};
use crate::host::KERNEL_PREFIX;
use crate::machine::Backend;
use crate::report::record::TrialRecord;
use crate::subject::Subject;

/// A scenario, and the trial of it that was saved, if it is one.
pub(super) struct One {
    pub(super) scenario: Scenario,
    pub(super) saved: Option<TrialRecord>,
    /// The folder of the trial.
    pub(super) folder: Option<PathBuf>,
}

/// What `word` means.
///
/// # Errors
/// [`Usage`]: nothing, or more than one scenario.
pub(super) fn one(word: &str, tree: &Path) -> anyhow::Result<One> {
    if let Some(folder) = folder(Path::new(word)) {
        let (scenario, record) = saved(&folder)?;
        return Ok(One { scenario, saved: Some(record), folder: Some(folder) });
    }
    let mut chosen = select(&[word.to_owned()], tree)?;
    if chosen.len() != 1 {
        let names: Vec<&str> = chosen.iter().take(5).map(|scenario| scenario.name.as_str()).collect();
        let more = if chosen.len() > names.len() { ", ..." } else { "" };
        let which = if names.is_empty() { String::new() } else { format!(": {}{more}", names.join(", ")) };
        let hint = "name a trial's folder, a scenario file that is one scenario, or one name of `zdtm-detached list`";
        return Err(Usage(format!("{word} is {} scenarios{which}; {hint}", chosen.len())).into());
    }
    Ok(One { scenario: chosen.remove(0), saved: None, folder: None })
}

/// The folder of a trial that is meant, by itself or by a file in it; none for anything else.
pub(super) fn folder(what: &Path) -> Option<PathBuf> {
    if what.is_dir() {
        return Some(what.to_owned());
    }
    let beside = what.parent().filter(|folder| folder.join("verdict.json").is_file());
    beside.map(Path::to_owned)
}

/// A trial as it was saved.
///
/// # Errors
/// [`Usage`]: the folder holds none.
pub(super) fn saved(folder: &Path) -> Result<(Scenario, TrialRecord), Usage> {
    let file = folder.join("verdict.json");
    let wrong = |why: &dyn std::fmt::Display| {
        Usage(format!("{} is no folder of a trial: {}: {why}", folder.display(), file.display()))
    };
    let text = fs::read_to_string(&file).map_err(|error| wrong(&error))?;
    let record: TrialRecord = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
    let program = folder.join("program.scn");
    let mut scenarios = files(&[&program])?;
    if scenarios.len() != 1 {
        return Err(Usage(format!("{}: not one scenario but {}", program.display(), scenarios.len())));
    }
    let mut scenario = scenarios.remove(0);
    scenario.name.clone_from(&record.scenario);
    scenario.family.clone_from(&record.family);
    Ok((scenario, record))
}

/// What the command line leaves open is as it was.
///
/// # Errors
/// [`Usage`]: the saved subject is none of this version's.
pub(super) fn as_it_was(
    record: &TrialRecord,
    subject: &mut Vec<Subject>,
    axes: &mut Axes,
    backend: &mut Backend,
) -> Result<(), Usage> {
    if subject.is_empty() {
        *subject = vec![record.subject.parse().map_err(|error| Usage(format!("the saved subject: {error}")))?];
    }
    if record.kernel.starts_with(KERNEL_PREFIX) {
        *backend = Backend::Host;
    } else if axes.kernel.is_empty() {
        axes.kernel = vec![record.kernel.clone()];
    }
    if axes.flavor.is_empty() {
        axes.flavor = vec![record.flavor];
    }
    if axes.lifecycle.is_empty() {
        axes.lifecycle = vec![record.lifecycle];
    }
    Ok(())
}
