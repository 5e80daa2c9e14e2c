//! What two subjects' runs of one trial come to: the same, worse, better, differently bad, or nothing that could be said.
//!
//! Expectations play no part: what a candidate repairs shall be seen as repaired, also where the failure is known.

use std::collections::BTreeSet;

use regex_lite::Regex;
use serde::Serialize;

use crate::judge::{Difference, FailureKind, Judgement, Verdict};

/// What one run came to.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Pass,
    Fail(FailureKind),
    Unsupported,
    /// Nothing is known about the subject: an error, a machine that died once, a flake that was recorded.
    Unknown,
}

/// One run of a trial.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) outcome: Outcome,
    /// What differed, in a form that is the same in each run.
    pub(super) signs: BTreeSet<String>,
    pub(super) judgement: Judgement,
}

/// What became of a trial from base to candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Change {
    /// It passed and fails.
    Worse,
    /// It failed and passes.
    Better,
    /// It fails with both, in another way.
    Different,
    /// Runs of one side do not agree with each other.
    Undecided,
    /// Neither can run it.
    Unsupported,
    Same,
}

impl Seen {
    /// A run's judgement, expectations not applied or taken back.
    pub(super) fn of(judgement: Judgement) -> Self {
        let outcome = match judgement.verdict {
            Verdict::Pass | Verdict::Xpass | Verdict::Improved => Outcome::Pass,
            Verdict::Fail(kind) | Verdict::Xfail(kind) | Verdict::ChangedFail(kind) => Outcome::Fail(kind),
            Verdict::Unsupported => Outcome::Unsupported,
            Verdict::Error | Verdict::NotRun | Verdict::Flaky { .. } => Outcome::Unknown,
        };
        Self { outcome, signs: judgement.differences.iter().map(sign).collect(), judgement }
    }

    fn passed(&self) -> bool {
        matches!(self.outcome, Outcome::Pass)
    }

    fn kind(&self) -> Option<FailureKind> {
        match self.outcome {
            Outcome::Fail(kind) => Some(kind),
            _ => None,
        }
    }

    pub(super) fn is_unknown(&self) -> bool {
        matches!(self.outcome, Outcome::Unknown)
    }
}

/// A difference without what is another one in each run: times, and the trial's number in paths.
pub(super) fn sign(difference: &Difference) -> String {
    let Difference { comparison, view, object, what, expected, got, .. } = difference;
    let values = match comparison.ends_with("-times") {
        true => String::new(),
        false => format!("{expected} -> {got}"),
    };
    let text = format!("{comparison}|{view}|{}|{what}|{values}", object.as_deref().unwrap_or_default());
    let top = Regex::new("/t/[0-9]+").expect("a constant that is tested");
    top.replace_all(&text, "/t/N").into_owned()
}

/// Compares the runs of both sides; runs that tell nothing do not count, and where no others are left nothing is
/// decided.
pub(super) fn compare(base: &[Seen], candidate: &[Seen]) -> Change {
    let known = |seen: &[Seen]| seen.iter().filter(|one| !one.is_unknown()).cloned().collect::<Vec<_>>();
    let (base, candidate) = (known(base), known(candidate));
    let unsupported = |seen: &[Seen]| seen.iter().all(|one| matches!(one.outcome, Outcome::Unsupported));
    let passed = |seen: &[Seen]| seen.iter().all(Seen::passed);
    let failed = |seen: &[Seen]| seen.iter().all(|one| one.kind().is_some());
    match () {
        () if base.is_empty() || candidate.is_empty() => Change::Undecided,
        () if unsupported(&base) && unsupported(&candidate) => Change::Unsupported,
        () if passed(&base) && passed(&candidate) => Change::Same,
        () if passed(&base) && failed(&candidate) => Change::Worse,
        () if failed(&base) && passed(&candidate) => Change::Better,
        () if failed(&base) && failed(&candidate) => match differ(&base, &candidate) {
            true => Change::Different,
            false => Change::Same,
        },
        () => Change::Undecided,
    }
}

