//! The namespaces of the process under test.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// In which namespaces the process under test runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flavor {
    /// The agent's own.
    Host,
    /// New mount, PID, IPC and UTS namespaces.
    Ns,
    /// The same below a new user namespace: root in there has no rights outside.
    Userns,
}

impl Flavor {
    /// Every flavor.
    pub const ALL: &[Self] = &[Self::Host, Self::Ns, Self::Userns];

    /// The word on the command line, in programs and in ids.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Ns => "ns",
            Self::Userns => "userns",
        }
    }

    /// What it is, in one sentence.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Host => "the agent's own: those of the whole machine",
            Self::Ns => "new mount, PID, IPC and UTS namespaces, and a root of its own",
            Self::Userns => "the same below a new user namespace, whose root is user 20000 outside",
        }
    }

    /// Whether the process has a mount namespace and a root of its own.
    pub const fn has_own_root(self) -> bool {
        !matches!(self, Self::Host)
    }

    /// Whether what requires the flavor `required` can run in this one: those with more around the
    /// process have all that `ns` has.
    pub fn serves(self, required: Self) -> bool {
        self == required || (required == Self::Ns && self.has_own_root())
    }
}

impl fmt::Display for Flavor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// A word that is not a flavor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown flavor {0:?}; known are host, ns, userns")]
pub struct UnknownFlavor(pub String);

impl FromStr for Flavor {
    type Err = UnknownFlavor;

    fn from_str(word: &str) -> Result<Self, UnknownFlavor> {
        Self::ALL.iter().copied().find(|flavor| flavor.word() == word).ok_or_else(|| UnknownFlavor(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_and_written_alike() {
        for &flavor in Flavor::ALL {
            assert_eq!(flavor.word().parse(), Ok(flavor));
            assert_eq!(serde_json::to_value(flavor).unwrap(), flavor.word());
        }
        let error = "nested".parse::<Flavor>().unwrap_err().to_string();
        assert_eq!(error, "unknown flavor \"nested\"; known are host, ns, userns");
    }

    #[test]
    fn a_flavor_with_a_root_of_its_own_serves_what_needs_one() {
        let served = |required: Flavor| Flavor::ALL.iter().copied().filter(|flavor| flavor.serves(required)).collect();
        let all: Vec<Vec<Flavor>> = Flavor::ALL.iter().map(|&required| served(required)).collect();
        assert_eq!(all, [vec![Flavor::Host], vec![Flavor::Ns, Flavor::Userns], vec![Flavor::Userns]]);
    }
}
