//! What criu's standard input is: nothing, a pipe, a terminal, or not even a descriptor.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use nix::pty::openpty;
use protocol::message::Input;

use crate::sys::{self, set_apart};

/// The standard input of one criu after the other.
#[derive(Default)]
pub(super) struct StandardInput {
    input: Input,
    /// The end that criu gets, and the other one, which keeps it open.
    ends: Option<(OwnedFd, OwnedFd)>,
}

impl StandardInput {
    pub(super) fn new(input: Input) -> io::Result<Self> {
        let ends = match input {
            Input::Null | Input::Closed => None,
            Input::Pipe => Some(nix::unistd::pipe()?),
            Input::Terminal => {
                let ends = openpty(None, None)?;
                Some((ends.slave, ends.master))
            }
        };
        let apart = |(own, other): (OwnedFd, OwnedFd)| Ok::<_, io::Error>((set_apart(own)?, set_apart(other)?));
        Ok(StandardInput { input, ends: ends.map(apart).transpose()? })
    }

    /// Gives it to a command.
    pub(super) fn give(&self, command: &mut Command) -> io::Result<()> {
        match &self.ends {
            Some((own, _)) => command.stdin(File::from(own.try_clone()?)),
            None => command.stdin(Stdio::null()),
        };
        if self.input == Input::Closed {
            sys::start_without_input(command);
        }
        Ok(())
    }
}
