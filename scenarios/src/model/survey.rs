//! What there is to choose from: the names that a program can reach at one moment, its mounts and
//! its objects. For the generator.

use super::files::{Kind, Sb, Type};
use super::mounts::Path;
use super::objects::Held;
use super::predict::MountKey;
use super::{Model, mounts::Mnt};
use crate::Bytes;
use crate::program::{Filesystem, ObjectName, Place};

/// What a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A directory
    Directory,
    /// A regular file
    File,
    /// A symbolic link
    Symlink,
    /// A named pipe or a device
    Special,
}

/// A name that can be reached.
#[derive(Clone, Debug)]
pub struct Entry {
    /// How: from the top directory, or from a descriptor.
    pub place: Place,
    /// What it is.
    pub kind: EntryKind,
    /// It is the root of a mount.
    pub is_mount: bool,
    /// Its mount is in the namespace.
    pub attached: bool,
    /// Nothing is in it.
    pub empty: bool,
    /// A btrfs subvolume's root directory.
    pub is_subvolume: bool,
    /// It is on btrfs.
    pub on_btrfs: bool,
    /// It is on ext4 or xfs.
    pub on_disk: bool,
    /// An overlay has it as a layer.
    pub is_layer: bool,
    /// An object is this file.
    pub held: bool,
}

/// A mount that can be unmounted.
#[derive(Clone, Debug)]
pub struct MountPoint {
    /// Where it is.
    pub place: Place,
    /// Which one.
    pub mount: MountKey,
    /// How many objects are on it, or on mounts below it.
    pub objects: usize,
    /// Its filesystem is on another mount as well.
    pub elsewhere: bool,
}

/// Everything there is to choose from.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// The names; the top directory itself is not among them.
    pub entries: Vec<Entry>,
    /// Names that objects were opened by and that are gone: a new file under such a name takes the
    /// name of a removed file.
    pub gone: Vec<Place>,
    /// The mounts that the program made, those covered by others left out.
    pub mounts: Vec<MountPoint>,
    /// Directories that descriptors name.
    pub directories: Vec<ObjectName>,
    /// Where block devices were mounted, and their filesystems.
    pub disks: Vec<(Place, Filesystem)>,
    /// The root of the process is not the top directory: disks and layers are looked for elsewhere.
    pub root_moved: bool,
    /// Whether any object is on a mount that no mountinfo lists.
    pub has_detached: bool,
}

/// Names deeper than this are not listed.
const DEPTH_LIMIT: usize = 5;
/// More names than these are not listed.
const ENTRY_LIMIT: usize = 200;

impl Model {
    /// What there is.
    pub fn survey(&self) -> Survey {
        let mut survey = Survey { root_moved: self.process.root != self.process.top, ..Survey::default() };
        self.list(self.process.top, None, &mut Vec::new(), &mut survey);
        for (name, held) in &self.process.objects {
            let (Held::Descriptor(number) | Held::Mapping(number) | Held::InFlight(number)) = held else { continue };
            let path = self.descriptions[*number].path;
            if self.files.type_of(path.den) == Type::Internal {
                continue;
            }
            let detached = !self.mounts.get(path.mnt).attached;
            if matches!(held, Held::Descriptor(_)) && self.files.is_directory(path.den) {
                survey.directories.push(name.clone());
                if detached {
                    self.list(path, Some(name), &mut Vec::new(), &mut survey);
                }
            }
        }
        survey.disks =
            self.disks.iter().filter_map(|(place, (sb, _))| Some((place.clone(), self.disk(*sb)?))).collect();
        let directories = self.processes().flat_map(|process| [process.cwd, process.root]);
        let held = self.held_paths().filter(|path| self.files.type_of(path.den) != Type::Internal);
        survey.has_detached |= directories.chain(held).any(|path| !self.mounts.get(path.mnt).attached);
        survey
    }

