//! What is reported: by instances of epoll(7), inotify(7) and fanotify(7) about what the other
//! probes did, and by signals to the owner of a descriptor (fcntl(2), `F_SETOWN`).
//!
//! Events that wait before the probes are taken out and not compared: they are of the program and
//! of the looks, and no interface brings them back.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use nix::sys::inotify::AddWatchFlags;
use nix::unistd::{read, write};
use protocol::observation::{FileKind, Object};
use protocol::probe::ProbeGroup::Events;

use super::{Outcomes, Subject, again, list, text};
use crate::observe::{Made, link_text};
use crate::sys;

/// So many bytes of events at a time.
const READ_SIZE: usize = 64 << 10;
/// More sets than a program makes entries.
const POLLED: usize = 64;

/// The instances of a process.
pub(super) struct Watchers(Vec<Watcher>);

struct Watcher {
    name: String,
    fd: OwnedFd,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Epoll,
    Inotify,
    Fanotify,
}

impl Watchers {
    /// Finds them and takes out the events that wait.
    pub(super) fn new(proc: BorrowedFd<'_>, made: &[Made]) -> io::Result<Self> {
        let mut all = Vec::new();
        for Made { name, object } in made {
            let Object::Fd(number) = *object else { continue };
            let kind = match link_text(proc, &format!("self/fd/{number}"))?.as_slice() {
                b"anon_inode:[eventpoll]" => Kind::Epoll,
                b"anon_inode:inotify" => Kind::Inotify,
                b"anon_inode:[fanotify]" => Kind::Fanotify,
                _ => continue,
            };
            let fd = sys::copy_of(number)?;
            if kind != Kind::Epoll {
                waiting(fd.as_fd())?;
            }
            all.push(Watcher { name: name.clone(), fd, kind });
        }
        Ok(Watchers(all))
    }

    /// What they report of what was done since.
    pub(super) fn probe(self, outcomes: &mut Outcomes) {
        for Watcher { name, fd, kind } in self.0 {
            let events = match kind {
                Kind::Epoll => ready(fd),
                Kind::Inotify => waiting(fd.as_fd()).map(|bytes| inotify(&bytes)),
                Kind::Fanotify => waiting(fd.as_fd()).map(|bytes| fanotify(&bytes)),
            };
            outcomes.add(Events, &name, "events of what was done", text(events, |events| list(&events)));
        }
    }
}

/// Every event that waits.
fn waiting(fd: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let (mut all, mut bytes) = (Vec::new(), vec![0; READ_SIZE]);
    while poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], PollTimeout::ZERO)? > 0 {
        let count = read(fd, &mut bytes)?;
        all.extend_from_slice(&bytes[..count]);
    }
    Ok(all)
}

/// What is ready in a set, by what the program called it. The order is the kernel's.
fn ready(fd: OwnedFd) -> io::Result<Vec<String>> {
    let mut events = [EpollEvent::empty(); POLLED];
    let count = Epoll(fd).wait(&mut events, PollTimeout::ZERO)?;
    let mut all: Vec<String> =
        events[..count].iter().map(|event| format!("{}: {}", event.data(), poll_words(event.events()))).collect();
    all.sort();
    Ok(all)
}

fn poll_words(events: EpollFlags) -> String {
    events.iter_names().map(|(name, _)| name).collect::<Vec<_>>().join(" ")
}

/// `struct inotify_event`: watch, mask, cookie, length of the name (inotify(7)). The cookie is a
/// number of the kernel's.
fn inotify(mut bytes: &[u8]) -> Vec<String> {
    const HEAD: usize = 16;
    let mut all = Vec::new();
    while bytes.len() >= HEAD {
        let length = HEAD + number(bytes, 12) as usize;
        let flags = AddWatchFlags::from_bits_retain(number(bytes, 4));
        let words: Vec<&str> = flags.iter_names().map(|(name, _)| name).collect();
        all.push(format!("watch {}: {}", number(bytes, 0), words.join(" ")));
        bytes = bytes.get(length..).unwrap_or_default();
    }
    all
}

/// `struct fanotify_event_metadata`: length, version, mask (fanotify(7)). A program's group
/// reports files by handles, which are numbers of the kernel's.
fn fanotify(mut bytes: &[u8]) -> Vec<String> {
    const HEAD: usize = 24;
    let mut all = Vec::new();
    while bytes.len() >= HEAD {
        let length = (number(bytes, 0) as usize).max(HEAD);
        all.push(format!("mask {:x}", number(bytes, 8)));
        bytes = bytes.get(length..).unwrap_or_default();
    }
    all
}

/// 32 bits of an event.
fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

/// Does something with each object whose signals this process gets, so that one must come: breaks a
/// lease of a file, writes into a pipe.
pub(super) fn signals(proc: BorrowedFd<'_>, subjects: &[Subject], outcomes: &mut Outcomes) {
    for subject in subjects {
        let file = subject.fd_of(FileKind::File);
        let Some(fd) = file.or_else(|| subject.fd_of(FileKind::Fifo)) else { continue };
        let own = std::process::id().cast_signed();
        if !sys::signal_owner(fd.as_raw_fd()).is_ok_and(|owner| owner == own) {
            continue;
        }
        let came = signal(proc, fd, file.is_some());
        let what = if file.is_some() { "signal of a broken lease" } else { "signal of bytes in the pipe" };
        let word = |came| if came { "it came" } else { "none" };
        outcomes.add(Events, &subject.name, what, text(came, |came| word(came).to_owned()));
    }
}

fn signal(proc: BorrowedFd<'_>, fd: BorrowedFd<'_>, is_file: bool) -> io::Result<bool> {
    let signal = match sys::signal_of(fd.as_raw_fd())? {
        0 => libc::SIGIO,
        signal => signal,
    };
    sys::block_signal(signal)?;
    while sys::take_signal(signal)? {}
    if is_file {
        // A write lease is given only where the file is open once (fcntl(2)).
        let mode = match sys::set_lease(fd, true) {
            Ok(()) => OFlag::O_RDONLY,
            Err(_) => sys::set_lease(fd, false).map(|()| OFlag::O_WRONLY)?,
        };
        let broken = again(proc, fd, mode).map(drop);
        let came = sys::take_signal(signal);
        sys::end_lease(fd)?;
        return match broken {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => came,
            Err(error) => Err(error),
            Ok(()) => Err(io::Error::other("the lease is not in the way")),
        };
    }
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_ASYNC))?;
    write(again(proc, fd, OFlag::O_RDWR)?, b"signal\n")?;
    sys::take_signal(signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read() {
        let event = |numbers: [u32; 4], name: &[u8]| {
            let head: Vec<u8> = numbers.iter().flat_map(|number| number.to_ne_bytes()).collect();
            [head.as_slice(), name].concat()
        };
        let bytes = [event([1, 2, 0, 4], b"f\0\0\0"), event([2, 0x4000_0004, 0, 0], b"")].concat();
        assert_eq!(inotify(&bytes), ["watch 1: IN_MODIFY", "watch 2: IN_ATTRIB IN_ISDIR"]);
        assert_eq!(inotify(&bytes[..19]), ["watch 1: IN_MODIFY"]);
        let bytes = [event([28, 3, 8, 0], &[0; 12]), event([24, 3, 0x20, 0], &[0; 8])].concat();
        assert_eq!(fanotify(&bytes), ["mask 8", "mask 20"]);
    }
}
