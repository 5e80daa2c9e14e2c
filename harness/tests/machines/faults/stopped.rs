//! QEMU or the program is stopped (SIGSTOP, Ctrl-Z) and may be continued.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::qemu;
use crate::program::program_in;

/// Some trials on one VM.
const RUN: [&str; 10] =
    ["run", "only-mount/file*", "--subject", "reference", "--cold", "--accel", "tcg", "-j", "1", "--no-probes"];

/// A run in which a trial is over, and its QEMU.
struct Busy {
    run: Child,
    qemu: Pid,
    /// What it has printed and will print.
    printed: BufReader<std::process::ChildStdout>,
}

/// Begins it in a folder.
fn busy(folder: &std::path::Path) -> Busy {
    let qemu = qemu(folder, "echo $$ > pid");
    let mut run = program_in(&RUN, folder);
    let mut run = run.arg("--qemu").arg(qemu).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut printed = BufReader::new(run.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("] pass ") {
        line.clear();
        assert!(printed.read_line(&mut line).unwrap() > 0, "the run ended before a trial was over");
    }
    let qemu = fs::read_to_string(folder.join("pid")).unwrap().trim().parse().unwrap();
    Busy { run, qemu: Pid::from_raw(qemu), printed }
}

impl Busy {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.run.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for its end: the exit status, and all that it said.
    fn end(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.printed.read_to_string(&mut said).unwrap();
        self.run.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.run.wait().unwrap().code(), said)
    }
}

/// Its limit is four minutes.
pub(super) fn a_qemu_that_is_stopped_is_found_within_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let busy = busy(folder.path());
    let begin = Instant::now();
    kill(busy.qemu, Signal::SIGSTOP).unwrap();
    let text = format!("QEMU (process {}) is stopped by a signal", busy.qemu);
    let (status, said) = busy.end();
    assert!(said.contains(&text) && begin.elapsed() < Duration::from_secs(120), "{:?} {said}", begin.elapsed());
    // The machine had been used before, so the trial's second run counts.
    assert_eq!(status, Some(0), "{said}");
}

/// Stopped together for longer than a QEMU alone may be, and continued one after the other. Time
/// that passes is what the test is about.
pub(super) fn a_run_that_is_stopped_and_continued_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let busy = busy(folder.path());
    busy.signal(Signal::SIGSTOP);
    kill(busy.qemu, Signal::SIGSTOP).unwrap();
    std::thread::sleep(Duration::from_secs(8));
    busy.signal(Signal::SIGCONT);
    std::thread::sleep(Duration::from_secs(1));
    kill(busy.qemu, Signal::SIGCONT).unwrap();
    let (status, said) = busy.end();
    assert!(status == Some(0) && !said.contains("stopped") && !said.contains("died"), "{said}");
}
