//! What goes out of the cache, and what is in it.

use std::time::Duration;

use super::store::Store;
use crate::cache::Slot;
use crate::cache::error::ImageError;

/// What was taken out of the cache, or could not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// The image's directory name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// False when another run uses it.
    pub gone: bool,
}

impl Store {
    /// Removes images from the cache: all of them, those not used for a time, or, with neither,
    /// those that the manifest and the sources as they are now have no use for.
    ///
    /// # Errors
    /// The filesystem's.
    pub fn clean(&self, all: bool, older_than: Option<Duration>) -> Result<Vec<Removed>, ImageError> {
        self.used.lock().expect("no thread panics while it holds the lock").clear();
        let current: Vec<Slot> = self.images().into_iter().map(|image| self.slot(image)).collect::<Result<_, _>>()?;
        let mut removed = Vec::new();
        for (name, size, age) in self.cache.images()? {
            // What is embedded, unpacked: in use by this very program.
            if self.tree.file_name().is_some_and(|tree| *tree == *name) {
                continue;
            }
            let goes = match older_than {
                Some(limit) => age >= limit,
                None => all || !current.iter().any(|slot| self.cache.is(&name, slot)),
            };
            if goes {
                removed.push(Removed { gone: self.cache.remove(&name)?, name, size });
            }
        }
        self.cache.remove_scratch()?;
        Ok(removed)
    }

    /// Every image in the cache: its directory's name, its size in bytes, how long ago it was used.
    ///
    /// # Errors
    /// The filesystem's.
    pub fn kept(&self) -> Result<Vec<(String, u64, Duration)>, ImageError> {
        self.cache.images()
    }

    /// Removes the image of this directory name, unless another run uses it; true when it is gone.
    ///
    /// # Errors
    /// The filesystem's.
    pub fn remove(&self, name: &str) -> Result<bool, ImageError> {
        self.used
            .lock()
            .expect("no thread panics while it holds the lock")
            .remove(&self.cache.root().join("images").join(name));
        self.cache.remove(name)
    }
}
