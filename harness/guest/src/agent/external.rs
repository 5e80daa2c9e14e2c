//! Files of the process that its caller has, too: those which it opened in the mount namespace that
//! it left, as the standard streams of a container are opened by the engine that starts it. The
//! caller names them at the dump, and opens them again for the restore, by their paths in that
//! namespace (`--external file[MNT:INO]`, `--inherit-fd`, criu(8)).

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, fstat};
use protocol::observation::Object;
use scenarios::{Bytes, Step};

use super::trial::Trial;
use crate::external::ExternalFile;
use crate::observe::{link_text, outside, path_fd};
use crate::sys;

impl Trial<'_> {
    /// The mounts of the namespace that the process left, by their IDs.
    pub(super) fn elsewhere(&self) -> io::Result<Vec<u64>> {
        let Some(kept) = &self.kept else { return Ok(Vec::new()) };
        Ok(outside::mounts_of_namespace(kept)?.iter().map(|mount| mount.id).collect())
    }

    /// The files that a program declares `external` and that the caller finds, each once.
    pub(super) fn externals(&self) -> io::Result<Vec<ExternalFile>> {
        let mut found = Vec::new();
        if self.kept.is_none() {
            return Ok(found);
        }
        let proc = outside::mounted_proc()?;
        let declared = self.declared();
        let others = self.child.forked.processes();
        let others = others.flat_map(|(_, pid, made)| made.unwrap_or_default().iter().map(move |made| (pid, made)));
        let all = self.made.iter().map(|made| (self.child.pid(), made)).chain(others);
        for (pid, made) in all.filter(|(_, made)| declared.contains(&made.name)) {
            let Object::Fd(number) = made.object else { continue };
            let magic = format!("{pid}/fd/{number}");
            let (file, path) = (path_fd(proc.as_fd(), &magic)?, link_text(proc.as_fd(), &magic)?);
            let stat = fstat(&file)?;
            let external = ExternalFile { mount: sys::statx_mount_id(file.as_fd())?, inode: stat.st_ino, path };
            let is_it = |found: &OwnedFd| {
                fstat(found).is_ok_and(|other| (other.st_dev, other.st_ino) == (stat.st_dev, stat.st_ino))
            };
            if !found.contains(&external) && self.open_outside(&external.path).is_ok_and(|fd| is_it(&fd)) {
                found.push(external);
            }
        }
        Ok(found)
    }

    /// The objects that the programs declare `external`, by their full names.
    fn declared(&self) -> BTreeSet<String> {
        let programs = self.slots.iter().filter_map(|slot| scenarios::text::program(&slot.program).ok());
        let mut declared = BTreeSet::new();
        for program in programs {
            declared.extend(program.by_process().filter_map(|(process, line)| match &line.step {
                Step::External { object } => Some(object.of_process(&process).0),
                _ => None,
            }));
        }
        declared
    }

    /// A file or directory of the namespace that the process left, by `O_PATH`.
    pub(super) fn open_outside(&self, path: &Bytes) -> io::Result<OwnedFd> {
        let kept = self.kept.as_ref().ok_or_else(|| io::Error::other("no namespace was kept"))?;
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        outside::in_namespace(kept, || Ok(open(path.as_slice(), flags, Mode::empty())?))
    }
}
