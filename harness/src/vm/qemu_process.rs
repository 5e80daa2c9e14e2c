//! QEMU with the host's ends of its sockets, whatever is inside: started, asked, saved, loaded, and
//! its end explained.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::Event;
use protocol::wire::WireError;
use serde_json::{Value, json};

use super::argv::{self, Machine, Memory, Start};
use super::channel::{Channel, ChannelError};
use super::console::{self, Tail};
use super::error::VmError;
use super::machine::VmSpec;
use super::qmp::{Qmp, QmpError};
use crate::process::child::{Process, Surroundings};
use crate::process::lines::LineError;

/// How long QEMU may take to end once its sockets are closed.
const END_TIME_LIMIT: Duration = Duration::from_secs(10);

/// How much of QEMU's standard error an error quotes, in bytes from its end.
const STDERR_QUOTED: usize = 2000;

/// The files of a VM.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) console: PathBuf,
    stderr: PathBuf,
}

/// QEMU and the host's ends of its sockets; the agent may not be there yet.
#[derive(Debug)]
pub(super) struct QemuProcess {
    pub(super) process: Process,
    pub(super) channel: Channel,
    qmp: Control,
    pub(super) files: Files,
}

#[derive(Debug)]
enum Control {
    Unconnected(UnixStream),
    Connected(Qmp),
    Failed,
}

/// Under which name QEMU knows the socket for the state.
const STATE_FD: &str = "state";

/// The state does not contain memory that is a shared file.
fn capabilities() -> Value {
    let on = |name| json!({"capability": name, "state": true});
    json!({"capabilities": [on("x-ignore-shared"), on("events")]})
}

impl QemuProcess {
    pub(super) fn save(&mut self, to: UnixStream, deadline: Instant) -> Result<(), VmError> {
        let qmp = self.qmp(deadline)?;
        qmp.execute("stop", json!({}), deadline)?;
        qmp.execute("migrate-set-capabilities", capabilities(), deadline)?;
        qmp.give(STATE_FD, to.as_fd(), deadline)?;
        drop(to);
        qmp.execute("migrate", json!({"uri": format!("fd:{STATE_FD}")}), deadline)?;
        Ok(qmp.wait_for_migration(deadline)?)
    }

    pub(super) fn load(&mut self, state: Arc<[u8]>, deadline: Instant) -> Result<(), VmError> {
        let system = |source| VmError::System { what: "make a socket pair for the machine's state", source };
        let (mut ours, theirs) = UnixStream::pair().map_err(system)?;
        // It is more than a socket takes. When QEMU ends early, the write fails and the thread
        // ends.
        let writer = std::thread::Builder::new().spawn(move || ours.write_all(&state));
        writer.map_err(|source| VmError::System { what: "start a thread", source })?;
        let qmp = self.qmp(deadline)?;
        qmp.execute("migrate-set-capabilities", capabilities(), deadline)?;
        qmp.give(STATE_FD, theirs.as_fd(), deadline)?;
        drop(theirs);
        qmp.execute("migrate-incoming", json!({"uri": format!("fd:{STATE_FD}")}), deadline)?;
        Ok(qmp.wait_for_migration(deadline)?)
    }

    pub(super) fn resume(&mut self, deadline: Instant) -> Result<(), VmError> {
        self.qmp(deadline)?.execute("cont", json!({}), deadline)?;
        Ok(())
    }

    /// What stands behind an error of QMP: when QEMU has ended, how it ended tells why.
    pub(super) fn why_no_qmp(&mut self, error: VmError) -> VmError {
        let closed = |error: &LineError| match error {
            LineError::Closed => true,
            LineError::Io(error) => error.kind() == io::ErrorKind::BrokenPipe,
            _ => false,
        };
        match error {
            VmError::Qmp(QmpError::Line { source: LineError::Interrupted, .. }) => VmError::Interrupted,
            VmError::Qmp(QmpError::Line { source: LineError::Stopped, .. }) => self.stopped(),
            VmError::Qmp(QmpError::Line { ref source, .. }) if closed(source) => {
                match self.wait(Instant::now() + END_TIME_LIMIT) {
                    Ok(Some(status)) => self.ended(status),
                    _ => error,
                }
            }
            _ => error,
        }
    }

