//! A criu of the user's: a program of this host, or sources that are built here.
//!
//! Either becomes an image with one segment for the guest, addressed by its content: the same
//! program, or the same sources in the same build root, are made once.
//!
//! - `package`: a program with its libraries
//! - `sources`: which sources, and how they are built
//! - `snapshot`: the sources as they are to be built
//! - `build`: `make`, in a tree that is kept
//! - `headers`: whether a failed build is the fault of the root's kernel headers
//! - `coverage`, `asan`: what is different in a criu that counts what it does, or has the address
//!   sanitizer
//! - `debian`: Debian's source package as such sources
//! - `zdtm`: the tree's own test suite with tests of ours, built
//!
//! The *build root* is a set of Debian packages with a compiler and the libraries of criu
//! (`[build]` in the manifest), one for each suite of `build.roots`. A build has these stages:
//!
//! 1. `stage` collects the sources: a folder's files as git would take them, or a revision; then
//!    patches. Their hash and the build root's hash are the key of the result. So the same sources
//!    are built once, wherever they come from.
//! 2. `build` writes what changed into a build tree in the cache. When it fails, `headers` searches
//!    GCC's messages for what kernel headers explain: a definition from `/usr/include` that appears
//!    twice, or a constant, structure or header that is missing. It reads words only, so it says
//!    "may" where the tree could be wrong too.
//! 3. `package` packs the program and starts it once. A program that does not start is the
//!    subject's fault, not a trial's.
//!
//! With `+coverage` an empty file `/subject/coverage` makes the agent collect counters. With
//! `+asan` an empty file `/subject/asan` makes it read the sanitizer's report. Without these files
//! neither happens.
//!
//! `ImageError::Subject` is an error that the subject itself caused. `bisect-step` skips such a
//! revision. Every other error ends the bisection.

mod asan;
mod build;
mod coverage;
mod debian;
mod headers;
mod package;
mod snapshot;
mod sources;
mod zdtm;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::cache::error::{ImageError, at};
use crate::cache::progress::doing;
use crate::cache::record::{BuildRecord, sha256};
use crate::cache::{Built, Slot};
use crate::image::{BUILD_ROOT, Image, Store};
use build::BuildTree;
use snapshot::SourceSnapshot;
pub use sources::{Sources, Variant};
pub use zdtm::GUEST_TREE;

/// The version of what is made here, as in `store`.
const BUILDER: u32 = 1;

/// How many of them are kept: two sides of a comparison, and the steps of a bisection to go back
/// to.
const KEEP: usize = 24;

/// A criu to take the place of a userland's own. It stays in the cache as long as the [`Store`]
/// that gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Criu {
    /// `None` where the userland's dumps and another restores.
    segment: Option<PathBuf>,
    /// Who restores what it dumped.
    restorer: Restorer,
    /// The version that it tells: `4.1.1`.
    pub version: String,
}

/// Who restores what a criu dumped.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Restorer {
    Itself,
    Userland,
    Other(PathBuf),
}

/// An empty file beside the restorer's: the userland's criu restores.
const USERLAND: &str = "userland";

impl Criu {
    /// One criu dumps and another restores; none of them is the userland's, which stays in place.
    /// The version is that of the one that dumps.
    pub(super) fn crossed(dumper: Option<Criu>, restorer: Option<Criu>, version: String) -> Option<Self> {
        let segment = dumper.and_then(|criu| criu.segment);
        let restorer = match (&segment, restorer.and_then(|criu| criu.segment)) {
            (None, None) => return None,
            (Some(_), None) => Restorer::Userland,
            (_, Some(other)) => Restorer::Other(other),
        };
        Some(Criu { segment, restorer, version })
    }

    /// Its files, in the form of segments of an initramfs, below `subject/`; each with the folder
    /// that they are for, the guest's own one or one in that.
    pub fn segments(&self) -> impl Iterator<Item = (&Path, &'static str)> {
        let other = match &self.restorer {
            Restorer::Other(segment) => Some((segment.as_path(), "restore/")),
            Restorer::Itself | Restorer::Userland => None,
        };
        self.segment.iter().map(|segment| (segment.as_path(), "")).chain(other)
    }

    /// The name of a file that says that the userland's criu restores.
    pub fn mark(&self) -> Option<String> {
        (self.restorer == Restorer::Userland).then(|| format!("restore/{USERLAND}"))
    }
}

/// Such an image in the cache, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptCriu {
    /// Its version and what it was made of.
    pub title: String,
    /// In bytes.
    pub size: u64,
    /// How long ago it was used.
    pub age: Duration,
}

/// Where sources are built.
struct BuildRoot<'a> {
    suite: &'a str,
    path: PathBuf,
    /// It changes with the packages.
    key: String,
}

impl Store {
    /// A criu that was built on this host, with the libraries that it needs.
    ///
    /// # Errors
    /// [`ImageError::Subject`] when a guest cannot run it: it is not criu, a script, libraries
    /// missing.
    pub fn carried_criu(&self, program: &Path) -> Result<Criu, ImageError> {
        let files = package::of_host(program)?;
        let slot = criu_slot(&package::key(&files)?);
        let title = format!("path:{}", absolute(program).display());
        self.criu(&slot, |to| {
            let version = doing(self.cache.progress(), &format!("{title}: packing"), || {
                package::pack(&files, &Variant::default(), to)
            })?;
            Ok(built(&version, &title))
        })
    }

