//! The tree of unpacked packages in which sources of criu, or of a kernel, are built.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::cache::Built;
use crate::cache::error::{ImageError, at};
use crate::debian::source::Unpacked;

/// The directory of the unpacked build root in its image.
pub(crate) const ROOT: &str = "root";

/// Packages that are unpacked as a tree.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootEntry {
    /// Debian suites; packages come from the first one where it has them.
    pub suites: Vec<String>,
    /// Packages to unpack, with all they depend on.
    pub packages: Vec<String>,
    /// Patterns of packages that are left out although something depends on them.
    #[serde(default)]
    pub skip: Vec<String>,
    /// Symbolic links that no package has: the target by the path relative to the root.
    #[serde(default)]
    pub links: BTreeMap<String, String>,
}

/// The directories that are mounted on while something is built.
const MOUNT_POINTS: [&str; 5] = ["proc", "dev", "tmp", "build", "source"];

/// Fills the directory with the build root of the unpacked packages.
pub(super) fn build(unpacked: Unpacked, links: &BTreeMap<String, String>, to: &Path) -> Result<Built, ImageError> {
    let root = to.join(ROOT);
    std::fs::rename(&unpacked.root, &root).map_err(at("move", &unpacked.root))?;
    for name in MOUNT_POINTS {
        let path = root.join(name);
        std::fs::create_dir_all(&path).map_err(at("create", &path))?;
    }
    for (name, target) in links {
        let path = root.join(name);
        if path.symlink_metadata().is_err() {
            std::os::unix::fs::symlink(target, &path).map_err(at("create", &path))?;
        }
    }
    let gcc = unpacked.packages.iter().find(|package| package.name == "gcc");
    let version = gcc.map_or_else(|| "unknown".to_owned(), |package| package.version.clone());
    Ok(Built { version: format!("gcc {version}"), packages: unpacked.packages })
}
