//! What results make of the file of known failures.

use std::path::Path;

use expect_test::{Expect, expect};
use protocol::message::{Flavor, Lifecycle};

use super::{Note, TrialResult, bless};
use crate::fixtures::trial;
use crate::judge::{FailureKind, Trial, Verdict};

const FILE: &str = "\
# The head of the file.

# About the first entry.
[[expect]]
scenario = \"deleted/*\" # all of them
subject  = \"debian:trixie\"
kind     = \"dump-failed\"
says     = \"link differs\"
reason   = \"not supported\"
link     = \"https://example.org/1\"

# The general one.
[[expect]]
scenario = [\"names/odd\", \"names/dot\"]
subject = \"debian:trixie\"
kernel = \"6.12..\"
kind = \"wrong-path\"
says = \"link differs\"
reason = \"loses the name\"
";

fn result(scenario: &str, kernel: &str, verdict: Verdict) -> TrialResult {
    TrialResult {
        trial: Trial { kernel: kernel.to_owned(), ..trial(scenario) },
        criu: Some("Version: 4.1.1".to_owned()),
        verdict,
        why: "fd0: link differs".to_owned(),
    }
}

fn kernels() -> Vec<String> {
    ["6.1", "6.12", "7.3"].map(str::to_owned).to_vec()
}

fn check(results: &[TrialResult], expected: Expect) {
    let text = match bless(FILE, Path::new("e.toml"), results, &kernels(), &Note::default()) {
        Err(error) => format!("error: {error}\n"),
        Ok(blessed) => {
            // The lines that are not in both.
            let (old, new): (Vec<&str>, Vec<&str>) = (FILE.lines().collect(), blessed.text.lines().collect());
            let same = old.iter().zip(&new).take_while(|(one, other)| one == other).count();
            let tail = old[same..].iter().rev().zip(new[same..].iter().rev()).take_while(|(one, other)| one == other);
            let tail = tail.count();
            let part = |lines: &[&str], sign: &str| -> String {
                lines[same..lines.len() - tail]
                    .iter()
                    .map(|line| format!("{sign} {line}").trim_end().to_owned() + "\n")
                    .collect()
            };
            let changes = if blessed.changes.is_empty() { "nothing".to_owned() } else { blessed.changes.join("\n") };
            format!("{changes}\n{}{}", part(&old, "-"), part(&new, "+"))
        }
    };
    expected.assert_eq(&text);
}

const DUMP: FailureKind = FailureKind::DumpFailed;
const HANG: FailureKind = FailureKind::Hang;

#[test]
fn what_is_as_recorded_changes_nothing() {
    let all = [
        result("deleted/x", "6.12", Verdict::Xfail(DUMP)),
        result("names/other", "6.12", Verdict::Pass),
        result("names/odd", "6.1", Verdict::Pass),
        result("names/defect", "6.12", Verdict::Xfail(FailureKind::WrongContent)),
        result("deleted/f", "6.12", Verdict::Flaky { passed: 1, runs: 2 }),
        result("deleted/e", "6.12", Verdict::Error),
        result("own", "6.12", Verdict::Fail(HANG)),
    ];
    check(
        &all,
        expect![[r#"
            nothing
        "#]],
    );
}

#[test]
fn a_file_of_which_nothing_new_is_known_keeps_every_character() {
    for text in ["", "\n\n", "# no newline at the end", "# carriage return\r\n"] {
        let blessed = bless(text, Path::new("expectations.toml"), &[], &kernels(), &Note::default()).unwrap();
        assert_eq!((blessed.text.as_str(), blessed.changes.len()), (text, 0));
    }
}

#[test]
fn a_new_failure_is_recorded_exactly_where_it_was_seen() {
    let all = [
        result("names/new", "6.12", Verdict::Fail(HANG)),
        result("names/new", "7.3", Verdict::Fail(HANG)),
        result("names/newer", "6.12", Verdict::Fail(HANG)),
        result("names/newer", "7.3", Verdict::Fail(HANG)),
        result("names/third", "7.3", Verdict::Fail(HANG)),
    ];
    check(
        &all,
        expect![[r#"
            hang: names/new, names/newer
            hang: names/third
            +
            + [[expect]]
            + scenario = ["names/new", "names/newer"]
            + flavor = "ns"
            + lifecycle = "dump-restore"
            + kernel = ["6.12", "7.3"]
            + subject = "debian:trixie"
            + criu = "4.1.1"
            + kind = "hang"
            + says = "fd[0-9a-fx]+: link differs"
            + reason = "fd0: link differs"
            +
            + [[expect]]
            + scenario = "names/third"
            + flavor = "ns"
            + lifecycle = "dump-restore"
            + kernel = "7.3"
            + subject = "debian:trixie"
            + criu = "4.1.1"
            + kind = "hang"
            + says = "fd[0-9a-fx]+: link differs"
            + reason = "fd0: link differs"
        "#]],
    );
}

#[test]
fn another_kind_stands_before_the_entry_that_matched() {
    check(
        &[
            result("names/odd", "6.12", Verdict::ChangedFail(HANG)),
            result("names/dot", "6.12", Verdict::Xfail(FailureKind::WrongPath)),
        ],
        expect![[r#"
            hang: names/odd
            + [[expect]]
            + scenario = "names/odd"
            + flavor = "ns"
            + lifecycle = "dump-restore"
            + kernel = "6.12"
            + subject = "debian:trixie"
            + criu = "4.1.1"
            + kind = "hang"
            + says = "fd[0-9a-fx]+: link differs"
            + reason = "fd0: link differs"
            +
        "#]],
    );
}

#[test]
fn what_passes_leaves_the_entry_only_where_it_passed() {
    check(
        &[result("deleted/x", "7.3", Verdict::Xpass)],
        expect![[r#"
            passes: deleted/x
            - subject  = "debian:trixie"
            - kind     = "dump-failed"
            - says     = "link differs"
            - reason   = "not supported"
            - link     = "https://example.org/1"
            + except = "deleted/x"
            + subject = "debian:trixie"
            + kind = "dump-failed"
            + says = "link differs"
            + reason = "not supported"
            + link = "https://example.org/1"
            +
            + [[expect]]
            + scenario = "deleted/x"
            + subject  = "debian:trixie"
            + kind     = "dump-failed"
            + says     = "link differs"
            + reason   = "not supported"
            + link     = "https://example.org/1"
            + flavor = "host"
            + lifecycle = ["changed-tree", "compat-mode", "dump-restore", "failed-dump", "failed-restore", "input-closed", "input-pipe", "input-terminal", "killed-dump", "killed-restore", "leave-running", "leave-running-dump", "leave-stopped", "page-server", "pre-dump", "relative-paths", "relative-script", "service", "three-times"]
            + kernel = ["6.1", "6.12", "7.3"]
            +
            + [[expect]]
            + scenario = "deleted/x"
            + subject  = "debian:trixie"
            + kind     = "dump-failed"
            + says     = "link differs"
            + reason   = "not supported"
            + link     = "https://example.org/1"
            + flavor = "ns"
            + lifecycle = ["changed-tree", "compat-mode", "failed-dump", "failed-restore", "input-closed", "input-pipe", "input-terminal", "killed-dump", "killed-restore", "leave-running", "leave-running-dump", "leave-stopped", "page-server", "pre-dump", "relative-paths", "relative-script", "service", "three-times"]
            + kernel = ["6.1", "6.12", "7.3"]
            +
            + [[expect]]
            + scenario = "deleted/x"
            + subject  = "debian:trixie"
            + kind     = "dump-failed"
            + says     = "link differs"
            + reason   = "not supported"
            + link     = "https://example.org/1"
            + flavor = "ns"
            + lifecycle = "dump-restore"
            + kernel = ["6.1", "6.12"]
        "#]],
    );
}

#[test]
fn a_name_in_a_list_goes_out_of_the_list_and_an_empty_entry_goes() {
    let passed = |scenario, flavor, lifecycle, kernel| {
        let mut one = result(scenario, kernel, Verdict::Xpass);
        (one.trial.flavor, one.trial.lifecycle) = (flavor, lifecycle);
        one
    };
    let mut all = Vec::new();
    for flavor in [Flavor::Ns, Flavor::Host] {
        for &lifecycle in Lifecycle::ALL.iter().filter(|lifecycle| lifecycle.has_a_subject()) {
            for kernel in ["6.12", "7.3"] {
                all.push(passed("names/odd", flavor, lifecycle, kernel));
            }
        }
    }
    check(
        &all,
        expect![[r#"
        passes: names/odd
        - scenario = ["names/odd", "names/dot"]
        + scenario = "names/dot"
    "#]],
    );
    let dot = all.iter().map(|one| TrialResult {
        trial: Trial { scenario: "names/dot".to_owned(), ..one.trial.clone() },
        ..one.clone()
    });
    let both: Vec<TrialResult> = all.iter().cloned().chain(dot).collect();
    check(
        &both,
        expect![[r#"
            passes: names/dot, names/odd
            - [[expect]]
            - scenario = ["names/odd", "names/dot"]
            - subject = "debian:trixie"
            - kernel = "6.12.."
            - kind = "wrong-path"
            - says = "link differs"
            - reason = "loses the name"
        "#]],
    );
}

#[test]
fn what_cannot_be_said_is_refused_and_nothing_is_lost() {
    let any_subject = FILE.replace("debian:trixie", "debian:*");
    let error = bless(
        &any_subject,
        Path::new("e.toml"),
        &[result("names/odd", "6.12", Verdict::Xpass)],
        &kernels(),
        &Note::default(),
    );
    expect!["e.toml:13: names/odd passes now with debian:trixie, but the entry speaks of other subjects as well (debian:*): narrow it by hand"].assert_eq(&error.unwrap_err().to_string());
    check(
        &[result("names/new", "6.12", Verdict::Fail(HANG)), result("names/new", "6.12", Verdict::Fail(DUMP))],
        expect![[r#"
            error: names/new/ns/dump-restore/6.12/debian:trixie: with the new entries this would be changed-fail(hang); nothing was written. Its results may contradict each other: bless one run at a time
        "#]],
    );
    let error = bless("[[expect]]\nkind = 3\n", Path::new("e.toml"), &[], &kernels(), &Note::default());
    assert!(error.unwrap_err().to_string().starts_with("e.toml:"));
}

#[test]
fn a_reason_and_a_link_of_ones_own() {
    let note = Note { reason: Some("a \"quoted\" reason".to_owned()), link: Some("https://example.org/2".to_owned()) };
    let new = bless("", Path::new("e.toml"), &[result("a/b", "6.12", Verdict::Fail(HANG))], &kernels(), &note).unwrap();
    assert!(new.text.contains("reason = 'a \"quoted\" reason'\nlink = \"https://example.org/2\"\n"), "{}", new.text);
}
