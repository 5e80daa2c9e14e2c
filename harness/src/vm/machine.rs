//! A VM from its start to its end: QEMU, the channel to the agent in it, its console.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use protocol::message::Ready;
use protocol::wire::WireError;
use protocol::{Event, Request};

use super::accel::Accelerator;
use super::argv::{self, Machine, Memory};
use super::channel::{Channel, ChannelError};
use super::cmdline;
use super::console::{self, Tail};
use super::error::VmError;
use super::process::{Process, Surroundings};
use super::qemu::QemuProgram;
use super::qmp::Qmp;

/// How long QEMU may take to end once its sockets are closed.
const END_TIME_LIMIT: Duration = Duration::from_secs(10);

/// How much of QEMU's standard error an error quotes, in bytes from its end.
const STDERR_QUOTED: usize = 2000;

/// What to boot.
#[derive(Clone, Debug)]
pub struct VmSpec {
    /// With which QEMU.
    pub qemu: QemuProgram,
    /// On what.
    pub accelerator: Accelerator,
    /// `vmlinux` with a PVH entry, or a `bzImage`.
    pub kernel: PathBuf,
    /// A cpio archive whose `/init` is the agent.
    pub initramfs: PathBuf,
    /// Size of the memory in MiB.
    pub memory_mib: u32,
    /// A directory of this VM alone, for its console, QEMU's output and command line; made when it is missing.
    pub directory: PathBuf,
    /// Words for the end of the kernel's command line.
    pub extra_cmdline: String,
}

/// A running VM whose agent has said that it is ready. Dropping it ends QEMU.
#[derive(Debug)]
pub struct Vm {
    guest: Guest,
    ready: Ready,
}

impl Vm {
    /// Starts QEMU and waits for the agent's first message.
    ///
    /// # Errors
    /// [`VmError`]; nothing is left running.
    pub fn boot(spec: &VmSpec, deadline: Instant) -> Result<Self, VmError> {
        let mut guest = Guest::start(spec)?;
        match guest.receive("the agent's first message", deadline)? {
            Event::Ready(ready) => Ok(Self { guest, ready }),
            other => Err(VmError::Protocol {
                what: format!("its first message is {other:.200?} and not Ready"),
                console: guest.tail(),
            }),
        }
    }

    /// What the agent found when it came up.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Sends a request.
    ///
    /// # Errors
    /// [`VmError`]; a guest that does not read for 30 s is a time-out.
    pub fn send(&mut self, request: &Request) -> Result<(), VmError> {
        let begin = Instant::now();
        let outcome = self.guest.channel.send(request);
        outcome.map_err(|error| self.guest.explain(error, "the agent to take a request", begin))
    }

    /// The agent's next event. One that is already here is given out even when the deadline is over.
    ///
    /// # Errors
    /// [`VmError`]. After [`VmError::TimedOut`] and [`VmError::Interrupted`] nothing is lost; after any other error the
    /// VM is of no more use.
    pub fn receive(&mut self, deadline: Instant) -> Result<Event, VmError> {
        self.guest.receive("the agent's next event", deadline)
    }

    /// QEMU's control channel; the first call connects it.
    ///
    /// # Errors
    /// [`VmError::Qmp`]
    pub fn qmp(&mut self, deadline: Instant) -> Result<&mut Qmp, VmError> {
        self.guest.qmp(deadline)
    }

    /// The console's file.
    pub fn console(&self) -> &Path {
        &self.guest.files.console
    }

    /// The process ID of QEMU.
    pub fn pid(&self) -> u32 {
        self.guest.process.pid()
    }

    /// Asks the agent to switch the machine off and waits for QEMU's end.
    ///
    /// # Errors
    /// The agent does not take the request, QEMU does not end in time (it is killed then) or ends with an error.
    pub fn shut_down(mut self, deadline: Instant) -> Result<(), VmError> {
        let begin = Instant::now();
        self.send(&Request::Shutdown)?;
        match self.guest.wait(deadline)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(self.guest.ended(status)),
            None => Err(VmError::TimedOut {
                waiting_for: "the machine to switch off",
                waited: begin.elapsed(),
                console: self.guest.tail(),
            }),
        }
    }
}

/// The files of a VM.
#[derive(Debug)]
struct Files {
    console: PathBuf,
    stderr: PathBuf,
}

/// QEMU and the host's ends of its sockets; the agent may not be there yet.
#[derive(Debug)]
struct Guest {
    process: Process,
    channel: Channel,
    qmp: Control,
    files: Files,
}

#[derive(Debug)]
enum Control {
    Unconnected(UnixStream),
    Connected(Qmp),
    Failed,
}

