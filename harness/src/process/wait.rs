//! Waiting for a descriptor with a deadline: one poll(2), no turns of a loop without news.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// The descriptor is ready, or it is closed at the other end.
    Ready,
    /// The other descriptor became readable: this process is to end.
    Interrupted,
    /// The deadline came first.
    TimedOut,
}

/// Waits until `fd` can be read, `interrupt` can be read, or the deadline.
pub(crate) fn readable(fd: BorrowedFd, interrupt: Option<BorrowedFd>, deadline: Instant) -> io::Result<Wake> {
    ready(fd, PollFlags::POLLIN, interrupt, deadline)
}

/// Waits until `fd` can be written, `interrupt` can be read, or the deadline.
pub(crate) fn writable(fd: BorrowedFd, interrupt: Option<BorrowedFd>, deadline: Instant) -> io::Result<Wake> {
    ready(fd, PollFlags::POLLOUT, interrupt, deadline)
}

fn ready(fd: BorrowedFd, how: PollFlags, interrupt: Option<BorrowedFd>, deadline: Instant) -> io::Result<Wake> {
    let mut fds = vec![PollFd::new(fd, how)];
    fds.extend(interrupt.map(|interrupt| PollFd::new(interrupt, PollFlags::POLLIN)));
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match poll(&mut fds, poll_timeout(left)) {
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) if fds.get(1).is_some_and(|fd| fd.any() == Some(true)) => return Ok(Wake::Interrupted),
            Ok(_) if fds[0].any() == Some(true) => return Ok(Wake::Ready),
            Ok(_) if left.is_zero() => return Ok(Wake::TimedOut),
            Ok(_) => {}
        }
    }
}

/// The duration in whole milliseconds, rounded up so that the last one is not spent in a busy loop.
fn poll_timeout(left: Duration) -> PollTimeout {
    PollTimeout::try_from(left.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX)
}
