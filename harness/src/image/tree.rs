//! The source tree: where the manifest is, and where the guest's binary is built.

use std::path::{Path, PathBuf};

use crate::cache::error::ImageError;

/// What makes a directory the source tree.
pub const MANIFEST: &str = "vm-images/images.toml";

/// Which packages the images of the manifest are made of.
pub(super) const LOCK: &str = "vm-images/images.lock";

/// The source tree's directory: the named one, else the one that this program was built from. A
/// tree that merely lies at the working directory may be somebody else's, and the agent is built
/// from the tree: it must be named.
///
/// # Errors
/// It has no `vm-images/images.toml`.
pub fn locate(named: Option<&Path>) -> Result<PathBuf, ImageError> {
    let is_tree = |directory: &Path| directory.join(MANIFEST).is_file();
    if let Some(named) = named {
        if is_tree(named) {
            return std::path::absolute(named).map_err(crate::cache::error::at("find", named));
        }
        return Err(ImageError::NoTree { looked: format!("at {}", named.display()) });
    }
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the harness is a directory of the tree");
    if is_tree(built_from) {
        return Ok(built_from.to_path_buf());
    }
    Err(ImageError::NoTree { looked: format!("at {}, where this program was built", built_from.display()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_found_or_the_error_says_where_it_was_looked_for() {
        assert!(locate(None).unwrap().join(MANIFEST).is_file());
        let error = locate(Some(Path::new("/nowhere"))).unwrap_err().to_string();
        assert!(error.starts_with("no source tree (a directory with vm-images/images.toml) at /nowhere; "), "{error}");
    }
}
