//! `assist dump` and `assist restore`: the assistance for processes that no trial made, around the
//! user's own call of criu.
//!
//! criu leaves the processes stopped, so that they are captured once more as they were dumped: what
//! they opened in between is noticed, and nothing is lost by it.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, chroot, fchdir};

use super::Assistance;
use crate::external::FIRST_INHERITED;
use crate::observe::outside;
use crate::reference::capture::outside::Outside;
use crate::sys::{self, set_apart};

/// What a dump leaves in the images folder for the restore.
pub const MANIFEST: &str = "files-on-detached-mounts.json";
/// A larger manifest is not read, in bytes.
const MANIFEST_LIMIT: u64 = 64 << 20;
const USAGE: &str = "\
usage: zdtm-detached assist dump --tree PID --images-dir DIR [--criu FILE] [--leave-running] [-- ARGUMENTS OF CRIU]
       zdtm-detached assist restore --images-dir DIR [--criu FILE] [-- ARGUMENTS OF CRIU]";
/// Options of criu that this command gives itself, or that do not go with it.
const NOT_CRIUS: [(&str, &str); 9] = [
    ("--tree", "give it before the --"),
    ("-t", "give it before the --"),
    ("--images-dir", "give it before the --"),
    ("-D", "give it before the --"),
    ("--leave-running", "give it before the --"),
    ("-R", "give it before the --"),
    ("--leave-stopped", "the processes are stopped anyway, and then ended or resumed"),
    ("-s", "the processes are stopped anyway, and then ended or resumed"),
    ("--tcp-established", "the processes end after criu has, which would break their connections"),
];

/// Why it ends without success.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// Mistakes of the caller; nothing was done.
    #[error("{0}\n{USAGE}")]
    Usage(String),
    /// Nothing was done.
    #[error("these files on detached mounts cannot be brought back, so nothing was dumped:\n{0}")]
    Refused(String),
    /// criu's own failure, which it has reported.
    #[error("criu {0} ended with {1}")]
    Criu(&'static str, std::process::ExitStatus),
    /// The processes go on.
    #[error("the processes opened or closed files on detached mounts during the dump; they go on: try again")]
    Changed,
    /// A call.
    #[error("{0}: {1}")]
    Call(String, io::Error),
    /// A file that was not opened again.
    #[error("{0}; criu was not started")]
    NotOpened(#[from] crate::reference::restore::Failure),
}

fn call(what: impl Into<String>) -> impl FnOnce(io::Error) -> Failure {
    move |error| Failure::Call(what.into(), error)
}

/// What the caller wants.
#[derive(Debug, Default, PartialEq, Eq)]
struct Arguments {
    tree: Option<i32>,
    folder: PathBuf,
    criu: OsString,
    leave_running: bool,
    rest: Vec<OsString>,
}

/// Its life; `arguments` start with `dump` or `restore`.
pub fn main(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let end = match arguments.next().as_deref().and_then(OsStr::to_str) {
        Some("dump") => parsed(arguments, true).and_then(|arguments| dump(&arguments)),
        Some("restore") => parsed(arguments, false).and_then(|arguments| restore(&arguments)),
        _ => Err(Failure::Usage("say what to do: dump or restore".to_owned())),
    };
    match end {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(if matches!(failure, Failure::Usage(_)) { 2 } else { 1 })
        }
    }
}

fn parsed(mut arguments: impl Iterator<Item = OsString>, dumps: bool) -> Result<Arguments, Failure> {
    let wrong = |what: String| Failure::Usage(what);
    let mut parsed = Arguments { criu: "criu".into(), ..Arguments::default() };
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy().into_owned();
        let mut value = || arguments.next().ok_or_else(|| wrong(format!("{text} wants a value")));
        match text.as_str() {
            "--" => {
                parsed.rest = arguments.by_ref().collect();
                break;
            }
            "--tree" if dumps => {
                let number = value()?;
                let pid = number.to_str().and_then(|text| text.parse().ok()).filter(|&pid| pid > 0);
                parsed.tree = Some(pid.ok_or_else(|| wrong(format!("--tree: {number:?} is no process ID")))?);
            }
            "--leave-running" if dumps => parsed.leave_running = true,
            "--images-dir" => parsed.folder = value()?.into(),
            "--criu" => parsed.criu = value()?,
            _ => return Err(wrong(format!("unknown argument {text:?}; criu's own come behind --"))),
        }
    }
    if parsed.folder.as_os_str().is_empty() {
        return Err(wrong("--images-dir is missing".to_owned()));
    }
    if dumps && parsed.tree.is_none() {
        return Err(wrong("--tree is missing".to_owned()));
    }
    for argument in &parsed.rest {
        let text = argument.to_string_lossy();
        let name = text.split_once('=').map_or(&*text, |(name, _)| name);
        if let Some((option, why)) = NOT_CRIUS.iter().find(|(option, _)| *option == name) {
            return Err(wrong(format!("{option}: {why}")));
        }
    }
    Ok(parsed)
}

