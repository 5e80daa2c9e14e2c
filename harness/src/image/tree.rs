//! The source tree, or what of it is embedded in this program: the manifest, the catalogue, what is
//! known to fail, the findings, and the agent or what it is built from.
//!
//! The rule: the named one; else the checkout that this program was built from, as long as it is
//! there, so that a changed scenario needs no build; else what is embedded. Release builds have
//! that (`build.rs`), and it is unpacked into the cache.

use std::io::{Read, copy};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::store::{KEEP, default_cache_dir};
use crate::architecture::{Architecture, HOST};
use crate::archive::{self, Limits, Member};
use crate::cache::error::{ImageError, content};
use crate::cache::progress::silent;
use crate::cache::record::{BuildRecord, sha256};
use crate::cache::{Built, Cache, Entry, Slot};

/// What makes a directory the source tree.
pub const MANIFEST: &str = "vm-images/images.toml";

/// Which packages the images of the manifest are made of.
pub(super) const LOCK: &str = "vm-images/images.lock";

/// The options of a kernel that is built here.
pub(super) const KERNEL_CONFIG: &str = "vm-images/kernel.config";

/// What `--tree` takes for the tree inside the program; a folder of this name is `./embedded`.
pub const EMBEDDED: &str = "embedded";

/// An archive; empty where nothing is embedded.
static ARCHIVE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/embedded.tar.zst"));

/// The names of agents in the archive begin with this.
const AGENT: &str = "agent";

/// More than the archive ever has: it is part of this program.
const LIMITS: Limits = Limits { files: 100_000, bytes: 1 << 30 };

/// Unpacked trees in use: their locks keep them from being removed.
static USED: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

/// The source tree's directory. What is embedded is unpacked into the default cache. A tree that
/// merely lies at the working directory may be somebody else's, and the agent is built from the
/// tree: it must be named.
///
/// # Errors
/// The named one has no `vm-images/images.toml`; there is none, and nothing is embedded; it cannot
/// be unpacked.
pub fn locate(named: Option<&Path>) -> Result<PathBuf, ImageError> {
    locate_in(default_cache_dir, named)
}

/// The same with this cache.
///
/// # Errors
/// Those of [`locate`].
pub fn locate_in(
    cache: impl FnOnce() -> Result<PathBuf, ImageError>,
    named: Option<&Path>,
) -> Result<PathBuf, ImageError> {
    match (named, built_from()) {
        (Some(named), _) if named != Path::new(EMBEDDED) => folder(named),
        (None, Some(built_from)) => Ok(built_from),
        _ if ARCHIVE.is_empty() => Err(ImageError::NothingEmbedded { looked: looked() }),
        _ => unpacked(&cache()?, ARCHIVE),
    }
}

/// The same for what writes into the tree: a checkout.
///
/// # Errors
/// The named one is none; none is named, and the one that this program was built from is gone.
pub fn checkout(named: Option<&Path>) -> Result<PathBuf, ImageError> {
    match named {
        Some(named) if named != Path::new(EMBEDDED) => folder(named),
        None => built_from().ok_or_else(|| ImageError::NoCheckout { looked: looked() }),
        Some(_) => Err(ImageError::NoCheckout { looked: "in the program itself".to_owned() }),
    }
}

/// Which tree this is, for people.
pub(crate) fn describe(tree: &Path) -> String {
    let from = if is_embedded(tree) { "embedded in this program, unpacked into" } else { "the checkout" };
    format!("{from} {}", tree.display())
}

/// The agent of a tree that has it ready, as what is embedded does.
pub(crate) fn ready_agent(tree: &Path, architecture: Architecture) -> Option<PathBuf> {
    Some(tree.join(format!("{AGENT}-{architecture}"))).filter(|agent| agent.is_file())
}

/// Whether it is what is embedded, and not a checkout.
pub(crate) fn is_embedded(tree: &Path) -> bool {
    ready_agent(tree, HOST).is_some()
}

fn is_tree(directory: &Path) -> bool {
    directory.join(MANIFEST).is_file()
}

