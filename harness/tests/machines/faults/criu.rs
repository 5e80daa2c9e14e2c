//! A criu that breaks down, lies, writes where it should not, or takes the machine along: its trial
//! says so, and the trials after it are as they would have been.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::program::{program_in, rendered};
use crate::script::subject;

/// Stock criu brings it back.
const SCENARIO: &str = "whole-bind/control@ext4";
/// True in the first trial of a worker: the name of the images' folder says which one it is.
const FIRST: &str = "case \"$*\" in *--images-dir\\ /run/images/1/*) ;; *) false ;; esac";

/// Runs scenarios on one machine after the other, with each script as a criu; the exit status and
/// the trials in their order.
fn trials(scripts: &[(&str, &str)], scenarios: &[&str], more: &[&str]) -> (Option<i32>, Vec<Value>) {
    let folder = tempfile::tempdir().unwrap();
    let fixed = ["run", "-j", "1", "--retries", "0", "--no-probes", "--report", "json=report.json"];
    let words = [&fixed[..], scenarios, more].concat();
    let mut run = program_in(&words, folder.path());
    for (name, script) in scripts {
        run.args(["--subject", &subject(name, script)]);
    }
    let output = run.output().unwrap();
    let report = fs::read(folder.path().join("report.json")).unwrap_or_else(|_| panic!("{}", rendered(&output)));
    let report: Value = serde_json::from_slice(&report).unwrap();
    let trials = report["trials"].as_array().unwrap().clone();
    assert_eq!(trials.len(), scripts.len() * scenarios.len(), "{}", rendered(&output));
    (output.status.code(), trials)
}

/// Verdict, kind and what was said.
fn rendering(trial: &Value) -> String {
    let word = |key: &str| trial[key].as_str().unwrap_or("-").to_owned();
    let differences = trial["differences"].as_array().cloned().unwrap_or_default();
    let differences: Vec<_> = differences.iter().filter_map(|difference| difference["got"].as_str()).collect();
    format!("{} {} {}; {}", word("verdict"), word("kind"), word("reason"), differences.join(", "))
}

/// The trials of each script by its name.
fn by_script(trials: &[Value]) -> BTreeMap<String, String> {
    let name = |trial: &Value| {
        let subject = trial["subject"].as_str().unwrap();
        Path::new(subject.strip_prefix("path:").unwrap()).file_name().unwrap().to_str().unwrap().to_owned()
    };
    trials.iter().map(|trial| (name(trial), rendering(trial))).collect()
}

/// Name, script, and what the trial must say.
const BREAKS: [(&str, &str, &[&str]); 12] = [
    ("as-it-is", ":", &["pass"]),
    ("crashes-at-dump", "[ $1 != dump ] || kill -SEGV $$", &["fail crash", "the dump was ended by signal 11"]),
    ("crashes-at-restore", "[ $1 != restore ] || kill -ABRT $$", &["fail crash", "the restore was ended by signal 6"]),
    (
        "does-not-dump",
        "[ $1 != dump ] || exit 0",
        &["fail lost-object", "the dump says it succeeded, but: the process is still there"],
    ),
    ("does-not-restore", "[ $1 != restore ] || exit 0", &["fail lost-object", "the restore says it succeeded, but: "]),
    (
        "half-an-image",
        "[ $1 != dump ] || { /usr/sbin/criu \"$@\" && for f in /run/images/*/1/core-*; do : > $f; done; exit; }",
        &["fail restore-failed", "Unexpected EOF"],
    ),
    (
        "leaves-it-stopped",
        "if [ $1 = dump ]; then while [ $1 != --tree ]; do shift; done; kill -STOP $2; exit 1; fi",
        &["fail harmed-by-dump", "the process is stopped (SIGSTOP"],
    ),
    ("kills-all", "[ $1 != dump ] || kill -KILL -1", &["fail harmed-by-dump", "it was ended by SIGKILL"]),
    (
        "leaves-a-process",
        "if [ $1 = restore ]; then (sh -c 'trap : HUP; while :; do kill -STOP $$; done' > /dev/null 2>&1 &); fi",
        &["fail litter", "process ", " (sh)"],
    ),
    ("panics", "[ $1 != dump ] || echo c > /proc/sysrq-trigger", &["fail kernel-splat", "Kernel panic - not syncing"]),
    (
        "oopses",
        "[ $1 != dump ] || echo '<1>BUG: kernel NULL pointer dereference' > /dev/kmsg",
        &["fail kernel-splat", "the kernel said: BUG: kernel NULL pointer dereference"],
    ),
    (
        "taints",
        "[ $1 != dump ] || echo 512 > /proc/sys/kernel/tainted",
        &["fail kernel-splat", "the kernel became tainted (0x200"],
    ),
];

