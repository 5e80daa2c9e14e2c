//! Each lifecycle: what passes, what each of its actions must come to, and what the later
//! observations are held against.

use expect_test::expect;
use protocol::Observation;
use protocol::message::{Action, ActionEnd, ActionReport, Lifecycle, TrialReport};
use protocol::observation::{MountRef, MountState, Object};

use super::fixture::*;
use crate::judge::{FailureKind, Verdict, judge};

const NAMED: &str = "(00.1) Error (criu/files-reg.c:1): Can't lookup mount=58 for fd=3 path=/f";

/// A report in which every action ends as it must. Each restore hands out other numbers.
fn faithful(lifecycle: Lifecycle) -> TrialReport {
    let mut seen = observation(0);
    let mut shift = 0;
    let actions = lifecycle.actions().iter().map(|&one| {
        if one.restores() {
            shift += 3;
            seen = restored(observation(shift));
        }
        let end = match one {
            Action::FailedDump => ActionEnd::Failed(1),
            Action::FailedRestore => ActionEnd::Failed(Action::HOOK_FAILED),
            Action::KilledDump | Action::KilledRestore => ActionEnd::Killed(Action::SIGKILL),
            _ => ActionEnd::Done,
        };
        let after = one.has_process(&end).then(|| seen.clone());
        action(one, end, after)
    });
    report(actions.collect())
}

fn rendered(lifecycle: Lifecycle, report: &TrialReport) -> String {
    let judgement = judge(&scenario(), context(lifecycle), report);
    format!("{}: {} [{}]", judgement.verdict, judgement.reason, judgement.differences.len())
}

/// The faithful report with another end of action `index`, and nothing after it.
fn broken(lifecycle: Lifecycle, index: usize, end: ActionEnd, after: Option<Observation>) -> String {
    let mut report = faithful(lifecycle);
    let which = report.actions[index].action;
    report.actions.truncate(index);
    report.actions.push(action(which, end, after));
    rendered(lifecycle, &report)
}

fn changed(report: &mut TrialReport, index: usize, change: impl Fn(&mut Observation)) {
    change(report.actions[index].after.as_mut().expect("there is a look after this action"));
}

fn stopped(seen: &mut Observation) {
    seen.process.state = "T".into();
}

fn littered(seen: &mut Observation) {
    let mut name = seen.tree[3].clone();
    name.path = "a/d/link_remap.1".into();
    seen.tree.push(name);
}

#[test]
fn a_faithful_course_passes_in_every_lifecycle() {
    for &lifecycle in Lifecycle::ALL {
        assert_eq!(rendered(lifecycle, &faithful(lifecycle)), "pass:  [0]", "{lifecycle}");
    }
}

#[test]
fn every_look_counts() {
    for &lifecycle in Lifecycle::ALL {
        for (index, ActionReport { after, .. }) in faithful(lifecycle).actions.iter().enumerate() {
            if after.is_some() {
                let mut report = faithful(lifecycle);
                changed(&mut report, index, stopped);
                let verdict = judge(&scenario(), context(lifecycle), &report).verdict;
                assert!(matches!(verdict, Verdict::Fail(_)), "{lifecycle}, action {index}: {verdict}");
            }
        }
    }
}

#[test]
fn every_action_must_be_told_and_end_well() {
    for &lifecycle in Lifecycle::ALL {
        for index in 0..lifecycle.actions().len() {
            let mut silent = faithful(lifecycle);
            silent.actions.truncate(index);
            let verdict = judge(&scenario(), context(lifecycle), &silent).verdict;
            assert_eq!(verdict, Verdict::Error, "{lifecycle}, action {index} is not told");
            let is_own = lifecycle.actions()[index].is_of_the_harness();
            let (hang, crash) = if is_own { ("error", "error") } else { ("fail(hang)", "fail(crash)") };
            let hung = broken(lifecycle, index, ActionEnd::TimedOut, None);
            assert!(hung.starts_with(hang), "{lifecycle}, action {index}: {hung}");
            let crashed = broken(lifecycle, index, ActionEnd::Killed(11), None);
            assert!(crashed.starts_with(crash), "{lifecycle}, action {index}: {crashed}");
        }
    }
}

