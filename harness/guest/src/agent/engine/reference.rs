//! The reference engine as the agent leads it. The capture runs in a process of its own, which
//! enters the namespace of the process under test and may hang or crash without harm; the restore
//! runs in the fresh executor itself. Between the two the old process is really gone, and with it
//! every detached mount: the agent keeps the checkpoint, as text, and the mount namespace.
//!
//! - [`caller`]: the same for a caller who names every path relatively

mod caller;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Instant;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use protocol::Fault;
use protocol::message::{Action, ActionEnd, DetachMethod, ReportFile};

use super::super::child::KeptNamespaces;
use super::super::copy::{End, in_copy};
use super::super::pipes::NoAnswer;
use super::super::trial::Trial;
use super::super::user_namespace::inside;
use crate::caller::Caller;
use crate::criu::Run;
use crate::executor::{Answer, Ask, STREAMS};
use crate::reference::capture::outside::Outside;
use crate::reference::checkpoint::{Checkpoint, MountImage};
use crate::reference::{capture, restore};
use crate::sys;

/// A mapping's address may be taken in the new process by something of its own, by chance: then
/// another one is tried.
const RESTORE_ATTEMPTS: usize = 3;

/// What it keeps.
pub(in super::super) struct Reference {
    capture: capture::Options,
    restore: restore::Options,
    held: Option<HeldCheckpoint>,
    /// A restore failed by mistake.
    has_failed: bool,
    /// For a caller who names every path relatively.
    folder: PathBuf,
    caller: Option<Caller>,
}

/// Between dump and restore.
struct HeldCheckpoint {
    checkpoint: Checkpoint,
    namespaces: KeptNamespaces,
}

impl Reference {
    pub(super) fn new(fault: Option<Fault>, without_statmount: bool, way: DetachMethod, folder: PathBuf) -> Self {
        let capture = capture::Options { without_statmount, fault };
        Reference {
            capture,
            restore: restore::Options { way, fault },
            held: None,
            has_failed: false,
            folder,
            caller: None,
        }
    }

    pub(super) fn dump(&mut self, trial: &mut Trial<'_>, leave_running: bool) -> io::Result<Run> {
        let pid = trial.child.pid();
        let (pids, namespaces) = (trial.child.pids(), trial.child.kept_namespaces()?);
        let given = trial.externals()?.into_iter().map(|external| (external.mount, external.inode)).collect();
        let outside = Outside { mounts: trial.elsewhere()?, given };
        let captured = in_copy(trial.answer_timeout(), || {
            let captured = in_child(&pids, &namespaces.mount, self.capture, &outside);
            (captured.unwrap_or_else(|error| Err(vec![format!("the capture: {error}")])), Vec::new())
        })?;
        match captured {
            End::Answer(Ok(mut checkpoint), _) => {
                if trial.child.has_user_namespace() {
                    checkpoint.contents().for_each(|contents| {
                        (contents.uid, contents.gid) = (inside(contents.uid), inside(contents.gid));
                    });
                }
                let files = match trial.request.thorough {
                    true => {
                        let text = serde_json::to_string_pretty(&checkpoint)?;
                        vec![ReportFile { name: "image.json".to_owned(), text }]
                    }
                    false => Vec::new(),
                };
                let restart =
                    leave_running && self.capture.fault == Some(Fault::Restarted) && !has_detached(&checkpoint);
                self.held = Some(HeldCheckpoint { checkpoint, namespaces });
                if !leave_running || restart {
                    trial.child.forked.signal(Signal::SIGKILL);
                    kill(Pid::from_raw(pid), Signal::SIGKILL)?;
                }
                if restart {
                    trial.child.end();
                    return self.restore(trial);
                }
                Ok(Run { files, ..ActionEnd::Done.into() })
            }
            End::Answer(Err(lines), _) => {
                let harm = match self.capture.fault {
                    Some(Fault::KillsOnRefusal) => Some(Signal::SIGKILL),
                    Some(Fault::LeavesStopped) => Some(Signal::SIGSTOP),
                    _ => None,
                };
                if let Some(signal) = harm {
                    kill(Pid::from_raw(pid), signal)?;
                }
                Ok(Run { error_lines: lines, ..ActionEnd::Failed(1).into() })
            }
            End::Ended(end) => Ok(end.into()),
        }
    }

    pub(super) fn restore(&mut self, trial: &mut Trial<'_>) -> io::Result<Run> {
        let held = self.take_held()?;
        let result = self.restore_from(&held, trial);
        if result.as_ref().is_ok_and(|run| run.end != ActionEnd::Done) {
            self.held = Some(held);
        }
        result
    }

