//! What can go wrong with an agent on the host's own kernel.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// Why the agent is not, or no longer, of use.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Its program could not be executed.
    #[error("cannot start the agent {}: {source}; its folder must not be mounted noexec", .path.display())]
    Start {
        /// Its path.
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
    /// It ended.
    #[error("it ended with {status}; it said: {said}")]
    Died {
        /// How.
        status: ExitStatus,
        /// The end of its standard error.
        said: String,
    },
    /// No message in time.
    #[error("no message within {:.1} s", .waited.as_secs_f64())]
    TimedOut {
        /// How long it was waited for.
        waited: Duration,
    },
    /// It says that it cannot go on, above all that it has no right to make namespaces.
    #[error("it gave up: {0}")]
    Broken(String),
    /// It does not keep to the protocol.
    #[error("it does not keep to the protocol: {0}")]
    Protocol(String),
    /// SIGINT or SIGTERM came.
    #[error("interrupted")]
    Interrupted,
}