fn dump(arguments: &Arguments) -> Result<(), Failure> {
    let pid = arguments.tree.unwrap_or_default();
    fs::metadata(format!("/proc/{pid}")).map_err(call(format!("process {pid}")))?;
    fs::metadata(&arguments.folder).map_err(call(arguments.folder.display().to_string()))?;
    let proc: OwnedFd = File::open("/proc").map_err(call("/proc"))?.into();
    let place = Place::here().map_err(call("the working directory"))?;
    let before = captured(&proc, &place, pid)?;
    check_filesystems(&before, pid)?;
    let manifest = arguments.folder.join(MANIFEST);
    match fs::remove_file(&manifest) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(call(manifest.display().to_string())(error));
        }
        _ => {}
    }
    let mut criu = Command::new(&arguments.criu);
    criu.arg("dump").arg("--tree").arg(pid.to_string()).arg("--images-dir").arg(&arguments.folder);
    criu.arg("--leave-stopped");
    for key in before.keys() {
        criu.arg("--external").arg(key);
    }
    let status = criu.args(&arguments.rest).status().map_err(call(format!("starting {}", arguments.criu.display())))?;
    if !status.success() {
        return Err(Failure::Criu("dump", status));
    }
    let again = captured(&proc, &place, pid).map_err(|failure| match failure {
        Failure::Refused(_) => Failure::Changed,
        failure => failure,
    });
    let kept = again.and_then(|after| {
        if before.keys().ne(after.keys()) {
            return Err(Failure::Changed);
        }
        write(&manifest, &after).map_err(call(manifest.display().to_string()))
    });
    let signal = if kept.is_ok() && !arguments.leave_running { Signal::SIGKILL } else { Signal::SIGCONT };
    // Children first: what lost its parent could not be found afterwards. What has ended meanwhile
    // needs no signal.
    for process in processes(pid).unwrap_or_else(|_| vec![pid]).into_iter().rev() {
        let _ = kill(Pid::from_raw(process), signal);
    }
    kept?;
    eprintln!("files on detached mounts: {}, described in {}", before.keys().count(), manifest.display());
    Ok(())
}

/// The root and the working directory, which entering a mount namespace changes.
struct Place {
    namespace: OwnedFd,
    root: OwnedFd,
    folder: OwnedFd,
}

impl Place {
    fn here() -> io::Result<Self> {
        let opened = |path: &str| File::open(path).and_then(set_apart);
        Ok(Place { namespace: opened("/proc/self/ns/mnt")?, root: opened("/")?, folder: opened(".")? })
    }

    fn return_to(&self) -> io::Result<()> {
        setns(&self.namespace, CloneFlags::CLONE_NEWNS)?;
        fchdir(&self.root)?;
        chroot(".")?;
        Ok(fchdir(&self.folder)?)
    }
}

/// The process and those below it, each behind its parent (proc_tid_children(5)).
fn processes(pid: i32) -> io::Result<Vec<i32>> {
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(&parent) = all.get(next) {
        for task in fs::read_dir(format!("/proc/{parent}/task"))? {
            let children = fs::read_to_string(task?.path().join("children"))?;
            all.extend(children.split_ascii_whitespace().filter_map(|child| child.parse::<i32>().ok()));
        }
        next += 1;
    }
    Ok(all)
}

/// Captures the processes in their mount namespace.
fn captured(proc: &OwnedFd, place: &Place, pid: i32) -> Result<Assistance, Failure> {
    let all = processes(pid).map_err(call(format!("the children of process {pid}")))?;
    let namespace = File::open(format!("/proc/{pid}/ns/mnt")).map_err(call(format!("namespace of process {pid}")))?;
    let captured = || -> io::Result<_> {
        setns(&namespace, CloneFlags::CLONE_NEWNS)?;
        Assistance::capture(proc.as_fd(), &all, &[], &Outside::default())
    };
    let captured = captured();
    place.return_to().map_err(call("returning from the mount namespace of the process"))?;
    let refused = |refusals: Vec<_>| {
        let lines: Vec<String> = refusals.iter().map(|refusal| format!("  {refusal}")).collect();
        Failure::Refused(lines.join("\n"))
    };
    captured.map_err(call(format!("looking at process {pid}")))?.map_err(refused)
}

