//! A kernel out of its sources: `src:LINUX`, `git:LINUX@REV`.
//!
//! - `mirror`: a copy of the sources, which follows them
//! - `blobs`: the files of a revision
//! - `config`: the options, and which of them a tree does not give
//!
//! The folder `kernel-tree-KEY` of the cache has the copy (`source`) and what `make` makes of it
//! (`output`). There is one for each folder, with all revisions of its repository, so each step of
//! a bisection compiles what it changes. Sources that were built before come from the
//! cache: the key is a hash of the sources, the options and the build root.
//!
//! The build runs in the build root `[kernel-build]`, in namespaces without a network, and sees the
//! copy read-only. The kernel's release gets the revision as its end, so two revisions have two
//! names in one report. A build that fails is not tried again from the start, unlike criu's: that
//! would cost a quarter of an hour for each broken revision.

mod blobs;
mod config;
mod mirror;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use self::config::Wishes;
use self::mirror::Mirror;
use super::build_root::ROOT;
use super::kernel::Kernel;
use super::modules::Modules;
use super::named::Image;
use super::own_kernel::{self, KernelFiles};
use super::store::Store;
use super::tree::KERNEL_CONFIG;
use crate::cache::error::{ImageError, at};
use crate::cache::progress::{Step, doing};
use crate::cache::record::{Look, sha256};
use crate::cache::{Slot, State};
use crate::sources::Tree;
use crate::sources::git::{commit, revision};
use crate::sources::make::{failure, jobs};
use crate::sources::sandbox::Sandbox;

/// The version of what is made here, as in `store`.
const BUILDER: u32 = 1;

/// The kind of the folders in which kernels are built, and how many are kept: each has some 2 GB.
const TREE: &str = "kernel-tree";
const KEEP: usize = 2;

/// What every build has: whatever differs from run to run would make another kernel.
const SAME: [&str; 5] =
    ["make", "-C/source", "O=/build", "KBUILD_BUILD_USER=zdtm-detached", "KBUILD_BUILD_HOST=zdtm-detached"];

/// The time that a kernel says it was built at.
const TIME: &str = "KBUILD_BUILD_TIMESTAMP=Thu Jan  1 00:00:00 UTC 1970";

/// The options, in the folder where `make` works.
const OPTIONS: &str = "zdtm-detached.config";

/// Sources of a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelSources {
    /// Where they are.
    pub(super) tree: Tree,
    /// Options on top of the project's.
    pub(super) config: Option<PathBuf>,
}

impl fmt::Display for KernelSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tree.fmt(f)?;
        self.config.iter().try_for_each(|file| write!(f, ",config={}", file.display()))
    }
}

impl Store {
    /// Builds a kernel that is not in the cache, and takes it there.
    ///
    /// # Errors
    /// [`ImageError::Subject`] when the sources are at fault: they do not build, or lack an option
    /// that a run needs.
    pub(super) fn built_kernel(&self, sources: &KernelSources) -> Result<Slot, ImageError> {
        let folder = sources.tree.folder();
        let title = sources.to_string();
        if !folder.is_dir() {
            return Err(ImageError::Subject {
                what: title,
                why: format!("there is no directory {}", folder.display()),
            });
        }
        // Before it is read: somebody may have named a whole disk.
        if matches!(sources.tree, Tree::Folder(_)) && !folder.join("Kconfig").is_file() {
            let why = "is no source tree of the kernel: it has no Kconfig".to_owned();
            return Err(ImageError::Subject { what: title, why });
        }
        let (root, root_key) = self
            .obtain(Image::KernelBuildRoot, false, |entry| (entry.directory.join(ROOT), entry.record.content_key()))?;
        let options = self.options(sources)?;
        let directory = self.kernel_tree(&sources.tree, &root_key);
        let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let lock = self.cache.lock_by_name(&name)?;
        // The lock's time says when the tree was used last, as for images.
        let _ = lock.set_modified(SystemTime::now());
        fs::create_dir_all(&directory).map_err(at("create", &directory))?;
        let local = self.local_version(&sources.tree)?;
        let key = doing(self.cache.progress(), &format!("{title}: reading the sources"), || {
            let tmp = self.cache.root().join("tmp");
            let scratch = tempfile::Builder::new().prefix("sources.").tempdir_in(&tmp);
            let scratch = scratch.map_err(at("create a directory in", &tmp))?;
            Mirror::new(&directory).follow(&sources.tree, scratch.path())
        })?;
        let key = sha256(format!("{BUILDER} {root_key} {key} {local} {options}").as_bytes())[..16].to_owned();
        let before = own_kernel::with_key(&self.cache, &key)?;
        if let Some(slot) = before.filter(|slot| matches!(self.cache.state(slot, Look::Quick), State::Whole(_))) {
            return Ok(slot);
        }
        let build = KernelBuild { title, root: &root, directory, local, key: &key };
        let text = format!("{}: building (make's output: {})", build.title, build.log().display());
        let (kernel, modules) = doing(self.cache.progress(), &text, || build.make(&options))?;
        let lacks = Wishes::parse(&options).lacks(&String::from_utf8_lossy(&kernel.config));
        if let Some(wanted) = lacks.wanted {
            let text = format!("{}: this kernel is without {wanted}", build.title);
            self.cache.progress().step(Step::Note { text: &text });
        }
        let slot = self.take_kernel(kernel, &modules, Some(key.clone())).map_err(|error| build.at_fault(error))?;
        drop(lock);
        self.cache.prune(TREE, KEEP)?;
        Ok(slot)
    }

