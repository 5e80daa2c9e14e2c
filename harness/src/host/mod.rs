//! The agent on the host's own kernel: no VM, namespaces instead.
//!
//! [`HostAgent::boot`] starts it and comes back when it is ready; dropping the [`HostAgent`] ends
//! it and waits until its processes, mounts and loop devices are gone. Should this process be
//! killed the kernel does the same. The agent gets no folder on the host and what it says goes into
//! memory, so there is nothing that could be left behind.
//!
//! What it may and may not do there is the business of crate `guest`, module `agent::host`.
//!
//! What programs can use depends on the user:
//!
//! - root of the machine: tmpfs, ramfs, proc, devpts, mqueue, overlayfs, sysfs, hugetlbfs,
//!   mappings, harmless device nodes and files of other users; filesystems on disks where the
//!   machine has a free loop device
//! - another user, or root of a container (both in a user namespace): tmpfs, ramfs, proc, devpts,
//!   mqueue and overlayfs where `/proc` is not masked; sysfs in a network namespace of its own
//!   where `/sys` is not masked; no disks, no device nodes, no files of other users; no mappings,
//!   because only privileged users may follow `/proc/PID/map_files`
//! - to no user: other device nodes, files of proc and sysfs, devtmpfs and cgroup2, which are the
//!   whole machine's
//!
//! What is missing makes a trial *unsupported*, with the reason. No module is loaded. xfs and btrfs
//! know a filesystem by a number that every trial's disk has, so trials with them take turns (a
//! lock on `/sys/block`). The host's kernel log and taint flags also record what others do, so they
//! are not read: without a VM a trial never fails with `kernel-splat`. The kernel's name in trials
//! is `host-MAJOR.MINOR`.

mod error;

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use protocol::message::Ready;
use protocol::wire::WireError;
use protocol::{Event, Request};

use crate::process::child::{Process, Surroundings};
use crate::vm::channel::{Channel, ChannelError};

pub use error::HostError;

/// How long the agent may take to end after the request, before it is killed without waiting for
/// its namespaces.
const END_TIME_LIMIT: Duration = Duration::from_secs(10);

/// No more of what the agent says is kept, in bytes from its end.
const SAID_LIMIT: u64 = 16 << 10;

/// What to start.
#[derive(Clone, Debug)]
pub struct HostSpec {
    /// The guest's program.
    pub agent: PathBuf,
    /// The folder with blank filesystems; block filesystems need it.
    pub blank: Option<PathBuf>,
}

/// What the names of hosts' kernels in trials start with; those of the manifest's kernels do not.
pub const KERNEL_PREFIX: &str = "host-";

/// The name of this host's kernel in trials: `host-6.18`.
pub fn kernel_name() -> String {
    let release = nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned());
    let release = release.unwrap_or_default();
    let numbers: Vec<&str> = release.split(['.', '-', '+']).take(2).collect();
    format!("{KERNEL_PREFIX}{}", numbers.join("."))
}

/// Whether this process is root of the machine and not of some user namespace: only such
/// root can attach disks.
pub fn is_root() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    nix::unistd::geteuid().is_root() && map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// A running agent that has said that it is ready.
#[derive(Debug)]
pub struct HostAgent {
    process: Process,
    channel: Channel,
    /// Its standard error, a file in memory.
    said: File,
    ready: Ready,
}

impl HostAgent {
    /// Starts the agent and waits for its first message.
    ///
    /// # Errors
    /// [`HostError`]; nothing is left.
    pub fn boot(spec: &HostSpec, deadline: Instant) -> Result<Self, HostError> {
        let system = |what| move |source| HostError::System { what, source };
        let (channel, agent_end) = Channel::pair().map_err(system("make a socket pair"))?;
        let said = memfd_create(c"agent-stderr", MFdFlags::MFD_CLOEXEC).map_err(io::Error::from);
        let said = File::from(said.map_err(system("make a file in memory"))?);
        let another = || said.try_clone().map_err(system("share a file in memory"));
        let surroundings = Surroundings {
            stdout: another()?,
            stderr: another()?,
            inherited: &[agent_end.as_fd()],
            // Disk images are large and sparse.
            file_limit_bytes: u64::MAX,
        };
        let mut command = Command::new(&spec.agent);
        command.arg("host-agent").arg(agent_end.as_raw_fd().to_string()).args(&spec.blank).env_clear();
        let process = Process::spawn(command, surroundings)
            .map_err(|source| HostError::Start { path: spec.agent.clone(), source })?;
        drop(agent_end);
        let mut agent = Self { process, channel, said, ready: Ready::default() };
        match agent.receive(deadline)? {
            Event::Ready(ready) => agent.ready = ready,
            other => return Err(HostError::Protocol(format!("its first message is {other:.200?} and not Ready"))),
        }
        Ok(agent)
    }

    /// What the agent found when it came up.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// The process ID of the watcher, the parent of the agent.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Sends a request.
    ///
    /// # Errors
    /// [`HostError`]
    pub fn send(&mut self, request: &Request) -> Result<(), HostError> {
        let begin = Instant::now();
        let sent = self.channel.send(request);
        sent.map_err(|error| self.explain(error, begin))
    }

    /// The agent's next event.
    ///
    /// # Errors
    /// [`HostError`]; after [`HostError::TimedOut`] and [`HostError::Interrupted`] nothing is lost.
    pub fn receive(&mut self, deadline: Instant) -> Result<Event, HostError> {
        let begin = Instant::now();
        match self.channel.receive(deadline) {
            Ok(Event::Broken { why }) => Err(HostError::Broken(why)),
            Ok(event) => Ok(event),
            Err(error) => Err(self.explain(error, begin)),
        }
    }

    /// What the agent and its program wrote to their standard error.
    pub fn said(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut read = || -> io::Result<()> {
            let mut file = self.said.try_clone()?;
            let length = file.metadata()?.len();
            file.seek(io::SeekFrom::Start(length.saturating_sub(SAID_LIMIT)))?;
            file.take(SAID_LIMIT).read_to_end(&mut bytes).map(drop)
        };
        // It is reported beside a worse error, which must not be lost.
        let _ = read();
        bytes
    }

    fn explain(&mut self, error: ChannelError, begin: Instant) -> HostError {
        match error {
            ChannelError::TimedOut => {
                let waiting_for = "the agent (limit of the machine)".to_owned();
                HostError::TimedOut { waiting_for, waited: begin.elapsed() }
            }
            ChannelError::Interrupted => HostError::Interrupted,
            ChannelError::Stopped => HostError::Protocol("it is stopped".to_owned()),
            ChannelError::Wire(WireError::Closed) => match self.process.wait(Instant::now() + END_TIME_LIMIT) {
                Ok(Some(status)) => {
                    let said = String::from_utf8_lossy(&self.said()).trim_end().to_owned();
                    HostError::Died { status, said }
                }
                Ok(None) => HostError::Protocol("it closed the channel and lives on".to_owned()),
                Err(source) => HostError::System { what: "wait for the agent", source },
            },
            ChannelError::Wire(error) => HostError::Protocol(error.to_string()),
        }
    }
}

impl Drop for HostAgent {
    /// The watcher ends the agent and waits for everything in its namespaces; only then it ends
    /// itself. When even that takes too long the whole group is killed, by [`Process`].
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.process.pid()) {
            let ended = self.process.wait(Instant::now());
            if matches!(ended, Ok(None)) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
        }
        let _ = self.process.wait(Instant::now() + END_TIME_LIMIT);
    }
}
