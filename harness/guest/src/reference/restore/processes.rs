//! The processes of a checkpoint, made from the first one when everything is open there: what two
//! of them share, they share by fork(2). Each tells the first one how it went.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use super::super::checkpoint::Checkpoint;
use super::{Failure, at};
use crate::executor::FIRST_PIPE;
use crate::sys::{self, set_apart};

/// What a process says that has its objects.
const DONE: &str = "done";

/// The processes, as one of them sees them.
pub(super) struct Processes {
    /// Which of the checkpoint's this one is.
    pub(super) index: usize,
    /// How many others there are.
    others: usize,
    /// Where the others say how it went: the reading end in the first one.
    report: Option<File>,
}

impl Processes {
    /// Makes the other processes. It comes back in each of them.
    pub(super) fn fork(checkpoint: &Checkpoint) -> Result<Self, Failure> {
        let count = checkpoint.processes.len() - 1;
        let others = checkpoint.processes[1..].iter().filter(|image| image.ended.is_none()).count();
        if count == 0 {
            return Ok(Processes { index: 0, others, report: None });
        }
        let report_pipe = || {
            let (reading, writing) = pipe2(OFlag::O_CLOEXEC)?;
            Ok::<_, io::Error>((set_apart(reading)?, set_apart(writing)?))
        };
        let (reading, writing) = report_pipe().map_err(at("a pipe"))?;
        let given = (FIRST_PIPE..).take(2 * count).map(sys::adopt);
        let pipes: Vec<OwnedFd> = given.collect::<io::Result<_>>().map_err(at("the pipes of the processes"))?;
        let mut index = 0;
        for (child, image) in checkpoint.processes.iter().enumerate().skip(1) {
            // Its parent may have been forked off in this very loop.
            if image.parent != index {
                continue;
            }
            if image.ended.is_some_and(|status| status & 0xff != 0) {
                let error = io::Error::other("it was ended by a signal, which this engine cannot repeat");
                return Err(Failure { what: format!("process {}", image.number), error });
            }
            let forked = sys::fork_as(image.number).and_then(|pid| {
                if let Some(status) = image.ended {
                    // The low byte of what waitpid(2) gives is a signal.
                    return if pid == 0 { std::process::exit(status >> 8) } else { sys::wait_for_zombie(pid) };
                }
                if pid == 0 {
                    index = child;
                    nix::unistd::dup2_stdin(&pipes[2 * (child - 1)])?;
                    nix::unistd::dup2_stdout(&pipes[2 * (child - 1) + 1])?;
                    nix::unistd::dup2_stderr(&pipes[2 * (child - 1) + 1])?;
                }
                Ok(())
            });
            if let Err(error) = forked {
                let failure = Failure { what: format!("process {}", image.number), error };
                if index > 0 {
                    give_up(writing.into(), &failure);
                }
                return Err(failure);
            }
        }
        let report = if index == 0 { reading } else { writing };
        Ok(Processes { index, others, report: Some(report.into()) })
    }

    /// Says how it went, or in the first process hears it of all others. Which process this is.
    pub(super) fn conclude(self, done: Result<(), Failure>) -> Result<usize, Failure> {
        let Some(mut report) = self.report else { return done.map(|()| 0) };
        if self.index > 0 {
            if let Err(failure) = done {
                give_up(report, &failure);
            }
            return match say(&mut report, DONE) {
                Ok(()) => Ok(self.index),
                Err(_) => std::process::exit(1),
            };
        }
        done?;
        // It ends when the last of them has closed its end.
        let mut text = String::new();
        report.read_to_string(&mut text).map_err(at("the other processes"))?;
        if let Some((what, error)) = text.lines().find_map(|line| line.split_once('\t')) {
            return Err(Failure { what: what.to_owned(), error: io::Error::other(error.to_owned()) });
        }
        if text.lines().filter(|line| *line == DONE).count() < self.others {
            let error = io::Error::other("one of them ended before it had its objects");
            return Err(Failure { what: "the other processes".to_owned(), error });
        }
        Ok(0)
    }
}

/// In another process than the first: says what went wrong, and ends.
fn give_up(mut report: File, failure: &Failure) -> ! {
    let _ = say(&mut report, &format!("{}\t{}", failure.what, failure.error));
    std::process::exit(1)
}

/// A line in one piece: the processes have one pipe, and each write(2) to it stays together
/// (pipe(7), up to `PIPE_BUF` bytes).
fn say(report: &mut File, line: &str) -> io::Result<()> {
    report.write_all(format!("{line}\n").as_bytes())
}
