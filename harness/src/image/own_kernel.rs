//! A kernel of the user's own: a file that was built an hour ago, and its modules, or sources that
//! are built here (module `kernel_build`).
//!
//! It goes into the cache by its release. Once a command has named it by its path, every command
//! knows it by that name, the ones that a report prints as well. A newer file of the same release
//! takes the place of the older one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::PoisonError;

use super::kernel::{self, CONFIG, Kernel};
use super::kernel_build::KernelSources;
use super::modules::Modules;
use super::store::Store;
use crate::architecture::Architecture;
use crate::cache::error::{ImageError, at, content};
use crate::cache::record::{BuildRecord, sha256};
use crate::cache::{Cache, Slot};
use crate::elf::needed;
use crate::sources::Tree;

/// The kind of their images in the cache, and how many are kept: two sides of a comparison, and
/// the steps of a bisection to go back to.
pub(crate) const KIND: &str = "own-kernel";
const KEEP: usize = 16;

/// Every form, for messages.
pub const FORMS: &str = "path:FILE[,modules=DIR][,config=FILE], src:LINUX[,config=FILE] or git:LINUX@REV[,config=FILE]";

/// What a user names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnKernel {
    /// `path:FILE[,modules=DIR][,config=FILE]`: it is built already.
    Files(KernelFiles),
    /// `src:LINUX[,config=FILE]`, `git:LINUX@REV[,config=FILE]`: it is built here.
    Sources(KernelSources),
}

/// A kernel that was built elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelFiles {
    image: PathBuf,
    modules: Option<PathBuf>,
    config: Option<PathBuf>,
}

impl FromStr for OwnKernel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no kernel of your own; write {FORMS}");
        let mut parts = text.split(',');
        let (kind, head) = parts.next().and_then(|head| head.split_once(':')).ok_or_else(wrong)?;
        let (mut modules, mut config) = (None, None);
        for part in parts {
            let (key, value) = part.split_once('=').filter(|(_, value)| !value.is_empty()).ok_or_else(wrong)?;
            match key {
                "modules" if kind == "path" => modules = Some(PathBuf::from(value)),
                "config" => config = Some(PathBuf::from(value)),
                _ => return Err(wrong()),
            }
        }
        if head.is_empty() {
            return Err(wrong());
        }
        let tree = match kind {
            "path" => return Ok(Self::Files(KernelFiles { image: PathBuf::from(head), modules, config })),
            "src" => Tree::Folder(PathBuf::from(head)),
            "git" => {
                let (repository, revision) = head.split_once('@').ok_or_else(wrong)?;
                if repository.is_empty() || revision.is_empty() {
                    return Err(wrong());
                }
                Tree::Revision { repository: PathBuf::from(repository), revision: revision.to_owned() }
            }
            _ => return Err(wrong()),
        };
        Ok(Self::Sources(KernelSources { tree, config }))
    }
}

impl OwnKernel {
    /// Whether a word names a kernel of the user's, and not one by its name.
    pub fn is_named_by(word: &str) -> bool {
        ["path:", "src:", "git:"].iter().any(|prefix| word.starts_with(prefix))
    }

    /// Whether making it ready runs programs of its sources on this machine, outside any VM. What
    /// comes from a file or folder of somebody else must not choose such a kernel.
    pub fn acts_on_this_machine(word: &str) -> bool {
        Self::is_named_by(word) && !word.starts_with("path:")
    }
}

impl KernelFiles {
    /// What `make vmlinux` left in a folder.
    pub(super) fn built_in(folder: &Path) -> Self {
        Self { image: folder.join("vmlinux"), modules: None, config: None }
    }

    /// Whether it can be used, as far as its files tell.
    ///
    /// # Errors
    /// It is no kernel that QEMU can start, or its modules are not found.
    pub fn check(&self) -> Result<(), ImageError> {
        self.read().map(drop)
    }

    /// Reads it: the kernel unpacked, its release, its modules, and its configuration where there
    /// is one.
    pub(crate) fn read(&self) -> Result<(Kernel, Modules), ImageError> {
        let named = self.image.display().to_string();
        let packed = std::fs::read(&self.image).map_err(at("read", &self.image))?;
        let (vmlinux, _) = kernel::unpacked_kernel(&packed).map_err(|why| content(named.clone(), why))?;
        let release = release(&vmlinux)
            .ok_or_else(|| content(named.clone(), "no `Linux version RELEASE` is in it: not a kernel"))?;
        let directory = self.modules_of(&release)?;
        let modules = Modules::find(&directory)?;
        let beside = [Some(directory.join(".config")), Some(directory.join(CONFIG)), self.beside(&release)];
        let found = beside.into_iter().flatten().find(|path| path.is_file());
        let config = match self.config.clone().or(found) {
            Some(path) => std::fs::read(&path).map_err(at("read", &path))?,
            None => Vec::new(),
        };
        Ok((Kernel { release, vmlinux, config }, modules))
    }

