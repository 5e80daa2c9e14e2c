//! A VM from its start to its end: QEMU, the channel to the agent in it, its console.

use std::io::{self, Read as _};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use protocol::message::{Ready, Wake};
use protocol::{Event, Request};

use super::accelerator::Accelerator;
use super::argv::{Memory, Start};
use super::boot_watch::first_message;
use super::cmdline;
use super::console::Tail;
use super::error::VmError;
use super::qemu::QemuProgram;
use super::qemu_process::QemuProcess;
use super::qmp::Qmp;
use super::subject;
use crate::architecture::Architecture;
use crate::subject::criu::Criu;

/// What to boot.
#[derive(Clone, Debug)]
pub struct VmSpec {
    /// With which QEMU.
    pub qemu: QemuProgram,
    /// What its code is for.
    pub architecture: Architecture,
    /// On what.
    pub accelerator: Accelerator,
    /// `vmlinux` with a PVH entry or a `bzImage`; for arm64 an `Image`.
    pub kernel: PathBuf,
    /// A cpio archive whose `/init` is the agent.
    pub initramfs: PathBuf,
    /// Size of the memory in MiB.
    pub memory_mib: u32,
    /// A directory of this VM alone, for its console, QEMU's output and command line; made when it
    /// is missing.
    pub directory: PathBuf,
    /// Words for the end of the kernel's command line.
    pub extra_cmdline: String,
    /// What takes the place of the userland's criu: handed over when the agent is ready.
    pub criu: Option<Criu>,
}

/// A running VM whose agent has said that it is ready. Dropping it ends QEMU.
#[derive(Debug)]
pub struct Vm {
    guest: QemuProcess,
    ready: Ready,
}

impl Vm {
    /// Starts QEMU and waits for the agent's first message.
    ///
    /// # Errors
    /// [`VmError`]; nothing is left running.
    pub fn boot(spec: &VmSpec, deadline: Instant) -> Result<Self, VmError> {
        Self::boot_in(spec, Memory::Anonymous, deadline)?.with(spec.criu.as_ref(), deadline)
    }

    /// The same machine with this criu.
    fn with(mut self, criu: Option<&Criu>, deadline: Instant) -> Result<Self, VmError> {
        if let Some(criu) = criu {
            self.ready.criu = subject::hand_over(&mut self.guest, criu, deadline)?;
        }
        Ok(self)
    }

