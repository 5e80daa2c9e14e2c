//! Guests for arm64: on amd64 QEMU translates their code, on arm64 they are the usual ones.

#![allow(clippy::unwrap_used, reason = "what fails here is the end of the test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use libtest_mimic::{Arguments, Trial};
use serde_json::Value;

use crate::program::{program, rendered};

const KERNEL: &str = "6.12-arm64";

pub(crate) fn tests(_: &Arguments) -> Vec<Trial> {
    trials!(lack_of_the_target() => a_guest_for_arm64_runs_trials_of_criu_and_of_the_reference_engine)
}

/// The agent's Rust target, which one adds by `rustup target add`.
fn lack_of_the_target() -> Option<String> {
    const TARGET: &str = "aarch64-unknown-linux-musl";
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output().ok()?;
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (!Path::new(&folder).is_dir()).then(|| format!("no Rust target {TARGET}"))
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
    let said = rendered(&output);
    let no_copies = ["no saved VM to copy", "no copies of the saved VM", "even the warm-up fails"];
    assert!(!no_copies.iter().any(|what| said.contains(what)), "{said}");
}
