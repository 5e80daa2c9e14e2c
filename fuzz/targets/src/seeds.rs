//! Inputs to begin with, and dictionaries, as files below `fuzz/`. The test `fuzzing` compares and
//! writes them. For the targets that take programs the catalogue is the seed as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use protocol::message::{
    Action, ActionEnd, ActionReport, Lifecycle, Ready, Report, ReportFile, SecondTry, SetupFailure, TrialReport, Wake,
};
use protocol::probe::{Probe, ProbeGroup, Probed, Probes};
use protocol::{Event, Observation, wire};
use scenarios::Errno;
use scenarios::generate::noise;
use serde_json::Value;

use crate::samples;
use harness::judge::comparisons;
use harness::judge::verdict::FailureKind;
use testing::world::{observation, restored};

/// Every file, by its path below `fuzz/`.
pub fn files() -> BTreeMap<PathBuf, Vec<u8>> {
    let seeds =
        seeds().into_iter().map(|(target, name, bytes)| (PathBuf::from("seeds").join(target).join(name), bytes));
    let dictionary = |(target, words): (&str, BTreeSet<String>)| {
        (PathBuf::from(format!("dictionaries/{target}.dict")), words.iter().flat_map(|word| entry(word)).collect())
    };
    seeds.chain(dictionaries().into_iter().map(dictionary)).collect()
}

/// The seeds: target, name, bytes.
fn seeds() -> Vec<(&'static str, String, Vec<u8>)> {
    let texts = [
        ("program_text", "every-header", samples::SCENARIO),
        ("program_text", "from-a-release", samples::SCENARIO_FROM),
        ("mountinfo", "mounts", samples::MOUNTINFO),
        ("mountinfo", "every-field", samples::MOUNT),
        ("fdinfo", "file", samples::FDINFO_FILE),
        ("fdinfo", "inotify", samples::FDINFO_INOTIFY),
        ("fdinfo", "epoll", samples::FDINFO_EPOLL),
        ("criu_log", "dump", samples::DUMP_LOG),
        ("criu_log", "restore", samples::RESTORE_LOG),
        ("expectations", "every-key", samples::EXPECTATIONS),
    ];
    let texts = texts.into_iter().map(|(target, name, text)| (target, name.to_owned(), text.as_bytes().to_vec()));
    let events = events().into_iter().map(|(name, event)| {
        ("guest_messages", name.to_owned(), wire::encode(&event).expect("a small message can be sent"))
    });
    let worlds = (0..4).map(|seed| ("judge", format!("world-{seed}"), noise(seed)[..96].to_vec()));
    texts.chain(events).chain(worlds).collect()
}

/// Events as an honest guest sends them.
fn events() -> Vec<(&'static str, Event)> {
    let ready = Ready { kernel: "6.12.1".to_owned(), filesystems: vec!["ext4".to_owned()], ..Ready::default() };
    let finished = |report: TrialReport| Event::Finished { trial: 1, report: Box::new(report.into()) };
    let what = "open \"a/f\": ENOENT (os error 2)".to_owned();
    let setup_failure = SetupFailure { line: 3, what, missing: None, errno: Some(Errno::ENOENT) };
    let frame = Some(report(Lifecycle::LeaveRunning));
    let pack = Report { frame, programs: vec![report(Lifecycle::LeaveRunning)] };
    vec![
        ("ready", Event::Ready(ready.clone())),
        ("awake", Event::Awake { nonce: Wake { nonce: 7, unix_time_ns: 0 }.nonce, ready }),
        ("progress", Event::Progress { trial: 1, stage: "dump".to_owned() }),
        ("broken", Event::Broken { why: "no \\x7f room".to_owned() }),
        ("finished", finished(report(Lifecycle::DumpRestore))),
        ("setup-failure", finished(TrialReport { setup_failure: Some(setup_failure), ..TrialReport::default() })),
        ("pack-finished", Event::Finished { trial: 2, report: Box::new(pack) }),
    ]
}

