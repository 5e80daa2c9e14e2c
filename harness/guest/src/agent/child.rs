//! The executor as the agent sees it: a process, two pipes, and what is known of its end.
//!
//! Its program may make other processes, by fork(2): `forked`.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use protocol::message::Flavor;
use protocol::wire;

use super::forked::Forked;
use super::pipes::{NoAnswer, Pipes};
use super::restored;
use super::sandbox::Sandbox;
use super::user_namespace::{self, FIRST_TREE, UserNamespace};
use super::whereabouts::{Whereabouts, step_limit};
use crate::executor::{Answer, Ask, ENVIRONMENT, FIRST_PIPE};
use crate::external::FIRST_INHERITED;
use crate::reference::checkpoint::Checkpoint;
use crate::sys;

/// The namespaces that live on between a dump and a restore of the reference engine.
pub(super) struct KeptNamespaces {
    pub(super) mount: OwnedFd,
    /// Mounts of mqueue belong to it, and are of no use without it (`get_ns_from_inode`,
    /// ipc/mqueue.c).
    ipc: OwnedFd,
}

/// The process under test.
pub(super) struct Child {
    pid: Pid,
    pidfd: OwnedFd,
    pipes: Pipes,
    /// The processes that its program makes.
    pub(super) forked: Forked,
    /// The one that it is root of, in flavor `userns`.
    user_namespace: Option<UserNamespace>,
}

/// The namespaces of a flavor.
fn namespaces(flavor: Flavor) -> libc::c_int {
    match flavor {
        Flavor::Host => 0,
        Flavor::Ns | Flavor::Userns => libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS,
    }
}

/// A process in new namespaces, below a user namespace where there is one.
fn started(
    user_namespace: Option<&UserNamespace>,
    namespaces: libc::c_int,
    start: impl Fn() -> libc::c_int + Sync,
) -> io::Result<i32> {
    match user_namespace {
        Some(user) => sys::start_in_user_namespace(user.fd(), namespaces, start),
        None => sys::start_in_namespaces(namespaces, start),
    }
}

impl Child {
    /// Starts `TOP/.zdtm/executor` in the namespaces of `flavor`, with the root at `top` where it
    /// has its own. It inherits mounts under the numbers from [`FIRST_TREE`] on.
    pub(super) fn start(
        flavor: Flavor,
        top: &str,
        trees: &[OwnedFd],
        sandbox: Sandbox<'_>,
        forked: Forked,
    ) -> io::Result<Self> {
        let user_namespace = (flavor == Flavor::Userns).then(UserNamespace::new).transpose()?;
        let pipes = Pipes::new()?;
        let start = || {
            let error = become_executor(flavor, top, trees, sandbox, (&pipes, &forked));
            not_started(&pipes.output, &Answer::Blind(format!("starting the executor: {error}")))
        };
        let pid = started(user_namespace.as_ref(), namespaces(flavor), start)?;
        let pidfd = sys::pidfd_open(pid)?;
        Ok(Child { pid: Pid::from_raw(pid), pidfd, pipes, forked, user_namespace })
    }

    /// Starts the executable of a checkpoint in namespaces that were kept, with the same pipes, as
    /// the process that the checkpoint is of: under its number as it sees it, with its root at that
    /// of the mount namespace. It inherits files under the numbers from [`FIRST_INHERITED`] on.
    pub(super) fn start_again(
        &mut self,
        flavor: Flavor,
        kept: &KeptNamespaces,
        checkpoint: &Checkpoint,
        inherited: &[OwnedFd],
        sandbox: Sandbox<'_>,
    ) -> io::Result<()> {
        let start = || {
            let error = become_restored(flavor, kept, checkpoint, inherited, sandbox, (&self.pipes, &self.forked));
            not_started(&self.pipes.output, &Answer::NotRestored(format!("starting the executor: {error}")))
        };
        let pid = match flavor {
            Flavor::Host => {
                let pid = sys::fork_as(checkpoint.processes[0].number)?;
                if pid == 0 {
                    std::process::exit(start());
                }
                pid
            }
            // With namespaces of its own it is the first one in there again.
            Flavor::Ns | Flavor::Userns => {
                let new = namespaces(flavor) & !(libc::CLONE_NEWNS | libc::CLONE_NEWIPC);
                started(self.user_namespace.as_ref(), new, start)?
            }
        };
        self.reborn(pid, sys::pidfd_open(pid)?);
        Ok(())
    }

