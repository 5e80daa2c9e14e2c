//! Probes: what the process can do, against its twin.

use expect_test::{Expect, expect};
use protocol::message::{Lifecycle, TrialReport};
use protocol::probe::ProbeGroup::{self, Busy, Names, Written};
use protocol::probe::{Probe, Probed, Probes};
use scenarios::Scenario;

use super::fixture::*;
use crate::judge::comparisons::PROBES;
use crate::judge::{Context, Judge};

const NAMED: &str = "(00.1) Error (criu/files-reg.c:1): Can't lookup mount=58 for fd=3 path=/f";

fn probe(group: ProbeGroup, of: &str, what: &str, outcome: &str) -> Probe {
    Probe { group, of: of.into(), what: what.into(), outcome: outcome.into() }
}

/// What a twin can do.
fn usual() -> Vec<Probe> {
    vec![
        probe(Written, "fd0", "write a line", "then at 8"),
        probe(Written, "fd0", "read", "8 bytes, sha256 00"),
        probe(Names, "fd1", "make a file there", "done"),
        probe(Names, "fd1", "mode and owner of a file made there", "mode 0644, owner 0:0"),
        probe(Busy, "a", "unmount", "done"),
        probe(Busy, "a", "unmount", "EINVAL"),
    ]
}

/// A trial that looks right, with what the process came to.
fn trial(process: Probed) -> TrialReport {
    let probes = Some(Probes { process, twin: Probed::Done(usual()) });
    TrialReport { probes, ..cycle(restored(observation(3))) }
}

/// One where the outcome of these probes is another.
fn otherwise(changes: &[(usize, &str)]) -> TrialReport {
    let mut process = usual();
    changes.iter().for_each(|&(index, outcome)| process[index].outcome = outcome.into());
    trial(Probed::Done(process))
}

fn probed(lifecycle: Lifecycle) -> Context {
    Context { probed: true, ..context(lifecycle) }
}

fn check(scenario: &Scenario, report: &TrialReport, expected: &Expect) {
    let judgement = Judge::default().judge(scenario, probed(Lifecycle::DumpRestore), report);
    let differences = judgement.differences.iter().map(|difference| {
        format!("\n{} {difference}: expected {}, got {}", difference.comparison, difference.expected, difference.got)
    });
    expected.assert_eq(&format!("{}: {}{}", judgement.verdict, judgement.reason, differences.collect::<String>()));
}

#[test]
fn a_process_that_can_do_what_its_twin_can_passes() {
    check(&scenario(), &trial(Probed::Done(usual())), &expect!["pass: "]);
}

#[test]
fn what_it_cannot_do_is_a_difference_of_the_groups_kind() {
    // The groups decide the order, not the order in which they were tried.
    let report = otherwise(&[(5, "EBUSY"), (3, "mode 0666, owner 0:0")]);
    check(
        &scenario(),
        &report,
        &expect![[r#"
            fail(wrong-resolution): fd1, probe: mode and owner of a file made there: expected mode 0644, owner 0:0, got mode 0666, owner 0:0 (and 1 more)
            probe-names fd1, probe: mode and owner of a file made there: expected mode 0644, owner 0:0, got mode 0666, owner 0:0
            probe-busy a, probe: unmount: expected EINVAL, got EBUSY"#]],
    );
}

#[test]
fn what_only_one_of_them_tried_is_a_difference() {
    let mut process = usual();
    process[1].what = "read more".into();
    check(
        &scenario(),
        &trial(Probed::Done(process)),
        &expect![[r#"
            fail(wrong-content): fd0, probe: read: expected 8 bytes, sha256 00, got (not tried) (and 1 more)
            probe-written fd0, probe: read: expected 8 bytes, sha256 00, got (not tried)
            probe-written fd0, probe: read more: expected (not tried), got 8 bytes, sha256 00"#]],
    );
}

#[test]
fn a_look_explains_more_than_a_probe() {
    let mut report = otherwise(&[(0, "EBADF")]);
    let last = report.actions.last_mut().and_then(|action| action.after.as_mut()).unwrap();
    last.process.state = "T".into();
    let judgement = Judge::default().judge(&scenario(), probed(Lifecycle::DumpRestore), &report);
    let comparisons: Vec<&str> = judgement.differences.iter().map(|one| one.comparison.as_str()).collect();
    assert_eq!(comparisons, ["process", "probe-written"]);
}

#[test]
fn silence_is_an_error() {
    let without = TrialReport { probes: None, ..trial(Probed::Done(usual())) };
    check(&scenario(), &without, &expect!["error: the agent did not probe the process"]);
    let mut no_twin = trial(Probed::Done(usual()));
    no_twin.probes.as_mut().unwrap().twin = Probed::Failed("no disk".into());
    check(&scenario(), &no_twin, &expect!["error: probing the twin: no disk"]);
}

#[test]
fn a_process_that_does_not_answer_is_lost() {
    check(
        &scenario(),
        &trial(Probed::Failed("it was ended by SIGSEGV".into())),
        &expect!["fail(lost-object): the process cannot do what it could: it was ended by SIGSEGV"],
    );
}

#[test]
fn after_a_refusal_it_is_harm() {
    let probes = otherwise(&[(4, "EBUSY")]).probes;
    let report = TrialReport { probes, ..failed_dump(observation(0), NAMED) };
    check(
        &refused(),
        &report,
        &expect![[r#"
            fail(harmed-by-dump): a, probe: unmount: expected done, got EBUSY
            probe-busy a, probe: unmount: expected done, got EBUSY"#]],
    );
}

#[test]
fn every_group_can_be_left_out() {
    for (group, row) in PROBES {
        let mut process = usual();
        process.push(probe(group, "fd9", "something else", "done"));
        let report = trial(Probed::Done(process));
        let differing =
            |disabled| Judge { disabled }.judge(&scenario(), probed(Lifecycle::DumpRestore), &report).differences.len();
        assert_eq!((differing(None), differing(Some(row))), (1, 0), "{row}");
    }
}

#[test]
fn every_group_has_a_comparison() {
    assert_eq!(PROBES.map(|(group, _)| group), ProbeGroup::ALL);
}
