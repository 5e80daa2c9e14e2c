//! What is interesting: something that no program of the campaign has shown before.
//!
//! A feature is a line of criu's log without what changes, an error name, a kind of verdict, or a
//! state of the model: what sort of object on what sort of mount, deleted or not, shared with what.
//! Branches of a criu that counts them are kept apart, in [`super::arcs`].

use std::collections::BTreeSet;

use protocol::observation::Outcome;
use serde::{Deserialize, Serialize};

use crate::judge::signature::plain;
use crate::run::Over;

/// More features than this are not kept: something that changes each time has got into one.
const LIMIT: usize = 20_000;

/// Features seen so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Features(BTreeSet<String>);

impl Features {
    /// Notes features; how many of them are new.
    pub fn add(&mut self, features: impl IntoIterator<Item = String>) -> usize {
        let before = self.0.len();
        for feature in features {
            if self.0.len() >= LIMIT {
                break;
            }
            self.0.insert(feature);
        }
        self.0.len() - before
    }

    /// Notes all that another campaign has seen.
    pub fn add_all(&mut self, other: &Self) {
        self.add(other.0.iter().cloned());
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// None yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What a program showed.
pub fn of(over: &Over) -> Vec<String> {
    let mut all = vec![format!("verdict {}", over.judgement.verdict)];
    all.extend(over.judgement.quotes.iter().map(|line| format!("error {}", plain(line))));
    let Some(report) = &over.report else { return all };
    for file in &report.files {
        all.extend(log_lines(&file.text));
    }
    let objects = report.before.iter().flat_map(|before| &before.inside.objects);
    let mut sorts = BTreeSet::new();
    for object in objects {
        let kind = match &object.status {
            Outcome::Ok(status) => format!("{:?} links {}", status.kind, status.links.min(3)),
            Outcome::Err(error) => error.to_string(),
        };
        let deleted = object.link.0.ends_with(b" (deleted)");
        let magic = match &object.filesystem {
            Outcome::Ok(filesystem) => format!("{:x} {:x}", filesystem.magic, filesystem.flags),
            Outcome::Err(error) => error.to_string(),
        };
        let flags = object.descriptor.as_ref().map_or(0, |descriptor| descriptor.flags);
        sorts.insert(format!("object {kind} {:?} {magic} deleted {deleted} flags {flags:o}", object.mount.state));
    }
    all.extend(sorts);
    all
}

/// The lines of a criu log as features: without times, numbers and paths.
pub fn log_lines(log: &str) -> impl Iterator<Item = String> + '_ {
    let without_time = |line: &str| match line.strip_prefix('(').and_then(|rest| rest.split_once(") ")) {
        Some((time, rest)) if time.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => rest.to_owned(),
        _ => line.to_owned(),
    };
    log.lines().map(move |line| format!("log {}", plain(&without_time(line))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_counts() {
        let mut all = Features::default();
        assert!(all.is_empty());
        let log =
            "(00.01) Dumping path for 3 fd via self 12 [/d/f]\n(00.02) Dumping path for 4 fd via self 13 [/x]\nWarn\n";
        assert_eq!(all.add(log_lines(log)), 2);
        assert_eq!(all.add(log_lines(log)), 0);
        assert_eq!(all.len(), 2);
        assert_eq!(all.add((0..LIMIT + 10).map(|number| number.to_string())), LIMIT - 2);
    }
}
