//! The reference engine for a caller who names every path relatively: it leaves what criu is asked
//! to leave, and starts the hook.

use std::fs;
use std::io;
use std::process::{Command, Stdio};

use protocol::Fault;
use protocol::caller::{Finding, IMAGES, PIDFILE, WORK};
use protocol::message::{Action, ActionEnd};

use super::Reference;
use crate::agent::trial::Trial;
use crate::caller::{Caller, LAST_MOMENT, MOMENT};
use crate::criu::Run;

impl Reference {
    pub(in super::super) fn relative_dump(&mut self, trial: &mut Trial<'_>) -> io::Result<Run> {
        let caller = Caller::new(&self.folder)?;
        let run = self.dump(trial, false)?;
        fs::write(caller.folder.join(WORK).join("dump.log"), run.error_lines.join("\n"))?;
        fs::write(caller.folder.join(WORK).join("stats-dump"), "")?;
        fs::write(caller.folder.join(IMAGES).join("inventory.img"), "")?;
        self.caller = Some(caller);
        Ok(run)
    }

    pub(in super::super) fn relative_restore(&mut self, trial: &mut Trial<'_>) -> io::Result<Run> {
        let run = self.restore(trial)?;
        let Some(caller) = self.caller.as_ref().filter(|_| run.end == ActionEnd::Done) else { return Ok(run) };
        let work = caller.folder.join(WORK);
        fs::write(work.join("restore.log"), "")?;
        fs::write(work.join("stats-restore"), "")?;
        let elsewhere = self.restore.fault == Some(Fault::PidfileElsewhere);
        let name = if elsewhere { "another.pid" } else { PIDFILE };
        fs::write(work.join(name), trial.child.pid().to_string())?;
        let mut hook = Command::new(caller.hook(Action::RelativeRestore));
        hook.env(MOMENT, LAST_MOMENT).current_dir(work).stdin(Stdio::null());
        hook.status()?;
        Ok(run)
    }

    pub(in super::super) fn findings(&self, action: Action, pid: i32) -> io::Result<Vec<Finding>> {
        self.caller.as_ref().map_or_else(|| Ok(Vec::new()), |caller| caller.findings(action, pid))
    }
}
