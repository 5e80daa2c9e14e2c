//! `selftest`: proves that the judge catches mistakes. The reference engine runs with every fault that it knows, one at a
//! time: for each there must be a scenario that fails, and with the kind that the fault declares. Without a fault
//! everything must pass.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use protocol::Fault;
use protocol::fault::{self, Description};
use protocol::message::{Flavor, Lifecycle};
use scenarios::Scenario;
use serde::Serialize;

use super::image::StoreArgs;
use super::machines::{MachineArgs, work_folder};
use super::select::select;
use crate::judge::{FailureKind, Judgement, Tally, Trial, Verdict};
use crate::machine::{Backend, MachineSpec};
use crate::run::{News, Over, Task, Work};
use crate::subject::{Manner, Subject};
use crate::vm::accel::AcceleratorChoice;

/// The version of the JSON document.
const VERSION: u32 = 1;

/// Prove that the judge catches mistakes.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  zdtm-detached selftest                               every fault, and the engine without one
  zdtm-detached selftest undeleted ghost-left --all    two faults, with every scenario that catches them

Exit status: 0 all caught, 1 a fault survived or the engine without one failed, 3 infrastructure, 130 interrupted.")]
pub struct SelftestArgs {
    /// Faults to try; all, and the engine without one, when none is given
    pub fault: Vec<Fault>,
    /// On what: host or vm [default: host for root, else vm]
    #[arg(long, value_name = "BACKEND", env = "ZDTM_DETACHED_BACKEND")]
    pub backend: Option<Backend>,
    /// Kernel of the manifest, for VMs [default: 6.12]
    #[arg(long, value_name = "KERNEL", env = "ZDTM_DETACHED_KERNEL")]
    pub kernel: Option<String>,
    /// Run every fault against the whole catalogue, not only until something catches it
    #[arg(long)]
    pub all: bool,
    /// Do without statmount(STATMOUNT_BY_FD) where the kernel has it
    #[arg(long)]
    pub without_statmount: bool,
    /// For people or for programs
    #[arg(long, default_value = "human")]
    pub format: Format,
    /// Machines that run at the same time [default: one for each core]
    #[arg(short = 'j', value_name = "N", env = "ZDTM_DETACHED_JOBS")]
    pub jobs: Option<usize>,
    /// Images and where they come from
    #[command(flatten)]
    pub store: StoreArgs,
}

/// How the result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A line each
    Human,
    /// One JSON document
    Json,
}

/// What became of one fault.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FaultRecord {
    /// Its name.
    pub name: &'static str,
    /// The kind that it must fail with.
    pub kind: &'static str,
    /// What it does wrong.
    pub text: &'static str,
    /// The scenarios that failed with this kind.
    pub caught_by: Vec<String>,
    /// Trials that were run.
    pub trials: usize,
    /// The kinds that other scenarios failed with, and how many.
    pub other_kinds: BTreeMap<&'static str, usize>,
}

/// The whole result.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Record {
    /// Of the document.
    pub version: u32,
    /// Faults that were caught.
    pub caught: usize,
    /// Faults that were tried.
    pub total: usize,
    /// Trials of the engine without a fault that passed, failed and were skipped.
    pub clean: [usize; 3],
    /// One for each fault.
    pub faults: Vec<FaultRecord>,
    /// The trials of the engine without a fault that failed: name and reason.
    pub failures: Vec<(String, String)>,
}

/// Runs; the exit status.
///
/// # Errors
/// What keeps any trial from running.
pub fn run(args: &SelftestArgs) -> anyhow::Result<u8> {
    crate::interrupt::install().context("installing the signal handlers")?;
    let store = args.store.open(super::run::progress())?;
    let tree = crate::image::tree::locate(args.store.tree.as_deref())?;
    let scenarios = select(&[], &tree)?;
    let machines = machines(args);
    let kernel = match (machines.backend, &args.kernel) {
        (Backend::Host, None) => crate::host::kernel_name(),
        (Backend::Host, Some(_)) => {
            let mistake = "--kernel needs a VM: this machine's own kernel is what --backend host runs on";
            anyhow::bail!(super::Usage(mistake.to_owned()));
        }
        (Backend::Vm, kernel) => kernel.clone().unwrap_or_else(|| store.manifest().defaults.kernel.clone()),
    };
    let faults: Vec<&Description> =
        fault::ALL.iter().filter(|known| args.fault.is_empty() || args.fault.contains(&known.fault)).collect();
    let tasks = tasks(args, &kernel, &faults, &scenarios);
    let folder = work_folder()?;
    let specs: Box<dyn Fn(usize) -> MachineSpec + Sync> = match machines.backend {
        Backend::Host => Box::new(machines.host_agents(&store, &scenarios)?),
        Backend::Vm => Box::new(machines.vms(&store, &kernel, folder.path())?),
    };
    let mut course = Course::new(&faults, args.all);
    course.run(tasks, &machines, &*specs)?;
    let interrupted = crate::interrupt::requested();
    let record = course.record();
    write(args.format, &record, &mut io::stdout())?;
    let survived = record.total - record.caught;
    Ok(match () {
        () if interrupted => 130,
        () if survived > 0 || record.clean[1] > 0 => 1,
        () => 0,
    })
}

