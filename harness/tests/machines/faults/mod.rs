//! Faults of this machine, injected: what a run says of them, and what it leaves.

#![allow(clippy::unwrap_used, reason = "what fails here is the end of the test")]

mod clock;
mod criu;
mod full;
mod scarce;
mod stopped;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use harness::architecture::HOST;
use harness::image::{Settings, Store, default_cache_dir, tree};
use libtest_mimic::{Arguments, Trial};
use nix::pty::{OpenptyResult, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use testing::lack::{lack_of_user_namespaces, lack_of_users};

use crate::program::{program, program_in, rendered};

pub(crate) fn tests(_: &Arguments) -> Vec<Trial> {
    let mut tests = trials!(lack_of_user_namespaces() =>
        full::a_disk_that_is_full_at_any_write_is_named,
        full::a_full_disk_hides_no_failure,
        full::a_full_tmpdir_is_an_error_that_names_it,
        scarce::a_run_with_few_descriptors_says_so,
        scarce::a_cache_that_is_read_only_is_named,
        scarce::a_cache_on_another_filesystem_is_as_good,
    );
    tests.extend(trials!(lack_of_users() =>
        scarce::a_run_with_few_processes_says_so,
    ));
    tests.extend(trials!(lack_of_a_compiler() =>
        clock::a_clock_that_is_set_changes_no_limit_and_no_duration,
    ));
    tests.extend(trials!(None =>
        a_vm_that_is_killed_is_an_error_and_no_flake,
        the_next_run_removes_what_a_killed_one_left,
        a_closed_terminal_costs_no_report,
        one_campaign_at_a_time_has_a_state,
        what_only_prints_ends_without_a_word_when_its_pipe_is_closed,
        names_and_comments_do_nothing_to_a_terminal,
        scarce::a_cache_that_is_removed_ends_no_run,
        scarce::five_runs_share_a_cache,
        full::a_full_standard_output_is_an_error,
        criu::a_criu_that_breaks_is_the_one_that_is_blamed,
        criu::a_criu_that_hangs_ends_at_its_limit,
        criu::a_criu_that_writes_elsewhere_is_found_out,
        criu::a_guest_without_memory_says_so,
        stopped::a_qemu_that_is_stopped_is_found_within_seconds,
        stopped::a_run_that_is_stopped_and_continued_goes_on,
    ));
    tests
}

fn lack_of_a_compiler() -> Option<String> {
    let runs = Command::new("cc").arg("--version").stdout(Stdio::null()).status().is_ok();
    (!runs).then(|| "a C compiler".to_owned())
}

/// Builds what runs need, once, where there is plenty of everything: building is not the matter.
fn build() {
    static BUILT: LazyLock<()> = LazyLock::new(|| {
        let folder = tempfile::tempdir().unwrap();
        let run = ["run", "only-mount/file@tmpfs", "--subject", "reference"];
        let output = program_in(&run, folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", rendered(&output));
    });
    LazyLock::force(&BUILT);
}

pub(crate) const IN_VM: [&str; 7] =
    ["run", "only-mount/file@tmpfs", "--subject", "reference", "--cold", "--accel", "tcg"];
const ON_HOST: [&str; 4] = ["--backend", "host", "--subject", "reference"];

/// The QEMU of the cache; before its first machine starts, `once` happens.
pub(crate) fn qemu(folder: &Path, once: &str) -> PathBuf {
    let store = Store::open(&default_cache_dir().unwrap(), &tree::locate(None).unwrap(), Settings::default()).unwrap();
    let (program, arguments) = store.qemu(HOST).unwrap().command_line();
    let words: Vec<String> =
        [program.into()].into_iter().chain(arguments).map(|word| format!("'{}'", word.display())).collect();
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] || ! mkdir {}/once 2>/dev/null || {once}\nexec {} \"$@\"\n",
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
    // As a kernel does that is out of memory.
    let qemu = qemu(folder.path(), "kill -KILL $$");
    let mut run = program_in(&IN_VM, folder.path());
    let output = run.arg("--qemu").arg(qemu).args(["--report", "json=report.json"]).output().unwrap();
    assert!(folder.path().join("once").exists(), "no machine was killed: {}", rendered(&output));
    assert_eq!(output.status.code(), Some(3), "{}", rendered(&output));
    let report: Value = serde_json::from_slice(&fs::read(folder.path().join("report.json")).unwrap()).unwrap();
    let trial = &report["trials"][0];
    assert_eq!(trial["verdict"], "error", "{trial:#}");
    let reason = trial["reason"].as_str().unwrap();
    assert!(reason.contains("signal: 9") && reason.ends_with("; another time pass"), "{reason}");
    assert!(rendered(&output).contains("; another time pass"), "{}", rendered(&output));
}

fn the_next_run_removes_what_a_killed_one_left() {
    let folder = tempfile::tempdir().unwrap();
    let tmp = folder.path().join("tmp");
    fs::create_dir(&tmp).unwrap();
    let qemu = qemu(folder.path(), "{ kill -KILL $PPID; exit; }");
    let run = || {
        let program = program_in(&IN_VM, folder.path());
        let mut run = Command::new("sh");
        run.args(["-c", "umask 0; exec \"$0\" \"$@\""]).arg(program.get_program()).args(program.get_args());
        run.current_dir(folder.path()).env("TMPDIR", &tmp).arg("--qemu").arg(&qemu).output().unwrap()
    };
    let killed = run();
    assert_eq!(killed.status.signal(), Some(9), "{}", rendered(&killed));
    let left: Vec<PathBuf> = fs::read_dir(&tmp).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(fs::metadata(&left[0]).unwrap().permissions().mode() & 0o777, 0o700);
    let next = run();
    assert_eq!(next.status.code(), Some(0), "{}", rendered(&next));
    let line = format!("removed {}, which a run left that was killed\n", left[0].display());
    assert!(rendered(&next).contains(&line), "{}", rendered(&next));
    assert_eq!(fs::read_dir(&tmp).unwrap().count(), 0);
}

fn a_closed_terminal_costs_no_report() {
    let folder = tempfile::tempdir().unwrap();
    let words =
        [&["run", "whole-bind/*", "-j", "1"][..], &ON_HOST, &["--report", "junit=j.xml,html=h.html,json=r.json"]];
    let OpenptyResult { master, slave } = openpty(None, None).unwrap();
    let end = || Stdio::from(slave.try_clone().unwrap());
    // A SIGHUP that is ignored stays so, as where these tests are run by nohup(1).
    let program = program_in(&words.concat(), folder.path());
    let mut run = Command::new("env");
    run.arg("--default-signal=HUP").arg(program.get_program()).args(program.get_args()).current_dir(folder.path());
    let mut child = run.env("NO_COLOR", "1").stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
    // This process has no end of it any more: what the run prints ends with the run.
    drop((run, slave));
    let mut lines = BufReader::new(File::from(master)).lines();
    lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("] pass "))).expect("a trial is over").unwrap();
    // It gets the signal from the kernel where the terminal is its controlling one.
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGHUP).unwrap();
    drop(lines);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(read("j.xml").contains("</testsuites>") && read("h.html").ends_with("</html>\n"));
    let report: Value = serde_json::from_str(&read("r.json")).unwrap();
    let ran = |trial: &&Value| trial["verdict"] != "not-run";
    let trials = report["trials"].as_array().unwrap();
    assert!(trials.iter().any(|trial| ran(&trial)) && !trials.iter().all(|trial| ran(&trial)), "{report:#}");
}

