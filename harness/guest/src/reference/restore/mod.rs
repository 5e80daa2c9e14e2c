//! Restore: from an image to the same objects in this process, which must be a fresh one in the
//! kept mount namespace.
//!
//! - [`mounts`]: detached mounts are made again, visible ones found
//! - `names`: names that are gone are put back for the moment of the open
//! - `open`: files are opened, on the right mount, with the right flags
//! - `flight`: sockets, and descriptors in their queues
//! - `inode`: files that ended with the process are made again
//! - `lacks`: what an engine fails at that has not learnt everything
//!
//! The order is: mounts, files (each for everything that has it), then descriptors get their
//! numbers, mappings their addresses, locks are taken, and last of all root and working directory
//! change. Everything that is opened on the way stands at high numbers and is closed at the end.

mod flight;
mod inode;
mod lacks;
pub mod mounts;
mod names;
mod open;
mod wrong;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{dup2_raw, fchdir};
use protocol::Fault;
use protocol::message::DetachMethod;

use super::image::{DescriptionImage, Image, LockImage, LockKind, MappingImage};
use super::private_mount_ns::own_proc;
use crate::sys::{self, set_apart};
use mounts::RestoreContext;

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
    /// For the mappings, in their order.
    pub(super) mappings: Vec<Option<OwnedFd>>,
    /// For the working directory.
    pub(super) cwd: Option<OwnedFd>,
    /// For the root directory.
    pub(super) root: Option<OwnedFd>,
    /// Held until all is open: both ends of named pipes.
    pub(super) held: Vec<OwnedFd>,
}

/// Gives this process the objects of the image.
///
/// # Errors
/// The first thing that could not be done. The process is of no use then, but nothing is left
/// behind on filesystems.
pub fn run(image: &Image, options: Options) -> Result<(), Failure> {
    let limit = MoreDescriptors::allow().map_err(at("the limit of descriptors"))?;
    let proc = own_proc().and_then(set_apart).map_err(at("a procfs"))?;
    let context = RestoreContext::build(image, options, proc.as_fd())?;
    if let Some(Fault::Lacks(lack)) = options.fault {
        lacks::check(&context, lack)?;
    }
    let mut opened = Opened {
        descriptions: image.descriptions.iter().map(|_| None).collect(),
        mappings: image.mappings.iter().map(|_| None).collect(),
        cwd: None,
        root: None,
        held: Vec::new(),
    };
    names::with_removed(&context, &mut opened)?;
    for (index, file) in image.files.iter().enumerate() {
        if matches!(file.name, super::image::NameImage::Live { .. }) {
            context.open_live(index, &mut opened)?;
        }
    }
    flight::pairs(image, &mut opened)?;
    let Opened { descriptions, mappings, cwd, root, held } = opened;
    flight::fill(image, options, &descriptions)?;
    number(image, options, descriptions)?;
    drop(held);
    for (mapping, fd) in image.mappings.iter().zip(mappings) {
        let fd = fd.ok_or_else(|| missing("a mapping"))?;
        map(mapping, fd.as_fd(), options).map_err(at(format!("mapping at {:x}", mapping.start)))?;
    }
    drop(context);
    drop(limit);
    lock(image, options)?;
    move_to(root.as_ref(), cwd.as_ref()).map_err(at("root and working directory"))?;
    wrong::process(options.fault).map_err(at("a mistake"))
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

/// Descriptors get their numbers, descriptions those locks that are theirs.
fn number(image: &Image, options: Options, descriptions: Vec<Option<OwnedFd>>) -> Result<(), Failure> {
    let shift = i32::from(options.fault == Some(Fault::NumberShifted));
    for (index, (description, fd)) in image.descriptions.iter().zip(descriptions).enumerate() {
        let fd = fd.ok_or_else(|| missing("a description"))?;
        let own = image.descriptors.iter().filter(|descriptor| descriptor.description == index);
        for descriptor in own {
            let cloexec = descriptor.cloexec != (options.fault == Some(Fault::CloexecFlipped));
            let number = descriptor.number + shift;
            give_number(fd.as_fd(), number, cloexec).map_err(at(format!("fd {number}")))?;
        }
        let number = image.descriptors.iter().find(|descriptor| descriptor.description == index);
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
fn lock(image: &Image, options: Options) -> Result<(), Failure> {
    if options.fault == Some(Fault::LockLost) {
        return Ok(());
    }
    let shift = i32::from(options.fault == Some(Fault::NumberShifted));
    for (index, description) in image.descriptions.iter().enumerate() {
        let descriptor = image.descriptors.iter().find(|descriptor| descriptor.description == index);
        let Some(descriptor) = descriptor else { continue };
        // SAFETY: [`number`] gave the description this number.
        let fd = unsafe { BorrowedFd::borrow_raw(descriptor.number + shift) };
        for lock in description.locks.iter().filter(|lock| lock.kind == LockKind::Posix) {
            take(lock, fd).map_err(at(format!("the lock of fd {}", descriptor.number)))?;
        }
    }
    Ok(())
}

fn give_number(fd: BorrowedFd<'_>, number: RawFd, cloexec: bool) -> io::Result<()> {
    // SAFETY: the number is none of ours, which are higher, and none that is in use: the process is
    // fresh.
    let given = unsafe { dup2_raw(fd, number) }?;
    let flags = if cloexec { nix::fcntl::FdFlag::FD_CLOEXEC } else { nix::fcntl::FdFlag::empty() };
    fcntl(&given, FcntlArg::F_SETFD(flags))?;
    // It is the process's from now on.
    std::mem::forget(given);
    Ok(())
}

/// The locks that belong to the description.
fn settle(description: &DescriptionImage, fd: BorrowedFd<'_>, options: Options) -> io::Result<()> {
    if description.flags & libc::O_PATH != 0 {
        return Ok(());
    }
    let locks = description.locks.iter().filter(|lock| lock.kind != LockKind::Posix);
    locks.filter(|_| options.fault != Some(Fault::LockLost)).try_for_each(|lock| take(lock, fd))
}

fn take(lock: &LockImage, fd: BorrowedFd<'_>) -> io::Result<()> {
    let kind = if lock.write { libc::F_WRLCK } else { libc::F_RDLCK };
    let record = libc::flock {
        l_type: libc::c_short::try_from(kind).map_err(io::Error::other)?,
        l_whence: 0,
        l_start: lock.start,
        l_len: lock.length,
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
    let length = usize::try_from(mapping.length).map_err(io::Error::other)?;
    let shared = mapping.shared != (options.fault == Some(Fault::MapPrivateShared));
    sys::map_at(fd, mapping.start, length, mapping.protection, shared, mapping.offset)?;
    let stale = wrong::memory(options.fault, mapping, fd)?;
    if let Some(memory) = stale.as_ref().or(mapping.memory.as_ref()) {
        // SAFETY: mapped right above with this length; the memory is no longer than the file was.
        unsafe { sys::fill_mapping(mapping.start, length, mapping.protection, memory.as_slice()) }?;
    }
    Ok(())
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
