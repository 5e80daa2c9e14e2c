//! Runs trials: one thread a VM, each takes the next trial when it is free; one place collects what became of them.
//!
//! A VM is kept from trial to trial and thrown away after anything suspicious: an unexpected failure, a message of the kernel,
//! something left behind, a channel that broke.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use protocol::message::{Engine, Event, Request, TrialReport, TrialRequest};
use scenarios::Scenario;

use crate::judge::{Context, Judgement, Trial, Verdict, judge};
use crate::vm::{Vm, VmError, VmSpec};

/// How long one action of a lifecycle may take under KVM; other accelerators scale it.
const ACTION_TIME_LIMIT: Duration = Duration::from_secs(12);
/// How long a VM may take to come up under KVM.
const BOOT_TIME_LIMIT: Duration = Duration::from_secs(20);

/// One trial to run.
#[derive(Clone, Debug)]
pub struct Task {
    /// Which.
    pub trial: Trial,
    /// What it runs.
    pub scenario: Scenario,
}

/// What became of a task.
#[derive(Debug)]
pub enum News {
    /// It begins.
    Started(Box<Task>),
    /// It is over.
    Over(Box<Over>),
}

/// A task that is over.
#[derive(Debug)]
pub struct Over {
    /// The task.
    pub task: Task,
    /// The judge's word in the light of what is known.
    pub judgement: Judgement,
    /// What the guest told; none when it told nothing.
    pub report: Option<TrialReport>,
    /// The guest's criu version, where it said one.
    pub criu: Option<String>,
    /// Duration in seconds.
    pub seconds: f64,
    /// The VM's directory.
    pub vm_directory: PathBuf,
}

/// What a judgement is in the light of what is known of the trial and this version of criu.
pub type Known<'a> = &'a (dyn Fn(&Trial, Option<&str>, Judgement) -> Judgement + Sync);

/// Starts `vms` workers on the tasks; their news arrive at the receiver, which ends when the last worker has stopped.
/// `spec` gives worker N the description of its next VM.
pub fn start<'scope>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    tasks: &'scope Mutex<VecDeque<Task>>,
    vms: usize,
    spec: &'scope (dyn Fn(usize) -> VmSpec + Sync),
    known: Known<'scope>,
) -> Receiver<News> {
    let (sender, receiver) = channel();
    for number in 0..vms {
        let sender = sender.clone();
        scope.spawn(move || Worker { number, spec, known, vm: None, next_trial: 1 }.work(tasks, &sender));
    }
    receiver
}

struct Worker<'a> {
    number: usize,
    spec: &'a (dyn Fn(usize) -> VmSpec + Sync),
    known: Known<'a>,
    vm: Option<(Vm, VmSpec, u64)>,
    next_trial: u64,
}

impl Worker<'_> {
    fn work(mut self, tasks: &Mutex<VecDeque<Task>>, news: &Sender<News>) {
        while !crate::interrupt::requested() {
            let next = tasks.lock().map(|mut tasks| tasks.pop_front()).unwrap_or_default();
            let Some(task) = next else { return };
            if news.send(News::Started(Box::new(task.clone()))).is_err() {
                return;
            }
            if let Some(over) = self.run(task)
                && news.send(News::Over(Box::new(over))).is_err()
            {
                return;
            }
        }
    }

    /// Runs one task to its end; none when the user interrupted it.
    fn run(&mut self, task: Task) -> Option<Over> {
        let start = Instant::now();
        let result = match crate::needs::unmet(&task.scenario, &task.trial) {
            Some(reason) => Ok((Judgement::plain(Verdict::Unsupported, reason), None)),
            None => self.exchange(&task),
        };
        let seconds = start.elapsed().as_secs_f64();
        let (directory, criu) = match &self.vm {
            Some((vm, spec, _)) => (spec.directory.clone(), vm.ready().criu.clone()),
            None => ((self.spec)(self.number).directory, None),
        };
        let (judgement, report) = match result {
            Ok((judgement, report)) => {
                let judgement = (self.known)(&task.trial, criu.as_deref(), judgement);
                if report.as_ref().is_some_and(|report| suspicious(&judgement, report)) {
                    self.vm = None;
                }
                (judgement, report)
            }
            Err(VmError::Interrupted) => return None,
            Err(error) => {
                self.vm = None;
                (Judgement::plain(Verdict::Error, format!("the VM: {error}")), None)
            }
        };
        Some(Over { task, judgement, report, criu, seconds, vm_directory: directory })
    }

    /// Has the trial run, if the machine has what it needs.
    fn exchange(&mut self, task: &Task) -> Result<(Judgement, Option<TrialReport>), VmError> {
        let (mut vm, spec, tainted_before) = match self.vm.take() {
            Some(vm) => vm,
            None => {
                let spec = (self.spec)(self.number);
                let limit = BOOT_TIME_LIMIT.mul_f64(spec.accelerator.timeout_scale());
                let vm = Vm::boot(&spec, Instant::now() + limit)?;
                let tainted = vm.ready().tainted;
                (vm, spec, tainted)
            }
        };
        if let Some(reason) = crate::needs::lacking(&task.scenario, vm.ready()) {
            self.vm = Some((vm, spec, tainted_before));
            return Ok((Judgement::plain(Verdict::Unsupported, reason), None));
        }
        let limit = ACTION_TIME_LIMIT.mul_f64(spec.accelerator.timeout_scale());
        let number = self.next_trial;
        self.next_trial += 1;
        let request = TrialRequest {
            trial: number,
            program: scenarios::text::print_program_in_place(&task.scenario.program),
            flavor: task.trial.flavor,
            lifecycle: task.trial.lifecycle,
            engine: Engine::Criu,
            action_timeout_ms: limit.as_millis().try_into().unwrap_or(u64::MAX),
            keep_logs: false,
        };
        let result = vm.send(&Request::Run(request)).and_then(|()| wait_for_report(&mut vm, number, limit));
        // A VM that failed here is dropped, and with it ended.
        let report = result?;
        let context = Context { lifecycle: task.trial.lifecycle, tainted_before };
        let judgement = judge(&task.scenario, context, &report);
        let tainted = report.tainted;
        self.vm = Some((vm, spec, tainted));
        Ok((judgement, Some(report)))
    }
}

/// Each stage may take the action's limit and a little more: the guest tells its own time-outs before ours.
fn wait_for_report(vm: &mut Vm, number: u64, limit: Duration) -> Result<TrialReport, VmError> {
    loop {
        match vm.receive(Instant::now() + limit * 2)? {
            Event::Finished { trial, report } if trial == number => return Ok(*report),
            _ => {}
        }
    }
}

/// Whether the VM may not serve the next trial: something happened that nobody expected, or something stays behind.
fn suspicious(judgement: &Judgement, report: &TrialReport) -> bool {
    let expected = matches!(judgement.verdict, Verdict::Pass | Verdict::Xfail(_) | Verdict::Unsupported);
    !expected || !report.leftovers.is_empty() || !report.kernel_log.is_empty()
}