pub(super) fn a_criu_that_breaks_is_the_one_that_is_blamed() {
    let scripts = BREAKS.map(|(name, script, _)| (name, script));
    let (status, trials) = trials(&scripts, &[SCENARIO], &[]);
    assert_eq!(status, Some(1));
    let got = by_script(&trials);
    for (name, _, expected) in BREAKS {
        assert!(expected.iter().all(|text| got[name].contains(text)), "{name}: {}", got[name]);
    }
}

/// It takes time to be noticed, so the limits are short.
pub(super) fn a_criu_that_hangs_ends_at_its_limit() {
    let hangs = [("hangs", "[ $1 != dump ] || kill -STOP $$")];
    let (status, trials) = trials(&hangs, &[SCENARIO], &["--timeout-scale", "0.1"]);
    let got = rendering(&trials[0]);
    assert!(status == Some(1) && got.starts_with("fail hang the dump did not end within "), "{got}");
}

/// What it leaves is named, and goes: later trials of the same worker find none of it.
pub(super) fn a_criu_that_writes_elsewhere_is_found_out() {
    const PLACES: [&str; 7] = ["/", "/tmp/", "/run/", "/run/images/", "/t/", "/etc/", "/subject/"];
    let script = |action: &str| {
        let write = format!("for d in {}; do echo x > ${{d}}left; done", PLACES.join(" "));
        format!("if [ $1 = {action} ] && {FIRST}; then {write}; fi")
    };
    let (dump, restore) = (script("dump"), script("restore"));
    let scenarios = [SCENARIO, "whole-bind/control@tmpfs", "file-bind/control@ext4"];
    let (status, trials) = trials(&[("at-dump", &dump), ("at-restore", &restore)], &scenarios, &[]);
    assert_eq!(status, Some(1));
    for of_script in trials.chunks(scenarios.len()) {
        let first = rendering(&of_script[0]);
        assert!(first.starts_with("fail litter "), "{first}");
        for place in PLACES {
            assert!(first.contains(&format!("file {place}left")), "{place} is not in {first}");
        }
        for later in &of_script[1..] {
            assert!(["pass", "xfail"].contains(&later["verdict"].as_str().unwrap()), "{later:#}");
        }
    }
}

/// The dump takes memory until it is killed. Whom the kernel kills first is set by `oom_score_adj`.
pub(super) fn a_guest_without_memory_says_so() {
    let eat = "x=xxxxxxxxxxxxxxxx; while :; do x=$x$x; done";
    let script = |before: &str| format!("if [ $1 = dump ] && {FIRST}; then {before}; {eat}; fi");
    let first = "for p in /proc/[0-9]*; do read n < $p/comm; [ $n != executor ] || echo 1000 > $p/oom_score_adj; done";
    let scripts = [
        ("criu", script(":")),
        ("executor", script(first)),
        ("agent", script("echo -1000 > /proc/self/oom_score_adj")),
    ];
    let scripts: Vec<_> = scripts.iter().map(|(name, script)| (*name, script.as_str())).collect();
    let scenarios = [SCENARIO, "file-bind/control@ext4"];
    let (status, trials) = trials(&scripts, &scenarios, &[]);
    assert_eq!(status, Some(1));
    let expected = [
        ["fail crash the dump was ended by signal 9: the guest ran out of memory, and its kernel killed sh"].as_slice(),
        &["error - the guest ran out of memory, and its kernel killed executor"],
        &["error - the guest ran out of memory: the VM: ", "System is deadlocked on memory", "another time pass"],
    ];
    for (of_script, texts) in trials.chunks(scenarios.len()).zip(expected) {
        let first = rendering(&of_script[0]);
        assert!(first.starts_with(texts[0]) && texts.iter().all(|text| first.contains(text)), "{texts:?}: {first}");
        assert_eq!(of_script[1]["verdict"], "pass", "{:#}", of_script[1]);
    }
}
