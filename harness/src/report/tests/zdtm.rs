//! Results of CRIU's own tests: read, grouped by cause, and in every format. The report is in the
//! form of `zdtm.py`, its details written by PyYAML as there.

use std::path::Path;

use expect_test::expect;

use super::whole_reports::written;
use crate::report::zdtm::read::{log, tap};
use crate::report::zdtm::{ZdtmResult, ZdtmTest, text};
use crate::report::{Event, SharedAxes};

const REPORT: &str = include_str!("zdtm/criu-testreport.tap");

fn tests() -> Vec<ZdtmTest> {
    tap(REPORT, "criu-testreport.tap").unwrap()
}

fn events() -> Vec<Event> {
    let started = Event::RunStarted { trials: 0, shared: SharedAxes::default() };
    vec![started, Event::Zdtm(tests()), Event::RunFinished { seconds: 1.0, interrupted: false }]
}

#[test]
fn two_failures_with_one_cause_are_one_line() {
    expect![[r#"
            2 x zdtm  failed at CRIU dump: (00.012345) Error (criu/files-reg.c:1234): Can't lookup mount=38 for fd=3 path=/d/f
                 zdtm/static/unlink_fstat00 (ns), zdtm/static/unlink_fstat01 (uns)
        zdtm: 2 passed, 2 failed, 1 skipped
    "#]].assert_eq(&text(&tests(), false));
}

#[test]
fn a_report_that_breaks_off_is_a_failure() {
    let cut = REPORT.split_inclusive('\n').take(6).collect::<String>();
    let all = tap(&cut, "x").unwrap();
    assert_eq!((all[0].result, all[1].result), (ZdtmResult::Passed, ZdtmResult::Failed));
    assert_eq!(all[1].reason, "1 of 5 tests are in the report: it breaks off");
}

#[test]
fn what_is_no_report_is_refused_with_its_line() {
    for (text, line) in [("", 1), ("1..2", 1), ("TAP version 13\n1..x", 2), ("TAP version 13\n---\n...", 2)] {
        assert_eq!(tap(text, "x").unwrap_err().0, line, "{text:?}");
    }
    let (line, what) = tap("TAP version 13\n\nok 1 - a\nFAIL b\n", "x").unwrap_err();
    assert_eq!((line, what.as_str()), (4, "neither `ok N - NAME` nor `not ok N - NAME`"));
}

#[test]
fn a_log_of_a_test_has_its_result() {
    let said = |text: &str| {
        let one = log(text, Path::new("/c/test/zdtm/static/env00.out"));
        assert_eq!(one.name, "zdtm/static/env00");
        (one.result, one.reason, one.log.len())
    };
    assert_eq!(said("10:00:00.123:     4: PASS\n"), (ZdtmResult::Passed, String::new(), 0));
    let failed = "10:00:00.1: 4: ERR: a.c:3: open (errno = 2 (No such file or directory))\n\
                  10:00:00.2: 4: FAIL: a.c:9: it is gone (errno = 2 (No such file or directory))\n";
    let why = "a.c:9: it is gone (errno = 2 (No such file or directory))";
    assert_eq!(said(failed), (ZdtmResult::Failed, why.to_owned(), 2));
    assert_eq!(said("1: SKIP: a.c:3: no such device\n").0, ZdtmResult::Skipped);
    assert_eq!(said("").1, "its log says neither PASS nor FAIL");
}

#[test]
fn a_name_for_another_value_does_nothing() {
    let bomb = "a: &a [x,x,x]\nb: &b [*a,*a,*a]\noutput: [*b,*b]\n";
    let all = tap(&format!("TAP version 13\nnot ok 1 - t # flavor h\n---\n{bomb}...\n"), "x").unwrap();
    assert_eq!((all.len(), all[0].log.len()), (1, 0));
}

#[test]
fn every_format_has_them() {
    let json: serde_json::Value = serde_json::from_str(&written("json", &events())).unwrap();
    assert_eq!(json["zdtm"].as_array().map(Vec::len), Some(5));
    assert_eq!(json["zdtm"][1]["reason"], "failed at CRIU dump");
    let page = written("html", &events());
    for text in ["zdtm: 2 passed, 2 failed, 1 skipped", "2 x ", "zdtm/static/unlink_fstat01", "no mnt_id feature"] {
        assert!(page.contains(text), "{text}: {page}");
    }
    let junit = written("junit", &events());
    assert!(junit.contains("tests=\"5\" skipped=\"1\" failures=\"2\""), "{junit}");
    expect![[r#"
        TAP version 14
        1..5
        ok 1 - zdtm/static/env00
        not ok 2 - zdtm/static/unlink_fstat00
          ---
          severity: fail
          message: |2
            failed at CRIU dump
            (00.012345) Error (criu/files-reg.c:1234): Can't lookup mount=38 for fd=3 path=/d/f
          ...
        ok 3 - zdtm/static/fifo # SKIP no mnt_id feature
        not ok 4 - zdtm/static/unlink_fstat01
          ---
          severity: fail
          message: |2
            failed at CRIU dump
            (00.012345) Error (criu/files-reg.c:1234): Can't lookup mount=41 for fd=5 path=/x
          ...
        ok 5 - zdtm/static/pipe00
    "#]]
    .assert_eq(&written("tap", &events()));
    expect![[r#"
        ::error title=zdtm%3A 2 tests%3A failed at CRIU dump%3A (00.012345) Error (criu/files-reg.c%3A1234)%3A Can't lookup mount=38 for fd=3 path=/d/f::zdtm/static/unlink_fstat00 (ns), zdtm/static/unlink_fstat01 (uns)
        ::notice title=zdtm-detached::0 passed, 0 failed, 0 skipped; zdtm: 2 passed, 2 failed, 1 skipped
    "#]].assert_eq(&written("github", &events()));
}
