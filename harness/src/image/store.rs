//! The door to the images: gives what is asked for and builds what is missing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::Serialize;

use super::manifest::{BuildEntry, KernelEntry, Manifest, UserlandEntry};
use super::named::Image;
use super::qemu::{self, Qemu};
use super::tree::{LOCK, MANIFEST};
use super::{agent, build_root, cpio, kernel, own_kernel, userland};
use super::{tools, zdtm};
use crate::architecture::{Architecture, HOST};
use crate::cache::error::ImageError;
use crate::cache::progress::{Progress, doing, silent};
use crate::cache::record::{BuildRecord, Look, Package, sha256};
use crate::cache::{Built, Cache, Entry, Slot, State};
use crate::debian::lock::{Lock, Locked};
use crate::debian::source::{Order, Source, SourceSettings};

/// The version of the builders: part of every key, to be raised when one of them makes something
/// else of the same packages.
const BUILDERS: u32 = 1;

/// How many agents and initramfs are kept: one for each (kernel, userland) in use, and some to go
/// back to.
pub(crate) const KEEP: usize = 8;

/// The initramfs's file name in its image.
pub(super) const INITRAMFS: &str = "initramfs.cpio";

/// What the caller may want to be otherwise.
#[derive(Clone)]
pub struct Settings {
    /// A Debian mirror, as in sources.list(5); without it that of the host's apt, else Debian's.
    pub mirror: Option<String>,
    /// A file with the keys of the mirror's archive; those of Debian by default.
    pub keyring: Option<PathBuf>,
    /// A snapshot service; that of Debian by default.
    pub snapshot: Option<String>,
    /// Other packages than those of `vm-images/images.lock` are an error.
    pub locked: bool,
    /// A static program to be `/init` instead of the tree's own, which is built from its sources
    /// where it has none ready.
    pub agent: Option<PathBuf>,
    /// Receives a line on each step.
    pub progress: Arc<dyn Progress>,
}

impl Default for Settings {
    fn default() -> Self {
        let (mirror, keyring, snapshot) = (None, None, None);
        Settings { mirror, keyring, snapshot, locked: false, agent: None, progress: Arc::new(silent) }
    }
}

/// A kernel and the initramfs that goes with it. Both stay in the cache as long as the [`Store`]
/// that gave them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootImage {
    /// What both are for.
    pub architecture: Architecture,
    /// The `vmlinux` with a PVH entry, or the `Image` for arm64, for QEMU's `-kernel`.
    pub kernel: PathBuf,
    /// For QEMU's `-initrd`.
    pub initramfs: PathBuf,
    /// The kernel's configuration file.
    pub config: PathBuf,
    /// The kernel's release, as uname(2) tells it.
    pub kernel_version: String,
    /// Name and version of the userland's first package: `criu 4.1.1-1`.
    pub userland_version: String,
    /// All packages of kernel and userland, in this order.
    pub packages: Vec<Package>,
    /// A hash of kernel and initramfs.
    pub key: String,
}

/// The state of an image in the cache.
#[derive(Clone, Debug)]
pub enum ImageState {
    /// It can be used without a network.
    Built(Box<BuildRecord>),
    /// It will be built when it is needed.
    NotBuilt,
    /// It will be built anew when it is needed, because of this.
    Damaged(String),
}

/// The images of a source tree in a cache.
pub struct Store {
    pub(crate) cache: Cache,
    pub(super) tree: PathBuf,
    pub(super) manifest: Manifest,
    pub(super) lock: Lock,
    pub(super) locked: bool,
    pub(crate) source: Source,
    pub(super) agent: Option<PathBuf>,
    /// The user's own kernels in the cache, by release.
    pub(super) own_kernels: Mutex<BTreeMap<String, Slot>>,
    /// Images that were given out, by directory: their locks keep them from being removed.
    pub(crate) used: Mutex<BTreeMap<PathBuf, Entry>>,
}

