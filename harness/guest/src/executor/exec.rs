//! The step `exec`: the executor becomes itself again, from the present mounts, and goes on with
//! the program. What it knows passes over execve(2) as JSON in a memfd, whose number is an
//! argument. The program's descriptors pass over as those of every program do.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsRawFd, RawFd};

use nix::fcntl::AtFlags;
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::{Deserialize, Serialize};

use super::world::{PassedOn, World};
use super::{ENVIRONMENT, ProgramSlot, Rights};
use crate::sys;

/// The executor, from the top directory.
const EXECUTOR: &CStr = c".zdtm/executor";

/// A program that was carried out up to a step.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Suspended {
    /// The program.
    pub(super) slot: ProgramSlot,
    /// What it may do.
    pub(super) rights: Rights,
    /// The index of the next step.
    pub(super) next: usize,
    /// What it made.
    pub(super) made: PassedOn,
}

impl Suspended {
    /// Becomes the executor again. Returns only with what went wrong.
    pub(super) fn exec(mut self, world: &World) -> io::Error {
        let mut go = || -> io::Result<()> {
            // A program can put a file of its own there, and programs are never code.
            if !world.is_executable_of_this(EXECUTOR)? {
                return Err(io::Error::other("another file has the executor's place"));
            }
            let top = sys::hand_over(world.top())?;
            self.made.top = top.as_raw_fd();
            let mut state = File::from(memfd_create("suspended", MFdFlags::MFD_CLOEXEC)?);
            state.write_all(&serde_json::to_vec(&self)?)?;
            state.rewind()?;
            let state = sys::hand_over(&state)?;
            let number = CString::new(state.as_raw_fd().to_string())?;
            let arguments = [EXECUTOR, c"executor", number.as_c_str()];
            nix::unistd::execveat(&top, EXECUTOR, &arguments, &[ENVIRONMENT], AtFlags::empty())?;
            Ok(())
        };
        go().err().unwrap_or_else(|| io::Error::other("exec came back"))
    }

    /// What the executor before execve(2) left in the descriptor with this number.
    pub(super) fn resume(number: &str) -> io::Result<Self> {
        let number: RawFd = number.parse().map_err(io::Error::other)?;
        Ok(serde_json::from_reader(File::from(sys::adopt(number)?))?)
    }
}
