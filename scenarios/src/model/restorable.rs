//! Can what a program holds be restored?

use super::Model;
use super::files::{Den, Ino, Kind, Layer, Sb, Type};
use super::mounts::{Mnt, Mount, Path};
use super::objects::{Description, Held};

impl Model {
    /// Whether every object could be made again: of a detached mount, some mount of the namespace
    /// that can be bound shows the root, or the place that it was removed from; what is on a
    /// visible mount is not covered by another one; what was made without a name has none; the
    /// mount of an open device is not `nodev` now; of a mount that was never attached it is clear
    /// which descriptor keeps it. False also where the model cannot tell.
    ///
    /// What is on a mount of another namespace comes back if the caller gives it, as a descriptor.
    pub fn is_restorable(&self) -> bool {
        self.views().all(|view| view.is_own_restorable() && view.are_watches_restorable())
    }

    fn is_own_restorable(&self) -> bool {
        let held: Vec<_> = self.open_files().collect();
        if held.iter().any(|one| self.is_unopenable(one)) {
            return false;
        }
        let all = held.iter().map(|one| one.path).chain([self.process.cwd, self.process.root]);
        all.filter(|path| self.files.type_of(path.den) != Type::Internal).all(|path| {
            if self.is_beyond_recall(path.den) {
                return false;
            }
            let mount = self.mounts.get(path.mnt);
            if mount.elsewhere {
                self.is_given(path) && self.is_held_by_descriptors_only(path)
            } else if mount.attached {
                self.is_bare(path)
            } else {
                let is_known = !mount.floating || self.is_kept_clearly(path.mnt);
                is_known && self.is_shown(path.mnt, |other| !other.unbindable)
            }
        }) && self.is_executable_visible()
    }

    fn is_held_by_descriptors_only(&self, path: Path) -> bool {
        let others = self.process.objects.values().filter_map(|held| match held {
            Held::Mapping(number) | Held::InFlight(number) => Some(self.descriptions[*number].path),
            _ => None,
        });
        others.chain([self.process.cwd, self.process.root]).all(|other| other != path)
    }

    /// Whether the executable is on a mount of the namespace. It is not when the namespace is
    /// another one than that of the last execve(2).
    fn is_executable_visible(&self) -> bool {
        self.mounts.get(self.process.exe.mnt).attached
    }

    /// Whether no other open gives such a descriptor: one with `O_TMPFILE` of a file that has got a
    /// name since, or one of a device on a mount that is `nodev` now.
    pub(super) fn is_unopenable(&self, one: &Description) -> bool {
        one.unnamed && self.files.inode_of(one.path.den).links > 0 || self.is_forbidden_device(one)
    }

    /// Whether a removed file, or a directory above it, cannot be made again as it was.
    pub(super) fn is_beyond_recall(&self, den: Den) -> bool {
        self.is_lost(den) || self.is_forsaken(den) || self.is_locked_out(den)
    }

    /// Whether it, or a directory above it, was removed from a filesystem that is read-only now.
    fn is_locked_out(&self, mut den: Den) -> bool {
        let sb = self.files.inode_of(den).sb;
        if !self.files.superblock(sb).read_only {
            return false;
        }
        while !self.files.is_root(den) {
            if self.files.is_removed(den) {
                return true;
            }
            den = self.files.dentry(den).parent;
        }
        false
    }

    fn is_forbidden_device(&self, one: &Description) -> bool {
        let is_device = matches!(self.files.inode_of(one.path.den).kind, Kind::Device(..));
        is_device && !one.path_only && self.mounts.get(one.path.mnt).nodev
    }

    /// Whether it, or a directory above it, was removed from an overlay that cannot have it back.
    /// Where a layer was changed since, it is undefined what a new name and its removal leave in
    /// the upper layer. Where layers are on several filesystems, a new file is on the device of the
    /// upper one; a file that was copied up had that of its lower one. A directory of a lower layer
    /// keeps the links that it has there.
    fn is_forsaken(&self, mut den: Den) -> bool {
        if self.files.type_of(den) != Type::Overlay {
            return false;
        }
        while self.files.is_removed(den) {
            let row = self.files.inode_of(den);
            let comes_back = match row.kind {
                Kind::Directory => row.layer == Some(Layer::Upper),
                // A name that is put back would bring the other one into the upper layer.
                _ if self.files.superblock(row.sb).indexed && row.links > 0 => false,
                _ => self.files.superblock(row.sb).one_device,
            };
            if row.opaque || !comes_back {
                return true;
            }
            den = self.files.dentry(den).parent;
        }
        false
    }

