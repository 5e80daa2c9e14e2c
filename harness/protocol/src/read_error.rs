//! Why something could not be read: an error of the kernel, or what the observer says of it.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};
use vocabulary::Errno;

/// Why something could not be read. It is a text in messages and files: `ENOENT`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum ReadError {
    /// The kernel refused.
    Errno(Errno),
    /// Another cause, in words: what was read made no sense, or the kernel's number has no name.
    Other(String),
}

impl ReadError {
    /// The error's name, or the words.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Errno(errno) => errno.name(),
            Self::Other(words) => words,
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl From<Errno> for ReadError {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<&io::Error> for ReadError {
    fn from(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(number) => Errno::from_number(number).map_or_else(|| format!("errno {number}").into(), Self::Errno),
            None => error.to_string().into(),
        }
    }
}

/// A name is an error of the kernel, everything else stays as it is.
impl From<String> for ReadError {
    fn from(text: String) -> Self {
        text.parse().map_or(Self::Other(text), Self::Errno)
    }
}

impl From<ReadError> for String {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Errno(errno) => errno.name().to_owned(),
            ReadError::Other(words) => words,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_text_that_it_was_read_from() {
        for text in ["ENOENT", "UnknownErrno", "failed to fill whole buffer", ""] {
            let error: ReadError = serde_json::from_value(text.into()).unwrap();
            assert_eq!(serde_json::to_value(&error).unwrap(), text);
            assert_eq!(matches!(error, ReadError::Errno(Errno::ENOENT)), text == "ENOENT");
        }
    }

    #[test]
    fn a_number_without_a_name_is_kept() {
        let of = |number| ReadError::from(&io::Error::from_raw_os_error(number));
        assert_eq!(of(Errno::ELOOP.number()), ReadError::Errno(Errno::ELOOP));
        assert_eq!(of(524), ReadError::Other("errno 524".to_owned()));
        assert_eq!(ReadError::from(&io::Error::other("short")), ReadError::Other("short".to_owned()));
    }
}
