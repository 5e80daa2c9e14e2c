//! Kernel modules: which are needed, in which order they are loaded, and the index that tells the
//! guest.
//!
//! What a module depends on is read from its own `.modinfo` section (`depends=`), because
//! `modules.dep` is made by depmod(8) at installation and is in no package. Soft dependencies
//! (`softdep=pre: ...`) count when the kernel has them. Modules keep their signature: loading one
//! without it taints the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use object::{Object, ObjectSection};

use super::bzimage::{unxz, unzstd};
use super::manifest::ModuleGroup;
use crate::cache::error::{ImageError, at, content};

/// More bytes than this no module has: those with debug information have some ten MB.
const MODULE_LIMIT: usize = 256 << 20;

/// The modules of one kernel.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    /// Files by module name.
    files: BTreeMap<String, PathBuf>,
    /// Names of those that are part of the kernel itself.
    builtin: BTreeSet<String>,
}

/// What the guest gets.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Content by module name.
    pub(crate) modules: BTreeMap<String, Vec<u8>>,
    /// A line for each group: its name, a colon, the modules in loading order.
    pub(crate) index: String,
}

/// What a module asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wishes {
    depends: Vec<String>,
    soft: Vec<String>,
}

/// File names may have `-` where module names have `_`.
fn name_of(file: &str) -> String {
    let stem = file.split(".ko").next().unwrap_or(file);
    stem.replace('-', "_")
}

impl Modules {
    /// Finds the modules below `directory` (`usr/lib/modules/RELEASE`, or a tree that a kernel was
    /// built in) and reads `modules.builtin` there.
    pub(crate) fn find(directory: &Path) -> Result<Modules, ImageError> {
        let mut found = Modules::default();
        let builtin = directory.join("modules.builtin");
        let text = std::fs::read_to_string(&builtin).map_err(at("read", &builtin))?;
        found.builtin = text.lines().filter_map(|line| line.rsplit('/').next()).map(name_of).collect();
        // In a build tree modules are in every folder; what is installed are modules only.
        let is_installed = !directory.join("Makefile").is_file() && directory.join("kernel").is_dir();
        let mut todo = vec![if is_installed { directory.join("kernel") } else { directory.to_owned() }];
        while let Some(directory) = todo.pop() {
            for entry in std::fs::read_dir(&directory).map_err(at("list", &directory))? {
                let path = entry.map_err(at("list", &directory))?.path();
                let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if path.symlink_metadata().is_ok_and(|data| data.is_dir()) {
                    todo.push(path);
                } else if [".ko", ".ko.xz", ".ko.zst"].iter().any(|end| file.ends_with(end)) {
                    found.files.insert(name_of(&file), path);
                }
            }
        }
        Ok(found)
    }

    /// The modules of the groups with everything that they depend on.
    ///
    /// # Errors
    /// A module that is neither there nor built in nor marked optional; one that cannot be read.
    pub(crate) fn select(&self, groups: &[ModuleGroup]) -> Result<Selection, ImageError> {
        let mut selection = Selection::default();
        let mut wishes = BTreeMap::new();
        for group in groups {
            if let Some(order) = self.group(group, &mut selection.modules, &mut wishes)? {
                selection.index.push_str(&format!("{}:", group.name));
                order.iter().for_each(|name| selection.index.push_str(&format!(" {name}")));
                selection.index.push('\n');
            }
        }
        Ok(selection)
    }

    /// The loading order of one group; `None` when it is optional and this kernel lacks a module of
    /// it.
    fn group(
        &self,
        group: &ModuleGroup,
        loaded: &mut BTreeMap<String, Vec<u8>>,
        wishes: &mut BTreeMap<String, Wishes>,
    ) -> Result<Option<Vec<String>>, ImageError> {
        let has = |name: &str| self.builtin.contains(name) || self.files.contains_key(name);
        let mut wanted = Vec::new();
        for listed in &group.modules {
            let name = name_of(listed.trim_end_matches('?'));
            match (has(&name), listed.ends_with('?'), group.optional) {
                (true, _, _) => wanted.push(name),
                (false, true, _) => {}
                (false, false, true) => return Ok(None),
                (false, false, false) => {
                    return Err(content(
                        format!("module `{name}` of group `{}`", group.name),
                        "this kernel neither has it nor has it built in; build a kernel of your own with it, or correct the manifest (a `?` \
                         behind its name says that some kernels lack it)",
                    ));
                }
            }
        }
        let mut order = Vec::new();
        for name in wanted {
            self.visit(&name, &mut order, &mut Vec::new(), &mut |name| {
                if !wishes.contains_key(name) {
                    let module = self.load(name)?;
                    wishes.insert(name.to_owned(), wishes_of(&module).map_err(|why| content(name, why))?);
                    loaded.insert(name.to_owned(), module);
                }
                let Wishes { depends, soft } = &wishes[name];
                let soft = soft.iter().filter(|name| has(name));
                Ok(depends.iter().chain(soft).cloned().collect())
            })?;
        }
        Ok(Some(order))
    }

