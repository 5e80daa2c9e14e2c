//! A kernel of the user's own: a file that was built an hour ago, and its modules.
//!
//! It goes into the cache by its release. Once a command has named it by its path, every command
//! knows it by that name, the ones that a report prints as well. A newer file of the same release
//! takes the place of the older one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::PoisonError;
use std::time::Duration;

use super::bzimage;
use super::kernel::{self, CONFIG, Kernel};
use super::modules::Modules;
use super::store::{KEEP, Store};
use crate::cache::error::{ImageError, at, content};
use crate::cache::record::{BuildRecord, sha256};
use crate::cache::{Cache, Slot};

/// What every such name on the command line begins with.
pub const PREFIX: &str = "path:";

/// The kind of their images in the cache.
pub(crate) const KIND: &str = "own-kernel";

/// What a user names: `path:FILE[,modules=DIR][,config=FILE]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnKernel {
    image: PathBuf,
    modules: Option<PathBuf>,
    config: Option<PathBuf>,
}

impl FromStr for OwnKernel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = "path:FILE[,modules=DIR][,config=FILE], as in path:../linux/arch/x86/boot/bzImage";
        let wrong = || format!("{text:?} is no kernel of your own; write {form}");
        let mut parts = text.strip_prefix(PREFIX).ok_or_else(wrong)?.split(',');
        let image = parts.next().filter(|image| !image.is_empty()).ok_or_else(wrong)?;
        let mut kernel = Self { image: PathBuf::from(image), modules: None, config: None };
        for part in parts {
            let (key, value) = part.split_once('=').filter(|(_, value)| !value.is_empty()).ok_or_else(wrong)?;
            match key {
                "modules" => kernel.modules = Some(PathBuf::from(value)),
                "config" => kernel.config = Some(PathBuf::from(value)),
                _ => return Err(wrong()),
            }
        }
        Ok(kernel)
    }
}

impl OwnKernel {
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
        let vmlinux = bzimage::vmlinux(&packed).map_err(|error| content(named.clone(), error.to_string()))?;
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
            // TREE/arch/x86/boot/bzImage, TREE/vmlinux
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

/// Those in the cache, by release: of several builds of one release the one that was used last.
pub(super) fn in_cache(cache: &Cache) -> Result<BTreeMap<String, Slot>, ImageError> {
    let mut images = cache.images()?;
    images.sort_by_key(|(_, _, age)| std::cmp::Reverse(*age));
    let slot = |(directory, ..): (String, u64, Duration)| {
        let (name, key) = directory.strip_prefix(KIND)?.strip_prefix('-')?.rsplit_once('-')?;
        // Anything may be in a cache.
        let is_key = key.len() == 16 && key.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_key && !name.is_empty()).then_some(())?;
        Some((name.to_owned(), Slot { kind: KIND, name: name.to_owned(), key: key.to_owned() }))
    };
    Ok(images.into_iter().filter_map(slot).collect())
}

impl Store {
    /// Takes a kernel of the user's into the cache; the name by which it is known from then on.
    ///
    /// # Errors
    /// It is no kernel that QEMU can start, its modules are not found, or it lacks what a run
    /// needs.
    pub fn add_kernel(&self, own: &OwnKernel) -> Result<String, ImageError> {
        let (kernel, modules) = own.read()?;
        let name = kernel.release.clone();
        let segment = kernel::segment(&modules, &self.manifest().module_groups)?;
        let parts = [&kernel.vmlinux, &kernel.config, &segment].map(|bytes| sha256(bytes));
        let slot = Slot { kind: KIND, name: name.clone(), key: sha256(parts.concat().as_bytes())[..16].to_owned() };
        let build = |to: &Path, _: Option<&BuildRecord>| kernel.write(segment, Vec::new(), to).map(Some);
        self.take(&slot, false, build, |_| ())?;
        self.own_kernels.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), slot);
        self.cache.prune(KIND, KEEP)?;
        Ok(name)
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
        assert_eq!((kernel.image, kernel.modules, kernel.config), ("a/bzImage".into(), path("m"), path("c")));
        for wrong in ["a", "path:", "path:a,modules", "path:a,modules=", "path:a,x=y"] {
            let error = wrong.parse::<OwnKernel>().unwrap_err();
            assert!(error.contains("write path:FILE[,modules=DIR]"), "{error}");
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
        let kernel = |more: &str| format!("path:{}{more}", image.display()).parse::<OwnKernel>().unwrap();
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
