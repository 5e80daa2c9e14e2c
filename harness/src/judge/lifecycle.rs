//! What happened to the process, action by action, and what to make of it.
//!
//! An action that did not succeed decides the verdict. One that says it succeeded is not believed:
//! the observation after it decides. What is missing from the report is [`Silence`], which becomes
//! an error and never a pass.

use protocol::Observation;
use protocol::message::{Action, ActionEnd, ActionReport, Lifecycle, SANITIZER, TrialReport};

use super::comparisons::{self, Mode};
use super::difference::Difference;
use super::probes::{self, Compared};
use super::verdict::{FailureKind, Judgement, Verdict};
use super::{DIFFERENCE_LIMIT, Judge};

/// Something that had to be in the report is not.
pub(super) struct Silence(pub(super) String);

/// What one action came to.
pub(super) enum Step {
    /// It ended as it must; what differs in the observation after it.
    Went(Vec<Difference>),
    /// It did not, or did harm: the trial's end.
    Ended { kind: FailureKind, reason: String, differences: Vec<Difference> },
}

impl Step {
    pub(super) fn ended(kind: FailureKind, reason: String) -> Result<Step, Silence> {
        Ok(Step::Ended { kind, reason, differences: Vec::new() })
    }
}

/// A trial that got as far as its first action.
pub(super) struct LifecycleJudge<'a> {
    pub(super) judge: &'a Judge,
    pub(super) before: &'a Observation,
    pub(super) report: &'a TrialReport,
    /// Probes were asked for.
    pub(super) probed: bool,
}

