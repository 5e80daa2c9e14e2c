//! One trial: a top directory, disks, the executor, the actions of the lifecycle with a look after each, the clean-up.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use protocol::Observation;
use protocol::message::{Action, ActionEnd, ActionReport, Flavor, Lifecycle, SetupFailure, TrialReport, TrialRequest};
use protocol::wire::WireError;

use super::child::Child;
use super::disks::{self, Disk, Disks};
use super::engine::Engine;
use super::litter::Before;
use super::machine::Machine;
use crate::criu::Run;
use crate::executor::{Answer, Ask};
use crate::observe::{Made, outside};

/// Tells the host where the trial is.
pub(super) type Progress<'a> = &'a mut dyn FnMut(&str) -> Result<(), WireError>;

/// The actions of a lifecycle, each followed by a look.
pub(super) fn actions(lifecycle: Lifecycle) -> &'static [Action] {
    match lifecycle {
        Lifecycle::DumpRestore => &[Action::Dump, Action::Restore],
        Lifecycle::LeaveRunning => &[Action::DumpLeaveRunning],
    }
}

/// Runs a trial to its end, whatever that is. The only error is that the host cannot be told.
pub(super) fn run(
    request: &TrialRequest,
    machine: &mut Machine,
    progress: Progress<'_>,
) -> Result<TrialReport, WireError> {
    let mut report = TrialReport::default();
    let world = Before::look().and_then(|before| Ok((before, machine.kernel_log()?)));
    let (before, kernel_log) = match world {
        Ok(world) => world,
        Err(error) => {
            report.setup_failure = Some(infrastructure("looking at the machine before the trial", &error));
            return Ok(report);
        }
    };
    let top = format!("/t/{}", request.trial);
    let mut disks = Disks::default();
    match prepare(request, &top, machine, &mut disks) {
        Ok(child) => {
            let confined = machine.confined();
            lead(
                Trial { request, top: &top, child, disks: &disks, made: Vec::new(), confined },
                &mut report,
                progress,
            )?;
        }
        Err(failure) => report.setup_failure = Some(failure),
    }
    progress("clean-up")?;
    match before.clean(&top) {
        Ok(leftovers) => report.leftovers = leftovers,
        Err(error) => report.leftovers.push(format!("looking for leftovers: {error}")),
    }
    report.leftovers.extend(disks.detach());
    let _ = fs::remove_dir_all(images_folder(request.trial));
    let _ = fs::remove_dir(&top);
    report.kernel_log = kernel_log.lines();
    report.tainted = machine.tainted();
    Ok(report)
}

fn infrastructure(what: &str, error: &impl std::fmt::Display) -> SetupFailure {
    SetupFailure { line: 0, what: format!("{what}: {error}"), missing: None }
}

pub(super) fn images_folder(trial: u64) -> PathBuf {
    PathBuf::from(format!("/run/images/{trial}"))
}

/// Everything that must be there before the program starts; what was attached stands in `disks` also on failure.
pub(super) fn prepare(
    request: &TrialRequest,
    top: &str,
    machine: &mut Machine,
    disks: &mut Disks,
) -> Result<Child, SetupFailure> {
    let program = scenarios::text::program(&request.program)
        .map_err(|faults| infrastructure("the program", &crate::executor::told(&faults)))?;
    let failed = |what: &'static str| move |error: io::Error| infrastructure(what, &error);
    for group in program.filesystems() {
        machine.provide(&group)?;
    }
    let may_add = machine.may_add_loop_devices();
    disks.attach(&disks::needed(&program), may_add).map_err(failed("attaching disks"))?;
    make_top(top).map_err(failed("making the top directory"))?;
    Child::start(request.flavor, top).map_err(failed("starting the executor"))
}

/// A small tmpfs with the executor in the harness's own corner. It has a `/tmp`, as most roots do: where there is
/// none, criu makes and removes a directory in the root (`cr_pivot_root`, criu/mount.c) and so moves its time.
fn make_top(top: &str) -> io::Result<()> {
    fs::create_dir_all(top)?;
    mount(Some("tmpfs"), top, Some("tmpfs"), MsFlags::empty(), Some("mode=0755"))?;
    fs::create_dir(format!("{top}/.zdtm"))?;
    fs::create_dir(format!("{top}/proc"))?;
    fs::create_dir(format!("{top}/tmp"))?;
    fs::copy("/proc/self/exe", format!("{top}/.zdtm/executor")).map(drop)
}

/// A trial whose process is there.
pub(super) struct Trial<'a> {
    pub(super) request: &'a TrialRequest,
    pub(super) top: &'a str,
    pub(super) child: Child,
    pub(super) disks: &'a [Disk],
    pub(super) made: Vec<Made>,
    /// The program has only the privileges of a user namespace.
    pub(super) confined: bool,
}

