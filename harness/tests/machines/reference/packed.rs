//! Packed and unpacked runs give the same verdicts: the whole catalogue without a mistake, and
//! every known mistake in the scenarios that are likely to catch it with some among them that do
//! not. One worker packs, another does not.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use harness::host::{self, HostSpec};
use harness::image::{Settings, Store, default_cache_dir, tree};
use harness::judge::Trial;
use harness::machine::MachineSpec;
use harness::run::{Machines, Policy, Pool, Task, Worker};
use harness::subject::{ReferenceOptions, Subject};
use libtest_mimic::Failed;
use protocol::Fault;
use protocol::fault;
use protocol::message::{Flavor, Lifecycle};
use scenarios::{Scenario, catalogue};

/// Programs in a pack.
const PACK: usize = 24;
/// Scenarios for each mistake: those that are likely to catch it, and others.
const LIKELY: usize = 3;
const OTHERS: usize = 5;
/// Time limits are for mistakes that hang; nothing else comes near them.
const TIMEOUT_SCALE: f64 = 0.4;

/// Verdict and kind of a trial, and what it took.
type Results = BTreeMap<Trial, (String, f64)>;

pub(crate) fn packed_and_unpacked_verdicts_are_the_same() -> Result<(), Failed> {
    let all = catalogue::load(Path::new(catalogue::DIRECTORY)).map_err(|faults| format!("{faults:?}"))?;
    let mut tasks: Vec<Task> = all.iter().map(|scenario| task(scenario, None)).collect();
    for (number, description) in fault::ALL.iter().enumerate() {
        let is_likely = |scenario: &&Scenario| description.likely.iter().any(|part| scenario.name.contains(part));
        let count = if description.fault == Fault::Hangs { 1 } else { LIKELY };
        let likely = all.iter().filter(is_likely).take(count);
        let others = all.iter().skip(number * OTHERS % all.len()).take(if count == 1 { 1 } else { OTHERS });
        for scenario in likely.chain(others) {
            let mut task = task(scenario, Some(description.fault));
            task.trial.lifecycle = description.lifecycle;
            if tasks.iter().all(|known| known.trial != task.trial) {
                tasks.push(task);
            }
        }
    }
    let store = Store::open(&default_cache_dir()?, &tree::locate(None)?, Settings::default())?;
    let userland = store.manifest().defaults.userland.clone();
    let image = store.host_image(host::is_root().then_some(userland.as_str()))?;
    let spec = HostSpec { agent: image.agent, blank: image.blank };
    let (packed, alone) = std::thread::scope(|scope| {
        let packed = scope.spawn(|| results(&spec, &tasks, PACK));
        // By far the longer half.
        let (some, others) = tasks.split_at(tasks.len() / 2);
        let some = scope.spawn(|| results(&spec, some, 0));
        let mut alone = results(&spec, others, 0);
        alone.extend(some.join().expect("it does not panic"));
        (packed.join().expect("it does not panic"), alone)
    });
    let differ: Vec<String> = alone
        .iter()
        .filter(|(trial, (word, _))| packed.get(trial).is_none_or(|(other, _)| other != word))
        .map(|(trial, (word, _))| format!("{trial}: alone {word}, packed {:?}", packed.get(trial)))
        .collect();
    if !differ.is_empty() || packed.len() != tasks.len() {
        return Err(format!("{} verdicts of {} trials\n{}", packed.len(), tasks.len(), differ.join("\n")).into());
    }
    really_packed(&packed)
}

/// Those that pass in a pack have each the same share of its time.
fn really_packed(packed: &Results) -> Result<(), Failed> {
    let mut shares: BTreeMap<u64, usize> = BTreeMap::new();
    for (_, seconds) in packed.values().filter(|(word, _)| word == "pass") {
        *shares.entry(seconds.to_bits()).or_default() += 1;
    }
    let count: usize = shares.values().filter(|count| **count > 1).sum();
    if count < 200 { Err(format!("only {count} programs shared a process").into()) } else { Ok(()) }
}

fn task(scenario: &Scenario, fault: Option<Fault>) -> Task {
    let subject = Subject::Reference(fault);
    let trial = Trial {
        scenario: scenario.name.clone(),
        family: scenario.family.clone(),
        flavor: Flavor::Ns,
        lifecycle: Lifecycle::DumpRestore,
        kernel: host::kernel_name(),
        subject: subject.to_string(),
    };
    Task { trial, scenario: scenario.clone(), engine: subject.engine(ReferenceOptions::default()) }
}

/// Runs all, with that number of programs in a process.
fn results(spec: &HostSpec, tasks: &[Task], pack: usize) -> Results {
    let spec = spec.clone();
    let machines: Machines<'_> = Arc::new(move |_| MachineSpec::Host(spec.clone()));
    // Packs are not probed.
    let policy = Policy { timeout_scale: TIMEOUT_SCALE, pack, probes: false, ..Policy::default() };
    let pool = Pool::new(machines, Box::new(|_, _, judgement| judgement), policy);
    let mut results = Results::new();
    Worker::new(0, &pool).run_all(tasks.to_vec(), &mut |over| {
        results.insert(over.task.trial.clone(), (over.judgement.verdict.to_string(), over.seconds));
    });
    results
}
