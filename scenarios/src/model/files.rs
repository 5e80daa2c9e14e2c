//! Superblocks, inodes and names (dentries): what is stored, without mounts. All live in rows and
//! are named by their number, so that a copy of the model is a copy of the rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::content::Content;
use crate::program::{DeviceKind, Seal};

/// A superblock's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Sb(pub(super) usize);
/// An inode's number in the model; never that of the filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ino(pub(super) usize);
/// A dentry's number: a name that an inode has or had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Den(pub(super) usize);

/// A type of filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Type {
    Tmpfs,
    Ramfs,
    Ext4,
    Xfs,
    Btrfs,
    Overlay,
    Proc,
    Sysfs,
    Devpts,
    Mqueue,
    Devtmpfs,
    Hugetlbfs,
    Cgroup2,
    Squashfs,
    Erofs,
    Vfat,
    /// The kernel's own: memfds, sockets.
    Internal,
}

impl Type {
    /// The kernel's name for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Type::Tmpfs => "tmpfs",
            Type::Ramfs => "ramfs",
            Type::Ext4 => "ext4",
            Type::Xfs => "xfs",
            Type::Btrfs => "btrfs",
            Type::Overlay => "overlay",
            Type::Proc => "proc",
            Type::Sysfs => "sysfs",
            Type::Devpts => "devpts",
            Type::Mqueue => "mqueue",
            Type::Devtmpfs => "devtmpfs",
            Type::Hugetlbfs => "hugetlbfs",
            Type::Cgroup2 => "cgroup2",
            Type::Squashfs => "squashfs",
            Type::Erofs => "erofs",
            Type::Vfat => "vfat",
            Type::Internal => "internal",
        }
    }

    /// Its content is the kernel's and not the program's: the model says nothing about it.
    pub(super) fn is_kernels(self) -> bool {
        use Type::{Cgroup2, Devpts, Devtmpfs, Hugetlbfs, Mqueue, Proc, Sysfs};
        matches!(self, Proc | Sysfs | Devpts | Mqueue | Devtmpfs | Hugetlbfs | Cgroup2)
    }

    /// The observer does not look into these (`is_kernel_filesystem` of the guest).
    pub(super) fn is_not_looked_into(self) -> bool {
        matches!(self, Type::Proc | Type::Sysfs | Type::Devpts | Type::Cgroup2)
    }

    /// It is written once, when its image is made.
    pub(super) fn is_read_only(self) -> bool {
        matches!(self, Type::Squashfs | Type::Erofs)
    }

    /// Every mount of it shows the same one.
    pub(super) fn is_single(self) -> bool {
        matches!(self, Type::Sysfs | Type::Mqueue | Type::Devtmpfs | Type::Cgroup2)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Superblock {
    pub(super) kind: Type,
    pub(super) root: Den,
    pub(super) read_only: bool,
    /// Whether files are on the device that directories are on. They are on that of their layer in
    /// an overlay of several filesystems (`ovl_map_dev_ino`).
    pub(super) one_device: bool,
    /// Of an overlay, from its settings; `None` where the model does not know.
    pub(super) redirects: Option<bool>,
    /// btrfs: the root directories of the subvolumes in the order in which they were made, those of
    /// deleted ones among them.
    pub(super) volumes: Vec<Ino>,
    /// Of an overlay: names of one file in a lower layer are names of one inode.
    pub(super) indexed: bool,
}

/// What an inode is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    File,
    Directory,
    Symlink(Vec<u8>),
    Fifo,
    /// The file of a socket, which nothing is bound to.
    Socket,
    Device(DeviceKind, u32, u32),
}

/// Where an inode of an overlay has its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    /// In a lower layer still.
    Lower(Ino),
    /// In the upper layer alone.
    Upper,
    /// A directory of several layers.
    Merged,
}

#[derive(Clone, Debug)]
pub(super) struct Inode {
    pub(super) sb: Sb,
    pub(super) kind: Kind,
    /// Names; of a directory it is counted when asked for.
    pub(super) links: u64,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) content: Content,
    /// A directory's names.
    pub(super) children: BTreeMap<Vec<u8>, Den>,
    /// A removed directory (`S_DEAD`): nothing can be made in it.
    pub(super) dead: bool,
    /// It may be linked although it has no name (`O_TMPFILE` without `O_EXCL`).
    pub(super) linkable: bool,
    /// The model knows neither content nor children.
    pub(super) opaque: bool,
    /// There are children that the model does not know: the harness's own device nodes.
    pub(super) foreign: bool,
    /// Part of a layer of an overlay: a change to it changes the overlay in ways that nothing
    /// promises.
    pub(super) layer_of: Option<Sb>,
    /// In an overlay: where it comes from.
    pub(super) layer: Option<Layer>,
    /// Two names of this file in an overlay may or may not be one inode.
    pub(super) uncertain: bool,
    /// btrfs: the root directory of its subvolume.
    pub(super) volume: Option<Ino>,
    /// btrfs, of a subvolume's root directory: nothing in it can be changed.
    pub(super) volume_read_only: bool,
    pub(super) locks: Vec<Lock>,
    /// Of a memfd.
    pub(super) seals: BTreeSet<Seal>,
}

