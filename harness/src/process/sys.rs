//! The harness's raw system calls: all unsafe code of this crate stands here, behind safe
//! functions.
//!
//! Two subjects need it: what a child process must do to itself between fork and exec, and signal
//! handlers.

#![allow(unsafe_code)]

use std::ffi::c_int;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What a child does to itself before it becomes its program.
pub(crate) struct ChildSetup {
    /// Descriptors that the program inherits, under the numbers that they have here.
    pub(crate) inherited: Vec<RawFd>,
    /// The longest file that it may write, in bytes (setrlimit(2), `RLIMIT_FSIZE`); writes beyond
    /// fail with `EFBIG`.
    pub(crate) file_limit_bytes: u64,
}

/// Makes the children of a command die with the thread that spawns them, write no endless files and
/// no core dumps.
///
/// `PR_SET_PDEATHSIG` goes by the parent *thread*, prctl(2): spawn from one that stays.
pub(crate) fn set_up_child(command: &mut Command, setup: ChildSetup) {
    let parent = std::process::id();
    let child = move || {
        check(raw(libc::SYS_prctl, [libc::PR_SET_PDEATHSIG as usize, libc::SIGKILL as usize, 0]))?;
        if raw(libc::SYS_getppid, [0; 3]) != i64::from(parent) {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        for &fd in &setup.inherited {
            check(raw(libc::SYS_fcntl, [fd as usize, libc::F_SETFD as usize, 0]))?;
        }
        limit(libc::RLIMIT_CORE, 0)?;
        limit(libc::RLIMIT_FSIZE, setup.file_limit_bytes)?;
        // SAFETY: signal(2) with SIG_IGN installs no code; a write over the limit then fails
        // instead of killing.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
        Ok(())
    };
    // SAFETY: the closure runs between fork and exec. It makes system calls only, allocates
    // nothing, takes no lock; errors are built from numbers.
    unsafe { command.pre_exec(child) };
}

fn limit(which: libc::__rlimit_resource_t, value: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    // SAFETY: the pointer is to a live rlimit.
    check(i64::from(unsafe { libc::setrlimit(which, &raw const limit) }))?;
    Ok(())
}

/// A system call whose arguments are plain numbers.
fn raw(number: i64, arguments: [usize; 3]) -> i64 {
    // SAFETY: no caller in this file passes a pointer, and none of the calls writes to memory.
    unsafe { libc::syscall(number, arguments[0], arguments[1], arguments[2]) }
}

fn check(result: i64) -> io::Result<i64> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A descriptor that becomes readable when the process ends, pidfd_open(2), Linux 5.3.
pub(crate) fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    let fd = check(raw(libc::SYS_pidfd_open, [pid as usize, 0, 0]))?;
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just given this descriptor to us; no other code owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Has SIGINT, SIGTERM and SIGHUP call `handler`, which must be async-signal-safe
/// (signal-safety(7)). A SIGHUP that is ignored stays so: nohup(1).
pub(crate) fn handle_stop_signals(handler: extern "C" fn(c_int)) -> io::Result<()> {
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
    let action = SigAction::new(SigHandler::Handler(handler), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the one handler that is passed here makes async-signal-safe calls only.
        let before = unsafe { sigaction(signal, &action) }?;
        if signal == Signal::SIGHUP && matches!(before.handler(), SigHandler::SigIgn) {
            // SAFETY: it is put back as it was, without a handler.
            unsafe { sigaction(signal, &before) }?;
        }
    }
    Ok(())
}

/// Has a write to a closed pipe end this process, as it ends other programs that only print.
pub(crate) fn end_by_broken_pipes() -> io::Result<()> {
    use nix::sys::signal::{SigHandler, Signal, signal};
    // SAFETY: the default action installs no code.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }?;
    Ok(())
}

/// Settings of the terminal at standard input; async-signal-safe, and nothing can be done about a
/// failure.
pub(crate) fn set_terminal(settings: &libc::termios) {
    // SAFETY: the pointer is to a live termios. tcsetattr(3) is async-signal-safe,
    // signal-safety(7).
    unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, settings) };
}

/// From now on the calling thread runs when no other one wants to, nice(2): on Linux a thread has a
/// priority of its own.
pub(crate) fn step_back() {
    // SAFETY: it takes a number and gives one.
    unsafe { libc::nice(19) };
}

/// Ends this process at once, from a signal handler too; no destructor runs, _exit(2).
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: _exit is async-signal-safe and takes no memory.
    unsafe { libc::_exit(status) }
}