    pub(super) fn start(spec: &VmSpec, memory: Memory, start: Start<'_>) -> Result<Self, VmError> {
        let sockets = |source| VmError::System { what: "make a socket pair for QEMU", source };
        let (mut channel, agent_end) = Channel::pair().map_err(sockets)?;
        let (qmp, qmp_end) = Qmp::pair().map_err(sockets)?;
        let in_directory = |name| spec.directory.join(name);
        let files = Files { console: in_directory("console"), stderr: in_directory("qemu-stderr") };
        let machine = Machine {
            architecture: spec.architecture,
            accelerator: spec.accelerator,
            data_dirs: &spec.qemu.data_dirs,
            memory_mib: spec.memory_mib,
            memory,
            start,
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
        channel.watch(process.pid());
        Ok(Self { process, channel, qmp: Control::Unconnected(qmp), files })
    }

    pub(super) fn receive(&mut self, waiting_for: &'static str, deadline: Instant) -> Result<Event, VmError> {
        let begin = Instant::now();
        match self.channel.receive(deadline) {
            Ok(Event::Broken { why }) => Err(VmError::Broken { why, console: self.tail() }),
            Ok(event) => Ok(event),
            Err(error) => Err(self.explain(error, waiting_for, begin)),
        }
    }

    /// What stands behind an error of the channel: a closed one means that QEMU has ended, and how
    /// it ended tells why.
    pub(super) fn explain(&mut self, error: ChannelError, waiting_for: &'static str, begin: Instant) -> VmError {
        if let ChannelError::Wire(WireError::Closed) = error {
            match self.wait(Instant::now() + END_TIME_LIMIT) {
                Ok(Some(status)) => return self.ended(status),
                Ok(None) => {}
                Err(error) => return error,
            }
        }
        if let ChannelError::Stopped = error {
            return self.stopped();
        }
        VmError::of_channel(error, waiting_for, begin.elapsed(), self.tail())
    }

    fn stopped(&self) -> VmError {
        VmError::Stopped { pid: self.process.pid(), console: self.tail() }
    }

    pub(super) fn wait(&mut self, deadline: Instant) -> Result<Option<ExitStatus>, VmError> {
        self.process.wait(deadline).map_err(|source| VmError::System { what: "wait for QEMU", source })
    }

    /// QEMU ends with 0 when the guest switches itself off or resets; `-no-reboot` makes a panic a
    /// reset.
    pub(super) fn ended(&self, status: ExitStatus) -> VmError {
        let console = self.tail();
        if status.success() {
            return VmError::Died { console };
        }
        let bytes = std::fs::read(&self.files.stderr).unwrap_or_default();
        let end = &bytes[bytes.len().saturating_sub(STDERR_QUOTED)..];
        VmError::Qemu { status, stderr: String::from_utf8_lossy(end).trim_end().to_owned(), console }
    }

    pub(super) fn qmp(&mut self, deadline: Instant) -> Result<&mut Qmp, VmError> {
        if matches!(self.qmp, Control::Unconnected(_))
            && let Control::Unconnected(stream) = std::mem::replace(&mut self.qmp, Control::Failed)
        {
            self.qmp = Control::Connected(Qmp::connect(stream, self.process.pid(), deadline)?);
        }
        match &mut self.qmp {
            Control::Connected(qmp) => Ok(qmp),
            _ => Err(VmError::System {
                what: "use QMP",
                source: io::Error::other("an earlier attempt to connect failed"),
            }),
        }
    }

    pub(super) fn tail(&self) -> Tail {
        Tail::of(&self.files.console)
    }
}

fn create(path: &Path) -> Result<File, VmError> {
    File::create(path).map_err(prepare("create", path))
}

fn prepare(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> VmError {
    move |source| VmError::Prepare { what, path: path.to_owned(), source }
}
