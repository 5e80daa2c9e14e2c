//! Scenarios, trials and results for unit tests. A test sets what it is about, and takes the rest
//! from here: `Trial { kernel: "6.1".into(), ..trial("a/b") }`.

use std::path::Path;

use protocol::message::{Engine, Flavor, Lifecycle};
use scenarios::capability::{Profile, profile};
use scenarios::{Scenario, text};

use crate::judge::{Judgement, Tally, Trial};
use crate::report::Finished;
use crate::report::record::{RunRecord, Summary, TrialRecord};
use crate::run::Task;

/// A program that leaves one open file.
pub(crate) const ONE_FILE: &str = "write f \"x\"\nfd0 = open f rdwr\nassert fd0 link \"/f\"\n";

/// Of a family that its name gives.
pub(crate) fn trial(scenario: &str) -> Trial {
    Trial {
        scenario: scenario.to_owned(),
        family: scenario.split_once('/').map_or("", |(family, _)| family).to_owned(),
        flavor: Flavor::Ns,
        lifecycle: Lifecycle::DumpRestore,
        kernel: "6.12".to_owned(),
        subject: "debian:trixie".to_owned(),
    }
}

/// Of its steps: what they leave is restored.
pub(crate) fn scenario(name: &str, steps: &str) -> Scenario {
    requiring(name, "", steps)
}

/// With lines of requirements.
pub(crate) fn requiring(name: &str, requirements: &str, steps: &str) -> Scenario {
    let text = format!("# A scenario.\n{requirements}\noutcome restored\n\n{steps}");
    let read = text::scenarios(text.as_bytes(), name, Path::new("x.scn"));
    read.unwrap_or_else(|errors| panic!("{name}: {}", errors[0])).remove(0)
}

pub(crate) fn task(name: &str, steps: &str) -> Task {
    Task { trial: trial(name), scenario: scenario(name, steps), engine: Engine::Criu { assisted: false } }
}

/// A trial that is over, of a program without anything to restore.
pub(crate) fn finished(scenario: &str, judgement: Judgement) -> Finished {
    Finished {
        trial: trial(scenario),
        file: None,
        judgement,
        seconds: 0.4211,
        artifacts: None,
        digest: None,
        criu: None,
        program: None,
        profile: Profile::default(),
    }
}

/// A trial that is over, of a program with these steps.
pub(crate) fn finished_of(name: &str, steps: &str, judgement: Judgement) -> Finished {
    let scenario = scenario(name, steps);
    let program = Some(text::print_scenario(&scenario));
    Finished { program, profile: profile(&scenario.program), ..finished(name, judgement) }
}

/// The record of a run.
pub(crate) fn run_of(seconds: f64, trials: impl IntoIterator<Item = Finished>) -> RunRecord {
    let mut tally = Tally::default();
    let record = |finished: Finished| {
        tally.add(finished.judgement.verdict);
        TrialRecord::from(&finished)
    };
    let trials = trials.into_iter().map(record).collect();
    RunRecord::new(Summary::new(&tally, seconds), trials)
}
