//! The expectations file: what it says, what is wrong with it, and what it makes of a judgement.

use std::path::Path;

use expect_test::expect;
use protocol::message::{Flavor, Lifecycle};

use crate::judge::expectations::wildcard;
use crate::judge::range::Version;
use crate::judge::{Expectations, FailureKind, Judgement, Trial, Verdict};

const FILE: &str = r#"
[[expect]]
scenario  = ["deleted/*@btrfs", "links/*"]
flavor    = ["ns", "userns"]
lifecycle = "dump-restore"
kernel    = "6.12.."
subject   = "debian:*"
criu      = "..4.2"
kind      = "dump-failed"
reason    = "detached files are not supported"
link      = "https://example.org/1"

[[expect]]
scenario  = "*"
subject   = ["debian:sid"]
kind      = "wrong-path"
reason    = "all else"
"#;

fn parse(text: &str) -> Result<Expectations, String> {
    Expectations::parse(text, Path::new("expectations.toml")).map_err(|error| error.to_string())
}

fn trial() -> Trial {
    Trial {
        scenario: "deleted/unlinked@btrfs".into(),
        family: "deleted".into(),
        flavor: Flavor::Ns,
        lifecycle: Lifecycle::DumpRestore,
        kernel: "6.12".into(),
        subject: "debian:trixie".into(),
    }
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
fn every_key_narrows() {
    let failed = Verdict::Fail(FailureKind::DumpFailed);
    assert!(applied(&trial(), "4.1.1", failed).starts_with("xfail"));
    let others = [
        (Trial { scenario: "deleted/x@ext4".into(), ..trial() }, "4.1.1"),
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
    assert_eq!(text(expectations.stale(["links/a", "x"])), "");
    expect![
        "expectations.toml:2:1: no scenario is called deleted/*@btrfs, links/*: remove the entry or correct the name"
    ]
    .assert_eq(&text(expectations.stale(["deleted/x@ext4"])));
}

#[test]
fn mistakes_have_their_place() {
    let complaint = |line: &str| {
        let text = format!("# head\n[[expect]]\nscenario = \"x\"\nkind = \"litter\"\nreason = \"r\"\n{line}\n");
        parse(&text).unwrap_err()
    };
    expect!["expectations.toml:6:1: unknown field `colour`, expected one of `scenario`, `flavor`, `lifecycle`, `kernel`, `subject`, `criu`, `kind`, `reason`, `link`"].assert_eq(&complaint("colour = 1"));
    expect![[r#"expectations.toml:6:10: unknown flavor "uns"; known are host, ns, userns"#]]
        .assert_eq(&complaint("flavor = [\"ns\", \"uns\"]"));
    expect![[r#"expectations.toml:6:10: "new" is no range of versions; write 6.12, 6.12.., ..6.12 or 6.1..6.12"#]]
        .assert_eq(&complaint("kernel = \"new\""));
    expect!["expectations.toml:6:13: expected a text or a list of texts"].assert_eq(&complaint("lifecycle = 7"));
    expect!["expectations.toml:6:5: key with no value, expected `=`"].assert_eq(&complaint("what"));
    let kind = parse("[[expect]]\nscenario = \"x\"\nkind = \"odd\"\nreason = \"r\"\n").unwrap_err();
    expect![[r#"expectations.toml:3:8: unknown kind "odd"; known are dump-failed, restore-failed, wrong-path, wrong-resolution, wrong-mount, wrong-file, wrong-content, wrong-flags, lost-object, broken-sharing, litter, harmed-by-dump, hang, crash, kernel-splat"#]].assert_eq(&kind);
    let missing = parse("[[expect]]\nscenario = \"x\"\nkind = \"litter\"\n").unwrap_err();
    expect!["expectations.toml:1:1: missing field `reason`"].assert_eq(&missing);
    let empty = parse("[[expect]]\nscenario = \"x\"\nkind = \"litter\"\nreason = \" \"\n").unwrap_err();
    expect!["expectations.toml:4:10: an expectation needs a reason: why does this fail?"].assert_eq(&empty);
    assert!(Expectations::load(Path::new("/nowhere/e.toml")).unwrap_err().to_string().contains("/nowhere/e.toml"));
}

#[test]
fn the_projects_own_file_can_be_read() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/expectations.toml");
    Expectations::load(&file).unwrap();
}

#[test]
fn wildcards() {
    for (pattern, text) in
        [("a", "a"), ("*", ""), ("a*", "ab"), ("*b", "ab"), ("a*c*e", "abcde"), ("*x*", "x"), ("a**b", "ab")]
    {
        assert!(wildcard(pattern, text), "{pattern} {text}");
    }
    for (pattern, text) in [("a", "ab"), ("", "a"), ("a*a", "a"), ("a*c*e", "abde"), ("*x", "xy")] {
        assert!(!wildcard(pattern, text), "{pattern} {text}");
    }
}
