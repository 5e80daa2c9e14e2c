//! Texts that are read: what criu says, and the file of known failures.

use std::path::Path;

use protocol::message::{Flavor, Lifecycle};

use harness::bless::{self, Note};
use harness::fuzz::features::log_lines;
use harness::judge::range::Version;
use harness::judge::signature::plain;
use harness::judge::{Difference, Expectations, FailureKind, Judgement, Side, Trial, Verdict};

/// Each line of a criu log is one feature, short and without what changes from run to run.
///
/// # Panics
/// When that does not hold.
pub fn criu_log(text: &[u8]) {
    let log = String::from_utf8_lossy(text);
    let features: Vec<String> = log_lines(&log).collect();
    assert_eq!(features.len(), log.lines().count(), "a feature for each line");
    for feature in features {
        let line = feature.strip_prefix("log ").expect("it says what it is");
        assert!(line.chars().count() <= 160 && !line.contains(|c: char| c.is_ascii_digit()), "{line:?}");
    }
    for line in log.lines() {
        let once = plain(line);
        assert_eq!(plain(line), once);
    }
}

/// A file of known failures is read or refused with a place in it. What is known never makes a pass
/// of a failure or a failure of a pass, and a file of which nothing new is known stays as it is.
///
/// # Panics
/// When that does not hold.
pub fn expectations(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    let file = Path::new("expectations.toml");
    let expectations = match Expectations::parse(text, file) {
        Ok(expectations) => expectations,
        Err(error) => return is_placed(text, &error.to_string()),
    };
    let same = bless::bless(text, file, &[], &["6.12".to_owned()], &Note::default()).expect("there is nothing to do");
    assert_eq!((same.text.as_str(), same.changes.len()), (text, 0));
    let _ = expectations.stale(["deleted/unlinked@ext4"]);
    for (trial, criu) in trials() {
        let criu = Version::find(criu);
        let verdict = |judgement| expectations.apply(&trial, criu.as_ref(), judgement).verdict;
        assert!(matches!(verdict(Judgement::plain(Verdict::Pass, "")), Verdict::Pass | Verdict::Xpass));
        for &kind in FailureKind::ALL {
            let failed = Judgement::plain(Verdict::Fail(kind), "it failed");
            let seen = Judgement { differences: vec![difference(kind)], ..failed.clone() };
            for judgement in [failed, seen] {
                let now = verdict(judgement);
                let fails = [Verdict::Fail(kind), Verdict::Xfail(kind), Verdict::ChangedFail(kind)];
                assert!(fails.contains(&now), "{kind} became {now}");
            }
        }
    }
}

/// A refusal begins with file, line and column, and these are in the text.
fn is_placed(text: &str, refusal: &str) {
    let mut parts = refusal.split(':');
    assert_eq!(parts.next(), Some("expectations.toml"), "{refusal}");
    let mut number = || parts.next().and_then(|part| part.parse::<usize>().ok()).expect("a place follows");
    let (line, column) = (number(), number());
    let lines: Vec<&str> = text.split('\n').collect();
    let there = lines.get(line - 1).unwrap_or_else(|| panic!("{refusal}: the text has {} lines", lines.len()));
    assert!((1..=there.chars().count() + 1).contains(&column), "{refusal}: the line is {there:?}");
}

fn difference(kind: FailureKind) -> Difference {
    Difference {
        comparison: "link".into(),
        kind,
        view: Side::Inside,
        object: Some("fd0 (descriptor 3)".to_owned()),
        what: "link".into(),
        expected: "/f (deleted)".to_owned(),
        got: "/f".to_owned(),
        known: None,
    }
}

/// Trials that entries may speak of, each with a version of criu.
fn trials() -> impl Iterator<Item = (Trial, &'static str)> {
    let places = [("6.1", "debian:bookworm", "3.17.1"), ("6.12", "debian:trixie", "4.1.1"), ("7.3", "reference", "")];
    places.into_iter().map(|(kernel, subject, criu)| {
        let trial = Trial {
            scenario: "deleted/unlinked@ext4".to_owned(),
            family: "deleted".to_owned(),
            flavor: Flavor::Ns,
            lifecycle: Lifecycle::DumpRestore,
            kernel: kernel.to_owned(),
            subject: subject.to_owned(),
        };
        (trial, criu)
    })
}