    /// Restores, and then ends all again: as if a hook had failed, or by SIGKILL. It is the process
    /// itself that restores, so who kills the one kills the other.
    pub(super) fn spoilt_restore(&mut self, trial: &mut Trial<'_>, action: Action) -> io::Result<Run> {
        let mut held = self.take_held()?;
        let run = self.restore_from(&held, trial)?;
        if self.restore.fault == Some(Fault::UsedUp) {
            held.checkpoint.contents().for_each(|contents| contents.extents.clear());
        }
        self.held = Some(held);
        if run.end != ActionEnd::Done {
            return Ok(run);
        }
        trial.child.end();
        if action == Action::KilledRestore {
            return Ok(ActionEnd::Killed(Action::SIGKILL).into());
        }
        let error_lines = vec!["the hook failed".to_owned()];
        Ok(Run { error_lines, ..ActionEnd::Failed(Action::HOOK_FAILED).into() })
    }

    fn take_held(&mut self) -> io::Result<HeldCheckpoint> {
        self.held.take().ok_or_else(|| io::Error::other("there is no image to restore from"))
    }

    /// Restores from a checkpoint, which it leaves as it is.
    fn restore_from(&mut self, held: &HeldCheckpoint, trial: &mut Trial<'_>) -> io::Result<Run> {
        if let Some(failed) = self.fails_by_mistake(trial)? {
            return Ok(failed);
        }
        let deadline = Instant::now() + trial.answer_timeout();
        let mut lines = Vec::new();
        for _ in 0..RESTORE_ATTEMPTS {
            trial.start_again(&held.namespaces, &held.checkpoint)?;
            let ask = Ask::Restore {
                checkpoint: Box::new(held.checkpoint.clone()),
                made: trial.made.clone(),
                others: trial.child.forked.processes().map(|(_, _, made)| made.unwrap_or_default().to_vec()).collect(),
                options: self.restore,
            };
            let rest = deadline.saturating_duration_since(Instant::now());
            match trial.child.ask(&ask, rest) {
                Ok(Answer::Restored) => {
                    let lost = trial.child.forked.find(trial.child.pid())?.err();
                    self.traces(trial)?;
                    return Ok(Run { lost, ..ActionEnd::Done.into() });
                }
                Ok(Answer::NotRestored(why)) => lines = vec![why],
                Ok(_) => lines = vec!["an answer to another question".to_owned()],
                Err(NoAnswer::TimedOut(_)) => {
                    trial.child.end();
                    return Ok(Run::from(ActionEnd::TimedOut));
                }
                Err(error) => lines = vec![error.to_string()],
            }
            trial.child.end();
            if !lines.iter().any(|line| line.starts_with("mapping at") && line.contains("EEXIST")) {
                break;
            }
        }
        Ok(Run { error_lines: lines, ..ActionEnd::Failed(1).into() })
    }

    /// A restore that fails, and what it does wrong besides.
    fn fails_by_mistake(&mut self, trial: &Trial<'_>) -> io::Result<Option<Run>> {
        let why = match self.restore.fault {
            Some(Fault::LeavesAfterFailedRestore) => {
                File::create(format!("{}/left-by-the-restore", trial.top))?;
                "the restore fails"
            }
            Some(Fault::FailsOtherwiseAgain) if self.has_failed => "the image was used up by the first try",
            Some(Fault::FailsOtherwiseAgain) => "the restore fails",
            _ => return Ok(None),
        };
        self.has_failed = true;
        Ok(Some(Run { error_lines: vec![why.to_owned()], ..ActionEnd::Failed(1).into() }))
    }

    /// What the one who restores leaves around itself, by mistake.
    fn traces(&self, trial: &Trial<'_>) -> io::Result<()> {
        match self.restore.fault {
            Some(Fault::LeftInAgent) => {
                let at = format!("{}/tmp", trial.top);
                Ok(mount(Some("tmpfs"), at.as_str(), Some("tmpfs"), MsFlags::empty(), None::<&str>)?)
            }
            Some(Fault::ProcessLeft) => {
                let child = sys::fork(0)?;
                if child == 0 {
                    loop {
                        nix::unistd::pause();
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn has_detached(checkpoint: &Checkpoint) -> bool {
    checkpoint.mounts.iter().any(|mount| matches!(mount, MountImage::Detached(_)))
}

fn in_child(
    pids: &[i32],
    namespace: &OwnedFd,
    options: capture::Options,
    outside: &Outside,
) -> io::Result<Result<Checkpoint, Vec<String>>> {
    match options.fault {
        Some(Fault::Hangs) => loop {
            nix::unistd::pause();
        },
        Some(Fault::Crashes) => std::process::abort(),
        _ => {}
    }
    let proc: OwnedFd = File::open("/proc")?.into();
    setns(namespace, CloneFlags::CLONE_NEWNS)?;
    let captured = capture::processes(proc.as_fd(), pids, &STREAMS, options, outside)?;
    Ok(captured.map_err(|refusals| refusals.iter().map(ToString::to_string).collect()))
}