/// A lock on an inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lock {
    pub(super) kind: crate::program::LockKind,
    /// The open file description; none for the process.
    pub(super) owner: Option<usize>,
    pub(super) write: bool,
    pub(super) range: crate::program::LockRange,
}

#[derive(Clone, Debug)]
pub(super) struct Dentry {
    /// Itself for a superblock's root.
    pub(super) parent: Den,
    pub(super) name: Vec<u8>,
    pub(super) inode: Ino,
    /// Lookups find it.
    pub(super) hashed: bool,
    /// Its name holds a number that the filesystem chose (`O_TMPFILE`).
    pub(super) numbered: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    superblocks: Vec<Superblock>,
    /// Rows are shared between copies of a model until one changes them.
    inodes: Vec<Arc<Inode>>,
    dentries: Vec<Arc<Dentry>>,
}

impl Files {
    /// A superblock with an empty root directory.
    pub(super) fn add_superblock(&mut self, kind: Type) -> Sb {
        let sb = Sb(self.superblocks.len());
        let root = Den(self.dentries.len());
        let (read_only, one_device, redirects, volumes, indexed) = (false, true, None, Vec::new(), false);
        self.superblocks.push(Superblock { kind, root, read_only, one_device, redirects, volumes, indexed });
        let inode = self.add_inode(sb, Kind::Directory);
        self.dentries.push(Arc::new(Dentry { parent: root, name: Vec::new(), inode, hashed: true, numbered: false }));
        let row = self.inode_mut(inode);
        row.opaque = kind.is_kernels();
        // tmpfs(5): a root directory like that of /tmp.
        row.mode = if kind == Type::Tmpfs { 0o1777 } else { 0o755 };
        if kind == Type::Btrfs {
            row.volume = Some(inode);
        }
        if kind == Type::Ext4 {
            self.make(root, b"lost+found", Kind::Directory);
        }
        if kind.is_read_only() {
            self.superblocks[sb.0].read_only = true;
            self.make_with(root, b"f", b"hello");
            let directory = self.make(root, b"d", Kind::Directory);
            self.make_with(directory, b"f", b"deeper");
        }
        sb
    }

    pub(super) fn add_inode(&mut self, sb: Sb, kind: Kind) -> Ino {
        // A vfat keeps no modes: its files have that of the umask of who mounted it.
        let vfat = self.superblocks.get(sb.0).is_some_and(|row| row.kind == Type::Vfat);
        let mode = if kind == Kind::Directory || vfat { 0o755 } else { 0o644 };
        self.inodes.push(Arc::new(Inode {
            sb,
            kind,
            links: 1,
            mode,
            uid: 0,
            content: Content::default(),
            children: BTreeMap::new(),
            dead: false,
            linkable: false,
            opaque: false,
            foreign: false,
            layer_of: None,
            layer: (self.superblocks[sb.0].kind == Type::Overlay).then_some(Layer::Upper),
            uncertain: false,
            volume: None,
            volume_read_only: false,
            locks: Vec::new(),
            seals: BTreeSet::new(),
        }));
        Ino(self.inodes.len() - 1)
    }

    fn make_with(&mut self, parent: Den, name: &[u8], content: &[u8]) {
        let den = self.make(parent, name, Kind::File);
        let inode = self.dentry(den).inode;
        self.inode_mut(inode).content.write(0, content);
    }

    /// A new name for an inode.
    pub(super) fn add_name(&mut self, parent: Den, name: &[u8], inode: Ino) -> Den {
        let den = self.add_loose(parent, name, inode);
        self.dentry_mut(den).hashed = true;
        let directory = self.dentry(parent).inode;
        self.inode_mut(directory).children.insert(name.to_vec(), den);
        den
    }

    /// A name that no lookup finds.
    pub(super) fn add_loose(&mut self, parent: Den, name: &[u8], inode: Ino) -> Den {
        self.dentries.push(Arc::new(Dentry { parent, name: name.to_vec(), inode, hashed: false, numbered: false }));
        Den(self.dentries.len() - 1)
    }

    /// A new inode with a name.
    pub(super) fn make(&mut self, parent: Den, name: &[u8], kind: Kind) -> Den {
        let directory = self.inode_of(parent);
        let (sb, volume) = (directory.sb, directory.volume);
        let inode = self.add_inode(sb, kind);
        self.inode_mut(inode).volume = volume;
        self.add_name(parent, name, inode)
    }

