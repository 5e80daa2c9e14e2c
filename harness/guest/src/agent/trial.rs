//! One trial, of one program or of several in one process: a top directory, disks, the executor,
//! the actions of the lifecycle with an observation after each, the clean-up.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use protocol::Observation;
use protocol::message::{
    Action, ActionEnd, ActionReport, Probing, Report, ReportFile, SecondTry, SetupFailure, TrialReport, TrialRequest,
};
use protocol::probe::{Probed, Probes};
use protocol::wire::WireError;
use scenarios::program::FIRST_PROCESS;

use super::child::{Child, KeptNamespaces};
use super::disks::{Disk, Disks};
use super::engine::Engine;
use super::failed_restore::Around;
use super::images;
use super::litter::{self, Before};
use super::machine::Machine;
use super::prepare::{Prepared, inner_top, prepare, remove_top};
use super::sandbox::Sandbox;
use super::twin;
use super::whereabouts;
use crate::coverage;
use crate::criu::Run;
use crate::executor::{Answer, Ask, ProgramSlot, Rights, SetupResult};
use crate::external::directory_of;
use crate::observe::outside::{ProcessOf, of_process};
use crate::observe::parts::{Part, Parts};
use crate::observe::{Made, outside};
use crate::reference::checkpoint::Checkpoint;

/// Tells the host where the trial is.
pub(super) type Progress<'a> = &'a mut dyn FnMut(&str) -> Result<(), WireError>;

/// Runs a trial to its end, whatever that is. The only error is a broken channel to the host.
pub(super) fn run(request: &TrialRequest, machine: &mut Machine, progress: Progress<'_>) -> Result<Report, WireError> {
    let mut report = Report::new(request.programs.len());
    let world = Before::look().and_then(|before| Ok((before, machine.kernel_log()?)));
    let (before, kernel_log) = match world {
        Ok(world) => world,
        Err(error) => {
            report.whole().setup_failure = Some(infrastructure("looking at the machine before the trial", &error));
            return Ok(report);
        }
    };
    let top = format!("/t/{}", request.trial);
    let mut disks = Disks::default();
    let mut probed = None;
    match prepare(request, &top, machine, &mut disks) {
        Ok(prepared) => {
            let trial = Trial::new(request, &top, prepared, &disks, machine.rights(request.flavor));
            probed = lead(trial, &mut report, progress)?;
        }
        Err(failure) => report.whole().setup_failure = Some(failure),
    }
    progress("clean-up")?;
    let whole = report.whole();
    let _ = fs::remove_dir_all(images_folder(request.trial));
    match before.clean(Some(&top)) {
        Ok(leftovers) => whole.leftovers = leftovers,
        Err(error) => whole.leftovers.push(format!("looking for leftovers: {error}")),
    }
    whole.leftovers.extend(disks.detach());
    match coverage::collect(&top) {
        Ok(arcs) => whole.arcs = arcs,
        Err(error) => whole.leftovers.push(format!("counters that cannot be taken away: {error}")),
    }
    whole.leftovers.extend(remove_top(&top).err().map(|error| format!("{top}: {error}")));
    if let Some(process) = probed {
        progress("twin")?;
        let as_before = report.whole().leftovers.is_empty().then_some(before);
        report.whole().probes = Some(Probes { process, twin: twin::probe(request, &top, as_before, machine) });
    }
    let whole = report.whole();
    whole.kernel_log = kernel_log.lines();
    whole.tainted = machine.tainted();
    Ok(report)
}

/// An error that is not a step's fault.
pub(super) fn infrastructure(what: &str, error: &impl std::fmt::Display) -> SetupFailure {
    SetupFailure { line: 0, what: format!("{what}: {error}"), missing: None, errno: None }
}

pub(super) fn images_folder(trial: u64) -> PathBuf {
    PathBuf::from(format!("/run/images/{trial}"))
}

