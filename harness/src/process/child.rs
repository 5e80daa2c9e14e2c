//! A child process that this process owns: it is killed, with everything in its process group, and
//! reaped when its value goes away.
//!
//! Three nets, because each has holes. `Drop` covers every return and every panic. The registry in
//! [`crate::process::interrupt`] covers a second Ctrl-C. The parent-death signal covers SIGKILL and
//! an abort; it goes by the spawning thread, so one thread that never ends spawns for all.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::time::Instant;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::wait::{self, Wake};
use crate::process::interrupt::GroupGuard;
use crate::process::sys::{self, ChildSetup};

/// What a child gets apart from its command line. Its standard input is empty.
pub struct Surroundings<'a> {
    /// Where its standard output goes.
    pub stdout: File,
    /// Where its standard error goes.
    pub stderr: File,
    /// Descriptors that it inherits, under the numbers that they have here.
    pub inherited: &'a [BorrowedFd<'a>],
    /// The longest file that it may write, in bytes.
    pub file_limit_bytes: u64,
}

/// A running or ended child, the leader of its own process group.
#[derive(Debug)]
pub struct Process {
    child: Child,
    ended: OwnedFd,
    guard: Option<GroupGuard>,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts a command in a process group of its own.
    ///
    /// # Errors
    /// The program could not be executed.
    pub fn spawn(mut command: Command, surroundings: Surroundings) -> io::Result<Self> {
        command.stdin(Stdio::null()).stdout(surroundings.stdout).stderr(surroundings.stderr).process_group(0);
        let inherited = surroundings.inherited.iter().map(AsRawFd::as_raw_fd).collect();
        sys::set_up_child(&mut command, ChildSetup { inherited, file_limit_bytes: surroundings.file_limit_bytes });
        let child = spawn_from_lasting_thread(command)?;
        let guard = Some(GroupGuard::new(group_of(&child)));
        match sys::pidfd_open(child.id()) {
            Ok(ended) => Ok(Self { child, ended, guard, status: None }),
            Err(error) => {
                let _ = end(child);
                Err(error)
            }
        }
    }

    /// The process ID, which is the group's number too.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the child ends by itself; none at the deadline. What is left of its group is
    /// killed then.
    ///
    /// An interrupt does not end this wait: it is short and part of clearing up.
    ///
    /// # Errors
    /// The child cannot be waited for.
    pub fn wait(&mut self, deadline: Instant) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() && wait::readable(self.ended.as_fd(), None, deadline)? == Wake::Ready {
            self.kill()?;
        }
        Ok(self.status)
    }

    /// Waits until the child ends by itself; none, and the child is killed, when `interrupt`
    /// becomes readable.
    ///
    /// # Errors
    /// The child cannot be waited for.
    pub fn wait_or_interrupt(&mut self, interrupt: Option<BorrowedFd>) -> io::Result<Option<ExitStatus>> {
        /// Longer than anything takes, and short enough for every clock.
        const LONG: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 60 * 60);
        if self.status.is_some() {
            return Ok(self.status);
        }
        let wake = wait::readable(self.ended.as_fd(), interrupt, Instant::now() + LONG)?;
        let status = self.kill()?;
        Ok((wake == Wake::Ready).then_some(status))
    }

    /// Kills the whole group, reaps the child, tells how it ended.
    ///
    /// # Errors
    /// The child cannot be waited for.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        // A zombie keeps the group's number, so the number is still ours until the wait below.
        let _ = killpg(group_of(&self.child), Signal::SIGKILL);
        self.guard = None;
        let status = self.child.wait()?;
        self.status = Some(status);
        Ok(status)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

fn group_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("the kernel's process IDs end at 2^22"))
}

fn end(mut child: Child) -> io::Result<ExitStatus> {
    let _ = killpg(group_of(&child), Signal::SIGKILL);
    child.wait()
}

struct Order {
    command: Command,
    reply: Sender<io::Result<Child>>,
}

