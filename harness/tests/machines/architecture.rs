//! Guests for arm64: on amd64 QEMU translates their code, on arm64 they are the usual ones.

#![allow(clippy::unwrap_used, reason = "what fails here is the end of the test")]

use std::collections::BTreeMap;
use std::fs;

use libtest_mimic::{Arguments, Trial};
use serde_json::Value;

use crate::program::{program, rendered};

const KERNEL: &str = "6.12-arm64";

pub(crate) fn tests(_: &Arguments) -> Vec<Trial> {
    trials!(None => a_guest_for_arm64_runs_trials_of_criu_and_of_the_reference_engine)
}

/// A detached file and an ordinary one, on copies of a saved VM.
fn a_guest_for_arm64_runs_trials_of_criu_and_of_the_reference_engine() {
    let (detached, control) = ("whole-bind/file@ext4,rdwr", "whole-bind/control@ext4");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    let mut command = program(&["run", detached, control, "--kernel", KERNEL, "-j", "1"]);
    command.args(["--subject", "reference", "--subject", "debian:trixie"]).arg("--keep").arg(folder.path());
    let output = command.arg("--report").arg(format!("json={}", file.display())).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", rendered(&output));
    let report: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let of = |trial: &Value| {
        assert_eq!(trial["kernel"], KERNEL);
        let name = |key: &str| trial[key].as_str().unwrap_or_default().to_owned();
        (format!("{} {}", name("subject"), name("scenario")), format!("{} {}", name("verdict"), name("kind")))
    };
    let verdicts: BTreeMap<String, String> = report["trials"].as_array().unwrap().iter().map(of).collect();
    let expected = [
        (format!("debian:trixie {control}"), "pass "),
        (format!("debian:trixie {detached}"), "xfail dump-failed"),
        (format!("reference {control}"), "pass "),
        (format!("reference {detached}"), "pass "),
    ];
    assert_eq!(verdicts, expected.map(|(trial, verdict)| (trial, verdict.to_owned())).into());
    assert!(!rendered(&output).contains("booting"), "it was no copy: {}", rendered(&output));
}
