//! What can go wrong on the way to an image, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::elf::needed::NeededError;
use crate::process::command::CommandError;

/// An error of this module: what was tried, on which path, why it failed, what to do.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The manifest cannot be used.
    #[error(transparent)]
    Manifest(Box<dyn std::error::Error + Send + Sync>),
    /// A kernel or userland that the manifest does not have.
    #[error("there is no {kind} `{name}`; the manifest has: {known}")]
    Unknown {
        /// `kernel` or `userland`.
        kind: &'static str,
        /// What was asked for.
        name: String,
        /// What there is, comma-separated.
        known: String,
    },
    /// The named source tree is none.
    #[error(
        "{} is no source tree: it has no vm-images/images.toml; --tree and ZDTM_DETACHED_TREE name a checkout, or \
         `embedded` for the one in this program", looked.display()
    )]
    NoTree {
        /// What was named.
        looked: PathBuf,
    },
    /// There is no source tree, and the program has none inside.
    #[error(
        "no source tree {looked}, and nothing is embedded in this program, as it is no release build; name a \
         checkout with --tree or ZDTM_DETACHED_TREE, or build with --release"
    )]
    NothingEmbedded {
        /// Where it was looked for.
        looked: String,
    },
    /// What is embedded cannot be written to.
    #[error(
        "this writes into the source tree, and there is none {looked}; name a checkout with --tree or \
         ZDTM_DETACHED_TREE"
    )]
    NoCheckout {
        /// Where it was looked for.
        looked: String,
    },
    /// The cache has no folder: no setting names one, and the home is unknown.
    #[error("no cache directory: none of ZDTM_DETACHED_CACHE, XDG_CACHE_HOME and HOME is an absolute path; set one")]
    NoCacheDirectory,
    /// A system call on a path failed.
    #[error("cannot {what} {}: {error}{}", path.display(), hint(error))]
    Io {
        /// What was tried: `read`, `create`, ...
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why it failed.
        #[source]
        error: io::Error,
    },
    /// A program of the host did not do its work.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A setting that cannot be used.
    #[error("{what} `{value}` cannot be used: {why}")]
    Setting {
        /// Which one.
        what: &'static str,
        /// Its value.
        value: String,
        /// Why not.
        why: &'static str,
    },
    /// A package is not what it should be.
    #[error("{what}: {why}")]
    Content {
        /// What was examined.
        what: String,
        /// What is wrong and what to do.
        why: String,
    },
    /// A library or program is missing.
    #[error(transparent)]
    Needed(#[from] NeededError),
    /// What is to be tested cannot be made; the fault is its own.
    #[error("{what}: {why}")]
    Subject {
        /// The program, the sources or the patch.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// Sources need a namespace to be built in, and there can be none.
    #[error(
        "sources are built in namespaces of their own, and this system gives none: {said}\nStart as root, let users have \
         namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, \
         kernel.apparmor_restrict_unprivileged_userns), or build it yourself and name it as path:FILE"
    )]
    NoNamespaces {
        /// What was tried and how it failed.
        said: String,
    },
    /// The user wants the run to end.
    #[error("interrupted")]
    Interrupted,
    /// An image was damaged and could not be built anew.
    #[error("{damage}; building it anew failed: {error}")]
    Rebuild {
        /// What is wrong with the one in the cache.
        damage: String,
        /// Why the new one was not made.
        #[source]
        error: Box<ImageError>,
    },
    /// A refresh failed; what was there is still there.
    #[error(
        "the {entry} in the cache stays as it is and can be used without --refresh and --locked; refreshing it failed: {error}"
    )]
    Refresh {
        /// Which one.
        entry: String,
        /// Why.
        #[source]
        error: Box<ImageError>,
    },
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; make room (`image clean --all` empties the cache) or set ZDTM_DETACHED_CACHE to a larger disk"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; set ZDTM_DETACHED_CACHE to a directory that you own"
        }
        _ => "",
    }
}

/// Shorthand for an [`ImageError::Io`]: `.map_err(at("read", path))`.
pub(crate) fn at<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> ImageError + 'a {
    move |error| ImageError::Io { what, path: path.to_path_buf(), error }
}

/// Shorthand for an [`ImageError::Content`].
pub(crate) fn content(what: impl Into<String>, why: impl Into<String>) -> ImageError {
    ImageError::Content { what: what.into(), why: why.into() }
}
