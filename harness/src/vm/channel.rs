//! The channel to the agent: [`protocol::wire`] lines over one end of a socket pair; QEMU inherits
//! the other end.
//!
//! A pair has no path. It needs no directory, it has no length limit, and no other process can
//! connect, and no wait for a listener. QEMU alone holds the other end: when it is gone, the
//! channel is closed.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use protocol::wire::{self, LINE_LIMIT, WireError};
use protocol::{Event, Request};

use crate::process::lines::{LineError, Lines};

/// How long a request may wait for a guest that does not read. The agent reads at all times.
const SEND_TIME_LIMIT: Duration = Duration::from_secs(30);

/// Why a message did not come or could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// No message in time; the channel is still good.
    #[error("no message in time")]
    TimedOut,
    /// SIGINT or SIGTERM came; the channel is still good.
    #[error("interrupted")]
    Interrupted,
    /// The process at the other end is stopped.
    #[error("the process is stopped")]
    Stopped,
    /// The channel is closed or broken, or the other side talks nonsense; it is of no more use.
    #[error(transparent)]
    Wire(#[from] WireError),
}

impl From<LineError> for ChannelError {
    fn from(error: LineError) -> Self {
        match error {
            LineError::Closed => Self::Wire(WireError::Closed),
            LineError::TimedOut => Self::TimedOut,
            LineError::Interrupted => Self::Interrupted,
            LineError::Stopped => Self::Stopped,
            LineError::TooLong(_) => Self::Wire(WireError::TooLong),
            LineError::Io(error) => Self::Wire(WireError::Io(error)),
        }
    }
}

/// The host's end.
#[derive(Debug)]
pub struct Channel {
    lines: Lines,
}

