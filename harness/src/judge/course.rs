//! What happened to the process, action by action, and what to make of it.
//!
//! An action that did not succeed decides the verdict. One that says it succeeded is not believed: the look after it
//! decides. What is missing from the report is [`Silence`], which becomes an error and never a pass.

use protocol::Observation;
use protocol::message::{Action, ActionEnd, ActionReport, Lifecycle, TrialReport};

use super::comparisons::{self, Mode};
use super::difference::Difference;
use super::verdict::{FailureKind, Judgement, Verdict};
use super::{DIFFERENCE_LIMIT, Judge, refusal};

/// Something that had to be in the report is not.
pub(super) struct Silence(pub(super) String);

/// The actions of a lifecycle, in order.
fn actions(lifecycle: Lifecycle) -> &'static [Action] {
    match lifecycle {
        Lifecycle::DumpRestore => &[Action::Dump, Action::Restore],
        Lifecycle::LeaveRunning => &[Action::DumpLeaveRunning],
    }
}

/// A trial that got as far as its first action.
pub(super) struct Course<'a> {
    pub(super) judge: &'a Judge,
    pub(super) before: &'a Observation,
    pub(super) report: &'a TrialReport,
}

impl Course<'_> {
    /// Every action must succeed, and all be the same after each.
    pub(super) fn restored(&self, lifecycle: Lifecycle) -> Result<Judgement, Silence> {
        let mut seen = self.report.actions.iter();
        for expected in actions(lifecycle) {
            let action =
                seen.next().ok_or_else(|| Silence(format!("the agent did not report the {}", word(*expected))))?;
            in_order(action, *expected)?;
            if let Some(failure) = self.failure(action)? {
                return nothing_after(seen.next(), failure);
            }
        }
        nothing_after(seen.next(), self.weigh(Vec::new(), None))
    }

    /// The dump must fail, name the object, and change nothing.
    pub(super) fn refused(&self, lifecycle: Lifecycle, why: &str) -> Result<Judgement, Silence> {
        let detached = refusal::detached(self.before);
        if detached.is_empty() {
            return Err(Silence(
                "nothing is detached, so there is nothing to refuse: the scenario proves nothing".into(),
            ));
        }
        let expected = actions(lifecycle)[0];
        let mut seen = self.report.actions.iter();
        let dump = seen.next().ok_or_else(|| Silence(format!("the agent did not report the {}", word(expected))))?;
        in_order(dump, expected)?;
        match dump.end {
            ActionEnd::Failed(_) => {}
            ActionEnd::Done => return self.accepted(lifecycle, why),
            ActionEnd::Killed(_) | ActionEnd::TimedOut => {
                let failure = self.failure(dump)?.ok_or_else(|| Silence("no end of the dump".into()))?;
                return nothing_after(seen.next(), failure);
            }
        }
        let harm = self.harm(dump)?;
        let judgement = if let Some(harm) = harm {
            harm
        } else if refusal::names_one(&dump.error_lines, &detached) {
            self.weigh(Vec::new(), None)
        } else {
            let said = dump.error_lines.first().map_or("(no error line)", String::as_str);
            let reason = format!("the refusal does not name the descriptor: {}", said.trim());
            self.weigh(Vec::new(), Some((FailureKind::DumpFailed, reason)))
        };
        nothing_after(seen.next(), judgement)
    }

    /// A dump that accepts what nobody can restore is wrong even when the restore happens to look right: it does
    /// so because of what else is there at that moment. What the restore did wrong is told along.
    fn accepted(&self, lifecycle: Lifecycle, why: &str) -> Result<Judgement, Silence> {
        let course = self.restored(lifecycle)?;
        if let Verdict::Fail(FailureKind::Hang | FailureKind::Crash) = course.verdict {
            return Ok(course);
        }
        let then = match course.verdict {
            Verdict::Fail(kind) => format!("then {kind}: {}", course.reason),
            _ => "afterwards everything looked the same, by luck".to_owned(),
        };
        let reason = format!("the dump accepted what nobody can restore ({why}); {then}");
        Ok(Judgement { verdict: Verdict::Fail(FailureKind::LostObject), reason, ..course })
    }

    /// What is wrong with one action and the look after it; none when all is well.
    fn failure(&self, action: &ActionReport) -> Result<Option<Judgement>, Silence> {
        let did = word(action.action);
        let failed = |kind, reason: String| Ok(Some(self.weigh(Vec::new(), Some((kind, reason)))));
        match (&action.end, action.action) {
            (ActionEnd::TimedOut, _) => {
                failed(FailureKind::Hang, format!("the {did} did not end within {} ms", action.duration_ms))
            }
            (ActionEnd::Killed(signal), _) => {
                failed(FailureKind::Crash, format!("the {did} was ended by signal {signal}"))
            }
            (ActionEnd::Failed(status), Action::Restore) => {
                failed(FailureKind::RestoreFailed, first_error(action, *status))
            }
            (ActionEnd::Failed(status), Action::Dump | Action::DumpLeaveRunning) => match self.harm(action)? {
                Some(harm) => Ok(Some(harm)),
                None => failed(FailureKind::DumpFailed, first_error(action, *status)),
            },
            (ActionEnd::Done, Action::Dump) => match (&action.after, &action.unobservable) {
                (None, None) => Ok(None),
                _ => Err(Silence("the agent saw a process after a dump that should have ended it".into())),
            },
            (ActionEnd::Done, Action::DumpLeaveRunning) => match look(action)? {
                Err(why) => failed(FailureKind::HarmedByDump, format!("the process is gone after the {did}: {why}")),
                Ok(after) => Ok(self.differing(after, Mode::Strict)),
            },
            (ActionEnd::Done, Action::Restore) => match look(action)? {
                Err(why) => failed(FailureKind::LostObject, format!("the {did} says it succeeded, but: {why}")),
                Ok(after) => Ok(self.differing(after, Mode::Relational)),
            },
        }
    }

    /// What a failed dump did to the process; none when it is unharmed and nothing was left behind.
    fn harm(&self, dump: &ActionReport) -> Result<Option<Judgement>, Silence> {
        let after = match look(dump)? {
            Ok(after) => after,
            Err(why) => {
                let reason = format!("the dump failed and the process is gone: {why}");
                return Ok(Some(self.weigh(Vec::new(), Some((FailureKind::HarmedByDump, reason)))));
            }
        };
        let differences = comparisons::compare(self.before, after, Mode::Strict, self.judge.disabled);
        let all: Vec<Difference> = differences.into_iter().chain(self.leftovers()).collect();
        let Some(first) = all.first() else { return Ok(None) };
        let reason = format!("the dump failed and did not leave all as it was: {}", summary(first, all.len()));
        Ok(Some(cut(all, Verdict::Fail(FailureKind::HarmedByDump), reason)))
    }

    fn differing(&self, after: &Observation, mode: Mode) -> Option<Judgement> {
        let mut differences = comparisons::compare(self.before, after, mode, self.judge.disabled);
        if mode == Mode::Strict {
            // Whatever changed in a process that should just go on is harm; only litter keeps its name.
            for difference in differences.iter_mut().filter(|difference| difference.kind != FailureKind::Litter) {
                difference.kind = FailureKind::HarmedByDump;
            }
            differences.sort_by_key(|difference| difference.kind == FailureKind::Litter);
        }
        (!differences.is_empty()).then(|| self.weigh(differences, None))
    }

    fn leftovers(&self) -> impl Iterator<Item = Difference> {
        let on = self.judge.disabled != Some(comparisons::LEFTOVERS);
        comparisons::leftovers(&self.report.leftovers).filter(move |_| on)
    }

    /// The verdict of some differences, with what was left behind: the given kind, or that of the first difference.
    fn weigh(&self, mut differences: Vec<Difference>, given: Option<(FailureKind, String)>) -> Judgement {
        differences.extend(self.leftovers());
        let first = differences.first().map(|first| (first.kind, summary(first, differences.len())));
        let (verdict, reason) = match given.or(first) {
            Some((kind, reason)) => (Verdict::Fail(kind), reason),
            None => (Verdict::Pass, String::new()),
        };
        cut(differences, verdict, reason)
    }
}

