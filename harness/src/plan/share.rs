//! Which of the planned trials a run takes: a shard of them, and what an earlier run left.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::judge::Verdict;
use crate::report::Finished;
use crate::report::merge::read;
use crate::run::Task;
use crate::usage::Usage;

/// Which of the trials are run; all where nothing is said.
#[derive(Clone, Debug, Default)]
pub struct WantedShare {
    /// Which part.
    pub shard: Option<Shard>,
    /// Report whose durations balance the parts.
    pub durations: Option<PathBuf>,
    /// Report of a run that was broken off.
    pub resume: Option<PathBuf>,
}

/// One of several parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which, from 1.
    number: usize,
    /// How many there are.
    of: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((number, of)) if 1 <= number && number <= of => Ok(Self { number, of }),
            _ => Err("two numbers like 2/4: the second of four".to_owned()),
        }
    }
}

/// Tasks that run, and results of an earlier run.
#[derive(Debug)]
pub struct Share {
    /// What is to be run.
    pub tasks: Vec<Task>,
    /// Results of an earlier run, reported as they were.
    pub finished: Vec<Finished>,
}

impl WantedShare {
    /// Whether every trial of the plan is run now.
    pub fn is_all(&self) -> bool {
        self.shard.is_none() && self.resume.is_none()
    }

    /// The share of these tasks.
    ///
    /// # Errors
    /// [`Usage`]: a report that cannot be read.
    pub fn of(&self, tasks: Vec<Task>) -> Result<Share, Usage> {
        let tasks = match self.shard {
            None => tasks,
            Some(shard) => shard.of(tasks, &self.durations()?),
        };
        let mut known = self.resume.as_deref().map(results).transpose()?.unwrap_or_default();
        let mut share = Share { tasks: Vec::new(), finished: Vec::new() };
        for task in tasks {
            match known.remove(&task.trial.to_string()) {
                Some(finished) => share.finished.push(finished),
                None => share.tasks.push(task),
            }
        }
        Ok(share)
    }

    /// Seconds by trial.
    fn durations(&self) -> Result<HashMap<String, f64>, Usage> {
        let Some(file) = &self.durations else { return Ok(HashMap::new()) };
        let run = read(file).map_err(|error| Usage(format!("--durations: {error}")))?;
        Ok(run.trials.into_iter().map(|trial| (trial.id, trial.seconds)).collect())
    }
}

impl Shard {
    /// The part of the tasks, in their order. The longest first, each goes to the part that has
    /// least so far, the first of several; so all parts take about the same time, and every machine
    /// finds the same ones.
    fn of(self, tasks: Vec<Task>, durations: &HashMap<String, f64>) -> Vec<Task> {
        let usual = match durations.len() {
            0 => 1.0,
            known => durations.values().sum::<f64>() / known as f64,
        };
        let mut order: Vec<(String, f64)> = tasks
            .iter()
            .map(|task| task.trial.to_string())
            .map(|id| (id.clone(), durations.get(&id).copied().unwrap_or(usual)))
            .collect();
        order.sort_by(|(id, seconds), (other, more)| more.total_cmp(seconds).then_with(|| id.cmp(other)));
        let mut loads = vec![0.0; self.of];
        let mut mine = std::collections::HashSet::new();
        for (id, seconds) in order {
            let least = (0..self.of).min_by(|one, other| f64::total_cmp(&loads[*one], &loads[*other]));
            let least = least.expect("there is a part: the second number is not 0");
            loads[least] += seconds;
            if least + 1 == self.number {
                mine.insert(id);
            }
        }
        tasks.into_iter().filter(|task| mine.contains(&task.trial.to_string())).collect()
    }
}

/// What an earlier run found out. An error says nothing, and neither does what was not run.
fn results(file: &Path) -> Result<HashMap<String, Finished>, Usage> {
    let wrong = |error: &dyn std::fmt::Display| Usage(format!("--resume: {error}"));
    let run = read(file).map_err(|error| wrong(&error))?;
    let mut results = HashMap::new();
    for trial in run.trials {
        let finished = Finished::try_from(trial).map_err(|error| wrong(&error))?;
        if !matches!(finished.judgement.verdict, Verdict::Error | Verdict::NotRun) {
            results.insert(finished.trial.to_string(), finished);
        }
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{self, ONE_FILE, finished};
    use crate::judge::{FailureKind, Judgement};

    fn task(number: usize) -> Task {
        fixtures::task(&format!("a/{number}"), ONE_FILE)
    }

    fn names(tasks: &[Task]) -> Vec<String> {
        tasks.iter().map(|task| task.trial.scenario.clone()).collect()
    }

    fn part(number: usize, of: usize, count: usize, durations: &HashMap<String, f64>) -> Vec<String> {
        names(&Shard { number, of }.of((0..count).map(task).collect(), durations))
    }

    #[test]
    fn every_trial_is_in_exactly_one_part() {
        for (of, count) in [(1, 5), (3, 10), (4, 3), (7, 100)] {
            let none = HashMap::new();
            let mut all: Vec<String> = (1..=of).flat_map(|number| part(number, of, count, &none)).collect();
            let sizes: Vec<usize> = (1..=of).map(|number| part(number, of, count, &none).len()).collect();
            assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
            all.sort();
            let mut expected = names(&(0..count).map(task).collect::<Vec<_>>());
            expected.sort();
            assert_eq!(all, expected);
        }
    }

    #[test]
    fn durations_balance_the_parts() {
        let durations: HashMap<String, f64> =
            (0..9).map(|number| (task(number).trial.to_string(), if number == 4 { 8.0 } else { 1.0 })).collect();
        assert_eq!(part(1, 2, 9, &durations), ["a/4"]);
        assert_eq!(part(2, 2, 9, &durations).len(), 8);
    }

    #[test]
    fn what_was_found_out_is_not_run_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("r.json");
        let verdicts = [Verdict::Pass, Verdict::Error, Verdict::NotRun, Verdict::Xfail(FailureKind::Hang)];
        let trials = verdicts.into_iter().enumerate();
        let trials = trials.map(|(number, verdict)| finished(&format!("a/{number}"), Judgement::plain(verdict, "why")));
        let run = fixtures::run_of(4.0, trials);
        std::fs::write(&file, serde_json::to_string(&run).unwrap()).unwrap();
        let args = WantedShare { resume: Some(file), ..WantedShare::default() };
        let share = args.of((0..5).map(task).collect()).unwrap();
        assert_eq!(names(&share.tasks), ["a/1", "a/2", "a/4"]);
        let verdicts: Vec<_> = share.finished.iter().map(|finished| finished.judgement.verdict).collect();
        assert_eq!(verdicts, [Verdict::Pass, Verdict::Xfail(FailureKind::Hang)]);
    }

    #[test]
    fn what_is_no_part_is_refused() {
        for wrong in ["", "1", "0/3", "4/3", "1/0", "a/b", "1/2/3", "-1/2"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
        assert_eq!("3/3".parse::<Shard>(), Ok(Shard { number: 3, of: 3 }));
        let args = WantedShare { resume: Some("/nonexistent.json".into()), ..WantedShare::default() };
        let error = args.of(Vec::new()).unwrap_err().to_string();
        assert!(error.starts_with("--resume: cannot read the results in /nonexistent.json: No such file"), "{error}");
    }
}
