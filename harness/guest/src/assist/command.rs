//! `assist dump` and `assist restore`: the assistance for processes that no trial made, around the
//! user's own call of criu.
//!
//! The files are captured when criu asks for them: the processes are frozen then, and what they
//! open or close before is in it. A first look before criu starts refuses what cannot be brought
//! back while the processes are untouched.

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
use nix::unistd::{chroot, fchdir};

use super::Assistance;
use crate::criu::rpc::{End, Service};
use crate::external::FIRST_INHERITED;
use crate::observe::outside;
use crate::reference::capture::outside::Outside;
use crate::sys::{self, set_apart};

/// What a dump leaves in the images folder for the restore.
pub const MANIFEST: &str = "files-on-detached-mounts.json";
/// A larger manifest is not read, in bytes.
const MANIFEST_LIMIT: u64 = 64 << 20;
const USAGE: &str = "\
usage: zdtm-detached assist dump --tree PID --images-dir DIR [--criu FILE] [-- ARGUMENTS OF CRIU]
       zdtm-detached assist restore --images-dir DIR [--criu FILE] [-- ARGUMENTS OF CRIU]";
/// Options of criu that this command gives itself.
const NOT_CRIUS: [&str; 4] = ["--tree", "-t", "--images-dir", "-D"];

/// Why it ends without success.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// Mistakes of the caller; nothing was done.
    #[error("{0}\n{USAGE}")]
    Usage(String),
    /// Nothing was done.
    #[error("these files on detached mounts cannot be brought back, so nothing was dumped:\n{0}")]
    Refused(String),
    /// criu's own failure; its first error.
    #[error(
        "criu dump failed: {0}. The processes go on. The log says more: criu.log in the images folder, or your --log-file"
    )]
    Criu(String),
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
        if NOT_CRIUS.contains(&name) {
            return Err(wrong(format!("{name}: give it before the --")));
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
    let look = || -> Result<Assistance, Failure> {
        let captured = captured(&proc, &place, pid)?;
        check_filesystems(&captured, pid)?;
        Ok(captured)
    };
    look()?;
    let manifest = arguments.folder.join(MANIFEST);
    remove(&manifest)?;
    let mut answer = None;
    let ended = dumped(arguments, pid, || {
        let captured = look().and_then(|captured| {
            write(&manifest, &captured).map_err(call(manifest.display().to_string()))?;
            Ok(captured.keys().map(OsString::from).collect::<Vec<_>>())
        });
        let keys = captured.as_ref().ok().cloned();
        answer = Some(captured);
        keys
    });
    let keys = match answer {
        Some(Err(failure)) => Err(failure),
        Some(Ok(keys)) => ended.map(|()| keys),
        None => ended.and_then(|()| Err(Failure::Criu("it has not asked for files".to_owned()))),
    };
    // Without a dump it says nothing.
    let keys = keys.inspect_err(|_| _ = fs::remove_file(&manifest))?;
    eprintln!("files on detached mounts: {}, described in {}", keys.len(), manifest.display());
    Ok(())
}

/// Has criu dump, to its end.
fn dumped(arguments: &Arguments, pid: i32, mut asked: impl FnMut() -> Option<Vec<OsString>>) -> Result<(), Failure> {
    let mut service =
        Service::dump(pid, &arguments.folder, &arguments.rest, Vec::new()).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => Failure::Usage(error.to_string()),
            _ => Failure::Call(arguments.folder.display().to_string(), error),
        })?;
    let mut criu = Command::new(&arguments.criu);
    let mut criu = service.start(&mut criu).map_err(call(format!("starting {}", arguments.criu.display())))?;
    let end = loop {
        if let Some(end) = service.hear(&mut asked).transpose() {
            break end;
        }
    };
    // A criu that still waits for an answer ends.
    drop(service);
    let status = criu.wait().map_err(call("waiting for criu"))?;
    match end.map_err(call("criu's service"))? {
        End::Done => Ok(()),
        End::Failed(Some(message)) => Err(Failure::Criu(message)),
        End::Failed(None) | End::Gone => Err(Failure::Criu(format!("it ended with {status}"))),
    }
}

/// Removes a file that may be there.
fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(call(path.display().to_string())(error)),
        _ => Ok(()),
    }
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
        let line = "--tree 7 --images-dir i -- -v4 --shell-job --log-file=x";
        let expected = Arguments {
            tree: Some(7),
            folder: "i".into(),
            criu: "criu".into(),
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
    }
}
