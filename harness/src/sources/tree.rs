//! Which sources: the words `src:DIR` and `git:DIR@REV`.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where sources are.
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
