//! What two runs of one trial come to, the second one alone in a machine that nothing has touched.
//!
//! A failure that comes once and not again costs no analysis, and no trial is blamed for what an
//! earlier one did to the machine. Both results are reported.

use super::{Attempt, Over, Task};
use crate::compare::Runs;
use crate::judge::{FailureKind, Group, Judgement, Signature, Verdict};
use crate::machine::{MachineError, Traces};
use crate::notices::say;
use crate::vm::VmError;

/// The end of a machine in the middle of a trial, or before it came up.
pub(super) struct Death {
    pub(super) error: MachineError,
    pub(super) traces: Traces,
    /// How many trials it had been given before this one.
    pub(super) trials_before: u32,
}

/// Whether it will be analyzed: then it is run again first.
pub(super) fn is_unexpected(judgement: &Judgement) -> bool {
    matches!(judgement.verdict, Verdict::Fail(_) | Verdict::ChangedFail(_) | Verdict::Xpass)
}

/// An unexpected result and what came of up to `retries` further runs; the first that is not the
/// same ends them. In a campaign the same failure may have become an expected one.
pub(super) fn confirmed(first: Over, retries: u32, campaign: bool, mut again: impl FnMut() -> Attempt) -> Over {
    let verdict = first.judgement.verdict;
    let is_same = |second: Verdict| match (verdict, second) {
        (Verdict::Fail(one), Verdict::Xfail(other)) if campaign => one == other,
        (one, other) => one == other,
    };
    let signature = Signature::of(&first.judgement);
    let mut first = first;
    for same in 1..=retries {
        match again() {
            // Of the same failure the later run tells more: it was run to find out.
            Attempt::Over(second)
                if second.judgement.verdict == verdict && Signature::of(&second.judgement) == signature =>
            {
                first = *second;
            }
            Attempt::Over(second) if is_same(second.judgement.verdict) => {}
            Attempt::Over(second) if second.judgement.verdict == Verdict::Error => {
                return with_note(first, &format!("not confirmed: the second time {}", describe(&second.judgement)));
            }
            Attempt::Over(second) => return flaky(first, same, &second.judgement),
            Attempt::Died { error, .. } => {
                return with_note(first, &format!("not confirmed: the second time {error}"));
            }
            Attempt::Interrupted => return with_note(first, "not confirmed: interrupted"),
        }
    }
    first
}

/// What the results of a trial that is run more than once come to.
#[derive(Default)]
pub(super) struct Repeated {
    told: Option<Over>,
    error: Option<Over>,
}

impl Repeated {
    /// Takes one more.
    pub(super) fn add(&mut self, over: Over) {
        let sort = if over.judgement.verdict == Verdict::Error { &mut self.error } else { &mut self.told };
        *sort = Some(match sort.take() {
            Some(before) => both(before, over),
            None => over,
        });
    }

    /// The sum; none of no result.
    pub(super) fn sum(self) -> Option<Over> {
        match (self.told, self.error) {
            (Some(told), Some(error)) => Some(beside_error(told, error)),
            (told, error) => told.or(error),
        }
    }
}

/// What two results come to; the first may be of several runs already.
fn both(first: Over, second: Over) -> Over {
    let (one, other) = (first.judgement.verdict, second.judgement.verdict);
    if other == Verdict::NotRun || (one == other && !matches!(one, Verdict::Flaky { .. })) {
        return first;
    }
    // What failed tells more.
    let (decisive, silent) =
        if other.group() == Group::Failed && one.group() != Group::Failed { (second, first) } else { (first, second) };
    let was = decisive.judgement.verdict;
    let reason = match was {
        Verdict::Flaky { .. } => decisive.judgement.reason.clone(),
        _ => format!("once {}, once {}", describe(&decisive.judgement), describe(&silent.judgement)),
    };
    let verdict = (Runs::of(one) + Runs::of(other)).flaky();
    Over { judgement: Judgement { verdict, reason, ..decisive.judgement }, ..decisive }
}

