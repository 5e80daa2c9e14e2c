//! `vm-images/images.toml`: which packages of which suites become QEMU, kernels and userlands.
//!
//! Parsing checks everything that can be checked without a network, so that a slip of the pen is
//! reported in a moment and not after a download. `vm-images/README.md` explains each key to
//! people.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::build_root::RootEntry;
use crate::architecture::{Architecture, HOST};

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It cannot be read.
    #[error("cannot read the manifest {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// It is not TOML, has an unknown key, or lacks a key.
    #[error("{}: {error}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser says, with line, column and the line itself.
        error: Box<toml::de::Error>,
    },
    /// A value that makes no sense.
    #[error("{}: {key}: {why}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key's path in the file.
        key: String,
        /// What is wrong with its value and what is expected.
        why: String,
    },
}

/// The whole manifest.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// What is used when nothing is named.
    pub defaults: Defaults,
    /// The QEMUs that run the VMs, by the architecture of these.
    pub qemu: BTreeMap<Architecture, QemuEntry>,
    /// Kernels by the name that users type.
    pub kernel: BTreeMap<String, KernelEntry>,
    /// Groups of modules that every kernel's image gets, in this order.
    #[serde(rename = "module-group", default)]
    pub module_groups: Vec<ModuleGroup>,
    /// Userlands by the name that users type.
    pub userland: BTreeMap<String, UserlandEntry>,
    /// Where criu's sources are built.
    pub build: BuildEntry,
    /// Where a kernel's sources are built.
    #[serde(rename = "kernel-build")]
    pub kernel_build: RootEntry,
    /// What CRIU's own test suite needs in a VM.
    pub zdtm: RootEntry,
    /// What machines for people have besides.
    pub tools: ToolsEntry,
    /// Empty filesystems in every userland, by name.
    #[serde(default)]
    pub blank: BTreeMap<String, BlankEntry>,
}

/// What is used when nothing is named.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// Keys of [`Manifest::kernel`], by the host's architecture.
    kernel: BTreeMap<Architecture, String>,
    /// A key of [`Manifest::userland`].
    pub userland: String,
    /// One of [`BuildEntry::roots`].
    pub build: String,
}

impl Defaults {
    /// The kernel on this host: a key of [`Manifest::kernel`].
    pub fn kernel(&self) -> &str {
        &self.kernel[&HOST]
    }
}

/// A QEMU.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QemuEntry {
    /// Debian suites; packages come from the first one where it has them.
    pub suites: Vec<String>,
    /// Packages to install, with all they depend on.
    pub packages: Vec<String>,
    /// Patterns of packages that are left out although something depends on them.
    #[serde(default)]
    pub skip: Vec<String>,
    /// The program, relative to the root of the unpacked packages.
    pub program: String,
    /// Patterns of firmware files, relative to the root.
    #[serde(default)]
    pub data: Vec<String>,
}

/// A kernel.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelEntry {
    /// What it runs on.
    #[serde(default, skip_serializing_if = "Architecture::is_amd64")]
    pub arch: Architecture,
    /// Debian suites; packages come from the first one where it has them.
    pub suites: Vec<String>,
    /// The meta package that depends on the current kernel.
    pub package: String,
    /// Patterns of the packages that hold kernel, modules and configuration; nothing else is
    /// downloaded.
    pub keep: Vec<String>,
}

/// Modules that are loaded together.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModuleGroup {
    /// Its name in `/modules/index`: `base`, or a filesystem.
    pub name: String,
    /// Left out of the index when the kernel lacks one of its modules; otherwise that is an error.
    #[serde(default)]
    pub optional: bool,
    /// Module names; one that ends in `?` may be missing.
    pub modules: Vec<String>,
}

/// A userland.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserlandEntry {
    /// Debian suites; packages come from the first one where it has them.
    pub suites: Vec<String>,
    /// Packages that the binaries come from, with all they depend on.
    pub packages: Vec<String>,
    /// Packages with the programs that make blank filesystems.
    #[serde(default)]
    pub tools: Vec<String>,
    /// Patterns of packages that are left out although something depends on them.
    #[serde(default)]
    pub skip: Vec<String>,
    /// What goes into the image, relative to the root, with the libraries that it needs.
    pub binaries: Vec<String>,
}

/// Trees with a compiler and what criu's sources need besides.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildEntry {
    /// Debian suites, oldest first; each makes a tree of its own.
    pub roots: Vec<String>,
    /// Packages to unpack, with all they depend on.
    pub packages: Vec<String>,
    /// Patterns of packages that are left out although something depends on them.
    #[serde(default)]
    pub skip: Vec<String>,
    /// Symbolic links that no package has: the target by the path relative to the root.
    #[serde(default)]
    pub links: BTreeMap<String, String>,
}

