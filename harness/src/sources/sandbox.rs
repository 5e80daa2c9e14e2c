//! A tree of unpacked packages as a place to work in: its programs see it as `/`, and one folder of
//! the host as `/build`, perhaps another one, which they cannot write to, as `/source`.
//!
//! Namespaces make it one, by the programs `unshare`, `mount` and `chroot` of the host: mounts that
//! no other process sees, no network, and a PID namespace whose end ends every process in it. Root
//! needs no more; everybody else gets a user namespace in which they are root, where the kernel
//! lets them have one.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::cache::error::{ImageError, at};
use crate::process::child::{Process, Surroundings};
use crate::process::command::{self, CommandError};
use crate::process::interrupt;

/// Run by `sh` in the namespaces: mounts what programs expect, then becomes the program. Arguments:
/// the tree, the folder, the sources or nothing, the program and its arguments.
const SCRIPT: &str = r#"
root=$1 folder=$2 sources=$3
shift 3
mount --rbind /proc "$root/proc" && mount --rbind /dev "$root/dev" && mount -t tmpfs tmpfs "$root/tmp" &&
    mount --bind "$folder" "$root/build" || exit 125
if [ -n "$sources" ]; then
    mount --bind "$sources" "$root/source" && mount -o remount,bind,ro "$root/source" || exit 125
fi
exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin HOME=/tmp LC_ALL=C \
    sh -c 'cd /build && exec "$@"' sh "$@"
"#;

/// A tree to work in.
pub(crate) struct Sandbox<'a> {
    /// The unpacked packages.
    pub(crate) root: &'a Path,
    /// What is `/build` in it.
    pub(crate) folder: &'a Path,
    /// What is `/source` in it, where it has that.
    pub(crate) sources: Option<&'a Path>,
}

impl Sandbox<'_> {
    /// Runs a program of the tree in the folder; true when it succeeds. What it says goes to `log`.
    ///
    /// # Errors
    /// Namespaces are impossible; this process is to end.
    pub(crate) fn run(&self, program: &[&str], log: &Path) -> Result<bool, ImageError> {
        let mut command = Command::new("unshare");
        command.args(namespaces()?).args(["--mount", "--net", "--pid", "--fork", "--kill-child"]);
        command.args(["sh", "-c", SCRIPT, "sh"]).arg(self.root).arg(self.folder);
        command.arg(self.sources.unwrap_or(Path::new(""))).args(program);
        let output = File::create(log).map_err(at("create", log))?;
        let another = output.try_clone().map_err(at("write", log))?;
        let surroundings = Surroundings { stdout: another, stderr: output, inherited: &[], file_limit_bytes: u64::MAX };
        let mut process = Process::spawn(command, surroundings).map_err(no_unshare)?;
        match process.wait_or_interrupt(interrupt::fd()).map_err(at("wait for a program in", self.root))? {
            Some(status) => Ok(status.success()),
            None => Err(ImageError::Interrupted),
        }
    }
}

/// Additional arguments of `unshare`: root makes the namespaces as it is, everybody else in a user
/// namespace.
fn namespaces() -> Result<&'static [&'static str], ImageError> {
    let works = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(arguments).args(["--mount", "--net", "--pid", "--fork", "true"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().map(|status| status.success()).map_err(no_unshare)
    };
    const USER: &[&str] = &["--user", "--map-root-user"];
    if nix::unistd::geteuid().is_root() && works(&[])? {
        return Ok(&[]);
    }
    if works(USER)? {
        return Ok(USER);
    }
    let said =
        command::run(Command::new("unshare").args(USER).arg("true"), "unshare", "util-linux", command::no_advice);
    Err(ImageError::NoNamespaces { said: said.err().map_or_else(String::new, |error| error.to_string()) })
}

fn no_unshare(error: std::io::Error) -> ImageError {
    CommandError::NoProgram { program: "unshare".into(), package: "util-linux", error }.into()
}
