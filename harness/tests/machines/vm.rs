//! Trials in real VMs with the real criu: the binary as users call it, one scenario a test, names
//! filterable.
//!
//! All chosen scenarios go through one `run`, so that a VM is booted once and not for every test;
//! each test then looks for its own trial in the report. What is expected is stock criu's
//! behaviour, the same as in `scenarios/expectations.toml`: here it stands apart, so that a wrong
//! entry there cannot hide a wrong verdict.

use std::sync::{Arc, OnceLock};

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;

use crate::program::{program, rendered};
use crate::trial::trial;

/// A scenario and the verdict and kind that the JSON report must give it.
type Case = (&'static str, &'static str, Option<&'static str>);

const CASES: &[Case] = &[
    ("attributes/control@tmpfs,nosuid", "xfail", Some("wrong-content")),
    ("attributes/one@ext4,ro,whole", "xfail", Some("dump-failed")),
    ("btrfs/bind-of-subvolume", "xfail", Some("dump-failed")),
    ("btrfs/control", "pass", None),
    ("child-mounts/child-of-nothing-else@ext4", "pass", None),
    ("child-mounts/control", "xfail", Some("wrong-flags")),
    ("deleted/control@ext4", "xfail", Some("wrong-content")),
    ("deleted/written-since@tmpfs,whole", "xfail", Some("dump-failed")),
    ("file-bind/control@ext4", "pass", None),
    ("hard-link/both-open@ext4,subdir", "xfail", Some("dump-failed")),
    ("hard-link/control@tmpfs", "xfail", Some("wrong-content")),
    ("mount-point/control-no-tmp", "xfail", Some("litter")),
    ("names/control@ext4", "pass", None),
    ("names/not-utf8@tmpfs,subdir", "xfail", Some("dump-failed")),
    ("objects/control-lock@posix", "xfail", Some("wrong-content")),
    ("objects/root", "xfail", Some("dump-failed")),
    ("only-mount/both-mounts@tmpfs", "pass", None),
    ("only-mount/control@xfs", "pass", None),
    ("over-mount/control", "xfail", Some("wrong-content")),
    ("overlay/control", "xfail", Some("restore-failed")),
    ("overlay/lower-only", "xfail", Some("restore-failed")),
    ("propagation/control", "xfail", Some("wrong-content")),
    ("renamed/control", "xfail", Some("wrong-content")),
    ("resolution/control@ext4", "xfail", Some("wrong-flags")),
    ("resolution/up@ext4", "xfail", Some("dump-failed")),
    ("sharing/control@ext4", "pass", None),
    ("subdir-bind/control@btrfs", "pass", None),
    ("whole-bind/control@ext4", "pass", None),
];

/// The same as root of a user namespace.
const IN_USER_NAMESPACE: &[Case] = &[
    ("btrfs/control", "pass", None),
    ("outside/decoy@ext4", "pass", None),
    ("deleted/control@ext4", "xfail", Some("wrong-content")),
    ("names/not-utf8@tmpfs,subdir", "xfail", Some("dump-failed")),
    ("objects/device@tmpfs,whole", "unsupported", None),
];

pub(crate) fn tests(arguments: &Arguments) -> Vec<Trial> {
    let path = |scenario: &str| format!("{}::{scenario}", module_path!());
    // One that is in no test to come is not run.
    let is_chosen = |scenario: &&str| !arguments.is_filtered_out(&trial(&path(scenario), None, || ()));
    let scenarios = CASES.iter().map(|(scenario, ..)| *scenario).filter(is_chosen).collect();
    let run = Arc::new(Run { scenarios, flavor: "ns", pack: "off", done: OnceLock::new() });
    let test = |&(scenario, verdict, kind): &Case| {
        let run = Arc::clone(&run);
        trial(&path(scenario), None, move || run.check(scenario, verdict, kind))
    };
    CASES.iter().map(test).chain(trials!(None => packed_controls, in_a_user_namespace)).collect()
}

/// Controls in one process get the verdicts that they get alone, those that cannot share one among
/// them.
fn packed_controls() -> Result<(), Failed> {
    let controls = || CASES.iter().filter(|(scenario, ..)| scenario.contains("/control"));
    let scenarios = controls().map(|(scenario, ..)| *scenario).collect();
    let run = Run { scenarios, flavor: "ns", pack: "auto", done: OnceLock::new() };
    controls().try_for_each(|(scenario, verdict, kind)| run.check(scenario, verdict, *kind))?;
    let done = run.done.get_or_init(|| run.go()).as_ref()?;
    let shares = |trial: &Value| done.trials.iter().filter(|other| other["seconds"] == trial["seconds"]).count();
    let most = done.trials.iter().map(shares).max().unwrap_or_default();
    if most < 4 { Err(format!("at most {most} programs shared a process\n{}", done.output).into()) } else { Ok(()) }
}

/// Disks are handed in, and what root of a user namespace may not do is not tried.
fn in_a_user_namespace() -> Result<(), Failed> {
    let scenarios = IN_USER_NAMESPACE.iter().map(|(scenario, ..)| *scenario).collect();
    let run = Run { scenarios, flavor: "userns", pack: "off", done: OnceLock::new() };
    IN_USER_NAMESPACE.iter().try_for_each(|(scenario, verdict, kind)| run.check(scenario, verdict, *kind))
}

/// The one run of all chosen scenarios.
struct Run {
    scenarios: Vec<&'static str>,
    flavor: &'static str,
    /// What `--pack` is given.
    pack: &'static str,
    done: OnceLock<Result<Done, String>>,
}

/// What came of it.
struct Done {
    trials: Vec<Value>,
    /// Exit status and output, for people.
    output: String,
    status: Option<i32>,
}

impl Run {
    fn check(&self, scenario: &str, verdict: &str, kind: Option<&str>) -> Result<(), Failed> {
        let done = self.done.get_or_init(|| self.go()).as_ref()?;
        let mine: Vec<&Value> = done.trials.iter().filter(|trial| trial["scenario"] == scenario).collect();
        let [trial] = mine.as_slice() else {
            return Err(format!("expected one trial of it, got {}\n{}", mine.len(), done.output).into());
        };
        if trial["verdict"] != verdict || trial["kind"].as_str() != kind {
            return Err(format!("expected {verdict} {kind:?}, got {trial:#}").into());
        }
        if done.status != Some(0) || done.trials.len() != self.scenarios.len() {
            return Err(format!("expected exit status 0 and no other trials\n{}", done.output).into());
        }
        Ok(())
    }

    fn go(&self) -> Result<Done, String> {
        let keep = tempfile::tempdir().map_err(|error| error.to_string())?;
        let report = keep.path().join("report.json");
        let output = program(&[
            "run",
            "--flavor",
            self.flavor,
            "--pack",
            self.pack,
            "--report",
            &format!("json={}", report.display()),
            "--keep",
        ])
        .arg(keep.path())
        .args(&self.scenarios)
        .output()
        .map_err(|error| error.to_string())?;
        let printed = rendered(&output);
        let document = std::fs::read(&report).map_err(|error| format!("no report: {error}\n{printed}"))?;
        let document: Value = serde_json::from_slice(&document).map_err(|error| format!("{error}\n{printed}"))?;
        let trials = document["trials"].as_array().cloned().unwrap_or_default();
        Ok(Done { trials, output: printed, status: output.status.code() })
    }
}