#[test]
fn a_later_dump_that_fails_is_held_against_the_numbers_of_the_last_restore() {
    let cycle = Lifecycle::ThreeTimes;
    let unharmed = faithful(cycle).actions[1].after.clone();
    expect!["fail(dump-failed): the dump ended with status 1 and no error line [0]"].assert_eq(&broken(
        cycle,
        2,
        ActionEnd::Failed(1),
        unharmed,
    ));
    let restarted = broken(cycle, 2, ActionEnd::Failed(1), Some(restored(observation(9))));
    assert!(restarted.starts_with("fail(harmed-by-dump): the dump failed and did not"), "{restarted}");
}

#[test]
fn what_several_restores_changed_alike_is_reported_once_and_the_last_is_held_against_the_first_look() {
    let cycle = Lifecycle::ThreeTimes;
    let mut report = faithful(cycle);
    for index in [1, 3, 5] {
        changed(&mut report, index, stopped);
    }
    expect!["fail(lost-object): the process, outside: state: expected S, got T [1]"]
        .assert_eq(&rendered(cycle, &report));
    let mut report = faithful(cycle);
    changed(&mut report, 1, stopped);
    changed(&mut report, 5, littered);
    expect!["fail(lost-object): the process, outside: state: expected S, got T (and 1 more) [2]"]
        .assert_eq(&rendered(cycle, &report));
    report.actions.truncate(3);
    let failed = action(Action::Restore, ActionEnd::Failed(1), None);
    report.actions.push(failed);
    expect!["fail(restore-failed): the restore ended with status 1 and no error line; before that, the process, outside: state: expected S, got T [0]"].assert_eq(&rendered(cycle, &report));
}

#[test]
fn a_dump_that_was_spoilt_must_fail_and_change_nothing() {
    for cycle in [Lifecycle::FailedDump, Lifecycle::KilledDump] {
        let mut report = faithful(cycle);
        changed(&mut report, 0, littered);
        let harmed = rendered(cycle, &report);
        assert_eq!(
            harmed,
            "fail(harmed-by-dump): a/d/link_remap.1, tree: name: expected (nothing), got regular file [1]"
        );
        let mut report = faithful(cycle);
        report.actions[0].end = ActionEnd::Failed(1);
        report.actions[0].error_lines = vec!["no space".into()];
        assert_eq!(rendered(cycle, &report), "pass:  [0]", "a dump may refuse before it is spoilt");
        changed(&mut report, 2, stopped);
        assert_eq!(judge(&scenario(), context(cycle), &report).quotes, [""; 0]);
        let mut gone = action(cycle.actions()[0], ActionEnd::Failed(1), None);
        gone.unobservable = Some("it exited".into());
        let gone = rendered(cycle, &super::fixture::report(vec![gone]));
        let did = cycle.actions()[0].word();
        assert_eq!(gone, format!("fail(harmed-by-dump): the process is gone after the {did}: it exited [0]"));
    }
    let done = |cycle| broken(cycle, 0, ActionEnd::Done, None);
    expect!["fail(lost-object): the failed-dump says it succeeded, though there was no room for its images [0]"]
        .assert_eq(&done(Lifecycle::FailedDump));
    expect!["error: the dump that was to be killed came to its end before [0]"].assert_eq(&done(Lifecycle::KilledDump));
}

