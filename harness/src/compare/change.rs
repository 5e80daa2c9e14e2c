//! What two subjects' runs of one trial come to: the same, worse, better, differently bad, or
//! nothing that could be said.
//!
//! Expectations play no part: what a candidate repairs shall be seen as repaired, also where the
//! failure is known.
//!
//! Two failures are compared by what they cost the user first ([`crate::judge::Severity`]). A clean
//! refusal that became a lost process is worse, whatever else it is.
//!
//! The order is: refused, the process lost, silently wrong, harmed (`FailureKind::severity`). A
//! step up is worse, a step down is better. Within one rank another cause is differently bad. Of
//! two failed restores the one that left something is worse (`by_harm`).

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Outcome, sign};
use crate::judge::{FailureKind, Judgement, Signature};

/// One run of a trial.
#[derive(Clone, Debug)]
pub(crate) struct RunOutcome {
    pub(crate) outcome: Outcome,
    /// What differed, in a form that is the same in each run.
    pub(crate) signs: BTreeSet<String>,
    /// The identity of the failure; meaningless for what did not fail.
    pub(crate) signature: Signature,
    pub(crate) judgement: Judgement,
    /// The same in the light of what is known.
    pub(crate) applied: Judgement,
}

/// What became of a trial from base to candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Change {
    /// It passed and fails, or its failure costs more.
    Worse,
    /// It failed and passes, or its failure costs less.
    Better,
    /// It fails with both in another way, which costs the same.
    Different,
    /// Runs of one side do not agree with each other.
    Undecided,
    /// Neither can run it.
    Unsupported,
    Same,
}

impl RunOutcome {
    /// A run's judgement, expectations not applied or taken back.
    pub(crate) fn of(judgement: Judgement) -> Self {
        let applied = judgement.clone();
        Self::with_known(judgement, applied)
    }

    /// A run's judgement as it is, and in the light of what is known.
    pub(crate) fn with_known(judgement: Judgement, applied: Judgement) -> Self {
        let outcome = Outcome::of(judgement.verdict);
        let signs = judgement.differences.iter().map(sign).collect();
        Self { outcome, signs, signature: Signature::of(&judgement), judgement, applied }
    }

    pub(crate) fn passed(&self) -> bool {
        self.outcome == Outcome::Pass
    }

    fn kind(&self) -> Option<FailureKind> {
        match self.outcome {
            Outcome::Fail(kind) => Some(kind),
            _ => None,
        }
    }

    pub(crate) fn is_unknown(&self) -> bool {
        self.outcome == Outcome::Unknown
    }
}

/// Compares the runs of both sides; runs that tell nothing do not count, and where no others are
/// left nothing is decided.
pub(crate) fn compare(base: &[RunOutcome], candidate: &[RunOutcome]) -> Change {
    let known = |runs: &[RunOutcome]| runs.iter().filter(|one| !one.is_unknown()).cloned().collect::<Vec<_>>();
    let (base, candidate) = (known(base), known(candidate));
    let unsupported = |runs: &[RunOutcome]| runs.iter().all(|one| one.outcome == Outcome::Unsupported);
    let passed = |runs: &[RunOutcome]| runs.iter().all(RunOutcome::passed);
    let failed = |runs: &[RunOutcome]| runs.iter().all(|one| one.kind().is_some());
    match () {
        () if base.is_empty() || candidate.is_empty() => Change::Undecided,
        () if unsupported(&base) && unsupported(&candidate) => Change::Unsupported,
        () if passed(&base) && passed(&candidate) => Change::Same,
        () if passed(&base) && failed(&candidate) => Change::Worse,
        () if failed(&base) && passed(&candidate) => Change::Better,
        () if failed(&base) && failed(&candidate) => {
            match by_severity(&base, &candidate).or_else(|| by_harm(&base, &candidate)) {
                Some(change) => change,
                None if differ(&base, &candidate) => Change::Different,
                None => Change::Same,
            }
        }
        () => Change::Undecided,
    }
}

