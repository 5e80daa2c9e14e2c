//! What is tested: a CRIU build, or the reference engine, with or without a mistake.

use std::fmt;
use std::str::FromStr;

use protocol::Fault;
use protocol::fault::UnknownFault;
use protocol::message::{Engine, MountWay};

/// The criu of the userland's Debian suite.
pub const DEBIAN: &str = "debian:trixie";
/// The reference engine, a part of the agent.
pub const REFERENCE: &str = "reference";

/// A subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// `debian:trixie`
    Debian,
    /// `reference`, `reference+fault:NAME`
    Reference(Option<Fault>),
}

/// How the reference engine goes about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// Without `statmount(STATMOUNT_BY_FD)`, also where the kernel has it.
    pub without_statmount: bool,
    /// How detached mounts are made.
    pub way: MountWay,
}

/// A word that is no subject.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownSubject {
    /// No such subject.
    #[error("unknown subject {0:?}; known are {DEBIAN}, {REFERENCE} and {REFERENCE}+fault:NAME")]
    Subject(String),
    /// No such fault.
    #[error("{0}")]
    Fault(#[from] UnknownFault),
}

impl FromStr for Subject {
    type Err = UnknownSubject;

    fn from_str(word: &str) -> Result<Self, UnknownSubject> {
        match (word, word.strip_prefix("reference+fault:")) {
            (DEBIAN, _) => Ok(Self::Debian),
            (REFERENCE, _) => Ok(Self::Reference(None)),
            (_, Some(fault)) => Ok(Self::Reference(Some(fault.parse()?))),
            _ => Err(UnknownSubject::Subject(word.to_owned())),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Debian => f.write_str(DEBIAN),
            Self::Reference(None) => f.write_str(REFERENCE),
            Self::Reference(Some(fault)) => write!(f, "{REFERENCE}+fault:{fault}"),
        }
    }
}

impl Subject {
    /// What the guest is told.
    pub fn engine(self, manner: Manner) -> Engine {
        match self {
            Self::Debian => Engine::Criu,
            Self::Reference(fault) => {
                Engine::Reference { fault, without_statmount: manner.without_statmount, way: manner.way }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_subjects_are_the_same() {
        for word in ["debian:trixie", "reference", "reference+fault:dot-name-as-root"] {
            assert_eq!(word.parse::<Subject>().unwrap().to_string(), word);
        }
    }

    #[test]
    fn unknown_words_name_the_known_ones() {
        let error = |word: &str| word.parse::<Subject>().unwrap_err().to_string();
        assert!(error("debian:sid").contains("known are debian:trixie, reference and reference+fault:NAME"));
        assert!(error("reference+fault:x").starts_with("unknown fault \"x\"; known are attached,"));
        assert!(error("reference+fault").starts_with("unknown subject"));
    }
}
