//! Trials in real VMs with the real criu: the binary as users call it, one scenario a test, names filterable.

use std::process::Command;

use libtest_mimic::{Arguments, Failed, Trial};

/// A scenario and the verdict and kind that the JSON report must give it: stock criu's known behaviour.
const CASES: [(&str, &str, Option<&str>); 3] = [
    ("hard-link/control@tmpfs", "xfail", Some("litter")),
    ("deleted/written-since@tmpfs", "xfail", Some("dump-failed")),
    ("only-mount/both-mounts@tmpfs", "pass", None),
];

fn main() {
    let test = |(scenario, verdict, kind)| Trial::test(scenario, move || run(scenario, verdict, kind));
    libtest_mimic::run(&Arguments::from_args(), CASES.into_iter().map(test).collect()).exit();
}

fn run(scenario: &str, verdict: &str, kind: Option<&str>) -> Result<(), Failed> {
    let keep = tempfile::tempdir()?;
    let report = keep.path().join("report.json");
    let output = Command::new(env!("CARGO_BIN_EXE_zdtm-detached"))
        .args(["run", scenario, "-j", "1", "--report", &format!("json={}", report.display()), "--keep"])
        .arg(keep.path())
        .output()?;
    let told = format!(
        "{}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let text = std::fs::read(&report).map_err(|error| format!("no report: {error}\n{told}"))?;
    let document: serde_json::Value = serde_json::from_slice(&text)?;
    let trials = document["trials"].as_array().map(Vec::as_slice).unwrap_or_default();
    let as_known = |trial: &serde_json::Value| {
        trial["scenario"] == scenario && trial["verdict"] == verdict && trial["kind"].as_str() == kind
    };
    if output.status.code() != Some(0) || trials.len() != 1 || !as_known(&trials[0]) {
        return Err(format!("expected one {verdict} {kind:?} and exit status 0; got {trials:?}\n{told}").into());
    }
    Ok(())
}
