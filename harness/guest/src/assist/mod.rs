//! Help for a criu that refuses files on detached mounts: what it can be given from outside.
//!
//! Before a dump the files on detached mounts are captured as the reference engine does it, and
//! each gets a key: `criu dump --external file[MNT:INO]` leaves it out. Before a restore each is
//! opened again, on a mount that is made again, and handed over: `criu restore
//! --inherit-fd fd[N]:file[MNT:INO]` opens it once more, from its magic link, with the flags and
//! the position of the old one (criu(8)). All else of the process is criu's.
//!
//! The restorer's mount namespace need not be the one that the process had: mounts are made again
//! from whatever shows the same filesystem there. A filesystem that ends with the process's mount
//! namespace must be kept by somebody else.
//!
//! What cannot be brought back so is refused before criu touches the process
//! ([`capture::given`](crate::reference::capture::given)).
//!
//! - [`command`]: for processes that no trial made

pub mod command;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use protocol::observation::Mount;
use scenarios::Bytes;
use serde::{Deserialize, Serialize};

use crate::reference::capture::given::{self, GivenFiles, Key};
use crate::reference::capture::outside::Outside;
use crate::reference::capture::refusal::Refusal;
use crate::reference::checkpoint::{Checkpoint, FileImage, InodeSource, MountImage, NameImage};
use crate::reference::private_mount_ns::own_proc;
use crate::reference::restore::{self, Failure};
use crate::reference::table::{Table, below, join};
use crate::sys::set_apart;

/// A device number: major, minor.
pub type Device = (u32, u32);

/// What a restore needs to give the files again. It travels as JSON, and nothing in it is alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assistance {
    /// The files; its mounts are those of the namespace that the process had.
    checkpoint: Checkpoint,
    /// Their keys, in the order of the descriptions.
    keys: Vec<Key>,
    /// The visible mounts that they are opened through, by their IDs in that namespace.
    bases: BTreeMap<u64, Base>,
}

/// A visible mount that shows a filesystem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Base {
    device: Device,
    /// Its root in the filesystem.
    root: Bytes,
    mount_point: Bytes,
    fs_type: Bytes,
}

impl Assistance {
    /// Captures the files on detached mounts of the processes `pids`, each behind its parent, as
    /// [`crate::reference::capture::processes`] does all objects.
    ///
    /// # Errors
    /// A refusal for every object that cannot be given; or what makes any capture impossible.
    pub fn capture(
        proc: BorrowedFd<'_>,
        pids: &[i32],
        hidden: &[i32],
        outside: &Outside,
    ) -> io::Result<Result<Self, Vec<Refusal>>> {
        let table = Table::own(proc)?;
        let captured = given::files(proc, pids, hidden, outside)?;
        Ok(captured.map(|GivenFiles { checkpoint, keys }| {
            let bases = bases(&checkpoint).into_iter().filter_map(|id| Some((id, Base::of(table.get(id)?)))).collect();
            Assistance { checkpoint, keys, bases }
        }))
    }

    /// Whether all that it refers to is in it; in a damaged one it need not be.
    fn is_whole(&self) -> bool {
        let Checkpoint { processes, mounts, files, inodes, descriptions, .. } = &self.checkpoint;
        let has_inode = |index: &usize| *index < inodes.len();
        let has_name = |file: &FileImage| match &file.name {
            NameImage::Live { .. } | NameImage::Pathless { .. } => true,
            NameImage::Removed { inode, .. } | NameImage::Never { inode, .. } | NameImage::Memfd { inode, .. } => {
                has_inode(inode)
            }
        };
        let has_root = |mount: &MountImage| match mount {
            MountImage::Detached(detached) => detached.removed_root.iter().all(has_inode),
            _ => true,
        };
        processes.is_empty()
            && descriptions.len() == self.keys.len()
            && descriptions.iter().all(|one| one.file < files.len())
            && files.iter().all(|file| file.mount < mounts.len() && has_name(file))
            && mounts.iter().all(has_root)
            && bases(&self.checkpoint).iter().all(|base| self.bases.contains_key(base))
    }

    /// The keys of the files as criu writes them, both numbers in hexadecimal.
    pub fn keys(&self) -> impl Iterator<Item = String> {
        self.keys.iter().map(|key| format!("file[{:x}:{:x}]", key.mount, key.inode))
    }

    /// The filesystems that must be there at the restore: device number, and what it is for people.
    pub fn filesystems(&self) -> impl Iterator<Item = (Device, String)> {
        self.bases.values().map(|base| (base.device, base.to_string()))
    }