    /// Boots with this memory and with the userland's own criu.
    pub(super) fn boot_in(spec: &VmSpec, memory: Memory, deadline: Instant) -> Result<Self, VmError> {
        let cmdline = cmdline::with(spec.architecture, &spec.extra_cmdline);
        let start = Start::Boot { kernel: &spec.kernel, initramfs: &spec.initramfs, cmdline: &cmdline };
        let mut guest = QemuProcess::start(spec, memory, start)?;
        let console = guest.files.console.clone();
        let receive = |end| guest.receive("the agent's first message", end);
        match first_message(deadline, receive, || Tail::of(&console))? {
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

    /// The agent's next event. One that is already here is given out even when the deadline is
    /// over.
    ///
    /// # Errors
    /// [`VmError`]. After [`VmError::TimedOut`] and [`VmError::Interrupted`] nothing is lost; after
    /// any other error the VM is of no more use.
    pub fn receive(&mut self, deadline: Instant) -> Result<Event, VmError> {
        self.guest.receive("the agent's next event", deadline)
    }

    /// The channel, to be waited for together with others. [`Vm::receive`] until it times out takes
    /// all that is there.
    pub fn channel_fd(&self) -> BorrowedFd<'_> {
        self.guest.channel.as_fd()
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

    /// The error of an agent that sent something else than it was asked for.
    pub(crate) fn astray(&self, what: String) -> VmError {
        VmError::Protocol { what: format!("it sent {what}"), console: self.guest.tail() }
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        self.console().parent().expect("the console is a file in the directory")
    }

    /// Stops the machine for good and gives the state of its devices and processor, in QEMU's form.
    /// Its memory must be a shared file: that is the rest of the machine.
    ///
    /// # Errors
    /// [`VmError`]
    pub(super) fn save(mut self, deadline: Instant) -> Result<Vec<u8>, VmError> {
        let system = |source| VmError::System { what: "make a socket pair for the machine's state", source };
        let (mut ours, theirs) = UnixStream::pair().map_err(system)?;
        let reader = std::thread::Builder::new().spawn(move || {
            let mut state = Vec::new();
            ours.read_to_end(&mut state).map(|_| state)
        });
        let reader = reader.map_err(|source| VmError::System { what: "start a thread", source })?;
        let outcome = self.guest.save(theirs, deadline);
        let outcome = outcome.map_err(|error| self.guest.why_no_qmp(error));
        // With QEMU the last copy of the socket's other end goes, whatever happened, and so the
        // reader ends.
        drop(self);
        let state = reader.join().unwrap_or_else(|_| Err(io::Error::other("the reader panicked")));
        outcome?;
        state.map_err(|source| VmError::System { what: "read the machine's state", source })
    }

    /// The process ID of QEMU.
    pub fn pid(&self) -> u32 {
        self.guest.process.pid()
    }

    /// Asks the agent to switch the machine off and waits for QEMU's end.
    ///
    /// # Errors
    /// The agent does not take the request, QEMU does not end in time (it is killed then) or ends
    /// with an error.
    pub fn shut_down(mut self, deadline: Instant) -> Result<(), VmError> {
        let begin = Instant::now();
        self.send(&Request::Shutdown)?;
        match self.guest.wait(deadline)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(self.guest.ended(status)),
            None => Err(VmError::TimedOut {
                waiting_for: "the machine to switch off (limit of the VM)".to_owned(),
                waited: begin.elapsed(),
                console: self.guest.tail(),
            }),
        }
    }
}

/// A copy of a saved machine, loaded and not yet running. Dropping it ends QEMU.
#[derive(Debug)]
pub struct Paused {
    guest: QemuProcess,
    criu: Option<Criu>,
}

impl Paused {
    /// Starts QEMU and has it take over a saved machine: its memory, which is not changed, and its
    /// state.
    ///
    /// # Errors
    /// [`VmError`]; nothing is left running.
    pub(super) fn load(spec: &VmSpec, ram: &Path, state: Arc<[u8]>, deadline: Instant) -> Result<Self, VmError> {
        let memory = Memory::File { path: ram.to_owned(), shared: false };
        let mut guest = QemuProcess::start(spec, memory, Start::Incoming)?;
        match guest.load(state, deadline) {
            Ok(()) => Ok(Self { guest, criu: spec.criu.clone() }),
            Err(error) => Err(guest.why_no_qmp(error)),
        }
    }

    /// Lets it run. Only its own answer to a new question is a sign of
    /// life.
    ///
    /// # Errors
    /// [`VmError`]; nothing is left running.
    pub fn wake(mut self, deadline: Instant) -> Result<Vm, VmError> {
        let resumed = self.guest.resume(deadline);
        resumed.map_err(|error| self.guest.why_no_qmp(error))?;
        let nonce = next_nonce();
        let unix_time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_time_ns = u64::try_from(unix_time.as_nanos()).unwrap_or(u64::MAX);
        let begin = Instant::now();
        let sent = self.guest.channel.send(&Request::Wake(Wake { nonce, unix_time_ns }));
        sent.map_err(|error| self.guest.explain(error, "the copy of the saved machine to take a request", begin))?;
        match self.guest.receive("the copy of the saved machine to answer", deadline)? {
            Event::Awake { nonce: answered, ready } if answered == nonce => {
                Vm { guest: self.guest, ready }.with(self.criu.as_ref(), deadline)
            }
            other => Err(VmError::Protocol {
                what: format!("its first message is {other:.200?} and not Awake with number {nonce}"),
                console: self.guest.tail(),
            }),
        }
    }
}

/// A number that no machine of this process has seen, nor, as time goes on, one of a process before
/// it.
fn next_nonce() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros());
    let now = u64::try_from(now).unwrap_or(0);
    LAST.fetch_max(now, Ordering::Relaxed);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}