/// That no filesystem which the restore needs ends with the processes.
fn check_filesystems(assistance: &Assistance, pid: i32) -> Result<(), Failure> {
    let here: BTreeSet<_> = outside::own_mounts()
        .map_err(call("the mount table"))?
        .iter()
        .map(|mount| (mount.major, mount.minor))
        .collect();
    let lines: Vec<String> = assistance
        .filesystems()
        .filter(|(device, _)| !here.contains(device))
        .map(|(_, name)| {
            format!(
                "  the {name} is mounted only in the mount namespace of process {pid} and would end with it; \
                 mount it here, too, as a volume is"
            )
        })
        .collect();
    if lines.is_empty() { Ok(()) } else { Err(Failure::Refused(lines.join("\n"))) }
}

fn write(path: &Path, assistance: &Assistance) -> io::Result<()> {
    let text = serde_json::to_vec(assistance)?;
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(&text)?;
    file.sync_all()
}

fn read(path: &Path) -> io::Result<Assistance> {
    let file = File::open(path)?;
    if file.metadata()?.len() > MANIFEST_LIMIT {
        return Err(io::Error::other(format!("it has more than {MANIFEST_LIMIT} bytes")));
    }
    let assistance: Assistance = serde_json::from_reader(io::BufReader::new(file))?;
    if assistance.is_whole() { Ok(assistance) } else { Err(io::Error::other("it is damaged")) }
}

/// Becomes criu.
fn restore(arguments: &Arguments) -> Result<(), Failure> {
    let path = arguments.folder.join(MANIFEST);
    let assistance = read(&path).map_err(call(path.display().to_string()))?;
    let place = Place::here().map_err(call("the working directory"))?;
    let files = assistance.files();
    place.return_to().map_err(call("returning to the working directory"))?;
    let files = files?;
    let mut criu = Command::new(&arguments.criu);
    criu.arg("restore").arg("--images-dir").arg(&arguments.folder);
    let mut inherited = Vec::new();
    for ((key, fd), number) in assistance.keys().zip(&files).zip(FIRST_INHERITED..) {
        // One that stands where another has to go would be overwritten.
        let fd = sys::duplicate(fd, FIRST_INHERITED + i32::try_from(files.len()).unwrap_or(i32::MAX), true)
            .map_err(call(format!("descriptor {}", fd.as_raw_fd())))?;
        criu.arg("--inherit-fd").arg(format!("fd[{number}]:{key}"));
        inherited.push((fd, number));
    }
    let pairs: Vec<_> = inherited.iter().map(|(fd, number)| (fd, *number)).collect();
    sys::inherit(&mut criu, &pairs);
    let error = criu.args(&arguments.rest).exec();
    Err(Failure::Call(format!("starting {}", arguments.criu.display()), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> std::vec::IntoIter<OsString> {
        line.split_whitespace().map(OsString::from).collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn crius_arguments_come_behind_the_dashes() {
        let line = "--tree 7 --images-dir i --leave-running -- -v4 --shell-job --log-file=x";
        let expected = Arguments {
            tree: Some(7),
            folder: "i".into(),
            criu: "criu".into(),
            leave_running: true,
            rest: words("-v4 --shell-job --log-file=x").collect(),
        };
        assert_eq!(parsed(words(line), true).unwrap(), expected);
    }

    #[test]
    fn mistakes_are_named() {
        let message = |line: &str, dumps| {
            let text = parsed(words(line), dumps).unwrap_err().to_string();
            text.lines().next().unwrap_or_default().to_owned()
        };
        assert_eq!(message("--tree 7", true), "--images-dir is missing");
        assert_eq!(message("--images-dir i", true), "--tree is missing");
        assert_eq!(message("--images-dir i --tree x", true), "--tree: \"x\" is no process ID");
        assert_eq!(message("--images-dir", false), "--images-dir wants a value");
        assert_eq!(message("--images-dir i --tree 1", false), "unknown argument \"--tree\"; criu's own come behind --");
        assert_eq!(message("--images-dir i -- -t 1", false), "-t: give it before the --");
        assert_eq!(
            message("--images-dir i --tree 1 -- --tcp-established", true),
            "--tcp-established: the processes end after criu has, which would break their connections"
        );
    }
}
