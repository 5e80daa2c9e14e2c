//! A run that is killed or interrupted at some moment: what it found out is there, nothing of it is
//! left, and `--resume` ends with the whole.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use testing::left;

use crate::program::{program_in, rendered};

/// Repeats a moment: the number that a failed test has printed.
const SEED: &str = "ZDTM_DETACHED_TEST_SEED";

const HOST: [&str; 7] = ["whole-bind/*", "-j", "2", "--backend", "host", "--subject", "reference"];
const VM: [&str; 3] = ["only-mount/file*", "-j", "2"];

/// A number below `limit`, and somewhat later than its line.
fn moment(limit: u64) -> (usize, Duration) {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos().into();
    let seed: u64 = std::env::var(SEED).map_or_else(|_| now(), |seed| seed.parse().unwrap());
    eprintln!("{SEED}={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    (random.usize(..usize::try_from(limit).unwrap()), Duration::from_micros(random.u64(..20_000)))
}

fn report(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("report.json")).unwrap()).expect("a valid report")
}

fn trials(report: &Value) -> HashMap<&str, &Value> {
    report["trials"].as_array().unwrap().iter().map(|trial| (trial["id"].as_str().unwrap(), trial)).collect()
}

/// Begins a run, sends it the signal when `some` trials are over, and then goes on with it.
fn broken_off(arguments: &[&str], signal: Signal, some: u64) {
    let folder = tempfile::tempdir().unwrap();
    let mounts = left::mounts();
    let words = [&["run"][..], arguments, &["--report", "json=report.json"]].concat();
    let mut run = program_in(&words, folder.path());
    // Who is killed cannot take its folder away.
    run.env("TMPDIR", folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut run = run.spawn().unwrap();
    let (over, later) = moment(some);
    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines().map(Result::unwrap);
    let told_of: Vec<String> = lines.by_ref().filter(|line| line.starts_with('[')).take(over + 1).collect();
    assert_eq!(told_of.len(), over + 1, "the run ended before it was to be broken off");
    // Any moment between two lines: the test has no event to wait for.
    std::thread::sleep(later);
    let id = i32::try_from(run.id()).unwrap();
    let started = left::descendants(id);
    assert!(!started.is_empty(), "nothing was running");
    kill(Pid::from_raw(id), signal).unwrap();
    let rest: Vec<String> = lines.collect();
    let status = run.wait().unwrap();
    left::nothing_left(&started, &mounts).unwrap_or_else(|failed| panic!("{failed:?}"));

    let before = report(folder.path());
    let finished: HashMap<&str, &Value> =
        trials(&before).into_iter().filter(|(_, trial)| trial["verdict"] != "not-run").collect();
    if signal == Signal::SIGINT {
        assert_eq!(status.code(), Some(130));
        assert!(rest.last().is_some_and(|line| line.starts_with("result: ")), "{rest:#?}");
        assert!(finished.len() > over, "what was told is in the report: {} of {over}", finished.len());
    }
    let words = [&words[..], &["--resume", "report.json"]].concat();
    let output = program_in(&words, folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", rendered(&output));
    let after = report(folder.path());
    let whole = trials(&after);
    let list = program_in(&["list", arguments[0], "--format", "json"], folder.path()).output().unwrap();
    let list: Vec<Value> = serde_json::from_slice(&list.stdout).unwrap();
    assert_eq!(whole.len(), list.len(), "{}", rendered(&output));
    assert!(finished.len() < whole.len(), "there was something left to do");
    for (id, trial) in finished {
        assert_eq!(whole[id], trial, "what was found out is not run again");
    }
    assert!(whole.values().all(|trial| trial["verdict"] != "not-run"), "{}", rendered(&output));
    let hidden = std::fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.file_name());
    assert!(signal == Signal::SIGKILL || !hidden.into_iter().any(|name| name.to_string_lossy().starts_with('.')));
}

pub(super) fn a_run_on_this_machine_is_killed() {
    broken_off(&HOST, Signal::SIGKILL, 20);
}

pub(super) fn a_run_on_this_machine_is_interrupted() {
    broken_off(&HOST, Signal::SIGINT, 20);
}

pub(super) fn a_run_in_vms_is_killed() {
    broken_off(&VM, Signal::SIGKILL, 3);
}

pub(super) fn a_run_in_vms_is_interrupted() {
    broken_off(&VM, Signal::SIGINT, 3);
}