#[test]
fn what_the_address_sanitizer_reports_is_a_crash_however_criu_ends() {
    const SAID: &str = "AddressSanitizer: heap-use-after-free in dump_one criu/files.c:12";
    for &lifecycle in Lifecycle::ALL {
        for index in 0..lifecycle.actions().len() {
            for end in [ActionEnd::Failed(1), ActionEnd::Killed(6), ActionEnd::Done] {
                for scenario in [scenario(), refused()] {
                    let mut report = faithful(lifecycle);
                    report.actions.truncate(index + 1);
                    report.actions[index].end = end.clone();
                    report.actions[index].error_lines = vec![SAID.into(), "Error (criu/files.c:1): no".into()];
                    let judgement = judge(&scenario, context(lifecycle), &report);
                    assert_eq!(judgement.verdict, Verdict::Fail(FailureKind::Crash), "{lifecycle} {index} {end:?}");
                    assert_eq!(judgement.reason, SAID, "{lifecycle} {index} {end:?}");
                }
            }
        }
    }
}

#[test]
fn the_first_dump_that_is_not_spoilt_must_refuse() {
    for &lifecycle in Lifecycle::ALL.iter().filter(|lifecycle| lifecycle.has_a_subject()) {
        let of = |report: &TrialReport| {
            let judgement = judge(&refused(), context(lifecycle), report);
            format!("{}: {}", judgement.verdict, judgement.reason)
        };
        let mut report = faithful(lifecycle);
        assert!(of(&report).starts_with("fail(lost-object): the dump accepted"), "{lifecycle}: {}", of(&report));
        let real = |one: &ActionReport| !one.action.is_spoilt() && one.action != Action::PreDump;
        let index = report.actions.iter().position(real).expect("there is a dump");
        let mut refusal = action(lifecycle.actions()[index], ActionEnd::Failed(1), Some(observation(0)));
        refusal.error_lines = vec![NAMED.into()];
        report.actions.truncate(index);
        report.actions.push(refusal);
        assert_eq!(of(&report), "pass: ", "{lifecycle}");
        for before in 0..index {
            let mut harmed = report.clone();
            changed(&mut harmed, before, stopped);
            assert!(of(&harmed).starts_with("fail(harmed-by-dump)"), "{lifecycle}: {}", of(&harmed));
        }
        report.actions[index].error_lines = vec!["Dumping FAILED.".into()];
        assert!(
            of(&report).starts_with("fail(dump-failed): the refusal does not name"),
            "{lifecycle}: {}",
            of(&report)
        );
    }
    let mut early = action(Action::PreDump, ActionEnd::Failed(1), Some(observation(0)));
    early.error_lines = vec![NAMED.into()];
    let judgement = judge(&refused(), context(Lifecycle::PreDump), &report(vec![early]));
    assert_eq!(judgement.verdict, Verdict::Pass, "a pre-dump may refuse, too");
}

#[test]
fn a_process_that_nothing_is_done_to_stays_as_it_is_whatever_a_dump_would_do() {
    let mut report = faithful(Lifecycle::Untouched);
    let of = |scenario, report: &TrialReport| judge(&scenario, context(Lifecycle::Untouched), report).verdict;
    assert_eq!(of(refused(), &report), Verdict::Pass);
    changed(&mut report, 0, littered);
    for scenario in [scenario(), refused()] {
        assert_eq!(of(scenario, &report), Verdict::Fail(FailureKind::Litter));
    }
    let mut gone = action(Action::Nothing, ActionEnd::Done, None);
    gone.unobservable = Some("it exited".into());
    expect!["error: the process is gone though nothing was done to it: it exited [0]"]
        .assert_eq(&rendered(Lifecycle::Untouched, &super::fixture::report(vec![gone])));
}

