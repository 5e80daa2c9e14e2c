//! The same trials over and over, through the pool that every run uses: does one end in another way
//! than before, and does what the program takes grow?
//!
//! Figures are taken in the first tenth of the trials, when all machines are up, and in the last
//! tenth. Of each tenth the median counts: processes under test come and go.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::time::Instant;

use clap::ValueEnum;
use serde::Serialize;

use crate::judge::{Trial, Verdict};
use crate::needs;
use crate::plan::Axes;
use crate::process::left::descendants;
use crate::process::memory::memory_of;
use crate::run::{News, Over, Policy, Queue, Task};
use crate::session::{ExpectationsSource, Session};
use crate::subject::{ReferenceOptions, Subject};

/// Each trial is run so often, or more often.
const REPEATED: usize = 4;

/// How often figures are taken in a tenth.
const SAMPLES: usize = 10;

/// What is run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Words that choose scenarios; all of the catalogue where there is none.
    pub scenarios: Vec<String>,
    /// What is tested.
    pub subject: Option<Subject>,
    /// Kernel of the manifest, for VMs.
    pub kernel: Option<String>,
    /// How many trials.
    pub trials: usize,
}

/// How the result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table
    Human,
    /// One JSON document
    Json,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    version: u32,
    subject: String,
    kernel: String,
    trials: usize,
    /// How many different ones.
    different: usize,
    seconds: f64,
    /// By verdict.
    verdicts: BTreeMap<String, usize>,
    flakes: Vec<Flake>,
    figures: Vec<Figure>,
}

/// A trial that did not always end in the same way.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Flake {
    trial: String,
    /// How often each verdict came.
    verdicts: BTreeMap<String, usize>,
    /// The reason of the rarest one.
    reason: String,
}

/// What was taken, in the first and in the last tenth.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Figure {
    name: &'static str,
    unit: &'static str,
    first: f64,
    last: f64,
    /// What the last one may be at most; at least for the rate.
    limit: f64,
    flat: bool,
}

impl Record {
    /// Every trial ended as it did the first time, none in an error, and nothing grew.
    pub fn is_good(&self) -> bool {
        self.flakes.is_empty()
            && !self.verdicts.contains_key(Verdict::Error.to_string().as_str())
            && self.figures.iter().all(|figure| figure.flat)
    }
}

/// Runs the trials.
///
/// # Errors
/// A mistake of the user, or what keeps any trial from running.
pub fn run(session: &Session, settings: &Settings) -> anyhow::Result<Record> {
    let subject = session.subjects(settings.subject.as_slice(), &[])?.remove(0);
    session.check_backend(std::slice::from_ref(&subject))?;
    let axes = Axes { kernel: settings.kernel.iter().cloned().collect(), ..Axes::default() };
    let kernel = session.kernels(&axes)?.remove(0);
    let scenarios = crate::plan::select::select(&settings.scenarios, session.tree())?;
    let mut tasks = axes.tasks(&kernel, &subject, ReferenceOptions::default(), &scenarios);
    tasks.retain(|task| needs::unmet(&task.scenario, &task.trial).is_none());
    let tasks = spread(tasks, (settings.trials / REPEATED).max(1));
    let parts = subject.prepare(session.store())?;
    let machines = session.machines(&kernel, &parts, &scenarios, "soak")?;
    let expectations = session.expectations(&ExpectationsSource::Project)?;
    let known = |trial: &_, criu: Option<&_>, judgement| expectations.apply(trial, criu, judgement);
    let pool = session.pool(machines, Box::new(known), Policy::default());
    let all: VecDeque<Task> = tasks.iter().cycle().take(settings.trials).cloned().collect();
    let (queue, workers) = (Queue::new(all), session.workers(settings.trials));
    let mut soak = Soak::new(settings.trials, workers);
    std::thread::scope(|scope| {
        for news in crate::run::start(scope, &pool, &queue, workers)? {
            if let News::Over(over) = news {
                soak.over(&over);
            }
        }
        io::Result::Ok(())
    })?;
    Ok(soak.record(subject.to_string(), kernel))
}

/// At most so many, from everywhere in the list.
fn spread(tasks: Vec<Task>, count: usize) -> Vec<Task> {
    let all = tasks.len();
    tasks
        .into_iter()
        .enumerate()
        .filter(|(index, _)| (index + 1) * count / all > index * count / all)
        .map(|(_, task)| task)
        .collect()
}

/// What this process and those that it started take.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    own_mib: f64,
    machines_mib: f64,
    descriptors: f64,
    processes: f64,
}

