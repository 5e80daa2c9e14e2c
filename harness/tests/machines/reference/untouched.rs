//! Trials in which nothing is done to the process: the harness alone makes no difference.

use libtest_mimic::Failed;
use serde_json::Value;

use crate::program::{program, rendered};

/// How many trials passed, where all did that could be made here.
fn untouched(more: &[&str]) -> Result<usize, Failed> {
    let folder = tempfile::tempdir()?;
    let report = folder.path().join("report.json");
    let words = ["run", "--backend", "host", "--subject", "reference", "--lifecycle", "untouched"];
    let to = format!("json={}", report.display());
    let output = program(&[&words[..], more, &["--report", &to]].concat()).output()?;
    if !output.status.success() {
        return Err(rendered(&output).into());
    }
    let report: Value = serde_json::from_slice(&std::fs::read(&report)?)?;
    let trials = report["trials"].as_array().ok_or("no list of trials")?;
    Ok(trials.iter().filter(|trial| trial["verdict"] == "pass").count())
}

pub(crate) fn looking_changes_nothing() -> Result<(), Failed> {
    let some = untouched(&["--no-probes", "--shard", "1/3"])?;
    if some > 300 { Ok(()) } else { Err(format!("{some} passed").into()) }
}

pub(crate) fn a_process_can_do_what_its_twin_can() -> Result<(), Failed> {
    let some = untouched(&["--shard", "1/10"])?;
    if some > 80 { Ok(()) } else { Err(format!("{some} passed").into()) }
}