    /// `config-RELEASE` beside the image, as in `/boot`.
    fn beside(&self, release: &str) -> Option<PathBuf> {
        Some(self.image.parent()?.join(format!("config-{release}")))
    }

    /// The folder with the modules: the one that was named, or what `make modules_install` made
    /// there; else the build tree that the image is in.
    fn modules_of(&self, release: &str) -> Result<PathBuf, ImageError> {
        let has_modules = |path: &Path| path.join("modules.builtin").is_file();
        let candidates = match &self.modules {
            Some(named) => vec![
                named.clone(),
                named.join("lib/modules").join(release),
                named.join("usr/lib/modules").join(release),
                named.join(release),
            ],
            // TREE/arch/x86/boot/bzImage, TREE/arch/arm64/boot/Image, TREE/vmlinux
            None => [4, 1].into_iter().filter_map(|up| self.image.ancestors().nth(up)).map(Path::to_owned).collect(),
        };
        candidates.iter().find(|path| has_modules(path)).cloned().ok_or_else(|| {
            let tried: Vec<String> = candidates.iter().map(|path| path.display().to_string()).collect();
            let what = format!("the modules of {} (kernel {release})", self.image.display());
            let help = "name the build tree, or the folder that `make modules_install` filled, with `,modules=DIR`";
            content(what, format!("no modules.builtin is in any of {}; {help}", tried.join(", ")))
        })
    }
}

/// What the kernel in this image runs on.
pub(super) fn architecture(image: &Path) -> Result<Architecture, ImageError> {
    let path = image.join(kernel::VMLINUX);
    let is_elf = needed::machine_of(&path).is_some();
    let readable = std::fs::metadata(&path).map_err(at("look at", &path));
    readable.map(|_| if is_elf { Architecture::Amd64 } else { Architecture::Arm64 })
}

/// Those in the cache, by release: of several builds of one release the one that was used last.
pub(super) fn in_cache(cache: &Cache) -> Result<BTreeMap<String, Slot>, ImageError> {
    let mut images = cache.ages()?;
    images.sort_by_key(|(_, age)| std::cmp::Reverse(*age));
    Ok(images.into_iter().filter_map(|(name, _)| slot_of(&name)).map(|slot| (slot.name.clone(), slot)).collect())
}

/// The one with this key.
pub(super) fn with_key(cache: &Cache, key: &str) -> Result<Option<Slot>, ImageError> {
    Ok(cache.ages()?.into_iter().filter_map(|(name, _)| slot_of(&name)).find(|slot| slot.key == key))
}

/// The slot that a directory of the cache belongs to. Anything may be in a cache.
fn slot_of(directory: &str) -> Option<Slot> {
    let (name, key) = directory.strip_prefix(KIND)?.strip_prefix('-')?.rsplit_once('-')?;
    let is_key = key.len() == 16 && key.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_key && !name.is_empty()).then(|| Slot { kind: KIND, name: name.to_owned(), key: key.to_owned() })
}

impl Store {
    /// Takes a kernel of the user's into the cache, built when that is missing; the name by which
    /// it is known from then on.
    ///
    /// # Errors
    /// It is no kernel that QEMU can start, its modules are not found, it lacks what a run needs,
    /// or it does not build.
    pub fn add_kernel(&self, own: &OwnKernel) -> Result<String, ImageError> {
        let slot = match own {
            OwnKernel::Files(files) => {
                let (kernel, modules) = files.read()?;
                self.take_kernel(kernel, &modules, None)?
            }
            OwnKernel::Sources(sources) => self.built_kernel(sources)?,
        };
        let name = slot.name.clone();
        self.own_kernels.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), slot);
        self.cache.prune(KIND, KEEP)?;
        Ok(name)
    }

    /// Takes a kernel into the cache, by this key, or by what it is.
    pub(super) fn take_kernel(
        &self,
        kernel: Kernel,
        modules: &Modules,
        key: Option<String>,
    ) -> Result<Slot, ImageError> {
        let segment = kernel::segment(modules, &self.manifest().module_groups)?;
        let key = key.unwrap_or_else(|| {
            let parts = [&kernel.vmlinux, &kernel.config, &segment].map(|bytes| sha256(bytes));
            sha256(parts.concat().as_bytes())[..16].to_owned()
        });
        let slot = Slot { kind: KIND, name: kernel.release.clone(), key };
        let build = |to: &Path, _: Option<&BuildRecord>| kernel.write(segment, Vec::new(), to).map(Some);
        self.take(&slot, false, build, |_| ())?;
        Ok(slot)
    }

    /// The user's own kernel of this release.
    pub(super) fn own_kernel(&self, release: &str) -> Option<Slot> {
        self.own_kernels.lock().unwrap_or_else(PoisonError::into_inner).get(release).cloned()
    }

    /// Every kernel that can be named: those of the manifest, then the user's own.
    pub fn kernel_names(&self) -> Vec<String> {
        let own = self.own_kernels.lock().unwrap_or_else(PoisonError::into_inner);
        self.manifest().kernel.keys().chain(own.keys()).cloned().collect()
    }
}

