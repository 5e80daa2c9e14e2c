//! One JSON object a line, in an envelope with the protocol's version, no longer than
//! [`LINE_LIMIT`].

use std::io::{BufRead, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::limits;

/// The version in every envelope. Host and guest are built from one tree; a difference means a
/// stale image.
pub const VERSION: u32 = 5;

/// The longest line in bytes, newline included: a hostile or broken peer cannot fill the memory.
pub const LINE_LIMIT: usize = 32 << 20;

/// Why a message could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The other side is gone.
    #[error("the other side closed the channel")]
    Closed,
    /// The channel failed.
    #[error("the channel failed: {0}")]
    Io(#[from] std::io::Error),
    /// A line that is not a message.
    #[error("not a message ({error}): {start}")]
    Malformed {
        /// What the parser says.
        error: String,
        /// The start of the line.
        start: String,
    },
    /// A line over the limit.
    #[error("a line longer than {LINE_LIMIT} bytes")]
    TooLong,
    /// Another version of the protocol.
    #[error("the other side speaks version {0} of the protocol, this side version {VERSION}")]
    Version(u32),
}

#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    v: u32,
    m: T,
}

/// The line of a message, newline included.
///
/// # Errors
/// A message that is longer than [`LINE_LIMIT`].
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, WireError> {
    let mut line =
        serde_json::to_vec(&Envelope { v: VERSION, m: message }).map_err(|error| WireError::Io(error.into()))?;
    line.push(b'\n');
    if line.len() > LINE_LIMIT { Err(WireError::TooLong) } else { Ok(line) }
}

/// The message of a line, with or without its newline.
///
/// # Errors
/// Anything but one message of this version.
pub fn decode<T: DeserializeOwned>(line: &[u8]) -> Result<T, WireError> {
    let malformed = |error: serde_json::Error| WireError::Malformed {
        error: error.to_string(),
        start: String::from_utf8_lossy(&line[..line.len().min(200)]).into_owned(),
    };
    let envelope: Result<Envelope<T>, _> = limits::message(|| serde_json::from_slice(line));
    match envelope {
        Ok(Envelope { v: VERSION, m }) => Ok(m),
        Ok(Envelope { v, .. }) => Err(WireError::Version(v)),
        // A message of another version may have any form.
        Err(error) => match serde_json::from_slice::<Envelope<serde::de::IgnoredAny>>(line) {
            Ok(Envelope { v, .. }) if v != VERSION => Err(WireError::Version(v)),
            _ => Err(malformed(error)),
        },
    }
}

/// Writes one message and flushes.
///
/// # Errors
/// The channel's, and a message over the limit.
pub fn send<T: Serialize>(to: &mut impl Write, message: &T) -> Result<(), WireError> {
    to.write_all(&encode(message)?)?;
    Ok(to.flush()?)
}

/// Reads one message; blocks until it is there.
///
/// # Errors
/// [`WireError::Closed`] at the end of the channel, also in the middle of a line.
pub fn receive<T: DeserializeOwned>(from: &mut impl BufRead) -> Result<T, WireError> {
    let mut line = Vec::new();
    loop {
        let chunk = from.fill_buf()?;
        if chunk.is_empty() {
            return Err(WireError::Closed);
        }
        let newline = chunk.iter().position(|&byte| byte == b'\n');
        let taken = newline.map_or(chunk.len(), |at| at + 1);
        if line.len() + taken > LINE_LIMIT {
            return Err(WireError::TooLong);
        }
        line.extend_from_slice(&chunk[..taken]);
        from.consume(taken);
        if newline.is_some() {
            return decode(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, Request};

    #[test]
    fn what_is_sent_arrives() {
        let mut line = Vec::new();
        let event = Event::Broken { why: "a\nb".to_owned() };
        send(&mut line, &event).unwrap();
        send(&mut line, &event).unwrap();
        let mut reader = line.as_slice();
        assert_eq!(receive::<Event>(&mut reader).unwrap(), event);
        assert_eq!(receive::<Event>(&mut reader).unwrap(), event);
        assert!(matches!(receive::<Event>(&mut reader), Err(WireError::Closed)));
    }

    #[test]
    fn a_cut_line_is_no_message() {
        let line = encode(&Request::Shutdown).unwrap();
        for end in 0..line.len() {
            assert!(receive::<Request>(&mut &line[..end]).is_err());
        }
    }

    #[test]
    fn other_versions_are_refused() {
        assert!(matches!(decode::<Request>(br#"{"v":7,"m":"shutdown"}"#), Err(WireError::Version(7))));
    }

    #[test]
    fn noise_is_refused_without_panic() {
        arbtest::arbtest(|u| {
            let noise: Vec<u8> = u.arbitrary()?;
            assert!(decode::<Event>(&noise).is_err());
            Ok(())
        });
    }
}
