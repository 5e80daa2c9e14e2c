//! One call of criu, from its start to its end, and what it said.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use protocol::message::{ActionEnd, ReportFile};

use super::rpc::{Asked, Service};
use crate::{asan, sys};

/// More of a log than this is not sent: its end is where the error stands.
const LOG_LIMIT: usize = 1 << 20;
/// No more error lines than this.
pub(crate) const ERROR_LINE_LIMIT: usize = 20;

/// How a call of criu ended and what it said.
#[derive(Debug)]
pub struct Run {
    /// The end.
    pub end: ActionEnd,
    /// Lines that say what went wrong.
    pub error_lines: Vec<String>,
    /// The log and what it printed.
    pub files: Vec<ReportFile>,
    /// It says that it succeeded, and yet the process that must be there cannot be found, for this
    /// reason.
    pub lost: Option<String>,
    /// What it left, or took away, where only the engine observes: after a restore that failed, on
    /// disks.
    pub left: Vec<String>,
}

impl From<ActionEnd> for Run {
    /// One of which there is no more to say.
    fn from(end: ActionEnd) -> Self {
        Run { end, error_lines: Vec::new(), files: Vec::new(), lost: None, left: Vec::new() }
    }
}

/// What goes on while criu runs.
pub(super) enum Meanwhile<'a> {
    Nothing,
    /// It is killed when there is something to be read.
    Trap(BorrowedFd<'a>),
    /// It is a service and asks.
    Conversation(Service, &'a mut Asked<'a>),
}

/// Runs criu to its end, or kills it. Its log is `NAME.log` in the folder `log`; what it prints
/// goes to `folder`.
pub(super) fn run(
    mut command: Command,
    name: &str,
    folders: [&Path; 2],
    mut meanwhile: Meanwhile<'_>,
    timeout: Duration,
) -> io::Result<Run> {
    let started = Started::new(&mut command, name, folders, |command| match &mut meanwhile {
        Meanwhile::Conversation(service, _) => service.start(command),
        _ => command.spawn(),
    })?;
    started.end(meanwhile, timeout)
}

/// A criu that was started.
pub(super) struct Started {
    process: Child,
    name: String,
    log: PathBuf,
    printed: PathBuf,
}

impl Started {
    /// Starts it; see [`run`].
    pub(super) fn new(
        command: &mut Command,
        name: &str,
        [folder, log]: [&Path; 2],
        spawn: impl FnOnce(&mut Command) -> io::Result<Child>,
    ) -> io::Result<Self> {
        let printed = folder.join(format!("{name}.out"));
        let output = File::create(&printed)?;
        command.stdout(output.try_clone()?).stderr(output);
        let process = spawn(command).map_err(|error| io::Error::new(error.kind(), format!("criu: {error}")))?;
        Ok(Started { process, name: name.to_owned(), log: log.join(format!("{name}.log")), printed })
    }

    /// Waits for its end, or kills it.
    pub(super) fn end(mut self, meanwhile: Meanwhile<'_>, timeout: Duration) -> io::Result<Run> {
        let pid = i32::try_from(self.process.id()).map_err(io::Error::other)?;
        let in_time = is_in_time(pid, meanwhile, timeout).inspect_err(|_| kill(pid));
        let status = self.process.wait()?;
        let end = match (in_time?, status.code(), status.signal()) {
            (false, ..) => ActionEnd::TimedOut,
            (true, Some(0), _) => ActionEnd::Done,
            (true, Some(code), _) => ActionEnd::Failed(code),
            (true, None, signal) => ActionEnd::Killed(signal.unwrap_or(0)),
        };
        let (log, printed) = (read_end(&self.log), read_end(&self.printed));
        let mut error_lines = error_lines(&log);
        if error_lines.is_empty() {
            error_lines = printed.lines().take(ERROR_LINE_LIMIT).map(str::to_owned).collect();
        }
        if let Some(report) = asan::report(&printed) {
            error_lines.insert(0, report);
            error_lines.truncate(ERROR_LINE_LIMIT);
        }
        let file = |suffix: &str, text: String| ReportFile { name: format!("criu-{}.{suffix}", self.name), text };
        Ok(Run { end, error_lines, files: vec![file("log", log), file("out", printed)], lost: None, left: Vec::new() })
    }
}

fn kill(pid: i32) {
    // It may be over.
    let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
}

/// Waits for the end of the process; kills its group where it is not to go on. Whether it was over
/// in time.
fn is_in_time(pid: i32, mut meanwhile: Meanwhile<'_>, timeout: Duration) -> io::Result<bool> {
    let pidfd = sys::pidfd_open(pid)?;
    let deadline = Instant::now() + timeout;
    loop {
        let mut polled = vec![PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        polled.extend(match &meanwhile {
            Meanwhile::Nothing => None,
            Meanwhile::Trap(trap) => Some(PollFd::new(*trap, PollFlags::POLLIN)),
            Meanwhile::Conversation(service, _) => Some(PollFd::new(service.as_fd(), PollFlags::POLLIN)),
        });
        let left = deadline.saturating_duration_since(Instant::now());
        if poll(&mut polled, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX))? == 0 {
            kill(pid);
            return Ok(false);
        }
        if polled[0].any().unwrap_or(false) {
            return Ok(true);
        }
        let is_over = match &mut meanwhile {
            Meanwhile::Conversation(service, asked) => service.hear(asked)?.is_some(),
            _ => {
                kill(pid);
                true
            }
        };
        if is_over {
            meanwhile = Meanwhile::Nothing;
        }
    }
}

/// The end of a log, as text; empty without a log.
fn read_end(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let start = bytes.len().saturating_sub(LOG_LIMIT);
    String::from_utf8_lossy(&bytes[start..]).into_owned()
}

/// The lines that criu marks as errors, without the time in front:
/// `(00.012345) Error (criu/files-reg.c:1): ...`.
pub fn error_lines(log: &str) -> Vec<String> {
    let without_time = |line: &str| match line.strip_prefix('(').and_then(|rest| rest.split_once(") ")) {
        Some((time, rest)) if time.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => rest.to_owned(),
        _ => line.to_owned(),
    };
    // A line of a restored task has its process ID in front: `pie: 1: Error (...)` or
    // `     1: Error (...)`.
    let is_error = |line: &&str| line.contains("Error (");
    log.lines().filter(is_error).take(ERROR_LINE_LIMIT).map(|line| without_time(line).trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::error_lines;

    #[test]
    fn errors_are_found_and_shortened() {
        let log = "(00.000001) Version: 4.1.1\n\
                   (00.016063) Error (criu/files-reg.c:1871): Can't lookup mount=38 for fd=3 path=/d/f\n\
                   (00.20)      1: Error (criu/cr-restore.c:1): no\n";
        assert_eq!(
            error_lines(log),
            [
                "Error (criu/files-reg.c:1871): Can't lookup mount=38 for fd=3 path=/d/f",
                "1: Error (criu/cr-restore.c:1): no"
            ]
        );
    }
}
