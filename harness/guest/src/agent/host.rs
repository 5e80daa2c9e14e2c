//! The agent without a VM: on the host's own kernel, in namespaces of its own.
//!
//! Two processes. The *watcher* is what the harness starts; it stays in the host's namespaces and
//! does nothing but wait. Its child is the *agent*, PID 1 of a PID namespace: when it dies, for
//! whatever reason, the kernel kills every process in there, and with the last of them goes the
//! mount namespace with all mounts and with these the loop devices. So only one thing must be
//! certain: that the agent dies. It does
//! - when the channel to the harness is closed (the agent sees it when it waits for a request),
//! - when the watcher dies (`PR_SET_PDEATHSIG`), and the watcher dies with the harness in the same
//!   way,
//! - when the watcher gets SIGTERM: it kills the agent and waits until everything is gone.
//!
//! The backend is for subject `reference` only: criu acts on a whole machine. The agent has mount,
//! IPC and UTS namespaces of its own besides, and a root on a tmpfs. Loop devices go with the
//! mounts (`LO_FLAGS_AUTOCLEAR`). No folder is made on the host, and no loop device is added to it.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getegid, geteuid};

use super::boot::{BootError, step};
use crate::sys;

/// What the agent gets for itself.
const NAMESPACES: libc::c_int = libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;

/// Which of the two processes this is now.
pub(super) enum Side {
    /// The one that waits for the other.
    Watcher(Watcher),
    /// The one in the namespaces; `confined` says that it has the privileges of a user namespace
    /// only.
    Agent {
        /// See above.
        confined: bool,
    },
}

/// Becomes two processes and comes back in both.
pub(super) fn divide() -> Result<Side, BootError> {
    sys::reset_signals();
    let signals: SigSet = [Signal::SIGTERM, Signal::SIGCHLD].into_iter().collect();
    step("block signals", signals.thread_block())?;
    let (lifeline, held) = step("make a pipe", nix::unistd::pipe2(OFlag::O_CLOEXEC))?;
    let (pid, confined) = clone_agent()?;
    if pid == 0 {
        drop(held);
        tie_to_watcher(&lifeline)?;
        return Ok(Side::Agent { confined });
    }
    Ok(Side::Watcher(Watcher { agent: Pid::from_raw(pid), signals, _held: held }))
}

/// The agent's process: with the privileges that this one has, otherwise with those of a new user
/// namespace.
fn clone_agent() -> Result<(libc::pid_t, bool), BootError> {
    match sys::fork(NAMESPACES) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {}
        result => return Ok((step("make namespaces", result)?, in_user_namespace()?)),
    }
    let user = (geteuid(), getegid());
    // A sysfs belongs to a network namespace: only who owns one may mount it.
    let pid = sys::fork(NAMESPACES | libc::CLONE_NEWUSER | libc::CLONE_NEWNET);
    let pid = pid.map_err(|error| {
        BootError::Lacking(format!(
            "neither root nor a user namespace: the kernel refuses to make one ({error}; see the sysctls \
         user.max_user_namespaces, kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns). \
         Run as root, or in VMs (`--backend vm`)"
        ))
    })?;
    if pid == 0 {
        step("map the user into the user namespace", map_user(user))?;
    }
    Ok((pid, true))
}

/// Whether this is not the first user namespace: root of a container without the machine's
/// privileges.
fn in_user_namespace() -> Result<bool, BootError> {
    let map = step("read /proc/self/uid_map", fs::read_to_string("/proc/self/uid_map"))?;
    Ok(map.split_whitespace().ne(["0", "0", "4294967295"]))
}

/// This user is root in the namespace; the namespace has no other user (user_namespaces(7)).
fn map_user((uid, gid): (nix::unistd::Uid, nix::unistd::Gid)) -> io::Result<()> {
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1"))
}

/// Ties this process's life to the watcher's. `lifeline` is closed at the other end when the
/// watcher is dead already.
fn tie_to_watcher(lifeline: &OwnedFd) -> Result<(), BootError> {
    step("ask to die with the watcher", set_pdeathsig(Signal::SIGKILL))?;
    let mut polled = [PollFd::new(lifeline.as_fd(), PollFlags::POLLIN)];
    if step("look for the watcher", poll(&mut polled, PollTimeout::ZERO))? > 0 {
        return Err(BootError::Lacking("the watcher is gone".to_owned()));
    }
    step("unblock signals", SigSet::empty().thread_set_mask())
}

/// The process that the harness knows.
pub(super) struct Watcher {
    agent: Pid,
    signals: SigSet,
    /// The agent's way to see that this process is there.
    _held: OwnedFd,
}

impl Watcher {
    /// Waits for the agent's end; SIGTERM hastens it. The exit status is the agent's.
    pub(super) fn watch(&self) -> ExitCode {
        loop {
            match waitpid(self.agent, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(_, status)) => return ExitCode::from(u8::try_from(status).unwrap_or(1)),
                Ok(WaitStatus::Signaled(_, signal, _)) => {
                    eprintln!("the agent was ended by {signal}");
                    return ExitCode::FAILURE;
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => {
                    eprintln!("waiting for the agent: {error}");
                    return ExitCode::FAILURE;
                }
            }
            if self.signals.wait() == Ok(Signal::SIGTERM) {
                let _ = kill(self.agent, Signal::SIGKILL);
            }
        }
    }
}
