//! Ctrl-C in two stages: the first SIGINT, SIGTERM or SIGHUP (the terminal is closed) asks, the
//! second one ends.
//!
//! The first sets a flag and makes a descriptor readable for good. Every wait on a VM polls that
//! descriptor, so the run loop gets its thread back at once, writes its reports, and drops what it
//! owns. The second kills every process group that [`crate::process::child`] has started and ends
//! this process with [`crate::exit::INTERRUPTED`].
//!
//! Not here: what a run does with its unfinished trials.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::exit;
use crate::process::sys;

/// How many process groups can be registered; those beyond still die with this process (prctl(2),
/// `PR_SET_PDEATHSIG`).
const GROUP_LIMIT: usize = 256;

/// The two ends of the pipe that wakes waiters.
struct Pipe {
    poll_end: OwnedFd,
    wake_end: OwnedFd,
}

static SIGNALS: AtomicU32 = AtomicU32::new(0);
static GROUPS: [AtomicI32; GROUP_LIMIT] = [const { AtomicI32::new(0) }; GROUP_LIMIT];
static PIPE: OnceLock<Pipe> = OnceLock::new();
static TERMINAL: OnceLock<libc::termios> = OnceLock::new();

/// Installs the handlers for SIGINT, SIGTERM and SIGHUP. A second call changes nothing.
///
/// # Errors
/// No pipe could be made, or the handlers were refused.
pub fn install() -> io::Result<()> {
    let (poll_end, wake_end) = io::pipe()?;
    if PIPE.set(Pipe { poll_end: poll_end.into(), wake_end: wake_end.into() }).is_ok() {
        sys::handle_stop_signals(on_signal)?;
    }
    Ok(())
}

/// Whether a first signal has come.
pub fn requested() -> bool {
    SIGNALS.load(Ordering::SeqCst) > 0
}

/// A descriptor that is readable from the first signal on. The process never reads from it, so it
/// wakes every waiter; none before [`install`].
pub fn fd() -> Option<BorrowedFd<'static>> {
    PIPE.get().map(|pipe| pipe.poll_end.as_fd())
}

/// Has the second signal put the terminal at standard input back to these settings, as somebody is
/// about to change them.
pub(crate) fn put_back_terminal(settings: libc::termios) {
    // Who came first knew what it was like in the beginning.
    let _ = TERMINAL.set(settings);
}

/// The handler: async-signal-safe calls only, signal-safety(7).
extern "C" fn on_signal(_signal: c_int) {
    let errno = Errno::last_raw();
    if SIGNALS.fetch_add(1, Ordering::SeqCst) == 0 {
        wake();
    } else {
        kill_groups();
        if let Some(settings) = TERMINAL.get() {
            sys::set_terminal(settings);
        }
        sys::exit_now(exit::INTERRUPTED.into());
    }
    Errno::set_raw(errno);
}

fn wake() {
    if let Some(pipe) = PIPE.get() {
        // One byte into an empty pipe of our own cannot block, and a failure cannot be reported to
        // anybody here.
        let _ = nix::unistd::write(&pipe.wake_end, b"!");
    }
}

fn kill_groups() {
    for slot in &GROUPS {
        let group = slot.load(Ordering::SeqCst);
        if group > 0 {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
    }
}

/// A process group that a second signal kills, for as long as this value lives.
#[derive(Debug)]
pub(crate) struct GroupGuard {
    slot: Option<usize>,
}

impl GroupGuard {
    /// Registers a group. Drop the guard before the group's leader is reaped, or the number may
    /// belong to another.
    pub(crate) fn new(group: Pid) -> Self {
        let free =
            |slot: &&AtomicI32| slot.compare_exchange(0, group.as_raw(), Ordering::SeqCst, Ordering::SeqCst).is_ok();
        let slot = GROUPS.iter().enumerate().find(|(_, slot)| free(slot)).map(|(index, _)| index);
        Self { slot }
    }
}

impl Drop for GroupGuard {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            GROUPS[slot].store(0, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixStream;
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::process::child::{Process, Surroundings};
    use crate::process::lines::{LineError, Lines};

    const CHILD: &str = "ZDTM_DETACHED_INTERRUPTED_TEST_CHILD";

    /// Not a test of its own: the process that the test below interrupts. It waits for a message
    /// that never comes, with a program running that it has started.
    #[test]
    fn waits_with_a_running_program() {
        if std::env::var_os(CHILD).is_none() {
            return;
        }
        install().unwrap();
        install().unwrap();
        let null = || std::fs::File::create("/dev/null").unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 1000 & wait"]);
        let surroundings = Surroundings { stdout: null(), stderr: null(), inherited: &[], file_limit_bytes: 0 };
        let program = Process::spawn(command, surroundings).unwrap();
        println!("\n{CHILD} {}", program.pid());
        let (stream, _silent) = UnixStream::pair().unwrap();
        let outcome = Lines::new(stream, 10).unwrap().receive(Instant::now() + Duration::from_secs(60));
        assert!(matches!(outcome, Err(LineError::Interrupted)) && requested());
        println!("\n{CHILD} interrupted");
        std::thread::sleep(Duration::from_secs(60));
    }

    fn next_word(lines: &mut impl Iterator<Item = io::Result<String>>) -> String {
        let line = lines.map(Result::unwrap).find(|line| line.starts_with(CHILD)).expect("the child says something");
        line.split_whitespace().nth(1).unwrap().to_owned()
    }

    fn signal(child: &Child, signal: Signal) {
        nix::sys::signal::kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
    }

    /// How many processes of a group there are, proc_pid_stat(5); zombies do not count.
    fn members(group: &str) -> usize {
        let stats = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let text = std::fs::read_to_string(entry.ok()?.path().join("stat")).ok()?;
            let (_, rest) = text.rsplit_once(") ")?;
            let mut fields = rest.split(' ');
            (fields.next()? != "Z" && fields.nth(1)? == group).then_some(())
        });
        stats.count()
    }

    #[test]
    fn the_first_signal_wakes_and_the_second_ends_everything() {
        for stop in [Signal::SIGINT, Signal::SIGTERM] {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "process::interrupt::tests::waits_with_a_running_program", "--nocapture"])
                .env(CHILD, "1")
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let group = next_word(&mut lines);
            let begin = Instant::now();
            signal(&child, stop);
            assert_eq!(next_word(&mut lines), "interrupted");
            assert!(begin.elapsed() < Duration::from_secs(20));
            assert!(members(&group) > 0, "the first signal must kill nothing");
            signal(&child, stop);
            assert_eq!(child.wait().unwrap().code(), Some(exit::INTERRUPTED.into()));
            while members(&group) > 0 {
                assert!(begin.elapsed() < Duration::from_secs(20), "the program outlived the second signal");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}
