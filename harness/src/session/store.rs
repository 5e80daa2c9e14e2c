//! Where images are kept and where they come from.

use std::path::PathBuf;
use std::sync::Arc;

use crate::cache::error::ImageError;
use crate::cache::progress::Progress;
use crate::image::{Settings, Store, default_cache_dir, tree};

/// What a store is opened with; each has a default.
#[derive(Clone, Debug, Default)]
pub struct StoreSettings {
    /// Directory for images.
    pub cache: Option<PathBuf>,
    /// Source tree.
    pub tree: Option<PathBuf>,
    /// Debian mirror.
    pub mirror: Option<String>,
    /// Keys that sign the mirror's lists.
    pub keyring: Option<PathBuf>,
    /// A service that keeps what the archive had once.
    pub snapshot: Option<String>,
    /// Other packages than the locked ones are an error.
    pub locked: bool,
}

impl StoreSettings {
    /// The cache's directory.
    ///
    /// # Errors
    /// No setting names one, and the home folder is unknown.
    pub fn cache_dir(&self) -> Result<PathBuf, ImageError> {
        self.cache.clone().map_or_else(default_cache_dir, Ok)
    }

    /// The source tree, or what of it is embedded.
    ///
    /// # Errors
    /// It is not where the setting says; there is none.
    pub fn tree(&self) -> Result<PathBuf, ImageError> {
        tree::locate_in(|| self.cache_dir(), self.tree.as_deref())
    }

    /// Opens the store.
    ///
    /// # Errors
    /// No source tree, no cache directory, or a manifest that is not good.
    pub fn open(&self, progress: Arc<dyn Progress>) -> Result<Store, ImageError> {
        let tree = self.tree()?;
        let cache = self.cache_dir()?;
        let Self { mirror, keyring, snapshot, locked, .. } = self.clone();
        let settings = Settings { mirror, keyring, snapshot, locked, agent: None, progress };
        Store::open(&cache, &tree, settings)
    }
}
