//! Kernel modules of the image: `/modules/index` names groups, one a line, `group: a b c` in load
//! order. A filesystem that is built in has an empty group; one that the kernel lacks has none.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Filesystems that are built into every kernel.
const EVERYWHERE: [&str; 9] =
    ["tmpfs", "ramfs", "proc", "sysfs", "devpts", "mqueue", "devtmpfs", "hugetlbfs", "cgroup2"];

/// Groups that are no filesystems.
const OTHERS: [&str; 2] = ["base", "zdtm"];

/// The modules and which of them are loaded.
pub(super) struct Modules {
    folder: PathBuf,
    groups: BTreeMap<String, Vec<String>>,
    loaded: BTreeSet<String>,
}

impl Modules {
    /// Reads the index below `folder`; without an index the list of groups is empty.
    pub(super) fn read(folder: &Path) -> Self {
        let index = fs::read_to_string(folder.join("index")).unwrap_or_default();
        let groups = index
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(group, names)| (group.trim().to_owned(), names.split_whitespace().map(str::to_owned).collect()));
        Modules { folder: folder.to_owned(), groups: groups.collect(), loaded: BTreeSet::new() }
    }

    /// The groups that are filesystems, and those that every kernel has.
    pub(super) fn filesystems(&self) -> Vec<String> {
        let own = self.groups.keys().filter(|group| !OTHERS.contains(&group.as_str())).cloned();
        let mut all: Vec<String> = own.chain(EVERYWHERE.map(str::to_owned)).collect();
        all.sort();
        all
    }

    /// Loads a group's modules, each once; a group that does not exist has none.
    ///
    /// # Errors
    /// The module that the kernel does not take, by name.
    pub(super) fn load(&mut self, group: &str) -> io::Result<()> {
        for name in self.groups.get(group).cloned().unwrap_or_default() {
            if self.loaded.contains(&name) {
                continue;
            }
            let path = self.folder.join(format!("{name}.ko"));
            let file = File::open(&path)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
            let flags = nix::kmod::ModuleInitFlags::empty();
            match nix::kmod::finit_module(&file, c"", flags) {
                Ok(()) | Err(nix::errno::Errno::EEXIST) => self.loaded.insert(name),
                Err(error) => return Err(io::Error::other(format!("module {name}: {error}"))),
            };
        }
        Ok(())
    }
}
