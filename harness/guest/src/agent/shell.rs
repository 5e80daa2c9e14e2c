//! A shell beside the process of a trial, for a person: the trial is led to the wanted moment, and
//! the shell gets variables that say what is where. Nothing is judged here.
//!
//! The tools are a busybox that only machines for shells have (crate `harness`, module
//! `image::tools`).

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::time::Duration;

use protocol::Event;
use protocol::message::{ActionEnd, Report, TrialRequest};
use protocol::shell::{Moment, ShellRequest};
use protocol::wire::{self, WireError};

use super::disks::Disks;
use super::engine::Engine;
use super::machine::Machine;
use super::prepare::prepare;
use super::relay;
use super::trial::{Trial, images_folder};

/// The one program; where the links to it go, and the script below.
const BUSYBOX: &str = "/tools/busybox";
const TOOLS: &str = "/tools/bin";

/// `enter [COMMAND...]`: a command, or a shell, in the namespaces of the process, at its root.
/// There need not be any program: busybox takes its own commands before those in PATH, and starts
/// them from `/proc/self/exe`.
const ENTER: &str = "\
#!/tools/busybox sh
[ -n \"$PID\" ] || { echo 'enter: there is no process' >&2; exit 1; }
[ $# -gt 0 ] || set -- sh
exec nsenter -t \"$PID\" -m -u -i -p -r -w -- \"$@\"
";

/// What the shell can know of the trial.
#[derive(Default)]
struct Place {
    /// What happened, and the names of variables and folders.
    said: Vec<String>,
    variables: Vec<(&'static str, String)>,
}

/// Runs a shell to its end.
///
/// # Errors
/// The channel to the host is broken.
pub(super) fn run(
    request: &ShellRequest,
    machine: &mut Machine,
    from_host: &mut BufReader<File>,
    to_host: &mut File,
) -> Result<(), WireError> {
    let mut place = Place::default();
    let mut disks = Disks::default();
    let top = request.trial.as_ref().map(|trial| format!("/t/{}", trial.trial)).unwrap_or_default();
    let trial = request.trial.as_ref().map(|trial| Stage { request: trial, top: &top, at: request.at });
    let led = trial.and_then(|stage| stage.lead(machine, &mut disks, &mut place, to_host));
    let outcome = tools().and_then(|()| {
        relay::run(shell(&place), request.terminal.as_ref(), std::mem::take(&mut place.said), from_host, to_host)
    });
    if let Some(trial) = led {
        trial.child.end();
    }
    match outcome {
        Ok(()) => Ok(()),
        Err(relay::RelayError::Wire(error)) => Err(error),
        Err(relay::RelayError::Io(error)) => {
            wire::send(to_host, &Event::Broken { why: format!("starting a shell: {error}") })
        }
    }
}

/// Links for all that busybox can do, `enter`, and `zdtm-detached`, which has `assist` only.
fn tools() -> Result<(), relay::RelayError> {
    fs::create_dir_all(TOOLS)?;
    let status = Command::new(BUSYBOX).args(["--install", "-s", TOOLS]).status();
    let status = status.map_err(|error| io::Error::new(error.kind(), format!("{BUSYBOX}: {error}")))?;
    if !status.success() {
        return Err(io::Error::other(format!("{BUSYBOX} --install: {status}")).into());
    }
    let enter = format!("{TOOLS}/enter");
    fs::write(&enter, ENTER)?;
    symlink("/proc/1/exe", format!("{TOOLS}/zdtm-detached"))?;
    Ok(fs::set_permissions(&enter, fs::Permissions::from_mode(0o755))?)
}

fn shell(place: &Place) -> Command {
    let mut command = Command::new(BUSYBOX);
    command.env_clear().env("PATH", format!("{TOOLS}:/usr/sbin:/usr/bin")).env("HOME", "/root");
    command.envs(place.variables.iter().map(|(name, value)| (*name, value.as_str()))).current_dir("/");
    command
}

/// The trial, and how far it is led.
struct Stage<'a> {
    request: &'a TrialRequest,
    top: &'a str,
    at: Moment,
}

impl<'a> Stage<'a> {
    /// Leads the trial as far as it goes; `None` where the process does not exist.
    fn lead(
        &self,
        machine: &mut Machine,
        disks: &'a mut Disks,
        place: &mut Place,
        to_host: &mut File,
    ) -> Option<Trial<'a>> {
        let prepared = match prepare(self.request, self.top, machine, disks) {
            Ok(ready) => ready,
            Err(failure) => {
                place.said.push(format!("there is no process: {}", failure.what));
                return None;
            }
        };
        let mut trial = Trial::new(self.request, self.top, prepared, disks, machine.rights(self.request.flavor));
        let mut report = Report::new(1);
        if trial.set_up(&mut report) {
            self.act(&mut trial, &mut report, place, to_host);
        }
        let report = report.whole();
        if let Some(failure) = &report.setup_failure {
            place.said.push(format!("the program came to line {} only: {}", failure.line, failure.what));
        }
        for claim in &report.failed_assertions {
            place.said.push(format!("line {}: expected {}, got {}", claim.line, claim.expected, claim.got));
        }
        describe(&trial, place);
        Some(trial)
    }

    fn act(&self, trial: &mut Trial<'_>, report: &mut Report, place: &mut Place, to_host: &mut File) {
        let all = self.request.lifecycle.actions();
        let last_restore = all.iter().rposition(|action| action.restores()).unwrap_or(all.len());
        let due = match self.at {
            Moment::Setup => return,
            Moment::Dumped => &all[..last_restore],
            Moment::Restored => all,
        };
        let mut engine = match Engine::new(self.request, images_folder(self.request.trial), false) {
            Ok(engine) => engine,
            Err(error) => return place.said.push(format!("making a folder for images: {error}")),
        };
        for &action in due {
            // A host that is gone is noticed when the shell wants to speak.
            let stage = action.word().to_owned();
            let _ = wire::send(to_host, &Event::Progress { trial: self.request.trial, stage });
            let well = trial.act(action, &mut engine, report);
            let Some(done) = report.whole().actions.last() else { return };
            place.said.push(format!("{}: {}", action.word(), end_text(&done.end)));
            let why = done.error_lines.iter().chain(&done.unobservable);
            place.said.extend(why.filter(|_| !well).map(|line| format!("  {line}")));
            if !well {
                return;
            }
        }
    }
}

fn end_text(end: &ActionEnd) -> String {
    match end {
        ActionEnd::Done => "done".to_owned(),
        ActionEnd::Failed(status) => format!("failed with status {status}"),
        ActionEnd::Killed(signal) => format!("ended by signal {signal}"),
        ActionEnd::TimedOut => "did not end in time".to_owned(),
    }
}

/// What is where, as lines and as variables of the shell.
fn describe(trial: &Trial<'_>, place: &mut Place) {
    let own_root = trial.own_root();
    let lives = matches!(trial.child.wait_for_end(Duration::ZERO), Ok(false));
    let mut top = trial.top.to_owned();
    if lives {
        let pid = trial.child.pid();
        place.said.push(format!("$PID     {pid}, the process; enter [COMMAND] goes into its namespaces"));
        place.variables.push(("PID", pid.to_string()));
        if own_root {
            top = format!("/proc/{pid}/root");
        }
    } else {
        place.said.push("there is no process any more".to_owned());
    }
    place.said.push(format!("$TOP     {top}, its top directory"));
    place.variables.push(("TOP", top));
    let images = images_folder(trial.request.trial);
    if images.exists() {
        let images = images.display().to_string();
        place.said.push(format!("$IMAGES  {images}, a folder for each dump, with criu's logs"));
        place.variables.push(("IMAGES", images));
    }
}
