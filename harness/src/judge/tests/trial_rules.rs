//! From a report to a verdict: what decides, in which order, and that silence is never a pass.

use expect_test::expect;
use protocol::message::{Action, ActionEnd, FailedAssertion, Lifecycle, SecondTry, SetupFailure, TrialReport};
use protocol::observation::MountState;
use scenarios::{Errno, Scenario};

use super::fixture::*;
use crate::judge::{FailureKind, Judge, Judgement, Signature, Verdict, judge};

const CYCLE: Lifecycle = Lifecycle::DumpRestore;
const NAMED: &str = "(00.1) Error (criu/files-reg.c:1): Can't lookup mount=58 for fd=3 path=/f";

fn shown(scenario: &Scenario, lifecycle: Lifecycle, report: &TrialReport) -> String {
    let Judgement { verdict, reason, differences, .. } = judge(scenario, context(lifecycle), report);
    format!("{verdict}: {reason} [{}]", differences.len())
}

fn cycle_of(report: &TrialReport) -> String {
    shown(&scenario(), CYCLE, report)
}

fn harmed() -> protocol::Observation {
    let mut seen = observation(0);
    seen.process.state = "T".into();
    seen
}

#[test]
fn a_faithful_restore_passes() {
    expect!["pass:  [0]"].assert_eq(&cycle_of(&cycle(restored(observation(5)))));
}

#[test]
fn setup_and_assertions() {
    let mut report = TrialReport::default();
    let failure = |missing: Option<&str>| SetupFailure {
        line: 4,
        what: "mount btrfs on a: ENODEV".into(),
        missing: missing.map(Into::into),
        errno: Some(Errno::ENODEV),
    };
    report.setup_failure = Some(failure(Some("btrfs")));
    expect!["unsupported: no btrfs here: mount btrfs on a: ENODEV [0]"].assert_eq(&cycle_of(&report));
    report.setup_failure = Some(failure(None));
    expect!["error: line 4: mount btrfs on a: ENODEV [0]"].assert_eq(&cycle_of(&report));
    let mut report = cycle(observation(0));
    let claim = FailedAssertion { line: 9, expected: "fd0 detached".into(), got: "visible".into() };
    report.failed_assertions = vec![claim.clone(), claim];
    expect!["error: the situation did not come about: line 9: expected fd0 detached, got visible (and 1 more) [0]"]
        .assert_eq(&cycle_of(&report));
}

#[test]
fn silence_is_an_error() {
    expect!["error: the agent sent no observation from before the first action [0]"]
        .assert_eq(&cycle_of(&TrialReport::default()));
    expect!["error: the agent did not report the dump [0]"].assert_eq(&cycle_of(&report(vec![])));
    let dumped = action(Action::Dump, ActionEnd::Done, None);
    expect!["error: the agent did not report the restore [0]"].assert_eq(&cycle_of(&report(vec![dumped.clone()])));
    let unseen = action(Action::Restore, ActionEnd::Done, None);
    expect!["error: the agent sent no observation from after the restore [0]"]
        .assert_eq(&cycle_of(&report(vec![dumped.clone(), unseen])));
    let unseen = action(Action::Dump, ActionEnd::Failed(1), None);
    expect!["error: the agent sent no observation from after the dump [0]"].assert_eq(&cycle_of(&report(vec![unseen])));
}

#[test]
fn a_report_that_contradicts_itself_is_an_error() {
    let mut twice = cycle(observation(0));
    twice.actions.push(twice.actions[1].clone());
    expect!["error: the agent reported the restore after the trial's end [0]"].assert_eq(&cycle_of(&twice));
    let wrong = action(Action::DumpLeaveRunning, ActionEnd::Done, Some(observation(0)));
    expect!["error: the agent reported the dump-leave-running where the dump was due [0]"]
        .assert_eq(&cycle_of(&report(vec![wrong])));
    let mut empty = cycle(Default::default());
    empty.before = Some(Default::default());
    expect!["error: the agent saw no objects or no mounts: nothing can be compared [0]"].assert_eq(&cycle_of(&empty));
    let mut ghost = cycle(observation(0));
    ghost.actions[0].after = Some(observation(0));
    expect!["error: the agent saw a process after a dump that should have ended it [0]"].assert_eq(&cycle_of(&ghost));
    let mut both = cycle(observation(0));
    both.actions[1].unobservable = Some("gone".into());
    expect!["error: the agent sent an observation and says there is none: gone [0]"].assert_eq(&cycle_of(&both));
}

