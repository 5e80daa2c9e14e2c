//! The processes that a program makes by fork(2), as the agent sees them. Each has pipes of its own
//! to the agent, and is found by them: after the program was carried out and after a restore.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use scenarios::program::ObjectName;

use super::pipes::{NoAnswer, Pipes};
use super::restored;
use crate::executor::{Answer, Ask, Other};
use crate::observe::Made;

/// How long a process that was killed may take to end.
const END_TIME_LIMIT: Duration = Duration::from_secs(5);

/// All of them, in the order of their forks.
#[derive(Default)]
pub(super) struct Forked {
    all: Vec<ForkedProcess>,
}

struct ForkedProcess {
    name: String,
    pipes: Pipes,
    /// What the program made there.
    made: Vec<Made>,
    /// Its number as the processes see it, where the program had it end.
    zombie: Option<i32>,
    /// Its number and pidfd, once it was found.
    process: Option<(i32, OwnedFd)>,
}

impl Forked {
    /// Pipes for the processes with these names.
    pub(super) fn new(names: &[ObjectName]) -> io::Result<Self> {
        let one = |name: &ObjectName| {
            Ok(ForkedProcess {
                name: name.0.clone(),
                pipes: Pipes::new()?,
                made: Vec::new(),
                zombie: None,
                process: None,
            })
        };
        Ok(Forked { all: names.iter().map(one).collect::<io::Result<_>>()? })
    }

    /// The ends of the pipes that the processes have: standard input and output of each.
    pub(super) fn streams(&self) -> impl Iterator<Item = &OwnedFd> {
        self.all.iter().flat_map(|one| [&one.pipes.input, &one.pipes.output])
    }

    /// Takes what became of each.
    pub(super) fn made(&mut self, others: Vec<Other>) {
        for (one, Other { made, zombie }) in self.all.iter_mut().zip(others) {
            (one.made, one.zombie) = (made, zombie);
        }
    }

    /// Finds each process, by its pipe or, where it has ended, among the zombies of the others and
    /// of `first`; why one cannot be found.
    pub(super) fn find(&mut self, first: i32) -> io::Result<Result<(), String>> {
        let mut parents = vec![first];
        for one in self.all.iter_mut().filter(|one| one.zombie.is_none()) {
            match restored::find(&one.pipes.input)? {
                Ok(found) => one.process = Some(found),
                Err(why) => return Ok(Err(format!("the process {}: {why}", one.name))),
            }
            parents.extend(one.process.as_ref().map(|(pid, _)| *pid));
            one.pipes.forget();
        }
        for one in &mut self.all {
            let Some(number) = one.zombie else { continue };
            one.process = restored::find_zombie(number, &parents)?;
            if one.process.is_none() {
                return Ok(Err(format!(
                    "the process {}: no process {number} has ended and waits for its parent",
                    one.name
                )));
            }
        }
        Ok(Ok(()))
    }

    /// Name, number, and what the program made there, of each; `None` for one that has ended.
    pub(super) fn processes(&self) -> impl Iterator<Item = (&str, i32, Option<&[Made]>)> {
        self.all.iter().filter_map(|one| {
            let (pid, _) = one.process.as_ref()?;
            let made = one.zombie.is_none().then_some(one.made.as_slice());
            Some((one.name.as_str(), *pid, made))
        })
    }

    /// Asks each that lives and waits for the answers: which process it is, counted from 0, its
    /// name, and what it says.
    pub(super) fn ask(&mut self, ask: &Ask, timeout: Duration) -> Vec<(u32, String, Result<Answer, NoAnswer>)> {
        let answer = |one: &mut ForkedProcess| match &one.process {
            Some((pid, pidfd)) => one.pipes.ask((*pid, pidfd.as_fd()), ask, timeout),
            None => Err(NoAnswer::Gone("it was not found".to_owned())),
        };
        let living = (0..).zip(&mut self.all).filter(|(_, one)| one.zombie.is_none());
        living.map(|(index, one)| (index, one.name.clone(), answer(one))).collect()
    }

    /// Sends a signal to those that live.
    pub(super) fn signal(&self, signal: Signal) {
        for (pid, pidfd) in self.all.iter().filter_map(|one| one.process.as_ref()) {
            // When it has ended, its number may be another process's.
            if !has_ended(pidfd, Duration::ZERO) {
                let _ = kill(Pid::from_raw(*pid), signal);
            }
        }
    }

    /// Waits until all have ended; the name of one that has not within `timeout`.
    pub(super) fn wait_for_end(&self, timeout: Duration) -> Option<&str> {
        let lives = |one: &&ForkedProcess| one.process.as_ref().is_some_and(|(_, pidfd)| !has_ended(pidfd, timeout));
        self.all.iter().find(lives).map(|one| one.name.as_str())
    }

    /// Ends them.
    pub(super) fn end(&self) {
        self.signal(Signal::SIGKILL);
        let _ = self.wait_for_end(END_TIME_LIMIT);
    }
}

fn has_ended(pidfd: &OwnedFd, timeout: Duration) -> bool {
    let mut polled = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    poll(&mut polled, PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX)).is_ok_and(|count| count > 0)
}
