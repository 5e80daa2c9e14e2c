//! The developer's desk, through the binary as users call it: lifecycles with stock criu, a shell
//! beside a process, a long program made short, a run that is broken off.

#![allow(clippy::unwrap_used, reason = "what fails here is the end of the test")]

mod broken_off;
mod one_file;
mod own_kernel;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use libtest_mimic::{Arguments, Trial};
use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::tcgetattr;
use nix::unistd::Pid;
use protocol::message::Lifecycle;
use serde_json::Value;

use crate::program::{program_in, rendered};

pub(crate) fn tests(_: &Arguments) -> Vec<Trial> {
    trials!(None =>
        stock_criu_in_every_lifecycle,
        a_shell_reads_commands_from_a_pipe_beside_the_process_of_a_failed_dump,
        a_shell_has_the_terminal_and_gives_it_back,
        a_long_scenario_becomes_a_short_one_that_fails_in_the_same_way,
        a_finding_shows_with_its_criu_and_is_gone_with_the_reference_engine,
        what_does_not_fail_is_not_shrunk,
        own_kernel::a_kernel_of_ones_own_is_named_by_its_path_and_then_by_its_release,
        one_file::the_program_alone_lists_shows_and_runs,
        one_file::a_bundle_is_all_that_a_machine_without_a_network_needs,
        broken_off::a_run_on_this_machine_is_killed,
        broken_off::a_run_on_this_machine_is_interrupted,
        broken_off::a_run_in_vms_is_killed,
        broken_off::a_run_in_vms_is_interrupted,
    )
}

fn stock_criu_in_every_lifecycle() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program_in(&["run", "subdir-bind/control@ext4", "only-mount/file@tmpfs"], folder.path());
    // A changed tree has scenarios of its own, which say what is changed.
    let all: Vec<_> = Lifecycle::ALL.iter().filter(|lifecycle| **lifecycle != Lifecycle::ChangedTree).collect();
    for lifecycle in &all {
        command.args(["--lifecycle", lifecycle.word()]);
    }
    let output = command.args(["--report", "json=report.json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", rendered(&output));
    let report: Value = serde_json::from_slice(&std::fs::read(folder.path().join("report.json")).unwrap()).unwrap();
    let trials = report["trials"].as_array().unwrap();
    assert_eq!(trials.len(), 2 * all.len());
    for trial in trials {
        let is_known = ["killed-dump", "relative-script"].iter().any(|word| trial["lifecycle"] == *word);
        let is_known = is_known && trial["scenario"] == "subdir-bind/control@ext4";
        assert_eq!(trial["verdict"], if is_known { "xfail" } else { "pass" }, "{trial:#}");
    }
}

fn a_shell_reads_commands_from_a_pipe_beside_the_process_of_a_failed_dump() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["shell", "deleted/unlinked@ext4,rdwr,whole", "--at", "dumped"];
    let mut shell = program_in(&arguments, folder.path());
    let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let commands = "readlink /proc/$PID/fd/3; grep -c 'Dumping FAILED' $IMAGES/1/dump.log; cd $TOP/tmp && echo there; enter readlink /proc/1/fd/3\n\
                    echo oops >&2; exit 7\n";
    shell.stdin.take().unwrap().write_all(commands.as_bytes()).unwrap();
    let output = shell.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", rendered(&output));
    let seen = String::from_utf8_lossy(&output.stdout);
    assert_eq!(seen, "/f (deleted)\n1\nthere\n/f (deleted)\n", "{}", rendered(&output));
    let said = String::from_utf8_lossy(&output.stderr);
    for line in ["dump: failed with status 1", "Can't lookup mount=", "the process; enter [COMMAND]", "\noops\n"] {
        assert!(said.contains(line), "{line:?} is not in:\n{said}");
    }
}

/// A program at a terminal of 33 lines.
struct Seat {
    child: Child,
    master: File,
    slave: OwnedFd,
    seen: String,
}

impl Seat {
    fn new(mut command: Command) -> Self {
        let size = Winsize { ws_row: 33, ws_col: 101, ws_xpixel: 0, ws_ypixel: 0 };
        let OpenptyResult { master, slave } = openpty(Some(&size), None).unwrap();
        let end = || Stdio::from(slave.try_clone().unwrap());
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        Self { child, master: master.into(), slave, seen: String::new() }
    }