fn machines(args: &SelftestArgs) -> MachineArgs {
    let root = nix::unistd::geteuid().is_root();
    MachineArgs {
        backend: args.backend.unwrap_or(if root { Backend::Host } else { Backend::Vm }),
        jobs: args.jobs,
        accel: AcceleratorChoice::default(),
        cold: false,
        qemu: None,
        timeout_scale: 1.0,
        store: args.store.clone(),
    }
}

/// For each fault the scenarios that are likely to catch it; then the engine without a fault; then, for each fault, all
/// the other scenarios. What a fault does not need any more is taken from the queue when it is caught.
fn tasks(args: &SelftestArgs, kernel: &str, faults: &[&Description], scenarios: &[Scenario]) -> VecDeque<Task> {
    let manner = Manner { without_statmount: args.without_statmount, ..Manner::default() };
    let task = |fault: Option<Fault>, scenario: &Scenario| {
        let subject = Subject::Reference(fault);
        let trial = Trial {
            scenario: scenario.name.clone(),
            family: scenario.family.clone(),
            flavor: Flavor::Ns,
            lifecycle: Lifecycle::DumpRestore,
            kernel: kernel.to_owned(),
            subject: subject.to_string(),
        };
        Task { trial, scenario: scenario.clone(), engine: subject.engine(manner) }
    };
    let likely =
        |fault: &Description, scenario: &Scenario| fault.likely.iter().any(|part| scenario.name.contains(part));
    let mut first = VecDeque::new();
    let mut rest = Vec::new();
    for fault in faults {
        let (one, other): (Vec<_>, Vec<_>) = scenarios.iter().partition(|scenario| likely(fault, scenario));
        first.extend(one.into_iter().map(|scenario| task(Some(fault.fault), scenario)));
        rest.extend(other.into_iter().map(|scenario| task(Some(fault.fault), scenario)));
    }
    if args.fault.is_empty() {
        first.extend(scenarios.iter().map(|scenario| task(None, scenario)));
    }
    first.extend(rest);
    first
}

/// The run under way.
struct Course {
    faults: Vec<FaultRecord>,
    subjects: Vec<String>,
    all: bool,
    clean: Tally,
    failures: Vec<(String, String)>,
}

impl Course {
    fn new(faults: &[&Description], all: bool) -> Self {
        let record = |fault: &&Description| FaultRecord {
            name: fault.name,
            kind: fault.kind,
            text: fault.text,
            ..FaultRecord::default()
        };
        Course {
            faults: faults.iter().map(record).collect(),
            subjects: faults.iter().map(|fault| Subject::Reference(Some(fault.fault)).to_string()).collect(),
            all,
            clean: Tally::default(),
            failures: Vec::new(),
        }
    }

    fn run(
        &mut self,
        tasks: VecDeque<Task>,
        machines: &MachineArgs,
        specs: &(dyn Fn(usize) -> MachineSpec + Sync),
    ) -> anyhow::Result<()> {
        let workers = machines.workers(tasks.len());
        let queue = Mutex::new(tasks);
        let stop = AtomicBool::new(false);
        // A catch is what is expected here: the machine may serve the next trial.
        let subjects: BTreeMap<String, &str> =
            self.subjects.iter().cloned().zip(self.faults.iter().map(|fault| fault.kind)).collect();
        let known = move |trial: &Trial, _: Option<&str>, judgement: Judgement| match judgement.verdict {
            Verdict::Fail(kind) if subjects.get(&trial.subject) == Some(&kind.word()) => {
                Judgement { verdict: Verdict::Xfail(kind), ..judgement }
            }
            _ => judgement,
        };
        let work = Work {
            tasks: &queue,
            specs,
            known: &known,
            stop: &stop,
            timeout_scale: machines.timeout_scale,
            confirm: false,
        };
        std::thread::scope(|scope| {
            for news in crate::run::start(scope, &work, workers) {
                let News::Over(over) = news else { continue };
                if let Some(done) = self.over(&over)
                    && let Ok(mut queue) = queue.lock()
                {
                    queue.retain(|task| task.trial.subject != done);
                }
            }
        });
        Ok(())
    }

