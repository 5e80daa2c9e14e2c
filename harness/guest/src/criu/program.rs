//! Which criu is started, and how: the userland's, or one that the host handed over, which may be
//! another for the restore than for the dump.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use crate::{asan, breakpoints, coverage};

/// Where the userland has it.
const PROGRAM: &str = "/usr/sbin/criu";
/// A criu of the user's, which goes before the userland's: itself, its loader unless it is static,
/// its libraries (crate `harness`, module `subject::criu`).
pub(crate) const FOLDER: &str = "/subject";
/// In that folder the one that restores, when it is another one.
const RESTORER: &str = "/subject/restore";
/// In the restorer's: the userland's criu restores.
const USERLAND: &str = "userland";
/// What criu found out about the kernel at an earlier start. It knows a file of its own by its size
/// and two constants (`kerndat_try_load_cache`, criu/kerndat.c), so one of another criu may pass
/// for its own.
pub(crate) const KERNEL_DATA: &str = "/run/criu.kdat";

/// What a criu is started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Dump,
    Restore,
}

impl Part {
    /// The criu that is tested, to be given its arguments.
    pub(super) fn program(self) -> io::Result<Command> {
        if Path::new(RESTORER).exists() {
            match fs::remove_file(KERNEL_DATA) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let mut command = self.started();
        coverage::instruct(&mut command);
        breakpoints::instruct(&mut command);
        asan::instruct(&mut command);
        Ok(command)
    }

    fn started(self) -> Command {
        match Path::new(RESTORER) {
            restorer if self == Part::Restore && restorer.join(USERLAND).exists() => Command::new(PROGRAM),
            restorer if self == Part::Restore && restorer.exists() => started_from(restorer),
            _ => started_from(Path::new(FOLDER)),
        }
    }
}

/// How the criu of a folder is started; the userland's where there is none.
fn started_from(folder: &Path) -> Command {
    let (own, loader) = (folder.join("criu"), folder.join("ld.so"));
    if !own.exists() {
        return Command::new(PROGRAM);
    }
    if !loader.exists() || asan::is_there() {
        return Command::new(own);
    }
    // Not by LD_LIBRARY_PATH: what criu starts is the userland's and takes the userland's
    // libraries.
    let mut command = Command::new(loader);
    command.arg("--library-path").arg(folder.join("lib")).arg(own);
    command
}

/// The version that `criu --version` names, of the one that dumps; none without a criu that starts.
pub fn version() -> Option<String> {
    let output = Part::Dump.program().ok()?.arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().next().and_then(|line| line.strip_prefix("Version: ")).map(|version| version.trim().to_owned())
}
