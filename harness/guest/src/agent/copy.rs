//! A call in a copy of the agent, which may enter other namespaces, hang or crash without harm. The
//! answer travels as JSON, descriptors are taken out of the copy (pidfd_getfd(2)).

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::process::exit;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, pipe};
use protocol::message::ActionEnd;
use rustix::process::{PidfdGetfdFlags, pidfd_getfd};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::sys;

/// How the copy ended.
pub(super) enum End<T> {
    /// It answered.
    Answer(T, Vec<OwnedFd>),
    /// It did not, in this way.
    Ended(ActionEnd),
}

/// Makes `call` in a copy of this process: its answer, and the descriptors that it opened for this
/// one.
///
/// # Errors
/// Those of starting the copy and of taking its descriptors.
pub(super) fn in_copy<T: Serialize + DeserializeOwned>(
    timeout: Duration,
    call: impl FnOnce() -> (T, Vec<OwnedFd>),
) -> io::Result<End<T>> {
    let (from, to) = pipe()?;
    let (hold, release) = pipe()?;
    let child = sys::fork(0)?;
    if child == 0 {
        drop((from, release));
        let (answer, descriptors) = call();
        let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let text = serde_json::to_vec(&(answer, numbers)).unwrap_or_default();
        let written = File::from(to).write_all(&text);
        // The descriptors live until they were taken: then this pipe ends.
        let _ = File::from(hold).read(&mut [0]);
        exit(i32::from(written.is_err()));
    }
    drop((to, hold));
    let answer = read_until(&mut File::from(from), Instant::now() + timeout);
    let taken = answer.and_then(|text| {
        let (answer, numbers): (T, Vec<RawFd>) = serde_json::from_slice(&text)?;
        let pidfd = sys::pidfd_open(child)?;
        let take = |number: RawFd| Ok(pidfd_getfd(&pidfd, number, PidfdGetfdFlags::empty())?);
        Ok((answer, numbers.into_iter().map(take).collect::<io::Result<Vec<OwnedFd>>>()?))
    });
    drop(release);
    if matches!(&taken, Err(error) if error.kind() == io::ErrorKind::TimedOut) {
        kill(Pid::from_raw(child), Signal::SIGKILL)?;
        waitpid(Pid::from_raw(child), None)?;
        return Ok(End::Ended(ActionEnd::TimedOut));
    }
    match waitpid(Pid::from_raw(child), None)? {
        WaitStatus::Signaled(_, signal, _) => Ok(End::Ended(ActionEnd::Killed(signal as i32))),
        _ => taken.map(|(answer, descriptors)| End::Answer(answer, descriptors)),
    }
}

/// Reads to the end; `TimedOut` when that does not come in time.
fn read_until(from: &mut File, deadline: Instant) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let rest = deadline.saturating_duration_since(Instant::now());
        let mut polled = [PollFd::new(from.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(rest).unwrap_or(PollTimeout::MAX);
        if poll(&mut polled, timeout)? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match from.read(&mut buffer)? {
            0 => return Ok(bytes),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}
