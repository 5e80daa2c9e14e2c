//! What two runs of one trial come to, the second one alone in a machine that nothing has touched.
//!
//! Nobody is sent after a failure that comes once and not again, and no trial is blamed for what an earlier one did to
//! the machine. Both results are told.

use super::{Attempt, Over, Task};
use crate::judge::{FailureKind, Group, Judgement, Verdict};
use crate::machine::{MachineError, Traces};
use crate::vm::VmError;

/// The end of a machine in the middle of a trial, or before it came up.
pub(super) struct Death {
    pub(super) error: MachineError,
    pub(super) traces: Traces,
    /// How many trials it had been given before this one.
    pub(super) trials_before: u32,
}

/// Whether somebody will look into it: then it is run again first.
pub(super) fn is_unexpected(judgement: &Judgement) -> bool {
    matches!(judgement.verdict, Verdict::Fail(_) | Verdict::ChangedFail(_) | Verdict::Xpass)
}

/// An unexpected result and what came of the second run.
pub(super) fn confirmed(first: Over, second: Attempt) -> Over {
    let unconfirmed = |mut first: Over, why: &str| {
        let reason = &mut first.judgement.reason;
        *reason = if reason.is_empty() { why.to_owned() } else { format!("{reason} ({why})") };
        first
    };
    match second {
        Attempt::Over(second) if second.judgement.verdict == first.judgement.verdict => first,
        Attempt::Over(second) => flaky(first, &second.judgement),
        Attempt::Died { error, .. } => unconfirmed(first, &format!("not confirmed: the second time {error}")),
        Attempt::Interrupted => unconfirmed(first, "not confirmed: interrupted"),
    }
}

/// Two results that are not the same. What explains the first one stays with it.
fn flaky(first: Over, second: &Judgement) -> Over {
    let told = |judgement: &Judgement| match judgement.reason.as_str() {
        "" => judgement.verdict.to_string(),
        reason => format!("{}: {reason}", judgement.verdict),
    };
    let reason = format!("the first time {}; again, in a new machine, {}", told(&first.judgement), told(second));
    let passed =
        [first.judgement.verdict, second.verdict].into_iter().filter(|verdict| verdict.group() == Group::Passed);
    let verdict = Verdict::Flaky { passed: passed.count().try_into().unwrap_or(0), runs: 2 };
    Over { judgement: Judgement { verdict, reason, ..first.judgement }, ..first }
}

/// A trial whose machine died, and what came of the second run. `known` is what a judgement is in the light of what is
/// known of the trial.
pub(super) fn blamed(first: Death, second: Attempt, task: &Task, known: impl FnOnce(Judgement) -> Judgement) -> Over {
    match second {
        Attempt::Interrupted => Over::not_run(task.clone(), "interrupted"),
        Attempt::Died { error, traces, .. } => {
            let judgement = known(verdict_on(&error));
            Over { judgement, traces, ..Over::not_run(task.clone(), "") }
        }
        // In a machine that others had used before, the fault may be theirs: the run alone counts.
        Attempt::Over(second) if first.trials_before > 0 => {
            eprintln!(
                "the machine died during {}, which is no fault of it: alone it is {}; {}",
                task.trial, second.judgement.verdict, first.error
            );
            second
        }
        Attempt::Over(second) => {
            let died = verdict_on(&first.error);
            let first = Over { judgement: died, traces: first.traces, ..Over::not_run(task.clone(), "") };
            let flaky = flaky(first, &second.judgement);
            Over { report: second.report, criu: second.criu, ..flaky }
        }
    }
}

/// The verdict on a trial that takes its machine along each time. A guest that died or fell silent is the trial's doing;
/// what else went wrong is not.
fn verdict_on(error: &MachineError) -> Judgement {
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
