//! Others changed the tree between dump and restore: what a restore is held against, and what a
//! refusal must say.

use expect_test::expect;
use protocol::Observation;
use protocol::message::{Action, ActionEnd, ActionReport, Lifecycle, TrialReport};
use protocol::observation::Object;

use super::fixture::*;
use crate::judge::judge;

const CYCLE: Lifecycle = Lifecycle::ChangedTree;

/// What the process is after others changed the tree: descriptor 3 has another name.
fn changed(mut seen: Observation) -> Observation {
    for view in [&mut seen.inside, &mut seen.outside] {
        for object in view.objects.iter_mut().filter(|object| object.object == Object::Fd(3)) {
            object.link = "/renamed".into();
        }
    }
    seen
}

/// A trial with this end of its restore.
fn restoring(end: ActionEnd, after: Option<Observation>, lines: &[&str]) -> TrialReport {
    let mut restore = action(Action::Restore, end, after);
    restore.error_lines = lines.iter().map(|line| (*line).to_owned()).collect();
    report(vec![
        action(Action::DumpLeaveRunning, ActionEnd::Done, Some(observation(0))),
        action(Action::Change, ActionEnd::Done, Some(changed(observation(0)))),
        action(Action::End, ActionEnd::Done, None),
        restore,
    ])
}

fn rendered(report: &TrialReport) -> String {
    let judgement = judge(&scenario(), context(CYCLE), report);
    format!("{}: {} [{}]", judgement.verdict, judgement.reason, judgement.differences.len())
}

#[test]
fn a_restore_is_held_against_the_process_after_the_change() {
    assert!(changed(observation(0)) != observation(0), "the change changes something");
    let right = restoring(ActionEnd::Done, Some(restored(changed(observation(3)))), &[]);
    assert_eq!(rendered(&right), "pass:  [0]");
    let stale = restoring(ActionEnd::Done, Some(restored(observation(3))), &[]);
    assert!(rendered(&stale).starts_with("fail(wrong-path)"), "{}", rendered(&stale));
}

#[test]
fn a_restore_may_refuse_when_it_names_an_object_and_leaves_nothing() {
    let named = ["Error (criu/files-reg.c:1): File /f has bad size 3 (expect 5)"];
    let refused = |lines| restoring(ActionEnd::Failed(1), None, lines);
    assert_eq!(rendered(&refused(&named)), "pass:  [0]");
    expect!["fail(restore-failed): the tree was changed, and the refusal to restore does not name an object: Error (criu/cr-restore.c:1): Restoring FAILED. [0]"]
        .assert_eq(&rendered(&refused(&["Error (criu/cr-restore.c:1): Restoring FAILED."])));
    let mut leaves = refused(&named);
    leaves.actions[3].left = vec!["file a/.cr.1.ghost".into()];
    assert!(rendered(&leaves).starts_with("fail(harmed-by-restore)"), "{}", rendered(&leaves));
}

#[test]
fn a_change_that_was_not_made_is_no_verdict() {
    let mut report = restoring(ActionEnd::Done, Some(restored(observation(3))), &[]);
    let failed = ActionReport {
        error_lines: vec!["line 9: change unlink a/f: ENOENT".into()],
        ..action(Action::Change, ActionEnd::Failed(1), Some(observation(0)))
    };
    report.actions.truncate(1);
    report.actions.push(failed);
    assert_eq!(rendered(&report), "error: line 9: change unlink a/f: ENOENT [0]");
    let mut there = restoring(ActionEnd::Done, None, &[]);
    there.actions.truncate(3);
    there.actions[2].unobservable = Some("the process is still there".into());
    assert_eq!(rendered(&there), "error: the process was to be ended: the process is still there [0]");
}
