//! JUnit, TAP and GitHub: made of the whole run at its end.

use std::fs;

use expect_test::{Expect, expect};

use super::run::{causes, events, events_of, finished};
use crate::judge::{Judgement, Verdict};
use crate::report::record::RunRecord;
use crate::report::{Event, Wanted, github};

/// The text of a report of the run in which everything happens.
pub(super) fn written(format: &str, events: &[Event]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report");
    let wanted: Wanted = format!("{format}={}", file.display()).parse().unwrap();
    let mut report = wanted.open().unwrap();
    let begun = fs::read_to_string(&file).unwrap();
    assert!(begun.is_empty() || format == "json", "{begun}");
    for event in events {
        report.event(event).unwrap();
    }
    drop(report);
    fs::read_to_string(&file).unwrap()
}

fn check(format: &str, expected: Expect) {
    expected.assert_eq(&written(format, &events()));
}

#[test]
fn junit() {
    check(
        "junit",
        expect![[r#"
            <?xml version="1.0" encoding="UTF-8"?>
            <testsuites name="zdtm-detached" tests="6" skipped="1" failures="2" errors="1" time="12.340">
                <testsuite name="(own files)" tests="1" skipped="0" errors="1" failures="0">
                    <testcase name="own/ns/dump-restore/6.12/debian:trixie" classname="(own files)" time="0.421">
                        <error message="error the agent did not report the dump" type="error">the agent did not report the dump
            </error>
                    </testcase>
                </testsuite>
                <testsuite name="attributes" tests="2" skipped="0" errors="0" failures="0">
                    <testcase name="attributes/ro@tmpfs/ns/dump-restore/6.12/debian:trixie" classname="attributes" time="0.421"/>
                    <testcase name="attributes/nosuid@tmpfs/ns/dump-restore/6.12/debian:trixie" classname="attributes" time="0.421">
                        <system-out>xfail: Dumping FAILED. (known: not supported)</system-out>
                    </testcase>
                </testsuite>
                <testsuite name="deleted" tests="3" skipped="1" errors="0" failures="2">
                    <testcase name="deleted/un&apos;linked@ext4/ns/dump-restore/6.12/debian:trixie" classname="deleted" time="0.421">
                        <failure message="wrong-path descriptor link" type="fail(wrong-path)">fd0 (descriptor 3), inside: link: expected &quot;/f (deleted)&quot;, got &quot;/d/f&quot; (and 4 more)
              fd0 (descriptor 3), inside and outside: link [wrong-path]
                expected  &quot;/f (deleted)&quot;
                got       &quot;/d/f&quot;
                            ^
              fd0 (descriptor 3), inside: lookup &quot;\xff&quot; (plain) [wrong-path]
                expected  &quot;/a\xff&quot;
                got       &quot;/a\xfe&quot;
                             ^
              fd0 (descriptor 3), inside: lookup &quot;größe/日本&quot; (plain) [wrong-path]
                expected  &quot;/größe/日本/x&quot;
                got       &quot;/größe/日本/y&quot;
                                       ^
              fd0 (descriptor 3), outside: lookup &quot;long&quot; (beneath) [wrong-path]
                expected  ...ory/directory/directory/directory//expected&quot;
                got       ...ory/directory/directory/directory//got&quot;
                                                                ^
                ... and 7 more differences
            log: (00.01) Error (criu/files-reg.c:1): \u{1b}[2Jbad\u{202e}
            </failure>
                    </testcase>
                    <testcase name="deleted/all@btrfs/ns/dump-restore/6.12/debian:trixie" classname="deleted" time="0.421">
                        <skipped message="no btrfs here: mount btrfs on a: ENODEV"/>
                    </testcase>
                    <testcase name="deleted/fixed@xfs/ns/dump-restore/6.12/debian:trixie" classname="deleted" time="0.421">
                        <failure message="xpass it passes now, but expectations.toml:N expects dump-failed" type="xpass">it passes now, but expectations.toml:2 expects dump-failed
            </failure>
                    </testcase>
                </testsuite>
            </testsuites>
        "#]],
    );
}

#[test]
fn tap() {
    check(
        "tap",
        expect![[r#"
            TAP version 14
            1..6
            ok 1 - attributes/ro@tmpfs/ns/dump-restore/6.12/debian:trixie
            not ok 2 - attributes/nosuid@tmpfs/ns/dump-restore/6.12/debian:trixie # TODO Dumping FAILED. (known: not supported)
            not ok 3 - deleted/un'linked@ext4/ns/dump-restore/6.12/debian:trixie
              ---
              severity: fail
              verdict: "fail(wrong-path)"
              message: |2
                fd0 (descriptor 3), inside: link: expected "/f (deleted)", got "/d/f" (and 4 more)
                  fd0 (descriptor 3), inside and outside: link [wrong-path]
                    expected  "/f (deleted)"
                    got       "/d/f"
                                ^
                  fd0 (descriptor 3), inside: lookup "\xff" (plain) [wrong-path]
                    expected  "/a\xff"
                    got       "/a\xfe"
                                 ^
                  fd0 (descriptor 3), inside: lookup "größe/日本" (plain) [wrong-path]
                    expected  "/größe/日本/x"
                    got       "/größe/日本/y"
                                           ^
                  fd0 (descriptor 3), outside: lookup "long" (beneath) [wrong-path]
                    expected  ...ory/directory/directory/directory//expected"
                    got       ...ory/directory/directory/directory//got"
                                                                    ^
                    ... and 7 more differences
                log: (00.01) Error (criu/files-reg.c:1): \u{1b}[2Jbad\u{202e}
              ...
            ok 4 - deleted/all@btrfs/ns/dump-restore/6.12/debian:trixie # SKIP no btrfs here: mount btrfs on a: ENODEV
            not ok 5 - deleted/fixed@xfs/ns/dump-restore/6.12/debian:trixie
              ---
              severity: fail
              verdict: "xpass"
              message: |2
                it passes now, but expectations.toml:2 expects dump-failed
              ...
            not ok 6 - own/ns/dump-restore/6.12/debian:trixie
              ---
              severity: fail
              verdict: "error"
              message: |2
                the agent did not report the dump
              ...
        "#]],
    );
}

/// The run in which everything happens, as it is read back.
fn record(events: &[Event]) -> RunRecord {
    let read: RunRecord = serde_json::from_str(&written("json", events)).unwrap();
    RunRecord::new(read.summary, read.trials)
}

// Not through the door of the others: that one adds to the summary of whatever machine runs the
// tests.
#[test]
fn github() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("summary.md");
    fs::write(&file, "Another step.\n").unwrap();
    expect![[r#"
        ::error title=1 trial%3A wrong-path%3A fd0 (descriptor 3)%2C inside%3A link%3A expected "/f (deleted)"%2C got "/d/f"::deleted/un'linked@ext4/ns/dump-restore/6.12/debian:trixie%0Afd0 (descriptor 3), inside: link: expected "/f (deleted)", got "/d/f" (and 4 more)%0A  fd0 (descriptor 3), inside and outside: link [wrong-path]%0A    expected  "/f (deleted)"%0A    got       "/d/f"%0A                ^%0A  fd0 (descriptor 3), inside: lookup "\xff" (plain) [wrong-path]%0A    expected  "/a\xff"%0A    got       "/a\xfe"%0A                 ^%0A  fd0 (descriptor 3), inside: lookup "größe/日本" (plain) [wrong-path]%0A    expected  "/größe/日本/x"%0A    got       "/größe/日本/y"%0A                           ^%0A  fd0 (descriptor 3), outside: lookup "long" (beneath) [wrong-path]%0A    expected  ...ory/directory/directory/directory//expected"%0A    got       ...ory/directory/directory/directory//got"%0A                                                    ^%0A    ... and 7 more differences%0Alog: (00.01) Error (criu/files-reg.c:1): \u{1b}[2Jbad\u{202e}%0A
        ::error title=1 trial%3A error%3A the agent did not report the dump::own/ns/dump-restore/6.12/debian:trixie%0Athe agent did not report the dump%0A
        ::error title=1 trial%3A xpass%3A it passes now%2C but expectations.toml%3A2 expects dump-failed::deleted/fixed@xfs/ns/dump-restore/6.12/debian:trixie%0Ait passes now, but expectations.toml:2 expects dump-failed%0A
        ::notice title=zdtm-detached::2 passed, 3 failed (3 causes), 1 skipped
    "#]].assert_eq(&github::render_with(&record(&events()), Some(&file)));
    expect![[r#"
        Another step.
        ### zdtm-detached: 2 passed, 3 failed (3 causes), 1 skipped

        | trials | cause | what is known | smallest program |
        | ---: | --- | --- | --- |
        | 1 | <code>wrong-path: fd0 (descriptor 3), inside: link: expected "/f (deleted)", got "/d/f"</code> |  | <code>deleted/un'linked&#64;ext4/ns/dump-restore/6.12/debian:trixie</code> |
        | 1 | <code>error: the agent did not report the dump</code> |  | <code>own/ns/dump-restore/6.12/debian:trixie</code> |
        | 1 | <code>xpass: it passes now, but expectations.toml:2 expects dump-failed</code> |  | <code>deleted/fixed&#64;xfs/ns/dump-restore/6.12/debian:trixie</code> |

        **1 trial: wrong-path: fd0 (descriptor 3), inside: link: expected "/f (deleted)", got "/d/f"**

        - <code>deleted/un'linked&#64;ext4/ns/dump-restore/6.12/debian:trixie</code> fail(wrong-path): fd0 (descriptor 3), inside: link: expected "/f (deleted)", got "/d/f" (and 4 more)

        **1 trial: error: the agent did not report the dump**

        - <code>own/ns/dump-restore/6.12/debian:trixie</code> error: the agent did not report the dump

        **1 trial: xpass: it passes now, but expectations.toml:2 expects dump-failed**

        - <code>deleted/fixed&#64;xfs/ns/dump-restore/6.12/debian:trixie</code> xpass: it passes now, but expectations.toml:2 expects dump-failed
    "#]].assert_eq(&fs::read_to_string(&file).unwrap());
    github::render_with(&record(&events()), None);
}

#[test]
fn github_has_a_few_trials_of_each_cause() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("summary.md");
    let run = record(&causes());
    expect![[r#"
        ::error title=7 trials%3A restore-failed%3A Error (criu/a.c%3A10)%3A no /x/10%2C long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long ::blocked by: subdirectory bind%0Asubdir/file/ns/dump-restore/6.12/debian:trixie%0AError (criu/a.c:10): no /x/10, long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long %0Aand 6 more with this cause%0A
        ::error title=1 trial%3A dump-failed%3A <img src=x> | [y](https%3A//e.invalid) `c`\n%3A%3Aerror%3A%3Az\u{1b}[2J\u{202e}::blocked by: file bind%0Ax/<script>alert(1)</script>|`b`/ns/dump-restore/6.12/debian:trixie%0A<img src=x> | [y](https://e.invalid) `c`\n::error::z\u{1b}[2J\u{202e}%0A
        ::error title=1 trial%3A error%3A the agent is gone::whole/broken/ns/dump-restore/6.12/debian:trixie%0Athe agent is gone%0A
        ::notice title=zdtm-detached::3 passed, 9 failed (3 causes), 0 skipped
    "#]].assert_eq(&github::render_with(&run, Some(&file)));
    expect![[r#"
        ### zdtm-detached: 3 passed, 9 failed (3 causes), 0 skipped

        | trials | cause | what is known | smallest program |
        | ---: | --- | --- | --- |
        | 7 | <code>restore-failed: Error (criu/a.c:10): no /x/10, long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long </code> | blocked by: subdirectory bind | <code>subdir/file/ns/dump-restore/6.12/debian:trixie</code> |
        | 1 | <code>dump-failed: &#60;img src=x&#62; &#124; &#91;y&#93;(https&#58;//e.invalid) &#96;c&#96;&#92;n::error::z&#92;u{1b}&#91;2J&#92;u{202e}</code> | blocked by: file bind | <code>x/&#60;script&#62;alert(1)&#60;/script&#62;&#124;&#96;b&#96;/ns/dump-restore/6.12/debian:trixie</code> |
        | 1 | <code>error: the agent is gone</code> |  | <code>whole/broken/ns/dump-restore/6.12/debian:trixie</code> |

        **7 trials: restore-failed: Error (criu/a.c:10): no /x/10, long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long **

        - <code>subdir/file/ns/dump-restore/6.12/debian:trixie</code> fail(restore-failed): Error (criu/a.c:10): no /x/10, long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long 
        - <code>subdir/deleted-11/ns/dump-restore/6.12/debian:trixie</code> fail(restore-failed): Error (criu/a.c:11): no /x/11, long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long 
        - <code>subdir/deleted-12/ns/dump-restore/6.12/debian:trixie</code> fail(restore-failed): Error (criu/a.c:12): no /x/12, long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long 
        - <code>subdir/deleted-13/ns/dump-restore/6.12/debian:trixie</code> fail(restore-failed): Error (criu/a.c:13): no /x/13, long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long 
        - <code>subdir/deleted-14/ns/dump-restore/6.12/debian:trixie</code> fail(restore-failed): Error (criu/a.c:14): no /x/14, long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long 
        - and 2 more

        **1 trial: dump-failed: &#60;img src=x&#62; &#124; &#91;y&#93;(https&#58;//e.invalid) &#96;c&#96;&#92;n::error::z&#92;u{1b}&#91;2J&#92;u{202e}**

        - <code>x/&#60;script&#62;alert(1)&#60;/script&#62;&#124;&#96;b&#96;/ns/dump-restore/6.12/debian:trixie</code> fail(dump-failed): &#60;img src=x&#62; &#124; &#91;y&#93;(https&#58;//e.invalid) &#96;c&#96;&#92;n::error::z&#92;u{1b}&#91;2J&#92;u{202e}

        **1 trial: error: the agent is gone**

        - <code>whole/broken/ns/dump-restore/6.12/debian:trixie</code> error: the agent is gone
    "#]].assert_eq(&fs::read_to_string(&file).unwrap());
}

#[test]
fn junit_has_one_message_for_each_cause() {
    let text = written("junit", &causes());
    let messages = text.lines().filter_map(|line| line.split("message=").nth(1));
    let mut messages: Vec<&str> = messages.collect();
    assert_eq!(messages.len(), 9);
    messages.sort_unstable();
    messages.dedup();
    expect![[r#"
        "dump-failed &lt;img src=x&gt; | [y](https:/...) `c`\n::error::z\u{1b}[NJ\u{202e}" type="fail(dump-failed)">&lt;img src=x&gt; | [y](https://e.invalid) `c`\n::error::z\u{1b}[2J\u{202e}
        "error the agent is gone" type="error">the agent is gone
        "restore-failed Error (criu/a.c:N): no /..., long long long long long long long long long long long long long long long long long long long long long long long long long long l" type="fail(restore-failed)">Error (criu/a.c:10): no /x/10, long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long 
        "restore-failed Error (criu/a.c:N): no /..., long long long long long long long long long long long long long long long long long long long long long long long long long long l" type="fail(restore-failed)">Error (criu/a.c:11): no /x/11, long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long 
        "restore-failed Error (criu/a.c:N): no /..., long long long long long long long long long long long long long long long long long long long long long long long long long long l" type="fail(restore-failed)">Error (criu/a.c:12): no /x/12, long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long 
        "restore-failed Error (criu/a.c:N): no /..., long long long long long long long long long long long long long long long long long long long long long long long long long long l" type="fail(restore-failed)">Error (criu/a.c:13): no /x/13, long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long 
        "restore-failed Error (criu/a.c:N): no /..., long long long long long long long long long long long long long long long long long long long long long long long long long long l" type="fail(restore-failed)">Error (criu/a.c:14): no /x/14, long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long 
        "restore-failed Error (criu/a.c:N): no /..., long long long long long long long long long long long long long long long long long long long long long long long long long long l" type="fail(restore-failed)">Error (criu/a.c:15): no /x/15, long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long 
        "restore-failed Error (criu/a.c:N): no /..., long long long long long long long long long long long long long long long long long long long long long long long long long long l" type="fail(restore-failed)">Error (criu/a.c:16): no /x/16, long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long "#]].assert_eq(&messages.join("\n"));
    assert!(text.contains(">Error (criu/a.c:16): no /x/16, long long"), "the text has the reason: {text}");
}

#[test]
fn good_news_is_no_failure() {
    let events = events_of(vec![finished("a/b", Judgement::plain(Verdict::Improved, "it passes now"))]);
    let junit = written("junit", &events);
    assert!(junit.contains("failures=\"0\"") && junit.contains("improved: it passes now"), "{junit}");
    let tap = written("tap", &events);
    assert!(tap.contains("\nok 1 - a/b/"), "{tap}");
    let github = github::render_with(&record(&events), None);
    assert_eq!(github, "::notice title=zdtm-detached::1 passed, 0 failed, 0 skipped\n");
}

#[test]
fn a_run_that_breaks_off_leaves_what_there_was() {
    let all = events();
    let text = written("tap", &all[..5]);
    assert!(text.starts_with("TAP version 14\n1..2\n"), "{text}");
}
