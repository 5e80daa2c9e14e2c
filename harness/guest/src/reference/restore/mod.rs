//! Restore: from a checkpoint to the same objects in this process, which must be a fresh one in the
//! kept mount namespace.
//!
//! - [`mounts`]: detached mounts are made again, visible ones found
//! - `names`: names that are gone are put back for the moment of the open
//! - `open`: files are opened, on the right mount, with the right flags
//! - `watches`: instances of epoll, inotify and fanotify
//! - `flight`: sockets, and descriptors in their queues
//! - `processes`: the other processes
//! - `inode`: files that ended with the process are made again
//! - `lacks`: what an engine fails at that has not learnt everything
//!
//! The order is: mounts, files (each for everything that has it), then the other processes are
//! forked off. In each process descriptors get their numbers, mappings their addresses, locks are
//! taken, and last of all root and working directory change. Everything that is opened on the way
//! stands at high numbers and is closed at the end.

mod flight;
mod inode;
mod lacks;
pub mod mounts;
mod names;
mod open;
mod processes;
mod watches;
mod wrong;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::fchdir;
use protocol::Fault;
use protocol::message::DetachMethod;
use scenarios::Bytes;

use super::checkpoint::{
    Checkpoint, DescriptionImage, DescriptorImage, LockImage, LockKind, MappingImage, ProcessImage,
};
use super::private_mount_ns::own_proc;
use crate::sys::{self, MappingRequest, set_apart};
use mounts::RestoreContext;
use processes::Processes;

/// How to restore.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Options {
    /// How detached mounts are made.
    pub way: DetachMethod,
    /// The mistake to make.
    pub fault: Option<Fault>,
}

/// What could not be restored, and why.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {error}")]
pub struct Failure {
    /// The object or the step.
    pub what: String,
    /// The cause.
    pub error: io::Error,
}

/// For `map_err`: names the step.
pub(super) fn at<E: Into<io::Error>>(what: impl fmt::Display) -> impl FnOnce(E) -> Failure {
    move |error| Failure { what: what.to_string(), error: error.into() }
}

/// A file that is open for something.
pub(super) struct Opened {
    /// For the descriptions, in their order.
    pub(super) descriptions: Vec<Option<OwnedFd>>,
    /// For the processes, in their order.
    pub(super) processes: Vec<OpenedFor>,
    /// Held until all is open: both ends of named pipes.
    pub(super) held: Vec<OwnedFd>,
}

/// What is open for one process alone.
pub(super) struct OpenedFor {
    /// For the mappings, in their order.
    pub(super) mappings: Vec<Option<OwnedFd>>,
    /// For the working directory.
    pub(super) cwd: Option<OwnedFd>,
    /// For the root directory.
    pub(super) root: Option<OwnedFd>,
}

impl OpenedFor {
    fn nothing(process: &ProcessImage) -> Self {
        OpenedFor { mappings: process.mappings.iter().map(|_| None).collect(), cwd: None, root: None }
    }
}

/// Gives this process the objects of the checkpoint's first one, and makes the others from it by
/// fork(2). It comes back in each of them; the index of the process that this one is now.
///
/// # Errors
/// The first thing that could not be done. The process is of no use then, but nothing is left
/// behind on filesystems.
pub fn run(checkpoint: &Checkpoint, options: Options) -> Result<usize, Failure> {
    let limit = MoreDescriptors::allow().map_err(at("the limit of descriptors"))?;
    let proc = own_proc().and_then(set_apart).map_err(at("a procfs"))?;
    let context = RestoreContext::build(checkpoint, options, proc.as_fd())?;
    if let Some(Fault::Lacks(lack)) = options.fault {
        lacks::check(&context, lack)?;
    }
    let mut opened = open_all(&context)?;
    flight::pairs(checkpoint, &mut opened)?;
    watches::make(&context, &mut opened)?;
    let Opened { descriptions, mut processes, held } = opened;
    flight::fill(checkpoint, options, &descriptions)?;
    settle_all(checkpoint, options, &descriptions)?;
    let all = Processes::fork(checkpoint)?;
    let done = || -> Result<(), Failure> {
        let process = &checkpoint.processes[all.index];
        let OpenedFor { mappings, cwd, root } = processes.swap_remove(all.index);
        drop(processes);
        let given = number(process, options, descriptions)?;
        drop(held);
        for (mapping, fd) in process.mappings.iter().zip(mappings) {
            let fd = fd.ok_or_else(|| missing("a mapping"))?;
            map(mapping, fd.as_fd(), options).map_err(at(format!("mapping at {:x}", mapping.start)))?;
        }
        drop(context);
        drop(limit);
        lock(checkpoint, options, &given)?;
        watches::fill(checkpoint, options, &given)?;
        // They are the process's from now on.
        for fd in given.into_iter().flatten() {
            let _ = fd.into_raw_fd();
        }
        move_to(root.as_ref(), cwd.as_ref()).map_err(at("root and working directory"))?;
        wrong::process(options.fault).map_err(at("a mistake"))
    };
    let done = done();
    all.conclude(done)
}