#[test]
fn a_refusal_of_the_harness_itself_is_no_verdict() {
    let mut report = failed_dump(observation(0), "Can't lookup mount=99 for fd=-3 path=/.zdtm/executor");
    let judged = |report: &TrialReport| {
        let judgement = judge(&refused(), context(Lifecycle::DumpRestore), report);
        format!("{}: {}", judgement.verdict, judgement.reason)
    };
    let missed = "fail(dump-failed): the refusal does not name the descriptor: ";
    assert!(judged(&report).starts_with(missed), "{}", judged(&report));
    let before = report.before.as_mut().expect("an observation");
    let mut executable = before.inside.objects[0].clone();
    (executable.object, executable.name) = (Object::Exe, None);
    executable.link = "/.zdtm/executor".into();
    executable.mount = MountRef { state: MountState::Detached, id: 99 };
    before.inside.objects.push(executable);
    report.actions[0].after = report.before.clone();
    expect![
        "error: the dump refused the harness's own executable: Can't lookup mount=99 for fd=-3 path=/.zdtm/executor"
    ]
    .assert_eq(&judged(&report));
    report.actions[0].error_lines.push(NAMED.into());
    assert_eq!(judged(&report), "pass: ", "it names one of the program's as well");
}

#[test]
fn what_the_caller_does_not_find_counts_once_and_what_is_not_said_is_no_verdict() {
    let cycle = Lifecycle::RelativePaths;
    for index in 0..2 {
        for at in 0..faithful(cycle).actions[index].caller.len() {
            let mut report = faithful(cycle);
            report.actions[index].caller[at].got = "something else".into();
            let judgement = judge(&scenario(), context(cycle), &report);
            let seen: Vec<_> = judgement.differences.iter().map(|difference| difference.comparison.as_str()).collect();
            assert_eq!(seen, ["caller"], "{:?}", report.actions[index].caller[at]);
            report.actions[index].caller.remove(at);
            assert!(rendered(cycle, &report).starts_with("error: the agent did not say what the caller found of: "));
        }
    }
    let mut report = faithful(cycle);
    report.actions[1].caller.iter_mut().for_each(|finding| {
        if finding.what == "pidfile" {
            finding.got = "no file work/restored.pid".into();
        }
    });
    expect!["fail(wrong-content): pidfile after the relative-restore, outside: expected the process's number, in the folder to work in, got no file work/restored.pid [1]"].assert_eq(&rendered(cycle, &report));
}

#[test]
fn who_takes_away_what_a_killed_restore_left_harms_nothing() {
    let mut report = faithful(Lifecycle::KilledRestore);
    report.actions[1].left = vec!["file a/f.cr.1.ghost".into()];
    assert_eq!(rendered(Lifecycle::KilledRestore, &report), "pass:  [0]");
    report.actions[2] = action(Action::Restore, ActionEnd::Failed(1), None);
    report.actions[2].left = vec!["no longer there: a/f.cr.1.ghost".into()];
    assert!(rendered(Lifecycle::KilledRestore, &report).ends_with("no error line [0]"));
    report.actions[2].left.push("no longer there: a/f".into());
    assert!(rendered(Lifecycle::KilledRestore, &report).ends_with("no error line [1]"));
}

#[test]
fn a_restore_that_is_to_fail_must_fail_and_leave_nothing() {
    let cycle = Lifecycle::FailedRestore;
    expect!["fail(lost-object): the failed-restore says it succeeded, though a hook was to spoil it [0]"]
        .assert_eq(&broken(cycle, 1, ActionEnd::Done, Some(restored(observation(3)))));
    let mut report = faithful(cycle);
    report.actions[1].left = vec!["a/link_remap.1".into()];
    expect!["fail(harmed-by-restore): left by the failed restore, outside: expected (nothing), got a/link_remap.1 [1]"]
        .assert_eq(&rendered(cycle, &report));
    expect!["fail(restore-failed): the failed-restore ended with status 1 and no error line [0]"].assert_eq(&broken(
        cycle,
        1,
        ActionEnd::Failed(1),
        None,
    ));
    let mut used_up = faithful(cycle);
    changed(&mut used_up, 2, littered);
    assert!(rendered(cycle, &used_up).starts_with("fail(litter)"));
}
