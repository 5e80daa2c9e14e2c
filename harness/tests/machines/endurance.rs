//! The commands that run for a long time, with small figures.

#![allow(clippy::unwrap_used, reason = "what fails here is the end of the test")]

use std::fs;

use libtest_mimic::{Arguments, Trial};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use testing::lack::lack_of_namespaces;

use crate::faults::{IN_VM, qemu};
use crate::program::{document, program, program_in, rendered};

pub(crate) fn tests(_: &Arguments) -> Vec<Trial> {
    let mut tests = trials!(None => what_a_run_leaves_is_found);
    tests.extend(trials!(lack_of_namespaces() =>
        the_same_trials_end_in_the_same_way_and_nothing_grows,
        runs_that_are_ended_leave_nothing,
    ));
    tests
}

const ON_HOST: [&str; 5] = ["--backend", "host", "--subject", "reference", "only-mount/*"];

fn the_same_trials_end_in_the_same_way_and_nothing_grows() {
    let (status, soak) = document(&[&["soak", "--trials", "100"][..], &ON_HOST].concat()).unwrap();
    assert_eq!(soak["trials"], 100, "{soak:#}");
    assert!(soak["different"].as_u64().unwrap() > 10 && soak["flakes"].as_array().unwrap().is_empty(), "{soak:#}");
    let figures = soak["figures"].as_array().unwrap();
    assert!(figures.len() == 5 && figures.iter().all(|figure| figure["first"].as_f64() > Some(0.0)), "{soak:#}");
    // A machine that others use as well may be slower at the end.
    let flat = |figure: &&Value| figure["flat"] == true || figure["name"] == "rate";
    assert!(figures.iter().all(|figure| flat(&figure)) && status.is_some_and(|status| status <= 1), "{soak:#}");
}

fn runs_that_are_ended_leave_nothing() {
    let seed = fastrand::u32(..).to_string();
    let words = ["torture", "--runs", "4", "--seed", &seed, "--format", "json", "--"];
    let output = program(&[&words[..], &ON_HOST].concat()).output().unwrap();
    let torture: Value = serde_json::from_slice(&output.stdout).unwrap();
    let runs = torture["runs"].as_array().unwrap().len();
    assert_eq!((output.status.code(), runs), (Some(0), 4), "{}", rendered(&output));
}

fn what_a_run_leaves_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    let qemu = qemu(folder.path(), &format!("{{ setsid sleep 1000 >/dev/null 2>&1 & echo $! >{}; }}", pid.display()));
    let words = [&["torture", "--runs", "1", "--"][..], &IN_VM[1..]].concat();
    let output = program_in(&words, folder.path()).arg("--qemu").arg(qemu).output().unwrap();
    let sleeper = fs::read_to_string(&pid).unwrap().trim().to_owned();
    kill(Pid::from_raw(sleeper.parse().unwrap()), Signal::SIGKILL).unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", rendered(&output));
    assert!(rendered(&output).contains(&format!("left behind: processes [({sleeper}, ")), "{}", rendered(&output));
}
