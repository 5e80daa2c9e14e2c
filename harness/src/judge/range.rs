//! Ranges of versions: `6.12`, `6.12..`, `..4.2`, `6.1..6.12`, both ends inclusive.
//!
//! An end counts only as many numbers as it names: `..4.2` includes 4.2.1, `6.12` is every 6.12.x.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A version as its numbers: `4.1.1` is 4, 1, 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(Vec<u64>);

impl Version {
    /// The first dotted number in a text: `6.12.5+deb13-amd64`, `Version: 4.1.1`, `debian-6.12`.
    /// None without one.
    pub fn find(text: &str) -> Option<Self> {
        let from = text.find(|c: char| c.is_ascii_digit())?;
        let rest = &text[from..];
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        numbers(rest[..end].trim_end_matches('.'))
    }

    /// The first two numbers: 6.12.5 is (6, 12).
    pub fn release(&self) -> (u32, u32) {
        let number = |index: usize| self.0.get(index).map_or(0, |&number| u32::try_from(number).unwrap_or(u32::MAX));
        (number(0), number(1))
    }

    /// This version against the end of a range, as far as the end goes.
    fn against(&self, end: &Self) -> Ordering {
        let mut mine = self.0.iter().copied().chain(std::iter::repeat(0));
        end.0
            .iter()
            .map(|theirs| mine.next().unwrap_or(0).cmp(theirs))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(u64::to_string).collect();
        f.write_str(&numbers.join("."))
    }
}

fn numbers(text: &str) -> Option<Version> {
    text.split('.').map(|number| number.parse().ok()).collect::<Option<Vec<u64>>>().map(Version)
}

/// A range of versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    from: Option<Version>,
    to: Option<Version>,
}

impl Range {
    /// Whether the version is in it.
    pub fn contains(&self, version: &Version) -> bool {
        self.from.as_ref().is_none_or(|from| version.against(from).is_ge())
            && self.to.as_ref().is_none_or(|to| version.against(to).is_le())
    }
}

/// A text that is not a range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no range of versions; write 6.12, 6.12.., ..6.12 or 6.1..6.12")]
pub struct BadRange(pub String);

impl FromStr for Range {
    type Err = BadRange;

    fn from_str(text: &str) -> Result<Self, BadRange> {
        let bad = || BadRange(text.to_owned());
        let end = |text: &str| if text.is_empty() { Ok(None) } else { numbers(text).map(Some).ok_or_else(bad) };
        let range = match text.split_once("..") {
            None => Self { from: end(text)?, to: end(text)? },
            Some((from, to)) => Self { from: end(from)?, to: end(to)? },
        };
        if range == (Self { from: None, to: None }) { Err(bad()) } else { Ok(range) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(range: &str, version: &str) -> bool {
        range.parse::<Range>().unwrap().contains(&Version::find(version).unwrap())
    }

    #[test]
    fn ends_are_inclusive_and_as_exact_as_written() {
        assert!(holds("6.12..", "6.12.5+deb13-amd64") && holds("6.12..", "7.3") && !holds("6.12..", "6.1.0-40"));
        assert!(holds("..4.2", "Version: 4.2.1") && holds("..4.2", "3.17.1") && !holds("..4.2", "4.3"));
        assert!(holds("6.12", "6.12.99") && !holds("6.12", "6.13") && !holds("6.12", "6.1"));
        assert!(holds("6.1..6.12", "6.6") && !holds("6.1..6.12", "7.0"));
        assert!(holds("4.1.1..", "4.1.1") && !holds("4.1.1..", "4.1"));
    }

    #[test]
    fn bad_ranges_say_what_is_possible() {
        for bad in ["", "..", "6.x", "6..7..8", "a..", " 6.1"] {
            assert!(bad.parse::<Range>().is_err(), "{bad:?}");
        }
        assert!(Version::find("mainline").is_none());
    }
}