    fn disk(&self, sb: Sb) -> Option<Filesystem> {
        match self.files.superblock(sb).kind {
            Type::Ext4 => Some(Filesystem::Ext4),
            Type::Xfs => Some(Filesystem::Xfs),
            Type::Btrfs => Some(Filesystem::Btrfs),
            Type::Vfat => Some(Filesystem::Vfat),
            _ => None,
        }
    }

    fn list(&self, at: Path, base: Option<&ObjectName>, prefix: &mut Vec<u8>, survey: &mut Survey) {
        let row = self.files.inode_of(at.den);
        let depth = prefix.iter().filter(|&&byte| byte == b'/').count();
        if row.opaque || row.foreign && base.is_none() && !prefix.is_empty() || depth >= DEPTH_LIMIT {
            return;
        }
        for held in self.held_paths() {
            let dentry = self.files.dentry(held.den);
            if !dentry.hashed
                && dentry.parent == at.den
                && held.den != at.den
                && !row.children.contains_key(&dentry.name)
            {
                let path = [prefix.as_slice(), if prefix.is_empty() { b"" } else { b"/" }, &dentry.name].concat();
                let place = Place { base: base.cloned(), path: Bytes(path) };
                if !dentry.numbered && !survey.gone.contains(&place) {
                    survey.gone.push(place);
                }
            }
        }
        for (name, &den) in &row.children {
            if survey.entries.len() >= ENTRY_LIMIT {
                return;
            }
            // The harness's own corner, and the folder that ext4 makes.
            if name == b".zdtm" || name == b"lost+found" {
                continue;
            }
            let length = prefix.len();
            if !prefix.is_empty() {
                prefix.push(b'/');
            }
            prefix.extend_from_slice(name);
            let found = self.mounts.down(Path { den, ..at });
            let place = Place { base: base.cloned(), path: Bytes::from(prefix.as_slice()) };
            self.note(found, place, survey);
            if self.files.is_directory(found.den) {
                self.list(found, base, prefix, survey);
            }
            prefix.truncate(length);
        }
    }

    fn note(&self, found: Path, place: Place, survey: &mut Survey) {
        let row = self.files.inode_of(found.den);
        let mount = self.mounts.get(found.mnt);
        let kind = self.files.type_of(found.den);
        let is_mount = found.den == mount.root;
        let is_proc = place.base.is_none() && place.path.as_slice() == b"proc";
        if is_mount && mount.attached && !is_proc {
            survey.mounts.push(MountPoint {
                place: place.clone(),
                mount: MountKey(found.mnt),
                objects: self.objects_below(found.mnt),
                elsewhere: self.mounts.all().any(|other| {
                    let row = self.mounts.get(other);
                    other != found.mnt && row.attached && row.sb == mount.sb
                }),
            });
        }
        if kind.is_kernels() && !is_mount {
            return;
        }
        survey.entries.push(Entry {
            place,
            kind: match row.kind {
                Kind::Directory => EntryKind::Directory,
                Kind::File => EntryKind::File,
                Kind::Symlink(_) => EntryKind::Symlink,
                _ => EntryKind::Special,
            },
            is_mount,
            attached: mount.attached,
            empty: row.children.is_empty() && !row.opaque && !row.foreign,
            is_subvolume: row.volume == Some(self.inode_at(found)),
            on_btrfs: kind == Type::Btrfs,
            on_disk: matches!(kind, Type::Ext4 | Type::Xfs),
            is_layer: row.layer_of.is_some(),
            held: self.held_paths().any(|path| self.inode_at(path) == self.inode_at(found)),
        });
    }

    fn objects_below(&self, mnt: Mnt) -> usize {
        let tree = self.mounts.tree(mnt);
        self.held_paths().chain([self.process.cwd]).filter(|path| tree.contains(&path.mnt)).count()
    }

    /// Where the open file descriptions are that an object holds.
    fn held_paths(&self) -> impl Iterator<Item = Path> {
        (0..self.descriptions.len()).filter(|&index| self.is_held(index)).map(|index| self.descriptions[index].path)
    }
}
