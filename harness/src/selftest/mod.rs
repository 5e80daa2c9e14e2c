//! Proves that the judge catches mistakes. The reference engine runs with every fault that it
//! knows, one at a time: for each there must be a scenario that fails, and with the kind that the
//! fault declares. Without a fault everything must pass, restored as well as left running. Where
//! the engine lacks something, what needs it must fail and nothing else.
//!
//! - `lacks`: what the engine has not learnt
//! - [`planted`]: campaigns that look for each fault
//! - `record`: the result

mod lacks;
pub mod planted;
mod record;

use std::collections::{BTreeMap, VecDeque};

use protocol::Fault;
use protocol::fault::{self, Description};
use protocol::message::{Flavor, Lifecycle};
use scenarios::Scenario;

use crate::judge::range::Version;
use crate::judge::{Ablation, FailureKind, Judgement, Tally, Trial, Verdict, comparisons};
use crate::machine::Backend;
use crate::run::{Machines, News, Over, Policy, Queue, Task};
use crate::session::Session;
use crate::subject::{Parts, ReferenceOptions, Subject};
use crate::usage::Usage;
pub use lacks::LackRecord;
use lacks::Lacks;
pub use record::{ComparisonRecord, FaultRecord, Format, Record, write};

/// What a selftest is to do.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Faults and lacks to try; all, and the engine without one, when none is given.
    pub fault: Vec<Fault>,
    /// Kernel of the manifest, for VMs.
    pub kernel: Option<String>,
    /// Every fault and every lack is tried with the whole catalogue.
    pub all: bool,
    /// The faults that only one comparison catches are found out.
    pub comparisons: bool,
    /// The engine does without statmount(STATMOUNT_BY_FD).
    pub without_statmount: bool,
}

/// Runs the trials; what became of each fault and lack.
///
/// # Errors
/// What keeps any trial from running.
pub fn run(session: &Session, settings: &Settings) -> anyhow::Result<Record> {
    let scenarios = session.catalogue()?;
    let kernel = match (session.settings().backend, &settings.kernel) {
        (Backend::Host, None) => crate::host::kernel_name(),
        (Backend::Host, Some(_)) => {
            let mistake = "--kernel needs a VM: this machine's own kernel is what --backend host runs on";
            anyhow::bail!(Usage(mistake.to_owned()));
        }
        (Backend::Vm, kernel) => {
            kernel.clone().unwrap_or_else(|| session.store().manifest().defaults.kernel().to_owned())
        }
    };
    let faults: Vec<&Description> =
        fault::ALL.iter().filter(|known| settings.fault.is_empty() || settings.fault.contains(&known.fault)).collect();
    let lacks = Lacks::new(settings, &scenarios);
    let tasks = tasks(settings, &kernel, (&faults, &lacks), &scenarios);
    let machines = session.machines(&kernel, &Parts::plain(session.store()), &scenarios, "selftest")?;
    let mut selftest = SelftestRun::new(&faults, lacks, settings);
    selftest.run(tasks, session, machines);
    Ok(selftest.record())
}

