//! A program that never comes to its end is ended early, and the line that it is at is named.

use std::fs;

use libtest_mimic::Failed;
use serde_json::Value;

use super::ENDLESS;
use crate::program::{program_in, rendered};

/// The same in a process that the program made: the first one waits for it.
const IN_A_CHILD: &str = r"
# Another process waits for a writer.
requires fs=tmpfs
outcome restored

mount $fs a
mkfifo a/p
fork child
as child
fd0 = open a/p rdonly
as main
assert child.fd0 visible
";

/// Of each trial of these programs and of a good one: its scenario, verdict and reason.
fn trials_of(programs: &[(&str, &str)], more: &[&str]) -> Result<Vec<(String, String, String)>, Failed> {
    let folder = tempfile::tempdir()?;
    let mut words = vec!["run", "--backend", "host", "--subject", "reference", "--report", "json=report.json"];
    words.extend(more);
    let mut command = program_in(&words, folder.path());
    for (name, text) in programs {
        fs::write(folder.path().join(name), text)?;
        command.arg(format!("./{name}"));
    }
    let output = command.output()?;
    let report = fs::read(folder.path().join("report.json"));
    let report: Value = serde_json::from_slice(&report.map_err(|error| format!("{error}: {}", rendered(&output)))?)?;
    let word = |trial: &Value, key: &str| trial[key].as_str().unwrap_or_default().to_owned();
    let trials = report["trials"].as_array().ok_or("no trials")?;
    Ok(trials.iter().map(|trial| (word(trial, "scenario"), word(trial, "verdict"), word(trial, "reason"))).collect())
}

fn named(trials: &[(String, String, String)], scenario: &str, line: &str) -> Result<(), Failed> {
    let expected = format!("{line}: blocked: it has slept through 0.5 s, the limit of a step");
    match trials.iter().find(|(name, ..)| name == scenario) {
        Some((_, verdict, reason)) if verdict == "error" && reason.starts_with(&expected) => Ok(()),
        _ => Err(format!("not `{expected}`: {trials:#?}").into()),
    }
}

pub(super) fn a_blocked_step_is_named() -> Result<(), Failed> {
    let trials = trials_of(&[("endless.scn", ENDLESS), ("child.scn", IN_A_CHILD)], &[])?;
    named(&trials, "endless@tmpfs", "line 8: fd0 = open a/p rdonly")?;
    named(&trials, "child@tmpfs", "line 10: fd0 = open a/p rdonly")
}

/// Those that share its process are not to blame.
pub(super) fn a_blocked_step_in_a_pack_is_named() -> Result<(), Failed> {
    let trials = trials_of(&[("endless.scn", ENDLESS)], &["whole-bind/control*", "--pack", "8", "-j", "1"])?;
    named(&trials, "endless@tmpfs", "line 8: fd0 = open a/p rdonly")?;
    let passed = trials.iter().filter(|(_, verdict, _)| verdict == "pass").count();
    if trials.len() < 3 || passed + 1 != trials.len() {
        return Err(format!("one of {} trials is to blame: {trials:#?}", trials.len()).into());
    }
    Ok(())
}