/// A result beside an error, which says nothing about the subject and so makes no result flaky. A
/// failure counts. Anything else gives way to the error: exit status 3 says that not all went well,
/// as where a kernel that is out of memory killed the VM.
fn beside_error(told: Over, error: Over) -> Over {
    if told.judgement.verdict.group() == Group::Failed {
        return with_note(told, &format!("once {}", describe(&error.judgement)));
    }
    let reason = format!("{}; another time {}", error.judgement.reason, describe(&told.judgement));
    Over { judgement: Judgement { reason, ..error.judgement }, ..error }
}

/// The same result, with something to say besides.
fn with_note(mut over: Over, note: &str) -> Over {
    let reason = &mut over.judgement.reason;
    *reason = if reason.is_empty() { note.to_owned() } else { format!("{reason} ({note})") };
    over
}

/// Verdict and reason.
fn describe(judgement: &Judgement) -> String {
    match judgement.reason.as_str() {
        "" => judgement.verdict.to_string(),
        reason => format!("{}: {reason}", judgement.verdict),
    }
}

/// A result that came `same` times, and then another. What explains the first one stays with it.
fn flaky(first: Over, same: u32, second: &Judgement) -> Over {
    let times = if same == 1 { "the first time".to_owned() } else { format!("{same} times") };
    let reason = format!("{times} {}; again, in a new machine, {}", describe(&first.judgement), describe(second));
    let verdict = (Runs::of(first.judgement.verdict).times(same) + Runs::of(second.verdict)).flaky();
    Over { judgement: Judgement { verdict, reason, ..first.judgement }, ..first }
}

/// A trial whose machine died, and what came of the second run. `known` is what a judgement is in
/// the light of what is known of the trial.
pub(super) fn blamed(first: Death, second: Attempt, task: &Task, known: impl FnOnce(Judgement) -> Judgement) -> Over {
    match second {
        Attempt::Interrupted => Over::not_run(task.clone(), "interrupted"),
        Attempt::Died { error, traces, .. } => {
            let judgement = known(verdict_on(&error));
            Over { judgement, traces, ..Over::not_run(task.clone(), "") }
        }
        // In a machine that others had used before, the fault may be theirs: the run alone counts,
        // and tells of it.
        Attempt::Over(second) if first.trials_before > 0 => {
            let why = format!("a machine that others had used before died during it: {}", first.error);
            say(&format!("{}: {why}", task.trial));
            with_note(*second, &why)
        }
        Attempt::Over(second) => {
            let died = verdict_on(&first.error);
            let first = Over { judgement: died, traces: first.traces, ..Over::not_run(task.clone(), "") };
            if first.judgement.verdict == Verdict::Error {
                return beside_error(*second, first);
            }
            let flaky = flaky(first, 1, &second.judgement);
            Over { report: second.report, criu: second.criu, ..flaky }
        }
    }
}