/// A judgement that keeps no more differences than it may.
fn cut(mut differences: Vec<Difference>, verdict: Verdict, reason: String) -> Judgement {
    let more_differences = differences.len().saturating_sub(DIFFERENCE_LIMIT);
    differences.truncate(DIFFERENCE_LIMIT);
    Judgement { differences, more_differences, ..Judgement::plain(verdict, reason) }
}

/// The first difference on one line, and how many there are besides.
pub(super) fn summary(first: &Difference, count: usize) -> String {
    let short = |text: &str| match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    };
    let more = if count == 1 { String::new() } else { format!(" (and {} more)", count - 1) };
    format!("{first}: expected {}, got {}{more}", short(&first.expected), short(&first.got))
}

/// The observation after an action, or why the process could not be observed; silence is neither.
fn look(action: &ActionReport) -> Result<Result<&Observation, &str>, Silence> {
    match (&action.after, &action.unobservable) {
        (Some(after), None) => Ok(Ok(after)),
        (None, Some(why)) => Ok(Err(why)),
        (None, None) => Err(Silence(format!("the agent sent no observation from after the {}", word(action.action)))),
        (Some(_), Some(why)) => Err(Silence(format!("the agent sent an observation and says there is none: {why}"))),
    }
}

fn in_order(action: &ActionReport, expected: Action) -> Result<(), Silence> {
    if action.action == expected {
        return Ok(());
    }
    Err(Silence(format!("the agent reported the {} where the {} was due", word(action.action), word(expected))))
}

/// A course that ended here must not have gone on.
fn nothing_after(next: Option<&ActionReport>, judgement: Judgement) -> Result<Judgement, Silence> {
    match next {
        None => Ok(judgement),
        Some(action) => Err(Silence(format!("the agent reported the {} after the trial's end", word(action.action)))),
    }
}

fn word(action: Action) -> &'static str {
    match action {
        Action::Dump => "dump",
        Action::DumpLeaveRunning => "dump with leave-running",
        Action::Restore => "restore",
    }
}

fn first_error(action: &ActionReport, status: i32) -> String {
    match action.error_lines.first() {
        Some(line) => line.trim().to_owned(),
        None => format!("the {} ended with status {status} and no error line", word(action.action)),
    }
}
