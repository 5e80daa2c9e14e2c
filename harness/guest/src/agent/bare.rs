//! The bare work of a trial, timed: the same process, the same dump and restore, and no
//! observation, no comparison, no search for leftovers. What a trial costs more than this is the
//! harness's doing.

use std::fs;
use std::time::{Duration, Instant};

use protocol::message::{Action, Report, TrialRequest};

use super::disks::Disks;
use super::engine::Engine;
use super::litter::Before;
use super::machine::Machine;
use super::prepare::{prepare, remove_top};
use super::trial::{Trial, images_folder};

/// How long a dumped process may take to be gone.
const END_TIME_LIMIT: Duration = Duration::from_secs(5);

/// How long each action took in microseconds, and what kept the work from its end.
pub(super) fn run(request: &TrialRequest, machine: &mut Machine) -> (Vec<u64>, Option<String>) {
    let before = match Before::look() {
        Ok(before) => before,
        Err(error) => return (Vec::new(), Some(error.to_string())),
    };
    let top = format!("/t/{}", request.trial);
    let mut disks = Disks::default();
    let mut durations = Vec::new();
    let failure = match prepare(request, &top, machine, &mut disks) {
        Ok(prepared) => {
            let mut trial = Trial::new(request, &top, prepared, &disks, machine.rights(request.flavor));
            let outcome = act(&mut trial, &mut durations);
            trial.child.end();
            outcome.err()
        }
        Err(failure) => Some(failure.what),
    };
    let _ = before.clean(Some(&top));
    disks.detach();
    let _ = fs::remove_dir_all(images_folder(request.trial));
    let _ = remove_top(&top);
    (durations, failure)
}

fn act(trial: &mut Trial<'_>, durations_us: &mut Vec<u64>) -> Result<(), String> {
    let mut report = Report::new(1);
    if !trial.set_up(&mut report) {
        let failure = report.whole().setup_failure.take();
        return Err(failure.map_or_else(String::new, |failure| failure.what));
    }
    let mut engine =
        Engine::new(trial.request, images_folder(trial.request.trial), false).map_err(|error| error.to_string())?;
    for &action in trial.request.lifecycle.actions() {
        let start = Instant::now();
        let run = engine.act(action, trial);
        durations_us.push(start.elapsed().as_micros().try_into().unwrap_or(u64::MAX));
        let run = run.map_err(|error| error.to_string())?;
        if !action.ended_well(&run.end) {
            return Err(format!("{action:?}: {:?} {}", run.end, run.error_lines.join("; ")));
        }
        if let Some(why) = run.lost {
            return Err(format!("{action:?}: {why}"));
        }
        if action == Action::Dump {
            let _ = trial.child.wait_for_end(END_TIME_LIMIT);
            trial.child.reap();
        }
    }
    Ok(())
}
