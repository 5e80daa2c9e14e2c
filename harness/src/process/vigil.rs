//! Waiting for another process with an eye on it: one that is stopped (SIGSTOP, a debugger, job
//! control) sends nothing, and would be waited for until the deadline.
//!
//! A wait is cut into slices. A process that is stopped at the end of several slices in a row is
//! reported. When a slice takes much longer than it should, it was this process that did not run:
//! somebody stopped and continued it, maybe together with the other one, or the machine slept. Then
//! the time does not count, for the deadline neither.

use std::fs;
use std::time::{Duration, Instant};

/// How long a slice is.
const SLICE: Duration = Duration::from_secs(1);
/// At the end of so many slices in a row a process must be stopped. Who continues this process and
/// the other one needs a moment between the two.
const LOOKS: u32 = 3;

/// A wait for a process.
pub(crate) struct Vigil {
    /// The process; `None` for a wait for anything else.
    pid: Option<u32>,
    deadline: Instant,
    /// At the end of how many slices it was stopped.
    looks: u32,
    begin: Instant,
}

/// What the end of a slice means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// The wait goes on.
    More,
    /// The deadline is over.
    TimedOut,
    /// The process is stopped.
    Stopped,
}

impl Vigil {
    /// Waits for a process up to a deadline.
    pub(crate) fn new(pid: Option<u32>, deadline: Instant) -> Self {
        Self { pid, deadline, looks: 0, begin: Instant::now() }
    }

    /// Begins a slice, which ends then.
    pub(crate) fn slice(&mut self) -> Instant {
        self.begin = Instant::now();
        if self.pid.is_some() { self.deadline.min(self.begin + SLICE) } else { self.deadline }
    }

    /// A slice that began at [`Self::slice`] and was to end at `end` is over.
    pub(crate) fn over(&mut self, end: Instant) -> After {
        let Some(pid) = self.pid else { return After::TimedOut };
        let late = end.elapsed();
        if late > SLICE {
            self.deadline += late;
            self.looks = 0;
        } else if is_stopped(pid) {
            self.looks += 1;
        } else {
            self.looks = 0;
        }
        match () {
            () if self.looks >= LOOKS => After::Stopped,
            () if Instant::now() >= self.deadline => After::TimedOut,
            () => After::More,
        }
    }
}

/// Whether a signal stopped the process, proc_pid_stat(5). One that a debugger or criu holds (`t`)
/// is at work.
fn is_stopped(pid: u32) -> bool {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    text.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use nix::sys::signal::{Signal, kill};
    use nix::sys::wait::{WaitPidFlag, waitpid};
    use nix::unistd::Pid;

    use super::*;

    /// A process that ends with this value, also where a test fails.
    struct Waiting(Child);

    impl Drop for Waiting {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// A process that waits, stopped or not.
    fn process(stopped: bool) -> Waiting {
        let child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        if stopped {
            let pid = Pid::from_raw(child.id().try_into().unwrap());
            kill(pid, Signal::SIGSTOP).unwrap();
            waitpid(pid, Some(WaitPidFlag::WUNTRACED)).unwrap();
        }
        Waiting(child)
    }

    /// What the slices of a wait come to, each of which ended that long ago.
    fn slices(vigil: &mut Vigil, ago: Duration) -> Vec<After> {
        (0..LOOKS).map(|_| vigil.over(Instant::now().checked_sub(ago).unwrap())).collect()
    }

    #[test]
    fn a_process_that_stays_stopped_is_found_and_one_that_runs_is_not() {
        let (stopped, runs) = (process(true), process(false));
        let later = Instant::now() + SLICE * 100;
        let mut vigil = Vigil::new(Some(stopped.0.id()), later);
        assert_eq!(slices(&mut vigil, Duration::ZERO), [After::More, After::More, After::Stopped]);
        let mut vigil = Vigil::new(Some(runs.0.id()), later);
        assert_eq!(slices(&mut vigil, Duration::ZERO), [After::More; 3]);
        vigil.deadline = Instant::now();
        assert_eq!(vigil.over(Instant::now()), After::TimedOut);
    }

    #[test]
    fn time_in_which_this_process_did_not_run_does_not_count() {
        let stopped = process(true);
        let mut vigil = Vigil::new(Some(stopped.0.id()), Instant::now());
        assert_eq!(slices(&mut vigil, SLICE * 20), [After::More; 3]);
    }
}
