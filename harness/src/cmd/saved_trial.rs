//! The trial that an argument of the command line names: one saved in a folder of artifacts, the
//! scenario of a file, or one scenario of the catalogue.

use std::fs;
use std::path::{Path, PathBuf};

use scenarios::Scenario;

use crate::args::AxesArgs;
use crate::host::KERNEL_PREFIX;
use crate::image::OwnKernel;
use crate::machine::Backend;
use crate::plan::select::{files, select};
use crate::report::epilogue::quoted;
use crate::report::record::TrialRecord;
use crate::subject::Subject;
use crate::usage::Usage;

/// The shrunk program in the folder of a trial.
pub(super) const SHRUNK: &str = "program.min.scn";

/// The scenario that was named; with the saved trial, where it came from one.
pub(super) struct NamedTrial {
    pub(super) scenario: Scenario,
    pub(super) saved: Option<TrialRecord>,
    /// The folder of the trial.
    pub(super) folder: Option<PathBuf>,
}

/// The trial that `word` names.
///
/// # Errors
/// [`Usage`]: nothing, or more than one scenario.
pub(super) fn named_trial(word: &str, tree: &Path) -> anyhow::Result<NamedTrial> {
    if let Some(folder) = folder(Path::new(word)) {
        let (scenario, record) = read(&folder)?;
        return Ok(NamedTrial { scenario, saved: Some(record), folder: Some(folder) });
    }
    let mut chosen = select(&[word.to_owned()], tree)?;
    if chosen.len() != 1 {
        let names: Vec<&str> = chosen.iter().take(5).map(|scenario| scenario.name.as_str()).collect();
        let more = if chosen.len() > names.len() { ", ..." } else { "" };
        let which = if names.is_empty() { String::new() } else { format!(": {}{more}", names.join(", ")) };
        let hint = "name a trial's folder, a scenario file that is one scenario, or one name of `zdtm-detached list`";
        return Err(Usage(format!("{word} is {} scenarios{which}; {hint}", chosen.len())).into());
    }
    Ok(NamedTrial { scenario: chosen.remove(0), saved: None, folder: None })
}

/// The folder of the trial that a path names: the folder itself or a file in it.
pub(super) fn folder(what: &Path) -> Option<PathBuf> {
    if what.is_dir() {
        return Some(what.to_owned());
    }
    let beside = what.parent().filter(|folder| folder.join("verdict.json").is_file());
    beside.map(Path::to_owned)
}

/// Reads a saved trial.
///
/// # Errors
/// [`Usage`]: the folder holds none.
pub(super) fn read(folder: &Path) -> Result<(Scenario, TrialRecord), Usage> {
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

/// What the command line leaves open is as it was. A folder may come from somebody else, so it
/// never decides that anything of it is executed outside a VM: neither the backend is taken from
/// it, nor a subject that is built or started on this machine.
///
/// # Errors
/// [`Usage`]: this version does not know the saved subject, or needs it as an argument.
pub(super) fn as_it_was(
    record: &TrialRecord,
    subject: &mut Vec<Subject>,
    axes: &mut AxesArgs,
    backend: Backend,
) -> Result<(), Usage> {
    if subject.is_empty() {
        let saved: Subject = record.subject.parse().map_err(|error| Usage(format!("the saved subject: {error}")))?;
        if saved.acts_on_this_machine() {
            return Err(Usage(format!(
                "the saved trial tested {saved}, which is built or started on this machine, outside a VM; a folder \
                 does not decide that: type --subject {}, or another subject",
                quoted(&saved.to_string())
            )));
        }
        *subject = vec![saved];
    }
    let in_vm = !record.kernel.starts_with(KERNEL_PREFIX);
    if in_vm && axes.kernel.is_empty() && backend == Backend::Vm {
        if OwnKernel::is_named_by(&record.kernel) {
            let kernel = quoted(&record.kernel);
            return Err(Usage(format!(
                "the saved trial's kernel is {kernel}; no report says that, name one with --kernel"
            )));
        }
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

/// Only a word of the user has a trial run on this machine's own kernel once more: `--backend
/// host`.
///
/// # Errors
/// [`Usage`]: it ran there, and neither that nor a VM's kernel was asked for.
pub(super) fn ask_for_the_host(record: &TrialRecord, axes: &AxesArgs, backend: Backend) -> Result<(), Usage> {
    let in_vm = !record.kernel.starts_with(KERNEL_PREFIX);
    if in_vm || backend == Backend::Host || !axes.kernel.is_empty() {
        return Ok(());
    }
    Err(Usage(format!(
        "the saved trial ran without a VM, on a machine's own kernel ({}); a folder does not decide that its program \
         runs here: type --backend host if you trust program.scn, or --kernel 6.12 for a VM, where another kernel may \
         come to another verdict and there are disks and device nodes that a machine may lack",
        record.kernel
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::finished;
    use crate::judge::{Judgement, Verdict};

    #[test]
    fn a_folder_does_not_have_a_kernel_built() {
        let mut record = TrialRecord::from(&finished("a/b", Judgement::plain(Verdict::Pass, "")));
        record.subject = "reference".to_owned();
        let mut axes = AxesArgs::default();
        for own in ["src:/somewhere", "git:.@HEAD", "path:vmlinux"] {
            record.kernel = own.to_owned();
            let error = as_it_was(&record, &mut Vec::new(), &mut axes, Backend::Vm).unwrap_err().to_string();
            assert!(error.contains("name one with --kernel"), "{error}");
        }
        record.kernel = "6.18.0-rc3".to_owned();
        as_it_was(&record, &mut Vec::new(), &mut axes, Backend::Vm).unwrap();
        assert_eq!(axes.kernel, ["6.18.0-rc3"]);
    }
}
