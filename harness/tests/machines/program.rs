//! The program under test, as users call it.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use libtest_mimic::Failed;
use serde_json::Value;

/// The program with these arguments, in the folder of the tests.
pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zdtm-detached"));
    command.args(arguments);
    command
}

/// The program in another folder.
pub(crate) fn program_in(arguments: &[&str], folder: &Path) -> Command {
    let mut command = program(arguments);
    command.args(["--tree", concat!(env!("CARGO_MANIFEST_DIR"), "/..")]).current_dir(folder);
    command
}

/// All that it said, for people.
pub(crate) fn rendered(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}\n{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// Runs it with `--format json`: its exit status and its document.
pub(crate) fn document(arguments: &[&str]) -> Result<(Option<i32>, Value), Failed> {
    let output = program(arguments).args(["--format", "json"]).stderr(Stdio::inherit()).output()?;
    Ok((output.status.code(), serde_json::from_slice(&output.stdout)?))
}