impl Sample {
    fn now() -> Self {
        let own = std::process::id();
        let mib = |pid| memory_of(pid).map_or(0.0, |memory| memory.private_kib as f64 / 1024.0);
        let others = descendants(own.cast_signed());
        Self {
            own_mib: mib(own),
            machines_mib: others.iter().map(|(pid, _)| mib(pid.cast_unsigned())).sum(),
            descriptors: std::fs::read_dir("/proc/self/fd").map_or(0.0, |entries| entries.count() as f64),
            processes: others.len() as f64,
        }
    }
}

/// A tenth of the trials.
#[derive(Default)]
struct Tenth {
    begin: Option<Instant>,
    trials: usize,
    seconds: f64,
    samples: Vec<Sample>,
}

impl Tenth {
    /// One more of its trials is over.
    fn add(&mut self, sampled: bool) {
        match self.begin {
            None => self.begin = Some(Instant::now()),
            Some(begin) => {
                self.trials += 1;
                self.seconds = begin.elapsed().as_secs_f64();
            }
        }
        if sampled {
            self.samples.push(Sample::now());
        }
    }

    /// The median of what was taken.
    fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        let mut all: Vec<f64> = self.samples.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or_default()
    }

    fn rate(&self) -> f64 {
        if self.seconds > 0.0 { self.trials as f64 / self.seconds } else { 0.0 }
    }
}

/// What is known while it runs.
struct Soak {
    planned: usize,
    workers: usize,
    begin: Instant,
    over: usize,
    first: Tenth,
    last: Tenth,
    results: BTreeMap<Trial, BTreeMap<String, (usize, String)>>,
}

impl Soak {
    fn new(planned: usize, workers: usize) -> Self {
        let (first, last) = (Tenth::default(), Tenth::default());
        Self { planned, workers, begin: Instant::now(), over: 0, first, last, results: BTreeMap::new() }
    }

    fn over(&mut self, over: &Over) {
        let (verdict, reason) = (over.judgement.verdict, &over.judgement.reason);
        if verdict == Verdict::NotRun {
            return;
        }
        let of_trial = self.results.entry(over.task.trial.clone()).or_default();
        of_trial.entry(verdict.to_string()).or_insert_with(|| (0, reason.clone())).0 += 1;
        self.over += 1;
        let tenth = (self.planned / 10).max(1);
        let sampled = self.over.is_multiple_of((tenth / SAMPLES).max(1));
        // Before, machines come up; after, workers have no more trials and end theirs.
        if self.over > self.workers && self.over <= tenth + self.workers {
            self.first.add(sampled);
        }
        if self.over + self.workers > self.planned - tenth && self.over + self.workers <= self.planned {
            self.last.add(sampled);
        }
    }

    fn record(self, subject: String, kernel: String) -> Record {
        let mut verdicts = BTreeMap::new();
        let mut flakes = Vec::new();
        let different = self.results.len();
        for (trial, of_trial) in self.results {
            for (verdict, (count, _)) in &of_trial {
                *verdicts.entry(verdict.clone()).or_default() += count;
            }
            if of_trial.len() > 1 {
                let rarest = of_trial.values().min_by_key(|(count, _)| *count);
                let reason = rarest.map(|(_, reason)| reason.clone()).unwrap_or_default();
                let verdicts = of_trial.into_iter().map(|(verdict, (count, _))| (verdict, count)).collect();
                flakes.push(Flake { trial: trial.to_string(), verdicts, reason });
            }
        }
        let (first, last) = (&self.first, &self.last);
        let flat =
            |name, unit, of: fn(&Sample) -> f64, slack| flat(name, unit, (first.median(of), last.median(of)), slack);
        let figures = vec![
            flat("memory of this program", "MiB", |sample| sample.own_mib, 32.0),
            flat("memory of machines", "MiB", |sample| sample.machines_mib, 32.0),
            flat("descriptors", "", |sample| sample.descriptors, 4.0),
            flat("processes", "", |sample| sample.processes, 4.0),
            rate(first.rate(), last.rate()),
        ];
        let seconds = self.begin.elapsed().as_secs_f64();
        Record { version: 1, subject, kernel, trials: self.over, different, seconds, verdicts, flakes, figures }
    }
}

/// What must not grow by more than a tenth, or by more than the slack where that is more.
fn flat(name: &'static str, unit: &'static str, (first, last): (f64, f64), slack: f64) -> Figure {
    let limit = first + slack.max(first / 10.0);
    Figure { name, unit, first, last, limit, flat: last <= limit }
}

/// Trials differ, and so do the seconds of a machine that others use as well: only less than a
/// quarter is a sign.
fn rate(first: f64, last: f64) -> Figure {
    let limit = first / 4.0;
    Figure { name: "rate", unit: "1/s", first, last, limit, flat: last >= limit }
}