    /// Finds the process again after a restore; why it cannot be found.
    pub(super) fn find_again(&mut self) -> io::Result<Result<(), String>> {
        let found = restored::find(&self.pipes.input)?.map(|(pid, pidfd)| self.reborn(pid, pidfd));
        if found.is_ok() { self.forked.find(self.pid()) } else { Ok(found) }
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// The namespaces that it is in now.
    pub(super) fn kept_namespaces(&self) -> io::Result<KeptNamespaces> {
        let ipc = File::open(format!("/proc/{}/ns/ipc", self.pid))?.into();
        Ok(KeptNamespaces { mount: self.mount_namespace()?, ipc })
    }

    /// The mount namespace that it is in now.
    pub(super) fn mount_namespace(&self) -> io::Result<OwnedFd> {
        Ok(File::open(format!("/proc/{}/ns/mnt", self.pid))?.into())
    }

    /// Its number and those of the processes that its program made, each behind its parent.
    pub(super) fn pids(&self) -> Vec<i32> {
        std::iter::once(self.pid()).chain(self.forked.processes().map(|(_, pid, _)| pid)).collect()
    }

    /// The same without those that have ended.
    pub(super) fn living(&self) -> Vec<i32> {
        let others = self.forked.processes().filter(|(_, _, made)| made.is_some());
        std::iter::once(self.pid()).chain(others.map(|(_, pid, _)| pid)).collect()
    }

    /// Whether it is root of another user namespace than the agent's.
    pub(super) fn has_user_namespace(&self) -> bool {
        self.user_namespace.is_some()
    }

    /// That each process is in the user namespace of its flavor; the error says which one is not.
    pub(super) fn check_user_namespace(&self, flavor: Flavor) -> Result<(), String> {
        let check = |pid: i32| user_namespace::check(pid, flavor == Flavor::Userns);
        check(self.pid())?;
        let mut others = self.forked.processes().filter(|(_, _, made)| made.is_some());
        others.try_for_each(|(name, pid, _)| check(pid).map_err(|why| format!("the process {name}: {why}")))
    }

    /// The ends of the pipes that the processes have: standard input and output of each.
    pub(super) fn streams(&self) -> impl Iterator<Item = &OwnedFd> {
        [&self.pipes.input, &self.pipes.output].into_iter().chain(self.forked.streams())
    }

    /// The process goes on under another process ID: it was restored.
    fn reborn(&mut self, pid: i32, pidfd: OwnedFd) {
        self.pidfd = pidfd;
        self.pid = Pid::from_raw(pid);
        self.pipes.forget();
    }

    /// Asks and waits for the answer.
    pub(super) fn ask(&mut self, ask: &Ask, timeout: Duration) -> Result<Answer, NoAnswer> {
        match self.pipes.ask((self.pid.as_raw(), self.pidfd.as_fd()), ask, timeout) {
            Err(NoAnswer::Gone(_)) => Err(NoAnswer::Gone(self.reap())),
            answer => answer,
        }
    }

    /// Asks for programs to be carried out, and waits for the answer; where they were when none
    /// came. No step may sleep for long.
    pub(super) fn set_up(&mut self, ask: &Ask, timeout: Duration) -> Result<Answer, (NoAnswer, Whereabouts)> {
        let (deadline, step) = (Instant::now() + timeout, step_limit(timeout));
        let mut last = Whereabouts::default();
        let mut sent = self.pipes.send(ask);
        loop {
            let next = deadline.min(Instant::now() + step);
            let answer = sent.and_then(|()| self.pipes.answer(self.pidfd.as_fd(), next));
            sent = Ok(());
            let now = match &answer {
                Ok(Some(_)) => Whereabouts::default(),
                Ok(None) | Err(_) => Whereabouts::look(self.pid()),
            };
            match answer {
                Ok(Some(answer)) => return Ok(answer),
                Err(NoAnswer::Gone(_)) => return Err((NoAnswer::Gone(self.reap()), now)),
                Err(error) => return Err((error, now)),
                Ok(None) if now.asleep_since(&last) => return Err((NoAnswer::Asleep(step), now)),
                Ok(None) if next == deadline => return Err((NoAnswer::TimedOut(timeout), now)),
                Ok(None) => last = now,
            }
        }
    }

    /// Waits until the process has ended; false when it has not within `timeout`.
    pub(super) fn wait_for_end(&self, timeout: Duration) -> io::Result<bool> {
        let mut polled = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
        let count = poll(&mut polled, PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX))?;
        Ok(count > 0)
    }