impl LifecycleJudge<'_> {
    /// Every action must end as it is meant to, and all be the same after each.
    pub(super) fn restored(&self, lifecycle: Lifecycle) -> Result<Judgement, Silence> {
        let mut actions = self.report.actions.iter();
        let mut differences = Vec::new();
        // A restore is held against the first observation, or the one after others changed the
        // tree; what must change nothing at all, against the last one.
        let (mut right, mut base) = (self.before, self.before);
        let is_changed = lifecycle.actions().contains(&Action::Change);
        for &expected in lifecycle.actions() {
            let action = next(&mut actions, expected)?;
            if let (ActionEnd::Failed(status), true, true) = (&action.end, is_changed, expected.restores())
                && sanitized(action).is_none()
            {
                return nothing_after(actions.next(), self.refused_restore(action, *status, right, differences));
            }
            match self.step(action, right, base)? {
                Step::Went(more) => add(&mut differences, more),
                ended @ Step::Ended { .. } => return nothing_after(actions.next(), self.end(ended, &differences)),
            }
            base = action.after.as_ref().unwrap_or(base);
            if expected == Action::Change {
                right = base;
            }
        }
        let left_running = lifecycle.has_a_subject() && !lifecycle.restores();
        match self.probes(left_running)? {
            Step::Went(more) => add(&mut differences, more),
            ended @ Step::Ended { .. } => return nothing_after(actions.next(), self.end(ended, &differences)),
        }
        nothing_after(actions.next(), self.weigh(differences, None))
    }

    /// What became of one action, and of the observation after it. `base` is the observation before
    /// it, `right` the one that a restore must come to.
    pub(super) fn step(&self, action: &ActionReport, right: &Observation, base: &Observation) -> Result<Step, Silence> {
        let did = action.action.word();
        if let Some(report) = sanitized(action) {
            return Step::ended(FailureKind::Crash, report.to_owned());
        }
        if action.action.is_spoilt() && action.action.ended_well(&action.end) {
            return self.spoilt(action, base);
        }
        if action.action.is_of_the_harness() {
            return self.of_the_harness(action, base);
        }
        match (&action.end, action.action) {
            (ActionEnd::TimedOut, _) => {
                Step::ended(FailureKind::Hang, format!("the {did} did not end within {} ms", action.duration_ms))
            }
            (ActionEnd::Killed(signal), _) => {
                let place = bug(action).map_or_else(String::new, |line| format!(": {line}"));
                Step::ended(FailureKind::Crash, format!("the {did} was ended by signal {signal}{place}"))
            }
            (ActionEnd::Failed(status), did) if did.restores() => Ok(Step::Ended {
                kind: FailureKind::RestoreFailed,
                reason: first_error(action, *status),
                differences: self.harm_by_restore(action, *status),
            }),
            (ActionEnd::Failed(status), _) => match self.harm(action, base)? {
                Some(harm) => Ok(harm),
                None => Step::ended(FailureKind::DumpFailed, first_error(action, *status)),
            },
            (ActionEnd::Done, dump) if dump.ends_process() => match (&action.after, &action.unobservable) {
                (None, None) => Ok(Step::Went(self.caller(action)?)),
                (None, Some(why)) => {
                    Step::ended(FailureKind::LostObject, format!("the {did} says it succeeded, but: {why}"))
                }
                _ => Err(Silence("the agent saw a process after a dump that should have ended it".into())),
            },
            (ActionEnd::Done, Action::FailedDump) => {
                let reason = format!("the {did} says it succeeded, though there was no room for its images");
                Step::ended(FailureKind::LostObject, reason)
            }
            (ActionEnd::Done, restore) if restore.is_spoilt() && restore.restores() => {
                let reason = format!("the {did} says it succeeded, though a hook was to spoil it");
                Step::ended(FailureKind::LostObject, reason)
            }
            (ActionEnd::Done, Action::KilledDump) => {
                Err(Silence("the dump that was to be killed came to its end before".into()))
            }
            (ActionEnd::Done, Action::DumpLeaveRunning | Action::DumpLeaveStopped | Action::PreDump) => {
                match look(action)? {
                    Err(why) => {
                        Step::ended(FailureKind::HarmedByDump, format!("the process is gone after the {did}: {why}"))
                    }
                    Ok(after) => Ok(Step::Went(self.differing(base, after, Mode::Strict))),
                }
            }
            (ActionEnd::Done, _) => match look(action)? {
                Err(why) => Step::ended(FailureKind::LostObject, format!("the {did} says it succeeded, but: {why}")),
                Ok(after) => {
                    let mut differences = self.differing(right, after, Mode::Relational);
                    differences.extend(self.caller(action)?);
                    Ok(Step::Went(differences))
                }
            },
        }
    }

    /// What no subject has a part in.
    fn of_the_harness(&self, action: &ActionReport, base: &Observation) -> Result<Step, Silence> {
        let did = action.action.word();
        match (&action.end, action.action) {
            (ActionEnd::Done, Action::End) => match &action.unobservable {
                None => Ok(Step::Went(Vec::new())),
                Some(why) => Err(Silence(format!("the process was to be ended: {why}"))),
            },
            (ActionEnd::Done, _) => match (look(action)?, action.action) {
                (Err(why), Action::Change) => {
                    Err(Silence(format!("the process is gone after others changed the tree: {why}")))
                }
                (Err(why), _) => Err(Silence(format!("the process is gone though nothing was done to it: {why}"))),
                (Ok(_), Action::Change) => Ok(Step::Went(Vec::new())),
                (Ok(after), _) => Ok(Step::Went(comparisons::compare(base, after, Mode::Strict, self.judge.disabled))),
            },
            (ActionEnd::Failed(status), _) => Err(Silence(first_error(action, *status))),
            (ActionEnd::Killed(_) | ActionEnd::TimedOut, _) => Err(Silence(format!("the {did} came to no end"))),
        }
    }

    /// A dump or restore that the harness had fail: whatever it changed is harm.
    fn spoilt(&self, dump: &ActionReport, base: &Observation) -> Result<Step, Silence> {
        if dump.action.restores() {
            return Ok(Step::Went(match dump.end {
                ActionEnd::Failed(status) => self.harm_by_restore(dump, status),
                // Who is killed cannot take away what it made.
                _ => Vec::new(),
            }));
        }
        let after = match look(dump)? {
            Ok(after) => after,
            Err(why) => {
                let reason = format!("the process is gone after the {}: {why}", dump.action.word());
                return Step::ended(FailureKind::HarmedByDump, reason);
            }
        };
        let mut differences = self.differing(base, after, Mode::Strict);
        differences.iter_mut().for_each(|difference| difference.kind = FailureKind::HarmedByDump);
        Ok(Step::Went(differences))
    }

    /// What a failed dump did to the process; `None` when it is unharmed and nothing was left
    /// behind.
    pub(super) fn harm(&self, dump: &ActionReport, base: &Observation) -> Result<Option<Step>, Silence> {
        let kind = FailureKind::HarmedByDump;
        let after = match look(dump)? {
            Ok(after) => after,
            Err(why) => return Step::ended(kind, format!("the dump failed and the process is gone: {why}")).map(Some),
        };
        let differences = comparisons::compare(base, after, Mode::Strict, self.judge.disabled);
        let all: Vec<Difference> = differences.iter().cloned().chain(self.leftovers()).collect();
        let Some(first) = all.first() else { return Ok(None) };
        let reason = format!("the dump failed and did not leave all as it was: {}", summary(first, all.len()));
        Ok(Some(Step::Ended { kind, reason, differences }))
    }

    fn differing(&self, base: &Observation, after: &Observation, mode: Mode) -> Vec<Difference> {
        let mut differences = comparisons::compare(base, after, mode, self.judge.disabled);
        if mode == Mode::Strict {
            // Whatever changed in a process that should just go on is harm; only litter keeps its
            // name.
            for difference in differences.iter_mut().filter(|difference| difference.kind != FailureKind::Litter) {
                difference.kind = FailureKind::HarmedByDump;
            }
            differences.sort_by_key(|difference| difference.kind == FailureKind::Litter);
        }
        differences
    }

    /// The verdict of a step that ended the trial. What differed before is summarised: it does not
    /// decide, and must not be taken for what does.
    pub(super) fn end(&self, step: Step, earlier: &[Difference]) -> Judgement {
        let (kind, reason, differences) = match step {
            Step::Ended { kind, reason, differences } => (kind, reason, differences),
            Step::Went(differences) => return self.weigh(differences, None),
        };
        let before = earlier.first().map(|first| format!("; before that, {}", summary(first, earlier.len())));
        self.weigh(differences, Some((kind, reason + &before.unwrap_or_default())))
    }

    /// What the process cannot do that its twin can, or the reverse; harm where a dump left
    /// it running.
    pub(super) fn probes(&self, left_running: bool) -> Result<Step, Silence> {
        if !self.probed {
            return Ok(Step::Went(Vec::new()));
        }
        let silence = || Silence("the agent did not probe the process".into());
        match probes::compare(self.report.probes.as_ref().ok_or_else(silence)?) {
            Compared::Both(mut differences) => {
                differences.retain(|difference| self.judge.disabled != Some(&*difference.comparison));
                if left_running {
                    differences.iter_mut().for_each(|difference| difference.kind = FailureKind::HarmedByDump);
                }
                Ok(Step::Went(differences))
            }
            Compared::TwinOnly(why) => {
                let kind = if left_running { FailureKind::HarmedByDump } else { FailureKind::LostObject };
                Step::ended(kind, format!("the process cannot do what it could: {why}"))
            }
            Compared::Neither(why) => Err(Silence(why)),
        }
    }

    /// What the caller did not find as it must be.
    fn caller(&self, action: &ActionReport) -> Result<Vec<Difference>, Silence> {
        let differences = comparisons::caller(action).map_err(Silence)?;
        let on = self.judge.disabled != Some(comparisons::CALLER);
        Ok(if on { differences } else { Vec::new() })
    }

    /// What the observation after a failed restore found is reported there, not here.
    fn leftovers(&self) -> impl Iterator<Item = Difference> {
        let on = self.judge.disabled != Some(comparisons::LEFTOVERS);
        let is_reported = |what: &&String| self.report.actions.iter().any(|action| action.left.contains(what));
        comparisons::leftovers(self.report.leftovers.iter().filter(move |what| on && !is_reported(what)))
    }

    /// The verdict of some differences, with what was left behind: the given kind, or that of the
    /// first difference.
    pub(super) fn weigh(&self, mut differences: Vec<Difference>, given: Option<(FailureKind, String)>) -> Judgement {
        differences.extend(self.leftovers());
        let first = differences.first().map(|first| (first.kind, summary(first, differences.len())));
        let (verdict, reason) = match given.or(first) {
            Some((kind, reason)) => (Verdict::Fail(kind), reason),
            None => (Verdict::Pass, String::new()),
        };
        let more_differences = differences.len().saturating_sub(DIFFERENCE_LIMIT);
        differences.truncate(DIFFERENCE_LIMIT);
        Judgement { differences, more_differences, ..Judgement::plain(verdict, reason) }
    }
}