    /// The project's options, and the user's behind them: the last one counts.
    fn options(&self, sources: &KernelSources) -> Result<String, ImageError> {
        let own = self.tree.join(KERNEL_CONFIG);
        let mut text = fs::read_to_string(&own).map_err(at("read", &own))?;
        if let Some(file) = &sources.config {
            text.push('\n');
            text.push_str(&fs::read_to_string(file).map_err(at("read", file))?);
        }
        Ok(text)
    }

    /// Where a folder's, or a repository's, kernels are built.
    fn kernel_tree(&self, tree: &Tree, root_key: &str) -> PathBuf {
        let folder = tree.folder();
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let key = sha256(format!("{root_key} {}", folder.display()).as_bytes());
        self.cache.root().join("images").join(format!("{TREE}-{}", &key[..16]))
    }

    /// The end of the kernel's release: which sources it is of.
    fn local_version(&self, tree: &Tree) -> Result<String, ImageError> {
        Ok(match tree {
            Tree::Revision { repository, revision } => format!("-g{:.12}", commit(repository, revision)?),
            Tree::Folder(folder) => match revision(tree) {
                Some(revision) => format!("-g{revision}"),
                None => format!("-{:.8}", sha256(folder.as_os_str().as_encoded_bytes())),
            },
        })
    }
}

/// One build; the lock of its folder is held.
struct KernelBuild<'a> {
    title: String,
    root: &'a Path,
    /// `source`, `output`, and the logs.
    directory: PathBuf,
    /// The end of the release.
    local: String,
    key: &'a str,
}

impl KernelBuild<'_> {
    /// Configures and compiles.
    fn make(&self, options: &str) -> Result<(Kernel, Modules), ImageError> {
        let output = self.directory.join("output");
        fs::create_dir_all(&output).map_err(at("create", &output))?;
        let file = output.join(OPTIONS);
        fs::write(&file, options).map_err(at("write", &file))?;
        self.run(&[&format!("KCONFIG_ALLCONFIG=/build/{OPTIONS}"), "alldefconfig"])?;
        let config = output.join(".config");
        let text = fs::read_to_string(&config).map_err(at("read", &config))?;
        if let Some(needed) = Wishes::parse(options).lacks(&text).needed {
            let why = format!(
                "its configuration lacks what a run needs: {needed}; the tree has no such option, or something that it \
                 depends on is off ({})",
                config.display()
            );
            return Err(self.wrong(why));
        }
        self.run(&[&jobs(), TIME, &format!("LOCALVERSION={}", self.local), "vmlinux"])?;
        KernelFiles::built_in(&output).read().map_err(|error| self.at_fault(error))
    }

    fn run(&self, words: &[&str]) -> Result<(), ImageError> {
        let (output, source) = (self.directory.join("output"), Mirror::new(&self.directory).tree);
        let sandbox = Sandbox { root: self.root, folder: &output, sources: Some(&source) };
        let log = self.log();
        if sandbox.run(&[&SAME[..], words].concat(), &log)? {
            return Ok(());
        }
        let text = fs::read(&log).map_err(at("read", &log))?;
        let why = failure(&String::from_utf8_lossy(&text), &log);
        Err(self.wrong(format!(
            "{why}\nWhat earlier builds left is used again; to build from the start, remove {}",
            output.display()
        )))
    }

    fn log(&self) -> PathBuf {
        self.directory.join("make.log")
    }

    fn wrong(&self, why: String) -> ImageError {
        ImageError::Subject { what: self.title.clone(), why }
    }

    /// An error about what came out is one of the sources.
    fn at_fault(&self, error: ImageError) -> ImageError {
        match error {
            ImageError::Content { what, why } => self.wrong(format!("built ({}), but {what}: {why}", self.key)),
            other => other,
        }
    }
}
