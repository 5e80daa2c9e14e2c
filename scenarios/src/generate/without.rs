//! What no program is to have, for engines that are known not to do it.

use std::fmt;
use std::str::FromStr;

use super::KINDS;
use crate::Step;
use crate::grammar::{StepParts, decompose, word, words};
use crate::program::Filesystem;

/// Names that are often taken for something else.
const ODD_NAMES: &str = "odd-names";

/// Kinds of steps, by their verbs, filesystems, and `odd-names`: a bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Without(u64);

impl Without {
    /// Whether a program without these cannot have this step.
    pub fn forbids(self, step: &Step) -> bool {
        self.forbids_parts(step, &decompose(step))
    }

    /// The same for a step that is decomposed already.
    pub(super) fn forbids_parts(self, step: &Step, parts: &StepParts) -> bool {
        let filesystem = match step {
            Step::Mount { filesystem, .. } => Some(word(*filesystem)),
            _ => None,
        };
        self.has(parts.form.verb) || filesystem.is_some_and(|filesystem| self.has(filesystem))
    }

    /// Whether only plain names are used.
    pub fn odd_names(self) -> bool {
        self.has(ODD_NAMES)
    }

    /// Without these filesystems either.
    #[must_use]
    pub fn and(self, filesystems: &[Filesystem]) -> Self {
        let of_word = |name: &str| vocabulary().position(|other| other == name).map_or(0, |bit| 1 << bit);
        Without(filesystems.iter().fold(self.0, |bits, &filesystem| bits | of_word(word(filesystem))))
    }

    /// Whether a program may have this filesystem.
    pub(super) fn allows(self, filesystem: Filesystem) -> bool {
        !self.has(word(filesystem))
    }

    fn has(self, word: &str) -> bool {
        self.0 != 0 && vocabulary().position(|other| other == word).is_some_and(|bit| self.0 & 1 << bit != 0)
    }
}

/// Every word, in the order of its bit.
fn vocabulary() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|(kind, _)| *kind).chain(words::<Filesystem>()).chain([ODD_NAMES])
}

impl FromStr for Without {
    type Err = String;

    /// Words with commas in between: `overlay,ramfs`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut bits = 0;
        for word in text.split(',').filter(|word| !word.is_empty()) {
            let bit = vocabulary().position(|other| other == word).ok_or_else(|| {
                let all: Vec<&str> = vocabulary().collect();
                format!("`{word}` is not one of {}", all.join(", "))
            })?;
            bits |= 1 << bit;
        }
        Ok(Without(bits))
    }
}

impl fmt::Display for Without {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chosen: Vec<&str> = vocabulary().filter(|word| self.has(word)).collect();
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
        assert!(vocabulary().count() <= 64);
    }
}
