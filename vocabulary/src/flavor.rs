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
}

impl Flavor {
    /// Every flavor.
    pub const ALL: &[Self] = &[Self::Host, Self::Ns];

    /// The word on the command line, in programs and in ids.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Ns => "ns",
        }
    }
}

impl fmt::Display for Flavor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// A word that is not a flavor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown flavor {0:?}; known are host, ns")]
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
        let error = "userns".parse::<Flavor>().unwrap_err().to_string();
        assert_eq!(error, "unknown flavor \"userns\"; known are host, ns");
    }
}