    /// Appends a module to the order, behind what it depends on. `path` are those that wait for it.
    fn visit(
        &self,
        name: &str,
        order: &mut Vec<String>,
        path: &mut Vec<String>,
        depends: &mut dyn FnMut(&str) -> Result<Vec<String>, ImageError>,
    ) -> Result<(), ImageError> {
        if self.builtin.contains(name) || order.iter().any(|done| done == name) {
            return Ok(());
        }
        if path.iter().any(|waiting| waiting == name) {
            return Err(content(format!("module `{name}`"), format!("depends on itself: {}", path.join(" -> "))));
        }
        path.push(name.to_owned());
        for dependency in depends(name)? {
            self.visit(&dependency, order, path, depends)?;
        }
        path.pop();
        order.push(name.to_owned());
        Ok(())
    }

    fn load(&self, name: &str) -> Result<Vec<u8>, ImageError> {
        let path = self
            .files
            .get(name)
            .ok_or_else(|| content(format!("module `{name}`"), "another module depends on it, but it is not there"))?;
        let bytes = std::fs::read(path).map_err(at("read", path))?;
        let wrong = |why: String| content(path.display().to_string(), why);
        match path.extension().and_then(OsStr::to_str) {
            Some("xz") => unxz(&bytes).map_err(wrong),
            Some("zst") => match unzstd(&bytes, MODULE_LIMIT).map_err(wrong)? {
                module if module.len() > MODULE_LIMIT => Err(wrong(format!("it has more than {MODULE_LIMIT} bytes"))),
                module => Ok(module),
            },
            _ => Ok(bytes),
        }
    }
}

fn wishes_of(module: &[u8]) -> Result<Wishes, String> {
    let file = object::File::parse(module).map_err(|error| error.to_string())?;
    let section = file.section_by_name(".modinfo").ok_or("it has no .modinfo section")?;
    Ok(parse_modinfo(section.data().map_err(|error| error.to_string())?))
}

/// `.modinfo` is a list of NUL-terminated `key=value`.
fn parse_modinfo(section: &[u8]) -> Wishes {
    let mut wishes = Wishes::default();
    for line in section.split(|byte| *byte == 0).filter_map(|line| std::str::from_utf8(line).ok()) {
        match line.split_once('=') {
            Some(("depends", names)) => {
                wishes.depends.extend(names.split(',').filter(|name| !name.is_empty()).map(name_of));
            }
            Some(("softdep", text)) => {
                let before = text.split("post:").next().unwrap_or_default();
                let names = before.split_once("pre:").map_or("", |(_, names)| names);
                wishes.soft.extend(names.split_whitespace().map(name_of));
            }
            _ => {}
        }
    }
    wishes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(files: &[&str], builtin: &[&str]) -> Modules {
        Modules {
            files: files.iter().map(|name| ((*name).to_owned(), PathBuf::from(format!("{name}.ko")))).collect(),
            builtin: builtin.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn order(kernel: &Modules, start: &str, depends: &[(&str, &str)]) -> Result<String, String> {
        let mut order = Vec::new();
        let mut lookup = |name: &str| {
            let names = depends.iter().find(|(from, _)| *from == name).map_or("", |(_, to)| *to);
            Ok(names.split_whitespace().map(str::to_owned).collect())
        };
        kernel.visit(start, &mut order, &mut Vec::new(), &mut lookup).map_err(|error| error.to_string())?;
        Ok(order.join(" "))
    }

    #[test]
    fn dependencies_come_first_and_once() {
        let kernel = kernel(&["btrfs", "raid6", "xor", "crc"], &["zstd"]);
        let depends = [("btrfs", "raid6 zstd crc"), ("raid6", "xor crc")];
        assert_eq!(order(&kernel, "btrfs", &depends).unwrap(), "xor crc raid6 btrfs");
        assert_eq!(order(&kernel, "zstd", &depends).unwrap(), "");
        let circle = [("btrfs", "raid6"), ("raid6", "btrfs")];
        expect_test::expect!["module `btrfs`: depends on itself: btrfs -> raid6"]
            .assert_eq(&order(&kernel, "btrfs", &circle).unwrap_err());
    }

    #[test]
    fn modinfo_tells_hard_and_soft_dependencies() {
        let wishes = parse_modinfo(
            b"license=GPL\0depends=jbd2,mb-cache\0softdep=pre: crc32c xxhash-generic post: late\0\0depends=\0noise",
        );
        assert_eq!(wishes.depends, ["jbd2", "mb_cache"]);
        assert_eq!(wishes.soft, ["crc32c", "xxhash_generic"]);
    }

    #[test]
    fn groups_say_what_a_kernel_lacks() {
        let kernel = kernel(&[], &["loop", "ext4"]);
        let group = |name: &str, optional, modules: &[&str]| ModuleGroup {
            name: name.into(),
            optional,
            modules: modules.iter().map(|name| (*name).to_owned()).collect(),
        };
        let groups = [
            group("base", false, &["loop", "libcrc32c?"]),
            group("ext4", true, &["ext4"]),
            group("xfs", true, &["xfs"]),
        ];
        assert_eq!(kernel.select(&groups).unwrap().index, "base:\next4:\n");
        expect_test::expect!["module `tun` of group `base`: this kernel neither has it nor has it built in; build a kernel of your own with it, or correct the manifest (a `?` behind its name says that some kernels lack it)"]
            .assert_eq(&kernel.select(&[group("base", false, &["loop", "tun"])]).unwrap_err().to_string());
    }
}