fn folder(named: &Path) -> Result<PathBuf, ImageError> {
    if !is_tree(named) {
        return Err(ImageError::NoTree { looked: named.to_owned() });
    }
    std::path::absolute(named).map_err(crate::cache::error::at("find", named))
}

fn built_from() -> Option<PathBuf> {
    Some(place()).filter(|place| is_tree(place)).map(Path::to_path_buf)
}

/// Where this program was built.
fn place() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the harness is a directory of the tree")
}

fn looked() -> String {
    format!("at {}, where this program was built", place().display())
}

/// What is embedded, as a folder of the cache: an image like the others, with a hash of the archive
/// as its key, so that it is unpacked once and checked each time.
fn unpacked(cache_dir: &Path, archive: &[u8]) -> Result<PathBuf, ImageError> {
    let cache = Cache::open(cache_dir, Arc::new(silent))?;
    let slot = Slot { kind: "tree", name: String::new(), key: sha256(archive) };
    let entry = cache.obtain(&slot, false, |to: &Path, _: Option<&BuildRecord>| {
        unpack(archive, to)?;
        Ok(Some(Built { version: "embedded".into(), packages: Vec::new() }))
    })?;
    let directory = entry.directory.clone();
    USED.lock().expect("no thread panics while it holds the lock").push(entry);
    cache.prune("tree", KEEP)?;
    Ok(directory)
}

fn unpack(archive: &[u8], to: &Path) -> Result<(), ImageError> {
    let take = |member: &Member<'_>, from: &mut dyn Read| {
        let written = archive::create(to, member).and_then(|mut file| copy(from, &mut file));
        written.map(drop).map_err(|error| format!("cannot be unpacked into {}: {error}", to.display()))
    };
    archive::read(archive, LIMITS, take).map_err(|error| content("what is embedded in this program", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Writer;

    fn archive(manifest: &str) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        writer.file(MANIFEST, false, manifest.len() as u64, manifest.as_bytes()).unwrap();
        writer.file(&format!("{AGENT}-{HOST}"), true, 2, &b"#!"[..]).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn the_tree_is_found_or_the_error_says_where_it_was_looked_for() {
        assert!(locate(None).unwrap().join(MANIFEST).is_file());
        let error = locate(Some(Path::new("/nowhere"))).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere is no source tree: it has no vm-images/images.toml"), "{error}");
    }

    #[test]
    fn what_writes_wants_a_checkout() {
        assert_eq!(checkout(None).unwrap(), locate(None).unwrap());
        let error = checkout(Some(Path::new(EMBEDDED))).unwrap_err().to_string();
        assert!(
            error.starts_with("this writes into the source tree, and there is none in the program itself;"),
            "{error}"
        );
    }

    #[test]
    #[cfg(debug_assertions)]
    fn a_build_without_anything_inside_says_so() {
        let error = locate(Some(Path::new(EMBEDDED))).unwrap_err().to_string();
        assert!(error.starts_with("no source tree at "), "{error}");
        assert!(error.contains("nothing is embedded"), "{error}");
    }

    #[test]
    fn what_is_embedded_is_unpacked_once_and_again_where_it_was_changed() {
        let cache = tempfile::tempdir().unwrap();
        let tree = unpacked(cache.path(), &archive("one")).unwrap();
        assert_eq!(std::fs::read_to_string(tree.join(MANIFEST)).unwrap(), "one");
        let agent = ready_agent(&tree, HOST).unwrap();
        assert!(std::os::unix::fs::PermissionsExt::mode(&agent.metadata().unwrap().permissions()) & 0o111 != 0);
        let made = agent.metadata().unwrap().modified().unwrap();
        assert_eq!(unpacked(cache.path(), &archive("one")).unwrap(), tree);
        assert_eq!(agent.metadata().unwrap().modified().unwrap(), made);
        assert_ne!(unpacked(cache.path(), &archive("two")).unwrap(), tree);
        // Another program's lock would be in the way; this one's is released first.
        USED.lock().unwrap().clear();
        std::fs::write(tree.join(MANIFEST), "changed").unwrap();
        unpacked(cache.path(), &archive("one")).unwrap();
        assert_eq!(std::fs::read_to_string(tree.join(MANIFEST)).unwrap(), "one");
    }
}