#[test]
fn how_an_action_ended() {
    let end = |end| action(Action::Dump, end, None);
    expect!["fail(hang): the dump did not end within 400 ms [0]"]
        .assert_eq(&cycle_of(&report(vec![end(ActionEnd::TimedOut)])));
    expect!["fail(crash): the dump was ended by signal 11 [0]"]
        .assert_eq(&cycle_of(&report(vec![end(ActionEnd::Killed(11))])));
    let mut failed = action(Action::Restore, ActionEnd::Failed(1), None);
    let dumped = action(Action::Dump, ActionEnd::Done, None);
    expect!["fail(restore-failed): the restore ended with status 1 and no error line [0]"]
        .assert_eq(&cycle_of(&report(vec![dumped.clone(), failed.clone()])));
    failed.error_lines = vec!["first".into(), "second".into()];
    expect!["fail(restore-failed): first [0]"].assert_eq(&cycle_of(&report(vec![dumped.clone(), failed])));
    let mut gone = action(Action::Restore, ActionEnd::Done, None);
    gone.unobservable = Some("no such process".into());
    expect!["fail(lost-object): the restore says it succeeded, but: no such process [0]"]
        .assert_eq(&cycle_of(&report(vec![dumped, gone])));
}

/// What the failed restore did besides stands with the failure and does not take its place.
#[test]
fn what_a_failed_restore_did_besides_is_reported_with_it() {
    let dumped = action(Action::Dump, ActionEnd::Done, None);
    let judged = |left: &[&str], second: Option<(ActionEnd, &str)>| {
        let mut failed = action(Action::Restore, ActionEnd::Failed(1), None);
        failed.error_lines = vec!["Error (a.c:1): no 17".into()];
        failed.left = left.iter().map(|&what| what.into()).collect();
        failed.second_try = second.map(|(end, line)| SecondTry { end, error_lines: vec![line.into()] });
        let mut report = report(vec![dumped.clone(), failed]);
        report.leftovers = vec!["process 7 (tar)".into()];
        let judgement = judge(&scenario(), context(CYCLE), &report);
        assert_eq!(Signature::of(&judgement).0, "restore-failed Error (a.c:N): no N");
        let differences = judgement.differences.iter().map(|one| format!("{} {one}: {}", one.kind, one.got));
        format!("{}: {}\n", judgement.verdict, judgement.reason) + &differences.collect::<Vec<_>>().join("\n")
    };
    expect![[r#"
        fail(restore-failed): Error (a.c:1): no 17
        harmed-by-restore left by the failed restore, outside: file /t/1/x
        harmed-by-restore left by the failed restore, outside: process 7 (tar)
        harmed-by-restore a second try in the same root, outside: Error (a.c:2): File exists"#]]
    .assert_eq(&judged(
        &["file /t/1/x", "process 7 (tar)"],
        Some((ActionEnd::Failed(1), "Error (a.c:2): File exists")),
    ));
    expect![[r#"
        fail(restore-failed): Error (a.c:1): no 17
        harmed-by-restore a second try in the same root, outside: it succeeds
        litter left behind when the processes had ended, outside: process 7 (tar)"#]]
    .assert_eq(&judged(&[], Some((ActionEnd::Done, ""))));
    expect![[r#"
        fail(restore-failed): Error (a.c:1): no 17
        litter left behind when the processes had ended, outside: process 7 (tar)"#]]
    .assert_eq(&judged(&[], Some((ActionEnd::Failed(1), "Error (a.c:1): no 18"))));
}

#[test]
fn a_failed_dump_must_leave_no_trace() {
    let line = "Dumping FAILED.";
    expect!["fail(dump-failed): Dumping FAILED. [0]"].assert_eq(&cycle_of(&failed_dump(observation(0), line)));
    expect!["fail(harmed-by-dump): the dump failed and did not leave all as it was: the process, outside: state: expected S, got T [1]"]
        .assert_eq(&cycle_of(&failed_dump(harmed(), line)));
    let moved = judge(&scenario(), context(CYCLE), &failed_dump(restored(observation(0)), line)).verdict;
    assert_eq!(moved, Verdict::Fail(FailureKind::HarmedByDump), "change times moved");
    let mut littered = failed_dump(observation(0), line);
    littered.leftovers = vec!["/tmp/.criu.1".into()];
    expect!["fail(harmed-by-dump): the dump failed and did not leave all as it was: left behind when the processes had ended, outside: expected (nothing), got /tmp/.criu.1 [1]"].assert_eq(&cycle_of(&littered));
    let mut killed = failed_dump(observation(0), line);
    (killed.actions[0].after, killed.actions[0].unobservable) = (None, Some("it is gone".into()));
    expect!["fail(harmed-by-dump): the dump failed and the process is gone: it is gone [0]"]
        .assert_eq(&cycle_of(&killed));
}

#[test]
fn a_dump_that_leaves_running_must_change_nothing() {
    let of = |after| {
        let report = report(vec![action(Action::DumpLeaveRunning, ActionEnd::Done, Some(after))]);
        shown(&scenario(), Lifecycle::LeaveRunning, &report)
    };
    expect!["pass:  [0]"].assert_eq(&of(observation(0)));
    expect!["fail(harmed-by-dump): the process, outside: state: expected S, got T [1]"].assert_eq(&of(harmed()));
    let mut litter = observation(0);
    let mut name = litter.tree[3].clone();
    name.path = "a/d/link_remap.1".into();
    litter.tree.push(name);
    expect!["fail(litter): a/d/link_remap.1, tree: name: expected (nothing), got regular file [1]"]
        .assert_eq(&of(litter.clone()));
    litter.process.state = "T".into();
    expect!["fail(harmed-by-dump): the process, outside: state: expected S, got T (and 1 more) [2]"]
        .assert_eq(&of(litter));
}

#[test]
fn the_kernel_comes_first() {
    let mut report = cycle(observation(0));
    let splat = "[ 1.0] WARNING: CPU: 0 PID: 1 at fs/x.c:1";
    report.kernel_log = vec!["loop0: detected capacity change".into(), splat.into()];
    expect!["fail(kernel-splat): the kernel said: [ 1.0] WARNING: CPU: 0 PID: 1 at fs/x.c:1 [0]"]
        .assert_eq(&cycle_of(&report));
    assert_eq!(judge(&scenario(), context(CYCLE), &report).quotes, [splat]);
    report.kernel_log.clear();
    report.tainted = 0x200;
    expect!["fail(kernel-splat): the kernel became tainted (0x200, was 0x0) [0]"].assert_eq(&cycle_of(&report));
}

#[test]
fn leftovers_are_litter() {
    let mut report = cycle(restored(observation(0)));
    report.leftovers = vec!["mount /run/x".into()];
    expect![
        "fail(litter): left behind when the processes had ended, outside: expected (nothing), got mount /run/x [1]"
    ]
    .assert_eq(&cycle_of(&report));
    let blind = Judge { disabled: Some("leftovers") };
    assert_eq!(blind.judge(&scenario(), context(CYCLE), &report).verdict, Verdict::Pass);
}

#[test]
fn a_refusal_names_the_object_and_does_no_harm() {
    let of = |report: &TrialReport| shown(&refused(), CYCLE, report);
    expect!["pass:  [0]"].assert_eq(&of(&failed_dump(observation(0), NAMED)));
    expect!["fail(dump-failed): the refusal does not name the descriptor: Dumping FAILED. [0]"]
        .assert_eq(&of(&failed_dump(observation(0), "Dumping FAILED.")));
    expect!["fail(harmed-by-dump): the dump failed and did not leave all as it was: the process, outside: state: expected S, got T [1]"]
        .assert_eq(&of(&failed_dump(harmed(), NAMED)));
    expect!["fail(crash): the dump was ended by signal 6 [0]"].assert_eq(&of(&report(vec![action(
        Action::Dump,
        ActionEnd::Killed(6),
        None,
    )])));
    let mut aborted = action(Action::Dump, ActionEnd::Killed(6), None);
    let lines = ["Error (criu/a.c:1): one", "Error (criu/mount.c:9): BUG at criu/mount.c:9"];
    aborted.error_lines = lines.map(str::to_owned).to_vec();
    expect!["fail(crash): the dump was ended by signal 6: Error (criu/mount.c:9): BUG at criu/mount.c:9 [0]"]
        .assert_eq(&of(&report(vec![aborted])));
    expect!["fail(hang): the dump did not end within 400 ms [0]"].assert_eq(&of(&report(vec![action(
        Action::Dump,
        ActionEnd::TimedOut,
        None,
    )])));
    let mut attached = failed_dump(observation(0), NAMED);
    let before = attached.before.as_mut().unwrap();
    for object in before.inside.objects.iter_mut().chain(&mut before.outside.objects) {
        object.mount.state = MountState::Visible;
    }
    expect!["error: nothing is detached or in another namespace, so there is nothing to refuse: the scenario proves nothing [0]"]
        .assert_eq(&of(&attached));
}

#[test]
fn accepting_what_cannot_be_restored_fails_even_when_it_looks_right() {
    let of = |report: &TrialReport| shown(&refused(), CYCLE, report);
    expect!["fail(lost-object): the dump accepted what nobody can restore (the superblock is visible nowhere else); afterwards everything looked the same, by luck [0]"].assert_eq(&of(&cycle(restored(observation(1)))));
    let dumped = action(Action::Dump, ActionEnd::Done, None);
    let failed = action(Action::Restore, ActionEnd::Failed(1), None);
    expect!["fail(lost-object): the dump accepted what nobody can restore (the superblock is visible nowhere else); then restore-failed: the restore ended with status 1 and no error line [0]"].assert_eq(&of(&report(vec![dumped.clone(), failed])));
    expect!["error: the agent did not report the restore [0]"].assert_eq(&of(&report(vec![dumped])));
}

#[test]
fn a_long_list_of_differences_is_cut_and_counted() {
    let mut after = observation(0);
    for number in 0..300 {
        let mut name = after.tree[3].clone();
        name.path = format!("litter{number}").into_bytes().into();
        after.tree.push(name);
    }
    let judgement = judge(&scenario(), context(CYCLE), &cycle(after));
    assert_eq!((judgement.differences.len(), judgement.more_differences), (200, 100));
}