/// Spawns from a thread that ends only with this process; see the module's head.
fn spawn_from_lasting_thread(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Sender<Order>> = OnceLock::new();
    let spawner = match SPAWNER.get() {
        Some(spawner) => spawner,
        None => {
            let (sender, orders) = channel::<Order>();
            std::thread::Builder::new().spawn(move || {
                for mut order in orders {
                    let _ = order.reply.send(order.command.spawn());
                }
            })?;
            // Of two threads at once one is not needed, and ends with its channel.
            SPAWNER.get_or_init(|| sender)
        }
    };
    let gone = || io::Error::other("the thread that starts processes is gone");
    let (reply, answer) = channel();
    spawner.send(Order { command, reply }).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;
    use std::time::Duration;

    use super::*;

    fn surroundings<'a>(stdout: &File, inherited: &'a [BorrowedFd<'a>]) -> Surroundings<'a> {
        Surroundings {
            stdout: stdout.try_clone().unwrap(),
            stderr: File::create("/dev/null").unwrap(),
            inherited,
            file_limit_bytes: 4096,
        }
    }

    fn shell(script: &str, stdout: &File) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::spawn(command, surroundings(stdout, &[])).unwrap()
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    /// Waits for the first `lines` lines of a file that a child writes.
    fn lines(file: &File, lines: usize) -> Vec<String> {
        let deadline = soon();
        loop {
            let mut bytes = vec![0; 4096];
            let length = file.read_at(&mut bytes, 0).unwrap();
            let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
            if text.matches('\n').count() >= lines {
                return text.lines().map(str::to_owned).collect();
            }
            assert!(Instant::now() < deadline, "got only {text:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether a process exists and is not a zombie.
    fn runs(pid: &str) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        status.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    }

    fn assert_ends(pid: &str) {
        let deadline = soon();
        while runs(pid) {
            assert!(Instant::now() < deadline, "{pid} still runs");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn drop_ends_the_child_and_its_group() {
        let out = tempfile::tempfile().unwrap();
        let process = shell("sleep 1000 & echo $!; exec sleep 1000", &out);
        let (leader, member) = (process.pid().to_string(), lines(&out, 1).remove(0));
        assert!(runs(&leader) && runs(&member));
        drop(process);
        assert!(!std::path::Path::new(&format!("/proc/{leader}")).exists(), "the leader was not reaped");
        assert_ends(&member);
    }

    #[test]
    fn a_panic_ends_the_child() {
        let out = tempfile::tempfile().unwrap();
        let process = shell("exec sleep 1000", &out);
        let pid = process.pid().to_string();
        let outcome = std::thread::spawn(move || {
            let _owned = process;
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(outcome.join().is_err());
        assert!(!runs(&pid));
    }

    #[test]
    fn a_child_that_ends_takes_its_group_along() {
        let out = tempfile::tempfile().unwrap();
        let mut process = shell("sleep 1000 & echo $!; exit 7", &out);
        assert_eq!(process.wait(soon()).unwrap().and_then(|status| status.code()), Some(7));
        assert_ends(&lines(&out, 1)[0]);
    }

    #[test]
    fn a_wait_ends_at_its_deadline() {
        let mut process = shell("exec sleep 1000", &tempfile::tempfile().unwrap());
        let begin = Instant::now();
        assert_eq!(process.wait(begin + Duration::from_millis(50)).unwrap(), None);
        assert!(begin.elapsed() >= Duration::from_millis(50));
        assert_eq!(process.kill().unwrap().code(), None);
    }

    #[test]
    fn a_child_outlives_the_thread_that_asked_for_it() {
        let process = std::thread::spawn(|| shell("exec sleep 1000", &tempfile::tempfile().unwrap())).join().unwrap();
        std::thread::sleep(Duration::from_millis(50));
        assert!(runs(&process.pid().to_string()));
    }

    #[test]
    fn a_child_cannot_fill_the_disk() {
        let out = tempfile::tempfile().unwrap();
        let mut process = shell("exec head -c 9999 /dev/zero", &out);
        let status = process.wait(soon()).unwrap().unwrap();
        assert_eq!(status.code(), Some(1), "a write beyond the limit must fail and not kill: {status}");
        assert_eq!(out.metadata().unwrap().len(), 4096);
    }

    #[test]
    fn only_named_descriptors_are_inherited() {
        let out = tempfile::tempfile().unwrap();
        let (named, other) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let mut command = Command::new("sh");
        let test = |file: &File| format!("[ -e /proc/self/fd/{} ]; echo $?", file.as_raw_fd());
        command.args(["-c", &format!("{}; {}", test(&named), test(&other))]);
        let mut process = Process::spawn(command, surroundings(&out, &[named.as_fd()])).unwrap();
        process.wait(soon()).unwrap();
        assert_eq!(lines(&out, 2), ["0", "1"]);
    }
}
