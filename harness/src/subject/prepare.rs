//! From a subject to what is in the VM besides the kernel: a userland, and a criu that takes the place of its own.

use std::path::Path;

use super::Subject;
use crate::image::{Criu, ImageError, Store, Tools, Tree};

/// What is in a VM besides the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// A userland of the manifest.
    pub userland: String,
    /// What takes the place of its criu.
    pub criu: Option<Criu>,
    /// Tools for people.
    pub tools: Option<Tools>,
}

impl Parts {
    /// The default userland as it is.
    pub fn plain(store: &Store) -> Self {
        Self { userland: store.manifest().defaults.userland.clone(), criu: None, tools: None }
    }
}

impl Subject {
    /// A mistake in the subject that can be seen without building anything; none when there is none.
    pub fn mistake(&self, store: &Store) -> Option<String> {
        let no_file = |path: &Path| format!("{self}: there is no file {}", path.display());
        match self {
            Self::Debian(suite) if !store.manifest().userland.contains_key(suite) => {
                let known: Vec<&str> = store.manifest().userland.keys().map(String::as_str).collect();
                Some(format!("there is no userland {suite}; vm-images/images.toml has {}", known.join(", ")))
            }
            Self::Path(file) if !file.is_file() => Some(no_file(file)),
            Self::Sources(sources) => {
                let (Tree::Folder(folder) | Tree::Revision { repository: folder, .. }) = &sources.tree;
                if !folder.is_dir() {
                    return Some(format!("{self}: there is no directory {}", folder.display()));
                }
                sources.patches.iter().find(|patch| !patch.is_file()).map(|patch| no_file(patch))
            }
            _ => None,
        }
    }

    /// Makes what is missing.
    ///
    /// # Errors
    /// [`ImageError::Subject`] where the subject itself is at fault.
    pub fn prepare(&self, store: &Store) -> Result<Parts, ImageError> {
        let plain = Parts::plain(store);
        Ok(match self {
            Self::Debian(suite) => Parts { userland: suite.clone(), ..plain },
            Self::Path(file) => Parts { criu: Some(store.carried_criu(file)?), ..plain },
            Self::Sources(sources) => Parts { criu: Some(store.built_criu(sources)?), ..plain },
            Self::Reference(_) => plain,
        })
    }
}
