//! Dump and restore through the `criu` command line (criu(8)).
//!
//! What the container engines pass by hand is passed here too: the pipes that lead out of the
//! process, and mounts of filesystems on block devices, which criu takes from outside
//! (`--external mnt[...]`).
//!
//! No verdict depends on more of criu than the trial is about. All paths are absolute, so it does
//! not matter in which folder criu works. criu writes no pidfile: `agent::restored` finds the
//! restored process by its pipe. The lifecycle `relative-paths` alone tests what criu does to its
//! caller (`caller.rs`).

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use protocol::caller::{Finding, IMAGES, PIDFILE, WORK};
use protocol::message::{Action, ActionEnd, ReportFile};

use crate::caller::Caller;
use crate::external::{ExternalFile, ExternalMount, Externals, FIRST_INHERITED, Inherited};
use crate::{asan, breakpoints, coverage, sys};

/// Where the userland has it.
const PROGRAM: &str = "/usr/sbin/criu";
/// A criu of the user's, which goes before the userland's: itself, its loader unless it is static,
/// its libraries (crate `harness`, module `subject::criu`).
pub(crate) const FOLDER: &str = "/subject";
const OWN: &str = "/subject/criu";
const OWN_LOADER: &str = "/subject/ld.so";
const OWN_LIBRARIES: &str = "/subject/lib";
/// More of a log than this is not sent: its end is where the error stands.
const LOG_LIMIT: usize = 1 << 20;
/// Room for the images that come before those of the memory, and for not all of the memory.
const NO_ROOM: &str = "size=64k,mode=0700";
/// How much criu logs of a process: everything, and of one that many programs share errors only.
/// A failed trial runs again alone, and a line costs a system call.
const VERBOSE: &str = "-v4";
const QUIET: &str = "-v1";
/// No more error lines than this.
pub(crate) const ERROR_LINE_LIMIT: usize = 20;

/// The images of one process, each dump's in a folder of its own.
pub struct Images {
    folder: PathBuf,
    /// Whether the process has a mount namespace of its own.
    own_mounts: bool,
    /// How much is logged.
    verbosity: &'static str,
    /// Files that the caller had at the last dump.
    files: Vec<ExternalFile>,
    /// The number of the last dump, and with it the name of its folder.
    last: usize,
    /// The caller that names every path relatively, in lifecycles that are about this.
    caller: Option<Caller>,
    /// The last dump was a pre-dump: the next saves only what changed since.
    incremental: bool,
}

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

/// The version that `criu --version` names; none without a criu that starts.
pub fn version() -> Option<String> {
    let output = program().arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().next().and_then(|line| line.strip_prefix("Version: ")).map(|version| version.trim().to_owned())
}

/// The criu that is tested, to be given its arguments.
fn program() -> Command {
    let mut command = started();
    coverage::instruct(&mut command);
    breakpoints::instruct(&mut command);
    asan::instruct(&mut command);
    command
}

/// How it is started.
fn started() -> Command {
    if !Path::new(OWN).exists() {
        return Command::new(PROGRAM);
    }
    if !Path::new(OWN_LOADER).exists() || asan::is_there() {
        return Command::new(OWN);
    }
    // Not by LD_LIBRARY_PATH: what criu starts is the userland's and takes the userland's
    // libraries.
    let mut command = Command::new(OWN_LOADER);
    command.args(["--library-path", OWN_LIBRARIES, OWN]);
    command
}

