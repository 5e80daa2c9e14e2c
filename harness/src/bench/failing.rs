//! What a failure costs: the same trials with an engine that restores all of them, and with one
//! that fails each restore.
//!
//! Both are the reference engine: one of them cannot open directories on detached mounts, and each
//! of these scenarios needs that. The first failure of the cause is run again in a new machine, as
//! in every run.

use std::time::Instant;

use anyhow::{bail, ensure};
use protocol::Fault;
use protocol::lack::Lack;
use scenarios::Scenario;
use scenarios::capability::{Capability, Word, profile};

use super::Bench;
use crate::judge::{FailureKind, Verdict};
use crate::plan::Axes;
use crate::run::{Confirm, Policy, Task, Worker, confirm, sharing};
use crate::subject::{Parts, ReferenceOptions, Subject};

/// So many scenarios of the catalogue take part.
const SCENARIOS: usize = 40;

impl Bench<'_> {
    pub(super) fn failing(&mut self) -> anyhow::Result<()> {
        let mut chosen = self.session.catalogue()?;
        chosen.retain(takes_part);
        chosen.truncate(SCENARIOS);
        ensure!(chosen.len() > 1, "the catalogue has no scenarios with directories on detached mounts");
        let directory = Fault::Lacks(Lack::Directory);
        let passing = self.one_by_one(&Subject::Reference(None), &chosen, Verdict::Pass)?;
        let lacking = Subject::Reference(Some(directory));
        let failing = self.one_by_one(&lacking, &chosen, Verdict::Fail(FailureKind::RestoreFailed))?;
        let name = "trials that pass, one VM";
        self.figure(name, passing, "1/s");
        self.figure("the same trials, each restore fails", failing, "1/s");
        self.ratio("the same trials, each restore fails, ratio", failing / passing, name);
        Ok(())
    }

    /// Trials a second in one VM that is warm; each must come to this.
    fn one_by_one(&self, subject: &Subject, scenarios: &[Scenario], verdict: Verdict) -> anyhow::Result<f64> {
        let machines = self.session.vms(&self.kernel, &Parts::plain(self.session.store()), "failing")?;
        let policy = Policy { retries: 1, confirm: Confirm::from(confirm::Wanted::Cause), ..Policy::default() };
        let pool = self.session.pool(machines, Box::new(|_, _, judgement| judgement), policy);
        let mut worker = Worker::new(0, &pool);
        let tasks = |subject: &Subject| -> Vec<Task> {
            Axes::default().tasks(&self.kernel, subject, ReferenceOptions::default(), scenarios)
        };
        let warm_up = tasks(&Subject::Reference(None)).into_iter().take(1).collect();
        worker.run_all(warm_up, &mut |_| {});
        let mut other = None;
        let all = tasks(subject);
        let count = all.len();
        let start = Instant::now();
        worker.run_all(all, &mut |over| {
            if over.judgement.verdict != verdict {
                other.get_or_insert(format!(
                    "{}: {} {}",
                    over.task.trial, over.judgement.verdict, over.judgement.reason
                ));
            }
        });
        let seconds = start.elapsed().as_secs_f64();
        match other {
            Some(other) => bail!("a trial did not come to {verdict}: {other}"),
            None => Ok(count as f64 / seconds),
        }
    }
}

/// Whether a scenario needs a directory on a detached mount, and nothing that not every machine
/// has.
fn takes_part(scenario: &Scenario) -> bool {
    let needs = profile(&scenario.program);
    let has = |capability| needs.has(Word::Capability(capability));
    let in_memory = sharing::needs(&scenario.program).is_some_and(|needs| needs.disks == 0);
    in_memory && needs.is_detached() && has(Capability::Directory) && !has(Capability::Refusal)
}