/// A difference that is the same after several actions is reported once.
pub(super) fn add(differences: &mut Vec<Difference>, more: Vec<Difference>) {
    let new: Vec<Difference> = more.into_iter().filter(|difference| !differences.contains(difference)).collect();
    differences.extend(new);
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
pub(super) fn look(action: &ActionReport) -> Result<Result<&Observation, &str>, Silence> {
    match (&action.after, &action.unobservable) {
        (Some(after), None) => Ok(Ok(after)),
        (None, Some(why)) => Ok(Err(why)),
        (None, None) => Err(Silence(format!("the agent sent no observation from after the {}", action.action.word()))),
        (Some(_), Some(why)) => Err(Silence(format!("the agent sent an observation and says there is none: {why}"))),
    }
}

/// The report of the action that is due.
pub(super) fn next<'a>(
    actions: &mut impl Iterator<Item = &'a ActionReport>,
    expected: Action,
) -> Result<&'a ActionReport, Silence> {
    let due = expected.word();
    match actions.next() {
        None => Err(Silence(format!("the agent did not report the {due}"))),
        Some(action) if action.action == expected => Ok(action),
        Some(action) => {
            Err(Silence(format!("the agent reported the {} where the {due} was due", action.action.word())))
        }
    }
}

/// A course that ended here must not have gone on.
pub(super) fn nothing_after(next: Option<&ActionReport>, judgement: Judgement) -> Result<Judgement, Silence> {
    match next {
        None => Ok(judgement),
        Some(action) => Err(Silence(format!("the agent reported the {} after the trial's end", action.action.word()))),
    }
}

/// What the address sanitizer said of criu; then its end does not count, which may be that of any
/// failure.
pub(super) fn sanitized(action: &ActionReport) -> Option<&str> {
    action.error_lines.first().map(|line| line.trim()).filter(|line| line.starts_with(SANITIZER))
}

/// Where criu aborted by itself, as its `BUG_ON` (include/common/bug.h) logs it. Without it, two
/// aborts would be one cause.
fn bug(action: &ActionReport) -> Option<&str> {
    action.error_lines.iter().map(|line| line.trim()).find(|line| line.contains("BUG at "))
}

pub(super) fn first_error(action: &ActionReport, status: i32) -> String {
    match action.error_lines.first() {
        Some(line) => line.trim().to_owned(),
        None => format!("the {} ended with status {status} and no error line", action.action.word()),
    }
}
