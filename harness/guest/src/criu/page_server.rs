//! Another criu, which takes the memory of a dump over a socket and writes it (criu(8),
//! `page-server`, `--ps-socket`).

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use super::run::{Meanwhile, Run, Started};
use crate::sys;

/// The command, and the name of its log.
pub(super) const NAME: &str = "page-server";
/// The number of the socket, in both.
const NUMBER: i32 = 708;

/// It runs; one dump may use it.
pub(super) struct PageServer {
    started: Started,
    /// The dump's end of the socket.
    socket: OwnedFd,
}

impl PageServer {
    /// Starts it: `command` is a criu without arguments yet.
    pub(super) fn start(mut command: Command, folder: &Path, arguments: Vec<OsString>) -> io::Result<Self> {
        let (own, theirs) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)?;
        let (socket, theirs) = (sys::set_apart(own)?, sys::set_apart(theirs)?);
        command.arg(NAME).args(["--ps-socket", &NUMBER.to_string(), "--images-dir"]).arg(folder).args(arguments);
        sys::inherit(&mut command, &[(&theirs, NUMBER)]);
        let started = Started::new(&mut command, NAME, [folder, folder], Command::spawn)?;
        Ok(PageServer { started, socket })
    }

    /// Has a dump use it.
    pub(super) fn give(&self, dump: &mut Command) {
        dump.args(["--page-server", "--ps-socket", &NUMBER.to_string()]);
        sys::inherit(dump, &[(&self.socket, NUMBER)]);
    }

    /// Its end, which comes with that of the dump.
    pub(super) fn end(self, timeout: Duration) -> io::Result<Run> {
        drop(self.socket);
        self.started.end(Meanwhile::Nothing, timeout)
    }
}
