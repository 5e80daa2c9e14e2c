//! Lines over a socket with a deadline on every wait and a limit on every line.
//!
//! A wait that times out loses nothing: the half of a line that has come stays here for the next
//! call. The other end is hostile: it may send anything, at any speed, or nothing.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use super::vigil::{After, Vigil};
use super::wait::{self, Wake};
use crate::process::interrupt;

/// A wait for a socket: to be readable, to be writable.
type Ready = fn(BorrowedFd, Option<BorrowedFd>, Instant) -> io::Result<Wake>;

/// How much is read at once, in bytes.
const CHUNK: usize = 64 << 10;

/// Why no line came, or none could be sent.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The other end is gone.
    #[error("the other side closed the channel")]
    Closed,
    /// The deadline came first.
    #[error("timed out")]
    TimedOut,
    /// SIGINT or SIGTERM came, see [`crate::process::interrupt`].
    #[error("interrupted")]
    Interrupted,
    /// The process at the other end is stopped, see [`Lines::watch`].
    #[error("the process is stopped")]
    Stopped,
    /// A line over the limit, in bytes; the stream is of no more use.
    #[error("a line longer than {0} bytes")]
    TooLong(usize),
    /// The socket failed.
    #[error("the channel failed: {0}")]
    Io(#[from] io::Error),
}

/// A socket that is read and written by lines.
#[derive(Debug)]
pub struct Lines {
    stream: UnixStream,
    buffer: Vec<u8>,
    /// Where the next line starts in the buffer.
    start: usize,
    /// Up to where the buffer holds no newline.
    scanned: usize,
    limit: usize,
    /// The process at the other end, where it is watched.
    watched: Option<u32>,
}

impl Lines {
    /// Lines of at most `limit` bytes, newline included.
    ///
    /// # Errors
    /// The socket cannot be switched to non-blocking.
    pub fn new(stream: UnixStream, limit: usize) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, buffer: Vec::new(), start: 0, scanned: 0, limit, watched: None })
    }

    /// From now on a wait ends, too, when this process is stopped.
    pub fn watch(&mut self, pid: u32) {
        self.watched = Some(pid);
    }

    /// The socket, to be waited for together with others.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// The next line without its newline. Lines that are already here come before any error.
    ///
    /// # Errors
    /// [`LineError`]; after [`LineError::TimedOut`] and [`LineError::Interrupted`] nothing is lost.
    pub fn receive(&mut self, deadline: Instant) -> Result<Vec<u8>, LineError> {
        let mut first = true;
        loop {
            if let Some(line) = self.take_line()? {
                return Ok(line);
            }
            if !first && Instant::now() >= deadline {
                return Err(LineError::TimedOut);
            }
            first = false;
            self.wait(wait::readable, deadline)?;
            self.fill()?;
        }
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// [`LineError`]; a part of the bytes may have gone out, so the stream is of no more use.
    pub fn send(&mut self, mut bytes: &[u8], deadline: Instant) -> Result<(), LineError> {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Err(LineError::Closed),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait(wait::writable, deadline)?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Sends bytes, and with the first of them a copy of a descriptor (unix(7), `SCM_RIGHTS`).
    ///
    /// # Errors
    /// As [`Self::send`]; a socket that is full is one of them, so this is for the short messages
    /// of a conversation.
    pub fn send_with(&mut self, bytes: &[u8], fd: BorrowedFd<'_>, deadline: Instant) -> Result<(), LineError> {
        use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
        let fds = [fd.as_raw_fd()];
        let control = [ControlMessage::ScmRights(&fds)];
        let flags = MsgFlags::MSG_NOSIGNAL;
        let sent = sendmsg::<()>(self.stream.as_raw_fd(), &[IoSlice::new(bytes)], &control, flags, None);
        let sent = sent.map_err(io::Error::from)?;
        self.send(&bytes[sent..], deadline)
    }

    /// Waits until the socket is ready.
    fn wait(&self, ready: Ready, deadline: Instant) -> Result<(), LineError> {
        let mut vigil = Vigil::new(self.watched, deadline);
        loop {
            let end = vigil.slice();
            match ready(self.stream.as_fd(), interrupt::fd(), end)? {
                Wake::Ready => return Ok(()),
                Wake::Interrupted => return Err(LineError::Interrupted),
                Wake::TimedOut => match vigil.over(end) {
                    After::More => {}
                    After::TimedOut => return Err(LineError::TimedOut),
                    After::Stopped => return Err(LineError::Stopped),
                },
            }
        }
    }

    fn take_line(&mut self) -> Result<Option<Vec<u8>>, LineError> {
        let newline = self.buffer[self.scanned..].iter().position(|&byte| byte == b'\n');
        let end = newline.map_or(self.buffer.len(), |at| self.scanned + at + 1);
        self.scanned = end;
        if end - self.start > self.limit || (newline.is_none() && end - self.start == self.limit) {
            return Err(LineError::TooLong(self.limit));
        }
        if newline.is_none() {
            return Ok(None);
        }
        let line = self.buffer[self.start..end - 1].to_vec();
        self.start = end;
        Ok(Some(line))
    }

    fn fill(&mut self) -> Result<(), LineError> {
        self.buffer.drain(..self.start);
        self.scanned -= self.start;
        self.start = 0;
        let length = self.buffer.len();
        self.buffer.resize(length + CHUNK, 0);
        let outcome = self.stream.read(&mut self.buffer[length..]);
        self.buffer.truncate(length + outcome.as_ref().copied().unwrap_or(0));
        match outcome {
            Ok(0) => Err(LineError::Closed),
            Ok(_) => Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(()),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Err(LineError::Closed),
            Err(error) => Err(error.into()),
        }
    }
}