    /// Takes note of a trial; the subject that needs no more of them.
    fn over(&mut self, over: &Over) -> Option<String> {
        let (trial, judgement) = (&over.task.trial, &over.judgement);
        let Some(index) = self.subjects.iter().position(|subject| *subject == trial.subject) else {
            self.clean.add(judgement.verdict);
            if !matches!(judgement.verdict, Verdict::Pass | Verdict::Unsupported | Verdict::NotRun) {
                self.failures.push((trial.scenario.clone(), format!("{}: {}", judgement.verdict, judgement.reason)));
            }
            return None;
        };
        let fault = &mut self.faults[index];
        fault.trials += 1;
        match judgement.verdict {
            Verdict::Xfail(_) => fault.caught_by.push(trial.scenario.clone()),
            Verdict::Fail(kind) => *fault.other_kinds.entry(FailureKind::word(kind)).or_default() += 1,
            Verdict::Error => {
                *fault.other_kinds.entry("error").or_default() += 1;
            }
            _ => {}
        }
        (!fault.caught_by.is_empty() && !self.all).then(|| trial.subject.clone())
    }

    fn record(self) -> Record {
        let caught = self.faults.iter().filter(|fault| !fault.caught_by.is_empty()).count();
        let clean = [self.clean.passed(), self.clean.failed(), self.clean.skipped()];
        let total = self.faults.len();
        Record { version: VERSION, caught, total, clean, faults: self.faults, failures: self.failures }
    }
}

/// Writes the result.
///
/// # Errors
/// The writer's.
pub fn write(format: Format, record: &Record, out: &mut dyn Write) -> io::Result<()> {
    if format == Format::Json {
        serde_json::to_writer_pretty(&mut *out, record)?;
        return writeln!(out);
    }
    for fault in &record.faults {
        let by = match fault.caught_by.split_first() {
            Some((first, [])) => format!("caught by {first}"),
            Some((first, more)) => format!("caught by {first} and {} more", more.len()),
            None => survived(fault),
        };
        writeln!(out, "{:27} {:17} {by}", fault.name, fault.kind)?;
    }
    for (name, why) in fault::NOT_EXPRESSIBLE {
        writeln!(out, "{name:27} not tried: {why}")?;
    }
    for (scenario, reason) in &record.failures {
        writeln!(out, "without a fault: {scenario}: {reason}")?;
    }
    writeln!(out, "\ncaught/total: {}/{}", record.caught, record.total)?;
    let [passed, failed, skipped] = record.clean;
    let survivors = record.total - record.caught;
    writeln!(out, "result: {} passed, {} failed, {skipped} skipped", passed + record.caught, failed + survivors)
}

fn survived(fault: &FaultRecord) -> String {
    let kinds: Vec<String> = fault.other_kinds.iter().map(|(kind, count)| format!("{kind} {count} times")).collect();
    let seen = if kinds.is_empty() { "nothing was seen".to_owned() } else { format!("seen: {}", kinds.join(", ")) };
    format!("SURVIVED {} trials; {seen}", fault.trials)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

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

    #[test]
    fn survivors_are_loud() {
        let caught = FaultRecord { name: "a", kind: "litter", caught_by: vec!["x/y".into()], ..FaultRecord::default() };
        let other_kinds = BTreeMap::from([("wrong-path", 2)]);
        let survivor = FaultRecord { name: "b", kind: "hang", trials: 9, other_kinds, ..FaultRecord::default() };
        let record =
            Record { caught: 1, total: 2, clean: [7, 0, 1], faults: vec![caught, survivor], ..Record::default() };
        let mut out = Vec::new();
        write(Format::Human, &record, &mut out).expect("memory");
        let text = String::from_utf8(out).expect("text");
        let lines: Vec<&str> = text.lines().filter(|line| !line.contains("not tried")).collect();
        expect![[r"
            a                           litter            caught by x/y
            b                           hang              SURVIVED 9 trials; seen: wrong-path 2 times

            caught/total: 1/2
            result: 8 passed, 1 failed, 1 skipped"]]
        .assert_eq(&lines.join("\n"));
    }
}