/// What uname(2) will tell: the kernel has its banner as text.
fn release(vmlinux: &[u8]) -> Option<String> {
    const BANNER: &[u8] = b"Linux version ";
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-~".contains(&byte);
    // A format string with the same beginning may stand before it.
    places_of(vmlinux, BANNER).find_map(|at| {
        let rest = &vmlinux[at + BANNER.len()..];
        let length = rest.iter().take(65).position(|byte| !is_plain(*byte))?;
        let text = std::str::from_utf8(&rest[..length]).ok()?;
        (text.starts_with(|c: char| c.is_ascii_digit()) && text.contains('.')).then(|| text.to_owned())
    })
}

/// Where a text stands.
fn places_of<'a>(bytes: &'a [u8], text: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    bytes.windows(text.len()).enumerate().filter(move |(_, window)| *window == text).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_this_module_made_is_a_kernel_of_the_cache() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::open(root.path(), std::sync::Arc::new(crate::cache::progress::silent)).unwrap();
        for name in
            ["own-kernel-6.18.0-rc3-0123456789abcdef", "own-kernel-x-y", "own-kernel", "kernel-6.12-0123456789abcdef"]
        {
            std::fs::create_dir_all(root.path().join("images").join(name)).unwrap();
        }
        let kernels = in_cache(&cache).unwrap();
        assert_eq!(kernels.keys().collect::<Vec<_>>(), ["6.18.0-rc3"]);
        assert_eq!(kernels["6.18.0-rc3"].directory(), "own-kernel-6.18.0-rc3-0123456789abcdef");
    }

    #[test]
    fn the_form_is_checked() {
        let kernel: OwnKernel = "path:a/bzImage,modules=m,config=c".parse().unwrap();
        let path = |text: &str| Some(PathBuf::from(text));
        let files = KernelFiles { image: "a/bzImage".into(), modules: path("m"), config: path("c") };
        assert_eq!(kernel, OwnKernel::Files(files));
        for (word, shown) in [
            ("src:../linux", "src:../linux"),
            ("src:../linux,config=kasan.config", "src:../linux,config=kasan.config"),
            ("git:../linux@v6.12~3", "git:../linux@v6.12~3"),
            ("git:.@main@{yesterday},config=c", "git:.@main@{yesterday},config=c"),
        ] {
            let OwnKernel::Sources(sources) = word.parse().unwrap() else { panic!("{word}") };
            assert_eq!(sources.to_string(), shown);
        }
        let wrong =
            ["a", "path:", "path:a,modules", "path:a,modules=", "path:a,x=y", "src:", "src:a,modules=m", "git:a"];
        for wrong in wrong.into_iter().chain(["git:@a", "git:a@", "git:a@b,config=", "deb:a"]) {
            let error = wrong.parse::<OwnKernel>().unwrap_err();
            assert!(error.contains("write path:FILE[,modules=DIR]") && error.contains("git:LINUX@REV"), "{error}");
        }
    }

    #[test]
    fn the_release_is_that_of_the_banner() {
        let text = b"\0Linux version %s (%s)\0..Linux version 6.18.0-rc3+ (me@here) #1 SMP\0";
        assert_eq!(release(text).as_deref(), Some("6.18.0-rc3+"));
        assert_eq!(release(b"Linux version "), None);
        assert_eq!(release(&[b"Linux version 6.".as_slice(), &[b'1'; 100]].concat()), None);
    }

    #[test]
    fn modules_are_looked_for_where_they_may_be() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("linux/arch/x86/boot/bzImage");
        std::fs::create_dir_all(image.parent().unwrap()).unwrap();
        let kernel = |more: &str| match format!("path:{}{more}", image.display()).parse() {
            Ok(OwnKernel::Files(files)) => files,
            other => panic!("{other:?}"),
        };
        let error =
            kernel("").modules_of("6.18.0").unwrap_err().to_string().replace(folder.path().to_str().unwrap(), "T");
        expect_test::expect!["the modules of T/linux/arch/x86/boot/bzImage (kernel 6.18.0): no modules.builtin is in any of T/linux, T/linux/arch/x86/boot; name the build tree, or the folder that `make modules_install` filled, with `,modules=DIR`"].assert_eq(&error);
        let builtin = folder.path().join("linux/modules.builtin");
        std::fs::write(&builtin, "").unwrap();
        assert_eq!(kernel("").modules_of("6.18.0").unwrap(), folder.path().join("linux"));
        let installed = folder.path().join("root/lib/modules/6.18.0");
        std::fs::create_dir_all(&installed).unwrap();
        std::fs::write(installed.join("modules.builtin"), "").unwrap();
        let named = format!(",modules={}", folder.path().join("root").display());
        assert_eq!(kernel(&named).modules_of("6.18.0").unwrap(), installed);
    }
}
