//! Generated programs, carried out by the model and by the kernel. Each accepts what the other
//! accepts, and what is seen afterwards is what was predicted.
//!
//! Always the same programs, so that a fast machine finds no more than a slow one.
//! `ZDTM_DETACHED_TEST_SEED` starts at another, `ZDTM_DETACHED_TEST_SECONDS` takes as many as come
//! in that time.

use std::time::{Duration, Instant};

use arbtest::arbitrary::{self, Unstructured};
use harness::oracle::{self, Agreement};
use harness::subject::ReferenceOptions;
use libtest_mimic::Failed;
use protocol::message::Lifecycle;
use scenarios::generate::{self, Limits, Swarm};
use scenarios::model::{Model, Refusal};
use scenarios::program::Line;
use scenarios::{Errno, Program, Step, text};
use testing::rig::Rig;

/// How many are carried out, and how many are tried for a step that is refused.
const PROGRAMS: u64 = 800;
const REFUSED: u64 = 4000;
/// What the model may not know, in per mille of all that is observed.
const UNKNOWN_LIMIT: usize = 25;
/// How many differences are shown.
const SHOWN: usize = 12;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// So many seeds, or those until the time is over.
fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let time = setting("ZDTM_DETACHED_TEST_SECONDS", 0);
    let deadline = Instant::now() + Duration::from_secs(time);
    let first = setting("ZDTM_DETACHED_TEST_SEED", 0);
    (first..).take_while(move |seed| if time == 0 { seed - first < count } else { Instant::now() < deadline })
}

fn failure(differences: &[String]) -> Failed {
    let shown: Vec<_> = differences.iter().take(SHOWN).map(String::as_str).collect();
    format!("{} programs differ:\n{}", differences.len(), shown.join("\n\n")).into()
}

pub(crate) fn generated_programs_are_as_predicted() -> Result<(), Failed> {
    let mut rig = Rig::new(true)?;
    let (mut sum, mut wrong, mut ran) = (Agreement::default(), Vec::new(), 0);
    for seed in seeds(PROGRAMS) {
        // Disks cost time: one program in four has them.
        let limits = Limits { disks: seed % 4 == 0, ..Limits::default() };
        let program = generate::program(&mut Unstructured::new(&generate::noise(seed)), &limits)?;
        let printed = text::print_program(&program);
        let model = Model::run(&program).map_err(|(index, refusal)| format!("step {index}: {refusal}\n{printed}"))?;
        let report = rig.run(&program, Lifecycle::LeaveRunning, ReferenceOptions::default())?;
        // devtmpfs and cgroup2 are the whole machine's, which a program has in a VM only.
        if report.setup_failure.as_ref().is_some_and(|failure| failure.missing.is_some()) {
            continue;
        }
        ran += 1;
        let Some(before) = report.before else {
            wrong.push(format!("seed {seed}: {:?}\n{printed}", report.setup_failure));
            continue;
        };
        let agreement = oracle::compare(&model.predict(), &before);
        sum.known += agreement.known;
        sum.unknown += agreement.unknown;
        let asserted = report.failed_assertions.iter().map(|failed| format!("assert, line {}", failed.line));
        let differences: Vec<String> = agreement.differences.into_iter().chain(asserted).take(8).collect();
        if !differences.is_empty() {
            wrong.push(format!("seed {seed}: {}\n{printed}", differences.join("\n  ")));
        }
    }
    if !wrong.is_empty() {
        return Err(failure(&wrong));
    }
    println!("{ran} programs, {} predictions, {} unknown", sum.known, sum.unknown);
    if ran < 20 || sum.unknown * 1000 > sum.known * UNKNOWN_LIMIT {
        return Err(format!("{ran} programs, {} predictions, {} unknown", sum.known, sum.unknown).into());
    }
    Ok(())
}

/// A program, and a step that the model refuses after it, with the error.
fn refused(u: &mut Unstructured<'_>, limits: &Limits) -> arbitrary::Result<Option<(Program, Errno)>> {
    let mut program = generate::repair(&generate::program(u, limits)?);
    let other = generate::program_of(u, limits, &Swarm::all(limits))?;
    let mut model = Model::run(&program).expect("a repaired program lives");
    let mut checker = scenarios::check::Checker::new();
    for line in &program.steps {
        checker.step(&line.step);
    }
    for line in &other.steps {
        if matches!(line.step, Step::Assert { .. }) || !checker.clone().step(&line.step).is_empty() {
            continue;
        }
        let number = program.steps.len() + 1;
        let mut next = model.clone();
        match next.step(&line.step) {
            Ok(()) => {
                checker.step(&line.step);
                model = next;
                program.steps.push(Line { number, step: line.step.clone() });
            }
            Err(Refusal::Errno(errno)) => {
                program.steps.push(Line { number, step: line.step.clone() });
                return Ok(Some((program, errno)));
            }
            Err(_) => {}
        }
    }
    Ok(None)
}

pub(crate) fn what_the_model_refuses_the_kernel_refuses() -> Result<(), Failed> {
    let mut rig = Rig::new(true)?;
    let (mut wrong, mut errnos, mut not_asked) = (Vec::new(), std::collections::BTreeMap::new(), 0);
    for seed in seeds(REFUSED) {
        let limits = Limits { disks: seed % 4 == 0, assertions: false, steps: 12, ..Limits::default() };
        let Some((program, errno)) = refused(&mut Unstructured::new(&generate::noise(!seed)), &limits)? else {
            continue;
        };
        let report = rig.run(&program, Lifecycle::LeaveRunning, ReferenceOptions::default())?;
        let failure = report.setup_failure.as_ref();
        // The guard of the sandbox was first: it looks at what is mounted on a name, which rmdir(2)
        // does not.
        if failure.is_some_and(|failure| failure.missing.is_some()) {
            not_asked += 1;
            continue;
        }
        *errnos.entry(errno).or_insert(0) += 1;
        if !failure.is_some_and(|failure| failure.line == program.steps.len() && failure.errno == Some(errno)) {
            wrong.push(format!("seed {seed}: {errno}, but {failure:?}\n{}", text::print_program(&program)));
        }
    }
    if !wrong.is_empty() {
        return Err(failure(&wrong));
    }
    println!("{errnos:?}, and {not_asked} of which the kernel was not asked");
    if not_asked > 3 {
        return Err(format!("the kernel was not asked of {not_asked} programs").into());
    }
    if errnos.len() < 4 { Err(format!("only {errnos:?}").into()) } else { Ok(()) }
}
