//! Before a machine is saved: everything that only a first trial would pay for. After a copy of it
//! wakes up: what a copy cannot know.
//!
//! Each copy must have random numbers of its own. On amd64 QEMU gives it another generation ID
//! (`vmgenid`), and the kernel seeds itself anew. On arm64 QEMU has no such device, and the agent
//! has the kernel do it.

use std::io;

use nix::sys::time::{TimeSpec, TimeValLike};
use nix::time::{ClockId, clock_settime};
use protocol::message::{ActionEnd, Engine, Flavor, Lifecycle, Probing, TrialRequest};

use super::litter::Before;
use super::machine::Machine;
use super::trial;
use crate::sys;

/// A process with a file, a directory and a mount: what criu finds out about the kernel for it
/// (`/run/criu.kdat`), and what it has the kernel read into memory, serves every later one.
const PROGRAM: &str = "\
mount tmpfs a
mkdir a/d
write a/d/f \"warm\"
bind a/d b
fd0 = open b/f rdwr
fd1 = open b rdonly directory
";

/// Time for each action: the machine is as cold as it will ever be.
const ACTION_TIME_LIMIT_MS: u64 = 120_000;

/// What came of it.
pub(super) struct Warmth {
    /// What could not be done, or left something behind.
    pub(super) failed: Vec<String>,
    /// What is there of it afterwards and cannot be taken away.
    pub(super) traces: Vec<String>,
}

/// Loads every module and, for a `cycle`, has the userland's criu dump and restore a process.
/// Whatever comes of that, the machine is afterwards as if it had not been: its copies run trials.
pub(super) fn warm_up(machine: &mut Machine, cycle: bool) -> Warmth {
    let mut warmth = Warmth { failed: Vec::new(), traces: Vec::new() };
    for filesystem in machine.filesystems() {
        if let Err(failure) = machine.provide(&filesystem) {
            warmth.failed.push(failure.what);
        }
    }
    if !cycle {
        return warmth;
    }
    let tainted = machine.tainted();
    match Before::look() {
        Ok(before) => {
            warmth.failed.extend(cycle_once(machine));
            // The trial took away what it could: whatever is still there stays.
            match before.clean(None) {
                Ok(still) => warmth.traces.extend(still),
                Err(error) => warmth.traces.push(format!("looking for leftovers: {error}")),
            }
            if machine.tainted() != tainted {
                warmth.traces.push(format!("the kernel is tainted ({})", machine.tainted()));
            }
        }
        Err(error) => warmth.failed.push(format!("looking at the machine: {error}")),
    }
    warmth
}

/// One trial; what was not as it should be.
fn cycle_once(machine: &mut Machine) -> Vec<String> {
    let request = TrialRequest {
        trial: 0,
        programs: vec![PROGRAM.to_owned()],
        flavor: Flavor::Ns,
        lifecycle: Lifecycle::DumpRestore,
        engine: Engine::Criu { assisted: false },
        action_timeout_ms: ACTION_TIME_LIMIT_MS,
        thorough: false,
        probing: Probing::Never,
    };
    let report = match trial::run(&request, machine, &mut |_| Ok(())) {
        Ok(mut report) => std::mem::take(report.whole()),
        Err(error) => return vec![error.to_string()],
    };
    let mut failed = Vec::new();
    failed.extend(report.setup_failure.map(|failure| failure.what));
    for action in &report.actions {
        let did = action.action.word();
        if action.end != ActionEnd::Done {
            failed.push(format!("{did}: {:?} {}", action.end, action.error_lines.join("; ")));
        }
        failed.extend(action.unobservable.iter().map(|why| format!("{did}: {why}")));
    }
    failed.extend(report.leftovers.iter().map(|what| format!("it left behind: {what}")));
    failed
}

/// Has the kernel of a VM draw its random numbers from a new seed: the number of this copy, and
/// what the processor gives.
pub(super) fn seed_again(machine: &Machine, nonce: u64) -> io::Result<()> {
    if cfg!(target_arch = "x86_64") || !matches!(machine, Machine::Vm(_)) {
        return Ok(());
    }
    sys::seed_random_numbers(&nonce.to_le_bytes())
}

/// Sets the clock of a VM; the host's clock stays as it is.
pub(super) fn set_clock(machine: &Machine, unix_time_ns: u64) -> io::Result<()> {
    if !matches!(machine, Machine::Vm(_)) {
        return Ok(());
    }
    let time = TimeSpec::nanoseconds(i64::try_from(unix_time_ns).map_err(io::Error::other)?);
    Ok(clock_settime(ClockId::CLOCK_REALTIME, time)?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_program_is_one() {
        assert!(scenarios::text::program(super::PROGRAM).is_ok());
    }
}
