//! A kernel out of Debian packages: `vmlinux`, its configuration, and a cpio segment with the
//! modules.

use std::path::{Path, PathBuf};

use super::arm64_image;
use super::bzimage;
use super::cpio::Segment;
use super::manifest::ModuleGroup;
use super::modules::Modules;
use crate::architecture::Architecture;
use crate::cache::Built;
use crate::cache::error::{ImageError, at, content};
use crate::cache::record::Package;
use crate::debian::source::Unpacked;

/// For QEMU's `-kernel`: the kernel's ELF file, or the `Image` of one for arm64.
pub(crate) const VMLINUX: &str = "vmlinux";
/// The configuration that it was built with.
pub(crate) const CONFIG: &str = "config";
/// `/modules` for the initramfs.
pub(crate) const MODULES: &str = "modules.cpio";

/// Fills the directory with the kernel of the unpacked packages.
pub(crate) fn build(unpacked: Unpacked, groups: &[ModuleGroup], to: &Path) -> Result<Built, ImageError> {
    let Unpacked { root, packages } = unpacked;
    let directory = only_directory(&root.join("usr/lib/modules"))?;
    let release = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let find = |name: &str| {
        let candidates = [root.join("boot").join(format!("{name}-{release}")), directory.join(name)];
        let tried = candidates.each_ref().map(|path| path.display().to_string()).join(" nor at ");
        let why = format!("is neither at {tried}; correct `keep` in the manifest");
        candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| content(format!("{name} of {release}"), why))
    };
    let vmlinuz = find("vmlinuz")?;
    let packed = std::fs::read(&vmlinuz).map_err(at("read", &vmlinuz))?;
    let (vmlinux, _) = unpacked_kernel(&packed).map_err(|why| content(vmlinuz.display().to_string(), why))?;
    let config = find("config")?;
    let config = std::fs::read(&config).map_err(at("read", &config))?;
    let modules = segment(&Modules::find(&directory)?, groups)?;
    Kernel { release, vmlinux, config }.write(modules, packages, to)
}

/// What QEMU starts of a kernel's file, and its architecture.
pub(crate) fn unpacked_kernel(packed: &[u8]) -> Result<(Vec<u8>, Architecture), String> {
    match arm64_image::image(packed)? {
        Some(image) => Ok((image, Architecture::Arm64)),
        None => {
            bzimage::vmlinux(packed).map(|vmlinux| (vmlinux, Architecture::Amd64)).map_err(|error| error.to_string())
        }
    }
}

/// A kernel without its modules.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// As uname(2) tells it.
    pub(crate) release: String,
    pub(crate) vmlinux: Vec<u8>,
    /// Empty where it is not known.
    pub(crate) config: Vec<u8>,
}

impl Kernel {
    /// Fills the directory of an image.
    pub(crate) fn write(self, modules: Vec<u8>, packages: Vec<Package>, to: &Path) -> Result<Built, ImageError> {
        for (name, bytes) in [(VMLINUX, self.vmlinux), (CONFIG, self.config), (MODULES, modules)] {
            let path = to.join(name);
            std::fs::write(&path, bytes).map_err(at("write", &path))?;
        }
        Ok(Built { version: self.release, packages })
    }
}

/// The modules of these groups, for the initramfs.
pub(crate) fn segment(modules: &Modules, groups: &[ModuleGroup]) -> Result<Vec<u8>, ImageError> {
    let selection = modules.select(groups)?;
    let mut segment = Segment::new();
    for (name, bytes) in &selection.modules {
        segment.file(&format!("modules/{name}.ko"), 0o644, bytes);
    }
    segment.file("modules/index", 0o644, selection.index.as_bytes());
    Ok(segment.finish())
}

/// `usr/lib/modules` has one directory, named after the release.
fn only_directory(parent: &Path) -> Result<PathBuf, ImageError> {
    let entries = std::fs::read_dir(parent).map_err(at("list", parent))?;
    let directories: Vec<_> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    match directories.as_slice() {
        [only] => Ok(only.clone()),
        other => Err(content(
            parent.display().to_string(),
            format!("has {} kernels instead of one; correct `keep` in the manifest", other.len()),
        )),
    }
}
