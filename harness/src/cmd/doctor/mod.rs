//! `zdtm-detached doctor`: is everything here that a run needs, and what to do about what is not.
//!
//! A check is a value; `checks` makes the list and [`run`] prints it.

mod checks;

use std::fmt::Display;
use std::io::{self, Write};

use serde::Serialize;

use crate::args::MachineArgs;
use crate::sanitize::sanitized;

/// Exit status when every check is ok or a warning.
pub const USABLE: u8 = 0;

/// Exit status when a check failed.
pub const UNUSABLE: u8 = 3;

/// Check what this machine has and what it lacks.
///
/// Prints one line for each check, with what to do where something is missing. Exits with 0 when
/// nothing fails and with 3 otherwise.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  zdtm-detached doctor\n  zdtm-detached doctor --format json --qemu host")]
pub struct Args {
    /// How to print the checks.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    #[command(flatten)]
    machines: MachineArgs,
}

/// How the checks are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A line for each check.
    #[default]
    Human,
    /// One JSON document.
    Json,
}

/// How good the answer of a check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// All is well.
    Ok,
    /// Trials run, but slowly or not for long.
    Warn,
    /// Trials do not run.
    Fail,
}

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What: one or two words.
    pub name: String,
    /// How good.
    pub state: State,
    /// What was found.
    pub detail: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Check {
    /// A check that is fine.
    pub fn ok(name: &str, detail: impl Into<String>) -> Self {
        Self { name: name.to_owned(), state: State::Ok, detail: detail.into(), hint: None }
    }

    /// A check to warn about, with what to do.
    pub fn warn(name: &str, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { state: State::Warn, hint: Some(hint.into()), ..Self::ok(name, detail) }
    }

    /// A check that failed with an error that says itself what to do.
    pub fn failed_with_advice(name: &str, error: impl Display) -> Self {
        Self { state: State::Fail, ..Self::ok(name, error.to_string()) }
    }

    /// A check that failed, with what to do.
    pub fn fail(name: &str, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { state: State::Fail, hint: Some(hint.into()), ..Self::ok(name, detail) }
    }
}

/// Makes the checks, prints them, and tells the exit status: [`USABLE`] or [`UNUSABLE`].
///
/// # Errors
/// The output cannot be written.
pub fn run(args: &Args, out: &mut impl Write) -> anyhow::Result<u8> {
    Ok(print(args.format, &checks::all(&args.machines.settings()), out)?)
}

fn print(format: Format, checks: &[Check], out: &mut impl Write) -> io::Result<u8> {
    let usable = checks.iter().all(|check| check.state != State::Fail);
    match format {
        Format::Human => print_lines(checks, usable, out)?,
        Format::Json => {
            let document = serde_json::json!({"version": 1, "usable": usable, "checks": checks});
            writeln!(out, "{document:#}")?;
        }
    }
    Ok(if usable { USABLE } else { UNUSABLE })
}

