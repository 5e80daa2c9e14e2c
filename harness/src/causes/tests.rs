//! How many failures are summarized for a reader.

use std::time::{Duration, Instant};

use expect_test::expect;

use super::{Case, Ladder, causes};
use crate::fixtures::finished_of;
use crate::judge::{Difference, FailureKind, Judgement, Side, Signature, Verdict};
use crate::report::causes_text as text;
use crate::report::record::TrialRecord;

/// A trial of a program with these steps.
fn case(name: &str, steps: &str, judgement: Judgement) -> Case {
    let steps = format!("{steps}\nassert fd0 detached\n");
    TrialRecord::from(&finished_of(name, &steps, judgement)).case().expect("it ran")
}

const WHOLE: &str = "mount tmpfs a\nwrite a/f \"x\"\nbind a b\nfd0 = open b/f rdwr\numount-lazy b\n";
const DELETED: &str = "mount tmpfs a\nwrite a/f \"x\"\nbind a b\nfd0 = open b/f rdwr\nunlink b/f\numount-lazy b\n";
const SUBDIR: &str = "mount tmpfs a\nmkdir a/d\nwrite a/d/f \"x\"\nbind a/d b\nfd0 = open b/f rdwr\numount-lazy b\n";
const SUBDIR_DELETED: &str =
    "mount tmpfs a\nmkdir a/d\nwrite a/d/f \"x\"\nbind a/d b\nfd0 = open b/f rdwr\nunlink b/f\numount-lazy b\n";

fn failed(kind: FailureKind, said: &str) -> Judgement {
    Judgement::plain(Verdict::Fail(kind), said)
}

fn run() -> Vec<Case> {
    let pass = || Judgement::plain(Verdict::Pass, "");
    let open = |number: u32| failed(FailureKind::RestoreFailed, &format!("Error (criu/a.c:{number}): no /x/{number}"));
    let link = Difference {
        comparison: "link".into(),
        kind: FailureKind::WrongPath,
        view: Side::Inside,
        object: Some("fd0 (descriptor 3)".into()),
        what: "link".into(),
        expected: "\"/f (deleted)\"".into(),
        got: "\"/f\"".into(),
        known: None,
    };
    let wrong = Judgement {
        differences: vec![link],
        ..failed(FailureKind::WrongPath, "fd0 (descriptor 3), inside: link: expected ...")
    };
    vec![
        case("whole/file", WHOLE, pass()),
        case("whole/deleted", DELETED, wrong),
        case("subdir/file", SUBDIR, open(17)),
        case("subdir/deleted", SUBDIR_DELETED, open(18)),
    ]
}

#[test]
fn one_defect_is_one_cause_with_what_blocks_and_the_smallest_program() {
    let causes = causes(&run());
    expect![[r#"
        2 causes of 3 failures
        1. 2x restore-failed: Error (criu/a.c:17): no /x/17
           blocked by: subdirectory bind
           subdir/file: mount tmpfs a; mkdir a/d; write a/d/f "x"; bind a/d b; fd0 =
           open b/f rdwr; umount-lazy b
        2. 1x wrong-path: fd0 (descriptor 3), inside: link: expected "/f (deleted)", ...
           blocked by: deleted file or directory
           whole/deleted: mount tmpfs a; write a/f "x"; bind a b; fd0 = open b/f rdwr;
           unlink b/f; umount-lazy b
    "#]]
    .assert_eq(&text::causes(&causes, 80, false));
    assert_eq!(causes[0].trials.len(), 2);
    assert_eq!(causes[0].kind, Some(FailureKind::RestoreFailed));
}

#[test]
fn the_ladder_counts_capability_by_base() {
    let ladder = Ladder::of(&run());
    expect![[r#"
        ladder                 whole  subdir
        total                    1/2     0/2
                                 all    none
          alone
                                none    none
          deleted
    "#]]
    .assert_eq(&text::ladder(&ladder, 80, false));
    let records = serde_json::to_string(&ladder.records()).expect("it is plain data");
    assert!(records.contains(r#"{"capability":"deleted","base":"subdir","passed":0,"all":1}"#), "{records}");
}

#[test]
fn where_nothing_failed_there_are_no_causes() {
    let fine = vec![case("whole/file", WHOLE, Judgement::plain(Verdict::Pass, ""))];
    assert_eq!(text::causes(&causes(&fine), 80, false), "");
    assert!(Ladder::of(&[]).is_empty());
}

#[test]
fn a_file_that_a_known_defect_changes_has_come_back() {
    let known = Difference {
        known: Some("a tar archive".into()),
        comparison: "file-times".into(),
        kind: FailureKind::WrongContent,
        view: Side::Inside,
        object: None,
        what: "time".into(),
        expected: String::new(),
        got: String::new(),
    };
    let xfail =
        |differences| Judgement { differences, ..Judgement::plain(Verdict::Xfail(FailureKind::WrongContent), "known") };
    let passed = |judgement| Ladder::of(&[case("whole/file", WHOLE, judgement)]).records()[0].passed;
    assert_eq!((passed(xfail(vec![known])), passed(xfail(Vec::new()))), (1, 0));
}

#[test]
fn what_breaks_ordinary_files_comes_first() {
    let control = "mount tmpfs a\nwrite a/f \"x\"\nbind a b\nfd0 = open b/f rdwr\n";
    let read = |steps: &str, name: &str, said: &str| {
        let steps = format!("{steps}\nassert fd0 content \"x\"\n");
        let finished = finished_of(name, &steps, failed(FailureKind::RestoreFailed, said));
        TrialRecord::from(&finished).case().expect("it ran")
    };
    let mut cases = run();
    cases.push(read(control, "whole/control", "no pidfile"));
    let all = causes(&cases);
    assert_eq!((all[0].signature.0.as_str(), all[0].controls), ("restore-failed no pidfile", 1));
    let text = text::causes(&all, 80, false);
    assert!(text.contains("   1 of these hold no detached file: ordinary files fail, too\n"), "{text}");
}

/// 20,000 failures without anything in common beside what passed: with work for each cause that
/// grows with all of them this takes minutes.
#[test]
fn causes_take_time_in_proportion_to_the_trials() {
    let passed = case("whole/file", WHOLE, Judgement::plain(Verdict::Pass, ""));
    let failed = case("subdir/file", SUBDIR, failed(FailureKind::RestoreFailed, "no"));
    let numbered = |number: u32| Case { signature: Signature(number.to_string()), ..failed.clone() };
    let cases: Vec<Case> = vec![passed; 20_000].into_iter().chain((0..20_000).map(numbered)).collect();
    let begin = Instant::now();
    assert_eq!(causes(&cases).len(), 20_000);
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}
