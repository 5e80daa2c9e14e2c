//! Trials in which nothing is done to the process: the harness alone makes no difference.

use libtest_mimic::Failed;
use serde_json::Value;

use crate::program::{program, rendered};

/// The kernel changes its times when it is read.
const QUEUE: &str = r#"# A file that has its times changed by whoever reads it.
requires fs=tmpfs
outcome restored

mount $fs a
mount mqueue a
write a/queue ""
fd0 = open a/queue
fd1 = open a directory
assert fd0 visible
"#;

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
    let folder = tempfile::tempdir()?;
    let queue = folder.path().join("queue.scn");
    std::fs::write(&queue, QUEUE)?;
    let (queue, all) =
        (untouched(&[queue.to_str().ok_or("a folder with an odd name")?])?, untouched(&["--no-probes"])?);
    if (queue, all > 900) == (1, true) { Ok(()) } else { Err(format!("{queue} and {all} passed").into()) }
}

pub(crate) fn a_process_can_do_what_its_twin_can() -> Result<(), Failed> {
    let some = untouched(&["--shard", "1/5"])?;
    if some > 150 { Ok(()) } else { Err(format!("{some} passed").into()) }
}