impl Guest {
    fn start(spec: &VmSpec) -> Result<Self, VmError> {
        let sockets = |source| VmError::System { what: "make a socket pair for QEMU", source };
        let (channel, agent_end) = Channel::pair().map_err(sockets)?;
        let (qmp, qmp_end) = Qmp::pair().map_err(sockets)?;
        let in_directory = |name| spec.directory.join(name);
        let files = Files { console: in_directory("console"), stderr: in_directory("qemu-stderr") };
        let machine = Machine {
            accelerator: spec.accelerator,
            data_dirs: &spec.qemu.data_dirs,
            memory_mib: spec.memory_mib,
            memory: Memory::Anonymous,
            kernel: &spec.kernel,
            initramfs: &spec.initramfs,
            cmdline: &cmdline::with(&spec.extra_cmdline),
            console: &files.console,
            agent_fd: agent_end.as_raw_fd(),
            qmp_fd: qmp_end.as_raw_fd(),
        };
        let arguments = machine.argv();
        std::fs::create_dir_all(&spec.directory).map_err(prepare("make the directory", &spec.directory))?;
        let text = argv::to_text(spec.qemu.argv_prefix.iter().chain(&arguments).map(OsString::as_os_str));
        let text_file = in_directory("qemu-command");
        std::fs::write(&text_file, text).map_err(prepare("write", &text_file))?;
        // An older VM's console must not be taken for this one's.
        create(&files.console)?;
        let surroundings = Surroundings {
            stdout: create(&in_directory("qemu-stdout"))?,
            stderr: create(&files.stderr)?,
            inherited: &[agent_end.as_fd(), qmp_end.as_fd()],
            file_limit_bytes: console::LIMIT_BYTES,
        };
        let mut command = spec.qemu.command();
        command.args(arguments);
        let program = PathBuf::from(command.get_program());
        let process = Process::spawn(command, surroundings).map_err(prepare("start QEMU", &program))?;
        Ok(Self { process, channel, qmp: Control::Unconnected(qmp), files })
    }

    fn receive(&mut self, waiting_for: &'static str, deadline: Instant) -> Result<Event, VmError> {
        let begin = Instant::now();
        match self.channel.receive(deadline) {
            Ok(Event::Broken { why }) => Err(VmError::Broken { why, console: self.tail() }),
            Ok(event) => Ok(event),
            Err(error) => Err(self.explain(error, waiting_for, begin)),
        }
    }

    /// What stands behind an error of the channel: a closed one means that QEMU has ended, and how it ended tells why.
    fn explain(&mut self, error: ChannelError, waiting_for: &'static str, begin: Instant) -> VmError {
        if let ChannelError::Wire(WireError::Closed) = error {
            match self.wait(Instant::now() + END_TIME_LIMIT) {
                Ok(Some(status)) => return self.ended(status),
                Ok(None) => {}
                Err(error) => return error,
            }
        }
        VmError::of_channel(error, waiting_for, begin.elapsed(), self.tail())
    }

    fn wait(&mut self, deadline: Instant) -> Result<Option<ExitStatus>, VmError> {
        self.process.wait(deadline).map_err(|source| VmError::System { what: "wait for QEMU", source })
    }

    /// QEMU ends with 0 when the guest switches itself off or resets; `-no-reboot` makes a panic a reset.
    fn ended(&self, status: ExitStatus) -> VmError {
        let console = self.tail();
        if status.success() {
            return VmError::Died { console };
        }
        let bytes = std::fs::read(&self.files.stderr).unwrap_or_default();
        let end = &bytes[bytes.len().saturating_sub(STDERR_QUOTED)..];
        VmError::Qemu { status, stderr: String::from_utf8_lossy(end).trim_end().to_owned(), console }
    }

    fn qmp(&mut self, deadline: Instant) -> Result<&mut Qmp, VmError> {
        if matches!(self.qmp, Control::Unconnected(_))
            && let Control::Unconnected(stream) = std::mem::replace(&mut self.qmp, Control::Failed)
        {
            self.qmp = Control::Connected(Qmp::connect(stream, deadline)?);
        }
        match &mut self.qmp {
            Control::Connected(qmp) => Ok(qmp),
            _ => Err(VmError::System {
                what: "use QMP",
                source: io::Error::other("an earlier attempt to connect failed"),
            }),
        }
    }

    fn tail(&self) -> Tail {
        Tail::of(&self.files.console)
    }
}

fn create(path: &Path) -> Result<File, VmError> {
    File::create(path).map_err(prepare("create", path))
}

fn prepare(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> VmError {
    move |source| VmError::Prepare { what, path: path.to_owned(), source }
}