    /// Reads until `text` comes.
    fn wait_for(&mut self, text: &str) {
        let mut chunk = [0; 4096];
        while !self.seen.contains(text) {
            let count = self.master.read(&mut chunk).unwrap();
            self.seen.push_str(&String::from_utf8_lossy(&chunk[..count]));
        }
        let end = self.seen.find(text).unwrap() + text.len();
        self.seen.drain(..end);
    }

    fn type_in(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }
}

fn a_shell_has_the_terminal_and_gives_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut seat = Seat::new(program_in(&["shell"], folder.path()));
    let before = tcgetattr(&seat.slave).unwrap();
    seat.wait_for("guest:/# ");
    assert_ne!(tcgetattr(&seat.slave).unwrap(), before, "the terminal is raw");
    // The shell itself ignores an interrupt that comes between two commands. What is typed is
    // echoed: not the same text.
    seat.type_in("stty size; sh -c 'echo re''ady; exec sleep 1000'\r");
    seat.wait_for("33 101");
    seat.wait_for("ready");
    seat.type_in("\x03");
    seat.wait_for("guest:/# ");
    let resized =
        Command::new("stty").args(["rows", "40", "cols", "90"]).stdin(seat.slave.try_clone().unwrap()).status();
    assert!(resized.unwrap().success());
    kill(Pid::from_raw(seat.child.id().try_into().unwrap()), Signal::SIGWINCH).unwrap();
    seat.type_in("stty size\r");
    seat.wait_for("40 90");
    seat.type_in("exit 3\r");
    assert_eq!(seat.child.wait().unwrap().code(), Some(3));
    assert_eq!(tcgetattr(&seat.slave).unwrap(), before);
}

/// The reference engine that takes the wrong root for the root of a detached mount, on this
/// machine's own kernel.
const FAULTY: [&str; 4] = ["--backend", "host", "--subject", "reference+fault:superblock-root"];

fn a_long_scenario_becomes_a_short_one_that_fails_in_the_same_way() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [&["shrink", "in-flight/two-mounts@tmpfs,subdir", "-o", "short.scn"][..], &FAULTY].concat();
    let output = program_in(&arguments, folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", rendered(&output));
    let said = String::from_utf8_lossy(&output.stdout);
    let last = said.lines().find(|line| line.ends_with(": short.scn")).expect("a line that sums up");
    let steps: usize = last.split_whitespace().nth(2).unwrap().parse().unwrap();
    assert!(last.starts_with("16 -> ") && steps <= 8, "{last}");
    let replay = program_in(&[&["run", "./short.scn"][..], &FAULTY].concat(), folder.path()).output().unwrap();
    assert!(rendered(&replay).contains("fail(wrong-path)"), "{}", rendered(&replay));
}

fn a_finding_shows_with_its_criu_and_is_gone_with_the_reference_engine() {
    let folder = tempfile::tempdir().unwrap();
    let shown = program_in(&["finding", "check", "50"], folder.path()).output().unwrap();
    assert!(rendered(&shown).contains("050  shows ") && shown.status.code() == Some(0), "{}", rendered(&shown));
    let arguments = ["finding", "check", "50", "--subject", "reference"];
    let gone = program_in(&arguments, folder.path()).output().unwrap();
    assert!(rendered(&gone).contains("050  gone ") && gone.status.code() == Some(0), "{}", rendered(&gone));
    let unknown = program_in(&["finding", "check", "999"], folder.path()).output().unwrap();
    assert!(
        rendered(&unknown).contains("there is no finding 999") && unknown.status.code() == Some(2),
        "{}",
        rendered(&unknown)
    );
}

fn what_does_not_fail_is_not_shrunk() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["shrink", "in-flight/two-mounts@tmpfs,subdir", "--backend", "host", "--subject", "reference"];
    let output = program_in(&arguments, folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", rendered(&output));
    assert!(rendered(&output).contains("does not fail here"), "{}", rendered(&output));
    let ambiguous = program_in(&["shrink", "in-flight/two-mounts"], folder.path()).output().unwrap();
    assert_eq!(ambiguous.status.code(), Some(2), "{}", rendered(&ambiguous));
}
