//! A scenario: a program with a name, a one-line summary, requirements and an expected outcome.

use std::path::PathBuf;

use vocabulary::{Flavor, Lifecycle};

use crate::Program;
use crate::model::Model;

/// One point of the catalogue: a file with all its axes fixed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// `family/file` and the axes' values: `deleted/unlinked@ext4`, `attributes/ro@tmpfs,rdwr`.
    pub name: String,
    /// The folder below the catalogue; empty for a user's own file.
    pub family: String,
    /// The file's first comment line.
    pub summary: String,
    /// What it needs.
    pub requires: Requirements,
    /// What must come of it.
    pub outcome: Outcome,
    /// The steps, with the axes' values in place of the variables.
    pub program: Program,
    /// Where it was read from; `None` when it came from memory.
    pub file: Option<PathBuf>,
}

impl Scenario {
    /// A generated program, which must come back, or be refused where the model is
    /// sure that it cannot be restored. What its steps need it requires.
    pub fn generated(name: impl Into<String>, program: Program) -> Self {
        let own = program.steps.iter().any(|line| line.step.needs_own_namespace());
        let flavors = if own { vec![Flavor::Ns] } else { Vec::new() };
        let outcome = match Model::run(&program) {
            Ok(model) if model.is_irrecoverable() => {
                Outcome::Refused { reason: "no mount shows the filesystem of an object any more".to_owned() }
            }
            _ => Outcome::Restored,
        };
        Scenario {
            name: name.into(),
            family: "fuzz".to_owned(),
            summary: "Generated.".to_owned(),
            requires: Requirements { flavors, ..Requirements::default() },
            outcome,
            program,
            file: None,
        }
    }
}

/// What a scenario needs; decided before it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirements {
    /// The axes and the values that this scenario has on them, in the order of the file: `fs` =
    /// `ext4`.
    pub axes: Vec<(String, String)>,
    /// `kernel=6.12..`: the lowest release, inclusive.
    pub kernel_from: Option<(u32, u32)>,
    /// `kernel=..6.12`: the highest release, inclusive.
    pub kernel_to: Option<(u32, u32)>,
    /// `flavor=ns`: the flavors it can run in; empty for all.
    pub flavors: Vec<Flavor>,
    /// `lifecycle=...`: the lifecycles it can run in; empty for all.
    pub lifecycles: Vec<Lifecycle>,
}

/// What must come of a checkpoint and restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is the same after as before.
    Restored,
    /// No implementation can do it: the dump fails cleanly, names the file, leaves the process
    /// unharmed.
    Refused {
        /// Why it cannot be restored.
        reason: String,
    },
}