/// Tools for people.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolsEntry {
    /// Debian suites; packages come from the first one where it has them.
    pub suites: Vec<String>,
    /// Packages to unpack, with all they depend on.
    pub packages: Vec<String>,
    /// Patterns of packages that are left out although something depends on them.
    #[serde(default)]
    pub skip: Vec<String>,
    /// A static busybox, relative to the root or to its `usr`.
    pub program: String,
}

/// An empty filesystem.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlankEntry {
    /// How many, each with its own UUID.
    pub copies: u32,
    /// The size of the image.
    pub size_mib: u64,
    /// The program, relative to the root of the unpacked packages, and its arguments; `{n}` and
    /// `{file}` are replaced, as is `{tree}`.
    pub command: Vec<String>,
    /// Files below a directory that replaces `{tree}`, for filesystems that are written once: the
    /// contents by the path.
    #[serde(default)]
    pub tree: BTreeMap<String, String>,
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// It cannot be read, parsed, or makes no sense.
    pub fn read(path: &Path) -> Result<Manifest, ManifestError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| ManifestError::Read { path: path.to_path_buf(), error })?;
        Manifest::parse(&text, path)
    }

    /// Parses and checks a manifest's text; the path is for messages.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub fn parse(text: &str, path: &Path) -> Result<Manifest, ManifestError> {
        let manifest: Manifest = toml::from_str(text)
            .map_err(|error| ManifestError::Syntax { path: path.to_path_buf(), error: Box::new(error) })?;
        manifest.check().map_err(|(key, why)| ManifestError::Value { path: path.to_path_buf(), key, why })?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), (String, String)> {
        for architecture in Architecture::ALL {
            let lacks = |table: &str| (format!("{table}.{architecture}"), "is missing".to_owned());
            let kernel = self.defaults.kernel.get(&architecture).ok_or_else(|| lacks("defaults.kernel"))?;
            known(&format!("defaults.kernel.{architecture}"), kernel, self.kernel.keys())?;
            let qemu = self.qemu.get(&architecture).ok_or_else(|| lacks("qemu"))?;
            words(&format!("qemu.{architecture}.suites"), &qemu.suites)?;
            words(&format!("qemu.{architecture}.packages"), &qemu.packages)?;
            paths(&format!("qemu.{architecture}.program"), std::slice::from_ref(&qemu.program))?;
            if !qemu.data.is_empty() {
                paths(&format!("qemu.{architecture}.data"), &qemu.data)?;
            }
        }
        known("defaults.userland", &self.defaults.userland, self.userland.keys())?;
        for (name, kernel) in &self.kernel {
            let key = format!("kernel.{name:?}");
            words(&key, std::slice::from_ref(name))?;
            words(&format!("{key}.suites"), &kernel.suites)?;
            words(&format!("{key}.package"), std::slice::from_ref(&kernel.package))?;
            not_empty(&format!("{key}.keep"), &kernel.keep)?;
        }
        for (name, userland) in &self.userland {
            let key = format!("userland.{name:?}");
            words(&key, std::slice::from_ref(name))?;
            words(&format!("{key}.suites"), &userland.suites)?;
            words(&format!("{key}.packages"), &userland.packages)?;
            paths(&format!("{key}.binaries"), &userland.binaries)?;
        }
        words("build.roots", &self.build.roots)?;
        known("defaults.build", &self.defaults.build, self.build.roots.iter())?;
        words("build.packages", &self.build.packages)?;
        words("tools.suites", &self.tools.suites)?;
        words("tools.packages", &self.tools.packages)?;
        paths("tools.program", std::slice::from_ref(&self.tools.program))?;
        let roots = [("kernel-build", &self.kernel_build), ("zdtm", &self.zdtm)];
        for (key, root) in roots {
            words(&format!("{key}.suites"), &root.suites)?;
            words(&format!("{key}.packages"), &root.packages)?;
        }
        for (key, links) in roots.map(|(key, root)| (key, &root.links)).iter().chain(&[("build", &self.build.links)]) {
            if !links.is_empty() {
                paths(&format!("{key}.links"), &links.keys().cloned().collect::<Vec<_>>())?;
            }
        }
        for (at, group) in self.module_groups.iter().enumerate() {
            words(&format!("module-group[{at}].name"), std::slice::from_ref(&group.name))?;
            if self.module_groups[..at].iter().any(|other| other.name == group.name) {
                return Err((format!("module-group[{at}].name"), format!("there is a second group `{}`", group.name)));
            }
            let names: Vec<_> = group.modules.iter().map(|name| name.trim_end_matches('?').to_owned()).collect();
            words(&format!("module-group.{}.modules", group.name), &names)?;
        }
        for (name, blank) in &self.blank {
            let key = format!("blank.{name}");
            words(&key, std::slice::from_ref(name))?;
            if !(1..=9).contains(&blank.copies) {
                return Err((format!("{key}.copies"), "expected 1 to 9".into()));
            }
            if !(1..=1024).contains(&blank.size_mib) {
                return Err((format!("{key}.size_mib"), "expected 1 to 1024".into()));
            }
            paths(&format!("{key}.command"), blank.command.get(..1).unwrap_or_default())?;
        }
        Ok(())
    }
}

