//! What dumps and restores: criu, or the reference engine. A trial leads, an engine acts.

mod criu;
mod reference;

use std::io;
use std::path::PathBuf;

use protocol::caller::Finding;
use protocol::message::{self, Action, ActionEnd, TrialRequest};

use super::change;
use super::trial::Trial;
use crate::criu::{Images, Run};

/// The engine of a trial, with what it keeps between a dump and a restore.
pub(super) enum Engine {
    Criu(criu::Criu),
    Reference(reference::Reference),
}

impl Engine {
    /// The one that the request asks for; `folder` is for what it writes. Of a process that many
    /// programs share (`packed`) only errors are logged.
    pub(super) fn new(request: &TrialRequest, folder: PathBuf, packed: bool) -> io::Result<Self> {
        Ok(match request.engine {
            message::Engine::Criu { assisted } => {
                let mut images = Images::new(folder, request.flavor.has_own_root(), packed)?;
                images.set_input(request.lifecycle.input())?;
                Engine::Criu(criu::Criu::new(images, assisted))
            }
            message::Engine::Reference { fault, without_statmount, way } => {
                Engine::Reference(reference::Reference::new(fault, without_statmount, way, folder))
            }
        })
    }

    /// What the caller found after an action.
    pub(super) fn findings(&self, action: Action, trial: &Trial<'_>) -> io::Result<Vec<Finding>> {
        match self {
            Engine::Criu(criu) => criu.findings(action, trial.child.pid()),
            Engine::Reference(reference) => reference.findings(action, trial.child.pid()),
        }
    }

    /// Does it, to the end; it says itself how it ended.
    pub(super) fn act(&mut self, action: Action, trial: &mut Trial<'_>) -> io::Result<Run> {
        match (self, action) {
            (_, Action::Nothing) => Ok(ActionEnd::Done.into()),
            (_, Action::Change) => change::carry_out(trial),
            (_, Action::End) => {
                trial.child.end();
                Ok(ActionEnd::Done.into())
            }
            (Engine::Criu(criu), action) if action.restores() => criu.restore(trial, action),
            (Engine::Criu(criu), _) => criu.dump(trial, action),
            (Engine::Reference(reference), Action::Dump) => reference.dump(trial, false),
            (Engine::Reference(reference), Action::RelativeDump) => reference.relative_dump(trial),
            (Engine::Reference(reference), Action::RelativeRestore) => reference.relative_restore(trial),
            (Engine::Reference(reference), Action::DumpLeaveRunning) => reference.dump(trial, true),
            (Engine::Reference(reference), Action::Restore) => reference.restore(trial),
            (Engine::Reference(reference), Action::FailedRestore | Action::KilledRestore) => {
                reference.spoilt_restore(trial, action)
            }
            (Engine::Reference(_), _) => {
                Err(io::Error::other(format!("the reference engine has no {}", action.word())))
            }
        }
    }
}