/// A small world in which all went well, with a file.
fn report(lifecycle: Lifecycle) -> TrialReport {
    let action = |&action: &Action| ActionReport {
        action,
        end: ActionEnd::Done,
        error_lines: vec!["Error (a.c:1): b".to_owned()],
        duration_ms: 1,
        after: (action != Action::Dump).then(|| restored(smaller(1))),
        unobservable: None,
        caller: Vec::new(),
        left: vec!["file /t/1/x".to_owned()],
        second_try: Some(SecondTry { end: ActionEnd::Failed(1), error_lines: vec!["Error (a.c:1): c".to_owned()] }),
    };
    let probe = |outcome: &str| Probe {
        group: ProbeGroup::Names,
        of: "fd0".to_owned(),
        what: "rename from there to fd1".to_owned(),
        outcome: outcome.to_owned(),
    };
    let file = ReportFile { name: "../criu-dump.log".to_owned(), text: "Error (a.c:1): b".to_owned() };
    TrialReport {
        before: Some(smaller(0)),
        actions: lifecycle.actions().iter().map(action).collect(),
        kernel_log: vec!["a warning".to_owned()],
        // Twice, so that neither may take the other's place.
        files: vec![file.clone(), file],
        probes: Some(Probes { process: Probed::Done(vec![probe("done")]), twin: Probed::Done(vec![probe("EXDEV")]) }),
        ..TrialReport::default()
    }
}

/// The world with one object and few names: libFuzzer likes small inputs.
fn smaller(shift: u64) -> Observation {
    let mut seen = observation(shift);
    for view in [&mut seen.inside, &mut seen.outside] {
        view.objects.truncate(1);
    }
    seen.shared_descriptions.clear();
    seen.mounts.truncate(2);
    seen.host_mounts.truncate(1);
    seen.tree.truncate(2);
    seen
}

/// The words of each target that reads text.
fn dictionaries() -> Vec<(&'static str, BTreeSet<String>)> {
    let of = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>();
    let mut messages = of(&["{\"v\":1,\"m\":", "null", "true", "\n", "\\\\x00", "-1", "18446744073709551615"]);
    for (_, event) in events() {
        words_of(&serde_json::to_value(event).expect("an event can be written"), &mut messages);
    }
    words_of(&serde_json::to_value(observation(0)).expect("an observation can be written"), &mut messages);
    let mut known = of(&[
        "[[expect]]\n",
        "[[defect]]\n",
        "scenario = ",
        "except = ",
        "flavor = ",
        "lifecycle = ",
        "kernel = ",
        "subject = ",
        "criu = ",
        "comparison = ",
        "object = ",
        "expected = ",
        "got = ",
        "kind = ",
        "reason = ",
        "link = ",
        "..",
        "*",
        "\"\"\"",
        "'''",
        "(?<a>",
        "${a}",
    ]);
    known.extend(comparisons::ALL.iter().map(|row| row.name.to_owned()));
    known.extend(FailureKind::ALL.iter().map(|kind| kind.word().to_owned()));
    known.extend(Lifecycle::ALL.iter().map(|lifecycle| lifecycle.word().to_owned()));
    vec![
        ("program", scenarios::fuzz::dictionary()),
        (
            "mountinfo",
            of(&["\\040", "\\011", "\\012", "\\134", " - ", "shared:1", "master:1", "//deleted", "0:1", "\n"]),
        ),
        (
            "fdinfo",
            of(&[
                "pos:\t",
                "flags:\t0",
                "mnt_id:\t",
                "ino:\t",
                "lock:\t",
                "tfd:",
                "inotify wd:",
                "eventfd-count:",
                "\n",
            ]),
        ),
        (
            "criu_log",
            of(&["(00.000001) ", "Error (", "Warn  (", "pie: 1: ", "0x7f", "\"", "'", "/", "\n", "criu/mount.c:1): "]),
        ),
        ("guest_messages", messages),
        ("expectations", known),
    ]
}

/// Every key and every text without a digit in a document, in quotes.
fn words_of(value: &Value, words: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, inner)| {
            words.insert(format!("\"{key}\":"));
            words_of(inner, words);
        }),
        Value::Array(list) => list.iter().for_each(|inner| words_of(inner, words)),
        Value::String(text)
            if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') =>
        {
            words.insert(format!("\"{text}\""));
        }
        _ => {}
    }
}

/// A line of a dictionary (libFuzzer's documentation, "Dictionaries"): in quotes, `\xHH` for what
/// is no plain sign.
fn entry(word: &str) -> Vec<u8> {
    let sign = |byte: u8| match byte {
        b'"' | b'\\' => format!("\\{}", char::from(byte)),
        0x20..=0x7e => char::from(byte).to_string(),
        _ => format!("\\x{byte:02X}"),
    };
    format!("\"{}\"\n", word.bytes().map(sign).collect::<String>()).into_bytes()
}
