//! What an engine captures that has not learnt everything ([`Lack`]): it refuses what it does not
//! know, or takes it for something that it does know. Files on visible mounts it knows all of.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;

use nix::sys::stat::{major, minor};
use protocol::Lack;
use protocol::observation::{FileId, FileKind, Mount, ObjectId};

use super::super::checkpoint::{DetachedMount, InodeSource, MountImage, NameImage};
use super::super::private_mount_ns::look_at;
use super::super::table::join;
use super::object::CapturedObject;
use super::refusal::{Cause, Refusal};
use super::{Capture, refuse};
use crate::observe;

/// The inode number of the root directory of every btrfs subvolume (`BTRFS_FIRST_FREE_OBJECTID`).
const SUBVOLUME_ROOT: u64 = 256;

impl Capture<'_> {
    /// Does without something: refusals, or else a change of the checkpoint.
    pub(super) fn without(
        &mut self,
        lack: Lack,
        objects: &[CapturedObject],
        files: &BTreeMap<ObjectId, usize>,
    ) -> Vec<Refusal> {
        match lack {
            Lack::Subdir => return self.without_subdirectories(objects, files),
            Lack::Attributes => self.without_attributes(),
            Lack::SecondMount => self.without_second_mounts(),
            Lack::InFlight => self.without_descriptors_in_flight(),
            _ => {}
        }
        let refused = |captured: &CapturedObject| {
            Some(refuse(captured, self.not_learnt(lack, captured, *files.get(&captured.id())?)?))
        };
        objects.iter().filter_map(refused).collect()
    }

    /// Why an object on a detached mount is refused.
    fn not_learnt(&self, lack: Lack, captured: &CapturedObject, file: usize) -> Option<Cause> {
        let file = &self.checkpoint.files[file];
        let mount = self.detached(file.mount)?;
        let why = match (lack, &file.name) {
            (Lack::FileBind, _) if self.root(mount)?.0 != FileKind::Directory => {
                "the root of its detached mount is no directory".to_owned()
            }
            (Lack::Deleted, NameImage::Never { .. }) => "deleted files are not restored".to_owned(),
            (Lack::Deleted, NameImage::Removed { inode, .. })
                if matches!(self.checkpoint.inodes[*inode].source, InodeSource::Contents(_)) =>
            {
                "deleted files are not restored".to_owned()
            }
            (Lack::Btrfs, _) if self.base(mount)?.fs_type.0 == b"btrfs" => {
                let device = captured.status.file.device;
                format!("no visible mount has its device number {}:{}", major(device), minor(device))
            }
            _ => return None,
        };
        Some(Cause::NotLearnt(why))
    }

    /// Every mount shows the root of its filesystem.
    fn without_subdirectories(
        &mut self,
        objects: &[CapturedObject],
        files: &BTreeMap<ObjectId, usize>,
    ) -> Vec<Refusal> {
        let mut unknown = BTreeSet::new();
        for index in 0..self.checkpoint.mounts.len() {
            let Some(mount) = self.detached(index).cloned() else { continue };
            let (Some(base), Some(root)) = (self.base(&mount), self.root(&mount)) else { continue };
            let is_btrfs = base.fs_type.0 == b"btrfs";
            let is_whole = mount.root.is_empty() && base.root.0 == b"/";
            if is_whole || root.0 != FileKind::Directory || is_btrfs && root.1.inode == SUBVOLUME_ROOT {
                continue;
            }
            if base.root.0 != b"/" && !is_btrfs {
                unknown.insert(index);
                continue;
            }
            for file in self.checkpoint.files.iter_mut().filter(|file| file.mount == index) {
                file.path = join(&mount.root, &file.path);
            }
            self.checkpoint.mounts[index] =
                MountImage::Detached(DetachedMount { root: Default::default(), removed_root: None, ..mount });
        }
        let on_unknown = |captured: &&CapturedObject| {
            files.get(&captured.id()).is_some_and(|&file| unknown.contains(&self.checkpoint.files[file].mount))
        };
        let why = || Cause::NotLearnt("no visible mount shows the root of its filesystem".to_owned());
        objects.iter().filter(on_unknown).map(|captured| refuse(captured, why())).collect()
    }

    /// Every mount has the attributes of the visible one that it is copied from.
    fn without_attributes(&mut self) {
        let table = self.table;
        for mount in &mut self.checkpoint.mounts {
            if let MountImage::Detached(mount) = mount
                && let Some(base) = table.get(mount.base)
            {
                mount.attributes = attributes_of(base);
            }
        }
    }

    /// The files of all detached mounts of a filesystem are on the first.
    fn without_second_mounts(&mut self) {
        let mut first = BTreeMap::new();
        for index in 0..self.checkpoint.mounts.len() {
            let Some(base) = self.detached(index).and_then(|mount| self.base(mount)) else { continue };
            let first = *first.entry((base.major, base.minor)).or_insert(index);
            for file in self.checkpoint.files.iter_mut().filter(|file| file.mount == index) {
                file.mount = first;
            }
        }
    }

    /// Messages hold no descriptors of files on detached mounts.
    fn without_descriptors_in_flight(&mut self) {
        let is_detached = |description: &usize| {
            self.detached(self.checkpoint.files[self.checkpoint.descriptions[*description].file].mount).is_some()
        };
        let all = 0..self.checkpoint.descriptions.len();
        let gone: BTreeSet<usize> = all.filter(is_detached).collect();
        let sockets = self.checkpoint.descriptions.iter_mut().filter_map(|description| description.socket.as_mut());
        for message in sockets.flat_map(|socket| &mut socket.queue) {
            message.descriptions.retain(|description| !gone.contains(description));
        }
    }

    fn detached(&self, mount: usize) -> Option<&DetachedMount> {
        match &self.checkpoint.mounts[mount] {
            MountImage::Detached(mount) => Some(mount),
            _ => None,
        }
    }

    fn base(&self, mount: &DetachedMount) -> Option<&Mount> {
        self.table.get(mount.base)
    }

    /// What the root of a detached mount is, and which; `None` where it cannot be looked at.
    fn root(&self, mount: &DetachedMount) -> Option<(FileKind, FileId)> {
        if let Some(inode) = mount.removed_root {
            let inode = &self.checkpoint.inodes[inode];
            return Some((inode.source.kind(), inode.file));
        }
        let private_ns = self.private_ns(mount.base).ok()?;
        let status = observe::status(look_at(private_ns.root.as_fd(), &mount.root).ok()?.as_fd()).ok()?;
        Some((status.kind, status.file))
    }
}

/// The `MOUNT_ATTR_*` bits of a visible mount, by its options in mountinfo.
fn attributes_of(mount: &Mount) -> u64 {
    const STRICTATIME: u64 = 0x20;
    const NAMES: &[(&[u8], u64)] = &[
        (b"ro", 0x1),
        (b"nosuid", 0x2),
        (b"nodev", 0x4),
        (b"noexec", 0x8),
        (b"noatime", 0x10),
        (b"nodiratime", 0x80),
        (b"nosymfollow", 0x20_0000),
    ];
    let has = |name: &[u8]| mount.options.0.split(|&byte| byte == b',').any(|option| option == name);
    let named: u64 = NAMES.iter().filter(|(name, _)| has(name)).map(|(_, bit)| bit).sum();
    // mountinfo has no word for it (`show_mnt_opts` in fs/proc_namespace.c).
    if has(b"noatime") || has(b"relatime") { named } else { named | STRICTATIME }
}
