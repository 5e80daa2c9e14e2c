//! Which sources, and how they are built: the words behind `src:` and `git:`.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where criu's sources are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Tree {
    /// A folder, as it is.
    Folder(PathBuf),
    /// A revision of a repository.
    Revision {
        /// Its folder.
        repository: PathBuf,
        /// What git takes for one.
        revision: String,
    },
}

impl Tree {
    /// The folder, or that of the repository.
    pub fn folder(&self) -> &Path {
        let (Self::Folder(folder) | Self::Revision { repository: folder, .. }) = self;
        folder
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "src:{}", folder.display()),
            Self::Revision { repository, revision } => write!(f, "git:{}@{revision}", repository.display()),
        }
    }
}

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