impl Images {
    /// An empty set below `folder`; `quiet` where only errors are to be logged.
    ///
    /// # Errors
    /// Those of making the folder.
    pub fn new(folder: PathBuf, own_mounts: bool, quiet: bool) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let verbosity = if quiet { QUIET } else { VERBOSE };
        Ok(Images { folder, own_mounts, verbosity, files: Vec::new(), last: 0, caller: None, incremental: false })
    }

    /// The files that the caller had at the last dump.
    pub fn files(&self) -> &[ExternalFile] {
        &self.files
    }

    /// The folder of a dump.
    fn folder(&self, number: usize) -> PathBuf {
        self.folder.join(number.to_string())
    }

    /// `criu dump` or `criu pre-dump`, into a new folder.
    ///
    /// # Errors
    /// Those of starting it.
    pub fn dump(&mut self, pid: i32, action: Action, externals: Externals<'_>, timeout: Duration) -> io::Result<Run> {
        self.last += 1;
        let folder = self.folder(self.last);
        fs::create_dir(&folder)?;
        if action == Action::RelativeDump {
            self.caller = Some(Caller::new(&folder)?);
        }
        let name = if action == Action::PreDump { "pre-dump" } else { "dump" };
        let mut command = self.command(name);
        command.args(["--tree", &pid.to_string(), "--link-remap"]);
        match action {
            Action::DumpLeaveRunning => _ = command.arg("--leave-running"),
            Action::DumpLeaveStopped => _ = command.arg("--leave-stopped"),
            _ => {}
        }
        if self.incremental {
            // The one relative path. criu takes it from the images folder, not from where it
            // stands, keeps it as a symbolic link in there, and warns of an absolute one (criu(8)).
            command.arg("--prev-images-dir").arg(format!("../{}", self.last - 1));
        }
        if self.incremental || action == Action::PreDump {
            command.arg("--track-mem");
        }
        self.incremental = action == Action::PreDump;
        for external in externals.mounts {
            let mut argument = OsString::from("mnt[");
            argument.push(&external.mount_point);
            argument.push(format!("]:{}", external.key));
            command.arg("--external").arg(argument);
        }
        for key in externals.files.iter().map(ExternalFile::key).chain(externals.keys) {
            command.arg("--external").arg(key);
        }
        self.files = externals.files;
        match action {
            Action::FailedDump => self.run_without_room(command, timeout),
            Action::KilledDump => self.run_and_kill(command, timeout),
            _ => self.run(command, name, &[], None, timeout),
        }
    }

    /// Dumps into a filesystem that is full before the memory is saved; the log gets through.
    fn run_without_room(&self, mut command: Command, timeout: Duration) -> io::Result<Run> {
        let small = self.folder(self.last).join("small");
        fs::create_dir(&small)?;
        mount(Some("small"), &small, Some("tmpfs"), MsFlags::empty(), Some(NO_ROOM))?;
        // The last one counts.
        command.arg("--images-dir").arg(&small);
        let run = self.run(command, "dump", &[], None, timeout);
        umount2(&small, MntFlags::MNT_DETACH)?;
        run
    }

    /// Dumps with a pipe for the file of the memory's pages, and kills criu when the first of them
    /// come: the process is under criu's control then, and the pipe takes no more than 64 KiB.
    fn run_and_kill(&self, command: Command, timeout: Duration) -> io::Result<Run> {
        let pages = self.folder(self.last).join("pages-1.img");
        mkfifo(&pages, Mode::S_IRWXU)?;
        let pipe = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&pages)?;
        self.run(command, "dump", &[], Some(pipe.as_fd()), timeout)
    }

    /// What the caller found after an action, which is about this only where paths were relative;
    /// `pid` is the process's number.
    ///
    /// # Errors
    /// Those of the observation.
    pub fn findings(&self, action: Action, pid: i32) -> io::Result<Vec<Finding>> {
        self.caller.as_ref().map_or_else(|| Ok(Vec::new()), |caller| caller.findings(action, pid))
    }

    /// `criu restore` from the last dump. `root` is where the root of the process's mount namespace
    /// is made from.
    ///
    /// # Errors
    /// Those of starting it.
    pub fn restore(
        &self,
        action: Action,
        root: &Path,
        from_others: Inherited<'_>,
        externals: &[ExternalMount],
        timeout: Duration,
    ) -> io::Result<Run> {
        let mut command = self.command("restore");
        command.arg("--restore-detached");
        if let Some(caller) = self.caller.as_ref().filter(|_| action.is_relative()) {
            command.args(["--pidfile", PIDFILE, "--action-script"]).arg(caller.hook());
        }
        if action == Action::CompatRestore {
            command.arg("--mntns-compat-mode");
        }
        if self.own_mounts {
            command.arg("--root").arg(root);
        }
        for external in externals {
            let mut argument = OsString::from(format!("mnt[{}]:", external.key));
            argument.push(&external.source);
            command.arg("--external").arg(argument);
        }
        // The child of our fork has these descriptors under known numbers, out of the way of its
        // standard streams.
        let mut inherited = Vec::new();
        for (index, (fd, inode)) in from_others.pipes.into_iter().enumerate() {
            let number = 700 + i32::try_from(index).map_err(io::Error::other)?;
            command.arg("--inherit-fd").arg(format!("fd[{number}]:pipe:[{inode}]"));
            inherited.push((fd, number));
        }
        let files = self.files.iter().map(ExternalFile::key).zip(from_others.files);
        let given = from_others.given.iter().map(|(key, fd)| (key.clone(), fd));
        for ((key, fd), number) in files.chain(given).zip(FIRST_INHERITED..) {
            command.arg("--inherit-fd").arg(format!("fd[{number}]:{key}"));
            inherited.push((fd, number));
        }
        self.run(command, "restore", &inherited, None, timeout)
    }

    /// Absolute paths: a trial does not hang on where criu stands, neither at its start nor later.
    /// But a caller who wants to know just that gives relative ones; the log is named from the
    /// folder to work in (criu(8)).
    fn command(&self, action: &str) -> Command {
        let mut command = program();
        let log = format!("{action}.log");
        match &self.caller {
            None => {
                let folder = self.folder(self.last);
                command.arg(action).arg("--images-dir").arg(&folder).arg("--work-dir").arg(&folder);
                command.arg("--log-file").arg(folder.join(log));
            }
            Some(caller) => {
                command.args([action, "--images-dir", IMAGES, "--work-dir", WORK, "--log-file", &log]);
                command.current_dir(&caller.folder);
            }
        }
        command.args([self.verbosity, "--manage-cgroups=ignore", "--file-locks"]);
        command.stdin(Stdio::null()).process_group(0);
        command
    }

    /// Runs criu to its end, or kills it when there is something to be read from `trap`.
    fn run(
        &self,
        mut command: Command,
        name: &str,
        inherited: &[(&OwnedFd, i32)],
        trap: Option<BorrowedFd<'_>>,
        timeout: Duration,
    ) -> io::Result<Run> {
        let folder = self.folder(self.last);
        let log = self.caller.as_ref().map_or_else(|| folder.clone(), |caller| caller.folder.join(WORK));
        let printed = folder.join(format!("{name}.out"));
        let output = File::create(&printed)?;
        command.stdout(output.try_clone()?).stderr(output);
        sys::inherit(&mut command, inherited);
        let mut process = command.spawn().map_err(|error| io::Error::new(error.kind(), format!("criu: {error}")))?;
        let pid = i32::try_from(process.id()).map_err(io::Error::other)?;
        let pidfd = sys::pidfd_open(pid)?;
        let mut polled = vec![PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        polled.extend(trap.map(|trap| PollFd::new(trap, PollFlags::POLLIN)));
        let in_time = poll(&mut polled, PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX))? > 0;
        if !polled[0].any().unwrap_or(false) {
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let status = process.wait()?;
        let end = match (in_time, status.code(), status.signal()) {
            (false, ..) => ActionEnd::TimedOut,
            (true, Some(0), _) => ActionEnd::Done,
            (true, Some(code), _) => ActionEnd::Failed(code),
            (true, None, signal) => ActionEnd::Killed(signal.unwrap_or(0)),
        };
        let log = read_end(&log.join(format!("{name}.log")));
        let printed = read_end(&printed);
        let mut error_lines = error_lines(&log);
        if error_lines.is_empty() {
            error_lines = printed.lines().take(ERROR_LINE_LIMIT).map(str::to_owned).collect();
        }
        if let Some(report) = asan::report(&printed) {
            error_lines.insert(0, report);
            error_lines.truncate(ERROR_LINE_LIMIT);
        }
        let file = |suffix: &str, text: String| ReportFile { name: format!("criu-{name}.{suffix}"), text };
        Ok(Run { end, error_lines, files: vec![file("log", log), file("out", printed)], lost: None, left: Vec::new() })
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
