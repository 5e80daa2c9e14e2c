//! Probes: what the process can do with its objects, after the last look. A twin that was never
//! checkpointed does the same.
//!
//! - `entries`: reads on in directories
//! - `locks`: locks what others may have locked
//! - `written`: writes through one object and reads through all others
//! - `names`: makes names, links, renames
//! - `mappings`: makes mappings writable, reads private ones whose files were written to
//! - `pipes`: writes into pipes and sockets, reads what comes out
//! - `events`: reads what watches report, waits for signals
//! - `mount_api`: copies the mounts of directories, mounts on them
//! - `busy`: makes mounts read-only and unmounts them
//! - `release`: closes everything, and sees what is gone
//!
//! An outcome has no number that the kernel hands out and nothing that depends on the time: texts
//! of two processes that carried out one program are the same, or something is different. Probes
//! act only below the top directory of the program, and never on the kernel's own filesystems.

mod busy;
mod entries;
mod events;
mod locks;
mod mappings;
mod mount_api;
mod names;
mod pipes;
mod release;
mod written;

use std::fmt::Display;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use nix::fcntl::{OFlag, open, openat};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::Mode;
use protocol::observation::{FileKind, Object, ReadError};
use protocol::probe::{Probe, ProbeGroup};

use crate::observe::{Made, is_kernel_filesystem, own_procfs, status};
use crate::sys;

/// What is probed.
struct Subject {
    /// Its name in the program.
    name: String,
    /// The object.
    object: Object,
    /// A copy of the descriptor; the working directory.
    fd: Option<OwnedFd>,
    /// What it is; none for a mapping.
    kind: Option<FileKind>,
}

impl Subject {
    fn fd_of(&self, kind: FileKind) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().filter(|_| self.kind == Some(kind)).map(AsFd::as_fd)
    }
}

/// The outcomes so far.
struct Outcomes {
    all: Vec<Probe>,
}

impl Outcomes {
    fn add(&mut self, group: ProbeGroup, of: &str, what: impl Into<String>, outcome: impl Into<String>) {
        self.all.push(Probe { group, of: of.to_owned(), what: what.into(), outcome: outcome.into() });
    }
}

/// An error's name, or what there is.
fn text<T, E: Into<io::Error>>(result: Result<T, E>, done: impl FnOnce(T) -> String) -> String {
    match result {
        Ok(value) => done(value),
        Err(error) => ReadError::from(&error.into()).to_string(),
    }
}

/// "done", or an error's name.
fn done<T, E: Into<io::Error>>(result: Result<T, E>) -> String {
    text(result, |_| "done".to_owned())
}

/// Carries out all probes of this process. `top` is the program's top directory, `mounts` whether
/// its mounts are probed as well: of several processes one does it.
///
/// # Errors
/// What makes any probe impossible.
pub(super) fn run(made: &[Made], top: &str, mounts: bool) -> io::Result<Vec<Probe>> {
    let mut blocked = SigSet::empty();
    // A write that is too long, a lease that is broken and a pipe without a reader give a signal,
    // which ends a process.
    for signal in [Signal::SIGXFSZ, Signal::SIGIO, Signal::SIGPIPE] {
        blocked.add(signal);
    }
    blocked.thread_block()?;
    let subjects = subjects(made)?;
    let mut outcomes = Outcomes { all: Vec::new() };
    let proc = own_procfs()?;
    let proc = proc.as_fd();
    let watchers = events::Watchers::new(proc, made)?;
    let mappings = mappings::before(proc, &subjects)?;
    entries::probe(&subjects, &mut outcomes);
    locks::probe(proc, &subjects, &mut outcomes)?;
    written::probe(&subjects, top, &mut outcomes)?;
    names::probe(&subjects, top, &mut outcomes)?;
    mappings.probe(proc, &mut outcomes);
    pipes::write_all(&subjects, &mut outcomes);
    watchers.probe(&mut outcomes);
    pipes::read_all(proc, &subjects, &mut outcomes);
    events::signals(proc, &subjects, &mut outcomes);
    if mounts {
        mount_api::probe(proc, &subjects, top, &mut outcomes)?;
    }
    let watches = if mounts { release::Watches::new(made, &subjects)? } else { None };
    // A copy of a descriptor would keep a mount busy.
    drop(subjects);
    match mounts {
        true => busy::probe(top, &mut outcomes)?,
        false => release::let_go(made)?,
    }
    if let Some(watches) = watches {
        watches.release(made, top, &mut outcomes)?;
    }
    Ok(outcomes.all)
}

/// Descriptors, mappings and the working directory, without what is on a filesystem of the kernel.
fn subjects(made: &[Made]) -> io::Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    let cwd = Made { name: "cwd".to_owned(), object: Object::Cwd };
    let own = made.iter().filter(|made| made.object != Object::Cwd).chain([&cwd]);
    for Made { name, object } in own {
        let fd = match object {
            Object::Fd(number) => Some(sys::copy_of(*number)?),
            Object::Cwd => Some(open(".", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?),
            Object::Map(_) => None,
            Object::InFlight { .. } | Object::Root | Object::Exe => continue,
        };
        if fd.as_ref().is_some_and(|fd| is_kernel_filesystem(fd.as_fd())) {
            continue;
        }
        let kind = fd.as_ref().map(|fd| status(fd.as_fd())).transpose()?.map(|status| status.kind);
        subjects.push(Subject { name: name.clone(), object: *object, fd, kind });
    }
    Ok(subjects)
}

/// The file of a descriptor once more. It fails instead of waiting for a lease to be given up
/// (fcntl(2)), or for the other end of a pipe.
fn again(proc: BorrowedFd<'_>, fd: BorrowedFd<'_>, flags: OFlag) -> io::Result<OwnedFd> {
    let flags = flags | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    Ok(openat(proc, format!("self/fd/{}", fd.as_raw_fd()).as_str(), flags, Mode::empty())?)
}

/// A list for people: the first of them, and how many more there are.
fn list(all: &[impl Display]) -> String {
    const SHOWN: usize = 20;
    let shown: Vec<String> = all.iter().take(SHOWN).map(ToString::to_string).collect();
    match all.len().checked_sub(SHOWN) {
        Some(more @ 1..) => format!("{} and {more} more", shown.join(", ")),
        _ if all.is_empty() => "(none)".to_owned(),
        _ => shown.join(", "),
    }
}
