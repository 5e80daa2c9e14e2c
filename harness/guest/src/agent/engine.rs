//! What dumps and restores: criu, or the reference engine. A trial leads, an engine acts.

mod criu;
mod reference;

use std::io;
use std::path::PathBuf;

use protocol::message::{self, Flavor, TrialRequest};

use super::trial::Trial;
use crate::criu::Run;

/// The engine of a trial, with what it keeps between a dump and a restore.
pub(super) enum Engine {
    Criu(criu::Criu),
    Reference(reference::Reference),
}

impl Engine {
    /// The one that the request asks for; `folder` is for what it writes.
    pub(super) fn new(request: &TrialRequest, folder: PathBuf) -> io::Result<Self> {
        Ok(match request.engine {
            message::Engine::Criu => Engine::Criu(criu::Criu::new(folder, request.flavor != Flavor::Host)?),
            message::Engine::Reference { fault, without_statmount, way } => {
                Engine::Reference(reference::Reference::new(fault, without_statmount, way))
            }
        })
    }

    /// Dumps the process; it ends unless it is left running.
    pub(super) fn dump(&mut self, trial: &mut Trial<'_>, leave_running: bool) -> io::Result<Run> {
        match self {
            Engine::Criu(criu) => criu.dump(trial, leave_running),
            Engine::Reference(reference) => reference.dump(trial, leave_running),
        }
    }

    /// Restores it.
    pub(super) fn restore(&mut self, trial: &mut Trial<'_>) -> io::Result<Run> {
        match self {
            Engine::Criu(criu) => criu.restore(trial),
            Engine::Reference(reference) => reference.restore(trial),
        }
    }
}
