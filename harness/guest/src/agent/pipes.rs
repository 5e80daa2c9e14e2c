//! The two pipes between the agent and a process under test.
//!
//! The agent keeps all four ends: a restored process gets the same ones again. That a process is
//! gone is therefore known from its pidfd, never from the end of a pipe.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;
use protocol::wire;

use crate::executor::{Answer, Ask};

/// A process that has not answered by then may be one that cannot.
const FIRST_WAIT: Duration = Duration::from_secs(2);

/// Why the answer is missing.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error("the process is gone: {0}")]
    Gone(String),
    #[error("no answer within {:.1} s, the limit of an action", .0.as_secs_f64())]
    TimedOut(Duration),
    #[error("blocked: it has slept through {:.1} s, the limit of a step", .0.as_secs_f64())]
    Asleep(Duration),
    #[error("the process is stopped (SIGSTOP, or a tracer that is gone) and does not go on")]
    Stopped,
    #[error("{0}")]
    Wire(#[from] wire::WireError),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// The pipes of one process.
pub(super) struct Pipes {
    commands: File,
    answers: File,
    /// The end that the process has as its standard input.
    pub(super) input: OwnedFd,
    /// The end that it has as its standard output.
    pub(super) output: OwnedFd,
    /// The start of an answer that is not complete.
    partial: Vec<u8>,
}

impl Pipes {
    pub(super) fn new() -> io::Result<Self> {
        let (input, commands) = pipe2(OFlag::O_CLOEXEC)?;
        let (answers, output) = pipe2(OFlag::O_CLOEXEC)?;
        Ok(Pipes { commands: commands.into(), answers: answers.into(), input, output, partial: Vec::new() })
    }

    /// The process goes on as another one: what it was about to say is lost.
    pub(super) fn forget(&mut self) {
        self.partial.clear();
    }

    /// Asks and waits for the answer, or for the end of the process with this number and pidfd. One
    /// that is stopped is not waited for.
    pub(super) fn ask(
        &mut self,
        (pid, pidfd): (i32, BorrowedFd<'_>),
        ask: &Ask,
        timeout: Duration,
    ) -> Result<Answer, NoAnswer> {
        let begin = Instant::now();
        self.send(ask)?;
        if let Some(answer) = self.answer(pidfd, begin + timeout.min(FIRST_WAIT))? {
            return Ok(answer);
        }
        if is_stopped(pid) {
            return Err(NoAnswer::Stopped);
        }
        self.answer(pidfd, begin + timeout)?.ok_or(NoAnswer::TimedOut(timeout))
    }

    /// Asks; the answer is waited for later.
    pub(super) fn send(&mut self, ask: &Ask) -> Result<(), NoAnswer> {
        Ok(wire::send(&mut self.commands, ask)?)
    }

    /// Waits for the answer, or for the end of the process with this pidfd; `None` when neither
    /// came before the deadline.
    pub(super) fn answer(&mut self, pidfd: BorrowedFd<'_>, deadline: Instant) -> Result<Option<Answer>, NoAnswer> {
        // An answer may be long: no part of it is searched twice.
        let mut searched = 0;
        loop {
            let newline = self.partial[searched..].iter().position(|&byte| byte == b'\n');
            if let Some(newline) = newline {
                let line: Vec<u8> = self.partial.drain(..=searched + newline).collect();
                return Ok(Some(wire::decode(&line)?));
            }
            searched = self.partial.len();
            let rest = deadline.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return Ok(None);
            }
            let mut polled =
                [PollFd::new(self.answers.as_fd(), PollFlags::POLLIN), PollFd::new(pidfd, PollFlags::POLLIN)];
            poll(&mut polled, PollTimeout::try_from(rest).unwrap_or(PollTimeout::MAX)).map_err(io::Error::from)?;
            let ready = |index: usize| polled[index].any().unwrap_or(false);
            match (ready(0), ready(1)) {
                (true, _) => self.read_some()?,
                (false, true) => return Err(NoAnswer::Gone("it has ended".to_owned())),
                (false, false) => {}
            }
        }
    }

    fn read_some(&mut self) -> Result<(), NoAnswer> {
        let mut buffer = [0; 64 << 10];
        let count = self.answers.read(&mut buffer)?;
        self.partial.extend_from_slice(&buffer[..count]);
        if self.partial.len() > wire::LINE_LIMIT { Err(wire::WireError::TooLong.into()) } else { Ok(()) }
    }
}

/// Whether it is stopped, by a signal or for a tracer, proc_pid_stat(5).
fn is_stopped(pid: i32) -> bool {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    text.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['T', 't']))
}