    /// Waits until the process is stopped, as a dump leaves it, and continues it.
    pub(super) fn resume(&self, timeout: Duration) -> io::Result<()> {
        let mut child_signal = SigSet::empty();
        child_signal.add(Signal::SIGCHLD);
        child_signal.thread_block()?;
        let stopped = self.wait_for_stop(&child_signal, Instant::now() + timeout);
        child_signal.thread_unblock()?;
        if !stopped? {
            return Err(io::Error::other("the process runs, though it was to be left stopped"));
        }
        self.forked.signal(Signal::SIGCONT);
        Ok(kill(self.pid, Signal::SIGCONT)?)
    }

    /// The signal that reports it is blocked: none can be missed between a check and the wait.
    fn wait_for_stop(&self, child_signal: &SigSet, deadline: Instant) -> io::Result<bool> {
        let signals = SignalFd::with_flags(child_signal, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        loop {
            let flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WNOHANG;
            if let WaitStatus::Stopped(..) = waitid(Id::Pid(self.pid), flags)? {
                return Ok(true);
            }
            let rest = deadline.saturating_duration_since(Instant::now());
            let mut polled = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
            if poll(&mut polled, PollTimeout::try_from(rest).unwrap_or(PollTimeout::MAX))? == 0 {
                return Ok(false);
            }
            signals.read_signal()?;
        }
    }

    /// Takes the exit status of an ended process and says it in words.
    pub(super) fn reap(&self) -> String {
        match waitpid(self.pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, status)) => format!("it exited with status {status}"),
            Ok(WaitStatus::Signaled(_, signal, _)) => format!("it was ended by {signal}"),
            Ok(status) => format!("{status:?}"),
            Err(error) => format!("waitpid: {error}"),
        }
    }

    /// Ends the process, and with it what lives in its PID namespace.
    pub(super) fn end(&self) {
        // When it has ended and was waited for, its number may be another process's.
        if !matches!(self.wait_for_end(Duration::ZERO), Ok(true)) {
            let _ = kill(self.pid, Signal::SIGKILL);
            let _ = self.wait_for_end(Duration::from_secs(5));
        }
        let _ = self.reap();
        self.forked.end();
    }
}

/// In the new process: tells why it did not become another one; its exit status.
fn not_started(output: &OwnedFd, why: &Answer) -> i32 {
    let _ = output.try_clone().map(File::from).map(|mut output| wire::send(&mut output, why));
    1
}