/// For each fault the scenarios that are likely to catch it; then the engine without a fault, and
/// with each lack; then, for each fault, all the other scenarios. What a fault does not need any
/// more is taken from the queue when it is caught.
fn tasks(
    settings: &Settings,
    kernel: &str,
    (faults, lacks): (&[&Description], &Lacks),
    scenarios: &[Scenario],
) -> VecDeque<Task> {
    let reference_options =
        ReferenceOptions { without_statmount: settings.without_statmount, ..ReferenceOptions::default() };
    let task = |fault: Option<Fault>, lifecycle: Lifecycle, scenario: &Scenario| {
        let subject = Subject::Reference(fault);
        let trial = Trial {
            scenario: scenario.name.clone(),
            family: scenario.family.clone(),
            flavor: Flavor::Ns,
            lifecycle,
            kernel: kernel.to_owned(),
            subject: subject.to_string(),
        };
        Task { trial, scenario: scenario.clone(), engine: subject.engine(reference_options) }
    };
    let likely =
        |fault: &Description, scenario: &Scenario| fault.likely.iter().any(|part| scenario.name.contains(part));
    let mut first = VecDeque::new();
    let mut rest = Vec::new();
    for fault in faults {
        let (one, other): (Vec<_>, Vec<_>) = scenarios.iter().partition(|scenario| likely(fault, scenario));
        first.extend(one.into_iter().map(|scenario| task(Some(fault.fault), fault.lifecycle, scenario)));
        if settings.comparisons && !settings.all {
            continue;
        }
        rest.extend(other.into_iter().map(|scenario| task(Some(fault.fault), fault.lifecycle, scenario)));
    }
    if settings.fault.is_empty() && !settings.comparisons {
        for lifecycle in [Lifecycle::DumpRestore, Lifecycle::LeaveRunning] {
            first.extend(scenarios.iter().map(|scenario| task(None, lifecycle, scenario)));
        }
        let word = Lifecycle::RelativePaths.word();
        let about =
            scenarios.iter().filter(|scenario| scenario.requires.lifecycles.iter().any(|own| own.word() == word));
        first.extend(about.map(|scenario| task(None, Lifecycle::RelativePaths, scenario)));
    }
    first.extend(lacks.tasks(settings.all, scenarios, task));
    first.extend(rest);
    first
}

/// The run under way.
struct SelftestRun {
    faults: Vec<FaultRecord>,
    subjects: Vec<String>,
    all: bool,
    /// Every fault is tried: the report names what no fault needs.
    every: bool,
    /// One for each fault, when comparisons are walked through.
    ablations: Vec<Ablation>,
    lacks: Lacks,
    clean: Tally,
    failures: Vec<(String, String)>,
}

impl SelftestRun {
    fn new(faults: &[&Description], lacks: Lacks, settings: &Settings) -> Self {
        let record = |fault: &&Description| FaultRecord {
            name: fault.name,
            kind: fault.kind,
            text: fault.text,
            ..FaultRecord::default()
        };
        SelftestRun {
            faults: faults.iter().map(record).collect(),
            subjects: faults.iter().map(|fault| Subject::Reference(Some(fault.fault)).to_string()).collect(),
            all: settings.all,
            every: settings.fault.is_empty(),
            ablations: faults.iter().filter(|_| settings.comparisons).map(|fault| Ablation::new(fault.kind)).collect(),
            lacks,
            clean: Tally::default(),
            failures: Vec::new(),
        }
    }

    fn run(&mut self, tasks: VecDeque<Task>, session: &Session, machines: Machines<'_>) {
        let workers = session.workers(tasks.len());
        let queue = Queue::new(tasks);
        // A catch is what is expected here: the machine may serve the next trial.
        let subjects: BTreeMap<String, &str> =
            self.subjects.iter().cloned().zip(self.faults.iter().map(|fault| fault.kind)).collect();
        let caught = |subject: &str, judgement: &Judgement| {
            let kind = subjects.get(subject).and_then(|word| word.parse().ok());
            kind.is_some_and(|kind| judgement.has_kind(kind))
        };
        let lacks = self.lacks.clone();
        let known = move |trial: &Trial, _: Option<&Version>, judgement: Judgement| match judgement.verdict {
            Verdict::Fail(kind) if caught(&trial.subject, &judgement) || lacks.expects(trial) => {
                Judgement { verdict: Verdict::Xfail(kind), ..judgement }
            }
            _ => judgement,
        };
        // Some mistakes show at a second try only.
        let policy = Policy { thorough: true, ..Policy::default() };
        let pool = session.pool(machines, Box::new(known), policy);
        std::thread::scope(|scope| {
            let Ok(all) = crate::run::start(scope, &pool, &queue, workers).inspect_err(crate::run::no_thread) else {
                return;
            };
            for news in all {
                let News::Over(over) = news else { continue };
                if let Some(done) = self.over(&over) {
                    queue.lock().retain(|task| task.trial.subject != done);
                }
            }
        });
    }

