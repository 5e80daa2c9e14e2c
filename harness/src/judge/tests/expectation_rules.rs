//! The expectations file: what it says, what is wrong with it, and what it makes of a judgement.

use std::path::Path;

use expect_test::expect;
use protocol::message::{Flavor, Lifecycle};

use crate::judge::expectations::uses::Uses;
use crate::judge::range::Version;
use crate::judge::{Difference, Expectations, FailureKind, Judgement, Side, Trial, Verdict};

const FILE: &str = r#"
[[expect]]
scenario  = ["deleted/*@btrfs", "links/*"]
flavor    = "ns"
lifecycle = "dump-restore"
kernel    = "6.12.."
subject   = "debian:*"
criu      = "..4.2"
kind      = "dump-failed"
says      = "it fail"
reason    = "detached files are not supported"
link      = "https://example.org/1"

[[expect]]
scenario  = "*"
except    = "*/control*"
subject   = ["debian:sid"]
kind      = "wrong-path"
says      = "it fail"
reason    = "all else"
"#;

fn parse(text: &str) -> Result<Expectations, String> {
    Expectations::parse(text, Path::new("expectations.toml")).map_err(|error| error.to_string())
}

fn trial() -> Trial {
    crate::fixtures::trial("deleted/unlinked@btrfs")
}

fn applied(trial: &Trial, criu: &str, verdict: Verdict) -> String {
    let criu = Version::find(criu);
    let judgement = parse(FILE).unwrap().apply(trial, criu.as_ref(), Judgement::plain(verdict, "it failed"));
    format!("{}: {}", judgement.verdict, judgement.reason)
}

#[test]
fn a_recorded_failure_is_expected_and_nothing_else() {
    let of = |verdict| applied(&trial(), "4.1.1", verdict);
    expect!["xfail(dump-failed): it failed (known: detached files are not supported, https://example.org/1)"]
        .assert_eq(&of(Verdict::Fail(FailureKind::DumpFailed)));
    expect!["changed-fail(wrong-path): it failed (expectations.toml:2 expects dump-failed; known: detached files are not supported, https://example.org/1)"].assert_eq(&of(Verdict::Fail(FailureKind::WrongPath)));
    expect!["xpass: it passes now, but expectations.toml:2 expects dump-failed: remove or narrow the entry (known: detached files are not supported, https://example.org/1)"].assert_eq(&of(Verdict::Pass));
    expect!["error: it failed"].assert_eq(&of(Verdict::Error));
    expect!["unsupported: it failed"].assert_eq(&of(Verdict::Unsupported));
}

#[test]
fn a_new_message_is_a_failure_also_of_the_recorded_kind() {
    let judgement = Judgement::plain(Verdict::Fail(FailureKind::DumpFailed), "another refusal");
    let criu = Version::find("4.1.1");
    let applied = parse(FILE).unwrap().apply(&trial(), criu.as_ref(), judgement);
    expect!["fail(dump-failed): another refusal (expectations.toml:2 expects another message)"]
        .assert_eq(&format!("{}: {}", applied.verdict, applied.reason));
}

#[test]
fn of_a_tree_under_test_only_what_is_known_is_reported() {
    let file = FILE.replace("subject   = \"debian:*\"\n", "");
    let tree = Trial { subject: "src:../criu".into(), ..trial() };
    let of = |verdict, said: &str| {
        let criu = Version::find("4.1.1");
        let judgement = parse(&file).unwrap().apply(&tree, criu.as_ref(), Judgement::plain(verdict, said));
        format!("{}: {}", judgement.verdict, judgement.reason)
    };
    let dump = Verdict::Fail(FailureKind::DumpFailed);
    expect!["xfail(dump-failed): it failed (known: detached files are not supported, https://example.org/1)"]
        .assert_eq(&of(dump, "it failed"));
    expect!["fail(dump-failed): another refusal"].assert_eq(&of(dump, "another refusal"));
    expect!["fail(restore-failed): it failed"].assert_eq(&of(Verdict::Fail(FailureKind::RestoreFailed), "it failed"));
    expect!["improved: not dump-failed; known: detached files are not supported, https://example.org/1"]
        .assert_eq(&of(Verdict::Pass, ""));
}