/// A trial whose process is there.
pub(super) struct Trial<'a> {
    pub(super) request: &'a TrialRequest,
    pub(super) top: &'a str,
    pub(super) child: Child,
    pub(super) disks: &'a [Disk],
    pub(super) slots: Vec<ProgramSlot>,
    /// The mount namespace that the process started in, held where it must outlive the process's
    /// stay in it (`unshare-mounts keep-old`).
    pub(super) kept: Option<OwnedFd>,
    /// What the programs made.
    pub(super) made: Vec<Made>,
    /// Who is who in a pack; none for a program that is alone.
    parts: Option<Parts>,
    /// What the programs may do.
    rights: Rights,
    /// The minors of all disks.
    minors: Vec<u32>,
}

/// Sets up, observes, acts, observes, until the end of the lifecycle or the first action that
/// fails. Then it probes the process, where that is asked for and it is there.
fn lead(mut trial: Trial<'_>, report: &mut Report, progress: Progress<'_>) -> Result<Option<Probed>, WireError> {
    progress("setup")?;
    if !trial.set_up(report) {
        trial.child.end();
        return Ok(None);
    }
    progress("observe")?;
    match trial.observe() {
        Ok(seen) => report.all().zip(seen).for_each(|(report, seen)| report.before = Some(seen)),
        Err(why) => {
            report.whole().setup_failure = Some(SetupFailure { line: 0, what: why, missing: None, errno: None });
            trial.child.end();
            return Ok(None);
        }
    }
    match Engine::new(trial.request, images_folder(trial.request.trial), trial.parts.is_some()) {
        Ok(mut engine) => {
            for &action in trial.request.lifecycle.actions() {
                progress(action.word())?;
                if !trial.act(action, &mut engine, report) {
                    if trial.is_worth_a_second_try(report.whole()) {
                        progress("second try")?;
                        trial.try_again(action, &mut engine, report.whole());
                    }
                    break;
                }
            }
        }
        Err(error) => report.whole().setup_failure = Some(infrastructure("making a folder for images", &error)),
    }
    if trial.request.thorough {
        report.whole().images = images::collect(&images_folder(trial.request.trial));
    }
    let last = report.whole().actions.last().filter(|last| last.after.is_some());
    let wanted = last.is_some_and(|last| match trial.request.probing {
        Probing::Never => false,
        Probing::WhenDone => last.action.ended_well(&last.end),
        Probing::Always => true,
    });
    let probed = if wanted {
        progress("probes")?;
        Some(trial.probe())
    } else {
        None
    };
    trial.child.end();
    Ok(probed)
}

impl<'a> Trial<'a> {
    /// A trial whose programs are not carried out yet.
    pub(super) fn new(
        request: &'a TrialRequest,
        top: &'a str,
        prepared: Prepared,
        disks: &'a [Disk],
        rights: Rights,
    ) -> Self {
        let Prepared { child, slots, kept } = prepared;
        let minors = disks.iter().map(Disk::minor).collect();
        Trial { request, top, child, disks, slots, kept, made: Vec::new(), parts: None, rights, minors }
    }

    /// How long the process may take to answer: it does no more than a few hundred system calls for
    /// each program.
    pub(super) fn answer_timeout(&self) -> Duration {
        Duration::from_millis(self.request.action_timeout_ms)
    }

    /// Starts the executable of a checkpoint, in the same sandbox as the first process. It inherits
    /// the directories of files that are in another namespace, and opens the files there: a magic
    /// link cannot be opened with `O_NOFOLLOW`.
    pub(super) fn start_again(&mut self, kept: &KeptNamespaces, checkpoint: &Checkpoint) -> io::Result<()> {
        let sandbox = Sandbox::of(self.rights, &self.minors);
        let inherited: io::Result<Vec<OwnedFd>> =
            checkpoint.inherited().map(|(_, file)| self.open_outside(&directory_of(&file.path))).collect();
        self.child.start_again(self.request.flavor, kept, checkpoint, &inherited?, sandbox)
    }

    pub(super) fn own_root(&self) -> bool {
        self.request.flavor.has_own_root()
    }