    /// Takes note of a trial; the subject that needs no more of them.
    fn over(&mut self, over: &Over) -> Option<String> {
        let (trial, judgement) = (&over.task.trial, &over.judgement);
        if self.lacks.over(trial, judgement) {
            return None;
        }
        let Some(index) = self.subjects.iter().position(|subject| *subject == trial.subject) else {
            self.clean.add(judgement.verdict);
            if !matches!(judgement.verdict, Verdict::Pass | Verdict::Unsupported | Verdict::NotRun) {
                let how = trial.lifecycle.word();
                let reason = format!("{how}: {}: {}", judgement.verdict, judgement.reason);
                self.failures.push((trial.scenario.clone(), reason));
            }
            return None;
        };
        let fault = &mut self.faults[index];
        if fault.not_tried.is_some() {
            return None;
        }
        if let Some(report) = &over.report
            && fault::NEEDS_STATMOUNT.iter().any(|known| known.to_string() == fault.name)
            && !Ablation::has_statmount(report)
        {
            fault.not_tried = Some("this kernel has no statmount(STATMOUNT_BY_FD)");
            return Some(trial.subject.clone());
        }
        fault.trials += 1;
        if let (Some(ablation), Some(report)) = (self.ablations.get_mut(index), &over.report) {
            ablation.add(&over.task.scenario, trial.lifecycle, report);
        }
        match judgement.verdict {
            Verdict::Xfail(_) => fault.caught_by.push(trial.scenario.clone()),
            Verdict::Fail(kind) => *fault.other_kinds.entry(FailureKind::word(kind)).or_default() += 1,
            Verdict::Error => {
                *fault.other_kinds.entry("error").or_default() += 1;
            }
            _ => {}
        }
        let enough = match self.ablations.get(index) {
            Some(ablation) => ablation.is_settled(),
            None => !fault.caught_by.is_empty() && !self.all,
        };
        enough.then(|| trial.subject.clone())
    }

    fn record(mut self) -> Record {
        for (fault, ablation) in self.faults.iter_mut().zip(&self.ablations) {
            fault.needs_probes = ablation.needs_probes();
        }
        let caught = self.faults.iter().filter(|fault| !fault.caught_by.is_empty()).count();
        let clean = [self.clean.passed(), self.clean.failed(), self.clean.skipped()];
        let total = self.faults.iter().filter(|fault| fault.not_tried.is_none()).count();
        let comparisons = self.comparisons();
        Record {
            version: record::VERSION,
            caught,
            total,
            clean,
            faults: self.faults,
            failures: self.failures,
            comparisons,
            lacks: self.lacks.records(),
        }
    }

    fn comparisons(&self) -> Vec<ComparisonRecord> {
        let needs = |name: &'static str| {
            let with = self.faults.iter().zip(&self.ablations);
            with.filter(|(_, ablation)| ablation.needs().any(|row| row == name)).map(|(fault, _)| fault.name).collect()
        };
        let row = |name: &'static str| ComparisonRecord {
            name,
            needed_by: needs(name),
            shown: self.ablations.iter().any(|ablation| ablation.shows(name)),
        };
        let rows = comparisons::ALL.iter().filter(|_| !self.ablations.is_empty());
        rows.map(|comparison| row(comparison.name)).filter(|row| self.every || !row.needed_by.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::select::select;

    #[test]
    fn faults_declare_kinds_that_exist_and_hints_that_match() {
        let tree = crate::image::tree::locate(None).expect("the source tree");
        let scenarios = select(&[], &tree).expect("the catalogue");
        for fault in fault::ALL {
            assert!(fault.kind.parse::<FailureKind>().is_ok(), "{}: {}", fault.name, fault.kind);
            for part in fault.likely {
                assert!(scenarios.iter().any(|scenario| scenario.name.contains(part)), "{}: {part}", fault.name);
            }
        }
    }
}
