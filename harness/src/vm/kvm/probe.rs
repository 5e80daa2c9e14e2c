//! The proof that KVM works: a boot of the real kernel with a short time limit.

use std::time::{Duration, Instant};

use super::{Accelerator, Finding};
use crate::process::work_folder::WorkFolder;
use crate::vm::console;
use crate::vm::error::VmError;
use crate::vm::machine::{Vm, VmSpec};

/// How long a boot under KVM may take to its first line; a working one needs less than a second.
pub const PROBE_TIME_LIMIT: Duration = Duration::from_secs(5);

/// How a boot under KVM went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// The agent's first message came, after this many milliseconds.
    Ready {
        /// Since QEMU's start.
        after_ms: u64,
    },
    /// The kernel printed at least a line.
    Printed,
    /// QEMU ended before the kernel's first line.
    Ended {
        /// How, in one line.
        how: String,
    },
    /// QEMU was alive at the end, and the kernel had not printed a line.
    Silent {
        /// How long it was waited for.
        seconds: u64,
    },
}

/// Only a sign of life of the guest counts.
pub(super) fn judge(outcome: &ProbeOutcome) -> Finding {
    let (works, why) = match outcome {
        ProbeOutcome::Ready { after_ms } => (true, format!("a guest was ready after {after_ms} ms")),
        ProbeOutcome::Printed => (true, "a guest's kernel ran".to_owned()),
        ProbeOutcome::Ended { how } => (false, how.clone()),
        ProbeOutcome::Silent { seconds } => (false, format!("no output within {seconds} s")),
    };
    Finding { works, why }
}

/// Boots the kernel under KVM until the agent is ready, QEMU ends, or the time is over; nothing is
/// left running.
///
/// # Errors
/// The probe could not be made, or was interrupted.
pub fn probe(spec: &VmSpec, limit: Duration) -> Result<ProbeOutcome, VmError> {
    let at_temporary = |source| VmError::Prepare { what: "make a folder in", path: std::env::temp_dir(), source };
    let directory = WorkFolder::new().map_err(at_temporary)?;
    let spec = VmSpec { accelerator: Accelerator::Kvm, directory: directory.path().to_owned(), ..spec.clone() };
    let begin = Instant::now();
    let error = match Vm::boot(&spec, begin + limit) {
        Ok(_) => {
            let after_ms = u64::try_from(begin.elapsed().as_millis()).expect("a probe lasts seconds");
            return Ok(ProbeOutcome::Ready { after_ms });
        }
        Err(error) => error,
    };
    let printed = error.console().is_some_and(|tail| console::has_line(&tail.path));
    let error = if let VmError::NoBoot(why) = error { *why } else { error };
    match error {
        _ if printed => Ok(ProbeOutcome::Printed),
        VmError::TimedOut { .. } => Ok(ProbeOutcome::Silent { seconds: limit.as_secs() }),
        VmError::Qemu { status, stderr, .. } => Ok(ProbeOutcome::Ended { how: ended(&status.to_string(), &stderr) }),
        VmError::Died { .. } => Ok(ProbeOutcome::Ended { how: ended("exit status: 0", "") }),
        error => Err(error),
    }
}

/// QEMU's end in one line, with the first error that it printed, else its last line.
pub(super) fn ended(status: &str, stderr: &str) -> String {
    let lines = || stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    let said = lines().find(|line| line.contains("error")).or(lines().next_back());
    let said = said.map(|line| format!(": {}", line.split_once(": ").map_or(line, |(_, rest)| rest)));
    format!("QEMU ended at once ({status}){}", said.unwrap_or_default())
}
