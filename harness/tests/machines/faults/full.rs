//! A disk that is full at each single write of a run: the folder of a run is a tmpfs with room for
//! so many pages or files, one more each time.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::{ON_HOST, build};
use crate::program::{program, program_in, rendered};

/// Makes the tmpfs in namespaces of its own, runs the program there, and copies what is there.
const SCRIPT: &str = "mount -t tmpfs -o \"$1\" full full && cd full || exit 99; shift; export TMPDIR=$PWD
timeout 120 \"$@\"; status=$?; cp -r . ../kept; exit $status";

/// The reports of a run, and what a whole one ends in.
const REPORTS: [(&str, &str); 4] =
    [("r.json", "]}\n"), ("h.html", "</html>\n"), ("j.xml", "</testsuites>\n"), ("t.tap", "\n")];
const REPORT: [&str; 2] = ["--report", "json=r.json,html=h.html,junit=j.xml,tap=t.tap"];

/// A run on a disk.
struct OnDisk {
    status: Option<i32>,
    said: String,
    folder: TempDir,
}

/// A run on a tmpfs with these mount options.
fn on_disk(limit: &str, words: &[&str]) -> OnDisk {
    build();
    let folder = tempfile::tempdir().unwrap();
    for name in ["full", "kept"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    let program = program_in(words, folder.path());
    let mut run = Command::new("unshare");
    run.args(["-rm", "sh", "-c", SCRIPT, "sh", limit]).arg(program.get_program()).args(program.get_args());
    let output = run.current_dir(folder.path()).output().unwrap();
    OnDisk { status: output.status.code(), said: rendered(&output), folder }
}

impl OnDisk {
    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.folder.path().join("kept").join(name)).ok()
    }

    /// Whether the disk was full, of which the run must have said where, and what to do.
    fn was_full(&self, limit: &str, paths: &mut BTreeSet<String>) -> bool {
        let full = self.said.contains("No space left on device");
        if full {
            let errors = || self.said.lines().filter(|line| line.contains("No space left on device"));
            assert!(errors().all(|line| line.contains("make room, or ")), "{limit}: {}", self.said);
            let distinct: BTreeSet<&str> = errors().collect();
            assert_eq!(distinct.len(), errors().count(), "{limit}: {}", self.said);
            let words = errors().flat_map(|line| line.split([' ', ':', '/']));
            paths.extend(words.filter(|word| word.contains('.')).map(str::to_owned));
        }
        full
    }

    /// A report is whole, or empty, or not there, and the run has said so.
    fn check_reports(&self, limit: &str, trials: usize) {
        for (name, end) in REPORTS {
            let text = self.read(name).unwrap_or_default();
            let named = self.said.contains(&format!(" {name}: No space left"));
            // A run that could not begin has no results.
            let results = self.status == Some(0) || self.said.contains("\nresult: ");
            match name {
                _ if text.is_empty() => assert!(named || !results, "{limit}: {name} is empty: {}", self.said),
                "r.json" => {
                    let report: Value = serde_json::from_str(&text).unwrap();
                    let all = report["trials"].as_array().unwrap().len() == trials;
                    assert!(all || named || !results, "{limit}: {name} lacks trials: {}", self.said);
                }
                _ => assert!(text.ends_with(end), "{limit}: half of {name}: {}", self.said),
            }
        }
    }
}

/// Runs on larger and larger disks, until one is large enough; all names of which was said that
/// there is no room.
fn on_larger_disks(words: &[&str], trials: usize, ends: [i32; 2]) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    let pages = (1..8).chain((8..).step_by(3)).map(|pages| format!("size={}k,nr_inodes=1000", pages * 4));
    let files = (2..).map(|files| format!("size=4m,nr_inodes={files}"));
    let [whole, full] = ends;
    for limits in [&mut { files } as &mut dyn Iterator<Item = String>, &mut { pages }] {
        for limit in limits.take(60) {
            let run = on_disk(&limit, words);
            run.check_reports(&limit, trials);
            if !run.was_full(&limit, &mut paths) {
                assert_eq!(run.status, Some(whole), "{limit}: {}", run.said);
                break;
            }
            // What kept the run from its beginning is no failure of a trial.
            let began = run.said.contains("\nresult: ");
            assert_eq!(run.status, Some(if began { full } else { 3 }), "{limit}: {}", run.said);
        }
    }
    paths
}

