//! Ends runs of this program at random moments, in every way that a run ends, and looks for what
//! they left.
//!
//! This process becomes the parent of all that a run leaves (`PR_SET_CHILD_SUBREAPER`, prctl(2)),
//! so no process escapes. After SIGKILL the folder in `TMPDIR` stays: the last run, which is not
//! ended, has to remove all of them.

use std::fs;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde::Serialize;

use crate::process::interrupt;
use crate::process::left::{descendants, mounts, nothing_left};
use crate::process::wait;
use crate::soak::Format;

/// Half of the runs end by the signal that cannot be caught.
const SIGNALS: [Signal; 6] =
    [Signal::SIGKILL, Signal::SIGKILL, Signal::SIGKILL, Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// The exit status of a run that was asked to end.
const INTERRUPTED: i32 = crate::exit::INTERRUPTED as i32;

/// What is done.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many runs are ended.
    pub runs: usize,
    /// Of the random moments and signals.
    pub seed: u64,
    /// The words of the runs, after `run`.
    pub words: Vec<String>,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Record {
    version: u32,
    seed: u64,
    /// How long a run takes that is not ended.
    whole_run_s: f64,
    runs: Vec<Run>,
    /// What the last run, which was not ended, did not remove or did not do.
    at_last: Vec<String>,
}

/// A run that was ended.
#[derive(Debug, Serialize)]
struct Run {
    signal: &'static str,
    after_s: f64,
    /// How it ended.
    end: String,
    /// Folders that it left in `TMPDIR`.
    folders: usize,
    /// What it left, and what else was wrong.
    wrong: Vec<String>,
}

impl Record {
    /// Nothing was left.
    pub fn is_good(&self) -> bool {
        self.at_last.is_empty() && self.runs.iter().all(|run| run.wrong.is_empty())
    }
}

/// Ends runs; `told` hears of each.
///
/// # Errors
/// A run cannot be started, or one that is not ended fails.
pub fn run(settings: &Settings, told: &mut dyn FnMut(&str)) -> anyhow::Result<Record> {
    set_child_subreaper(true).context("becoming the parent of what runs leave")?;
    let tmp = tempfile::Builder::new().prefix("zdtm-detached-torture-").tempdir().context("making a TMPDIR")?;
    let mut random = fastrand::Rng::with_seed(settings.seed);
    let before = mounts();
    let begin = Instant::now();
    // It also prepares what is missing, so a second one is measured.
    whole(settings, tmp.path(), &before)?;
    let second = Instant::now();
    whole(settings, tmp.path(), &before)?;
    let whole_run = second.elapsed();
    told(&format!("two whole runs took {:.1} s; seed {}", begin.elapsed().as_secs_f64(), settings.seed));
    let mut runs = Vec::new();
    for number in 1..=settings.runs {
        if interrupt::requested() {
            break;
        }
        let signal = SIGNALS[random.usize(..SIGNALS.len())];
        let run = ended(settings, tmp.path(), signal, whole_run.mul_f64(random.f64()), &before)?;
        let wrong = if run.wrong.is_empty() { "nothing left".to_owned() } else { run.wrong.join("; ") };
        told(&format!("[{number}/{}] {signal} after {:.3} s: {}: {wrong}", settings.runs, run.after_s, run.end));
        runs.push(run);
    }
    let mut at_last = Vec::new();
    match whole(settings, tmp.path(), &before) {
        Ok(()) => {}
        Err(error) => at_last.push(format!("{error:#}")),
    }
    at_last.extend(entries(tmp.path()).into_iter().map(|name| format!("{name} is still in TMPDIR")));
    Ok(Record { version: 1, seed: settings.seed, whole_run_s: whole_run.as_secs_f64(), runs, at_last })
}

/// The names in a folder.
fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// A run in a process group of its own: what is typed at a terminal goes to this process alone.
fn start(settings: &Settings, tmp: &Path, stderr: Stdio) -> anyhow::Result<Child> {
    let results = tempfile::Builder::new().prefix("results-").tempdir_in(tmp)?.keep();
    let mut command = Command::new(std::env::current_exe().context("finding this program")?);
    command.arg("run").args(&settings.words).arg("--keep").arg(&results).env("TMPDIR", tmp).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
    command.spawn().context("starting a run")
}

/// A run that is not ended.
fn whole(settings: &Settings, tmp: &Path, before: &str) -> anyhow::Result<()> {
    let child = start(settings, tmp, Stdio::piped())?;
    let output = child.wait_with_output().context("waiting for a run")?;
    remove_results(tmp);
    let left = what_is_left(before).err();
    ensure!(left.is_none(), "a run that was not ended: {}", left.unwrap_or_default());
    // A failing trial is no fault of the program.
    let fine = matches!(output.status.code(), Some(0 | 1));
    ensure!(fine, "a run that was not ended: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// What runs were told to keep is theirs to leave.
fn remove_results(tmp: &Path) {
    for name in entries(tmp).iter().filter(|name| name.starts_with("results-")) {
        let _ = fs::remove_dir_all(tmp.join(name));
    }
}

/// A run that gets this signal after so long, unless it was faster.
fn ended(settings: &Settings, tmp: &Path, signal: Signal, after: Duration, mounts: &str) -> anyhow::Result<Run> {
    let before = entries(tmp);
    let mut child = start(settings, tmp, Stdio::null())?;
    let pid = Pid::from_raw(i32::try_from(child.id())?);
    let exit = crate::process::sys::pidfd_open(child.id()).context("watching a run")?;
    wait::readable(exit.as_fd(), interrupt::fd(), Instant::now() + after)?;
    let after_s = after.as_secs_f64();
    let _ = kill(pid, signal);
    let status = child.wait().context("waiting for a run that was ended")?;
    remove_results(tmp);
    let mut wrong = Vec::new();
    wrong.extend(what_is_left(mounts).err());
    let new: Vec<String> = entries(tmp).into_iter().filter(|name| !before.contains(name)).collect();
    let folders = new.len();
    if signal != Signal::SIGKILL {
        // It may have ended by itself before, in whatever way trials end.
        if !matches!(status.code(), Some(0 | 1 | INTERRUPTED)) {
            wrong.push(format!("it ended with {status}"));
        }
        wrong.extend(new.iter().map(|name| format!("{name} is left in TMPDIR")));
    }
    Ok(Run { signal: signal.as_str(), after_s, end: status.to_string(), folders, wrong })
}

/// That nothing is left of a run. The exit status of what it left and the kernel ended is taken.
fn what_is_left(mounts: &str) -> Result<(), String> {
    let left = nothing_left(&descendants(std::process::id().cast_signed()), mounts);
    let any = Pid::from_raw(-1);
    while matches!(waitpid(any, Some(WaitPidFlag::WNOHANG)), Ok(status) if status != WaitStatus::StillAlive) {}
    left
}

/// Writes it.
///
/// # Errors
/// The writer's.
pub fn write(format: Format, record: &Record, out: &mut dyn Write) -> io::Result<()> {
    if format == Format::Json {
        let text = serde_json::to_string_pretty(record).expect("strings and numbers");
        return writeln!(out, "{text}");
    }
    for wrong in &record.at_last {
        writeln!(out, "the last run: {wrong}")?;
    }
    let killed = record.runs.iter().filter(|run| run.signal == Signal::SIGKILL.as_str()).count();
    let left = record.runs.iter().filter(|run| !run.wrong.is_empty()).count();
    let folders: usize = record.runs.iter().map(|run| run.folders).sum();
    let (runs, seed) = (record.runs.len(), record.seed);
    writeln!(out, "{runs} runs ended, {killed} of them killed; {folders} folders left for the next run; seed {seed}")?;
    writeln!(out, "result: {left} runs left something")
}
