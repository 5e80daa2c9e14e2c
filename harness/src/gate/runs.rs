//! Two saved runs, compared as a gate compares, without running anything.
//!
//! What each run has only one of, its subject or its kernel, is what they are compared by; what one
//! has several of is part of a trial's name, and compared each with its like.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use scenarios::capability::Profile;

use super::render::add;
use super::rounds::{End, Pair};
use crate::compare::{Change, RunOutcome, compare};
use crate::judge::{Trial, Verdict};
use crate::report::Finished;
use crate::report::comparison::Comparison;
use crate::report::merge::not_as_locked;
use crate::report::record::{RunRecord, TrialRecord, UnknownVerdict};

/// The reports of one side, and what they are called.
pub struct SavedSide {
    /// What it is called.
    pub name: String,
    /// Its reports.
    pub runs: Vec<RunRecord>,
}

/// What a side says of one trial.
struct Results {
    trial: Trial,
    outcomes: Vec<RunOutcome>,
    /// The programs that ran; nothing for those of a report that does not tell.
    programs: BTreeSet<Option<String>>,
    artifacts: Option<PathBuf>,
    profile: Profile,
}

/// What the trials of both sides have in common in their names.
#[derive(Clone, Copy)]
struct Naming {
    kernel: bool,
    subject: bool,
}

/// Compares; several reports of a side are several runs of their trials.
///
/// # Errors
/// A record has an unknown verdict.
pub fn compare_runs(base: SavedSide, candidate: SavedSide) -> Result<Comparison, UnknownVerdict> {
    let several = |of: fn(&TrialRecord) -> &str| [&base, &candidate].into_iter().any(|side| words(side, of).len() > 1);
    let naming = Naming { kernel: several(|trial| &trial.kernel), subject: several(|trial| &trial.subject) };
    let same_kernel = words(&base, |trial| &trial.kernel) == words(&candidate, |trial| &trial.kernel);
    let called = |side: &SavedSide| {
        let subject = words(side, |trial| &trial.subject).into_iter().collect::<Vec<_>>().join(", ");
        let kernel = words(side, |trial| &trial.kernel).into_iter().collect::<Vec<_>>().join(", ");
        let on = if same_kernel { String::new() } else { format!(" on {kernel}") };
        format!("{subject}{on} ({})", side.name)
    };
    let seconds = candidate.runs.iter().map(|run| run.summary.seconds).sum();
    let mut comparison = Comparison::new(called(&base), called(&candidate), seconds);
    comparison.why_left_out = "not run by both";
    comparison.not_as_locked =
        not_as_locked([&base, &candidate].into_iter().flat_map(|side| &side.runs).map(|run| &run.not_as_locked[..]));
    // The kernel stays in a name where it is the same: names are those of a gate.
    let naming = Naming { kernel: naming.kernel || same_kernel, ..naming };
    let (_, mut before) = results(base, naming)?;
    let (order, mut after) = results(candidate, naming)?;
    let mut pairs = Vec::new();
    for id in order {
        let Some(new) = after.remove(&id) else { continue };
        let Some(old) = before.remove(&id) else {
            comparison.left_out.push(id);
            continue;
        };
        let programs: BTreeSet<_> = old.programs.union(&new.programs).collect();
        let same_program = programs.len() == 1 && !programs.contains(&None);
        let pair = Pair::of_runs(id, new.trial, old.outcomes, new.outcomes, new.artifacts, new.profile);
        let end = match compare(&pair.base, &pair.candidate) {
            _ if !same_program => End::Undecided("not the same program in both, as far as they tell".to_owned()),
            Change::Undecided => End::Undecided(pair.describe()),
            change => End::Change(change),
        };
        add(&mut comparison, &pair, end, None);
        pairs.push(pair);
    }
    comparison.ladder = super::ladder::of(pairs.iter());
    let mut gone: Vec<String> = before.into_keys().collect();
    gone.sort();
    comparison.left_out.extend(gone);
    Ok(comparison)
}

/// The different words of a side's trials.
fn words(side: &SavedSide, of: fn(&TrialRecord) -> &str) -> BTreeSet<String> {
    side.runs.iter().flat_map(|run| &run.trials).map(|record| of(record).to_owned()).collect()
}

