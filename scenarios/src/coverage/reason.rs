//! Why a point of the map has no scenario, and whether that is still true.

use std::fmt;

use vocabulary::{Flavor, Lifecycle};

use super::facts::Facts;
use crate::grammar::{self, StepKind, words};
use crate::program::Filesystem;

/// Why a point has no scenario. All but [`Reason::NoScenario`] say that none can be written. Those
/// that name a word are outdated as soon as that word is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The language has no such step.
    Step(&'static str),
    /// `mount` has no such filesystem.
    Filesystem(&'static str),
    /// This step takes no such argument.
    Argument(&'static str, &'static str),
    /// There is no such flavor.
    Flavor(&'static str),
    /// There is no such lifecycle.
    Lifecycle(&'static str),
    /// What else is missing.
    Missing(&'static str),
    /// It can be written, and why it was not.
    NoScenario(&'static str),
}

impl Reason {
    /// Whether a scenario could be written.
    pub fn is_expressible(self) -> bool {
        matches!(self, Reason::NoScenario(_))
    }

    /// Whether the word that is missing is known by now.
    pub fn is_outdated(self) -> bool {
        match self {
            Reason::Step(verb) => StepKind::of_verb(verb).is_some(),
            Reason::Filesystem(word) => words::<Filesystem>().contains(&word),
            Reason::Argument(verb, key) => grammar::forms()
                .any(|form| form.verb() == verb && form.arguments.iter().any(|one| one.key == Some(key))),
            Reason::Flavor(word) => word.parse::<Flavor>().is_ok(),
            Reason::Lifecycle(word) => word.parse::<Lifecycle>().is_ok(),
            Reason::Missing(_) | Reason::NoScenario(_) => false,
        }
    }

    /// Whether a scenario uses the word that is missing.
    pub(super) fn is_word_used_by(self, facts: &Facts<'_>) -> bool {
        let has = |verb: &str, text: &str| facts.lines().any(|line| line.contains(verb) && line.contains(text));
        match self {
            Reason::Step(verb) => has(&format!("{verb} "), ""),
            Reason::Filesystem(word) => has("mount ", &format!(" {word} ")),
            Reason::Argument(verb, key) => has(&format!("{verb} "), &format!(" {key}=")),
            Reason::Flavor(word) => facts.flavors().any(|flavor| flavor.word() == word),
            Reason::Lifecycle(word) => facts.lifecycles().any(|lifecycle| lifecycle.word() == word),
            Reason::Missing(_) | Reason::NoScenario(_) => false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Step(verb) => write!(f, "there is no step `{verb}`"),
            Reason::Filesystem(word) => write!(f, "`mount` has no filesystem `{word}`"),
            Reason::Argument(verb, key) => write!(f, "`{verb}` has no argument `{key}=`"),
            Reason::Flavor(word) => write!(f, "there is no flavor `{word}`"),
            Reason::Lifecycle(word) => write!(f, "there is no lifecycle `{word}`"),
            Reason::Missing(what) | Reason::NoScenario(what) => f.write_str(what),
        }
    }
}
