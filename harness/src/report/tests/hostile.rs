//! Names, comments and texts of a guest that would act in a terminal or a document, and texts that
//! are too long: every format is read back by a parser of others.
//!
//! quick-xml accepts characters that XML 1.0 forbids, so `harmless` looks for them. For TAP's lines
//! and GitHub's commands there is no parser in the dependencies: their rules are a line each.

use std::fmt::Write as _;
use std::fs;

use quick_xml::events::Event as Xml;
use yaml_rust2::YamlLoader;

use super::run::{difference, events_of, feed, finished};
use crate::judge::{FailureKind, Judgement, Side, Verdict};
use crate::report::record::RunRecord;
use crate::report::terminal::{Detail, Look, Terminal};
use crate::report::{Event, Finished, Wanted, github};

/// All that acts somewhere: C0, C1, direction, noncharacters, markup, directives, commands.
const EVIL: &str =
    "\u{1b}]0;x\u{7}\u{1b}[2J\u{9b}31m\r\n::error::x\0\u{202e}\u{2028}\u{fffe}\u{ffff}]]><b a='\"'>&#0; # TODO \\";

/// Control characters, noncharacters and marks that a reader must never get.
fn harmless(text: &str) -> &str {
    let bad = |c: char| {
        let code = u32::from(c);
        (c.is_control() && c != '\n') || code & 0xfffe == 0xfffe || ['\u{202e}', '\u{2028}'].contains(&c)
    };
    assert!(!text.contains(bad), "{:?} is in {text}", text.chars().find(|c| bad(*c)));
    text
}

/// A trial of each verdict with hostile texts everywhere.
fn trials() -> Vec<Finished> {
    let kind = FailureKind::WrongPath;
    let verdicts = [
        Verdict::Pass,
        Verdict::Xfail(kind),
        Verdict::Improved,
        Verdict::Fail(kind),
        Verdict::Error,
        Verdict::Unsupported,
        Verdict::Flaky { passed: 1, runs: 2 },
    ];
    let trial = |(number, verdict): (usize, Verdict)| {
        let judgement = Judgement {
            differences: vec![difference(Side::Inside, EVIL, EVIL, "x")],
            quotes: vec![EVIL.to_owned()],
            ..Judgement::plain(verdict, format!("  {EVIL}"))
        };
        let mut trial = finished(&format!("{EVIL}/{number}"), judgement);
        trial.trial.subject = EVIL.to_owned();
        trial.trial.kernel = format!("{EVIL}{number}");
        Finished { criu: Some(EVIL.into()), file: Some(EVIL.into()), program: Some(EVIL.into()), ..trial }
    };
    verdicts.into_iter().enumerate().map(trial).collect()
}

fn written(format: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report");
    let wanted: Wanted = format!("{format}={}", file.display()).parse().unwrap();
    let mut report = wanted.open().unwrap();
    for event in events_of(trials()) {
        report.event(&event).unwrap();
    }
    drop(report);
    fs::read_to_string(&file).unwrap()
}

#[test]
fn junit_is_well_formed() {
    let text = written("junit");
    let mut reader = quick_xml::Reader::from_str(harmless(&text));
    let mut names = Vec::new();
    loop {
        match reader.read_event().unwrap() {
            Xml::Eof => break,
            Xml::Start(tag) | Xml::Empty(tag) => {
                for attribute in tag.attributes() {
                    let attribute = attribute.unwrap();
                    let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0).unwrap();
                    if tag.name().as_ref() == b"testcase" && attribute.key.as_ref() == b"name" {
                        names.push(harmless(&value).to_owned());
                    }
                }
            }
            _ => {}
        }
    }
    assert_eq!(names.len(), trials().len());
    assert!(names[0].contains(r"\u{1b}[2J") && names[0].contains(r"\u{fffe}\u{ffff}]]><b a='"), "{}", names[0]);
}

#[test]
fn tap_has_its_lines_and_its_yaml() {
    let text = written("tap");
    let mut results = 0;
    let mut yaml: Option<String> = None;
    for line in harmless(&text).lines() {
        match (&mut yaml, line) {
            (None, "  ---") => yaml = Some(String::new()),
            (Some(text), "  ...") => {
                let document = YamlLoader::load_from_str(text).unwrap().remove(0);
                let message = document["message"].as_str().unwrap();
                assert!(message.starts_with(r"  \u{1b}]0;x") && message.contains("\nlog: "), "{message}");
                yaml = None;
            }
            (Some(text), line) => writeln!(text, "{}", line.strip_prefix("  ").unwrap()).unwrap(),
            (None, line) if line.starts_with("ok ") || line.starts_with("not ok ") => {
                results += 1;
                let directives = line.match_indices(" # ").count();
                assert!(directives <= 1, "{line}");
            }
            (None, line) => assert!(line.starts_with("TAP version") || line.starts_with("1.."), "{line}"),
        }
    }
    assert_eq!(results, trials().len());
}

#[test]
fn github_has_no_commands_but_its_own() {
    let read: RunRecord = serde_json::from_str(&written("json")).unwrap();
    let run = RunRecord::new(read.summary, read.trials);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("summary.md");
    let text = github::render_with(&run, Some(&file));
    let commands: Vec<&str> = harmless(&text).lines().map(|line| &line[..line.find(' ').unwrap()]).collect();
    assert_eq!(commands.iter().filter(|command| **command == "::error").count(), run.causes.len());
    assert_eq!(commands.len(), run.causes.len() + 1, "{text}");
    assert!(!harmless(&fs::read_to_string(&file).unwrap()).contains("<b"));
}

#[test]
fn a_page_and_a_terminal_get_text() {
    assert!(!harmless(&written("html")).contains("<b a="));
    for detail in [Detail::Failures, Detail::Lines, Detail::Reasons] {
        let mut out = Vec::new();
        let look = Look { width: 80, colour: false, bar: false, detail };
        feed(&mut Terminal::new(&mut out, look), &events_of(trials()));
        harmless(&String::from_utf8(out).unwrap());
    }
}

#[test]
fn texts_of_megabytes_are_cut_once() {
    let long = "x".repeat(1 << 20);
    let judgement = Judgement {
        differences: vec![difference(Side::Inside, &long, &long, "y")],
        quotes: vec![long.clone(); 300],
        ..Judgement::plain(Verdict::Fail(FailureKind::WrongPath), long.clone())
    };
    let events = events_of(vec![finished("a/b", judgement)]);
    let Event::TrialFinished(trial) = &events[2] else { panic!("{:?}", events[2]) };
    let record = crate::report::record::TrialRecord::from(&**trial);
    let text = serde_json::to_string(&record).unwrap();
    assert!(text.len() < 1 << 20, "{} bytes", text.len());
    assert_eq!((record.log.len(), record.log[199].as_str()), (200, "... and 101 more lines"));
    let again = crate::report::record::TrialRecord::from(&Finished::try_from(record.clone()).unwrap());
    assert_eq!(again, record, "what is read and written again stays as it is");
    let mut out = Vec::new();
    let look = Look { width: 80, colour: false, bar: false, detail: Detail::Lines };
    feed(&mut Terminal::new(&mut out, look), &events);
    assert!(out.len() < 1 << 17, "{} bytes", out.len());
}
