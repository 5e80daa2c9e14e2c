//! How many programs a second go through packs, judged and all: the catalogue's controls, which
//! pass with any subject.

use std::sync::{Arc, Barrier};
use std::time::Instant;

use anyhow::bail;
use protocol::message::Lifecycle;
use scenarios::Scenario;

use super::Bench;
use crate::judge::Group;
use crate::needs;
use crate::plan::Axes;
use crate::plan::select::select;
use crate::run::{Machines, PACK, Policy, Task, Worker, sharing};
use crate::session::ExpectationsSource;
use crate::subject::{Parts, ReferenceOptions, Subject};

/// Every worker does the same work so often.
const ROUNDS: usize = 3;

impl Bench<'_> {
    pub(super) fn packed(&mut self) -> anyhow::Result<()> {
        let session = self.session;
        let mut controls = select(&["*/control*".to_owned()], session.tree())?;
        controls.retain(|scenario| sharing::needs(&scenario.program).is_some_and(|needs| !needs.nested));
        let vms = session.vms(&self.kernel, &Parts::plain(session.store()), "packed")?;
        let debian = Subject::Debian(session.store().manifest().defaults.userland.clone());
        let criu = tasks(&self.kernel, &debian, &controls);
        let cores = session.workers(usize::MAX);
        let one = self.rate(&vms, &criu, 1)?;
        self.figure("packed programs with criu, one VM", one, "1/s");
        if cores > 1 {
            let all = self.rate(&vms, &criu, cores)?;
            self.figure(format!("packed programs with criu, {cores} VMs"), all, "1/s");
        }
        let reference = tasks(&self.kernel, &Subject::Reference(None), &controls);
        let all = self.rate(&vms, &reference, cores)?;
        self.figure(format!("packed programs with the reference engine, {cores} VMs"), all, "1/s");
        let in_memory: Vec<Scenario> = controls
            .into_iter()
            .filter(|scenario| sharing::needs(&scenario.program).is_some_and(|needs| needs.disks == 0))
            .collect();
        let kernel = crate::host::kernel_name();
        let agents = session.host_agents(&in_memory)?;
        let reference = tasks(&kernel, &Subject::Reference(None), &in_memory);
        let all = self.rate(&agents, &reference, cores)?;
        self.figure(format!("packed programs with the reference engine, {cores} agents on the host"), all, "1/s");
        Ok(())
    }

    /// Programs a second, by this number of workers at once, each with a machine that is warm.
    fn rate(&self, specs: &Machines<'_>, tasks: &[Task], workers: usize) -> anyhow::Result<f64> {
        let expectations = self.session.expectations(&ExpectationsSource::Project)?;
        let pool = self.session.pool(
            Arc::clone(specs),
            Box::new(|trial, criu, judgement| expectations.apply(trial, criu, judgement)),
            Policy { pack: PACK, ..Policy::default() },
        );
        let ready = Barrier::new(workers);
        let rounds = &|number: usize| -> Result<f64, String> {
            let mut worker = Worker::new(number, &pool);
            let mut failed = Vec::new();
            let mut round = |failed: &mut Vec<String>| {
                worker.run_all(tasks.to_vec(), &mut |over| {
                    if over.judgement.verdict.group() != Group::Passed {
                        failed
                            .push(format!("{}: {} {}", over.task.trial, over.judgement.verdict, over.judgement.reason));
                    }
                });
            };
            round(&mut failed);
            ready.wait();
            let start = Instant::now();
            (0..ROUNDS).for_each(|_| round(&mut failed));
            let seconds = start.elapsed().as_secs_f64();
            failed.first().map_or(Ok((ROUNDS * tasks.len()) as f64 / seconds), |first| Err(first.clone()))
        };
        let rates: Vec<Result<f64, String>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..workers).map(|number| scope.spawn(move || rounds(number))).collect();
            threads.into_iter().map(|thread| thread.join().expect("it does not panic")).collect()
        });
        let mut sum = 0.0;
        for rate in rates {
            match rate {
                Ok(rate) => sum += rate,
                Err(why) => bail!("a control did not pass: {why}"),
            }
        }
        Ok(sum)
    }
}

/// The trials that the subject can run; a scenario about other lifecycles has none.
fn tasks(kernel: &str, subject: &Subject, scenarios: &[Scenario]) -> Vec<Task> {
    let mut tasks = Axes::default().tasks(kernel, subject, ReferenceOptions::default(), scenarios);
    let can_run = |task: &Task| {
        task.trial.lifecycle == Lifecycle::DumpRestore && needs::unmet(&task.scenario, &task.trial).is_none()
    };
    tasks.retain(can_run);
    tasks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{ONE_FILE, requiring, scenario};

    #[test]
    fn what_the_subject_cannot_run_is_left_out() {
        let scenarios = [
            scenario("one", ONE_FILE),
            requiring("caller", "requires lifecycle=relative-script", ONE_FILE),
            requiring("newer", "requires kernel=7.3..", ONE_FILE),
        ];
        let names = |kernel: &str| -> Vec<String> {
            let tasks = tasks(kernel, &Subject::Reference(None), &scenarios);
            tasks.into_iter().map(|task| task.trial.scenario).collect()
        };
        assert_eq!(names("6.12"), ["one"]);
        assert_eq!(names("7.3"), ["one", "newer"]);
    }
}
