//! What the fuzz target of messages calls of this crate. It panics when a property does not hold.

use std::io::BufReader;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::wire::{self, WireError};
use crate::{Event, Request};

/// Whatever a peer sends, each message that is taken is sent on and arrives as the same, and it
/// does not matter in what pieces the bytes come. The events, for callers that check them.
///
/// # Panics
/// When that does not hold.
pub fn messages(bytes: &[u8]) -> Vec<Event> {
    sent_on::<Request>(bytes);
    sent_on(bytes)
}

fn sent_on<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(bytes: &[u8]) -> Vec<T> {
    let messages = received(&mut &bytes[..]);
    assert_eq!(received::<T>(&mut BufReader::with_capacity(7, bytes)), messages, "in pieces of 7 bytes");
    for message in &messages {
        let line = wire::encode(message).expect("it came in a line that is not too long");
        assert_eq!(&wire::decode::<T>(&line).expect("what is sent is a message"), message);
    }
    messages
}

/// The messages of a stream; other lines are skipped.
fn received<T: DeserializeOwned>(from: &mut impl std::io::BufRead) -> Vec<T> {
    let mut messages = Vec::new();
    loop {
        match wire::receive(from) {
            Ok(message) => messages.push(message),
            Err(WireError::Malformed { .. } | WireError::Version(_)) => {}
            Err(WireError::Closed | WireError::TooLong) => return messages,
            Err(WireError::Io(error)) => panic!("memory cannot fail: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Wake;

    #[test]
    fn messages_among_noise_are_found() {
        let event = Event::Broken { why: "größe\n".to_owned() };
        let request = Request::Wake(Wake { nonce: u64::MAX, unix_time_ns: 0 });
        let lines = [wire::encode(&event).unwrap(), b"\xff\n".to_vec(), wire::encode(&request).unwrap()];
        assert_eq!(messages(&lines.concat()), [event]);
    }
}