/// Worse or better when every failure of one side costs more than each of the other.
fn by_severity(base: &[RunOutcome], candidate: &[RunOutcome]) -> Option<Change> {
    let severities = |runs: &[RunOutcome]| {
        runs.iter().filter_map(RunOutcome::kind).map(FailureKind::severity).collect::<BTreeSet<_>>()
    };
    let (base, candidate) = (severities(base), severities(candidate));
    match () {
        () if candidate.first() > base.last() => Some(Change::Worse),
        () if candidate.last() < base.first() => Some(Change::Better),
        () => None,
    }
}

/// Worse or better when every failed restore of one side did something besides, and none of the
/// other.
fn by_harm(base: &[RunOutcome], candidate: &[RunOutcome]) -> Option<Change> {
    let harmed = |runs: &[RunOutcome]| runs.iter().map(|one| one.judgement.is_harmed_by_restore()).collect::<Vec<_>>();
    let (base, candidate) = (harmed(base), harmed(candidate));
    let (every, none) = (|all: &[bool]| all.iter().all(|one| *one), |all: &[bool]| all.iter().all(|one| !*one));
    match () {
        () if none(&base) && every(&candidate) => Some(Change::Worse),
        () if every(&base) && none(&candidate) => Some(Change::Better),
        () => None,
    }
}

/// Whether two failures are not the same: something differs with one side in every run and with the
/// other in none; or, where nothing was compared, the failures have no signature in common.
fn differ(base: &[RunOutcome], candidate: &[RunOutcome]) -> bool {
    let signatures = |runs: &[RunOutcome]| runs.iter().map(|one| one.signature.clone()).collect::<BTreeSet<_>>();
    let nothing_seen = base.iter().chain(candidate).all(|one| one.signs.is_empty());
    match nothing_seen {
        true => signatures(base).is_disjoint(&signatures(candidate)),
        false => !always(candidate).is_subset(&ever(base)) || !always(base).is_subset(&ever(candidate)),
    }
}

/// What differed in any of the runs.
pub(crate) fn ever(runs: &[RunOutcome]) -> BTreeSet<String> {
    runs.iter().flat_map(|one| one.signs.iter().cloned()).collect()
}

