//! One thing that is not as it must be, worded so that a person sees it at once and a program can
//! sort it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::verdict::FailureKind;

/// Where a difference was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// By the process itself.
    Inside,
    /// By the agent, of the process.
    Outside,
    /// In the tree below the program's top directory.
    Tree,
    /// In the mount table of the process.
    Mounts,
    /// In the mount table of the agent.
    HostMounts,
    /// By what the process can do; a twin that was never checkpointed did it as well.
    Probe,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Inside => "inside",
            Self::Outside => "outside",
            Self::Tree => "tree",
            Self::Mounts => "mounts",
            Self::HostMounts => "host-mounts",
            Self::Probe => "probe",
        })
    }
}

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The name of the comparison that saw it: `link`.
    pub comparison: String,
    /// What it alone would make of the trial.
    pub kind: FailureKind,
    /// Where it was seen.
    pub view: Side,
    /// Which object, path or mount point; `None` where `what` says it all.
    pub object: Option<String>,
    /// What of it: `link`, `lookup "d/.." (beneath)`.
    pub what: String,
    /// Before, escaped as in the program language.
    pub expected: String,
    /// After.
    pub got: String,
    /// The known defect that explains it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<String>,
}

impl fmt::Display for Difference {
    /// The heading: `fd0 (descriptor 3), inside: link`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.object {
            Some(object) => write!(f, "{object}, {}: {}", self.view, self.what),
            None => write!(f, "{}, {}", self.what, self.view),
        }
    }
}
