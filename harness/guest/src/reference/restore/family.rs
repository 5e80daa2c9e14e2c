//! The processes of a checkpoint, made from the first one when everything is open there: what two
//! of them share, they share by fork(2). Each tells the first one how it went.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use super::super::checkpoint::Checkpoint;
use super::Failure;
use crate::executor::FIRST_PIPE;
use crate::sys::{self, set_apart};

/// One of the processes.
pub(super) struct Family {
    /// Which, among those of the checkpoint.
    pub(super) index: usize,
    /// Where the others say how it went: the reading end in the first one.
    report: Option<File>,
}

impl Family {
    /// Makes the other processes. It comes back in each of them.
    pub(super) fn fork(checkpoint: &Checkpoint) -> io::Result<Self> {
        if checkpoint.processes.len() == 1 {
            return Ok(Family { index: 0, report: None });
        }
        let (reading, writing) = pipe2(OFlag::O_CLOEXEC)?;
        let (reading, writing) = (set_apart(reading)?, set_apart(writing)?);
        let numbers = (FIRST_PIPE..).take(2 * (checkpoint.processes.len() - 1));
        let pipes: Vec<OwnedFd> = numbers.map(sys::adopt).collect::<io::Result<_>>()?;
        let mut index = 0;
        for (child, image) in checkpoint.processes.iter().enumerate().skip(1) {
            // Its parent may have been forked off in this very loop.
            if image.parent == index && sys::fork_as(image.number)? == 0 {
                index = child;
                nix::unistd::dup2_stdin(&pipes[2 * (child - 1)])?;
                nix::unistd::dup2_stdout(&pipes[2 * (child - 1) + 1])?;
                nix::unistd::dup2_stderr(&pipes[2 * (child - 1) + 1])?;
            }
        }
        let report = if index == 0 { reading } else { writing };
        Ok(Family { index, report: Some(report.into()) })
    }

    /// Says how it went, or in the first process hears it of all others.
    pub(super) fn conclude(self, done: Result<(), Failure>) -> Result<usize, Failure> {
        let Some(mut report) = self.report else { return done.map(|()| 0) };
        if self.index > 0 {
            let text = done.as_ref().err().map_or_else(String::new, |failure| format!("{failure}\n"));
            let written = report.write_all(text.as_bytes());
            if done.is_err() || written.is_err() {
                std::process::exit(1);
            }
            return Ok(self.index);
        }
        done?;
        // It ends when the last of them has closed its end.
        let mut text = String::new();
        let read = report.read_to_string(&mut text);
        match (read, text.lines().next()) {
            (Ok(_), None) => Ok(0),
            (Ok(_), Some(line)) => {
                Err(Failure { what: "another process".to_owned(), error: io::Error::other(line.to_owned()) })
            }
            (Err(error), _) => Err(Failure { what: "the other processes".to_owned(), error }),
        }
    }
}