    /// The files by `O_PATH`, in the order of the keys, opened in this mount namespace by this
    /// process, which must have one thread.
    ///
    /// # Errors
    /// The first thing that could not be done; nothing is left behind on filesystems.
    pub fn files(&self) -> Result<Vec<OwnedFd>, Failure> {
        let failed = |what: &str, error| Failure { what: what.to_owned(), error };
        let proc = own_proc().and_then(set_apart).map_err(|error| failed("a procfs", error))?;
        let table = Table::own(proc.as_fd()).map_err(|error| failed("the mount table", error))?;
        let checkpoint = self.rebased(&table)?;
        restore::files(&checkpoint, proc.as_fd())
    }

    /// The checkpoint, of the mounts that this table has.
    fn rebased(&self, table: &Table) -> Result<Checkpoint, Failure> {
        let mut places = BTreeMap::new();
        for (&id, base) in &self.bases {
            // The nearest one: from one further up the path may be too long.
            let shows = |mount: &&Mount| Some((mount.id, below(&mount.root, &base.root)?));
            let found = table.of_device(base.device).iter().filter_map(shows).min_by_key(|(_, path)| path.0.len());
            places.insert(id, found.ok_or_else(|| base.is_missing())?);
        }
        let mut checkpoint = self.checkpoint.clone();
        for mount in &mut checkpoint.mounts {
            if let MountImage::Detached(detached) = mount {
                let (id, prefix) = &places[&detached.base];
                (detached.base, detached.root) = (*id, join(prefix, &detached.root));
            }
        }
        for inode in checkpoint.inodes.iter_mut().filter(|inode| inode.base != 0) {
            let (id, prefix) = &places[&inode.base];
            inode.base = *id;
            if let InodeSource::Linked { path: Some(path), .. } = &mut inode.source {
                *path = join(prefix, path);
            }
        }
        Ok(checkpoint)
    }
}

/// The visible mounts that a checkpoint names.
fn bases(checkpoint: &Checkpoint) -> BTreeSet<u64> {
    let of_mounts = checkpoint.mounts.iter().filter_map(|mount| match mount {
        MountImage::Detached(detached) => Some(detached.base),
        _ => None,
    });
    of_mounts.chain(checkpoint.inodes.iter().map(|inode| inode.base).filter(|&base| base != 0)).collect()
}

impl Base {
    fn of(mount: &Mount) -> Self {
        Base {
            device: (mount.major, mount.minor),
            root: mount.root.clone(),
            mount_point: mount.mount_point.clone(),
            fs_type: mount.fs_type.clone(),
        }
    }

    fn is_missing(&self) -> Failure {
        let error = format!("no mount here shows its directory {}; mount it, then restore again", self.root);
        Failure { what: self.to_string(), error: io::Error::new(io::ErrorKind::NotFound, error) }
    }
}

impl fmt::Display for Base {
    /// `tmpfs of /mnt, device 0:45`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Base { device: (major, minor), mount_point, fs_type, .. } = self;
        write!(f, "{fs_type} of {mount_point}, device {major}:{minor}")
    }
}

#[cfg(test)]
mod tests {
    use protocol::observation::{FileId, FileKind};

    use super::*;
    use crate::reference::checkpoint::{DescriptionImage, DetachedMount};

    #[test]
    fn a_damaged_one_is_noticed() {
        let name = NameImage::Live { file: FileId { device: 1, inode: 2 }, kind: FileKind::File };
        let file = |mount| FileImage { object: "fd 3".to_owned(), mount, path: "f".into(), name: name.clone() };
        let of = |files, description, mounts, keys| Assistance {
            checkpoint: Checkpoint {
                files,
                mounts,
                descriptions: vec![DescriptionImage { file: description, ..DescriptionImage::default() }],
                ..Checkpoint::default()
            },
            keys: vec![Key { mount: 1, inode: 2 }; keys],
            bases: BTreeMap::new(),
        };
        let detached =
            MountImage::Detached(DetachedMount { base: 7, root: Bytes::default(), removed_root: None, attributes: 0 });
        let mount = || vec![MountImage::Internal];
        assert!(of(vec![file(0)], 0, mount(), 1).is_whole());
        assert!(!of(vec![file(0)], 1, mount(), 1).is_whole(), "no such file");
        assert!(!of(vec![file(1)], 0, mount(), 1).is_whole(), "no such mount");
        assert!(!of(vec![file(0)], 0, mount(), 2).is_whole(), "a key too many");
        assert!(!of(vec![file(0)], 0, vec![detached], 1).is_whole(), "no such base");
    }
}
