//! Where a detached mount can be made again: the visible mount of its superblock, its root on that
//! (`super::root`), its attributes.
//!
//! A kernel that has it tells by `statmount(STATMOUNT_BY_FD)` (7.0). Otherwise: the superblock is
//! that of the mounts with the file's device number, or, where files have others (btrfs subvolumes,
//! overlayfs), the one on which the file itself turns up. Nothing is taken on the word of a path
//! alone.

use std::os::fd::AsFd;

use protocol::Fault;
use protocol::observation::{FileId, Mount, Object};

use super::super::checkpoint::{Contents, DetachedMount, InodeImage, InodeSource, MountImage, NameImage};
use super::super::private_mount_ns::PrivateMountNs;
use super::super::table::Table;
use super::object::CapturedObject;
use super::refusal::Cause;
use super::root::Root;
use super::{Capture, is_internal, wrong};
use crate::sys;

const ST_RDONLY: u64 = 1;
/// `f_flags` of statfs(2) and the `MOUNT_ATTR_*` bit of each.
const ATTRIBUTES: &[(u64, u64)] =
    &[(ST_RDONLY, 0x1), (0x2, 0x2), (0x4, 0x4), (0x8, 0x8), (0x400, 0x10), (0x800, 0x80), (0x2000, 0x20_0000)];
const ST_NOATIME_OR_RELATIME: u64 = 0x400 | 0x1000;
const MOUNT_ATTR_STRICTATIME: u64 = 0x20;

impl<'a> Capture<'a> {
    /// Notes the mount that these objects are on; its description when it is a detached one.
    pub(super) fn mount_of(&mut self, group: &[&CapturedObject]) -> Result<Option<DetachedMount>, Cause> {
        let id = group[0].mount;
        let (mount, detached) = if self.table.get(id).is_some() {
            (MountImage::Visible { id }, None)
        } else if self.outside.mounts.contains(&id) {
            (MountImage::Elsewhere, None)
        } else if is_internal(group[0]) {
            (MountImage::Internal, None)
        } else if self.theirs.contains(&id) {
            // Its root is not that of the namespace any more, which covers it.
            return Err(Cause::Covered);
        } else {
            if let Some(other) = group.iter().find(|captured| captured.object == Object::Exe) {
                return Err(Cause::Unsupported(format!("a detached mount with the {} on it", other.label)));
            }
            let mut place = self.place(group)?;
            if self.options.fault == Some(Fault::FileBindOtherName) {
                place = wrong::place(self, group, place)?;
            }
            (MountImage::Detached(place.clone()), Some(place))
        };
        self.mounts.insert(id, self.checkpoint.mounts.len());
        self.checkpoint.mounts.push(mount);
        Ok(detached)
    }

    /// Where the detached mount that these objects are on can be made again.
    fn place(&mut self, group: &[&CapturedObject]) -> Result<DetachedMount, Cause> {
        let first = group[0];
        let statmount =
            if self.options.without_statmount { None } else { sys::statmount_device(first.fd.as_fd()).ok() };
        let Candidates { mounts, certain } = self.candidates(first, statmount.as_ref().map(|(_, device)| *device));
        let mut cause = if certain { Cause::RootNotReachable } else { Cause::NoVisibleMount };
        for base in mounts {
            let private_ns = self.private_ns(base.id)?;
            let found = match &statmount {
                Some((mount, _)) => self.root_from_table(base, &private_ns, &mount.root, group),
                None => self.found(&private_ns, group),
            };
            match found {
                Ok(root) => {
                    let read_only_superblock = is_read_only(base);
                    let attributes = statmount.as_ref().map(|(mount, _)| mount.attributes);
                    let attributes = attributes.unwrap_or_else(|| attributes_of(first, read_only_superblock));
                    let removed_root = self.removed_root(&root, base.id, &private_ns, first.mount)?;
                    return Ok(DetachedMount { base: base.id, root: root.path, removed_root, attributes });
                }
                Err(why) => cause = worse(cause, why),
            }
        }
        Err(cause)
    }

    /// The inode of a root that was removed.
    fn removed_root(
        &mut self,
        root: &Root,
        base: u64,
        private_ns: &PrivateMountNs,
        mount: u64,
    ) -> Result<Option<usize>, Cause> {
        if !root.is_removed {
            return Ok(None);
        }
        let Some(object) = &root.object else {
            // Nothing of the process leads to it: any directory will do.
            let file = FileId { device: 0, inode: mount };
            let source = InodeSource::Contents(Box::new(Contents::directory()));
            return Ok(Some(self.inode(InodeImage { base, file, source })));
        };
        match self.removed(object, base, &root.path, private_ns)? {
            NameImage::Removed { inode, .. } => Ok(Some(inode)),
            _ => Err(Cause::RootNotReachable),
        }
    }

    /// Visible mounts that may be of the object's superblock, the likelier ones first.
    fn candidates(&self, captured: &CapturedObject, device: Option<(u32, u32)>) -> Candidates<'a> {
        let of = |device| {
            let mounts = self.table.of_device(device);
            Candidates { certain: !mounts.is_empty(), mounts }
        };
        if let Some(device) = device {
            return of(device);
        }
        let device = captured.status.file.device;
        let numbers = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let (major, minor) = (numbers(nix::sys::stat::major(device)), numbers(nix::sys::stat::minor(device)));
        let found = of((major, minor));
        if found.certain {
            return found;
        }
        let alike =
            |mount: &&Mount| self.magic_numbers.get(&mount.id).is_none_or(|number| *number == captured.magic_number);
        let mut found: Vec<&Mount> = self.table.all().iter().filter(alike).collect();
        found.sort_by_key(|mount| (mount.root.0.len(), mount.id));
        Candidates { mounts: found, certain: false }
    }
}

/// Visible mounts from which a detached one may be made.
struct Candidates<'a> {
    mounts: Vec<&'a Mount>,
    /// They are of its superblock.
    certain: bool,
}

/// The more telling of two causes: that it is nowhere says less than why it is not where it was
/// looked for.
fn worse(one: Cause, other: Cause) -> Cause {
    if matches!(other, Cause::NoVisibleMount) { one } else { other }
}

fn is_read_only(mount: &Mount) -> bool {
    mount.super_options.0.split(|&byte| byte == b',').any(|option| option == b"ro")
}

/// The attributes as fstatfs(2) shows them. A read-only superblock hides whether the mount was
/// read-only too.
fn attributes_of(captured: &CapturedObject, read_only_superblock: bool) -> u64 {
    let flags = if read_only_superblock { captured.mount_flags & !ST_RDONLY } else { captured.mount_flags };
    let named: u64 = ATTRIBUTES.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, attribute)| attribute).sum();
    if flags & ST_NOATIME_OR_RELATIME == 0 { named | MOUNT_ATTR_STRICTATIME } else { named }
}

impl Capture<'_> {
    /// In a copy of the namespace with this mount laid bare, for as long as the value is kept.
    pub(super) fn private_ns(&self, base: u64) -> Result<PrivateMountNs, Cause> {
        self.private_namespaces.enter(self.proc, self.table, base).map_err(Cause::of("laying a visible mount bare"))
    }

    /// The table of the namespace.
    pub(super) fn table(&self) -> &Table {
        self.table
    }
}
