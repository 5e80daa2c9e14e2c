//! Many programs in one process: a trial as any other, with a report for each program and one for
//! what is no program's.

use protocol::message::{PackReport, PackRequest, TrialReport, TrialRequest};
use protocol::wire::WireError;

use super::machine::Machine;
use super::trial::{self, Progress};

/// Runs a pack to its end, whatever that is. The only error is that the host cannot be told.
pub(super) fn run(pack: PackRequest, machine: &mut Machine, progress: Progress<'_>) -> Result<PackReport, WireError> {
    let PackRequest { trial, programs, flavor, lifecycle, engine, action_timeout_ms } = pack;
    let program = String::new();
    let request = TrialRequest { trial, program, flavor, lifecycle, engine, action_timeout_ms, thorough: false };
    let mut reports = vec![TrialReport::default(); programs.len() + 1];
    trial::run_all(&request, &programs, machine, &mut reports, progress)?;
    let frame = reports.remove(0);
    Ok(PackReport { frame, programs: reports })
}