    /// A criu out of sources, built when it is missing.
    ///
    /// # Errors
    /// [`ImageError::Subject`] when the sources are at fault: they do not build, a patch does not
    /// apply.
    pub fn built_criu(&self, sources: &Sources) -> Result<Criu, ImageError> {
        let (root, snapshot) = self.snapshot(sources)?;
        let root_key = &root.key;
        let variant_key = tree_key(&sources.variant);
        let slot = criu_slot(&sha256(format!("{root_key} {}{variant_key}", snapshot.key()).as_bytes()));
        let title = sources.to_string();
        self.criu(&slot, |to| {
            let folder = absolute(sources.tree.folder());
            let tree = format!("{root_key} {}{variant_key}", folder.display());
            self.in_build_tree(&root, &tree, &title, |build_tree| {
                let files = package::of_tree(&root.path, &build_tree.build(&title, &snapshot)?)?;
                if sources.variant.asan {
                    asan::check(&title, &files)?;
                }
                let version = package::pack(&files, &sources.variant, to)?;
                Ok(built(&version, &title))
            })
        })
    }

    /// The build root for these sources, and the sources as they are now.
    fn snapshot<'a>(&'a self, sources: &'a Sources) -> Result<(BuildRoot<'a>, SourceSnapshot), ImageError> {
        let suite = sources.variant.suite.as_ref().unwrap_or(&self.manifest().defaults.build);
        let root = self.obtain(Image::BuildRoot(suite), false, |entry| BuildRoot {
            suite,
            path: entry.directory.join(BUILD_ROOT),
            key: entry.record.content_key(),
        })?;
        let tmp = self.cache.root().join("tmp");
        let scratch =
            tempfile::Builder::new().prefix("sources.").tempdir_in(&tmp).map_err(at("create a directory in", &tmp))?;
        let snapshot = SourceSnapshot::of(sources, &root.path, scratch.path())?;
        Ok((root, snapshot))
    }

    /// Builds in the build tree of this key, which no other build has meanwhile.
    fn in_build_tree<T>(
        &self,
        root: &BuildRoot<'_>,
        key: &str,
        title: &str,
        build: impl FnOnce(&BuildTree<'_>) -> Result<T, ImageError>,
    ) -> Result<T, ImageError> {
        let name = format!("build-tree-{}", &sha256(key.as_bytes())[..16]);
        let lock = self.cache.lock_by_name(&name)?;
        // The lock's time says when the tree was used last, as for images.
        let _ = lock.set_modified(SystemTime::now());
        let directory = self.cache.root().join("images").join(name);
        let tree = BuildTree { root: &root.path, suite: root.suite, roots: &self.manifest().build.roots, directory };
        doing(self.cache.progress(), &format!("{title}: building"), || build(&tree))
    }

    /// The criu images in the cache, the one used last first.
    ///
    /// # Errors
    /// The filesystem's.
    pub fn kept_criu(&self) -> Result<Vec<KeptCriu>, ImageError> {
        let mut all = Vec::new();
        for (name, size, age) in self.cache.images()? {
            if name.starts_with("criu-")
                && let Ok(record) = BuildRecord::read(&self.cache.root().join("images").join(&name))
            {
                all.push(KeptCriu { title: record.version, size, age });
            }
        }
        all.sort_by_key(|one| one.age);
        Ok(all)
    }

    fn criu(&self, slot: &Slot, build: impl FnOnce(&Path) -> Result<Built, ImageError>) -> Result<Criu, ImageError> {
        let criu = self.take(
            slot,
            false,
            |to, _| build(to).map(Some),
            |entry| Criu {
                segment: Some(entry.directory.join(package::SEGMENT)),
                restorer: Restorer::Itself,
                version: entry.record.version.split_whitespace().nth(1).unwrap_or_default().to_owned(),
            },
        )?;
        self.cache.prune("criu", KEEP)?;
        Ok(criu)
    }
}

/// Objects that were compiled in another way are of no use: text that tells the ways apart.
fn tree_key(variant: &Variant) -> String {
    let asan = if variant.asan { format!(" {}", asan::WORDS.join(" ")) } else { String::new() };
    format!("{}{asan}", coverage::tree_key(variant.coverage))
}

fn criu_slot(key: &str) -> Slot {
    Slot { kind: "criu", name: String::new(), key: sha256(format!("{BUILDER} {key}").as_bytes()) }
}

fn built(version: &str, title: &str) -> Built {
    Built { version: format!("criu {version} of {title}"), packages: Vec::new() }
}

fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(segment: &str) -> Option<Criu> {
        Some(Criu { segment: Some(segment.into()), restorer: Restorer::Itself, version: "4.1".into() })
    }

    #[test]
    fn each_part_of_a_pair_comes_into_a_folder_of_its_own() {
        let crossed = |dumper, restorer| {
            let pair = Criu::crossed(dumper, restorer, "4.1".into())?;
            let segments: Vec<_> = pair.segments().map(|(segment, to)| format!("{to}{}", segment.display())).collect();
            Some((segments.join(" "), pair.mark()))
        };
        assert_eq!(crossed(own("a"), own("b")), Some(("a restore/b".to_owned(), None)));
        assert_eq!(crossed(None, own("b")), Some(("restore/b".to_owned(), None)));
        assert_eq!(crossed(own("a"), None), Some(("a".to_owned(), Some("restore/userland".to_owned()))));
        assert_eq!(crossed(None, None), None);
        let alone = own("a").expect("one");
        assert_eq!((alone.segments().count(), alone.mark()), (1, None));
    }
}