/// Sets up, looks, acts, looks, until the end of the lifecycle or the first action that fails.
fn lead(mut trial: Trial<'_>, report: &mut TrialReport, progress: Progress<'_>) -> Result<(), WireError> {
    progress("setup")?;
    if !trial.set_up(report) {
        trial.child.end();
        return Ok(());
    }
    progress("observe")?;
    match trial.observe() {
        Ok(observation) => report.before = Some(observation),
        Err(why) => {
            report.setup_failure = Some(SetupFailure { line: 0, what: why, missing: None });
            trial.child.end();
            return Ok(());
        }
    }
    match Engine::new(trial.request, images_folder(trial.request.trial)) {
        Ok(mut engine) => {
            for &action in actions(trial.request.lifecycle) {
                progress(action_name(action))?;
                let done = trial.act(action, &mut engine, report);
                report.actions.push(done);
                if report.actions.last().is_some_and(|done| done.end != ActionEnd::Done) {
                    break;
                }
            }
        }
        Err(error) => report.setup_failure = Some(infrastructure("making a folder for images", &error)),
    }
    trial.child.end();
    Ok(())
}

fn action_name(action: Action) -> &'static str {
    match action {
        Action::Dump | Action::DumpLeaveRunning => "dump",
        Action::Restore => "restore",
    }
}

impl Trial<'_> {
    /// How long the process may take to answer: it does no more than a few hundred system calls.
    pub(super) fn answer_timeout(&self) -> Duration {
        Duration::from_millis(self.request.action_timeout_ms)
    }

    pub(super) fn own_root(&self) -> bool {
        self.request.flavor != Flavor::Host
    }

    /// The top directory as the process sees it.
    fn inner_top(&self) -> &str {
        if self.own_root() { "/" } else { self.top }
    }

    /// Has the program carried out; false when it was not.
    pub(super) fn set_up(&mut self, report: &mut TrialReport) -> bool {
        let ask = Ask::SetUp {
            program: self.request.program.clone(),
            top: self.inner_top().to_owned(),
            disks: self.disks.iter().map(Disk::minor).collect(),
            confined: self.confined,
        };
        let timeout = self.answer_timeout();
        match self.child.ask(&ask, timeout) {
            Ok(Answer::SetUp { made, failure, failed_assertions }) => {
                self.made = made;
                report.failed_assertions = failed_assertions;
                report.setup_failure = failure;
            }
            Ok(Answer::Blind(why)) => report.setup_failure = Some(infrastructure("the executor", &why)),
            Ok(_) => {
                report.setup_failure = Some(infrastructure("the executor", &"an answer to another question"));
            }
            Err(error) => report.setup_failure = Some(infrastructure("carrying out the program", &error)),
        }
        report.setup_failure.is_none()
    }

    /// The look from both sides; the error says which side could not see.
    fn observe(&mut self) -> Result<Observation, String> {
        let timeout = self.answer_timeout();
        let inside = match self.child.ask(&Ask::Look, timeout) {
            Ok(Answer::Seen(view)) => view,
            Ok(Answer::Blind(why)) => return Err(why),
            Ok(_) => return Err("an answer to another question".to_owned()),
            Err(error) => return Err(format!("looking from inside: {error}")),
        };
        let outside = outside::look(self.child.pid(), &self.made, self.inner_top())
            .map_err(|error| format!("looking from outside: {error}"))?;
        Ok(Observation {
            inside,
            outside: outside.view,
            shared_descriptions: outside.shared_descriptions,
            mounts: outside.mounts,
            host_mounts: outside.host_mounts,
            tree: outside.tree,
            process: outside.process,
        })
    }

    fn act(&mut self, action: Action, engine: &mut Engine, report: &mut TrialReport) -> ActionReport {
        let start = Instant::now();
        let run = match action {
            Action::Dump => engine.dump(self, false),
            Action::DumpLeaveRunning => engine.dump(self, true),
            Action::Restore => engine.restore(self),
        };
        let duration_ms = start.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
        let run = run.unwrap_or_else(|error| Run {
            end: ActionEnd::Failed(-1),
            error_lines: vec![format!("the agent: {error}")],
            files: Vec::new(),
        });
        let done = run.end == ActionEnd::Done;
        if !done || self.request.keep_logs {
            report.files.extend(run.files);
        }
        let mut result = ActionReport {
            action,
            end: run.end,
            error_lines: run.error_lines,
            duration_ms,
            after: None,
            unobservable: None,
        };
        // After a dump that worked there is no process, after a restore that failed neither.
        let expected = match action {
            Action::Dump => !done,
            Action::DumpLeaveRunning => true,
            Action::Restore => done,
        };
        if expected {
            match self.observe() {
                Ok(observation) => result.after = Some(observation),
                Err(why) => result.unobservable = Some(why),
            }
        } else if action == Action::Dump && !self.child.wait_for_end(Duration::from_secs(5)).unwrap_or(false) {
            result.unobservable = Some("the dump succeeded but the process is still there".to_owned());
        } else {
            self.child.reap();
        }
        result
    }
}
