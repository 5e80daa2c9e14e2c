//! Byte strings: file names, link texts, contents. Linux names are bytes, not text
//! (path_resolution(7)); this type keeps them whole and shows them readably.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A byte string. Its text form (`Display`, JSON) is the [`escape`]d one: printable ASCII and valid
/// UTF-8 text are written as they are; backslash, double quote and everything else is escaped.
/// Parsing the text form gives the same bytes.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    /// The bytes as a name that the operating system takes.
    pub fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }

    /// The bytes themselves.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// True when it is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Bytes(bytes.to_vec())
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes(bytes)
    }
}

impl From<&str> for Bytes {
    fn from(text: &str) -> Self {
        Bytes(text.as_bytes().to_vec())
    }
}

impl From<&OsStr> for Bytes {
    fn from(name: &OsStr) -> Self {
        Bytes(name.as_bytes().to_vec())
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(&self.0))
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&escape(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        unescape(&text).map(Bytes).map_err(|error| serde::de::Error::custom(error.to_string()))
    }
}

/// An escape sequence that does not exist or is cut short.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad escape at byte {at}: {what}")]
pub struct BadEscape {
    /// Offset in bytes of the backslash in the text.
    pub at: usize,
    /// What is wrong and what is possible.
    pub what: &'static str,
}

/// The readable form: `\n`, `\t`, `\r`, `\0`, `\\`, `\"`, `\xHH` for control characters and bytes
/// that are not UTF-8; everything else as it is.
pub fn escape(bytes: &[u8]) -> String {
    let stays = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'\\' | b'"');
    if bytes.iter().all(stays) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\r' => out.push_str("\\r"),
                '\0' => out.push_str("\\0"),
                c if c.is_control() => {
                    let mut buffer = [0; 4];
                    for byte in c.encode_utf8(&mut buffer).bytes() {
                        out.push_str(&format!("\\x{byte:02x}"));
                    }
                }
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// The bytes of a text in [`escape`]d form; the inverse of `escape`.
///
/// # Errors
/// A backslash that starts none of the known sequences.
pub fn unescape(text: &str) -> Result<Vec<u8>, BadEscape> {
    let bytes = text.as_bytes();
    if !bytes.contains(&b'\\') {
        return Ok(bytes.to_vec());
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'\\' {
            out.push(bytes[at]);
            at += 1;
            continue;
        }
        let simple = match bytes.get(at + 1) {
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'r') => b'\r',
            Some(b'0') => 0,
            Some(b'\\') => b'\\',
            Some(b'"') => b'"',
            Some(b'x') => {
                let digits = text.get(at + 2..at + 4);
                let value = digits
                    .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
                    .and_then(|digits| u8::from_str_radix(digits, 16).ok());
                out.push(value.ok_or(BadEscape { at, what: "\\x takes two hexadecimal digits" })?);
                at += 4;
                continue;
            }
            _ => return Err(BadEscape { at, what: "known are \\n \\t \\r \\0 \\\\ \\\" \\xHH" }),
        };
        out.push(simple);
        at += 2;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaping_loses_nothing() {
        arbtest::arbtest(|u| {
            let bytes: Vec<u8> = u.arbitrary()?;
            assert_eq!(unescape(&escape(&bytes)), Ok(bytes));
            Ok(())
        });
    }

    #[test]
    fn names_stay_readable() {
        assert_eq!(escape(b"f (deleted)"), "f (deleted)");
        assert_eq!(escape("größe".as_bytes()), "größe");
        assert_eq!(escape(b"a\nb\\040\xff\""), "a\\nb\\\\040\\xff\\\"");
    }

    #[test]
    fn bad_escapes_name_their_place() {
        assert_eq!(unescape("ab\\q").unwrap_err().at, 2);
        assert!(unescape("\\x4").is_err());
        assert!(unescape("\\").is_err());
    }
}