#[test]
fn a_pattern_that_finds_everything_is_refused() {
    let says = |pattern: &str| {
        let entry = format!("scenario = \"x\"\nkind = \"litter\"\nsays = {pattern}\nreason = \"r\"\n");
        parse(&format!("[[expect]]\n{entry}")).map(|_| ()).unwrap_err()
    };
    expect!["expectations.toml:4:8: it finds every message: write a part of the first error line, or of the first difference"].assert_eq(&says("'.*'"));
    assert!(says("'('").starts_with("expectations.toml:4:8: "));
}

#[test]
fn every_key_narrows() {
    let failed = Verdict::Fail(FailureKind::DumpFailed);
    assert!(applied(&trial(), "4.1.1", failed).starts_with("xfail"));
    let others = [
        (Trial { scenario: "deleted/x@ext4".into(), ..trial() }, "4.1.1"),
        (Trial { family: String::new(), ..trial() }, "4.1.1"),
        (Trial { flavor: Flavor::Host, ..trial() }, "4.1.1"),
        (Trial { lifecycle: Lifecycle::LeaveRunning, ..trial() }, "4.1.1"),
        (Trial { kernel: "6.1".into(), ..trial() }, "4.1.1"),
        (Trial { subject: "reference".into(), ..trial() }, "4.1.1"),
        (trial(), "4.3"),
        (trial(), "unknown"),
    ];
    for (trial, criu) in others {
        assert!(applied(&trial, criu, failed).starts_with("fail"), "{trial} {criu}");
    }
}

#[test]
fn what_is_excepted_does_not_match() {
    let of = |scenario: &str| {
        let sid = Trial { scenario: scenario.into(), subject: "debian:sid".into(), ..trial() };
        applied(&sid, "4.3", Verdict::Fail(FailureKind::WrongPath))
    };
    assert!(of("x/y").starts_with("xfail"));
    assert!(of("x/control@ext4").starts_with("fail"));
}

#[test]
fn a_subject_can_be_left_out() {
    let of = |named: &str, subject: &str, verdict| {
        let file = FILE.replace("subject   = \"debian:*\"", &format!("subject   = {named}"));
        let trial = Trial { subject: subject.into(), ..trial() };
        let judgement = Judgement::plain(verdict, "it failed");
        parse(&file).unwrap().apply(&trial, Version::find("4.1.1").as_ref(), judgement).verdict.to_string()
    };
    let failed = Verdict::Fail(FailureKind::DumpFailed);
    assert_eq!(of("\"!*+assist\"", "debian:trixie+assist", failed), "fail(dump-failed)");
    assert_eq!(of("\"!*+assist\"", "debian:trixie", failed), "xfail(dump-failed)");
    assert_eq!(of("[\"debian:*\", \"!*+assist\"]", "debian:sid", Verdict::Pass), "xpass");
    assert_eq!(of("[\"debian:*\", \"!*+assist\"]", "src:.", failed), "fail(dump-failed)");
    // A criu that is helped is another subject: only an entry that names it promises anything.
    assert_eq!(of("\"!debian:sid\"", "debian:trixie+assist", Verdict::Pass), "improved");
    assert_eq!(of("\"*+assist\"", "debian:trixie+assist", Verdict::Pass), "xpass");
}

#[test]
fn the_first_entry_that_matches_applies() {
    let sid = Trial { subject: "debian:sid".into(), ..trial() };
    assert!(applied(&sid, "4.2.1", Verdict::Fail(FailureKind::DumpFailed)).starts_with("xfail"));
    assert!(applied(&sid, "4.3", Verdict::Fail(FailureKind::WrongPath)).starts_with("xfail"));
}

#[test]
fn an_entry_that_names_no_scenario_is_stale() {
    let text = |errors: Vec<_>| {
        let lines: Vec<String> =
            errors.iter().map(|error: &crate::judge::expectations::ExpectationsError| error.to_string()).collect();
        lines.join("\n")
    };
    let expectations = parse(FILE).unwrap();
    assert_eq!(text(expectations.stale(["deleted/x@btrfs", "links/a", "x/control"])), "");
    // One pattern of two is enough.
    expect!["expectations.toml:2:1: no scenario is called deleted/*@btrfs: remove it or correct the name"]
        .assert_eq(&text(expectations.stale(["deleted/x@ext4", "links/a", "x/control"])));
}

