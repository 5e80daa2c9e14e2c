//! Scenarios as programs: in C as tests for CRIU's own suite zdtm or standing alone, and as shell
//! scripts.
//!
//! It turns a program into text and makes no system call; `cmd/export.rs` writes the files. A C
//! program carries the steps out one by one, each under the line that it comes from, records what
//! it holds, waits for the checkpoint, and checks the record and the scenario's assertions.
//! It looks at less than the harness: itself alone, from inside, and no probes.
//!
//! - `steps`, with `mounts`, `names` and `objects`: the calls of each step
//! - `holdings`: what the program holds at its end, and the C names of it
//! - `observation`: the part that records and compares
//! - `claims`: the assertions
//! - `functions`: functions of C that are the same everywhere
//! - `file`: the whole file, in both dialects
//! - `shell`: all of the same as a shell script
//!
//! The interface of zdtm (`test_init`, `test_daemon`, `test_waitsig`, `pass`, `fail`, `pr_perror`,
//! `TEST_OPTION`) is that of `test/zdtm/lib/zdtmtst.h` in CRIU's tree, the keys of a `.desc` and
//! the words of a `.hook` are those of `test/zdtm.py`.

mod claims;
mod file;
mod functions;
mod holdings;
mod literal;
mod mounts;
mod names;
mod objects;
mod observation;
mod shell;
mod steps;
#[cfg(test)]
mod tests;

use scenarios::program::Line;
use scenarios::{Outcome, Scenario};

pub use literal::file_name;

/// For whom a C program is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// A test of zdtm: linked with its library, started by `zdtm.py`.
    Zdtm,
    /// It needs a C library alone. Its arguments are a directory and the block devices.
    Alone,
}

/// Why a scenario cannot be exported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", .place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default())]
pub struct Refusal {
    /// The line and the step, `line 7, fork child`; `None` when it is about the whole scenario.
    pub place: Option<String>,
    /// The reason; the same for all scenarios that are refused for it.
    pub reason: &'static str,
}

impl Refusal {
    fn at(line: &Line, reason: &'static str) -> Self {
        Refusal { place: Some(format!("line {}, `{}`", line.number, line.step)), reason }
    }
}

/// A test of zdtm: the texts of its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZdtmTest {
    /// The name of the test, and of its files without their ends.
    pub name: String,
    /// `NAME.c`
    pub source: String,
    /// `NAME.desc`, a dictionary of Python.
    pub description: String,
    /// `NAME.hook`, an executable that takes the test's disks away; only for tests that have disks.
    pub hook: Option<String>,
}

/// What every exported file says in its first comment.
pub const MARK: &str = "Exported by zdtm-detached from";

/// The first minor number of the loop devices of a test of zdtm. Its `.desc` names them, so they
/// are fixed.
const FIRST_LOOP_DEVICE: usize = 200;

/// A scenario as a test of zdtm. `remarks` are the lines that explain it, below the summary.
///
/// # Errors
/// What cannot be expressed, and where it is in the scenario.
pub fn zdtm_test(scenario: &Scenario, remarks: &[String]) -> Result<ZdtmTest, Refusal> {
    let written = file::write(scenario, remarks, Dialect::Zdtm)?;
    let name = file_name(&scenario.name);
    let disks = FIRST_LOOP_DEVICE..FIRST_LOOP_DEVICE + written.disks;
    // A process in the namespaces of the caller leaves one that the caller keeps.
    let flavor = if written.keeps_old { "h" } else { "ns" };
    let mut flags = vec!["suid"];
    if written.disks > 0 {
        flags.push("excl");
    }
    if let Outcome::Refused { .. } = scenario.outcome {
        flags.push("crfail");
    }
    let external = |form: fn(usize) -> String| disks.clone().map(form).collect::<Vec<_>>().join(" ");
    let mut rows = vec![
        format!("'flavor': '{flavor}'"),
        format!("'flags': '{}'", flags.join(" ")),
        "'opts': '--link-remap --file-locks'".to_owned(),
    ];
    if written.disks > 0 {
        rows.push(format!("'dopts': '{}'", external(|minor| format!("--external dev[7/{minor}]:disk{minor}"))));
        rows.push(format!("'ropts': '{}'", external(|minor| format!("--external dev[disk{minor}]:/dev/loop{minor}"))));
    }
    let hook = (written.disks > 0).then(|| {
        let remove = |minor| format!("losetup -d /dev/loop{minor}\nrm -f zdtm/static/{name}.disk{minor}\n");
        let remove: String = disks.clone().map(remove).collect();
        format!(
            "#!/bin/sh\n# Takes the disks away that the test made.\n[ \"$1\" = --clean ] || exit 0\n{remove}exit 0\n"
        )
    });
    Ok(ZdtmTest { name, source: written.text, description: format!("{{{}}}\n", rows.join(", ")), hook })
}

/// A scenario as a C program that stands alone; `remarks` as in [`zdtm_test`].
///
/// # Errors
/// What cannot be expressed, and where it is in the scenario.
pub fn c_program(scenario: &Scenario, remarks: &[String]) -> Result<String, Refusal> {
    file::write(scenario, remarks, Dialect::Alone).map(|written| written.text)
}

/// A scenario as a shell script; `remarks` as in [`zdtm_test`].
///
/// # Errors
/// What a shell cannot do, and where it is in the scenario.
pub fn shell_script(scenario: &Scenario, remarks: &[String]) -> Result<String, Refusal> {
    shell::write(scenario, remarks)
}
