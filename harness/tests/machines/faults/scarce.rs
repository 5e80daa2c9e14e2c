//! Runs that have little of something, or a cache that they cannot use as usual.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use harness::image::default_cache_dir;
use tempfile::TempDir;

use super::{IN_VM, ON_HOST, build};
use crate::program::{program_in, rendered};

/// A shell script that runs the program behind it, in namespaces of its own.
fn in_namespaces(folder: &Path, script: &str, words: &[&str]) -> Output {
    build();
    let program = program_in(words, folder);
    let mut run = Command::new("unshare");
    run.args(["-rm", "sh", "-c", &format!("{script}\nexec timeout 300 \"$@\""), "sh"]);
    run.arg(program.get_program()).args(program.get_args()).current_dir(folder).output().unwrap()
}

fn on_host() -> Vec<&'static str> {
    [&["run", "only-mount/file*", "-j", "2"][..], &ON_HOST].concat()
}

/// With each limit a run ends well or says that there are too few, and never panics.
pub(super) fn a_run_with_few_descriptors_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut ends = Vec::new();
    for limit in [8, 12, 16, 24, 32, 64, 256, 1024] {
        let output = in_namespaces(folder.path(), &format!("ulimit -n {limit}"), &on_host());
        let said = rendered(&output);
        match output.status.code() {
            Some(0) => {}
            Some(3) => assert!(said.contains("Too many open files"), "{limit}: {said}"),
            _ => panic!("{limit}: {said}"),
        }
        ends.push(output.status.code());
    }
    assert!(ends.first() == Some(&Some(3)) && ends.last() == Some(&Some(0)), "no limit is the right one: {ends:?}");
}

/// A user that no one else is: the limit counts all processes and threads of a user.
const USER: &str = "61234";

/// As above, with processes and threads.
pub(super) fn a_run_with_few_processes_says_so() {
    build();
    let (folder, cache) = (tempfile::tempdir().unwrap(), default_cache_dir().unwrap());
    let script = format!(
        "mkdir cache cache/images && cp -a {}/images/agent-* cache/images && chown -R {USER}:{USER} . || exit 99",
        cache.display()
    );
    let prepared = Command::new("sh").args(["-c", &script]).current_dir(folder.path()).status().unwrap();
    assert!(prepared.success());
    let mut ends = Vec::new();
    // There is no thread for the first agent, no agent, no second process of it. With a few more a
    // trial may begin, and what it lacks is its own failure.
    for limit in [1, 2, 3, 32] {
        let program = program_in(&on_host(), folder.path());
        let mut run = Command::new("timeout");
        run.args([
            "120",
            "setpriv",
            "--reuid",
            USER,
            "--regid",
            USER,
            "--clear-groups",
            "prlimit",
            &format!("--nproc={limit}"),
        ]);
        run.arg(program.get_program()).args(program.get_args()).current_dir(folder.path());
        let output = run.env("ZDTM_DETACHED_CACHE", folder.path().join("cache")).output().unwrap();
        let said = rendered(&output);
        match output.status.code() {
            Some(0) => {}
            Some(3) => assert!(said.contains("Resource temporarily unavailable"), "{limit}: {said}"),
            _ => panic!("{limit}: {said}"),
        }
        ends.push(output.status.code());
    }
    assert!(ends.first() == Some(&Some(3)) && ends.last() == Some(&Some(0)), "no limit is the right one: {ends:?}");
}

/// The images are there, and nothing else can be written.
pub(super) fn a_cache_that_is_read_only_is_named() {
    let (folder, cache) = (tempfile::tempdir().unwrap(), default_cache_dir().unwrap());
    let cache = cache.display();
    let script = format!("mount --bind {cache} {cache} && mount -o remount,bind,ro {cache} || exit 99");
    let output = in_namespaces(folder.path(), &script, &IN_VM);
    let said = rendered(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    let advice = "Read-only file system (os error 30); set ZDTM_DETACHED_CACHE to a directory that you own";
    assert!(said.contains(&format!("{cache}/")) && said.contains(advice), "{said}");
}

/// Images as hard or symbolic links of one cache are no images of another: this one is a copy on a
/// filesystem of its own, for the program of the host alone.
pub(super) fn a_cache_on_another_filesystem_is_as_good() {
    let (folder, cache) = (tempfile::tempdir().unwrap(), default_cache_dir().unwrap());
    let script = format!(
        "mkdir cache && mount -t tmpfs cache cache && mkdir cache/images && cp -a {}/images/agent-* cache/images \
         || exit 99; export ZDTM_DETACHED_CACHE=$PWD/cache",
        cache.display()
    );
    let output = in_namespaces(folder.path(), &script, &on_host());
    assert_eq!(output.status.code(), Some(0), "{}", rendered(&output));
    assert!(!rendered(&output).contains("damaged"), "{}", rendered(&output));
}

/// The cache goes away when the first trial is over: what runs, runs on.
pub(super) fn a_cache_that_is_removed_ends_no_run() {
    let (folder, cache) = (tempfile::tempdir().unwrap(), default_cache_dir().unwrap());
    let own: TempDir = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").arg("-a").arg(cache.join("images")).arg(own.path()).status().unwrap();
    assert!(copied.success());
    let words = ["run", "whole-bind/*", "-j", "1", "--backend", "host", "--subject", "reference"];
    let mut run = program_in(&words, folder.path());
    let run = run.env("ZDTM_DETACHED_CACHE", own.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut run = run.spawn().unwrap();
    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines().map(Result::unwrap);
    lines.find(|line| line.contains("] pass ")).expect("a trial is over");
    fs::remove_dir_all(own.path()).unwrap();
    let rest: Vec<String> = lines.collect();
    assert_eq!(run.wait().unwrap().code(), Some(0), "{rest:#?}");
}

/// Five runs at once on one cache, whose saved VM no run has made yet.
pub(super) fn five_runs_share_a_cache() {
    let folder = tempfile::tempdir().unwrap();
    let cache = default_cache_dir().unwrap();
    let own = tempfile::tempdir_in("/dev/shm").unwrap();
    let copied = Command::new("cp").arg("-a").arg(cache.join("images")).arg(own.path()).status().unwrap();
    assert!(copied.success());
    let words = ["run", "only-mount/file@tmpfs", "--subject", "reference", "-j", "1", "--no-probes"];
    let runs: Vec<_> = (0..5)
        .map(|_| {
            let mut run = program_in(&words, folder.path());
            let run = run.env("ZDTM_DETACHED_CACHE", own.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
            run.spawn().unwrap()
        })
        .collect();
    let outputs: Vec<Output> = runs.into_iter().map(|run| run.wait_with_output().unwrap()).collect();
    // The saved VM is in memory, beside those of other caches.
    let mut clean = program_in(&["image", "clean", "--all"], folder.path());
    let cleaned = clean.env("ZDTM_DETACHED_CACHE", own.path()).output().unwrap();
    assert!(cleaned.status.success(), "{}", rendered(&cleaned));
    let said: Vec<String> = outputs.iter().map(rendered).collect();
    assert!(outputs.iter().all(|output| output.status.code() == Some(0)), "{said:#?}");
    let made = said.iter().filter(|said| said.contains("template: made in")).count();
    assert_eq!(made, 1, "{said:#?}");
}
