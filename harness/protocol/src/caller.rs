//! What the caller of criu finds around itself after a dump or a restore: the lifecycle
//! with relative paths is about this, and no other observes it.
//!
//! The caller's working directory is a folder with two others in it, one for images and one to work
//! in, and names both, the log and the pidfile by relative paths. At the end of a restore a hook
//! (criu's `--action-script`) tells where it was started.

use serde::{Deserialize, Serialize};

use vocabulary::lifecycle::Action;

/// One thing that the caller observes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matter {
    /// What it is, for people and in differences.
    pub what: &'static str,
    /// What must be found.
    pub expected: &'static str,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// That of a [`Matter`].
    pub what: String,
    /// The expected text, or another one.
    pub got: String,
}

/// The folder for images, below the caller's working directory.
pub const IMAGES: &str = "images";
/// The folder to work in, below that one: logs and the pidfile.
pub const WORK: &str = "work";
/// The pidfile.
pub const PIDFILE: &str = "restored.pid";

/// The images.
pub const IN_IMAGES: Matter = Matter { what: "images", expected: "inventory.img, in the folder for images" };
/// The log.
pub const LOG: Matter = Matter { what: "log", expected: "in the folder to work in" };
/// The pidfile.
pub const NUMBER: Matter = Matter { what: "pidfile", expected: "the process's number, in the folder to work in" };
/// What criu notes of its own work, where it stands at its end.
pub const STATISTICS: Matter = Matter { what: "statistics", expected: "in the folder to work in" };
/// What else is there.
pub const OTHERS: Matter = Matter { what: "other files where the caller stands", expected: "(none)" };
/// Where the hook was started.
pub const PLACE: Matter = Matter { what: "working directory of the hook", expected: "the folder to work in" };
/// With which mask.
pub const MASK: Matter = Matter { what: "umask of the hook", expected: "the caller's" };
/// In which namespaces.
pub const NAMESPACES: Matter = Matter { what: "namespaces of the hook", expected: "the caller's" };

/// What the caller observes after this action.
pub const fn matters(action: Action) -> &'static [Matter] {
    match action {
        Action::RelativeDump => &[IN_IMAGES, LOG, STATISTICS, OTHERS],
        Action::RelativeRestore | Action::RelativeScriptRestore => {
            &[LOG, NUMBER, STATISTICS, OTHERS, PLACE, MASK, NAMESPACES]
        }
        _ => &[],
    }
}

impl Matter {
    /// It is as it must be, or this.
    pub fn found(self, wrong: Option<String>) -> Finding {
        Finding { what: self.what.to_owned(), got: wrong.unwrap_or_else(|| self.expected.to_owned()) }
    }
}
