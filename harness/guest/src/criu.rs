//! Dump and restore through the `criu` command line (criu(8)), or through its service.
//!
//! - `run`: one call, from its start to its end
//! - [`rpc`]: a dump by the service, which asks while the processes are frozen
//! - `configuration`: arguments as the service takes them
//! - `input`: what its standard input is
//! - `program`: which criu, and how it is started
//! - `page_server`: who takes the memory of a dump
//!
//! What the container engines pass by hand is passed here too: the pipes that lead out of the
//! process, and mounts of filesystems on block devices, which criu takes from outside
//! (`--external mnt[...]`).
//!
//! No verdict depends on more of criu than the trial is about. All paths are absolute, so it does
//! not matter in which folder criu works. criu writes no pidfile: `agent::restored` finds the
//! restored process by its pipe. The lifecycle `relative-paths` alone tests what criu does to its
//! caller (`caller.rs`).

mod configuration;
mod input;
mod page_server;
mod program;
pub mod rpc;
mod run;

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use protocol::caller::{Finding, IMAGES, PIDFILE, WORK};
use protocol::message::{Action, ActionEnd, Input};

use crate::caller::{Caller, SpoilingHook};
use crate::external::{ExternalFile, ExternalMount, Externals, FIRST_INHERITED, Inherited};
use crate::sys;
use input::StandardInput;
use page_server::PageServer;
use program::Part;
pub use program::version;
pub(crate) use program::{FOLDER, KERNEL_DATA};
use rpc::{Asked, Service};
pub(crate) use run::ERROR_LINE_LIMIT;
use run::Meanwhile;
pub use run::{Run, error_lines};

/// Room for the images that come before those of the memory, and for not all of the memory.
const NO_ROOM: &str = "size=64k,mode=0700";
/// The number of the first pipe that a restored process inherits.
const FIRST_PIPE: i32 = 700;
/// How much criu logs of a process: everything, and of one that many programs share errors only.
/// A failed trial runs again alone, and a line costs a system call.
const VERBOSE: &str = "-v4";
const QUIET: &str = "-v1";

/// The images of one process, each dump's in a folder of its own.
pub struct Images {
    folder: PathBuf,
    /// Whether the process has a mount namespace of its own.
    own_mounts: bool,
    /// How much is logged.
    verbosity: &'static str,
    /// Its standard input.
    input: StandardInput,
    /// Files that the caller had at the last dump.
    files: Vec<ExternalFile>,
    /// The number of the last dump, and with it the name of its folder.
    last: usize,
    /// The caller that names every path relatively, in lifecycles that are about this.
    caller: Option<Caller>,
    /// The last dump was a pre-dump: the next saves only what changed since.
    incremental: bool,
}