/// The cache's default folder: `zdtm-detached` below `XDG_CACHE_HOME` or `~/.cache`.
///
/// # Errors
/// The home folder is unknown.
pub fn default_cache_dir() -> Result<PathBuf, ImageError> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(path) = variable("ZDTM_DETACHED_CACHE") {
        return Ok(path);
    }
    let home = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
    home.map(|home| home.join("zdtm-detached")).ok_or(ImageError::NoCacheDirectory)
}

impl Store {
    /// Opens the cache in `cache_dir` (made when missing) for the manifest of the source tree at
    /// `tree` (see [`super::tree::locate`]). Asks no network.
    ///
    /// # Errors
    /// The manifest is not good; the cache cannot be written to.
    pub fn open(cache_dir: &Path, tree: &Path, settings: Settings) -> Result<Store, ImageError> {
        let Settings { mirror, keyring, snapshot, locked, agent, progress } = settings;
        let cache = Cache::open(cache_dir, progress)?;
        Ok(Store {
            manifest: Manifest::read(&tree.join(MANIFEST)).map_err(|error| ImageError::Manifest(error.into()))?,
            lock: Lock::read(&tree.join(LOCK))?,
            locked,
            own_kernels: Mutex::new(own_kernel::in_cache(&cache)?),
            cache,
            tree: tree.to_path_buf(),
            source: Source::new(SourceSettings { mirror, keyring, snapshot, locked }),
            agent,
            used: Mutex::default(),
        })
    }

    /// The manifest: known names and defaults.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// QEMU for guests of this architecture, built when it is missing.
    ///
    /// # Errors
    /// It is missing and cannot be built.
    pub fn qemu(&self, guests: Architecture) -> Result<Qemu, ImageError> {
        let entry = &self.manifest.qemu[&guests];
        self.obtain(Image::Qemu(guests), false, |image| Qemu::of(image, &entry.program))
    }

    /// What a kernel runs on.
    ///
    /// # Errors
    /// Neither the manifest nor the user has a kernel of this name.
    pub fn architecture(&self, kernel: &str) -> Result<Architecture, ImageError> {
        match self.own_kernel(kernel) {
            Some(slot) => own_kernel::architecture(&self.cache.directory(&slot)),
            None => Ok(self.kernel(kernel)?.arch),
        }
    }

    /// What boots this kernel with this userland, built when it is missing, and with `tools` for
    /// people if that is wanted. The agent is built anew when its sources have changed.
    ///
    /// # Errors
    /// The manifest does not have them; something is missing and cannot be built.
    pub fn boot_image(&self, kernel: &str, userland: &str, tools: bool) -> Result<BootImage, ImageError> {
        let architecture = self.architecture(kernel)?;
        self.userland(userland)?;
        let (kernel, kernel_record) =
            self.obtain(Image::Kernel(kernel), false, |entry| (entry.directory.clone(), entry.record.clone()))?;
        let (userland, userland_record) = self.obtain(Image::Userland(userland, architecture), false, |entry| {
            (entry.directory.clone(), entry.record.clone())
        })?;
        let (agent, agent_key) = self.agent(architecture)?;
        let mut segments = vec![userland.join(userland::SEGMENT), kernel.join(kernel::MODULES)];
        let take = |entry: &Entry| (entry.directory.join(tools::SEGMENT), entry.record.content_key());
        let tools = tools.then(|| self.obtain(Image::Tools(architecture), false, take)).transpose()?;
        segments.extend(tools.iter().map(|(segment, _)| segment.clone()));
        segments.push(agent.join(agent::SEGMENT));
        let tools_key = tools.map(|(_, key)| key).unwrap_or_default();
        let keys = [kernel_record.content_key(), userland_record.content_key(), tools_key, agent_key];
        let key = sha256(keys.concat().as_bytes());
        let slot = Slot { kind: "initramfs", name: String::new(), key: key.clone() };
        let build = |to: &Path, _: Option<&BuildRecord>| cpio::concatenate(&segments, &to.join(INITRAMFS)).map(Some);
        let directory = self.take(&slot, false, build, |entry| entry.directory.clone())?;
        self.cache.prune("initramfs", KEEP)?;
        Ok(BootImage {
            architecture,
            kernel: kernel.join(kernel::VMLINUX),
            config: kernel.join(kernel::CONFIG),
            initramfs: directory.join(INITRAMFS),
            kernel_version: kernel_record.version,
            userland_version: userland_record.version,
            packages: [kernel_record.packages, userland_record.packages].concat(),
            key,
        })
    }