/// Opens the files of a checkpoint that has descriptions only, in their order, each as its flags
/// say. `proc` is a procfs in which this process is, which must have one thread.
///
/// # Errors
/// The first thing that could not be done; nothing is left behind on filesystems.
pub fn files(checkpoint: &Checkpoint, proc: BorrowedFd<'_>) -> Result<Vec<OwnedFd>, Failure> {
    let _limit = MoreDescriptors::allow().map_err(at("the limit of descriptors"))?;
    let opened = open_all(&RestoreContext::build(checkpoint, Options::default(), proc)?)?;
    opened.descriptions.into_iter().map(|fd| fd.ok_or_else(|| missing("a description"))).collect()
}

/// Everything that has a path, or had one.
fn open_all(context: &RestoreContext<'_>) -> Result<Opened, Failure> {
    let checkpoint = context.checkpoint;
    let mut opened = Opened {
        descriptions: checkpoint.descriptions.iter().map(|_| None).collect(),
        processes: checkpoint.processes.iter().map(OpenedFor::nothing).collect(),
        held: Vec::new(),
    };
    names::with_removed(context, &mut opened)?;
    for (index, file) in checkpoint.files.iter().enumerate() {
        if matches!(file.name, super::checkpoint::NameImage::Live { .. }) {
            context.open_live(index, &mut opened)?;
        }
    }
    Ok(opened)
}

/// A higher limit of open descriptors, as long as it lives: the mounts of many programs are open
/// all at once.
struct MoreDescriptors(u64, u64);

impl MoreDescriptors {
    fn allow() -> io::Result<Self> {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        Ok(MoreDescriptors(soft, hard))
    }
}

impl Drop for MoreDescriptors {
    fn drop(&mut self) {
        // Lowering a limit is always allowed.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, self.0, self.1);
    }
}

fn missing(what: &str) -> Failure {
    Failure { what: what.to_owned(), error: io::Error::other("its file was not opened") }
}

