//! CRIU from source, as its maintainers use it: built, gated against a patched twin, taken through
//! steps of a bisection.
//!
//! The sources are Debian's, fetched once into the target folder; most tests name them as somebody
//! who stands beside them does. Builds and saved VMs are in the cache by content, so only the first
//! run of these tests builds. Each uses every core.

use std::path::{Path, PathBuf};
use std::process::Output;

use libtest_mimic::{Arguments, Trial};
use serde_json::Value;

use crate::program::{program, rendered};

/// A text of a file, and the one that a patch puts in its place.
type Change = (&'static str, &'static str, &'static str);

/// Files come back at position 0 instead of where they were.
const POSITION_LOST: Change =
    ("criu/files-reg.c", "lseek(fd, rfi->rfe->pos, SEEK_SET) < 0", "lseek(fd, 0, SEEK_SET) < 0");
/// Does not build, and make gets there early: such a build is never in the cache.
const NO_C: Change = ("compel/src/lib/infect.c", "pid_t pid = ctl->rpid", "pid_t pid = ctl->nonsense");

/// Defines a structure that the kernel headers of trixie define as well; those of bookworm do not.
const OWN_STRUCTURE: Change = (
    "compel/src/lib/infect.c",
    "#include <linux/seccomp.h>",
    "#include <linux/seccomp.h>\n#include <linux/mount.h>\nstruct mnt_id_req {\n\tint size;\n};",
);

/// Controls that see a position: one that passes on stock CRIU, and one that does not.
const CONTROLS: &str = "sharing/control*";

/// The folder of the sources, which have a folder of that name in them.
const SOURCES: &str = "criu";

pub(crate) fn tests(_: &Arguments) -> Vec<Trial> {
    trials!(None =>
        a_patch_that_loses_positions_is_worse_and_its_reverse_better,
        a_tree_against_itself_is_the_same_also_from_a_saved_report,
        steps_of_a_bisection_end_as_git_wants,
        a_tree_that_does_not_build_because_of_the_headers_gets_a_suite_to_try,
        a_criu_that_counts_ends_as_any_other_and_a_campaign_knows_its_branches,
        a_patch_that_does_not_apply_names_file_and_hunk,
    )
}

fn zdtm(arguments: &[&str]) -> Output {
    let keep = Path::new(env!("CARGO_TARGET_TMPDIR")).join("results");
    let mut command = program(arguments);
    command.current_dir(env!("CARGO_TARGET_TMPDIR"));
    if matches!(arguments[0], "gate" | "bisect-step" | "run") {
        command.arg("--keep").arg(keep);
    }
    command.output().expect("the program under test was built with the test")
}

/// Debian's criu sources.
pub(crate) fn sources() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(SOURCES);
    if !folder.join("Makefile.versions").is_file() {
        let _ = std::fs::remove_dir_all(&folder);
        let output = zdtm(&["image", "source", "criu", "--to", folder.to_str().expect("cargo's paths are UTF-8")]);
        assert!(output.status.success(), "{}", rendered(&output));
    }
    folder
}

/// A patch that makes a change, in the first line that has its text.
fn patch(name: &str, (source, from, to): Change) -> PathBuf {
    let text = std::fs::read_to_string(sources().join(source)).expect("criu has this file");
    let lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().position(|line| line.contains(from)).expect("the file has this text");
    let hunk: String = (at - 3..=at + 3)
        .map(|number| match number == at {
            true => format!("-{}\n+{}\n", lines[at], lines[at].replace(from, to).replace('\n', "\n+")),
            false => format!(" {}\n", lines[number]),
        })
        .collect();
    let after = 7 + to.matches('\n').count();
    let head = format!("--- a/{source}\n+++ b/{source}\n@@ -{0},7 +{0},{after} @@\n", at - 2);
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&file, head + &hunk).expect("the target folder is ours");
    file
}

fn subject(patch: Option<&Path>) -> String {
    let patch = patch.map_or_else(String::new, |patch| format!("+patch:{}", patch.display()));
    sources();
    format!("src:{SOURCES}{patch}")
}

/// Gates and gives the exit status and the document.
fn gate(base: &str, candidate: &str, more: &[&str]) -> (Option<i32>, Value) {
    let fixed = ["gate", "--base", base, "--candidate", candidate, "--format", "json"];
    let output = zdtm(&[&fixed, more].concat());
    let document =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}\n{}", rendered(&output)));
    (output.status.code(), document)
}

fn names(document: &Value, group: &str) -> Vec<String> {
    let entries = document[group].as_array().expect("every group is a list");
    entries.iter().map(|entry| entry["scenario"].as_str().unwrap_or_default().to_owned()).collect()
}

fn a_patch_that_loses_positions_is_worse_and_its_reverse_better() {
    let bad = subject(Some(&patch("position-lost.patch", POSITION_LOST)));
    let (status, document) = gate(&subject(None), &bad, &[CONTROLS]);
    assert_eq!(status, Some(1), "{document:#}");
    assert_eq!(names(&document, "worse"), ["sharing/control@ext4"]);
    assert_eq!(names(&document, "different"), ["sharing/control@tmpfs"]);
    let first = &document["worse"][0]["candidate"]["differences"][0];
    assert_eq!(first["comparison"], "position", "{document:#}");
    assert_eq!((&first["expected"], &first["got"]), (&"3".into(), &"0".into()), "{document:#}");
    let (status, document) = gate(&bad, &subject(None), &["sharing/control@ext4"]);
    assert_eq!(status, Some(0), "{document:#}");
    assert_eq!(names(&document, "better"), ["sharing/control@ext4"]);
}

