//! What a dump comes to that must refuse.

use protocol::Observation;
use protocol::message::{Action, ActionEnd, ActionReport, Lifecycle};
use protocol::observation::ObjectView;

use super::difference::Difference;
use super::lifecycle::{LifecycleJudge, Silence, Step, add, next, nothing_after, sanitized};
use super::refusal;
use super::verdict::{FailureKind, Judgement, Verdict};

impl LifecycleJudge<'_> {
    /// The first dump that the harness does not spoil must fail, name the object, and change
    /// nothing. A pre-dump, which saves memory only, may do either.
    pub(super) fn refused(&self, lifecycle: Lifecycle, why: &str) -> Result<Judgement, Silence> {
        let (own, candidates): (Vec<_>, Vec<_>) =
            refusal::out_of_sight(self.before).into_iter().partition(|object| refusal::is_of_the_harness(object));
        if candidates.is_empty() {
            return Err(Silence(
                "nothing is detached or in another namespace, so there is nothing to refuse: the scenario proves nothing".into(),
            ));
        }
        let mut actions = self.report.actions.iter();
        let (mut differences, mut base) = (Vec::new(), self.before);
        for &expected in lifecycle.actions() {
            let action = next(&mut actions, expected)?;
            let judgement = match (&action.end, expected) {
                (ActionEnd::Failed(_), _) if !expected.is_spoilt() && sanitized(action).is_none() => {
                    self.refusal(action, base, (&candidates, &own), differences)?
                }
                (ActionEnd::Done, Action::DumpLeaveRunning | Action::DumpLeaveStopped) => {
                    return self.accepted(lifecycle, why);
                }
                (ActionEnd::Done, dump) if dump.ends_process() => return self.accepted(lifecycle, why),
                _ => match self.step(action, self.before, base)? {
                    Step::Went(more) => {
                        add(&mut differences, more);
                        base = action.after.as_ref().unwrap_or(base);
                        continue;
                    }
                    ended @ Step::Ended { .. } => self.end(ended, &differences),
                },
            };
            return nothing_after(actions.next(), judgement);
        }
        Err(Silence("the lifecycle has no dump that could be refused".into()))
    }

    /// What a dump that refused is worth. It must name one of the program's objects; one that names
    /// only the harness's `own` says nothing of the program.
    fn refusal(
        &self,
        dump: &ActionReport,
        base: &Observation,
        (candidates, own): (&[&ObjectView], &[&ObjectView]),
        mut differences: Vec<Difference>,
    ) -> Result<Judgement, Silence> {
        if let Some(harm) = self.harm(dump, base)? {
            return Ok(self.end(harm, &differences));
        }
        if refusal::names_one(&dump.error_lines, candidates) {
            return match self.probes(true)? {
                Step::Went(more) => {
                    add(&mut differences, more);
                    Ok(self.weigh(differences, None))
                }
                ended @ Step::Ended { .. } => Ok(self.end(ended, &differences)),
            };
        }
        let said = dump.error_lines.first().map_or("(no error line)", String::as_str);
        if refusal::names_one(&dump.error_lines, own) {
            return Err(Silence(format!("the dump refused the harness's own executable: {}", said.trim())));
        }
        let reason = format!("the refusal does not name the descriptor: {}", said.trim());
        Ok(self.end(Step::Ended { kind: FailureKind::DumpFailed, reason, differences: Vec::new() }, &differences))
    }

    /// A dump that accepts what cannot be restored is wrong even when the restore happens to look
    /// right: it does so because of what else is there at that moment. The reason says what the
    /// restore did wrong, too.
    fn accepted(&self, lifecycle: Lifecycle, why: &str) -> Result<Judgement, Silence> {
        let judgement = self.restored(lifecycle)?;
        if let Verdict::Fail(FailureKind::Hang | FailureKind::Crash) = judgement.verdict {
            return Ok(judgement);
        }
        let then = match judgement.verdict {
            Verdict::Fail(kind) => format!("then {kind}: {}", judgement.reason),
            _ => "afterwards everything looked the same, by luck".to_owned(),
        };
        let reason = format!("the dump accepted what nobody can restore ({why}); {then}");
        Ok(Judgement { verdict: Verdict::Fail(FailureKind::LostObject), reason, ..judgement })
    }
}