fn print_lines(checks: &[Check], usable: bool, out: &mut impl Write) -> io::Result<()> {
    let width = checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
    for Check { name, state, detail, hint } in checks {
        let word = match state {
            State::Ok => "ok",
            State::Warn => "warn",
            State::Fail => "fail",
        };
        let hint = hint.as_ref().map_or_else(String::new, |hint| format!("; {hint}"));
        writeln!(out, "{}", sanitized(&format!("{word:<4}  {name:<width$}  {detail}{hint}")))?;
    }
    writeln!(out, "{}", if usable { "usable" } else { "not usable: repair what fails above" })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use expect_test::expect;

    use super::checks::*;
    use super::*;
    use crate::vm::Accelerator;
    use crate::vm::kvm::AccelError;
    use crate::vm::kvm::Decision;
    use crate::vm::qemu::{QemuError, QemuProgram};

    fn printed(format: Format, checks: &[Check]) -> (String, u8) {
        let mut out = Vec::new();
        let status = print(format, checks, &mut out).unwrap();
        (String::from_utf8(out).unwrap(), status)
    }

    fn checks() -> Vec<Check> {
        let decision = |accelerator, reason: &str| Decision { accelerator, reason: reason.to_owned() };
        let kvm = decision(Accelerator::Kvm, "kvm: a guest was ready after 412 ms");
        let tcg = decision(Accelerator::Tcg, "kvm: no output within 5 s, using tcg");
        let found = QemuProgram {
            argv_prefix: vec!["/q/ld.so".into(), "/q/qemu".into()],
            data_dirs: Vec::new(),
            module_dir: None,
            version: "10.0.13".to_owned(),
        };
        vec![
            accelerator::<AccelError>(Some(Ok(&kvm))),
            accelerator::<AccelError>(Some(Ok(&tcg))),
            accelerator(Some(Err(&AccelError::NoKvm("no output within 5 s".to_owned())))),
            qemu::<QemuError>(Ok(&found)),
            qemu(Err(&QemuError::NotOnPath("qemu-system-x86_64"))),
            program("sh-that-is-not-there", "does things"),
            space("cache", "/c", 9000, CACHE_MIB),
            space("cache", "/c", 2999, CACHE_MIB),
            capacity(2, Some(24_000), 512),
            capacity(8, Some(2000), 512),
            capacity(8, Some(500), 512),
            capacity(8, None, 512),
        ]
    }

    #[test]
    fn a_line_for_each_check() {
        let (text, status) = printed(Format::Human, &checks());
        expect![[r#"
            ok    accelerator           kvm: a guest was ready after 412 ms
            warn  accelerator           kvm: no output within 5 s, using tcg; trials take about ten times as long as with a working KVM
            fail  accelerator           --accel kvm: no output within 5 s; use --accel auto or tcg, or repair /dev/kvm
            ok    qemu                  10.0.13 (/q/qemu)
            fail  qemu                  there is no qemu-system-x86_64 on the PATH; install it (Debian: qemu-system), or leave --qemu away to use a private one
            fail  sh-that-is-not-there  not on the PATH; install it: it does things; images that are already built work without it
            ok    cache                 /c, 9000 MiB free
            warn  cache                 /c, 2999 MiB free; free some space: 3072 MiB are wanted
            ok    capacity              2 processors, 24000 MiB of memory available: 2 VMs of 512 MiB
            warn  capacity              8 processors, 2000 MiB of memory available: 2 VMs of 512 MiB; free memory to use every processor
            fail  capacity              8 processors, 500 MiB of memory available: 0 VMs of 512 MiB; free memory: a VM needs 768 MiB
            warn  capacity              8 processors, memory not known; choose the number of VMs with -j
            not usable: repair what fails above
        "#]].assert_eq(&text);
        assert_eq!(status, UNUSABLE);
    }

    #[test]
    fn warnings_are_usable() {
        let (text, status) = printed(Format::Human, &[Check::warn("a", "b", "c"), Check::ok("dd", "e")]);
        expect![[r#"
            warn  a   b; c
            ok    dd  e
            usable
        "#]]
        .assert_eq(&text);
        assert_eq!(status, USABLE);
    }

    #[test]
    fn one_json_document() {
        let (text, _) = printed(Format::Json, &[Check::fail("a", "b", "c"), Check::ok("d", "e")]);
        expect![[r#"
            {
              "checks": [
                {
                  "detail": "b",
                  "hint": "c",
                  "name": "a",
                  "state": "fail"
                },
                {
                  "detail": "e",
                  "hint": null,
                  "name": "d",
                  "state": "ok"
                }
              ],
              "usable": false,
              "version": 1
            }
        "#]]
        .assert_eq(&text);
    }

    #[test]
    fn directories_are_tried() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("made/when/missing");
        assert_eq!(directory("cache", &missing, 0).state, State::Ok);
        assert_eq!(directory("cache", &missing, u64::MAX).state, State::Warn);
        assert_eq!(directory("cache", Path::new("/proc/no"), 0).state, State::Fail);
        assert_eq!(std::fs::read_dir(&missing).unwrap().count(), 0);
    }

    #[test]
    fn this_host_has_memory_and_a_shell() {
        assert_eq!(program("sh", "").state, State::Ok);
    }
}
