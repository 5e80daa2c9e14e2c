//! Where the places of a program are, and whether something may be changed there.

use super::files::Ino;
use super::mounts::{Mnt, Path};
use super::objects::Held;
use super::walk::{Last, Parent};
use super::{Model, Refusal, Result, errno, unknown};
use crate::program::{ObjectName, Place};
use vocabulary::Errno;
use vocabulary::object::LookupKind;

/// A directory and a name in it that is free.
pub(super) struct Free {
    pub(super) at: Path,
    pub(super) name: Vec<u8>,
}

impl Model {
    /// Where a place starts: the top directory, or what a descriptor names.
    fn start(&self, place: &Place) -> Result<Path> {
        match &place.base {
            None => Ok(self.process.top),
            Some(base) => Ok(self.descriptions[self.descriptor(base)?].path),
        }
    }

    /// The open file description of an object that is a descriptor.
    pub(super) fn descriptor(&self, name: &ObjectName) -> Result<usize> {
        match self.process.objects.get(name) {
            Some(Held::Descriptor(description)) => Ok(*description),
            Some(_) => Err(Refusal::Fails("the object is no descriptor")),
            None => Err(Refusal::Fails("there is no such object")),
        }
    }

    /// A descriptor without a path is the file itself, by its magic link.
    fn is_itself(place: &Place) -> bool {
        place.base.is_some() && place.path.is_empty()
    }

    /// What a place is; symbolic links are followed.
    pub(super) fn find(&self, place: &Place) -> Result<Path> {
        let start = self.start(place)?;
        if Self::is_itself(place) { Ok(start) } else { self.look_up(start, place.path.as_slice(), LookupKind::Plain) }
    }

    /// The same, but a symbolic link at the end is the result.
    pub(super) fn find_link(&self, place: &Place) -> Result<Path> {
        if Self::is_itself(place) {
            return unknown("a magic link itself, on a /proc of the harness");
        }
        self.look_up(self.start(place)?, place.path.as_slice(), LookupKind::Nofollow)
    }

    /// The directory that a place is in.
    pub(super) fn find_parent(&self, place: &Place) -> Result<Parent> {
        if Self::is_itself(place) {
            return unknown("a magic link itself, on a /proc of the harness");
        }
        self.look_up_parent(self.start(place)?, place.path.as_slice())
    }

    /// Where something new can be made (`filename_create`).
    pub(super) fn find_free(&self, place: &Place, directory: bool) -> Result<Free> {
        let Parent { at, last, slash } = self.find_parent(place)?;
        let Last::Name(name) = last else { return errno(Errno::EEXIST) };
        if name.len() > 255 {
            return errno(Errno::ENAMETOOLONG);
        }
        if self.child(at.den, &name)?.is_some() {
            return errno(Errno::EEXIST);
        }
        if slash && !directory || self.files.inode_of(at.den).dead {
            return errno(Errno::ENOENT);
        }
        self.want_write(at.mnt)?;
        self.may_change(self.files.dentry(at.den).inode)?;
        Ok(Free { at, name })
    }

    /// `mnt_want_write`.
    pub(super) fn want_write(&self, mnt: Mnt) -> Result<()> {
        let row = self.mounts.get(mnt);
        if row.read_only || self.files.superblock(row.sb).read_only { errno(Errno::EROFS) } else { Ok(()) }
    }

    /// What prevents changing an inode on a mount that may be written to.
    pub(super) fn may_change(&self, ino: Ino) -> Result<()> {
        let row = self.files.inode(ino);
        if row.volume.is_some_and(|volume| self.files.inode(volume).volume_read_only) {
            return errno(Errno::EROFS);
        }
        if self.files.superblock(row.sb).kind.is_kernels() {
            return unknown("what the kernel's own filesystems allow");
        }
        Ok(())
    }

    /// An inode's names or content change: an overlay that has it in a layer becomes
    /// unreliable.
    pub(super) fn changed(&mut self, ino: Ino) {
        let Some(overlay) = self.files.inode(ino).layer_of else { return };
        for row in self.files.inodes_of_mut(overlay) {
            row.opaque = true;
        }
    }

    /// The inode of a place.
    pub(super) fn inode_at(&self, path: Path) -> Ino {
        self.files.dentry(path.den).inode
    }
}