    /// Whether the root of a mount was removed and can be made again in its directory. Engines have
    /// been measured on these two filesystems only; for others the model does not know.
    fn is_removed_root(&self, mount: &Mount) -> bool {
        matches!(self.files.superblock(mount.sb).kind, Type::Tmpfs | Type::Ext4) && self.files.is_removed(mount.root)
    }

    /// Whether restoring it is impossible: an object is on a detached mount of a filesystem that no
    /// mount of the namespace shows, or in another namespace and the caller does not give it.
    pub fn is_irrecoverable(&self) -> bool {
        self.views().any(|view| view.is_own_irrecoverable())
    }

    fn is_own_irrecoverable(&self) -> bool {
        let shown = |sb| self.mounts.all().any(|mnt| self.mounts.get(mnt).attached && self.mounts.get(mnt).sb == sb);
        let given = |path: Path| !self.mounts.get(path.mnt).elsewhere || self.is_given(path);
        if !self.open_files().all(|one| given(one.path)) {
            return true;
        }
        let on_disk_or_memory = |sb: Sb| {
            let kind = self.files.superblock(sb).kind;
            !kind.is_kernels() && kind != Type::Internal && kind != Type::Overlay
        };
        self.open_files().map(|one| self.mounts.get(one.path.mnt)).any(|mount| {
            let sb = mount.sb;
            !mount.attached && !mount.elsewhere && on_disk_or_memory(sb) && !shown(sb)
        })
    }

    /// What descriptors, mappings and messages hold.
    fn open_files(&self) -> impl Iterator<Item = &Description> {
        self.process.objects.values().filter_map(|held| match held {
            Held::Descriptor(number) | Held::Mapping(number) | Held::InFlight(number) => {
                Some(&self.descriptions[*number])
            }
            _ => None,
        })
    }

    /// Whether it, or a directory above it, is removed for good: it is the root of a deleted
    /// subvolume, or of a mount, so that a new one in its place would not be the same.
    fn is_lost(&self, mut den: Den) -> bool {
        let roots: Vec<Ino> = self
            .mounts
            .all()
            .map(|mnt| self.mounts.get(mnt))
            .filter(|mount| mount.attached)
            .map(|mount| self.files.dentry(mount.root).inode)
            .collect();
        loop {
            let dentry = self.files.dentry(den);
            if dentry.hashed || dentry.parent == den {
                return false;
            }
            let gone = self.files.inode_of(den).links == 0 || self.files.inode_of(den).dead;
            let is_root = roots.contains(&dentry.inode) || self.files.inode_of(den).volume == Some(dentry.inode);
            if gone && is_root {
                return true;
            }
            den = dentry.parent;
        }
    }

    /// Whether nothing is mounted over a place, or over any directory on the way to it from the
    /// root.
    pub(super) fn is_bare(&self, mut path: Path) -> bool {
        let covered = |path: Path| self.mounts.down(path) != path;
        if covered(path) {
            return false;
        }
        while path != self.process.root && path != self.process.top {
            let mount = self.mounts.get(path.mnt);
            if path.den == mount.root {
                match mount.on.filter(|on| self.mounts.at(*on) == Some(path.mnt)) {
                    Some(on) => path = on,
                    None => return false,
                }
            } else {
                let parent = self.files.dentry(path.den).parent;
                // At the root of the filesystem: it was renamed out of what its mount shows.
                if parent == path.den {
                    return false;
                }
                path.den = parent;
                if covered(path) {
                    return false;
                }
            }
        }
        true
    }

    /// Whether the root of a mount is below, or is, the root of an accepted one that is attached,
    /// by names that are all there.
    pub(super) fn is_shown(&self, mnt: Mnt, accepted: fn(&Mount) -> bool) -> bool {
        let lost = self.mounts.get(mnt);
        let shown = |root: Den| {
            let others = self.mounts.all().map(|other| self.mounts.get(other));
            others
                .into_iter()
                .any(|other| other.attached && accepted(other) && other.root == root && other.sb == lost.sb)
        };
        let mut at = lost.root;
        if self.is_removed_root(lost) {
            while self.files.is_removed(at) {
                at = self.files.dentry(at).parent;
            }
        }
        loop {
            if shown(at) {
                return true;
            }
            let dentry = self.files.dentry(at);
            if dentry.parent == at || !dentry.hashed {
                return false;
            }
            at = dentry.parent;
        }
    }
}
