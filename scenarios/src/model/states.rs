//! Seals of memfds (mm/memfd.c), and who gets the signals of an open file description (fs/fcntl.c).

use super::files::Type;
use super::objects::Held;
use super::{Model, Result, errno, unknown};
use crate::program::{ObjectName, Seal};
use vocabulary::Errno;

pub(super) fn seal(model: &mut Model, object: &ObjectName, seals: &[Seal]) -> Result<()> {
    let number = model.descriptor(object)?;
    let description = &model.descriptions[number];
    let path = description.path;
    if description.path_only {
        return errno(Errno::EBADF);
    }
    if model.files.type_of(path.den) != Type::Internal {
        return unknown("seals of anything but a memfd");
    }
    let ino = model.inode_at(path);
    if !description.writes || model.files.inode(ino).seals.contains(&Seal::Seal) {
        return errno(Errno::EPERM);
    }
    let is_mapped =
        |held: &Held| matches!(held, Held::Mapping(other) if model.inode_at(model.descriptions[*other].path) == ino);
    if model.processes().flat_map(|process| process.objects.values()).any(is_mapped) {
        return unknown("seals of a memfd that is mapped");
    }
    model.files.inode_mut(ino).seals.extend(seals);
    Ok(())
}

pub(super) fn set_owner(model: &mut Model, object: &ObjectName) -> Result<()> {
    let number = model.signalled(object)?;
    if model.has_forked() {
        return unknown("the owner of a description that two processes may have");
    }
    model.descriptions[number].owned = true;
    Ok(())
}

pub(super) fn set_signal(model: &mut Model, object: &ObjectName, signal: u8) -> Result<()> {
    let number = model.signalled(object)?;
    model.descriptions[number].signal = signal;
    Ok(())
}

impl Model {
    /// A description that can have an owner. A lease is one reason for signals, and makes the
    /// process the owner itself.
    fn signalled(&self, object: &ObjectName) -> Result<usize> {
        let number = self.descriptor(object)?;
        let description = &self.descriptions[number];
        if description.path_only {
            return errno(Errno::EBADF);
        }
        if self.is_leased(self.inode_at(description.path)) {
            return unknown("a lease with another signal");
        }
        Ok(number)
    }

    /// Whether a process was made the owner of a description.
    pub(super) fn has_owner(&self) -> bool {
        self.descriptions.iter().any(|description| description.owned)
    }
}
