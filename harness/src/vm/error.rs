//! What can go wrong with a VM, with enough detail that a reader knows without a log which of the
//! parties it was.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use protocol::wire::WireError;

use super::channel::ChannelError;
use super::console::Tail;
use super::qmp::QmpError;
use crate::notices::advice;

/// Why a VM is not, or no longer, of use.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// Something on the host could not be made.
    #[error("cannot {what} {}: {source}{}", .path.display(), advice(source, "set TMPDIR to a larger disk"))]
    Prepare {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A system call of the harness failed.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// QEMU ended with an error: it could not start, or it crashed.
    #[error("QEMU ended with {status}; it said:\n{stderr}\n{console}")]
    Qemu {
        /// How it ended; never exit status 0.
        status: ExitStatus,
        /// The end of its standard error.
        stderr: String,
        /// The end of the console.
        console: Tail,
    },
    /// The guest switched itself off or reset: the kernel panicked or the agent died.
    #[error("the guest died ({})\n{console}", .console.panic.as_deref().unwrap_or("no panic message on the console"))]
    Died {
        /// The end of the console.
        console: Tail,
    },
    /// A kernel that boots prints nothing any more.
    #[error("the kernel printed nothing for {} s, and the agent did not come up\n{console}", .silence.as_secs())]
    Silent {
        /// For how long.
        silence: Duration,
        /// The end of the console.
        console: Tail,
    },
    /// The kernel died, hung, or was not up in time.
    #[error("the kernel does not come up: {0}")]
    NoBoot(Box<VmError>),
    /// A signal stopped QEMU, and it did not go on.
    #[error(
        "QEMU (process {pid}) is stopped by a signal, as by `kill -STOP`, and was not continued within seconds: \
         find out what stops it\n{console}"
    )]
    Stopped {
        /// Its process ID.
        pid: u32,
        /// The end of the console.
        console: Tail,
    },
    /// No message in time. The VM may still be good.
    #[error("no message from the guest within {:.1} s while waiting for {waiting_for}\n{console}", .waited.as_secs_f64())]
    TimedOut {
        /// What should have come, and whose limit it was.
        waiting_for: String,
        /// How long it was waited for.
        waited: Duration,
        /// The end of the console.
        console: Tail,
    },
    /// The agent is of another version.
    #[error(
        "the agent speaks version {theirs} of the protocol, this program version {ours}: the image is stale; \
         build it again (`zdtm-detached image build`)"
    )]
    Version {
        /// The agent's.
        theirs: u32,
        /// This program's.
        ours: u32,
    },
    /// The agent, or something that pretends to be it, does not keep to the protocol.
    #[error("the guest does not keep to the protocol: {what}\n{console}")]
    Protocol {
        /// What it sent.
        what: String,
        /// The end of the console.
        console: Tail,
    },
    /// The agent says that it cannot go on.
    #[error("the agent gave up: {why}\n{console}")]
    Broken {
        /// Its reason.
        why: String,
        /// The end of the console.
        console: Tail,
    },
    /// QEMU's own control channel failed.
    #[error("QMP: {0}")]
    Qmp(#[from] QmpError),
    /// SIGINT or SIGTERM came.
    #[error("interrupted")]
    Interrupted,
}

impl VmError {
    /// The console as it was when the error happened.
    pub fn console(&self) -> Option<&Tail> {
        match self {
            Self::Qemu { console, .. }
            | Self::Died { console, .. }
            | Self::Silent { console, .. }
            | Self::Stopped { console, .. }
            | Self::TimedOut { console, .. }
            | Self::Protocol { console, .. }
            | Self::Broken { console, .. } => Some(console),
            Self::NoBoot(error) => error.console(),
            _ => None,
        }
    }

    /// QEMU was killed, as a kernel does that is out of memory, or stopped.
    pub(crate) fn is_by_signal(&self) -> bool {
        match self {
            Self::Qemu { status, .. } => status.signal() == Some(libc::SIGKILL),
            Self::Stopped { .. } => true,
            _ => false,
        }
    }

    /// The error of a channel that is not closed.
    pub(crate) fn of_channel(error: ChannelError, waiting_for: &'static str, waited: Duration, console: Tail) -> Self {
        match error {
            ChannelError::TimedOut => {
                Self::TimedOut { waiting_for: format!("{waiting_for} (limit of the VM)"), waited, console }
            }
            ChannelError::Interrupted => Self::Interrupted,
            ChannelError::Stopped => Self::Protocol { what: error.to_string(), console },
            ChannelError::Wire(WireError::Version(theirs)) => Self::Version { theirs, ours: protocol::wire::VERSION },
            ChannelError::Wire(error) => Self::Protocol { what: error.to_string(), console },
        }
    }
}
