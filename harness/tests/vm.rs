//! Trials in real VMs with the real criu: the binary as users call it, one scenario a test, names filterable.

use std::process::Command;

use libtest_mimic::{Arguments, Failed, Trial};

/// A scenario and what its line of the run must say: stock criu's known behaviour.
const CASES: [(&str, &str); 3] = [
    ("hard-link/control@tmpfs", "xfail(litter)"),
    ("deleted/written-since@tmpfs", "xfail(dump-failed)"),
    ("only-mount/both-mounts@tmpfs", "pass"),
];

fn main() {
    let tests = CASES.into_iter().map(|(scenario, word)| Trial::test(scenario, move || run(scenario, word)));
    libtest_mimic::run(&Arguments::from_args(), tests.collect()).exit();
}

fn run(scenario: &str, word: &str) -> Result<(), Failed> {
    let keep = tempfile::tempdir()?;
    let output = Command::new(env!("CARGO_BIN_EXE_zdtm-detached"))
        .args(["run", scenario, "-j", "1", "--keep"])
        .arg(keep.path())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    if output.status.code() != Some(0) || !text.contains(word) {
        return Err(format!("expected {word}, exit status 0; got {}\n{text}\n{errors}", output.status).into());
    }
    Ok(())
}
