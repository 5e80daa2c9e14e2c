//! A run to report: one trial for each verdict.

use std::path::PathBuf;

use protocol::message::{Flavor, Lifecycle};
use scenarios::capability::Profile;

use crate::judge::{Difference, FailureKind, Judgement, Side, Trial, Verdict};
use crate::report::{Common, Event, Finished, Reporter};

pub(crate) fn finished(scenario: &str, judgement: Judgement) -> Finished {
    Finished {
        trial: Trial {
            scenario: scenario.to_owned(),
            family: scenario.split_once('/').map_or("", |(family, _)| family).to_owned(),
            flavor: Flavor::Ns,
            lifecycle: Lifecycle::DumpRestore,
            kernel: "6.12".to_owned(),
            subject: "debian:trixie".to_owned(),
        },
        file: None,
        judgement,
        seconds: 0.4211,
        artifacts: None,
        digest: None,
        criu: None,
        program: None,
        profile: Profile::default(),
    }
}

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
    let mut events =
        vec![Event::RunStarted { trials: trials.len(), common: Common::of(trials.iter().map(|trial| &trial.trial)) }];
    for finished in trials {
        events.push(Event::TrialStarted { trial: finished.trial.clone() });
        events.push(Event::TrialFinished(Box::new(finished)));
    }
    events.push(Event::RunFinished { seconds: 12.34, interrupted: false });
    events
}

pub(crate) fn tell(reporter: &mut impl Reporter, events: &[Event]) {
    for event in events {
        reporter.event(event).unwrap();
    }
}