pub(super) fn a_disk_that_is_full_at_any_write_is_named() {
    let words = [&["run", "only-mount/file@tmpfs", "-j", "1"][..], &ON_HOST, &REPORT].concat();
    let paths = on_larger_disks(&words, 1, [0, 3]);
    assert!(REPORTS.iter().all(|(name, _)| paths.contains(*name)), "not all were lacking room: {paths:?}");
}

/// A trial that failed leaves a folder, and counts also where there is no room for one.
pub(super) fn a_full_disk_hides_no_failure() {
    let fault = ["--backend", "host", "--subject", "reference+fault:superblock-root"];
    let scenarios = ["run", "only-mount/file@tmpfs", "in-flight/two-mounts@tmpfs,subdir", "-j", "1"];
    let paths = on_larger_disks(&[&scenarios[..], &fault, &REPORT].concat(), 2, [1, 1]);
    let files = ["program.scn", "verdict.json", "differences.txt", "before.json", "after-2-restore.json", "image.json"];
    assert!(files.iter().all(|name| paths.contains(*name)), "not all were lacking room: {paths:?}");
}

/// The results are elsewhere.
pub(super) fn a_full_tmpdir_is_an_error_that_names_it() {
    let results = tempfile::tempdir().unwrap();
    let report = results.path().join("r.json");
    let json = format!("json={}", report.display());
    let keep = results.path().to_str().unwrap();
    let run = ["run", "only-mount/file@tmpfs", "--subject", "reference", "-j", "1", "--report", &json, "--keep", keep];
    for files in 1..20 {
        let run = on_disk(&format!("size=4m,nr_inodes={files}"), &run);
        if run.status == Some(0) {
            assert!(files > 4, "not one of its files lacked room: {}", run.said);
            return;
        }
        let said = &run.said;
        assert_eq!(run.status, Some(3), "{said}");
        assert!(
            said.contains("No space left on device") && said.contains("/full") && said.contains("TMPDIR"),
            "{said}"
        );
        let trials: Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
        let trials = trials["trials"].as_array().unwrap();
        assert!(trials.iter().all(|trial| trial["verdict"] == "error"), "{trials:#?}");
    }
    panic!("it needs more than twenty files");
}

/// Every write of `/dev/full` says that there is no room.
pub(super) fn a_full_standard_output_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let run = [&["run", "only-mount/file@*", "-j", "1", "--report", "json=r.json"][..], &ON_HOST].concat();
    let shown = ["show", "only-mount/file@tmpfs"];
    let exported = ["export", "only-mount/file@tmpfs", "--c"];
    let generated = ["generate", "config"];
    for words in [&run[..], &shown, &exported, &generated, &["list"], &["finding", "index"], &["run", "no-such-one"]] {
        let stdout = Stdio::from(File::options().write(true).open("/dev/full").unwrap());
        let mut program = if words[0] == "generate" { program(words) } else { program_in(words, folder.path()) };
        let output = program.stdout(stdout).stderr(Stdio::piped()).output().unwrap();
        let expected = if words == ["run", "no-such-one"] { 4 } else { 3 };
        assert_eq!(output.status.code(), Some(expected), "{words:?}: {}", rendered(&output));
        assert!(expected == 4 || rendered(&output).contains("No space left on device"), "{}", rendered(&output));
    }
    assert!(results_are_there(&folder.path().join("r.json")));
}

/// Whether what was over when the run ended is in its report.
fn results_are_there(report: &Path) -> bool {
    let report: Value = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
    report["trials"].is_array()
}