    /// Removes a name. The inode stays as long as something refers to it.
    pub(super) fn remove(&mut self, den: Den) {
        let Dentry { parent, name, inode, .. } = self.dentry(den).clone();
        let directory = self.dentry(parent).inode;
        if self.inode(directory).children.get(&name) == Some(&den) {
            self.inode_mut(directory).children.remove(&name);
        }
        self.dentry_mut(den).hashed = false;
        let row = self.inode_mut(inode);
        if row.kind == Kind::Directory {
            row.dead = true;
        }
        // What is in a lower layer of an overlay keeps its names there.
        if !matches!(row.layer, Some(Layer::Lower(_))) {
            row.links = row.links.saturating_sub(1);
        }
    }

    /// Gives a name another place; what had it before is removed already.
    pub(super) fn rename(&mut self, den: Den, parent: Den, name: &[u8]) {
        let old = self.dentry(den).clone();
        let directory = self.dentry(old.parent).inode;
        self.inode_mut(directory).children.remove(&old.name);
        let row = self.dentry_mut(den);
        (row.parent, row.name) = (parent, name.to_vec());
        let directory = self.dentry(parent).inode;
        self.inode_mut(directory).children.insert(name.to_vec(), den);
    }

    pub(super) fn superblock(&self, sb: Sb) -> &Superblock {
        &self.superblocks[sb.0]
    }

    /// Whether an overlay has a part of a filesystem for a layer.
    pub(super) fn is_layered(&self, sb: Sb) -> bool {
        self.inodes.iter().any(|row| row.sb == sb && row.layer_of.is_some())
    }

    pub(super) fn superblock_mut(&mut self, sb: Sb) -> &mut Superblock {
        &mut self.superblocks[sb.0]
    }

    pub(super) fn inode(&self, ino: Ino) -> &Inode {
        &self.inodes[ino.0]
    }

    pub(super) fn inode_mut(&mut self, ino: Ino) -> &mut Inode {
        Arc::make_mut(&mut self.inodes[ino.0])
    }

    pub(super) fn inodes_of_mut(&mut self, sb: Sb) -> impl Iterator<Item = &mut Inode> {
        self.inodes.iter_mut().filter(move |row| row.sb == sb).map(Arc::make_mut)
    }

    pub(super) fn dentry(&self, den: Den) -> &Dentry {
        &self.dentries[den.0]
    }

    pub(super) fn dentry_mut(&mut self, den: Den) -> &mut Dentry {
        Arc::make_mut(&mut self.dentries[den.0])
    }

    /// The names that lead to an inode.
    pub(super) fn names_of(&self, ino: Ino) -> impl Iterator<Item = Den> {
        (0..self.dentries.len()).map(Den).filter(move |&den| self.dentry(den).inode == ino && self.dentry(den).hashed)
    }

    /// The inode of a name.
    pub(super) fn inode_of(&self, den: Den) -> &Inode {
        self.inode(self.dentry(den).inode)
    }

    pub(super) fn type_of(&self, den: Den) -> Type {
        self.superblock(self.inode_of(den).sb).kind
    }

    pub(super) fn is_directory(&self, den: Den) -> bool {
        self.inode_of(den).kind == Kind::Directory
    }

    pub(super) fn is_root(&self, den: Den) -> bool {
        self.dentry(den).parent == den
    }

    /// `d_unlinked`: the name was removed.
    pub(super) fn is_removed(&self, den: Den) -> bool {
        !self.dentry(den).hashed && !self.is_root(den)
    }

    /// `is_subdir`: `den` is `above` or below it.
    pub(super) fn is_below(&self, den: Den, above: Den) -> bool {
        let mut at = den;
        while at != above {
            if self.is_root(at) {
                return false;
            }
            at = self.dentry(at).parent;
        }
        true
    }

    /// The link count that stat(2) returns; `None` where the model does not know.
    pub(super) fn links(&self, ino: Ino) -> Option<u64> {
        let row = self.inode(ino);
        let kind = self.superblock(row.sb).kind;
        if row.opaque || kind.is_kernels() || row.foreign {
            return None;
        }
        match (row.layer, &row.kind) {
            (Some(_), Kind::Directory) if row.dead => None,
            (Some(Layer::Lower(real)), _) => self.links(real),
            (Some(Layer::Merged), _) => Some(1),
            (_, Kind::Directory) if row.dead => Some(0),
            (_, Kind::Directory) if kind == Type::Btrfs => Some(1),
            (_, Kind::Directory) if kind == Type::Overlay => None,
            (_, Kind::Directory) => {
                Some(2 + row.children.values().filter(|&&child| self.is_directory(child)).count() as u64)
            }
            _ => Some(row.links),
        }
    }
}