impl Channel {
    /// A channel, and the end for QEMU.
    ///
    /// # Errors
    /// No socket pair could be made.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        Ok((Self { lines: Lines::new(ours, LINE_LIMIT)? }, theirs.into()))
    }

    /// From now on a wait ends, too, when this process at the other end is stopped.
    pub fn watch(&mut self, pid: u32) {
        self.lines.watch(pid);
    }

    /// Sends a request.
    ///
    /// # Errors
    /// [`ChannelError`]
    pub fn send(&mut self, request: &Request) -> Result<(), ChannelError> {
        Ok(self.lines.send(&wire::encode(request)?, Instant::now() + SEND_TIME_LIMIT)?)
    }

    /// Sends what follows a request that says so.
    ///
    /// # Errors
    /// [`ChannelError`]
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), ChannelError> {
        Ok(self.lines.send(bytes, Instant::now() + SEND_TIME_LIMIT)?)
    }

    /// Readable when something has come; messages that are here already do not show.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.lines.as_fd()
    }

    /// The next event. One that is already here is given out even when the deadline is over.
    ///
    /// # Errors
    /// [`ChannelError`]
    pub fn receive(&mut self, deadline: Instant) -> Result<Event, ChannelError> {
        let line = self.lines.receive(deadline)?;
        Ok(wire::decode(&line)?)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::Shutdown;

    use super::*;

    fn pair() -> (Channel, UnixStream) {
        let (channel, other) = Channel::pair().unwrap();
        (channel, other.into())
    }

    fn event(why: &str) -> Event {
        Event::Broken { why: why.to_owned() }
    }

    fn line(why: &str) -> Vec<u8> {
        wire::encode(&event(why)).unwrap()
    }

    fn in_ms(ms: u64) -> Instant {
        Instant::now() + Duration::from_millis(ms)
    }

    #[test]
    fn messages_arrive_however_they_are_cut() {
        arbtest::arbtest(|u| {
            let whys: Vec<String> = u.arbitrary()?;
            let (mut channel, mut other) = pair();
            let bytes: Vec<u8> = whys.iter().flat_map(|why| line(why)).collect();
            let mut rest = bytes.as_slice();
            let mut expected = whys.iter();
            while !rest.is_empty() {
                let (piece, left) = rest.split_at(u.int_in_range(1..=rest.len())?);
                other.write_all(piece).unwrap();
                rest = left;
                let complete = bytes[..bytes.len() - rest.len()].iter().filter(|&&byte| byte == b'\n').count();
                let got_before = whys.len() - expected.len();
                for _ in got_before..complete {
                    assert_eq!(channel.receive(in_ms(1000)).unwrap(), event(expected.next().unwrap()));
                }
                assert!(matches!(channel.receive(Instant::now()), Err(ChannelError::TimedOut)));
            }
            assert_eq!(expected.next(), None);
            Ok(())
        });
    }

    #[test]
    fn silence_ends_at_the_deadline() {
        let (mut channel, _other) = pair();
        let begin = Instant::now();
        assert!(matches!(channel.receive(in_ms(60)), Err(ChannelError::TimedOut)));
        let waited = begin.elapsed();
        assert!(waited >= Duration::from_millis(60) && waited < Duration::from_secs(5), "{waited:?}");
    }

    #[test]
    fn a_message_wakes_the_waiter() {
        let (mut channel, mut other) = pair();
        let sender = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(30));
            other.write_all(&line("late")).unwrap();
            other
        });
        let begin = Instant::now();
        assert_eq!(channel.receive(in_ms(20_000)).unwrap(), event("late"));
        assert!(begin.elapsed() < Duration::from_secs(10));
        drop(sender.join());
    }

    #[test]
    fn a_trickle_does_not_stretch_the_deadline() {
        let (mut channel, mut other) = pair();
        let sender = std::thread::spawn(move || {
            while other.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        assert!(matches!(channel.receive(in_ms(100)), Err(ChannelError::TimedOut)));
        drop(channel);
        sender.join().unwrap();
    }

    #[test]
    fn a_flood_without_newline_is_cut_off() {
        let (mut channel, mut other) = pair();
        let sender = std::thread::spawn(move || {
            let mut sent = 0;
            while let Ok(written) = other.write(&[b'x'; 1 << 16]) {
                sent += written;
            }
            sent
        });
        for _ in 0..2 {
            assert!(matches!(channel.receive(in_ms(60_000)), Err(ChannelError::Wire(WireError::TooLong))));
        }
        drop(channel);
        let sent = sender.join().unwrap();
        assert!(sent < LINE_LIMIT + (1 << 20), "{sent} bytes were taken");
    }

    #[test]
    fn a_line_at_the_limit_passes_and_one_over_does_not() {
        let (ours, mut other) = UnixStream::pair().unwrap();
        let mut lines = Lines::new(ours, 4).unwrap();
        other.write_all(b"abc\n\nabcd\n").unwrap();
        assert_eq!(lines.receive(in_ms(1000)).unwrap(), b"abc");
        assert_eq!(lines.receive(in_ms(1000)).unwrap(), b"");
        assert!(matches!(lines.receive(in_ms(1000)), Err(LineError::TooLong(4))));

        let (ours, mut other) = UnixStream::pair().unwrap();
        other.write_all(b"abcd").unwrap();
        assert!(matches!(Lines::new(ours, 4).unwrap().receive(in_ms(50)), Err(LineError::TooLong(4))));
    }

    /// Writes until the socket takes no more; gives the number of bytes.
    fn fill(socket: &mut UnixStream) -> usize {
        socket.set_nonblocking(true).unwrap();
        std::iter::from_fn(|| socket.write(&[b'x'; 1 << 12]).ok()).sum()
    }

    #[test]
    fn a_flood_does_not_stretch_the_deadline() {
        let (mut channel, mut other) = pair();
        let sent = fill(&mut other);
        assert!(matches!(channel.receive(Instant::now()), Err(ChannelError::TimedOut)));
        let read = fill(&mut other);
        assert!(read < sent * 3 / 4, "after the deadline {read} of {sent} bytes were read");
    }

    #[test]
    fn garbage_is_reported_and_the_next_message_still_comes() {
        let (mut channel, mut other) = pair();
        other.write_all(b"\xff\x00 login: \n").unwrap();
        other.write_all(&line("fine")).unwrap();
        assert!(matches!(channel.receive(in_ms(1000)), Err(ChannelError::Wire(WireError::Malformed { .. }))));
        assert_eq!(channel.receive(in_ms(1000)).unwrap(), event("fine"));
    }

    #[test]
    fn another_version_is_reported() {
        let (mut channel, mut other) = pair();
        other.write_all(b"{\"v\":99,\"m\":null}\n").unwrap();
        assert!(matches!(channel.receive(in_ms(1000)), Err(ChannelError::Wire(WireError::Version(99)))));
    }

    #[test]
    fn a_close_in_the_middle_of_a_line_comes_after_the_whole_ones() {
        let (mut channel, mut other) = pair();
        other.write_all(&line("whole")).unwrap();
        other.write_all(&line("half")[..10]).unwrap();
        drop(other);
        assert_eq!(channel.receive(in_ms(1000)).unwrap(), event("whole"));
        assert!(matches!(channel.receive(in_ms(1000)), Err(ChannelError::Wire(WireError::Closed))));
    }

    #[test]
    fn requests_arrive_and_a_closed_channel_is_reported() {
        let (mut channel, mut other) = pair();
        channel.send(&Request::Shutdown).unwrap();
        channel.lines.send(b"", in_ms(1000)).unwrap();
        other.shutdown(Shutdown::Write).unwrap();
        let expected = wire::encode(&Request::Shutdown).unwrap();
        let mut got = vec![0; expected.len()];
        other.read_exact(&mut got).unwrap();
        assert_eq!(got, expected);
        drop(other);
        assert!(matches!(channel.send(&Request::Shutdown), Err(ChannelError::Wire(WireError::Closed))));
    }

    #[test]
    fn sending_to_a_peer_that_does_not_read_ends_at_the_deadline() {
        let (mut channel, _other) = pair();
        let big = vec![b'x'; 4 << 20];
        assert!(matches!(channel.lines.send(&big, in_ms(50)), Err(LineError::TimedOut)));
    }
}