/// The descriptors of a process get their numbers. Those of each description.
fn number(
    process: &ProcessImage,
    options: Options,
    descriptions: Vec<Option<OwnedFd>>,
) -> Result<Vec<Vec<OwnedFd>>, Failure> {
    let shift = i32::from(options.fault == Some(Fault::NumberShifted));
    let mut given = Vec::new();
    for (index, fd) in descriptions.into_iter().enumerate() {
        let fd = fd.ok_or_else(|| missing("a description"))?;
        let own = process.descriptors.iter().filter(|descriptor| descriptor.description == index);
        let give = |descriptor: &DescriptorImage| {
            let cloexec = descriptor.cloexec != (options.fault == Some(Fault::CloexecFlipped));
            let number = descriptor.number + shift;
            give_number(fd.as_fd(), number, cloexec).map_err(at(format!("fd {number}")))
        };
        given.push(own.map(give).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(given)
}

/// The locks that belong to descriptions.
fn settle_all(checkpoint: &Checkpoint, options: Options, descriptions: &[Option<OwnedFd>]) -> Result<(), Failure> {
    for (index, (description, fd)) in checkpoint.descriptions.iter().zip(descriptions).enumerate() {
        let fd = fd.as_ref().ok_or_else(|| missing("a description"))?;
        let mut all = checkpoint.processes.iter().flat_map(|process| &process.descriptors);
        let number = all.find(|descriptor| descriptor.description == index);
        let label = || match number {
            Some(descriptor) => format!("the state of fd {}", descriptor.number),
            None => "the state of a descriptor in flight".to_owned(),
        };
        settle(description, fd.as_fd(), options).map_err(|error| at::<io::Error>(label())(error))?;
    }
    Ok(())
}

/// The locks that go when the process closes any descriptor of the file (fcntl(2)): all of ours are
/// closed by now.
fn lock(checkpoint: &Checkpoint, options: Options, given: &[Vec<OwnedFd>]) -> Result<(), Failure> {
    if options.fault == Some(Fault::LockLost) {
        return Ok(());
    }
    for (description, descriptors) in checkpoint.descriptions.iter().zip(given) {
        let Some(fd) = descriptors.first() else { continue };
        for lock in description.locks.iter().filter(|lock| lock.kind == LockKind::Posix) {
            take(lock, fd.as_fd(), options).map_err(at(format!("the lock of fd {}", fd.as_raw_fd())))?;
        }
    }
    Ok(())
}

/// A copy of a descriptor under a number that is free: the process is fresh, and those of ours are
/// higher.
fn give_number(fd: BorrowedFd<'_>, number: RawFd, cloexec: bool) -> io::Result<OwnedFd> {
    let given = sys::duplicate(fd, number, cloexec)?;
    if given.as_raw_fd() == number { Ok(given) } else { Err(io::Error::from_raw_os_error(libc::EBUSY)) }
}

/// The locks that belong to the description, and its signals. This is the first process, which is
/// the only one that can be their owner.
fn settle(description: &DescriptionImage, fd: BorrowedFd<'_>, options: Options) -> io::Result<()> {
    if description.flags & libc::O_PATH != 0 {
        return Ok(());
    }
    let locks = description.locks.iter().filter(|lock| lock.kind != LockKind::Posix);
    locks.filter(|_| options.fault != Some(Fault::LockLost)).try_for_each(|lock| take(lock, fd, options))?;
    if description.owner == Some(0) && options.fault != Some(Fault::OwnerLost) {
        match options.fault {
            Some(Fault::OwnerPowerless) => wrong::own_signals(fd)?,
            Some(Fault::OwnerThread) => sys::own_signals_as_thread(fd)?,
            _ => sys::own_signals(fd)?,
        }
    }
    if description.signal != 0 && options.fault != Some(Fault::SignalLost) {
        sys::set_signal(fd, description.signal)?;
    }
    Ok(())
}

fn take(lock: &LockImage, fd: BorrowedFd<'_>, options: Options) -> io::Result<()> {
    let is_widened = options.fault == Some(Fault::LockWidened);
    let (start, length) = if is_widened { (0, 0) } else { (lock.start, lock.length) };
    let kind = if lock.write { libc::F_WRLCK } else { libc::F_RDLCK };
    let record = libc::flock {
        l_type: libc::c_short::try_from(kind).map_err(io::Error::other)?,
        l_whence: 0,
        l_start: start,
        l_len: length,
        l_pid: 0,
    };
    match lock.kind {
        LockKind::Posix => fcntl(fd, FcntlArg::F_SETLK(&record)).map(drop)?,
        LockKind::Ofd => fcntl(fd, FcntlArg::F_OFD_SETLK(&record)).map(drop)?,
        LockKind::Flock => sys::flock(fd, lock.write)?,
        LockKind::Lease => sys::set_lease(fd, lock.write)?,
    }
    Ok(())
}

fn map(mapping: &MappingImage, fd: BorrowedFd<'_>, options: Options) -> io::Result<()> {
    let stale = wrong::memory(options.fault, mapping, fd)?;
    let request = MappingRequest {
        address: mapping.start,
        length: mapping.length,
        protection: mapping.protection,
        shared: mapping.shared != (options.fault == Some(Fault::MapPrivateShared)),
        offset: mapping.offset,
        memory: stale.as_ref().or(mapping.memory.as_ref()).map(Bytes::as_slice),
    };
    sys::map_at(fd, request)
}

fn move_to(root: Option<&OwnedFd>, cwd: Option<&OwnedFd>) -> io::Result<()> {
    if let Some(root) = root {
        fchdir(root)?;
        nix::unistd::chroot(".")?;
    }
    if let Some(cwd) = cwd {
        fchdir(cwd)?;
    }
    Ok(())
}

/// The number of a descriptor, for a magic link.
pub(super) fn magic(fd: &OwnedFd) -> String {
    format!("self/fd/{}", fd.as_raw_fd())
}
