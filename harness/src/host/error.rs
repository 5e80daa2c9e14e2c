//! What can go wrong with an agent on the host's own kernel.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// Why the agent is not, or no longer, of use.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Its program could not be executed.
    #[error("cannot start the agent {}: {source}{}", .path.display(), noexec(source))]
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
    #[error("no message within {:.1} s while waiting for {waiting_for}", .waited.as_secs_f64())]
    TimedOut {
        /// What should have come, and whose limit it was.
        waiting_for: String,
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

/// What to do where the file may not be executed. Other errors (too many open files, no memory)
/// have nothing to do with its folder.
fn noexec(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied => "; its folder must not be mounted noexec",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    #[test]
    fn only_who_may_not_execute_reads_of_noexec() {
        let says_noexec = |errno: Errno| {
            HostError::Start { path: "/agent".into(), source: errno.into() }.to_string().contains("noexec")
        };
        assert!(says_noexec(Errno::EACCES));
        assert!(![Errno::EMFILE, Errno::EAGAIN, Errno::ENOENT].into_iter().any(says_noexec));
    }
}