/// A value that must be one of the keys of a table.
fn known<'a>(key: &str, value: &str, keys: impl Iterator<Item = &'a String>) -> Result<(), (String, String)> {
    let keys: Vec<_> = keys.map(String::as_str).collect();
    if keys.contains(&value) {
        return Ok(());
    }
    Err((key.into(), format!("there is no `{value}`, only: {}", keys.join(", "))))
}

fn not_empty(key: &str, values: &[String]) -> Result<(), (String, String)> {
    if values.is_empty() { Err((key.into(), "expected at least one".into())) } else { Ok(()) }
}

/// Names of suites, packages, modules: they go into file names, URLs and command lines.
fn words(key: &str, values: &[String]) -> Result<(), (String, String)> {
    not_empty(key, values)?;
    let fine = |c: char| c.is_ascii_alphanumeric() || "+-._".contains(c);
    match values
        .iter()
        .find(|value| !value.starts_with(|c: char| c.is_ascii_alphanumeric()) || !value.chars().all(fine))
    {
        Some(bad) => Err((key.into(), format!("{bad:?} is no name: expected letters, digits and + - . _"))),
        None => Ok(()),
    }
}

/// Paths inside the unpacked packages.
fn paths(key: &str, values: &[String]) -> Result<(), (String, String)> {
    not_empty(key, values)?;
    let bad = values.iter().find(|value| {
        value.is_empty() || value.starts_with('/') || value.split('/').any(|part| matches!(part, "" | "." | ".."))
    });
    match bad {
        Some(bad) => {
            Err((key.into(), format!("{bad:?}: expected a path like usr/bin/tar, without / at its start or ..")))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    const GOOD: &str = include_str!("../../../vm-images/images.toml");

    fn refuses(text: &str, expected: &Expect) {
        let error = Manifest::parse(text, Path::new("images.toml")).unwrap_err();
        expected.assert_eq(&error.to_string());
    }

    #[test]
    fn the_projects_own_manifest_is_good() {
        let manifest = Manifest::parse(GOOD, Path::new("images.toml")).unwrap();
        assert!(manifest.kernel.contains_key("6.1") && manifest.kernel.contains_key("7.3"));
        assert_eq!(manifest.module_groups[0].name, "base");
    }

    #[test]
    fn slips_are_reported_with_their_place() {
        refuses(
            &GOOD.replacen("amd64 = \"6.12\"", "amd64 = \"6.2\"", 1),
            &expect!["images.toml: defaults.kernel.amd64: there is no `6.2`, only: 6.1, 6.12, 6.12-arm64, 7.3"],
        );
        refuses(
            &GOOD.replacen("suites = [\"bookworm\"]", "suites = [\"bookworm main\"]", 1),
            &expect![[
                r#"images.toml: kernel."6.1".suites: "bookworm main" is no name: expected letters, digits and + - . _"#
            ]],
        );
        refuses(
            &GOOD.replacen("\"usr/sbin/criu\"", "\"../criu\"", 1),
            &expect![[
                r#"images.toml: userland."trixie".binaries: "../criu": expected a path like usr/bin/tar, without / at its start or .."#
            ]],
        );
        refuses(
            &GOOD.replacen("name = \"xfs\"", "name = \"ext4\"", 1),
            &expect!["images.toml: module-group[2].name: there is a second group `ext4`"],
        );
        refuses(
            "[defaults]\nkernel = 6\n",
            &expect![[r#"
                images.toml: TOML parse error at line 2, column 10
                  |
                2 | kernel = 6
                  |          ^
                invalid type: integer `6`, expected a map
            "#]],
        );
    }
}