    /// Has the programs carried out; false when one was not, or not as it says, in a pack.
    pub(super) fn set_up(&mut self, report: &mut Report) -> bool {
        let ask = Ask::SetUp { slots: self.slots.clone(), rights: self.rights };
        let timeout = self.answer_timeout();
        let results = match self.child.set_up(&ask, timeout) {
            Ok(Answer::SetUp(results)) => results,
            Ok(Answer::Blind(why)) => return fail(report, "the executor", &why),
            Ok(_) => return fail(report, "the executor", &"an answer to another question"),
            Err((error, last)) => {
                let (program, failure) = whereabouts::failure(&self.slots, &error, &last);
                match program.and_then(|program| report.programs.get_mut(program)) {
                    Some(own) => own.setup_failure = Some(failure),
                    None => report.whole().setup_failure = Some(failure),
                }
                return false;
            }
        };
        self.made = results.iter().flat_map(|result| result.made.clone()).collect();
        self.child.forked.made(results.iter().flat_map(|result| result.others.clone()).collect());
        let packed = report.frame.is_some();
        if packed {
            self.parts = Some(self.who_is_who(&results));
        }
        let mut done = !results.is_empty();
        for (report, result) in report.programs.iter_mut().zip(results) {
            done &= result.failure.is_none() && (!packed || result.failed_assertions.is_empty());
            report.failed_assertions = result.failed_assertions;
            report.setup_failure = result.failure;
        }
        match self.child.forked.find(self.child.pid()) {
            _ if !done => false,
            Ok(Ok(())) => true,
            Ok(Err(why)) => fail(report, "finding the processes of the program", &why),
            Err(error) => fail(report, "finding the processes of the program", &error),
        }
    }

    fn who_is_who(&self, results: &[SetupResult]) -> Parts {
        let part = |(slot, result): (&ProgramSlot, &SetupResult)| Part {
            top: slot.top.clone(),
            first_descriptor: result.first_descriptor,
            made: result.made.clone(),
        };
        let alone = inner_top(self.request.flavor, self.top).trim_end_matches('/').to_owned();
        Parts { parts: self.slots.iter().zip(results).map(part).collect(), alone }
    }

    /// The observation from both sides, one for each report; the error says which side failed.
    fn observe(&mut self) -> Result<Vec<Observation>, String> {
        self.child.check_user_namespace(self.request.flavor)?;
        let timeout = self.answer_timeout();
        let tops = self.parts.as_ref().map_or_else(Vec::new, Parts::tops);
        let elsewhere = self.elsewhere();
        let elsewhere =
            elsewhere.map_err(|error| format!("the mounts of the namespace that the process left: {error}"))?;
        let ask = Ask::Look { tops: tops.clone(), elsewhere: elsewhere.clone() };
        let (mut inside, seen_tops) = match self.child.ask(&ask, timeout) {
            Ok(Answer::Observed { view, tops }) => (view, tops),
            Ok(Answer::Blind(why)) => return Err(why),
            Ok(_) => return Err("an answer to another question".to_owned()),
            Err(error) => return Err(format!("looking from inside: {error}")),
        };
        for (other, name, answer) in self.child.forked.ask(&ask, timeout) {
            match answer {
                Ok(Answer::Observed { view, .. }) => inside.objects.extend(of_process(other + 1, view).objects),
                Ok(Answer::Blind(why)) => return Err(format!("the process {name}: {why}")),
                Ok(_) => return Err(format!("the process {name}: an answer to another question")),
                Err(error) => return Err(format!("looking from inside the process {name}: {error}")),
            }
        }
        let top = inner_top(self.request.flavor, self.top);
        let first = ProcessOf { name: FIRST_PROCESS, pid: self.child.pid(), made: Some(&self.made) };
        let others = self.child.forked.processes().map(|(name, pid, made)| ProcessOf { name, pid, made });
        let processes: Vec<_> = std::iter::once(first).chain(others).collect();
        let outside = outside::look(&processes, top, &tops, &elsewhere)
            .map_err(|error| format!("looking from outside: {error}"))?;
        let whole = Observation {
            inside,
            outside: outside.view,
            shared_descriptions: outside.shared_descriptions,
            mounts: outside.mounts,
            host_mounts: outside.host_mounts,
            tree: outside.tree,
            process: outside.process,
            others: outside.others,
        };
        Ok(match &self.parts {
            Some(parts) => parts.split(whole, seen_tops, outside.trees),
            None => vec![whole],
        })
    }

