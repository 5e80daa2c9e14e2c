//! The probes of a trial, and the twin that they are held against: a second process that carries
//! out the same program, and is never checkpointed.
//!
//! The twin starts when nothing of the trial is left, in the same top directory. So both see the
//! same names, and neither holds what the other uses.

use protocol::message::{Action, ActionEnd, FailedAssertion, Report, SetupFailure, TrialReport, TrialRequest};
use protocol::probe::{Probe, Probed};
use scenarios::program::FIRST_PROCESS;

use super::change;
use super::disks::Disks;
use super::litter::Before;
use super::machine::Machine;
use super::prepare::{inner_top, prepare, remove_top};
use super::trial::Trial;
use crate::executor::{Answer, Ask};

impl Trial<'_> {
    /// What the processes can do with their objects. They are of no use for anything else then.
    pub(super) fn probe(&mut self) -> Probed {
        self.probe_all().map_or_else(Probed::Failed, Probed::Done)
    }

    fn probe_all(&mut self) -> Result<Vec<Probe>, String> {
        self.child.check_user_namespace(self.request.flavor)?;
        let top = inner_top(self.request.flavor, self.top).to_owned();
        let timeout = self.answer_timeout();
        let mut all = Vec::new();
        let others = self.child.forked.ask(&Ask::Probe { top: top.clone(), mounts: false }, timeout);
        let first = self.child.ask(&Ask::Probe { top, mounts: true }, timeout);
        let others = others.into_iter().map(|(_, name, answer)| (name, answer));
        for (name, answer) in others.chain([(FIRST_PROCESS.to_owned(), first)]) {
            match answer {
                Ok(Answer::Probed(probes)) => all.extend(probes),
                Ok(Answer::Blind(why)) => return Err(format!("the process {name}: {why}")),
                Ok(_) => return Err(format!("the process {name}: an answer to another question")),
                Err(error) => return Err(format!("the process {name}: {error}")),
            }
        }
        Ok(all)
    }
}

/// The same of a process that was never checkpointed. `before` is the machine as it is now, where
/// that is known.
pub(super) fn probe(request: &TrialRequest, top: &str, before: Option<Before>, machine: &mut Machine) -> Probed {
    let mut disks = Disks::default();
    let before = match before.map_or_else(Before::look, Ok) {
        Ok(before) => before,
        Err(error) => return Probed::Failed(format!("looking at the machine before the twin: {error}")),
    };
    let probed = carried_out(request, top, machine, &mut disks);
    let mut left = before.clean(Some(top)).unwrap_or_else(|error| vec![error.to_string()]);
    left.extend(disks.detach());
    left.extend(remove_top(top).err().map(|error| format!("{top}: {error}")));
    match probed {
        Ok(_) if !left.is_empty() => Probed::Failed(format!("the twin left behind: {}", left.join(", "))),
        probed => probed.map_or_else(Probed::Failed, Probed::Done),
    }
}

fn carried_out(
    request: &TrialRequest,
    top: &str,
    machine: &mut Machine,
    disks: &mut Disks,
) -> Result<Vec<Probe>, String> {
    let prepared = prepare(request, top, machine, disks).map_err(|failure| failure.what)?;
    let mut twin = Trial::new(request, top, prepared, disks, machine.rights(request.flavor));
    let mut report = Report::new(1);
    twin.set_up(&mut report);
    let probed = as_the_program_says(report.whole()).and_then(|()| change_alike(&twin)).and_then(|()| twin.probe_all());
    twin.child.end();
    probed
}

/// What others changed for the process they change for its twin.
fn change_alike(twin: &Trial<'_>) -> Result<(), String> {
    if !twin.request.lifecycle.actions().contains(&Action::Change) {
        return Ok(());
    }
    let run = change::carry_out(twin).map_err(|error| error.to_string())?;
    match run.end {
        ActionEnd::Done => Ok(()),
        _ => Err(run.error_lines.join("; ")),
    }
}

/// That the program was carried out and its assertions hold: another situation shows nothing.
fn as_the_program_says(report: &TrialReport) -> Result<(), String> {
    if let Some(SetupFailure { line, what, .. }) = &report.setup_failure {
        return Err(format!("line {line}: {what}"));
    }
    match report.failed_assertions.first() {
        Some(FailedAssertion { line, expected, got }) => Err(format!("line {line}: expected {expected}, got {got}")),
        None => Ok(()),
    }
}
