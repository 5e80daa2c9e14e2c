//! A campaign that knows no scenario finds a mistake that was built in, and hands over a short program.

use std::process::{Command, Stdio};

use libtest_mimic::Failed;

pub(crate) fn a_campaign_finds_a_mistake() -> Result<(), Failed> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zdtm-detached"));
    command.args(["selftest", "--fuzz", "mount-ro-lost", "--backend", "host", "--format", "json"]);
    let output = command.stderr(Stdio::inherit()).output()?;
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let row = &rows[0];
    let text = row["program"].as_str().unwrap_or_default();
    let program = scenarios::text::program(text.trim_start_matches("# Generated.\noutcome restored\n"));
    let is_read_only = text.lines().any(|line| line.split(' ').any(|word| word == "ro"));
    match (output.status.code(), program) {
        (Some(0), Ok(_)) if is_read_only => Ok(()),
        (status, program) => Err(format!("ended with {status:?}: {row:#}, {program:?}").into()),
    }
}