/// The verdict on a trial that takes its machine along each time. A guest that died or fell silent
/// is the trial's doing; what else went wrong is not, and neither is a guest without memory, whose
/// agent could not go on.
pub(super) fn verdict_on(error: &MachineError) -> Judgement {
    if let MachineError::Vm(vm) = error
        && vm.console().is_some_and(|console| console.out_of_memory)
    {
        return Judgement::plain(Verdict::Error, format!("the guest ran out of memory: {error}"));
    }
    let verdict = match error {
        MachineError::Vm(VmError::Died { console }) if console.panic.is_some() => {
            Verdict::Fail(FailureKind::KernelSplat)
        }
        MachineError::Vm(VmError::TimedOut { console, .. }) if console.panic.is_some() => {
            Verdict::Fail(FailureKind::KernelSplat)
        }
        _ => Verdict::Error,
    };
    Judgement::plain(verdict, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{self, ONE_FILE};
    use crate::vm::console::Tail;

    const WRONG_PATH: Verdict = Verdict::Fail(FailureKind::WrongPath);

    fn task() -> Task {
        fixtures::task("one", ONE_FILE)
    }

    fn over(verdict: Verdict, reason: &str) -> Over {
        Over { judgement: Judgement::plain(verdict, reason), ..Over::not_run(task(), "") }
    }

    fn describe(over: &Over) -> String {
        format!("{}: {}", over.judgement.verdict, over.judgement.reason)
    }

    fn again(verdicts: &[Verdict]) -> String {
        let mut next = verdicts.iter();
        let more = || Attempt::Over(Box::new(over(*next.next().expect("no more runs than asked for"), "")));
        describe(&confirmed(over(WRONG_PATH, "first"), 3, false, more))
    }

    fn died(panic: Option<&str>) -> MachineError {
        let console = Tail { path: "c".into(), panic: panic.map(str::to_owned), ..Tail::default() };
        VmError::Died { console }.into()
    }

    fn attempt_died(panic: Option<&str>) -> Attempt {
        Attempt::Died { error: died(panic), traces: Traces::none(), trials_before: 0 }
    }

    #[test]
    fn what_comes_again_is_reported_as_it_came() {
        let second = Attempt::Over(Box::new(over(WRONG_PATH, "and again")));
        let mut second = Some(second);
        let over = confirmed(over(WRONG_PATH, "first"), 1, false, || second.take().expect("one more run is enough"));
        assert_eq!(describe(&over), "fail(wrong-path): first");
    }

    #[test]
    fn of_the_same_failure_the_run_that_was_to_find_out_more_is_reported() {
        let thorough = Judgement { quotes: vec!["a second try".into()], ..Judgement::plain(WRONG_PATH, "first") };
        let mut second = Some(Over { judgement: thorough, ..Over::not_run(task(), "") });
        let again = || Attempt::Over(Box::new(second.take().expect("one more run is enough")));
        let over = confirmed(over(WRONG_PATH, "first"), 1, false, again);
        assert_eq!((describe(&over).as_str(), over.judgement.quotes.len()), ("fail(wrong-path): first", 1));
    }

    #[test]
    fn another_second_result_is_flaky() {
        let first = || over(WRONG_PATH, "the link differs");
        let again = |verdict, reason| {
            describe(&confirmed(first(), 1, false, || Attempt::Over(Box::new(over(verdict, reason)))))
        };
        expect_test::expect![[r#"
            flaky(1/2): the first time fail(wrong-path): the link differs; again, in a new machine, pass
            flaky(0/2): the first time fail(wrong-path): the link differs; again, in a new machine, fail(hang): slow"#]]
        .assert_eq(&format!("{}\n{}", again(Verdict::Pass, ""), again(Verdict::Fail(FailureKind::Hang), "slow")));
    }

    #[test]
    fn what_another_worker_found_meanwhile_is_the_same_failure() {
        let again = |grows, kind| {
            let second = || Attempt::Over(Box::new(over(Verdict::Xfail(kind), "known")));
            confirmed(over(WRONG_PATH, "first"), 1, grows, second).judgement.verdict
        };
        assert_eq!(again(true, FailureKind::WrongPath), WRONG_PATH);
        let flaky = Verdict::Flaky { passed: 0, runs: 2 };
        assert_eq!([again(false, FailureKind::WrongPath), again(true, FailureKind::Hang)], [flaky, flaky]);
    }

    #[test]
    fn retries_end_with_the_first_other_result() {
        assert_eq!(again(&[WRONG_PATH, WRONG_PATH, WRONG_PATH]), "fail(wrong-path): first");
        assert_eq!(
            again(&[WRONG_PATH, Verdict::Pass]),
            "flaky(1/3): 2 times fail(wrong-path): first; again, in a new machine, pass"
        );
    }

    #[test]
    fn a_trial_that_is_repeated_must_always_come_to_the_same() {
        let sum = |verdicts: &[Verdict]| {
            let mut all = Repeated::default();
            verdicts.iter().for_each(|verdict| all.add(over(*verdict, "why")));
            describe(&all.sum().expect("there is one"))
        };
        assert_eq!(sum(&[Verdict::Pass, Verdict::Pass]), "pass: why");
        assert_eq!(
            sum(&[Verdict::Pass, WRONG_PATH, Verdict::Pass]),
            "flaky(2/3): once fail(wrong-path): why, once pass: why"
        );
        assert_eq!(
            sum(&[WRONG_PATH, Verdict::Fail(FailureKind::Hang)]),
            "flaky(0/2): once fail(wrong-path): why, once fail(hang): why"
        );
        assert_eq!(sum(&[WRONG_PATH, Verdict::NotRun]), "fail(wrong-path): why");
        assert_eq!(sum(&[Verdict::Error, Verdict::Pass, Verdict::Pass]), "error: why; another time pass: why");
        assert_eq!(sum(&[Verdict::Pass, Verdict::Error]), "error: why; another time pass: why");
        assert_eq!(
            sum(&[Verdict::Error, Verdict::Pass, WRONG_PATH]),
            "flaky(1/2): once fail(wrong-path): why, once pass: why (once error: why)"
        );
    }

    #[test]
    fn an_error_of_the_machine_makes_nothing_flaky_and_stays_visible() {
        let after = |second: Verdict| {
            let death = Death { error: died(None), traces: Traces::none(), trials_before: 0 };
            let second = Attempt::Over(Box::new(over(second, "")));
            blamed(death, second, &task(), |judgement| judgement)
        };
        for second in [Verdict::Pass, Verdict::Xfail(FailureKind::Hang), Verdict::Unsupported] {
            let sum = after(second);
            assert_eq!(sum.judgement.verdict, Verdict::Error);
            let reason = "the VM: the guest died";
            assert!(sum.judgement.reason.starts_with(reason), "{}", sum.judgement.reason);
            assert!(sum.judgement.reason.ends_with(&format!("; another time {second}")), "{}", sum.judgement.reason);
            let mut tally = crate::judge::Tally::default();
            tally.add(sum.judgement.verdict);
            assert_eq!(tally.exit_status(false), crate::exit::INFRASTRUCTURE);
        }
        let failed = describe(&after(WRONG_PATH));
        assert!(failed.starts_with("fail(wrong-path): once error: the VM: the guest died"), "{failed}");
        let not_confirmed = || Attempt::Over(Box::new(over(Verdict::Error, "no observation")));
        assert_eq!(
            describe(&confirmed(over(WRONG_PATH, "first"), 1, false, not_confirmed)),
            "fail(wrong-path): first (not confirmed: the second time error: no observation)"
        );
    }

    #[test]
    fn a_second_run_without_an_end_changes_nothing_but_is_reported() {
        let first = || over(WRONG_PATH, "the link differs");
        assert_eq!(
            describe(&confirmed(first(), 1, false, || Attempt::Interrupted)),
            "fail(wrong-path): the link differs (not confirmed: interrupted)"
        );
        let died = describe(&confirmed(first(), 1, false, || attempt_died(None)));
        assert!(
            died.starts_with(
                "fail(wrong-path): the link differs (not confirmed: the second time the VM: the guest died"
            ),
            "{died}"
        );
    }

    #[test]
    fn only_what_somebody_will_look_into_is_run_again() {
        let unexpected = |verdict| is_unexpected(&Judgement::plain(verdict, ""));
        assert!(
            unexpected(WRONG_PATH) && unexpected(Verdict::Xpass) && unexpected(Verdict::ChangedFail(FailureKind::Hang))
        );
        assert!(
            !unexpected(Verdict::Pass) && !unexpected(Verdict::Xfail(FailureKind::Hang)) && !unexpected(Verdict::Error)
        );
    }

    #[test]
    fn a_trial_is_blamed_for_the_second_machine_that_it_kills() {
        let blame = |trials_before, second| {
            let death = Death { error: died(Some("Kernel panic")), traces: Traces::none(), trials_before };
            blamed(death, second, &task(), |judgement| judgement)
        };
        let verdict = |over: Over| over.judgement.verdict;
        assert_eq!(verdict(blame(0, attempt_died(Some("Kernel panic")))), Verdict::Fail(FailureKind::KernelSplat));
        assert_eq!(verdict(blame(0, attempt_died(None))), Verdict::Error, "no panic: nobody knows whose fault");
        let after_others = describe(&blame(7, Attempt::Over(Box::new(over(Verdict::Pass, "")))));
        assert!(
            after_others.starts_with("pass: a machine that others had used before died during it"),
            "{after_others}"
        );
        let alone_both_times = blame(0, Attempt::Over(Box::new(over(Verdict::Pass, ""))));
        assert_eq!(alone_both_times.judgement.verdict, Verdict::Flaky { passed: 1, runs: 2 });
        assert_eq!(verdict(blame(0, Attempt::Interrupted)), Verdict::NotRun);
    }
}