fn one_campaign_at_a_time_has_a_state() {
    let folder = tempfile::tempdir().unwrap();
    let words = [&["fuzz", "--state", "s"][..], &ON_HOST].concat();
    let mut first = program_in(&words, folder.path()).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(first.stderr.take().unwrap()).lines().map(Result::unwrap);
    let said: Vec<String> = lines.take_while(|line| !line.contains("; seed 1; s/")).collect();
    let second = program_in(&[&words[..], &["--programs", "1"]].concat(), folder.path()).output().unwrap();
    kill(Pid::from_raw(first.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(first.wait().unwrap().code(), Some(130), "{said:?}");
    assert_eq!(second.status.code(), Some(2), "{}", rendered(&second));
    assert!(rendered(&second).contains("s: another campaign runs in it"), "{}", rendered(&second));
    let third = program_in(&[&words[..], &["--programs", "1"]].concat(), folder.path()).output().unwrap();
    assert_ne!(third.status.code(), Some(2), "{}", rendered(&third));
}

fn what_only_prints_ends_without_a_word_when_its_pipe_is_closed() {
    for words in [&["generate", "completions", "bash"][..], &["generate", "man"], &["list"], &["list", "--coverage"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = program(words).stdout(writer).output().unwrap();
        assert!(output.stderr.is_empty(), "{words:?}: {}", rendered(&output));
        assert_eq!(output.status.signal(), Some(13), "{words:?}");
    }
}

fn names_and_comments_do_nothing_to_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let evil = "\u{1b}[2J\u{9b}5m\u{202e}\u{fffe}";
    let file = format!("./{evil}.scn");
    let text = "# A file.\nrequires fs=tmpfs\noutcome restored\n\nmount $fs a\nmkdir a/d\nwrite \"a/d/EVIL\" \"x\"\n\
                bind a/d b\nfd0 = open \"b/EVIL\" rdwr\numount-lazy b\nassert fd0 link \"/EVIL\"\n"
        .replace("EVIL", evil)
        .replace("A file", &format!("A file{evil}"));
    fs::write(folder.path().join(&file), text).unwrap();
    let fault = ["--subject", "reference+fault:superblock-root", "--backend", "host"];
    let tap = [&["run", &file, "--report", "tap=-,junit=j.xml,github=g"][..], &fault].concat();
    let shrink = [&["shrink", &file, "-o", "short.scn"][..], &fault].concat();
    let wrong = ["run", &file, "--kernel", evil];
    for words in [&["show", &file][..], &["show", &format!("./{evil}")], &tap, &shrink, &wrong] {
        let output = program_in(words, folder.path()).output().unwrap();
        for c in ['\u{1b}', '\u{9b}', '\u{202e}', '\u{fffe}'] {
            assert!(!rendered(&output).contains(c), "{words:?}: {c:?} is in {}", rendered(&output));
        }
    }
    assert!(!fs::read_to_string(folder.path().join("j.xml")).unwrap().contains(['\u{1b}', '\u{fffe}']));
}