    /// Whether the last action is a restore that failed by itself, and the host wants to know more
    /// of it.
    fn is_worth_a_second_try(&self, report: &TrialReport) -> bool {
        let last = report.actions.last();
        let failed = |done: &ActionReport| {
            let by_itself = !done.action.ended_well(&done.end);
            done.action.restores() && by_itself && matches!(done.end, ActionEnd::Failed(1..))
        };
        self.request.thorough && last.is_some_and(failed)
    }

    /// Tries a restore that failed once more, in the same root and from the same images, and tells
    /// how it ends.
    fn try_again(&mut self, action: Action, engine: &mut Engine, report: &mut TrialReport) {
        let again = match engine.act(action, self) {
            Ok(run) => {
                let renamed = |file: ReportFile| ReportFile { name: format!("second-try-{}", file.name), ..file };
                report.files.extend(run.files.into_iter().map(renamed));
                SecondTry { end: run.end, error_lines: run.error_lines }
            }
            Err(error) => SecondTry { end: ActionEnd::Failed(-1), error_lines: vec![format!("the agent: {error}")] },
        };
        if let Some(first) = report.actions.last_mut() {
            first.second_try = Some(again);
        }
    }

    /// Carries it out and observes; returns whether the lifecycle can go on.
    pub(super) fn act(&mut self, action: Action, engine: &mut Engine, report: &mut Report) -> bool {
        let around = action.restores().then(|| Around::look(self.top));
        let start = Instant::now();
        let run = engine.act(action, self);
        let duration_ms = start.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
        let run = run.unwrap_or_else(|error| Run {
            error_lines: vec![format!("the agent: {error}")],
            ..ActionEnd::Failed(-1).into()
        });
        let well = action.ended_well(&run.end);
        let mut left = match (around, &run.end) {
            (Some(around), ActionEnd::Failed(_)) => left_by(around, run.left),
            (Some(around), ActionEnd::Killed(_)) if well => left_by(around.and_then(Around::end_processes), run.left),
            _ => Vec::new(),
        };
        // Also of an action that ended well: whether the process is right only the host can say,
        // and the analysis of a failure needs the dump's log beside the restore's.
        report.whole().files.extend(run.files);
        let (mut after, mut unobservable) = (Vec::new(), run.lost);
        if unobservable.is_some() {
            // No process is left to observe.
        } else if action.has_process(&run.end) {
            match self.observe() {
                Ok(seen) => after = seen,
                Err(why) => unobservable = Some(why),
            }
        } else if !action.restores() && !self.child.wait_for_end(Duration::from_secs(5)).unwrap_or(false) {
            unobservable = Some("the process is still there".to_owned());
        } else if let (false, Some(name)) = (action.restores(), self.child.forked.wait_for_end(Duration::from_secs(5)))
        {
            unobservable = Some(format!("the process {name} is still there"));
        } else {
            self.child.reap();
            // What its parent left to the agent keeps its number, and that of its session.
            litter::reap_all();
        }
        let (mut caller, mut error_lines) = (Vec::new(), run.error_lines);
        if well && action.is_relative() {
            match engine.findings(action, self) {
                Ok(findings) => caller = findings,
                // The judge gives no verdict when a finding is missing.
                Err(error) => error_lines.push(format!("the agent: looking at what the caller finds: {error}")),
            }
        }
        let goes_on = well && unobservable.is_none();
        let mut after = after.into_iter();
        for report in report.all() {
            report.actions.push(ActionReport {
                action,
                end: run.end.clone(),
                error_lines: std::mem::take(&mut error_lines),
                duration_ms,
                after: after.next(),
                unobservable: unobservable.clone(),
                caller: std::mem::take(&mut caller),
                left: std::mem::take(&mut left),
                second_try: None,
            });
        }
        goes_on
    }
}

/// What a restore that failed changed around itself, and on disks.
fn left_by(around: io::Result<Around>, mut on_disks: Vec<String>) -> Vec<String> {
    match around.and_then(|around| around.changed()) {
        Ok(mut left) => {
            left.append(&mut on_disks);
            left
        }
        // An observation that failed does not prove that nothing was left.
        Err(error) => vec![format!("looking for what the failed restore left: {error}")],
    }
}

/// Nothing was carried out.
fn fail(report: &mut Report, what: &str, error: &impl std::fmt::Display) -> bool {
    report.whole().setup_failure = Some(infrastructure(what, error));
    false
}
