//! A run to report: one trial for each verdict.

use std::path::PathBuf;

use scenarios::capability::{Base, Capability, Profile};

pub(crate) use crate::fixtures::finished;
use crate::judge::{Difference, FailureKind, Judgement, Side, Verdict};
use crate::report::{Event, Finished, Reporter, SharedAxes};

pub(crate) fn difference(view: Side, what: &str, expected: &str, got: &str) -> Difference {
    Difference {
        comparison: "link".to_owned(),
        kind: FailureKind::WrongPath,
        view,
        object: Some("fd0 (descriptor 3)".to_owned()),
        what: what.to_owned(),
        expected: expected.to_owned(),
        got: got.to_owned(),
        known: None,
    }
}

/// A failure with differences, log lines that would play tricks on a terminal, and artifacts.
pub(crate) fn failure() -> Finished {
    let long = |end: &str| format!("\"/{}/{end}\"", "directory/".repeat(12));
    let differences = vec![
        difference(Side::Inside, "link", "\"/f (deleted)\"", "\"/d/f\""),
        difference(Side::Outside, "link", "\"/f (deleted)\"", "\"/d/f\""),
        difference(Side::Inside, "lookup \"\\xff\" (plain)", "\"/a\\xff\"", "\"/a\\xfe\""),
        difference(Side::Inside, "lookup \"größe/日本\" (plain)", "\"/größe/日本/x\"", "\"/größe/日本/y\""),
        difference(Side::Outside, "lookup \"long\" (beneath)", &long("expected"), &long("got")),
    ];
    let reason = "fd0 (descriptor 3), inside: link: expected \"/f (deleted)\", got \"/d/f\" (and 4 more)";
    let judgement = Judgement {
        differences,
        more_differences: 7,
        quotes: vec!["(00.01) Error (criu/files-reg.c:1): \u{1b}[2Jbad\u{202e}".to_owned()],
        ..Judgement::plain(Verdict::Fail(FailureKind::WrongPath), reason)
    };
    let artifacts = Some(PathBuf::from("results/deleted_x-1a2b3c4d"));
    Finished { artifacts, ..finished("deleted/un'linked@ext4", judgement) }
}

/// A name, and a message, that would act in a page, in Markdown, in a workflow command, or on a
/// terminal.
pub(crate) const HOSTILE: [&str; 2] =
    ["x/<script>alert(1)</script>|`b`", "<img src=x> | [y](https://e.invalid) `c`\n::error::z\u{1b}[2J\u{202e}"];

/// Every event of a run with three causes, one of them of seven failures and one with hostile
/// texts.
pub(crate) fn causes() -> Vec<Event> {
    let trial = |name: &str, base: Base, capabilities: &[Capability], judgement: Judgement| Finished {
        profile: Profile { bases: [base].into(), capabilities: capabilities.iter().copied().collect() },
        ..finished(name, judgement)
    };
    let pass = || Judgement::plain(Verdict::Pass, "");
    let fail = |kind, said: &str| Judgement::plain(Verdict::Fail(kind), said);
    let open = |number: u32| {
        fail(FailureKind::RestoreFailed, &format!("Error (criu/a.c:{number}): no /x/{number}, {}", "long ".repeat(50)))
    };
    let steps = "mount tmpfs a\nmkdir a/d\nwrite a/d/f \"x\"\nbind a/d b\nfd0 = open b/f rdwr\numount-lazy b";
    let program = Some(format!("# A.\noutcome restored\n\n{steps}\nassert fd0 detached\n"));
    let mut trials = vec![
        trial("whole/file", Base::Whole, &[], pass()),
        trial("whole/deleted", Base::Whole, &[Capability::Deleted], pass()),
        trial("whole/refused", Base::Whole, &[Capability::Deleted, Capability::Refusal], pass()),
        trial(HOSTILE[0], Base::File, &[], fail(FailureKind::DumpFailed, HOSTILE[1])),
        Finished { program, ..trial("subdir/file", Base::Subdir, &[], open(10)) },
    ];
    trials.extend(
        (11..17).map(|number| {
            trial(&format!("subdir/deleted-{number}"), Base::Subdir, &[Capability::Deleted], open(number))
        }),
    );
    trials.push(trial("whole/broken", Base::Whole, &[], Judgement::plain(Verdict::Error, "the agent is gone")));
    events_of(trials)
}

/// Every event of a run in which everything happens.
pub(crate) fn events() -> Vec<Event> {
    let plain = |scenario, verdict, reason: &str| finished(scenario, Judgement::plain(verdict, reason));
    let kind = FailureKind::DumpFailed;
    let trials = vec![
        plain("attributes/ro@tmpfs", Verdict::Pass, ""),
        plain("attributes/nosuid@tmpfs", Verdict::Xfail(kind), "Dumping FAILED. (known: not supported)"),
        failure(),
        plain("deleted/all@btrfs", Verdict::Unsupported, "no btrfs here: mount btrfs on a: ENODEV"),
        plain("deleted/fixed@xfs", Verdict::Xpass, "it passes now, but expectations.toml:2 expects dump-failed"),
        plain("own", Verdict::Error, "the agent did not report the dump"),
    ];
    events_of(trials)
}

/// The events of a run of these trials.
pub(crate) fn events_of(trials: Vec<Finished>) -> Vec<Event> {
    let mut events = vec![Event::RunStarted {
        trials: trials.len(),
        shared: SharedAxes::of(trials.iter().map(|trial| &trial.trial)),
    }];
    for finished in trials {
        events.push(Event::TrialStarted { trial: finished.trial.clone() });
        events.push(Event::TrialFinished(Box::new(finished)));
    }
    events.push(Event::RunFinished { seconds: 12.34, interrupted: false });
    events
}

pub(crate) fn feed(reporter: &mut impl Reporter, events: &[Event]) {
    for event in events {
        reporter.event(event).unwrap();
    }
}
