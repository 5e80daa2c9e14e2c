//! How much of what comes from elsewhere is taken: messages of a guest, and files that may be
//! somebody else's. Each format has its limits here and nowhere else.
//!
//! A message must not become more in memory than its bytes: the peer is not trusted, and a short
//! line must not grow into a large value. A line has at most [`crate::wire::LINE_LIMIT`] bytes, and
//! nearly everything in it takes memory in proportion. Two things do not: lookups that stand
//! together come apart (`Expansion`), and lists of texts, whose empty elements take eight times the
//! room that they have in a line. Both are counted while the message is read, so what is over a
//! limit is never there.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// So many lookups a message may have. One of a pack of 32 programs has some ten thousands.
pub const LOOKUPS: usize = 1 << 20;
/// So many bytes may their paths and texts have in all.
pub const LOOKUP_BYTES: usize = 64 << 20;
/// So many lines a log or another list of texts may have; the agent sends no more than 500 lines of
/// the kernel's.
pub const LINES: usize = 1 << 14;
/// So many files a report may have for the artifacts: an action has two or three.
pub const FILES: usize = 256;
/// So many images of a checkpoint a report may have. criu makes some thirty of one process.
pub const IMAGES: usize = 256;
/// So many bytes may they have in all; in a line each takes two. Those of a program have about 0.3
/// MiB.
pub const IMAGE_BYTES: usize = 8 << 20;

/// So many bytes may a JSON report have.
pub const REPORT_BYTES: u64 = 256 << 20;
/// So many trials may it have, and so many may several reports have together.
pub const REPORT_TRIALS: usize = 1 << 20;
/// So many characters of a text of a trial are in reports: of its reason, a line of its log, a
/// value that differs. The artifacts have all.
pub const REPORT_TEXT: usize = 1 << 12;
/// So many lines of its log.
pub const REPORT_LINES: usize = 200;
/// So many causes, the most common ones, are explained by what their scenarios have in common. One
/// takes time in proportion to what passed.
pub const EXPLAINED_CAUSES: usize = 1000;
/// So many bytes may a file of known failures have: a hundred times that of the project.
pub const EXPECTATIONS_BYTES: u64 = 2 << 20;

/// So many bytes may the state of a campaign have. Those of hours have a few MiB.
pub const CAMPAIGN_STATE_BYTES: u64 = 256 << 20;
/// So many bytes may a program that another member of a campaign wrote have. Long ones have 4 KiB.
pub const CAMPAIGN_PROGRAM_BYTES: u64 = 64 << 10;
/// So many files and folders of a campaign's folder are looked at for members.
pub const CAMPAIGN_MEMBERS: usize = 4096;

/// How many lookups came of groups so far, and their bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Expansion {
    entries: usize,
    bytes: usize,
}

thread_local! {
    /// That of the message that this thread reads; none between two.
    static MESSAGE: Cell<Option<Expansion>> = const { Cell::new(None) };
}

/// Reads one message: all lists in it share the limits on lookups. A list that is read outside has
/// them for itself.
pub fn message<T>(read: impl FnOnce() -> T) -> T {
    let outer = MESSAGE.replace(Some(Expansion::default()));
    let value = read();
    MESSAGE.set(outer);
    value
}

impl Expansion {
    /// Counts on from what the message has so far.
    pub(crate) fn so_far() -> Self {
        MESSAGE.get().unwrap_or_default()
    }

    /// Counts `copies` of something that takes `bytes`, before they are made.
    pub(crate) fn take<E: Error>(&mut self, copies: usize, bytes: usize) -> Result<(), E> {
        self.entries = self.entries.saturating_add(copies);
        self.bytes = self.bytes.saturating_add(bytes.saturating_mul(copies));
        if MESSAGE.get().is_some() {
            MESSAGE.set(Some(*self));
        }
        if self.entries > LOOKUPS {
            return Err(E::custom(format_args!("more than {LOOKUPS} lookups in one message")));
        }
        if self.bytes > LOOKUP_BYTES {
            return Err(E::custom(format_args!("lookups of more than {LOOKUP_BYTES} bytes in one message")));
        }
        Ok(())
    }
}

/// A list of no more than [`LINES`], for `#[serde(deserialize_with)]`.
pub(crate) fn lines<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    from.deserialize_seq(List::<T, LINES>(PhantomData))
}

/// A list of no more than [`FILES`], for `#[serde(deserialize_with)]`.
pub(crate) fn files<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    from.deserialize_seq(List::<T, FILES>(PhantomData))
}

struct List<T, const LIMIT: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const LIMIT: usize> Visitor<'de> for List<T, LIMIT> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {LIMIT}")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<T>, A::Error> {
        let mut all = Vec::new();
        while let Some(element) = sequence.next_element()? {
            if all.len() == LIMIT {
                return Err(A::Error::custom(format_args!("a list of more than {LIMIT}")));
            }
            all.push(element);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::message::{Event, TrialReport};
    use crate::wire::{self, WireError};

    fn decoded(report: &serde_json::Value) -> Result<Event, WireError> {
        let line =
            json!({"v": wire::VERSION, "m": {"finished": {"trial": 1, "report": {"programs": [report]}}}}).to_string();
        wire::decode(line.as_bytes())
    }

    fn refused(report: &serde_json::Value, why: &str) {
        match decoded(report) {
            Err(WireError::Malformed { error, .. }) => assert!(error.contains(why), "{error}"),
            other => panic!("{why}: {other:.200?}"),
        }
    }

    #[test]
    fn lists_of_texts_and_files_have_an_end() {
        let report = serde_json::to_value(TrialReport::default()).unwrap();
        for list in ["kernel_log", "leftovers"] {
            let mut full = report.clone();
            full[list] = vec![""; LINES].into();
            assert!(decoded(&full).is_ok());
            full[list] = vec![""; LINES + 1].into();
            refused(&full, "a list of more than 16384");
        }
        let mut full = report;
        full["files"] = vec![json!({"name": "d", "text": ""}); FILES + 1].into();
        refused(&full, "a list of more than 256");
    }

    /// A list of groups that comes apart into this many lookups of a byte each.
    fn groups(lookups: usize) -> String {
        let how = vec!["\"plain\""; lookups].join(",");
        format!(r#"[{{"path":"a","how":[{how}],"outcome":{{"err":""}}}}]"#)
    }

    #[derive(serde::Deserialize)]
    struct Lookups(#[serde(with = "crate::together")] Vec<crate::observation::Lookup>);

    #[test]
    fn all_lists_of_a_message_share_its_limits() {
        let half = groups(LOOKUPS / 2 + 1);
        let both = format!("[{half},{half}]");
        let read = || serde_json::from_str::<Vec<Lookups>>(&both);
        let alone = read().unwrap();
        assert_eq!(alone.iter().map(|list| list.0.len()).sum::<usize>(), LOOKUPS + 2);
        drop(alone);
        let error = message(read).err().expect("together they are too many").to_string();
        assert!(error.starts_with("more than 1048576 lookups in one message"), "{error}");
        let line = format!(r#"{{"v":{},"m":{both}}}"#, wire::VERSION);
        assert!(matches!(wire::decode::<Vec<Lookups>>(line.as_bytes()), Err(WireError::Malformed { .. })));
        // The next message starts anew.
        let line = format!(r#"{{"v":{},"m":[{half}]}}"#, wire::VERSION);
        assert!(wire::decode::<Vec<Lookups>>(line.as_bytes()).is_ok());
    }
}
