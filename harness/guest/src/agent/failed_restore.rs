//! What a restore that failed changed: mounts, processes, names in the root and in the machine's
//! own folders. A second restore from the same images meets all of this.
//!
//! The agent observes before each restore, since any of them may fail, and again
//! after one that did. It sees what its own namespace shows. Filesystems that go with the process's
//! mounts are gone by then, and so is what was in them.
//!
//! Every trial pays for the observation before the restore: a listing of `/proc`, the mount table,
//! and a walk through the names. A process that was restored in a mount namespace of its own takes
//! that namespace with it, so nothing in it is observed. The kept namespace of the reference engine
//! is not entered either.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::stat::Mode;

use super::litter::{self, process_text};
use crate::observe::is_kernel_filesystem;
use crate::observe::outside::own_mounts;
use crate::sys;

/// A root with more names than this does not belong to the harness.
const NAME_LIMIT: usize = 10_000;
/// How long a process that was killed may take to be gone, in milliseconds.
const END_TIME_LIMIT_MS: u16 = 500;
/// The harness's own corner in a root.
const CORNER: &[u8] = b".zdtm";

/// What there was before a restore.
pub(super) struct Around {
    top: PathBuf,
    mounts: BTreeMap<u64, String>,
    processes: BTreeSet<i32>,
    names: BTreeSet<PathBuf>,
}

impl Around {
    /// What there is now; `top` is the root.
    pub(super) fn look(top: &str) -> io::Result<Self> {
        let mounts = own_mounts()?.iter().map(|mount| (mount.id, litter::mount_text(mount))).collect();
        let mut names = litter::folder_names()?;
        names.extend(names_below([Path::new(top)])?);
        Ok(Around { top: top.into(), mounts, processes: litter::process_numbers()?, names })
    }

    /// Ends the processes that were not there: a criu that is killed cannot.
    pub(super) fn end_processes(self) -> io::Result<Self> {
        let now = litter::process_numbers()?;
        now.difference(&self.processes).filter(|&&pid| litter::has_memory(pid)).for_each(|&pid| litter::end(pid));
        litter::reap_all();
        Ok(self)
    }

    /// What is there now and was not, and what is gone; each in words.
    pub(super) fn changed(&self) -> io::Result<Vec<String>> {
        litter::reap_all();
        let mut changed = Vec::new();
        for &pid in litter::process_numbers()?.difference(&self.processes) {
            let ends = sys::pidfd_open(pid).and_then(|pidfd| {
                Ok(poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], END_TIME_LIMIT_MS)? > 0)
            });
            if litter::has_memory(pid) && !ends.unwrap_or(true) {
                changed.push(process_text(pid));
            }
        }
        let now = Self::look(&self.top.to_string_lossy())?;
        let new = |(id, _): &(&u64, &String)| !self.mounts.contains_key(id);
        changed.extend(now.mounts.iter().filter(new).map(|(_, text)| text.clone()));
        let gone = |(id, _): &(&u64, &String)| !now.mounts.contains_key(id);
        changed.extend(self.mounts.iter().filter(gone).map(|(_, text)| format!("no longer there: {text}")));
        changed.extend(different(&self.names, &now.names));
        Ok(changed)
    }
}

/// The names that came and went, in words.
pub(super) fn different(before: &BTreeSet<PathBuf>, now: &BTreeSet<PathBuf>) -> Vec<String> {
    let came = now.difference(before).map(|path| litter::name_text(path));
    let text = |path: &PathBuf| format!("no longer there: {}", scenarios::Bytes::from(path.as_os_str()));
    came.chain(before.difference(now).map(text)).collect()
}

/// All names below these folders, through every mount on them; those of kernel filesystems and of
/// the harness's own corner left out. No access time changes.
pub(super) fn names_below<'a>(folders: impl IntoIterator<Item = &'a Path>) -> io::Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for folder in folders {
        let mut todo = vec![folder.to_owned()];
        while let Some(current) = todo.pop() {
            let Ok(dir) = opened(&current) else { continue };
            if is_kernel_filesystem(dir.as_fd()) {
                continue;
            }
            for sys::Entry { name, may_be_directory } in sys::entries(dir.as_fd())? {
                if name == CORNER && current == folder {
                    continue;
                }
                let path = current.join(OsStr::from_bytes(&name));
                if may_be_directory && fs::symlink_metadata(&path).is_ok_and(|data| data.is_dir()) {
                    todo.push(path.clone());
                }
                found.insert(path);
            }
            if found.len() > NAME_LIMIT {
                return Err(io::Error::other(format!("more than {NAME_LIMIT} names below {}", folder.display())));
            }
        }
    }
    Ok(found)
}

fn opened(path: &Path) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    open(path, flags | OFlag::O_NOATIME, Mode::empty()).or_else(|_| open(path, flags, Mode::empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_came_and_went_are_reported() {
        let folder = std::env::temp_dir().join(format!("zdtm-failed-restore-{}", std::process::id()));
        fs::create_dir_all(folder.join("a/b")).expect("folders");
        fs::create_dir_all(folder.join(".zdtm/x")).expect("folders");
        fs::write(folder.join("a/b/gone"), "").expect("a file");
        let before = names_below([&*folder]).expect("a look");
        fs::remove_file(folder.join("a/b/gone")).expect("a file");
        fs::write(folder.join("a/b/came"), "").expect("a file");
        fs::create_dir(folder.join("a/.criu.1")).expect("a folder");
        fs::write(folder.join(".zdtm/x/own"), "").expect("a file");
        let now = names_below([&*folder]).expect("a look");
        let found = different(&before, &now);
        fs::remove_dir_all(&folder).expect("its end");
        let at = folder.display();
        let expected = ["directory AT/a/.criu.1", "file AT/a/b/came", "no longer there: AT/a/b/gone"];
        assert_eq!(found, expected.map(|text| text.replace("AT", &at.to_string())));
        assert_eq!(different(&now, &now), [""; 0]);
    }
}
