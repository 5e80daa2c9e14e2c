//! Before a machine is saved: everything that only a first trial would pay for. After a copy of it wakes up: what a
//! copy cannot know.
//!
//! Random numbers are not this module's business: QEMU gives each copy another generation ID (`vmgenid`), and the
//! kernel seeds itself anew.

use std::io;

use nix::sys::time::{TimeSpec, TimeValLike};
use nix::time::{ClockId, clock_settime};
use protocol::message::{ActionEnd, Engine, Flavor, Lifecycle, TrialRequest};

use super::machine::Machine;
use super::trial;

/// A process with a file, a directory and a mount: what criu finds out about the kernel for it (`/run/criu.kdat`), and
/// what it has the kernel read into memory, serves every later one.
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

/// Loads every module and has criu dump and restore a process; tells what could not be done.
pub(super) fn warm_up(machine: &mut Machine, has_criu: bool) -> Vec<String> {
    let mut failed = Vec::new();
    for filesystem in machine.filesystems() {
        if let Err(failure) = machine.provide(&filesystem) {
            failed.push(failure.what);
        }
    }
    if !has_criu {
        return failed;
    }
    let request = TrialRequest {
        trial: 0,
        program: PROGRAM.to_owned(),
        flavor: Flavor::Ns,
        lifecycle: Lifecycle::DumpRestore,
        engine: Engine::Criu,
        action_timeout_ms: ACTION_TIME_LIMIT_MS,
        keep_logs: false,
    };
    match trial::run(&request, machine, &mut |_| Ok(())) {
        Ok(report) => {
            failed.extend(report.setup_failure.map(|failure| failure.what));
            for action in report.actions.iter().filter(|action| action.end != ActionEnd::Done) {
                failed.push(format!("{:?}: {:?} {}", action.action, action.end, action.error_lines.join("; ")));
            }
        }
        Err(error) => failed.push(error.to_string()),
    }
    failed
}

/// Sets the clock of a VM; the host's own is none of ours.
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