/// What differed in all of them.
fn always(runs: &[RunOutcome]) -> BTreeSet<String> {
    let mut signs = runs.iter().map(|one| one.signs.clone());
    let first = signs.next().unwrap_or_default();
    signs.fold(first, |common, next| common.intersection(&next).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{Difference, Side, Verdict};

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

    fn one_run(verdict: Verdict, differences: &[&str]) -> RunOutcome {
        let differences = differences.iter().map(|got| difference(got)).collect();
        RunOutcome::of(Judgement { differences, ..Judgement::plain(verdict, "") })
    }

    const DUMP: Verdict = Verdict::Fail(FailureKind::DumpFailed);
    const PATH: Verdict = Verdict::Fail(FailureKind::WrongPath);

    fn pass() -> RunOutcome {
        one_run(Verdict::Pass, &[])
    }

    #[test]
    fn a_pass_that_became_a_failure_is_worse_and_the_reverse_better() {
        let dump = one_run(DUMP, &[]);
        assert_eq!(compare(&[pass()], std::slice::from_ref(&dump)), Change::Worse);
        assert_eq!(compare(std::slice::from_ref(&dump), &[pass(), pass()]), Change::Better);
        assert_eq!(compare(&[pass()], &[pass()]), Change::Same);
        assert_eq!(
            compare(std::slice::from_ref(&dump), &[one_run(Verdict::Xfail(FailureKind::DumpFailed), &[])]),
            Change::Same
        );
    }

    #[test]
    fn a_failure_that_costs_more_is_worse() {
        let failed = |kind| one_run(Verdict::Fail(kind), &[]);
        let (refused, lost) = (failed(FailureKind::DumpFailed), failed(FailureKind::RestoreFailed));
        let (wrong, crash) = (one_run(PATH, &["/x"]), failed(FailureKind::Crash));
        let order = [refused, lost, wrong, crash];
        for (at, one) in order.iter().enumerate() {
            for other in &order[at + 1..] {
                assert_eq!(compare(std::slice::from_ref(one), std::slice::from_ref(other)), Change::Worse);
                assert_eq!(compare(std::slice::from_ref(other), std::slice::from_ref(one)), Change::Better);
            }
        }
        // Where the severities overlap, nothing is said of them.
        let (both, one) = (order[..2].to_vec(), order[1..2].to_vec());
        assert_eq!(compare(&both, &one), Change::Same);
    }

    #[test]
    fn a_failed_restore_that_does_something_besides_is_worse_than_one_that_does_not() {
        let lost = Verdict::Fail(FailureKind::RestoreFailed);
        let failed = |all: &[&str]| {
            let left = |got: &&str| Difference { kind: FailureKind::HarmedByRestore, ..difference(got) };
            let differences = all.iter().map(left).collect();
            vec![RunOutcome::of(Judgement { differences, ..Judgement::plain(lost, "no") })]
        };
        let (clean, left) = (failed(&[]), failed(&["directory /tmp/.criu.aB3dE6"]));
        assert_eq!(compare(&clean, &left), Change::Worse);
        assert_eq!(compare(&left, &clean), Change::Better);
        assert_eq!(compare(&left, &failed(&["directory /tmp/.criu.Zz4yX0"])), Change::Same);
        assert_eq!(compare(&left, &failed(&["process 7 (tar)"])), Change::Different);
        assert_eq!(compare(&failed(&["process 7 (tar)"]), &failed(&["process 8 (tar)"])), Change::Same);
    }

    #[test]
    fn another_message_is_differently_bad() {
        let said = |text: &str| RunOutcome::of(Judgement::plain(DUMP, text));
        assert_eq!(compare(&[said("no 17")], &[said("no 18")]), Change::Same);
        assert_eq!(compare(&[said("no 17")], &[said("not at all")]), Change::Different);
    }

    #[test]
    fn failures_of_one_kind_differ_by_what_was_seen() {
        let one = |got| one_run(PATH, &[got]);
        assert_eq!(compare(&[one("/t/1/x")], &[one("/t/27/x")]), Change::Same);
        assert_eq!(compare(&[one("/x")], &[one("/y")]), Change::Different);
        assert_eq!(compare(&[one("/x")], &[one_run(PATH, &["/x", "/y"])]), Change::Different);
        // What the base itself shows now and then is nothing new.
        assert_eq!(compare(&[one("/x"), one_run(PATH, &["/x", "/y"])], &[one_run(PATH, &["/x", "/y"])]), Change::Same);
        let late = Difference { comparison: "file-times".into(), ..difference("17.5") };
        assert_eq!(sign(&late), sign(&Difference { got: "18.5".into(), ..late.clone() }));
    }

    #[test]
    fn what_comes_and_goes_is_undecided_and_what_is_unknown_does_not_count() {
        let error = one_run(Verdict::Error, &[]);
        assert_eq!(compare(&[pass()], &[pass(), one_run(DUMP, &[])]), Change::Undecided);
        assert_eq!(compare(&[pass()], std::slice::from_ref(&error)), Change::Undecided);
        assert_eq!(compare(&[pass(), error], &[one_run(DUMP, &[])]), Change::Worse);
        let unsupported = one_run(Verdict::Unsupported, &[]);
        assert_eq!(
            compare(std::slice::from_ref(&unsupported), std::slice::from_ref(&unsupported)),
            Change::Unsupported
        );
        assert_eq!(compare(&[pass()], &[unsupported]), Change::Undecided);
    }
}