/// In the new process: namespaces, root, streams, exec. Returns only with what went wrong.
fn become_executor(
    flavor: Flavor,
    top: &str,
    trees: &[OwnedFd],
    sandbox: Sandbox<'_>,
    (pipes, forked): (&Pipes, &Forked),
) -> io::Error {
    let go = || -> io::Result<()> {
        nix::unistd::setsid()?;
        place_streams(pipes, forked)?;
        let path = match flavor {
            Flavor::Host => {
                std::env::set_current_dir(top)?;
                format!("{top}/.zdtm/executor")
            }
            Flavor::Ns | Flavor::Userns => {
                own_root(top, flavor == Flavor::Userns)?;
                "/.zdtm/executor".to_owned()
            }
        };
        let path = CString::new(path).map_err(io::Error::other)?;
        let arguments = [path.as_c_str(), c"executor"];
        sys::place(trees, FIRST_TREE)?;
        sandbox.enter()?;
        nix::unistd::execve(&path, &arguments, &[ENVIRONMENT])?;
        Ok(())
    };
    go().err().unwrap_or_else(|| io::Error::other("exec came back"))
}

/// The pipes of the process as its standard streams, and those of the processes that it will make.
fn place_streams(pipes: &Pipes, forked: &Forked) -> io::Result<()> {
    nix::unistd::dup2_stdin(&pipes.input)?;
    nix::unistd::dup2_stdout(&pipes.output)?;
    nix::unistd::dup2_stderr(&pipes.output)?;
    sys::place(forked.streams(), FIRST_PIPE)
}

/// In the new process: the kept namespaces, streams, exec. Returns only with what went wrong.
fn become_restored(
    flavor: Flavor,
    kept: &KeptNamespaces,
    checkpoint: &Checkpoint,
    inherited: &[OwnedFd],
    sandbox: Sandbox<'_>,
    (pipes, forked): (&Pipes, &Forked),
) -> io::Error {
    let go = || -> io::Result<()> {
        nix::unistd::setsid()?;
        place_streams(pipes, forked)?;
        sys::place(inherited, FIRST_INHERITED)?;
        if flavor.has_own_root() {
            setns(&kept.ipc, CloneFlags::CLONE_NEWIPC)?;
            setns(&kept.mount, CloneFlags::CLONE_NEWNS)?;
            nix::unistd::sethostname("trial")?;
        }
        let path = CString::new(checkpoint.executable.as_slice()).map_err(io::Error::other)?;
        let arguments = [path.as_c_str(), c"executor"];
        sandbox.enter()?;
        nix::unistd::execve(&path, &arguments, &[ENVIRONMENT])?;
        Ok(())
    };
    go().err().unwrap_or_else(|| io::Error::other("exec came back"))
}

/// Makes `top` the root of this mount namespace and nothing else visible. `locked`: the mounts are
/// copies of those of another user namespace, which cannot be taken from their places
/// (mount_namespaces(7)); a bind of one can.
fn own_root(top: &str, locked: bool) -> io::Result<()> {
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_PRIVATE | MsFlags::MS_REC, none)?;
    if locked {
        mount(Some(top), top, none, MsFlags::MS_BIND, none)?;
    }
    std::env::set_current_dir(top)?;
    // Before the old root goes: in a user namespace a new procfs wants to see another one
    // (mount_namespaces(7)).
    mount(Some("proc"), "proc", Some("proc"), MsFlags::empty(), none)?;
    nix::unistd::pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    std::env::set_current_dir("/")?;
    Ok(nix::unistd::sethostname("trial")?)
}

/// The inode of a pipe, as in `pipe:[N]`.
pub(super) fn pipe_inode(fd: &OwnedFd) -> io::Result<u64> {
    Ok(nix::sys::stat::fstat(fd)?.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The new process shares its memory with the agent until it is another program; it tells why
    /// it is not by the pipe alone.
    #[test]
    fn an_executor_that_cannot_be_started_says_why() {
        let mut child = Child::start(Flavor::Host, "/no/such/top", &[], Sandbox::None, Forked::default()).unwrap();
        let answer = child.ask(&Ask::Look { tops: Vec::new(), elsewhere: Vec::new() }, Duration::from_secs(10));
        child.end();
        match answer {
            Ok(Answer::Blind(why)) => assert!(why.contains("ENOENT") || why.contains("os error 2"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}
