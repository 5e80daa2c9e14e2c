//! Probes: what a process can do with its objects at the end of a trial.
//!
//! A look reads and changes nothing. A probe acts: it reads on in a directory, writes, creates
//! names, unmounts. The agent has a *twin* do the same, a process that carried out the same program
//! and was never checkpointed. The judge compares the outcomes, text by text.

use serde::{Deserialize, Serialize};

use crate::limits;

/// Whether a process is probed. Only one of a program that is alone can be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Probing {
    /// It is not.
    #[default]
    Never,
    /// It is when the last action did what it should.
    WhenDone,
    /// It is, as long as there is a process: also after a dump that failed.
    Always,
}

/// What probes are about. Each group is one comparison of the judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeGroup {
    /// The rest of a directory that was read in part.
    Entries,
    /// Which locks somebody else can take, and what an unlock frees.
    Locks,
    /// What is written through one object, read through all others.
    Written,
    /// Where a file appears that is made from an object, with which mode and owner; what may be
    /// linked and renamed.
    Names,
    /// What may be done with the memory of a mapping, and whether it follows its file.
    Mappings,
    /// What comes out of named pipes, and what arrives over sockets.
    Pipes,
    /// What watches report, and which signals come.
    Events,
    /// What the mount calls can do with a directory.
    MountApi,
    /// Which mounts can be made read-only and unmounted.
    Busy,
    /// What is gone when everything is closed and unmounted.
    Release,
}

impl ProbeGroup {
    /// All of them, in the order in which they are tried: none spoils a later one.
    pub const ALL: [ProbeGroup; 10] = [
        Self::Entries,
        Self::Locks,
        Self::Written,
        Self::Names,
        Self::Mappings,
        Self::Pipes,
        Self::Events,
        Self::MountApi,
        Self::Busy,
        Self::Release,
    ];
}

/// One thing that was done, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// What it is about.
    pub group: ProbeGroup,
    /// The object or the mount point that it was done with.
    pub of: String,
    /// What was done: `write 12 bytes`.
    pub what: String,
    /// What came of it: an error's name, or what was seen. It has no number that the kernel hands
    /// out.
    pub outcome: String,
}

/// What came of all probes of one process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Probed {
    /// They were carried out.
    Done(#[serde(deserialize_with = "limits::lines")] Vec<Probe>),
    /// They were not, and why.
    Failed(String),
}

/// The probes of a trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probes {
    /// Of the process that was checkpointed, as it was after the last action.
    pub process: Probed,
    /// Of its twin.
    pub twin: Probed,
}