    /// Builds an image when it is missing; with `refresh` asks the archive for newer packages
    /// first.
    ///
    /// # Errors
    /// The manifest does not have it; it cannot be built.
    pub fn build(&self, image: Image<'_>, refresh: bool) -> Result<BuildRecord, ImageError> {
        self.obtain(image, refresh, |entry| entry.record.clone())
    }

    /// How an image stands; `verify` reads every byte of it.
    ///
    /// # Errors
    /// The manifest does not have it.
    pub fn state(&self, image: Image<'_>, verify: bool) -> Result<ImageState, ImageError> {
        let look = if verify { Look::Full } else { Look::Quick };
        Ok(match self.cache.state(&self.slot(image)?, look) {
            State::Whole(record) => ImageState::Built(record),
            State::Absent => ImageState::NotBuilt,
            State::Damaged(why) => ImageState::Damaged(why),
        })
    }

    /// Where an image is, whether or not it is there.
    ///
    /// # Errors
    /// The manifest does not have it.
    pub fn directory(&self, image: Image<'_>) -> Result<PathBuf, ImageError> {
        Ok(self.cache.directory(&self.slot(image)?))
    }

    /// All images of the manifest.
    pub fn images(&self) -> Vec<Image<'_>> {
        let kernels = self.manifest.kernel.keys().map(|name| Image::Kernel(name));
        let both = || Architecture::ALL.into_iter();
        let userlands = both().flat_map(|architecture| {
            self.manifest.userland.keys().map(move |name| Image::Userland(name, architecture))
        });
        let roots = self.manifest.build.roots.iter().map(|suite| Image::BuildRoot(suite));
        let others = [Image::KernelBuildRoot, Image::Zdtm].into_iter().chain(both().map(Image::Tools));
        both().map(Image::Qemu).chain(kernels).chain(userlands).chain(roots).chain(others).collect()
    }

    /// The image from the cache or, when it is missing, from its builder.
    pub(crate) fn obtain<T>(
        &self,
        image: Image<'_>,
        refresh: bool,
        take: impl FnOnce(&Entry) -> T,
    ) -> Result<T, ImageError> {
        let slot = self.slot(image)?;
        // With --locked one that was made of other packages does not count.
        let refresh = refresh || self.locked && self.difference(image)?.is_some();
        self.take(&slot, refresh, |to, former| self.make(image, &slot.title(), to, former), take)
    }

    pub(crate) fn take<T>(
        &self,
        slot: &Slot,
        refresh: bool,
        build: impl FnOnce(&Path, Option<&BuildRecord>) -> Result<Option<Built>, ImageError>,
        take: impl FnOnce(&Entry) -> T,
    ) -> Result<T, ImageError> {
        // An image cannot be replaced while it is in use, not even by its user: let go of it first.
        self.used.lock().expect("no thread panics while it holds the lock").remove(&self.cache.directory(slot));
        let entry = self.cache.obtain(slot, refresh, build)?;
        let result = take(&entry);
        self.used.lock().expect("no thread panics while it holds the lock").insert(entry.directory.clone(), entry);
        Ok(result)
    }

    fn make(
        &self,
        image: Image<'_>,
        title: &str,
        to: &Path,
        former: Option<&BuildRecord>,
    ) -> Result<Option<Built>, ImageError> {
        let order = self.order(image, HOST)?;
        let order = Order { title, locked: self.lock_of(image)?, ..order };
        let work = to.with_file_name("work");
        let Some(unpacked) = self.source.fetch(&self.cache, &order, &work, former)? else { return Ok(None) };
        doing(self.cache.progress(), &format!("{title}: building"), || match image {
            Image::Qemu(guests) => qemu::build(unpacked, &self.manifest.qemu[&guests], to),
            Image::Kernel(_) => kernel::build(unpacked, &self.manifest.module_groups, to),
            Image::Userland(name, architecture) => {
                let blank = (architecture != HOST).then(|| self.blank(name)).transpose()?;
                userland::build(unpacked, (self.userland(name)?, architecture), &self.manifest, blank.as_deref(), to)
            }
            Image::BuildRoot(_) => build_root::build(unpacked, &self.manifest.build.links, to),
            Image::KernelBuildRoot => build_root::build(unpacked, &self.manifest.kernel_build.links, to),
            Image::Tools(_) => tools::build(&unpacked, &self.manifest.tools, to),
            Image::Zdtm => zdtm::build(&unpacked, &self.manifest.zdtm, to),
        })
        .map(Some)
    }

    /// What an image is asked for to be: everything of the manifest that its builder reads, and the
    /// packages that are locked for it.
    pub(crate) fn slot(&self, image: Image<'_>) -> Result<Slot, ImageError> {
        fn json(what: impl Serialize) -> String {
            serde_json::to_string(&what).expect("strings and numbers have a JSON form")
        }
        if let Image::Kernel(name) = image
            && let Some(slot) = self.own_kernel(name)
        {
            return Ok(slot);
        }
        let (kind, name, entry) = match image {
            Image::Qemu(guests) => ("qemu", guests.suffix(), json(&self.manifest.qemu[&guests])),
            Image::Kernel(name) => {
                ("kernel", name.to_owned(), json((self.kernel(name)?, &self.manifest.module_groups)))
            }
            Image::Userland(name, architecture) => {
                let entry = json((self.userland(name)?, &self.manifest.blank));
                // Its blank filesystems are those of the host's userland.
                let other = (architecture != HOST).then(|| self.slot(Image::Userland(name, HOST))).transpose()?;
                let entry = other.map_or(entry.clone(), |other| format!("{entry} {}", other.key));
                ("userland", architecture.suffixed(name), entry)
            }
            Image::BuildRoot(suite) => ("build-root", suite.to_owned(), json(self.build_root(suite)?)),
            Image::KernelBuildRoot => ("kernel-build-root", String::new(), json(&self.manifest.kernel_build)),
            Image::Tools(architecture) => ("tools", architecture.suffix(), json(&self.manifest.tools)),
            Image::Zdtm => ("zdtm", String::new(), json(&self.manifest.zdtm)),
        };
        let order = self.order(image, HOST)?;
        let entry = if order.architecture.is_amd64() { entry } else { format!("{entry} {}", order.architecture) };
        let locked = self.lock_of(image)?.map(Locked::hashes);
        Ok(Slot { kind, name, key: sha256(json((BUILDERS, entry, locked)).as_bytes()) })
    }

    pub(super) fn kernel(&self, name: &str) -> Result<&KernelEntry, ImageError> {
        entry(&self.manifest.kernel, "kernel", name)
    }

    /// What a build root is made of.
    fn build_root(&self, suite: &str) -> Result<impl Serialize + '_, ImageError> {
        let BuildEntry { packages, skip, links, .. } = &self.manifest.build;
        Ok((self.build_suite(suite)?, packages, skip, links))
    }

    pub(super) fn build_suite(&self, suite: &str) -> Result<&String, ImageError> {
        let roots = &self.manifest.build.roots;
        roots.iter().find(|root| *root == suite).ok_or_else(|| ImageError::Unknown {
            kind: "build root",
            name: suite.to_owned(),
            known: roots.join(", "),
        })
    }

    pub(super) fn userland(&self, name: &str) -> Result<&UserlandEntry, ImageError> {
        entry(&self.manifest.userland, "userland", name)
    }
}

fn entry<'a, T>(table: &'a BTreeMap<String, T>, kind: &'static str, name: &str) -> Result<&'a T, ImageError> {
    table.get(name).ok_or_else(|| {
        let known: Vec<_> = table.keys().map(String::as_str).collect();
        ImageError::Unknown { kind, name: name.to_owned(), known: known.join(", ") }
    })
}