fn a_tree_against_itself_is_the_same_also_from_a_saved_report() {
    let clean = subject(None);
    let (status, document) = gate(&clean, &clean, &[CONTROLS]);
    assert_eq!((status, &document["same"]), (Some(0), &2.into()), "{document:#}");
    let saved = Path::new(env!("CARGO_TARGET_TMPDIR")).join("base.json");
    let report = format!("json={}", saved.display());
    let output = zdtm(&["run", CONTROLS, "--subject", &clean, "--report", &report]);
    assert_eq!(output.status.code(), Some(0), "stock sources end as expected: {}", rendered(&output));
    let saved = saved.to_str().expect("cargo's paths are UTF-8");
    let (status, document) = gate(saved, &clean, &[CONTROLS]);
    assert_eq!((status, &document["same"]), (Some(0), &2.into()), "{document:#}");
    let output = zdtm(&["gate", "--base", saved, "--candidate", &clean, CONTROLS, "--kernel", "7.3"]);
    assert_eq!(output.status.code(), Some(2), "{}", rendered(&output));
    assert!(
        rendered(&output).contains("it has no result of sharing/control@ext4/ns/dump-restore/7.3"),
        "{}",
        rendered(&output)
    );
}

fn steps_of_a_bisection_end_as_git_wants() {
    let source = sources();
    let step = |more: &[&str]| {
        let source = source.to_str().expect("cargo's paths are UTF-8");
        zdtm(&[&["bisect-step", "sharing/control@ext4", "--src", source], more].concat())
    };
    let with = |patch: &Path| step(&["--patch", patch.to_str().expect("cargo's paths are UTF-8")]);
    let good = step(&[]);
    assert_eq!(good.status.code(), Some(0), "{}", rendered(&good));
    let bad = with(&patch("position-lost.patch", POSITION_LOST));
    assert_eq!(bad.status.code(), Some(1), "{}", rendered(&bad));
    let broken = with(&patch("no-c.patch", NO_C));
    assert_eq!(broken.status.code(), Some(125), "{}", rendered(&broken));
    assert!(
        rendered(&broken).contains("has no member named") && rendered(&broken).contains("nonsense"),
        "{}",
        rendered(&broken)
    );
    let wrong = step(&["--kernel", "5.10"]);
    assert_eq!(wrong.status.code(), Some(255), "{}", rendered(&wrong));
    let unknown = step(&["--no-such-option"]);
    assert_eq!(unknown.status.code(), Some(255), "{}", rendered(&unknown));
}

fn a_tree_that_does_not_build_because_of_the_headers_gets_a_suite_to_try() {
    let own = subject(Some(&patch("own-structure.patch", OWN_STRUCTURE)));
    let output = zdtm(&["image", "build", "--subject", &own]);
    assert_eq!(output.status.code(), Some(3), "{}", rendered(&output));
    let rendered = rendered(&output);
    assert!(rendered.contains("redefinition of 'struct mnt_id_req'"), "{rendered}");
    let advice =
        "The headers of trixie define struct mnt_id_req, which this tree defines as well. Try +build=bookworm.";
    assert!(rendered.contains(advice), "{rendered}");
}

fn a_criu_that_counts_ends_as_any_other_and_a_campaign_knows_its_branches() {
    let counting = format!("{}+coverage", subject(None));
    let output = zdtm(&["run", CONTROLS, "--subject", &counting]);
    assert_eq!(output.status.code(), Some(0), "it ends as without counters: {}", rendered(&output));
    let state = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder is ours");
    let folder = state.path().to_str().expect("cargo's paths are UTF-8");
    // What stock criu is known to lose would be made smaller for a while.
    let known = state.path().join("known");
    std::fs::write(&known, "wrong-flags descriptor descriptor-flags\nflaky descriptor descriptor-flags\n")
        .expect("the target folder is ours");
    let known = known.to_str().expect("cargo's paths are UTF-8");
    let fixed = ["--controls", "--programs", "20", "--without", "overlay,ramfs,odd-names,bind,rbind,move"];
    let campaign = ["fuzz", "--subject", &counting, "--state", folder, "--known", known, "--format", "json"];
    let output = zdtm(&[&campaign[..], &fixed].concat());
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", rendered(&output)));
    // Whatever it does, criu takes thousands.
    assert!(document["arcs"].as_u64() > Some(4000), "{document:#}");
    let page = std::fs::read_to_string(state.path().join("index.html")).expect("a campaign writes its page");
    assert!(page.contains(&format!("<dt>arcs</dt><dd>{}</dd>", document["arcs"])), "{page}");
}

fn a_patch_that_does_not_apply_names_file_and_hunk() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stale.patch");
    let text = "--- a/criu/files-reg.c\n+++ b/criu/files-reg.c\n@@ -1,3 +1,3 @@\n no such\n-line\n+here\n at all\n";
    std::fs::write(&file, text).expect("the target folder is ours");
    let output = zdtm(&["image", "build", "--subject", &subject(Some(&file))]);
    assert_eq!(output.status.code(), Some(3), "{}", rendered(&output));
    let rendered = rendered(&output);
    assert!(
        rendered.contains("stale.patch does not apply") || rendered.contains("stale.patch: does not apply"),
        "{rendered}"
    );
    assert!(
        rendered.contains("patching file criu/files-reg.c") && rendered.contains("Hunk #1 FAILED at 1."),
        "{rendered}"
    );
}
