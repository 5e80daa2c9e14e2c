//! The host's clock is set while a run goes on: forward by a day, and back by one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use super::{IN_VM, ON_HOST};
use crate::program::{program_in, rendered};

/// Loaded into the program under test before its C library. Four times a second the clock of the
/// wall jumps from a day ahead to a day behind, or back; the file that `STEPPED` names says that
/// the program looked at it.
const CLOCK: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *now)
{
	struct timespec since;
	int done = syscall(SYS_clock_gettime, id, now);
	if (id != CLOCK_REALTIME || strcmp(program_invocation_short_name, "zdtm-detached"))
		return done;
	syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &since);
	now->tv_sec += since.tv_nsec / 250000000 % 2 ? 24 * 60 * 60 : -24 * 60 * 60;
	close(open(getenv("STEPPED"), O_CREAT | O_WRONLY, 0600));
	return done;
}
"#;

/// The library, compiled.
fn library(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
    fs::write(&source, CLOCK).unwrap();
    let mut compiler = Command::new("cc");
    let output = compiler.args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"]).arg(&library).arg(&source);
    let output = output.output().unwrap();
    assert!(output.status.success(), "{}", rendered(&output));
    library
}

/// Every limit holds, and no duration is longer than the run was.
pub(super) fn a_clock_that_is_set_changes_no_limit_and_no_duration() {
    let folder = tempfile::tempdir().unwrap();
    let (library, stepped) = (library(folder.path()), folder.path().join("stepped"));
    let on_host = [&["run", "only-mount/*"][..], &ON_HOST].concat();
    for words in [&IN_VM[..], &on_host] {
        let mut run = program_in(words, folder.path());
        run.args(["--report", "json=r.json"]).env("LD_PRELOAD", &library).env("STEPPED", &stepped);
        let begin = Instant::now();
        let output = run.output().unwrap();
        let limit = begin.elapsed().as_secs_f64();
        assert_eq!(output.status.code(), Some(0), "{}", rendered(&output));
        assert!(stepped.exists(), "no clock was set");
        fs::remove_file(&stepped).unwrap();
        let report: Value = serde_json::from_slice(&fs::read(folder.path().join("r.json")).unwrap()).unwrap();
        let trials = report["trials"].as_array().unwrap();
        let all = trials.iter().chain([&report["summary"]]);
        for seconds in all.map(|part| part["seconds"].as_f64().unwrap()) {
            assert!((0.0..=limit).contains(&seconds), "{seconds} s of {limit} s: {report:#}");
        }
    }
}
