//! Several results as one, and results that cannot be read.

use std::fs;
use std::path::PathBuf;

use expect_test::{Expect, expect};

use crate::fixtures::{finished, run_of};
use crate::judge::{FailureKind, Judgement, Verdict};
use crate::report::merge::{merge, read};
use crate::report::record::{RunRecord, Summary};

fn run(trials: &[(&str, Verdict)]) -> RunRecord {
    run_of(10.0, trials.iter().map(|(name, verdict)| finished(name, Judgement::plain(*verdict, "why"))))
}

fn check(runs: Vec<RunRecord>, expected: Expect) {
    let merged = merge(runs);
    let lines: Vec<String> = merged
        .trials
        .iter()
        .map(|trial| format!("{} {}: {}\n", trial.verdict().unwrap(), trial.scenario, trial.reason))
        .collect();
    let Summary { passed, failed, skipped, error, seconds } = merged.summary;
    expected.assert_eq(&format!("{}{passed} {failed} {skipped} {error} {seconds}\n", lines.concat()));
}

const FAIL: Verdict = Verdict::Fail(FailureKind::WrongPath);
const KNOWN: Verdict = Verdict::Xfail(FailureKind::DumpFailed);

#[test]
fn shards_become_one_run() {
    check(
        vec![run(&[("a/x", Verdict::Pass), ("a/y", KNOWN)]), run(&[("a/z", FAIL)])],
        expect![[r#"
            pass a/x: why
            xfail(dump-failed) a/y: why
            fail(wrong-path) a/z: why
            2 1 0 0 20
        "#]],
    );
}

#[test]
fn what_passes_only_now_and_then_is_flaky_and_the_failure_is_reported() {
    check(
        vec![run(&[("a/x", FAIL)]), run(&[("a/x", Verdict::Pass)]), run(&[("a/x", Verdict::Pass)])],
        expect![[r#"
            flaky(2/3) a/x: passed in 2 of 3 runs; wrong-path: why
            0 1 0 0 30
        "#]],
    );
    let flaky = Verdict::Flaky { passed: 1, runs: 2 };
    check(
        vec![run(&[("a/x", flaky)]), run(&[("a/x", Verdict::Pass)])],
        expect![[r#"
            flaky(2/3) a/x: passed in 2 of 3 runs; why
            0 1 0 0 20
        "#]],
    );
}

#[test]
fn the_latest_counts_but_nothing_known_never_hides_something_known() {
    let runs = vec![
        run(&[("a/x", Verdict::NotRun), ("a/y", FAIL), ("a/z", Verdict::Error), ("a/w", Verdict::NotRun)]),
        run(&[("a/x", KNOWN), ("a/y", Verdict::NotRun), ("a/z", Verdict::Unsupported)]),
        run(&[("a/x", FAIL)]),
    ];
    check(
        runs,
        expect![[r#"
            fail(wrong-path) a/x: why
            fail(wrong-path) a/y: why
            unsupported a/z: why
            not-run a/w: why
            0 2 2 0 30
        "#]],
    );
}

#[test]
fn what_is_no_result_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let error = |text: &str| {
        let file = folder.path().join("r.json");
        fs::write(&file, text).unwrap();
        read(&file).unwrap_err().to_string().replace(&folder.path().display().to_string(), "DIR")
    };
    assert_eq!(
        error("{\"version\": 1,\n \"trials\": 3}"),
        "DIR/r.json is no JSON report of a run: invalid type: integer `3`, expected a sequence at line 2 column 12; \
         `run --report json=FILE` writes one"
    );
    assert!(error("").contains("EOF while parsing a value at line 1"));
    assert!(error("{}").contains("it has no version"));
    assert!(error("{\"version\": 7}").contains("has version 7, and this program reads 1"));
    let mut wrong = run(&[("a/x", FAIL)]);
    wrong.trials[0].verdict = "failed".to_owned();
    assert!(error(&serde_json::to_string(&wrong).unwrap()).contains("unknown verdict \"failed\""));
    wrong.trials[0].verdict = "fail".to_owned();
    wrong.trials[0].kind = None;
    assert!(error(&serde_json::to_string(&wrong).unwrap()).contains("unknown verdict \"fail\" with kind None"));
    assert!(read(&folder.path().join("gone")).unwrap_err().to_string().starts_with("cannot read the results in "));
}

#[test]
fn artifacts_are_found_beside_the_report() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("keep/x")).unwrap();
    let mut result = run(&[("a/x", FAIL)]);
    result.trials[0].artifacts = Some(PathBuf::from("keep/x"));
    let file = folder.path().join("r.json");
    fs::write(&file, serde_json::to_string(&result).unwrap()).unwrap();
    assert_eq!(read(&file).unwrap().trials[0].artifacts, Some(folder.path().join("keep/x")));
}
