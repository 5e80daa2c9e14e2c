//! Faults of this machine, injected: what a run says of them, and what it leaves.

#![allow(clippy::unwrap_used, reason = "what fails here is the end of the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use harness::image::{Settings, Store, default_cache_dir, tree};
use libtest_mimic::{Arguments, Trial};
use serde_json::Value;

use crate::program::{program_in, rendered};

pub(crate) fn tests(_: &Arguments) -> Vec<Trial> {
    trials!(None => a_vm_that_is_killed_is_an_error_and_no_flake)
}

/// The QEMU of the cache; the first machine of it is killed, as by a kernel that is out of memory.
fn first_killed(folder: &Path) -> PathBuf {
    let store = Store::open(&default_cache_dir().unwrap(), &tree::locate(None).unwrap(), Settings::default()).unwrap();
    let (program, arguments) = store.qemu().unwrap().command_line();
    let words: Vec<String> =
        [program.into()].into_iter().chain(arguments).map(|word| format!("'{}'", word.display())).collect();
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] || ! mkdir {}/once 2>/dev/null || kill -KILL $$\nexec {} \"$@\"\n",
        folder.display(),
        words.join(" ")
    );
    let file = folder.join("qemu");
    fs::write(&file, script).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    file
}

fn a_vm_that_is_killed_is_an_error_and_no_flake() {
    let folder = tempfile::tempdir().unwrap();
    let qemu = first_killed(folder.path());
    let words = ["run", "only-mount/file@tmpfs", "--subject", "reference", "--cold", "--accel", "tcg"];
    let mut run = program_in(&words, folder.path());
    let output = run.arg("--qemu").arg(qemu).args(["--report", "json=report.json"]).output().unwrap();
    assert!(folder.path().join("once").exists(), "no machine was killed: {}", rendered(&output));
    assert_eq!(output.status.code(), Some(3), "{}", rendered(&output));
    let report: Value = serde_json::from_slice(&fs::read(folder.path().join("report.json")).unwrap()).unwrap();
    let trial = &report["trials"][0];
    assert_eq!(trial["verdict"], "error", "{trial:#}");
    let reason = trial["reason"].as_str().unwrap();
    assert!(reason.contains("signal: 9") && reason.ends_with("; another time pass"), "{reason}");
    assert!(rendered(&output).contains(reason), "{}", rendered(&output));
}
