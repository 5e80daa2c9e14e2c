//! The user's terminal while a shell in a VM has it: every key goes there, Ctrl-C too, and it is
//! put back whatever happens.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use protocol::shell::{Terminal, WindowSize};

use crate::process::interrupt;

/// What the shell must know of it.
pub(super) fn describe() -> Terminal {
    Terminal { kind: std::env::var("TERM").unwrap_or_else(|_| "linux".to_owned()), size: size() }
}

/// The window's size now.
pub(super) fn size() -> WindowSize {
    let (rows, columns) = console::Term::stdout().size();
    WindowSize { rows, columns }
}

/// A terminal that interprets nothing. Dropping it puts it back; so does the second signal that
/// ends this process.
pub(super) struct Raw {
    before: Termios,
}

impl Raw {
    pub(super) fn new() -> io::Result<Self> {
        let stdin = io::stdin();
        let before = tcgetattr(&stdin)?;
        interrupt::put_back_terminal(before.clone().into());
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(&stdin, SetArg::TCSADRAIN, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // The error has no receiver any more.
        let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.before);
    }
}

/// Changes of the window's size, SIGWINCH.
pub(super) struct Window {
    signals: SignalFd,
}

impl Window {
    /// Before any thread is started: one that does not block the signal would take it, and ignore
    /// it.
    pub(super) fn watch() -> io::Result<Self> {
        let mut changes = SigSet::empty();
        changes.add(Signal::SIGWINCH);
        changes.thread_block()?;
        Ok(Self { signals: SignalFd::with_flags(&changes, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)? })
    }

    /// Takes the news, so that the next wait waits for others.
    pub(super) fn seen(&self) -> io::Result<()> {
        while self.signals.read_signal()?.is_some() {}
        Ok(())
    }
}

impl AsFd for Window {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }
}
