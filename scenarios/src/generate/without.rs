//! What no program is to have, for engines that are known not to do it.

use std::fmt;
use std::str::FromStr;

use super::kinds;
use crate::Step;
use crate::grammar::{StepKind, StepParts, Vocabulary, decompose, words};
use crate::program::Filesystem;

/// Names that are often taken for something else.
const ODD_NAMES: &str = "odd-names";

/// Kinds of steps, by their verbs, filesystems, and `odd-names`: a bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Without(u128);

impl Without {
    /// Whether a program without these cannot have this step.
    pub fn forbids(self, step: &Step) -> bool {
        self.forbids_parts(step, &decompose(step))
    }

    /// The same for a step that is decomposed already.
    pub(super) fn forbids_parts(self, step: &Step, parts: &StepParts) -> bool {
        let filesystem = match step {
            Step::Mount { filesystem, .. } | Step::NewTree { filesystem, .. } => bit_of_filesystem(*filesystem),
            _ => 0,
        };
        self.0 & (bit_of_kind(parts.form.kind) | filesystem) != 0
    }

    /// Whether only plain names are used.
    pub fn odd_names(self) -> bool {
        self.0 & ODD_NAMES_BIT != 0
    }

    /// Without these filesystems either.
    #[must_use]
    pub fn and(self, filesystems: &[Filesystem]) -> Self {
        Without(filesystems.iter().fold(self.0, |bits, &filesystem| bits | bit_of_filesystem(filesystem)))
    }

    /// Whether a program may have this filesystem.
    pub(super) fn allows(self, filesystem: Filesystem) -> bool {
        self.0 & bit_of_filesystem(filesystem) == 0
    }
}

const KINDS: usize = StepKind::ALL.len();
const FILESYSTEMS: usize = Filesystem::WORDS.len();
/// The bit after those of all kinds and filesystems; one too many does not compile.
const ODD_NAMES_BIT: u128 = 1 << (KINDS + FILESYSTEMS);

const fn bit_of_kind(kind: StepKind) -> u128 {
    1 << kind as u128
}

fn bit_of_filesystem(filesystem: Filesystem) -> u128 {
    let place = Filesystem::WORDS.iter().position(|(_, other)| *other == filesystem);
    place.map_or(0, |place| 1 << (KINDS + place))
}

/// Every word with its bit.
fn vocabulary() -> impl Iterator<Item = (&'static str, u128)> {
    let filesystems = words::<Filesystem>().into_iter().enumerate().map(|(place, word)| (word, 1 << (KINDS + place)));
    kinds().map(|kind| (kind.verb(), bit_of_kind(kind))).chain(filesystems).chain([(ODD_NAMES, ODD_NAMES_BIT)])
}

impl FromStr for Without {
    type Err = String;

    /// Words with commas in between: `overlay,ramfs`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut bits = 0;
        for word in text.split(',').filter(|word| !word.is_empty()) {
            let (_, bit) = vocabulary().find(|(other, _)| *other == word).ok_or_else(|| {
                let all: Vec<&str> = vocabulary().map(|(word, _)| word).collect();
                format!("`{word}` is not one of {}", all.join(", "))
            })?;
            bits |= bit;
        }
        Ok(Without(bits))
    }
}

impl fmt::Display for Without {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chosen: Vec<&str> = vocabulary().filter(|(_, bit)| self.0 & bit != 0).map(|(word, _)| word).collect();
        f.write_str(&chosen.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_and_filesystems_are_named() {
        let without: Without = "overlay,ramfs".parse().expect("good words");
        assert_eq!(without.to_string(), "overlay,ramfs");
        let forbidden = |text: &str| {
            let program = crate::text::program(text).expect("a good program");
            program.steps.iter().any(|line| without.forbids(&line.step))
        };
        assert!(forbidden("mount ramfs a\n"));
        assert!(forbidden("mkdir l\nmkdir u\nmkdir w\noverlay o lower=l upper=u work=w\n"));
        assert!(!forbidden("mount tmpfs a\nwrite a/f \"ramfs\"\n"));
        let more = without.and(&[Filesystem::Tmpfs]);
        assert!(!more.allows(Filesystem::Tmpfs) && !more.allows(Filesystem::Ramfs) && more.allows(Filesystem::Ext4));
        assert_eq!(more.to_string(), "overlay,tmpfs,ramfs");
        assert!("overlays".parse::<Without>().expect_err("no such step").contains("`overlays` is not one of"));
        let bits: Vec<u128> = vocabulary().map(|(_, bit)| bit).collect();
        assert!(bits.iter().all(|bit| bit.count_ones() == 1) && bits.is_sorted(), "{bits:?}");
    }
}
