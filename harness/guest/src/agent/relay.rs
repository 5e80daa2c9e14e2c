//! A shell's input and output over the channel to the host: a terminal of its own when the user
//! sits at one, pipes otherwise. One thread, one poll(2): neither side can keep the other from
//! being heard.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{OpenptyResult, Winsize, openpty};
use protocol::message::{Event, Request};
use protocol::shell::{FromShell, Terminal, ToShell, WindowSize};
use protocol::wire::{self, WireError};
use rustix::termios;
use scenarios::Bytes;

use crate::sys;

/// So many bytes of output go into one message.
const CHUNK: usize = 16 << 10;

/// A pipe holds 64 KiB, pipe(7).
const LAST_CHUNKS: usize = (64 << 10) / CHUNK + 1;

/// Ctrl-D: the end of what is typed into a terminal.
const END_OF_INPUT: u8 = 4;

/// Why a shell came to no end.
#[derive(Debug, thiserror::Error)]
pub(super) enum RelayError {
    #[error("{0}")]
    Wire(#[from] WireError),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A shell that runs, and the ends of its streams.
struct Shell {
    process: Child,
    /// Where input goes; `None` when it was closed.
    input: Option<File>,
    /// Where output comes from: of a terminal the same as `input`.
    output: Option<File>,
    errors: Option<File>,
    is_terminal: bool,
    /// Input that the shell has not taken yet.
    pending: Vec<u8>,
    /// This is the end of the input.
    ends: bool,
}

/// Runs `busybox`, which is to become a shell, and says the lines when it is there.
pub(super) fn run(
    busybox: Command,
    terminal: Option<&Terminal>,
    said: Vec<String>,
    from_host: &mut BufReader<File>,
    to_host: &mut File,
) -> Result<(), RelayError> {
    let mut shell = match terminal {
        Some(terminal) => Shell::at_terminal(busybox, terminal)?,
        None => Shell::with_pipes(busybox)?,
    };
    wire::send(to_host, &Event::FromShell(FromShell::Ready(said)))?;
    let pid = i32::try_from(shell.process.id()).map_err(io::Error::other)?;
    let pidfd = sys::pidfd_open(pid)?;
    loop {
        // A message may have come together with the one before.
        while from_host.buffer().contains(&b'\n') {
            shell.hear(from_host)?;
        }
        let ready = shell.wait(from_host.get_ref().as_fd(), pidfd.as_fd())?;
        if ready.host {
            shell.hear(from_host)?;
        }
        shell.write()?;
        shell.speak(to_host)?;
        if ready.ended {
            break;
        }
    }
    // What was written before the end, as much as a pipe holds; programs that go on in the
    // background are not waited for.
    for _ in 0..LAST_CHUNKS {
        shell.speak(to_host)?;
    }
    let status = shell.process.wait()?;
    let status = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(wire::send(to_host, &Event::FromShell(FromShell::Ended(status)))?)
}

/// What a wait ended with.
struct Ready {
    host: bool,
    ended: bool,
}

impl Shell {
    /// `setsid -c` makes the terminal the controlling one of a new session.
    fn at_terminal(mut busybox: Command, terminal: &Terminal) -> io::Result<Self> {
        let WindowSize { rows, columns } = terminal.size;
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let OpenptyResult { master, slave } = openpty(Some(&size), None)?;
        let other = || slave.try_clone().map(Stdio::from);
        busybox.args(["setsid", "-c", "sh"]).env("TERM", &terminal.kind).env("PS1", "guest:\\w# ");
        busybox.stdin(other()?).stdout(other()?).stderr(slave);
        let process = busybox.spawn()?;
        let input = File::from(without_waiting(master)?);
        let output = Some(input.try_clone()?);
        Ok(Self { process, input: Some(input), output, errors: None, is_terminal: true, pending: vec![], ends: false })
    }

    fn with_pipes(mut busybox: Command) -> io::Result<Self> {
        busybox.arg("sh").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = busybox.spawn()?;
        let file = |end: Option<OwnedFd>| end.map(without_waiting).transpose().map(|fd| fd.map(File::from));
        let input = file(process.stdin.take().map(OwnedFd::from))?;
        let output = file(process.stdout.take().map(OwnedFd::from))?;
        let errors = file(process.stderr.take().map(OwnedFd::from))?;
        Ok(Self { process, input, output, errors, is_terminal: false, pending: vec![], ends: false })
    }

    /// Waits for the host, for output, for room for input, and for the shell's end.
    fn wait(&self, host: BorrowedFd<'_>, pidfd: BorrowedFd<'_>) -> io::Result<Ready> {
        let mut polled = vec![PollFd::new(host, PollFlags::POLLIN), PollFd::new(pidfd, PollFlags::POLLIN)];
        let outputs = self.output.iter().chain(&self.errors);
        polled.extend(outputs.map(|output| PollFd::new(output.as_fd(), PollFlags::POLLIN)));
        let waiting = self.input.iter().filter(|_| !self.pending.is_empty());
        polled.extend(waiting.map(|input| PollFd::new(input.as_fd(), PollFlags::POLLOUT)));
        loop {
            match poll(&mut polled, PollTimeout::NONE) {
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => break,
            }
        }
        let any = |index: usize| polled[index].any().unwrap_or(false);
        Ok(Ready { host: any(0), ended: any(1) })
    }

    /// Takes one message of the host.
    fn hear(&mut self, from_host: &mut BufReader<File>) -> Result<(), RelayError> {
        match wire::receive(from_host)? {
            Request::ToShell(ToShell::Input(bytes)) => self.pending.extend(bytes.0),
            Request::ToShell(ToShell::End) if self.is_terminal => self.pending.push(END_OF_INPUT),
            Request::ToShell(ToShell::End) => self.ends = true,
            Request::ToShell(ToShell::Resize(size)) => {
                if let Some(terminal) = self.input.iter().find(|_| self.is_terminal) {
                    let (ws_row, ws_col) = (size.rows, size.columns);
                    let size = termios::Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 };
                    termios::tcsetwinsize(terminal, size).map_err(io::Error::from)?;
                }
            }
            Request::Shutdown => return Err(WireError::Closed.into()),
            // The host sends no other request while a shell runs.
            _ => {}
        }
        Ok(())
    }

    /// Gives the shell what it takes of the input.
    fn write(&mut self) -> io::Result<()> {
        while let Some(input) = self.input.as_mut().filter(|_| !self.pending.is_empty()) {
            match input.write(&self.pending) {
                Ok(count) => _ = self.pending.drain(..count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // It does not read any more.
                Err(_) => self.input = None,
            }
        }
        if self.ends {
            self.input = None;
        }
        Ok(())
    }

    /// Tells the host some of the output that is there: a shell that never stops talking must still
    /// be heard.
    fn speak(&mut self, to_host: &mut File) -> Result<(), RelayError> {
        type Message = fn(Bytes) -> FromShell;
        let streams: [(_, Message); 2] = [(&mut self.output, FromShell::Output), (&mut self.errors, FromShell::Errors)];
        for (stream, message) in streams {
            let Some(output) = stream else { continue };
            let mut chunk = vec![0; CHUNK];
            match output.read(&mut chunk) {
                Ok(count) if count > 0 => {
                    chunk.truncate(count);
                    wire::send(to_host, &Event::FromShell(message(Bytes(chunk))))?;
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                // The end. For a terminal that no process has open any more it is EIO.
                Ok(_) | Err(_) => *stream = None,
            }
        }
        Ok(())
    }
}

fn without_waiting(fd: OwnedFd) -> io::Result<OwnedFd> {
    fcntl(&fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(fd)
}