/// What a side's reports say, by name, and the names in the order in which they come up. What was
/// never begun is not there.
fn results(side: SavedSide, naming: Naming) -> Result<(Vec<String>, HashMap<String, Results>), UnknownVerdict> {
    let (mut order, mut results) = (Vec::new(), HashMap::new());
    for record in side.runs.into_iter().flat_map(|run| run.trials) {
        let Finished { trial, judgement, digest, artifacts, profile, .. } = Finished::try_from(record)?;
        if judgement.verdict == Verdict::NotRun {
            continue;
        }
        let id = naming.of(&trial);
        let of_trial = results.entry(id.clone()).or_insert_with(|| {
            order.push(id);
            Results { trial, outcomes: Vec::new(), programs: BTreeSet::new(), artifacts: None, profile }
        });
        of_trial.outcomes.push(RunOutcome::of(judgement));
        of_trial.programs.insert(digest);
        of_trial.artifacts = artifacts.or(of_trial.artifacts.take());
    }
    Ok((order, results))
}

impl Naming {
    fn of(self, trial: &Trial) -> String {
        let mut id = format!("{}/{}/{}", trial.scenario, trial.flavor.word(), trial.lifecycle.word());
        for (wanted, word) in [(self.kernel, &trial.kernel), (self.subject, &trial.subject)] {
            if wanted {
                id.push('/');
                id.push_str(word);
            }
        }
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{finished, run_of, trial};
    use crate::judge::{FailureKind, Judgement};
    use crate::report::terminal::{Detail, Look};

    const PASS: Verdict = Verdict::Pass;
    const KNOWN: Verdict = Verdict::Xfail(FailureKind::DumpFailed);
    const FAIL: Verdict = Verdict::Fail(FailureKind::WrongPath);

    /// A report: scenario, kernel, subject, verdict of each trial; all ran the same program.
    fn run(trials: &[(&str, &str, &str, Verdict)]) -> RunRecord {
        run_of(
            2.5,
            trials.iter().map(|&(scenario, kernel, subject, verdict)| Finished {
                trial: Trial { kernel: kernel.into(), subject: subject.into(), ..trial(scenario) },
                digest: Some("d".into()),
                ..finished(scenario, Judgement::plain(verdict, "why"))
            }),
        )
    }

    fn compared(base: Vec<RunRecord>, candidate: Vec<RunRecord>) -> Comparison {
        let side = |name: &str, runs| SavedSide { name: name.into(), runs };
        compare_runs(side("old.json", base), side("new.json", candidate)).unwrap()
    }

    fn text(comparison: &Comparison) -> String {
        comparison.text(Look { width: 80, colour: false, bar: false, detail: Detail::Failures })
    }

    #[test]
    fn two_runs_are_reported_in_the_words_of_a_gate() {
        let old = run(&[
            ("a/1", "6.12", "debian:trixie", PASS),
            ("a/2", "6.12", "debian:trixie", KNOWN),
            ("a/3", "6.12", "debian:trixie", KNOWN),
            ("a/4", "6.12", "debian:trixie", KNOWN),
            ("a/5", "6.12", "debian:trixie", PASS),
            ("a/6", "6.12", "debian:trixie", PASS),
            ("a/gone", "6.12", "debian:trixie", PASS),
            ("a/8", "6.12", "debian:trixie", Verdict::Unsupported),
        ]);
        let new = run(&[
            ("a/1", "6.12", "src:criu", FAIL),
            ("a/2", "6.12", "src:criu", Verdict::Xpass),
            ("a/3", "6.12", "src:criu", FAIL),
            ("a/4", "6.12", "src:criu", Verdict::Fail(FailureKind::DumpFailed)),
            ("a/5", "6.12", "src:criu", Verdict::Error),
            ("a/6", "6.12", "src:criu", Verdict::NotRun),
            ("a/new", "6.12", "src:criu", PASS),
            ("a/8", "6.12", "src:criu", Verdict::Unsupported),
        ]);
        let comparison = compared(vec![old], vec![new]);
        expect_test::expect![[r#"
            base       debian:trixie (old.json)
            candidate  src:criu (new.json)

            worse: 2
              a/1/ns/dump-restore/6.12
                base       pass: why
                candidate  fail(wrong-path): why
              a/3/ns/dump-restore/6.12
                base       fail(dump-failed): why
                candidate  fail(wrong-path): why

            better: 1
              a/2/ns/dump-restore/6.12
                base       fail(dump-failed): why
                candidate  pass: why

            undecided: 1
              a/5/ns/dump-restore/6.12
                base passed in 1 of 1 runs, candidate passed in 0 of 1; error: why
                base       pass: why
                candidate  error: why

            left out, not run by both: 3
              a/new/ns/dump-restore/6.12
              a/6/ns/dump-restore/6.12
              a/gone/ns/dump-restore/6.12

            1 the same, 1 unsupported, 3 left out, in 2.5 s
            gate: 2 worse, 1 better, 0 differently bad, 0 flaky, 1 undecided
        "#]]
        .assert_eq(&text(&comparison));
        assert_eq!(comparison.exit_status(false), 1);
    }

    #[test]
    fn several_runs_of_a_side_show_what_comes_and_goes() {
        let of = |verdict| run(&[("a/1", "6.12", "x:y", verdict)]);
        let comparison = compared(vec![of(PASS), of(FAIL)], vec![of(FAIL)]);
        assert_eq!((comparison.worse.len(), comparison.undecided.len()), (0, 1));
        assert_eq!(comparison.exit_status(false), 3);
        let strict = compared(vec![of(Verdict::Fail(FailureKind::WrongFile))], vec![of(FAIL)]);
        assert_eq!((strict.exit_status(false), strict.exit_status(true)), (0, 1));
        assert_eq!(compared(vec![of(PASS)], vec![run(&[])]).exit_status(false), 4);
    }

    #[test]
    fn what_a_side_has_one_of_may_be_another_one_and_what_it_has_several_of_is_held_against_its_like() {
        let one = |kernel, subject, verdict| run(&[("a/1", kernel, subject, verdict)]);
        let kernels = compared(vec![one("6.12", "s", PASS)], vec![one("7.3", "s", FAIL)]);
        assert_eq!(kernels.worse[0].id, "a/1/ns/dump-restore");
        assert_eq!(kernels.base, "s on 6.12 (old.json)");
        let two = |verdict| run(&[("a/1", "6.12", "s", PASS), ("a/1", "6.12", "t", verdict)]);
        let subjects = compared(vec![two(PASS)], vec![two(FAIL)]);
        assert_eq!(subjects.worse[0].id, "a/1/ns/dump-restore/6.12/t");
        assert_eq!(subjects.same, 1);
    }

    #[test]
    fn images_of_either_side_that_are_not_as_locked_are_named() {
        let of = |images: &[&str]| RunRecord {
            not_as_locked: images.iter().map(|&image| image.to_owned()).collect(),
            ..run(&[("a/1", "6.12", "s", PASS)])
        };
        let comparison = compared(vec![of(&["qemu: b"]), of(&[])], vec![of(&["kernel 6.12: a", "qemu: b"])]);
        assert_eq!(comparison.not_as_locked, ["kernel 6.12: a", "qemu: b"]);
    }

    #[test]
    fn another_program_is_not_compared() {
        let mut new = run(&[("a/1", "6.12", "s", FAIL)]);
        new.trials[0].digest = Some("e".into());
        let comparison = compared(vec![run(&[("a/1", "6.12", "s", PASS)])], vec![new]);
        let why = comparison.undecided[0].why.as_deref();
        assert_eq!(why, Some("not the same program in both, as far as they tell"));
    }

    #[test]
    fn the_page_has_every_list_and_nothing_from_elsewhere() {
        let mut new = run(&[("a/1", "6.12", "s", FAIL), ("a/2", "6.12", "s", PASS)]);
        new.trials[0].reason = "<script>alert(1)</script>".into();
        let old = run(&[("a/1", "6.12", "s", PASS), ("a/2", "6.12", "s", KNOWN)]);
        let page = compared(vec![old], vec![new]).in_format("html").unwrap();
        assert!(page.contains("gate: 1 worse, 1 better, 0 differently bad, 0 flaky, 0 undecided"));
        assert!(page.find("worse: 1").unwrap() < page.find("better: 1").unwrap());
        assert!(page.contains("fail(wrong-path)") && page.contains("&lt;script&gt;alert(1)"));
        assert_eq!((page.matches("<article").count(), page.matches("<script>").count()), (2, 1));
        assert!(!page.contains("http"));
    }
}