/// Writes it.
///
/// # Errors
/// The writer's.
pub fn write(format: Format, record: &Record, out: &mut dyn Write) -> io::Result<()> {
    if format == Format::Json {
        let text = serde_json::to_string_pretty(record).expect("strings and numbers");
        return writeln!(out, "{text}");
    }
    let Record { subject, kernel, trials, different, seconds, verdicts, flakes, figures, .. } = record;
    writeln!(
        out,
        "{trials} trials, {different} different ones, in {seconds:.1} s; subject {subject}, kernel {kernel}"
    )?;
    let verdicts: Vec<String> = verdicts.iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
    writeln!(out, "{}", verdicts.join(", "))?;
    writeln!(out, "{:<27} {:>11} {:>11}", "", "first tenth", "last tenth")?;
    for Figure { name, unit, first, last, limit, flat } in figures {
        let grown = if *flat { String::new() } else { format!("  beyond {limit:.2}") };
        let name = if unit.is_empty() { (*name).to_owned() } else { format!("{name}, {unit}") };
        writeln!(out, "{name:<27} {first:>11.2} {last:>11.2}{grown}")?;
    }
    for Flake { trial, verdicts, reason } in flakes {
        let verdicts: Vec<String> = verdicts.iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
        writeln!(out, "flake: {trial}: {}: {}", verdicts.join(", "), crate::sanitize::brief(reason, 300))?;
    }
    writeln!(out, "result: {} flaky of {different}", flakes.len())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::fixtures::{self, ONE_FILE};
    use crate::judge::Judgement;

    /// A soak of forty trials, of which some end like this.
    fn soaked(verdict_of: impl Fn(usize) -> Verdict) -> Record {
        let mut soak = Soak::new(40, 1);
        for number in 0..40 {
            let task = fixtures::task(["one", "two"][number % 2], ONE_FILE);
            let judgement = Judgement::plain(verdict_of(number), "why\u{1b}");
            soak.over(&Over { judgement, ..Over::not_run(task, "") });
        }
        soak.record("reference".to_owned(), "6.12".to_owned())
    }

    #[test]
    fn a_trial_that_ends_in_two_ways_is_a_flake() {
        let good = soaked(|number| [Verdict::Pass, Verdict::Unsupported][number % 2]);
        assert!(good.flakes.is_empty() && good.trials == 40 && good.different == 2, "{good:?}");
        let flaky = soaked(|number| if number == 20 { Verdict::NotRun } else { Verdict::Pass });
        assert!(flaky.flakes.is_empty(), "what did not run is no result: {flaky:?}");
        let flaky = soaked(|number| if number == 20 { Verdict::Unsupported } else { Verdict::Pass });
        let Record { flakes, .. } = &flaky;
        assert!(!flaky.is_good() && flakes.len() == 1 && flakes[0].trial.starts_with("one/"), "{flakes:?}");
        assert_eq!(flakes[0].verdicts, [("pass".to_owned(), 19), ("unsupported".to_owned(), 1)].into());
        assert!(!soaked(|_| Verdict::Error).is_good(), "an error is never good");
    }

    #[test]
    fn growth_is_named() {
        let figures = vec![flat("descriptors", "", (20.0, 25.0), 4.0), flat("processes", "", (20.0, 24.0), 4.0)];
        let record = Record { figures, ..soaked(|number| [Verdict::Pass, Verdict::Error][number / 39]) };
        assert!(!record.is_good());
        let mut out = Vec::new();
        write(Format::Human, &Record { seconds: 1.0, ..record }, &mut out).expect("memory");
        expect![[r#"
            40 trials, 2 different ones, in 1.0 s; subject reference, kernel 6.12
            1 error, 39 pass
                                        first tenth  last tenth
            descriptors                       20.00       25.00  beyond 24.00
            processes                         20.00       24.00
            flake: two/ns/dump-restore/6.12/debian:trixie: 1 error, 19 pass: why\u{1b}
            result: 1 flaky of 2
        "#]]
        .assert_eq(&String::from_utf8(out).expect("text"));
    }

    #[test]
    fn trials_are_taken_from_everywhere() {
        let tasks: Vec<Task> = (0..10).map(|number| fixtures::task(&number.to_string(), ONE_FILE)).collect();
        let names = |count| {
            let taken = spread(tasks.clone(), count);
            taken.iter().map(|task| task.trial.scenario.clone()).collect::<Vec<_>>()
        };
        assert_eq!((names(3), names(99).len()), (["3", "6", "9"].map(str::to_owned).to_vec(), 10));
    }
}
