//! What a program reads.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use expect_test::expect;

use super::run::{events, feed, finished};
use crate::judge::{Judgement, Verdict};
use crate::report::json::Json;
use crate::report::record::RunRecord;
use crate::report::{Destination, Event, Reporter, Wanted};

fn read(file: &Path) -> RunRecord {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

fn open(file: &Path) -> Json {
    Json::open(Destination::File(file.to_owned())).unwrap()
}

#[test]
fn the_document() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    let mut events = events();
    // Six trials are more than this needs.
    events.drain(7..events.len() - 1);
    feed(&mut open(&file), &events);
    let text = fs::read_to_string(&file).unwrap();
    expect![[r#"
        {"version": 1, "summary": {"passed":2,"failed":1,"skipped":0,"error":0,"seconds":12.34},
        "causes": [{"signature":"wrong-path descriptor link","kind":"wrong-path","count":1,"controls":0,"first":"fd0 (descriptor 3), inside: link: expected \"/f (deleted)\", got \"/d/f\"","program":"","example":"deleted/un'linked@ext4/ns/dump-restore/6.12/debian:trixie","trials":["deleted/un'linked@ext4/ns/dump-restore/6.12/debian:trixie"],"blocked_by":[]}],
        "ladder": [],
        "trials": [
        {"id":"attributes/ro@tmpfs/ns/dump-restore/6.12/debian:trixie","scenario":"attributes/ro@tmpfs","family":"attributes","flavor":"ns","lifecycle":"dump-restore","kernel":"6.12","subject":"debian:trixie","verdict":"pass","kind":null,"reason":"","differences":[],"more_differences":0,"log":[],"seconds":0.421,"artifacts":null},
        {"id":"attributes/nosuid@tmpfs/ns/dump-restore/6.12/debian:trixie","scenario":"attributes/nosuid@tmpfs","family":"attributes","flavor":"ns","lifecycle":"dump-restore","kernel":"6.12","subject":"debian:trixie","verdict":"xfail","kind":"dump-failed","reason":"Dumping FAILED. (known: not supported)","differences":[],"more_differences":0,"log":[],"seconds":0.421,"artifacts":null},
        {"id":"deleted/un'linked@ext4/ns/dump-restore/6.12/debian:trixie","scenario":"deleted/un'linked@ext4","family":"deleted","flavor":"ns","lifecycle":"dump-restore","kernel":"6.12","subject":"debian:trixie","verdict":"fail","kind":"wrong-path","reason":"fd0 (descriptor 3), inside: link: expected \"/f (deleted)\", got \"/d/f\" (and 4 more)","differences":[{"comparison":"link","kind":"wrong-path","view":"inside","object":"fd0 (descriptor 3)","what":"link","expected":"\"/f (deleted)\"","got":"\"/d/f\""},{"comparison":"link","kind":"wrong-path","view":"outside","object":"fd0 (descriptor 3)","what":"link","expected":"\"/f (deleted)\"","got":"\"/d/f\""},{"comparison":"link","kind":"wrong-path","view":"inside","object":"fd0 (descriptor 3)","what":"lookup \"\\xff\" (plain)","expected":"\"/a\\xff\"","got":"\"/a\\xfe\""},{"comparison":"link","kind":"wrong-path","view":"inside","object":"fd0 (descriptor 3)","what":"lookup \"größe/日本\" (plain)","expected":"\"/größe/日本/x\"","got":"\"/größe/日本/y\""},{"comparison":"link","kind":"wrong-path","view":"outside","object":"fd0 (descriptor 3)","what":"lookup \"long\" (beneath)","expected":"\"/directory/directory/directory/directory/directory/directory/directory/directory/directory/directory/directory/directory//expected\"","got":"\"/directory/directory/directory/directory/directory/directory/directory/directory/directory/directory/directory/directory//got\""}],"more_differences":7,"log":["(00.01) Error (criu/files-reg.c:1): \u001b[2Jbad(a mark that turns the line)"],"seconds":0.421,"artifacts":"results/deleted_x-1a2b3c4d"}
        ]}
    "#]].assert_eq(&text.replace('\u{202e}', "(a mark that turns the line)"));
    let read = read(&file);
    let written: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_value(RunRecord::new(read.summary, read.trials)).unwrap(), written);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
    assert_ne!(fs::metadata(&file).unwrap().permissions().mode() & 0o044, 0, "others can read it");
}

#[test]
fn every_moment_has_a_whole_document_and_the_end_has_all() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    let mut report = open(&file);
    assert_eq!(read(&file).trials, []);
    let mut count = 0;
    for event in events() {
        report.event(&event).unwrap();
        count += usize::from(matches!(event, Event::TrialFinished(_)));
        assert!(read(&file).trials.len() <= count);
    }
    let run = read(&file);
    assert_eq!((run.trials.len(), run.summary.passed, run.summary.failed, run.summary.skipped), (6, 2, 3, 1));
    assert_eq!(run.summary.error, 1);
}

#[test]
fn a_trial_is_there_before_the_next_one_ends() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    let mut report = open(&file);
    for number in 1..5 {
        let trial = finished(&format!("a/{number}"), Judgement::plain(Verdict::Pass, ""));
        report.event(&Event::TrialFinished(Box::new(trial.clone()))).unwrap();
        // A rewrite of so small a document takes microseconds; wait until the rest after it is
        // over.
        let patience = std::time::Instant::now();
        while read(&file).trials.len() < number && patience.elapsed().as_secs() < 20 {
            report.event(&Event::TrialStarted { trial: trial.trial.clone() }).unwrap();
        }
        assert_eq!(read(&file).trials.len(), number);
    }
}

#[test]
fn an_abort_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    let mut report = open(&file);
    let mut events = events();
    events.pop();
    feed(&mut report, &events);
    drop(report);
    assert_eq!(read(&file).trials.len(), 6);
}

#[test]
fn ten_thousand_trials_are_not_written_ten_thousand_times() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    let mut report = open(&file);
    let trial = Event::TrialFinished(Box::new(finished("a/b", Judgement::plain(Verdict::Pass, ""))));
    for _ in 0..10_000 {
        report.event(&trial).unwrap();
    }
    report.event(&Event::RunFinished { seconds: 1.0, interrupted: false }).unwrap();
    assert!(report.rewrites() < 2_000, "{} rewrites", report.rewrites());
    assert_eq!(read(&file).trials.len(), 10_000);
}

#[test]
fn wanted_reports() {
    let error = |text: &str| text.parse::<Wanted>().err().map(|error| error.to_string()).unwrap_or_default();
    assert_eq!(error("json=r.json"), "");
    assert_eq!("json=-".parse::<Wanted>().unwrap().to, Destination::Stdout);
    expect![[r#""json" is no report; write FORMAT=FILE, or FORMAT=- for standard output, as in json=report.json"#]]
        .assert_eq(&error("json"));
    expect![[r#"unknown report format "yaml"; known are json, junit, tap, html, github"#]].assert_eq(&error("yaml=x"));
    let wanted: Wanted = "json=/nowhere/r.json".parse().unwrap();
    let refusal = wanted.open().err().unwrap().to_string();
    assert!(refusal.starts_with("cannot write the json report to /nowhere/r.json: No such file"), "{refusal}");
}