/// Whether two failures are not the same: something differs with one side in every run and with the other in none; or,
/// where nothing was compared, the kinds have nothing in common.
fn differ(base: &[Seen], candidate: &[Seen]) -> bool {
    let kinds = |seen: &[Seen]| seen.iter().filter_map(Seen::kind).collect::<BTreeSet<_>>();
    let nothing_seen = base.iter().chain(candidate).all(|one| one.signs.is_empty());
    match nothing_seen {
        true => kinds(base).is_disjoint(&kinds(candidate)),
        false => !always(candidate).is_subset(&ever(base)) || !always(base).is_subset(&ever(candidate)),
    }
}

/// What differed in any of the runs.
pub(super) fn ever(seen: &[Seen]) -> BTreeSet<String> {
    seen.iter().flat_map(|one| one.signs.iter().cloned()).collect()
}

/// What differed in all of them.
fn always(seen: &[Seen]) -> BTreeSet<String> {
    let mut runs = seen.iter().map(|one| one.signs.clone());
    let first = runs.next().unwrap_or_default();
    runs.fold(first, |common, next| common.intersection(&next).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Side;

    fn difference(got: &str) -> Difference {
        Difference {
            comparison: "link".into(),
            kind: FailureKind::WrongPath,
            view: Side::Inside,
            object: Some("fd0".into()),
            what: "link".into(),
            expected: "/t/1/f".into(),
            got: got.into(),
            known: None,
        }
    }

    fn seen(verdict: Verdict, differences: &[&str]) -> Seen {
        let differences = differences.iter().map(|got| difference(got)).collect();
        Seen::of(Judgement { differences, ..Judgement::plain(verdict, "") })
    }

    const DUMP: Verdict = Verdict::Fail(FailureKind::DumpFailed);
    const PATH: Verdict = Verdict::Fail(FailureKind::WrongPath);

    fn pass() -> Seen {
        seen(Verdict::Pass, &[])
    }

    #[test]
    fn a_pass_that_became_a_failure_is_worse_and_the_reverse_better() {
        let dump = seen(DUMP, &[]);
        assert_eq!(compare(&[pass()], std::slice::from_ref(&dump)), Change::Worse);
        assert_eq!(compare(std::slice::from_ref(&dump), &[pass(), pass()]), Change::Better);
        assert_eq!(compare(&[pass()], &[pass()]), Change::Same);
        assert_eq!(
            compare(std::slice::from_ref(&dump), &[seen(Verdict::Xfail(FailureKind::DumpFailed), &[])]),
            Change::Same
        );
        assert_eq!(compare(&[dump], &[seen(PATH, &["/x"])]), Change::Different);
    }

    #[test]
    fn failures_of_one_kind_differ_by_what_was_seen() {
        let one = |got| seen(PATH, &[got]);
        assert_eq!(compare(&[one("/t/1/x")], &[one("/t/27/x")]), Change::Same);
        assert_eq!(compare(&[one("/x")], &[one("/y")]), Change::Different);
        assert_eq!(compare(&[one("/x")], &[seen(PATH, &["/x", "/y"])]), Change::Different);
        // What the base itself shows now and then is nothing new.
        assert_eq!(compare(&[one("/x"), seen(PATH, &["/x", "/y"])], &[seen(PATH, &["/x", "/y"])]), Change::Same);
        let late = Difference { comparison: "file-times".into(), ..difference("17.5") };
        assert_eq!(sign(&late), sign(&Difference { got: "18.5".into(), ..late.clone() }));
    }

    #[test]
    fn what_comes_and_goes_is_undecided_and_what_is_unknown_does_not_count() {
        let error = seen(Verdict::Error, &[]);
        assert_eq!(compare(&[pass()], &[pass(), seen(DUMP, &[])]), Change::Undecided);
        assert_eq!(compare(&[pass()], std::slice::from_ref(&error)), Change::Undecided);
        assert_eq!(compare(&[pass(), error], &[seen(DUMP, &[])]), Change::Worse);
        let unsupported = seen(Verdict::Unsupported, &[]);
        assert_eq!(
            compare(std::slice::from_ref(&unsupported), std::slice::from_ref(&unsupported)),
            Change::Unsupported
        );
        assert_eq!(compare(&[pass()], &[unsupported]), Change::Undecided);
    }
}
