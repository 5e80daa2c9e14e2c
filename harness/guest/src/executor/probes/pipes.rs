//! Named pipes and sockets: what arrives, and in which order. No look reads from a pipe, which
//! would empty it, and none shows what a socket is connected to.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::os::fd::{BorrowedFd, OwnedFd};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::write;
use protocol::observation::FileKind;
use protocol::probe::ProbeGroup::Pipes;

use super::{Outcomes, Subject, again, done, list, text};
use crate::sys;

/// So many bytes at a time.
const READ_SIZE: usize = 64 << 10;
/// A pipe of the program language holds no more.
const READ_LIMIT: usize = 1 << 20;

/// Writes into each pipe and sends over each socket; what waits in the queue of each socket then.
pub(super) fn write_all(subjects: &[Subject], outcomes: &mut Outcomes) {
    for (index, subject) in subjects.iter().enumerate() {
        let bytes = format!("probe {index}\n");
        if let Some(pipe) = subject.fd_of(FileKind::Fifo) {
            outcomes.add(Pipes, &subject.name, "poll", text(ready(pipe), events_text));
            outcomes.add(Pipes, &subject.name, "write into the pipe", done(write_now(pipe, bytes.as_bytes())));
        } else if let Some(socket) = socket(subject) {
            outcomes.add(Pipes, &subject.name, "send", done(sys::send_descriptors(socket, bytes.as_bytes(), &[])));
        }
    }
    for subject in subjects {
        let Some(socket) = socket(subject) else { continue };
        let queue = sys::peek_queue(socket).map(|queue| {
            let messages = queue.iter().map(|message| scenarios::bytes::escape(&message.bytes));
            list(&messages.collect::<Vec<_>>())
        });
        outcomes.add(Pipes, &subject.name, "messages that wait", text(queue, |queue| queue));
    }
}

/// Reads every pipe to its end, through a description of its own.
pub(super) fn read_all(proc: BorrowedFd<'_>, subjects: &[Subject], outcomes: &mut Outcomes) {
    for subject in subjects {
        let Some(pipe) = subject.fd_of(FileKind::Fifo) else { continue };
        let bytes = again(proc, pipe, OFlag::O_RDONLY).and_then(|pipe| read_now(&pipe));
        outcomes.add(Pipes, &subject.name, "read from the pipe", super::written::content_text(bytes));
    }
}

fn socket(subject: &Subject) -> Option<BorrowedFd<'_>> {
    subject.fd_of(FileKind::Socket).filter(|fd| sys::unix_socket_type(*fd).is_some())
}

/// What poll(2) says at once. `POLLHUP` is for a reader that has seen a writer, and sees none now
/// (fifo(7), `pipe_poll` in fs/pipe.c).
fn ready(fd: BorrowedFd<'_>) -> io::Result<PollFlags> {
    let mut polled = [PollFd::new(fd, PollFlags::POLLIN | PollFlags::POLLOUT)];
    poll(&mut polled, PollTimeout::ZERO)?;
    Ok(polled[0].revents().unwrap_or(PollFlags::empty()))
}

fn events_text(events: PollFlags) -> String {
    let words: Vec<&str> = events.iter_names().map(|(name, _)| name).collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join(" ") }
}

/// Writes, unless that would wait: few bytes go in where poll(2) finds room.
fn write_now(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()> {
    if !ready(fd)?.contains(PollFlags::POLLOUT) {
        return Err(ErrorKind::WouldBlock.into());
    }
    write(fd, bytes)?;
    Ok(())
}

fn read_now(pipe: &OwnedFd) -> io::Result<Vec<u8>> {
    let mut pipe = File::from(pipe.try_clone()?);
    let (mut all, mut bytes) = (Vec::new(), vec![0; READ_SIZE]);
    while all.len() < READ_LIMIT {
        match pipe.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => all.extend_from_slice(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}
