//! What others change in the tree between dump and restore: a copy of the agent carries it out, by
//! the paths that the process's mount namespace shows.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use nix::sched::{CloneFlags, setns};
use protocol::message::ActionEnd;

use super::copy::{End, in_copy};
use super::trial::Trial;
use crate::criu::Run;
use crate::executor::change;

/// Carries out the `change` lines of the programs; a run that failed says which one was not.
pub(super) fn carry_out(trial: &Trial<'_>) -> io::Result<Run> {
    let namespace = trial.child.mount_namespace()?;
    let changed = in_copy(trial.answer_timeout(), || {
        let go = || -> io::Result<()> {
            let proc: OwnedFd = File::open("/proc")?.into();
            setns(&namespace, CloneFlags::CLONE_NEWNS)?;
            change::carry_out(&trial.slots, proc)
        };
        (go().map_err(|error| error.to_string()), Vec::new())
    })?;
    Ok(match changed {
        End::Answer(Ok(()), _) => ActionEnd::Done.into(),
        End::Answer(Err(why), _) => Run { error_lines: vec![why], ..ActionEnd::Failed(1).into() },
        End::Ended(end) => end.into(),
    })
}
