//! A hostile guest: whatever comes through the channel, the host goes on, and nothing passes of
//! which nothing was seen.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use protocol::Event;
use protocol::message::{Flavor, Lifecycle, TrialReport};
use protocol::wire::WireError;
use scenarios::Outcome;
use scenarios::model::Model;

use crate::judge::scenario;
use harness::judge::{Context, Expectations, Judge, Signature, Trial, Verdict};
use harness::report::{Finished, artifacts};
use harness::vm::channel::{Channel, ChannelError};

/// What a socket holds whose other end is not read: this target has one thread.
const LIMIT: usize = 64 << 10;

/// The bytes are what the guest sends.
///
/// # Panics
/// When a property of [`protocol::fuzz::messages`] does not hold, the channel understands something
/// else, or a report passes that shows nothing.
pub fn messages(data: &[u8]) {
    if data.len() > LIMIT {
        return;
    }
    let events = protocol::fuzz::messages(data);
    assert_eq!(through_channel(data), events, "what the channel makes of it");
    for event in events {
        if let Event::Finished { mut report, .. } = event {
            report.all().for_each(|report| look(report));
        }
    }
}

fn through_channel(data: &[u8]) -> Vec<Event> {
    let (mut channel, other) = Channel::pair().expect("there are descriptors");
    let mut other = UnixStream::from(other);
    other.write_all(data).expect("there is room in the socket");
    drop(other);
    let mut events = Vec::new();
    loop {
        match channel.receive(Instant::now() + Duration::from_secs(10)) {
            Ok(event) => events.push(event),
            Err(ChannelError::Wire(WireError::Malformed { .. } | WireError::Version(_))) => {}
            Err(ChannelError::Wire(WireError::Closed)) => return events,
            Err(error) => panic!("the channel: {error}"),
        }
    }
}

fn look(report: &TrialReport) {
    static KNOWN: LazyLock<Expectations> = LazyLock::new(|| {
        let text = include_str!("../../../scenarios/expectations.toml");
        Expectations::parse(text, "expectations.toml".as_ref()).expect("a test reads it as well")
    });
    let refused = Outcome::Refused { reason: "nobody can".to_owned() };
    for scenario in [scenario(Outcome::Restored), scenario(refused)] {
        for &lifecycle in Lifecycle::ALL {
            let context = Context { lifecycle, tainted_before: 0, probed: true };
            let judgement = Judge::default().judge(&scenario, context, report);
            let shown = report.before.is_some() && report.setup_failure.is_none() && !report.actions.is_empty();
            assert!(shown || judgement.verdict != Verdict::Pass, "nothing was shown, and it passes");
            let trial = trial(lifecycle);
            let judgement =
                KNOWN.apply(&trial, Some("4.1.1").and_then(harness::judge::range::Version::find).as_ref(), judgement);
            let name = Signature::of(&judgement).file_name();
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{name}");
            if lifecycle == Lifecycle::DumpRestore && !report.files.is_empty() {
                keep(
                    Finished {
                        profile: scenarios::capability::Profile::default(),
                        trial,
                        file: None,
                        judgement,
                        seconds: 0.0,
                        artifacts: None,
                        criu: None,
                        program: None,
                        digest: None,
                    },
                    report,
                );
            }
        }
    }
    if let Some(before) = &report.before {
        harness::oracle::compare(&Model::new().predict(), before);
    }
}

fn trial(lifecycle: Lifecycle) -> Trial {
    Trial {
        scenario: "deleted/unlinked@ext4".to_owned(),
        family: "deleted".to_owned(),
        flavor: Flavor::Ns,
        lifecycle,
        kernel: "6.12".to_owned(),
        subject: "debian:trixie".to_owned(),
    }
}

/// Whatever files the guest sends are in the trial's folder, each once, and nothing is anywhere
/// else.
fn keep(finished: Finished, report: &TrialReport) {
    let place = tempfile::tempdir().expect("a temporary folder can be made");
    let folder = artifacts::write(place.path(), &finished, "", Some(report), &[]).expect("the folder can be written");
    let list = |folder: &std::path::Path| std::fs::read_dir(folder).expect("it was just written").count();
    assert_eq!(list(place.path()), 1, "one folder: {}", folder.display());
    let looks = report.actions.iter().filter(|action| action.after.is_some()).count();
    let others = 3 + usize::from(report.before.is_some()) + usize::from(!report.kernel_log.is_empty()) + looks;
    assert_eq!(list(&folder), others + report.files.len(), "every file is there");
}