impl Images {
    /// An empty set below `folder`; `quiet` where only errors are to be logged.
    ///
    /// # Errors
    /// Those of making the folder.
    pub fn new(folder: PathBuf, own_mounts: bool, quiet: bool) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let verbosity = if quiet { QUIET } else { VERBOSE };
        let input = StandardInput::default();
        Ok(Images {
            folder,
            own_mounts,
            verbosity,
            input,
            files: Vec::new(),
            last: 0,
            caller: None,
            incremental: false,
        })
    }

    /// What criu's standard input is from now on, if not `/dev/null`.
    ///
    /// # Errors
    /// Those of making a terminal.
    pub fn set_input(&mut self, input: Input) -> io::Result<()> {
        self.input = StandardInput::new(input)?;
        Ok(())
    }

    /// The files that the caller had at the last dump.
    pub fn files(&self) -> &[ExternalFile] {
        &self.files
    }

    /// The folder of a dump.
    fn folder(&self, number: usize) -> PathBuf {
        self.folder.join(number.to_string())
    }

    /// `criu dump` or `criu pre-dump`, into a new folder. With `asked` the service does it, which
    /// asks what else is taken from outside.
    ///
    /// # Errors
    /// Those of starting it.
    pub fn dump(
        &mut self,
        pid: i32,
        action: Action,
        externals: Externals<'_>,
        asked: Option<&mut Asked<'_>>,
        timeout: Duration,
    ) -> io::Result<Run> {
        self.last += 1;
        let folder = self.folder(self.last);
        fs::create_dir(&folder)?;
        if action == Action::RelativeDump {
            self.caller = Some(Caller::new(&folder)?);
        }
        let name = if action == Action::PreDump { "pre-dump" } else { "dump" };
        let arguments = self.dump_arguments(action, name);
        self.incremental = action == Action::PreDump;
        let from_outside: Vec<OsString> = externals.of_dump().collect();
        self.files = externals.files;
        let mut command = self.command(Part::Dump)?;
        if let Some(asked) = asked {
            let service = Service::dump(pid, &folder, &arguments, from_outside)?;
            return self.run(command, name, Meanwhile::Conversation(service, asked), timeout);
        }
        command.args([name, "--tree", &pid.to_string(), "--images-dir"]);
        command.arg(self.caller.as_ref().map_or(folder.as_path(), |_| Path::new(IMAGES))).args(arguments);
        for external in from_outside {
            command.arg("--external").arg(external);
        }
        match action {
            Action::PageServerDump => self.run_with_page_server(command, timeout),
            Action::FailedDump => self.run_without_room(command, timeout),
            Action::KilledDump => self.run_and_kill(command, timeout),
            _ => self.run(command, name, Meanwhile::Nothing, timeout),
        }
    }

    /// All but the process, the images folder and what is taken from outside.
    fn dump_arguments(&self, action: Action, name: &str) -> Vec<OsString> {
        let mut arguments = self.common_arguments(name);
        arguments.push("--link-remap".into());
        match action {
            Action::DumpLeaveRunning => arguments.push("--leave-running".into()),
            Action::DumpLeaveStopped => arguments.push("--leave-stopped".into()),
            _ => {}
        }
        if self.incremental {
            // The one relative path. criu takes it from the images folder, not from where it
            // stands, keeps it as a symbolic link in there, and warns of an absolute one (criu(8)).
            arguments.extend(["--prev-images-dir".into(), format!("../{}", self.last - 1).into()]);
        }
        if self.incremental || action == Action::PreDump {
            arguments.push("--track-mem".into());
        }
        arguments
    }

    /// Dumps into a filesystem that is full before the memory is saved; the log gets through.
    fn run_without_room(&self, mut command: Command, timeout: Duration) -> io::Result<Run> {
        let small = self.folder(self.last).join("small");
        fs::create_dir(&small)?;
        mount(Some("small"), &small, Some("tmpfs"), MsFlags::empty(), Some(NO_ROOM))?;
        // The last one counts.
        command.arg("--images-dir").arg(&small);
        let run = self.run(command, "dump", Meanwhile::Nothing, timeout);
        umount2(&small, MntFlags::MNT_DETACH)?;
        run
    }

    /// Dumps while another criu takes the memory and writes it to the same folder.
    fn run_with_page_server(&self, mut command: Command, timeout: Duration) -> io::Result<Run> {
        let folder = self.folder(self.last);
        let server = PageServer::start(self.command(Part::Dump)?, &folder, self.common_arguments(page_server::NAME))?;
        server.give(&mut command);
        let mut run = self.run(command, "dump", Meanwhile::Nothing, timeout)?;
        let server = server.end(timeout)?;
        if run.end == ActionEnd::Done {
            run.end = server.end;
        }
        run.error_lines.extend(server.error_lines);
        run.files.extend(server.files);
        Ok(run)
    }

    /// Dumps with a pipe for the file of the memory's pages, and kills criu when the first of them
    /// come: the process is under criu's control then, and the pipe takes no more than 64 KiB.
    fn run_and_kill(&self, command: Command, timeout: Duration) -> io::Result<Run> {
        let pages = self.folder(self.last).join("pages-1.img");
        mkfifo(&pages, Mode::S_IRWXU)?;
        let pipe = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&pages)?;
        self.run(command, "dump", Meanwhile::Trap(pipe.as_fd()), timeout)
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
        let mut arguments = self.common_arguments("restore");
        if let Some(caller) = self.caller.as_ref().filter(|_| action.is_relative()) {
            arguments.extend([
                "--pidfile".into(),
                PIDFILE.into(),
                "--action-script".into(),
                caller.hook(action).into(),
            ]);
        }
        let hook = SpoilingHook::of(action, &self.folder)?;
        if let Some(hook) = &hook {
            arguments.extend(["--action-script".into(), hook.path().into()]);
        }
        if action == Action::CompatRestore {
            arguments.push("--mntns-compat-mode".into());
        }
        if self.own_mounts {
            arguments.extend(["--root".into(), root.into()]);
        }
        let from_outside = externals.iter().map(ExternalMount::of_restore);
        let inherited = self.inherited(&from_others);
        let keys = inherited.iter().map(|(key, _, number)| (key.clone(), *number));
        let mut command = self.command(Part::Restore)?;
        let numbers: Vec<(&OwnedFd, i32)> = inherited.iter().map(|(_, fd, number)| (*fd, *number)).collect();
        sys::inherit(&mut command, &numbers);
        let folder = self.folder(self.last);
        if action == Action::ServiceRestore {
            let service = Service::restore(&folder, &arguments, from_outside.collect(), keys)?;
            let mut asked = || None;
            return self.run(command, "restore", Meanwhile::Conversation(service, &mut asked), timeout);
        }
        command.args(["restore", "--images-dir"]);
        command.arg(self.caller.as_ref().map_or(folder.as_path(), |_| Path::new(IMAGES)));
        command.args(arguments).arg("--restore-detached");
        from_outside.for_each(|external| _ = command.arg("--external").arg(external));
        keys.for_each(|(key, number)| _ = command.arg("--inherit-fd").arg(format!("fd[{number}]:{key}")));
        let mut run = self.run(command, "restore", Meanwhile::Nothing, timeout)?;
        let by_hook = hook.is_some_and(|hook| hook.was_started());
        match run.end {
            ActionEnd::Failed(_) if by_hook => run.end = ActionEnd::Failed(Action::HOOK_FAILED),
            ActionEnd::Killed(Action::SIGKILL) if !by_hook => {
                return Err(io::Error::other("criu was killed, and not by its hook"));
            }
            _ => {}
        }
        Ok(run)
    }

    /// What the process inherits: by which key it is known, and its number in criu, out of the way
    /// of standard streams.
    fn inherited<'a>(&self, from_others: &Inherited<'a>) -> Vec<(String, &'a OwnedFd, i32)> {
        let pipes = from_others.pipes.iter().map(|(fd, inode)| (format!("pipe:[{inode}]"), *fd));
        let files = self.files.iter().map(ExternalFile::key).zip(from_others.files);
        let given = from_others.given.iter().map(|(key, fd)| (key.clone(), fd));
        let pipes = pipes.zip(FIRST_PIPE..);
        let all = pipes.chain(files.chain(given).zip(FIRST_INHERITED..));
        all.map(|((key, fd), number)| (key, fd, number)).collect()
    }

    /// criu, without arguments yet.
    fn command(&self, part: Part) -> io::Result<Command> {
        let mut command = part.program()?;
        if let Some(caller) = &self.caller {
            command.current_dir(&caller.folder);
        }
        self.input.give(&mut command)?;
        command.process_group(0);
        Ok(command)
    }

    /// Absolute paths: a trial does not hang on where criu stands, neither at its start nor later.
    /// But a caller who wants to know just that gives relative ones; the log is named from the
    /// folder to work in (criu(8)).
    fn common_arguments(&self, name: &str) -> Vec<OsString> {
        let log = format!("{name}.log");
        let (work, log) = match &self.caller {
            None => (self.folder(self.last), self.folder(self.last).join(log)),
            Some(_) => (WORK.into(), log.into()),
        };
        let mut arguments = vec!["--work-dir".into(), work.into(), "--log-file".into(), log.into()];
        arguments.extend([self.verbosity, "--manage-cgroups=ignore", "--file-locks"].map(OsString::from));
        arguments
    }

    fn run(&self, command: Command, name: &str, meanwhile: Meanwhile<'_>, timeout: Duration) -> io::Result<Run> {
        let folder = self.folder(self.last);
        let log = self.caller.as_ref().map_or_else(|| folder.clone(), |caller| caller.folder.join(WORK));
        run::run(command, name, [&folder, &log], meanwhile, timeout)
    }
}