#[test]
fn mistakes_have_their_place() {
    let complaint = |line: &str| {
        let text =
            format!("# head\n[[expect]]\nscenario = \"x\"\nkind = \"litter\"\nsays = \"s\"\nreason = \"r\"\n{line}\n");
        parse(&text).unwrap_err()
    };
    expect!["expectations.toml:7:1: unknown field `colour`, expected one of `scenario`, `except`, `flavor`, `lifecycle`, `kernel`, `subject`, `criu`, `kind`, `says`, `reason`, `link`"].assert_eq(&complaint("colour = 1"));
    expect![[r#"expectations.toml:7:10: unknown flavor "uns"; known are host, ns, userns"#]]
        .assert_eq(&complaint("flavor = [\"ns\", \"uns\"]"));
    expect![[r#"expectations.toml:7:10: "new" is no range of versions; write 6.12, 6.12.., ..6.12 or 6.1..6.12"#]]
        .assert_eq(&complaint("kernel = \"new\""));
    expect!["expectations.toml:7:13: expected a text or a list of texts"].assert_eq(&complaint("lifecycle = 7"));
    expect!["expectations.toml:7:5: key with no value, expected `=`"].assert_eq(&complaint("what"));
    let kind = parse("[[expect]]\nscenario = \"x\"\nkind = \"odd\"\nsays = \"s\"\nreason = \"r\"\n").unwrap_err();
    expect![[r#"expectations.toml:3:8: unknown kind "odd"; known are dump-failed, restore-failed, wrong-path, wrong-resolution, wrong-mount, wrong-file, wrong-content, wrong-flags, lost-object, broken-sharing, litter, harmed-by-dump, harmed-by-restore, hang, crash, kernel-splat"#]].assert_eq(&kind);
    let missing = parse("[[expect]]\nscenario = \"x\"\nkind = \"litter\"\nsays = \"s\"\n").unwrap_err();
    expect!["expectations.toml:1:1: missing field `reason`"].assert_eq(&missing);
    let empty = parse("[[expect]]\nscenario = \"x\"\nkind = \"litter\"\nsays = \"s\"\nreason = \" \"\n").unwrap_err();
    expect!["expectations.toml:5:10: an entry needs a reason: why does this fail?"].assert_eq(&empty);
    assert!(Expectations::load(Path::new("/nowhere/e.toml")).unwrap_err().to_string().contains("/nowhere/e.toml"));
}

const DEFECTS: &str = r#"
[[defect]]
scenario   = "deleted/*"
criu       = "..4.3"
comparison = ["file-times", "directory-times"]
expected   = '(?<seconds>\d+)\.\d{9}'
got        = "$seconds.000000000"
reason     = "whole seconds only"

[[defect]]
scenario   = "*"
comparison = "directory-times"
object     = "the top *"
reason     = "it is touched"
"#;

fn time(comparison: &str, object: &str, expected: &str, got: &str) -> Difference {
    Difference {
        comparison: comparison.into(),
        kind: if comparison == "file-times" { FailureKind::WrongContent } else { FailureKind::Litter },
        view: Side::Tree,
        object: Some(object.into()),
        what: "modification time".into(),
        expected: expected.into(),
        got: got.into(),
        known: None,
    }
}

fn explained(file: &str, scenario: &str, differences: &[Difference]) -> String {
    let verdict = Verdict::Fail(differences[0].kind);
    let judgement = Judgement { differences: differences.to_vec(), ..Judgement::plain(verdict, "it differs") };
    let trial = Trial { scenario: scenario.into(), ..trial() };
    let judgement = parse(file).unwrap().apply(&trial, Version::find("4.1.1").as_ref(), judgement);
    format!("{}: {}", judgement.verdict, judgement.reason)
}

#[test]
fn a_defect_explains_its_own_difference_and_no_other() {
    let cut = time("file-times", "a/f", "7.000000005", "7.000000000");
    let moved = time("file-times", "a/g", "7.000000005", "8.000000000");
    let touched = time("directory-times", "the top directory", "7.5", "9.25");
    expect!["xfail(wrong-content): a/f, tree: modification time: expected 7.000000005, got 7.000000000 (known: whole seconds only)"].assert_eq(&explained(DEFECTS, "deleted/x", std::slice::from_ref(&cut)));
    expect!["xfail(wrong-content): a/f, tree: modification time: expected 7.000000005, got 7.000000000 (and 1 more) (known: whole seconds only; it is touched)"]
        .assert_eq(&explained(DEFECTS, "deleted/x", &[cut.clone(), touched.clone()]));
    expect!["fail(wrong-content): a/g, tree: modification time: expected 7.000000005, got 8.000000000"]
        .assert_eq(&explained(DEFECTS, "deleted/x", &[cut.clone(), moved, touched.clone()]));
    expect!["fail(wrong-content): a/f, tree: modification time: expected 7.000000005, got 7.000000000"]
        .assert_eq(&explained(DEFECTS, "names/x", &[cut.clone(), touched]));
    let elsewhere = time("directory-times", "a", "7.5", "9.25");
    expect!["fail(litter): a, tree: modification time: expected 7.5, got 9.25"].assert_eq(&explained(
        DEFECTS,
        "deleted/x",
        &[cut, elsewhere],
    ));
}

#[test]
fn a_trial_that_was_refused_and_has_only_known_defects_now_has_changed() {
    let both = format!("{FILE}{DEFECTS}");
    let cut = time("file-times", "a/f", "7.000000005", "7.000000000");
    let rendered = explained(&both, "deleted/x@btrfs", &[cut]);
    assert!(rendered.starts_with("changed-fail(wrong-content)"), "{rendered}");
}

#[test]
fn a_defect_explains_only_failures_that_are_differences() {
    let cut = time("file-times", "a/f", "7.000000005", "7.000000000");
    let of = |verdict, more_differences| {
        let differences = vec![cut.clone()];
        let judgement = Judgement { differences, more_differences, ..Judgement::plain(verdict, "it differs") };
        let trial = Trial { scenario: "deleted/x".into(), ..trial() };
        parse(DEFECTS).unwrap().apply(&trial, Version::find("4.1.1").as_ref(), judgement).verdict
    };
    assert_eq!(of(Verdict::Fail(FailureKind::WrongContent), 0), Verdict::Xfail(FailureKind::WrongContent));
    assert_eq!(of(Verdict::Fail(FailureKind::WrongContent), 1), Verdict::Fail(FailureKind::WrongContent));
    assert_eq!(of(Verdict::Fail(FailureKind::HarmedByDump), 0), Verdict::Fail(FailureKind::HarmedByDump));
    assert_eq!(of(Verdict::Fail(FailureKind::DumpFailed), 0), Verdict::Fail(FailureKind::DumpFailed));
}

#[test]
fn a_recorded_failure_of_a_restore_says_nothing_of_what_it_did_besides() {
    let entry = "[[expect]]\nscenario = \"*\"\nkind = \"restore-failed\"\nsays = \"no\"\nreason = \"why\"\n";
    let defect = "[[defect]]\nscenario = \"*\"\ncomparison = \"failed-restore\"\nreason = \"it leaves one\"\n";
    let of = |text: &str, differences: Vec<Difference>| {
        let failed = Verdict::Fail(FailureKind::RestoreFailed);
        let judgement = Judgement { differences, ..Judgement::plain(failed, "no") };
        parse(text).unwrap().apply(&trial(), None, judgement)
    };
    let left = || {
        let left = time("failed-restore", "x", "(nothing)", "directory /tmp/.criu.1");
        vec![Difference { kind: FailureKind::HarmedByRestore, ..left }]
    };
    assert_eq!(of(entry, Vec::new()).verdict, Verdict::Xfail(FailureKind::RestoreFailed));
    let rendered = of(entry, left());
    assert_eq!(rendered.verdict, Verdict::Fail(FailureKind::RestoreFailed));
    assert_eq!(
        (rendered.said(), &*rendered.reason),
        ("no", "no (known: why, but not what the failed restore did besides)")
    );
    assert_eq!(of(&format!("{entry}{defect}"), left()).verdict, Verdict::Xfail(FailureKind::RestoreFailed));
}

#[test]
fn a_defect_that_could_show_and_does_not_is_stale() {
    let expectations = parse(DEFECTS).unwrap();
    let mut uses = Uses::new(&expectations);
    let criu = Version::find("4.1.1");
    let rendered = |uses: &Uses<'_>| uses.idle().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    uses.note(&trial(), criu.as_ref(), &Judgement::plain(Verdict::Fail(FailureKind::DumpFailed), "no"));
    assert_eq!(rendered(&uses), "");
    uses.note(&trial(), criu.as_ref(), &Judgement::plain(Verdict::Pass, ""));
    expect![[r#"
        expectations.toml:2:1: no trial shows this defect any more: remove or narrow it (known: whole seconds only)
        expectations.toml:10:1: no trial shows this defect any more: remove or narrow it (known: it is touched)"#]]
    .assert_eq(&rendered(&uses));
    let touched = time("directory-times", "the top directory", "7.5", "9.25");
    let failed = Judgement::plain(Verdict::Fail(FailureKind::Litter), "");
    uses.note(&trial(), criu.as_ref(), &Judgement { differences: vec![touched], ..failed });
    expect![
        "expectations.toml:2:1: no trial shows this defect any more: remove or narrow it (known: whole seconds only)"
    ]
    .assert_eq(&rendered(&uses));
}

#[test]
fn a_wrong_defect_has_its_place() {
    let complaint = |line: &str| parse(&format!("[[defect]]\nscenario = \"x\"\nreason = \"r\"\n{line}\n")).unwrap_err();
    expect![[r#"expectations.toml:4:14: unknown comparison "colour"; known are objects, process, process-number, file-kind, file-identity, link-count, mount-state, same-mount, link, getcwd, sharing, mount-flags, statmount, descriptor-flags, close-on-exec, position, descriptor-details, descriptor-control, mapping-permissions, process-attributes, mapping, content, file-attributes, xattrs, mounts, mount-table, tree-names, reopen, lookups, mount-options, mount-propagation, tree-files, tree-content, tree-attributes, file-times, hidden-names, host-mounts, directory-times, change-times, caller, probe-entries, probe-locks, probe-written, probe-names, probe-mappings, probe-pipes, probe-events, probe-mount-api, probe-busy, probe-release, failed-restore, second-try, leftovers"#]].assert_eq(&complaint("comparison = \"colour\""));
    expect!["expectations.toml:5:12: `expected` and `got` stand together or not at all"]
        .assert_eq(&complaint("comparison = \"link\"\nexpected = \"a\""));
    expect!["expectations.toml:5:12: found open group without closing ')'"]
        .assert_eq(&complaint("comparison = \"link\"\nexpected = \"(\"\ngot = \"a\""));
    expect!["expectations.toml:1:1: missing field `comparison`"].assert_eq(&complaint(""));
}

#[test]
fn the_projects_own_file_can_be_read() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/expectations.toml");
    Expectations::load(&file).unwrap();
}

/// A scenario that must be refused passes when criu refuses it, so an entry for "everything"
/// must except it: the main job was red for hours because one did not.
#[test]
fn an_entry_for_everything_speaks_of_no_scenario_that_must_be_refused() {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the harness is a folder of the tree");
    let expectations = Expectations::load(&tree.join("scenarios/expectations.toml")).expect("it is read by `run`, too");
    let catalogue = scenarios::catalogue::load(&tree.join("scenarios/catalogue")).expect("a test of its own checks it");
    let criu = Version::find("4.1.1");
    let refused = catalogue.iter().filter(|scenario| scenario.outcome != scenarios::Outcome::Restored);
    for scenario in refused {
        let trial = Trial { scenario: scenario.name.clone(), family: scenario.family.clone(), ..trial() };
        let entry = expectations.find(&trial, criu.as_ref());
        let by_everything = entry.is_some_and(|entry| entry.scope.scenario.iter().any(|pattern| pattern == "*"));
        assert!(!by_everything, "{}: except it in the entry of `scenario = \"*\"`", scenario.name);
    }
}

#[test]
fn every_pattern_of_the_projects_file_names_a_scenario_or_a_control_that_there_is() {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the harness is a folder of the tree");
    let expectations = Expectations::load(&tree.join("scenarios/expectations.toml")).expect("it is read by `run`, too");
    let mut all = scenarios::catalogue::load(&tree.join("scenarios/catalogue")).expect("a test of its own checks it");
    all.extend(scenarios::visible::controls(&all).scenarios);
    let stale = expectations.stale(all.iter().map(|scenario| scenario.name.as_str()));
    assert!(stale.is_empty(), "{stale:#?}");
}
