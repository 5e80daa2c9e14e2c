//! One trial and nothing around it: what is asked of the guest, and how long the answer takes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::bail;
use protocol::message::{ActionEnd, DetachMethod, Engine, Event, Flavor, Lifecycle, Probing, Request, TrialRequest};
use protocol::probe::{Probed, Probes};

use crate::vm::Vm;

/// The least that a checkpoint has to do: one process, one file. What the harness adds weighs most
/// here.
pub(super) const PROGRAM: &str = "write f \"hello\"\nfd0 = open f rdwr\n";

/// How long each stage of a trial took, in milliseconds.
pub(super) type Stages = BTreeMap<String, Vec<f64>>;

pub(super) fn engine() -> Engine {
    Engine::Reference { fault: None, without_statmount: false, way: DetachMethod::default() }
}

pub(super) fn request(trial: u64, engine: Engine, limit: Duration) -> TrialRequest {
    TrialRequest {
        trial,
        programs: vec![PROGRAM.to_owned()],
        flavor: Flavor::Ns,
        lifecycle: Lifecycle::DumpRestore,
        engine,
        action_timeout_ms: limit.as_millis().try_into().unwrap_or(u64::MAX),
        thorough: false,
        probing: Probing::Never,
    }
}

/// One trial as `run` has it, without the judge; from the request to the whole report.
pub(super) fn exchange(
    vm: &mut Vm,
    request: TrialRequest,
    mut stages: Option<&mut Stages>,
) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let limit = Duration::from_millis(request.action_timeout_ms);
    let is_probed = request.probing != Probing::Never;
    vm.send(&Request::Run(request))?;
    let mut stage = ("prepare".to_owned(), start);
    let mut passed = |next: String, stages: &mut Option<&mut Stages>| {
        let now = Instant::now();
        let (name, since) = std::mem::replace(&mut stage, (next, now));
        if let Some(stages) = stages {
            stages.entry(name).or_default().push(ms(now - since));
        }
    };
    loop {
        match vm.receive(start + limit)? {
            Event::Progress { stage, .. } => passed(stage, &mut stages),
            Event::Finished { report, .. } => {
                passed(String::new(), &mut stages);
                let Some(report) = report.alone() else { bail!("the guest sent no report of one program") };
                let done =
                    report.actions.len() == 2 && report.actions.iter().all(|action| action.end == ActionEnd::Done);
                let both =
                    |probes: &Probes| matches!((&probes.process, &probes.twin), (Probed::Done(_), Probed::Done(_)));
                let done = done && report.probes.as_ref().is_some_and(both) == is_probed;
                if !done || report.setup_failure.is_some() {
                    bail!("a trial of `bench` did not come to its end: {report:.1000?}");
                }
                return Ok(start.elapsed());
            }
            other => bail!("the guest sent {other:.200?}"),
        }
    }
}

pub(super) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

pub(super) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
