//! Which sources, and how they are built: the words behind `src:` and `git:`.

use std::fmt;
use std::path::PathBuf;

use crate::sources::Tree;

/// How sources are built.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Variant {
    /// In the build root of this Debian suite; without one in the manifest's default.
    pub suite: Option<String>,
    /// So that criu counts which of its branches are taken.
    pub coverage: bool,
    /// With the address sanitizer.
    pub asan: bool,
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(suite) = &self.suite {
            write!(f, "+build={suite}")?;
        }
        f.write_str(if self.coverage { "+coverage" } else { "" })?;
        f.write_str(if self.asan { "+asan" } else { "" })
    }
}

/// Sources to be built.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sources {
    /// Where they are.
    pub tree: Tree,
    /// How they are built.
    pub variant: Variant,
    /// Files to apply on top, in this order (patch(1), `-p1`).
    pub patches: Vec<PathBuf>,
}

impl fmt::Display for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.tree, self.variant)?;
        self.patches.iter().try_for_each(|patch| write!(f, "+patch:{}", patch.display()))
    }
}
