//! Which criu was tested: the first lines of a run, and the document of it.

use std::path::Path;

use super::run::{events, finished};
use crate::judge::{Judgement, Verdict};
use crate::report::comparison::Comparison;
use crate::report::json::Json;
use crate::report::merge::{merge, read};
use crate::report::terminal::{Detail, Look, Terminal};
use crate::report::{Destination, Event, Reporter, SharedAxes};
use crate::subject::Identity;

const LOOK: Look = Look { width: 80, colour: false, bar: false, detail: Detail::Lines };

fn identity(revision: &str) -> Identity {
    Identity {
        subject: "src:../criu+build=sid+patch:a.diff".into(),
        criu: "4.2".into(),
        revision: Some(revision.into()),
        patches: vec!["a.diff".into()],
        build: Some("sid".into()),
    }
}

#[test]
fn a_run_says_first_which_criu_it_is() {
    let mut out = Vec::new();
    let mut terminal = Terminal::new(&mut out, LOOK);
    let trial = finished("a/b", Judgement::plain(Verdict::Pass, "")).trial;
    let started = Event::RunStarted { trials: 1, shared: SharedAxes::of([&trial]) };
    // git's own messages are not compared.
    for event in [started, Event::Subjects(vec![identity("1a2b3c4-dirty\u{1b}[2J")])] {
        terminal.event(&event).unwrap();
    }
    expect_test::expect![[r#"
        1 trial: flavor ns, lifecycle dump-restore, kernel 6.12, subject debian:trixie
        src:../criu+build=sid+patch:a.diff: criu 4.2, git 1a2b3c4-dirty\u{1b}[2J, patch a.diff, built in sid
    "#]]
    .assert_eq(&String::from_utf8(out).unwrap());
}

#[test]
fn the_document_keeps_it_and_runs_that_become_one_have_all() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, revision: &str| {
        let file = folder.path().join(name);
        let mut report = Json::open(Destination::File(file.clone())).unwrap();
        let mut events = events();
        events.insert(1, Event::Subjects(vec![identity(revision)]));
        events.iter().for_each(|event| report.event(event).unwrap());
        file
    };
    let of = |file: &Path| read(file).unwrap();
    let (one, other) = (write("one.json", "aaaa"), write("other.json", "bbbb"));
    assert_eq!(of(&one).subjects, [identity("aaaa")]);
    assert_eq!(merge(vec![of(&one), of(&other), of(&one)]).subjects, [identity("aaaa"), identity("bbbb")]);
}

#[test]
fn every_report_names_images_that_are_not_as_locked() {
    let images = |line: &str| Event::NotAsLocked(vec![line.to_owned()]);
    let mut out = Vec::new();
    Terminal::new(&mut out, LOOK).event(&images("kernel 6.12: a 2 instead of 1\u{1b}[2J")).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "not as locked: kernel 6.12: a 2 instead of 1\\u{1b}[2J\n");

    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, line: &str| {
        let file = folder.path().join(name);
        let mut report = Json::open(Destination::File(file.clone())).unwrap();
        let mut events = events();
        events.insert(1, images(line));
        events.iter().for_each(|event| report.event(event).unwrap());
        file
    };
    let of = |file: &Path| read(file).unwrap();
    let (one, other) = (write("one.json", "qemu: b"), write("other.json", "kernel: <a>"));
    assert_eq!(of(&one).not_as_locked, ["qemu: b"]);
    let merged = merge(vec![of(&one), of(&other), of(&one)]);
    assert_eq!(merged.not_as_locked, ["kernel: <a>", "qemu: b"]);
    let page = crate::report::html::render(&merged);
    assert!(page.contains("Not as locked: kernel: &lt;a&gt;") && page.contains("Not as locked: qemu: b"));
}

#[test]
fn a_comparison_names_images_that_are_not_as_locked() {
    let mut comparison = Comparison::new("debian:trixie".into(), "src:../criu".into(), 1.0);
    assert!(!comparison.json().contains("not_as_locked"));
    comparison.not_as_locked = vec!["qemu: b 2 instead of 1\u{1b}[2J".to_owned()];
    let text = comparison.text(LOOK);
    assert_eq!(text.lines().nth(2), Some("not as locked: qemu: b 2 instead of 1\\u{1b}[2J"));
    let page = crate::report::html::comparison::render(&comparison);
    assert!(page.contains("Not as locked: qemu: b 2 instead of 1\\u{1b}[2J"), "{page}");
    let document: serde_json::Value = serde_json::from_str(&comparison.json()).unwrap();
    assert_eq!(document["not_as_locked"][0], "qemu: b 2 instead of 1\u{1b}[2J");
}

#[test]
fn a_comparison_says_which_two() {
    let mut comparison = Comparison::new("src:../criu".into(), "src:../criu".into(), 1.0);
    assert!(!comparison.json().contains("subjects"));
    comparison.subjects = vec![identity("aaaa"), identity("bbbb")];
    let text = comparison.text(LOOK);
    let lines: Vec<&str> = text.lines().skip(2).take(2).collect();
    let line = |revision: &str| {
        format!("src:../criu+build=sid+patch:a.diff: criu 4.2, git {revision}, patch a.diff, built in sid")
    };
    assert_eq!(lines, [line("aaaa"), line("bbbb")]);
    let document: serde_json::Value = serde_json::from_str(&comparison.json()).unwrap();
    assert_eq!(document["subjects"][1]["revision"], "bbbb");
}
