//! What the process holds and which mounts there are, as plain facts: for the computation of what a
//! program needs an implementation to get right ([`crate::capability`]), which turns them into
//! words.

use std::collections::BTreeSet;

use super::Model;
use super::files::{Den, Ino, Kind, Layer, Sb, Type};
use super::mounts::{Mnt, Path};
use super::objects::Held;
use super::predict::{FileKey, MountKey};
use crate::program::{FIRST_PROCESS, MountAttribute, ObjectName, Place};
use vocabulary::object::{FileKind, MountState};

/// A name's identity; a rename keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NameKey(Den);

/// How the process holds a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Holder {
    WorkingDirectory,
    Root,
    Descriptor,
    Mapping,
    InFlight,
}

/// What a mount shows at its root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RootKind {
    /// The root of the superblock.
    Superblock,
    /// The root of a btrfs subvolume.
    Subvolume,
    Directory,
    File,
}

/// A type of filesystem, as far as capabilities tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SuperblockKind {
    /// tmpfs and ext4: what every program may use.
    Plain,
    Xfs,
    Btrfs,
    Overlay,
    Other,
}

/// A file that the process holds.
#[derive(Clone, Debug)]
pub(crate) struct HeldFile {
    /// Its name in the program: `cwd` and `root` for the directories of the process.
    pub(crate) name: String,
    pub(crate) holder: Holder,
    /// The open file description that it is held by.
    pub(crate) description: Option<usize>,
    pub(crate) mount: MountKey,
    pub(crate) state: MountState,
    pub(crate) file: FileKey,
    pub(crate) kind: FileKind,
    /// The name that it is held by.
    pub(crate) key: NameKey,
    /// The names from the superblock's root down to it.
    pub(crate) names: Vec<Vec<u8>>,
    /// It and the directories above it, up to the root of the mount.
    pub(crate) chain: Vec<FileKey>,
    /// Its name was removed.
    pub(crate) removed: bool,
    /// A directory above it, on the mount, was removed.
    pub(crate) parent_removed: bool,
    /// A removed name, its own or that of a directory above it, is in use again.
    pub(crate) name_in_use: bool,
    /// How many other names lead to it.
    pub(crate) other_names: usize,
    /// How many of those are below the root of the mount.
    pub(crate) names_inside: usize,
    /// How many of those are in the directory that it was opened in.
    pub(crate) names_beside: usize,
    /// It was made by this open, without a name (`O_TMPFILE`).
    pub(crate) unnamed: bool,
    pub(crate) path_only: bool,
    /// It keeps a mount in being that was never attached: open_tree(2), fsmount(2).
    pub(crate) keeps_tree: bool,
    /// The file offset is not where open(2) puts it.
    pub(crate) moved_offset: bool,
    /// The file offset is behind the end of the file.
    pub(crate) past_the_end: bool,
    pub(crate) locked: bool,
    /// An owner or a signal was set (`F_SETOWN`, `F_SETSIG`).
    pub(crate) signalled: bool,
    /// Parts of it were never written.
    pub(crate) sparse: bool,
    /// It cannot be made again as it was.
    pub(crate) lost: bool,
    /// It is in another btrfs subvolume than the root of its mount.
    pub(crate) in_subvolume: bool,
    /// Of an overlay, and its contents are in a lower layer.
    pub(crate) lower: bool,
}

/// A mount.
#[derive(Clone, Debug)]
pub(crate) struct MountFacts {
    pub(crate) key: MountKey,
    pub(crate) attached: bool,
    pub(crate) superblock: usize,
    pub(crate) filesystem: SuperblockKind,
    /// The kernel's name of the filesystem: `ext4`, `overlay`.
    pub(crate) type_name: &'static str,
    pub(crate) read_only_superblock: bool,
    pub(crate) root: RootKind,
    /// The name of its root, or of a directory above that, was removed.
    pub(crate) root_removed: bool,
    /// The names from the superblock's root down to its root.
    pub(crate) root_names: Vec<Vec<u8>>,
    /// Those that are not the kernel's default.
    pub(crate) attributes: BTreeSet<MountAttribute>,
    /// It sends or receives mounts, or must not be bound.
    pub(crate) propagates: bool,
    /// The mount that it is on, and the directory there.
    pub(crate) on: Option<(MountKey, NameKey)>,
    /// It is on the root of another mount.
    pub(crate) covers_a_root: bool,
    /// Some mount of the namespace shows its root.
    pub(crate) shown: bool,
    /// Where mounts of the namespace show its root, or what is below it, something else is mounted.
    pub(crate) covered: bool,
    /// The attributes of the mounts of the namespace that show the same superblock.
    pub(crate) attributes_shown: Vec<BTreeSet<MountAttribute>>,
}

impl HeldFile {
    /// The process that holds it.
    pub(crate) fn process(&self) -> &str {
        self.name.split_once('.').map_or(FIRST_PROCESS, |(process, _)| process)
    }
}

impl Model {
    /// Everything that the process holds; its directories only where they are not the top
    /// directory.
    pub(crate) fn held_files(&self) -> Vec<HeldFile> {
        self.views().flat_map(|view| view.own_held_files()).collect()
    }

    fn own_held_files(&self) -> Vec<HeldFile> {
        let of_process =
            [("cwd", Holder::WorkingDirectory, self.process.cwd), ("root", Holder::Root, self.process.root)];
        let of_process = of_process.into_iter().filter(|(.., path)| *path != self.process.top);
        let of_process = of_process.map(|(name, holder, path)| self.held_file(name, holder, None, path));
        let of_program = self.process.objects.iter().filter_map(|(ObjectName(name), held)| {
            let (holder, number) = match *held {
                Held::Descriptor(number) => (Holder::Descriptor, number),
                Held::Mapping(number) => (Holder::Mapping, number),
                Held::InFlight(number) => (Holder::InFlight, number),
                Held::Socket | Held::Watcher(_) => return None,
            };
            Some(self.held_file(name, holder, Some(number), self.descriptions[number].path))
        });
        of_process.chain(of_program).collect()
    }

    /// Whether something is held on a detached mount of the filesystem that the top directory is
    /// on: programs of one process share it.
    pub fn holds_detached_of_the_top(&self) -> bool {
        let top = self.mounts.get(self.process.top.mnt).sb;
        let is_of_it = |held: &HeldFile| self.mounts.get(held.mount.0).sb == top;
        self.held_files().iter().any(|held| held.state == MountState::Detached && is_of_it(held))
    }

    fn held_file(&self, name: &str, holder: Holder, number: Option<usize>, path: Path) -> HeldFile {
        let ino = self.inode_at(path);
        let row = self.files.inode(ino);
        let root = self.mounts.get(path.mnt).root;
        let above = self.dens_above(path.den, Some(root));
        let description = number.map(|number| &self.descriptions[number]);
        let others: Vec<Den> = self.files.names_of(ino).filter(|&den| den != path.den).collect();
        let parent = |den| self.files.dentry(den).parent;
        HeldFile {
            name: ObjectName(name.to_owned()).of_process(&self.process.name).0,
            holder,
            description: number,
            mount: MountKey(path.mnt),
            state: self.mount_state(path),
            file: FileKey(ino),
            kind: self.reached(path).kind,
            key: NameKey(path.den),
            names: self.names_down_to(path.den),
            chain: above.iter().map(|&den| FileKey(self.files.dentry(den).inode)).collect(),
            removed: self.files.is_removed(path.den),
            parent_removed: above.iter().skip(1).any(|&den| self.files.is_removed(den)),
            name_in_use: above.iter().any(|&den| self.is_name_in_use(den)),
            other_names: others.len(),
            names_inside: others.iter().filter(|&&den| self.files.is_below(den, root)).count(),
            names_beside: others.iter().filter(|&&den| parent(den) == parent(path.den)).count(),
            unnamed: description.is_some_and(|one| one.unnamed),
            path_only: description.is_some_and(|one| one.path_only),
            keeps_tree: description.is_some_and(|one| self.keeps_tree(one)),
            moved_offset: description.is_some_and(|one| one.position != Some(0)),
            past_the_end: description
                .and_then(|one| one.position)
                .is_some_and(|offset| row.kind == Kind::File && offset > row.content.length()),
            locked: !row.locks.is_empty(),
            signalled: description.is_some_and(|one| one.owned || one.signal > 0),
            sparse: row.kind == Kind::File && row.content.has_holes(),
            lost: self.is_beyond_recall(path.den)
                || description.is_some_and(|one| self.is_unopenable(one))
                || self.mounts.get(path.mnt).elsewhere && !self.is_given(path),
            in_subvolume: row.volume != self.files.inode_of(root).volume,
            lower: matches!(row.layer, Some(Layer::Lower(_))),
        }
    }

    /// Every mount; detached ones as long as the model knows them.
    pub(crate) fn mount_facts(&self) -> Vec<MountFacts> {
        self.mounts.all().map(|mnt| self.facts_of(mnt)).collect()
    }

    fn facts_of(&self, mnt: Mnt) -> MountFacts {
        let row = self.mounts.get(mnt);
        let namesakes = self.mounts.all().map(|other| self.mounts.get(other));
        let namesakes = namesakes.filter(|other| other.attached && other.sb == row.sb);
        MountFacts {
            key: MountKey(mnt),
            attached: row.attached,
            superblock: row.sb.0,
            filesystem: self.superblock_kind(row.sb),
            type_name: self.files.superblock(row.sb).kind.name(),
            read_only_superblock: self.files.superblock(row.sb).read_only,
            root: self.root_kind(row.sb, row.root),
            root_removed: self.dens_above(row.root, None).into_iter().any(|den| self.files.is_removed(den)),
            root_names: self.names_down_to(row.root),
            attributes: special(&row.attributes),
            propagates: row.shared.is_some() || row.master.is_some() || row.unbindable,
            on: row.on.map(|on| (MountKey(on.mnt), NameKey(on.den))),
            covers_a_root: row
                .on
                .is_some_and(|on| self.mounts.get(on.mnt).root == on.den && mnt != self.process.top.mnt),
            shown: self.is_shown(mnt, |_| true),
            covered: self.is_covered(mnt),
            attributes_shown: namesakes.map(|other| special(&other.attributes)).collect(),
        }
    }

    fn is_covered(&self, mnt: Mnt) -> bool {
        let of = self.mounts.get(mnt);
        self.mounts.all().filter_map(|other| self.mounts.get(other).on.filter(|_| self.mounts.get(other).attached)).any(
            |on| {
                let below = |den, above| self.files.is_below(den, above);
                self.mounts.get(on.mnt).sb == of.sb && (below(on.den, of.root) || below(of.root, on.den))
            },
        )
    }

    /// Whether a name was removed, and its directory has another one like it.
    fn is_name_in_use(&self, den: Den) -> bool {
        let dentry = self.files.dentry(den);
        self.files.is_removed(den) && self.files.inode_of(dentry.parent).children.contains_key(&dentry.name)
    }

    fn superblock_kind(&self, sb: Sb) -> SuperblockKind {
        match self.files.superblock(sb).kind {
            Type::Tmpfs | Type::Ext4 | Type::Internal => SuperblockKind::Plain,
            Type::Xfs => SuperblockKind::Xfs,
            Type::Btrfs => SuperblockKind::Btrfs,
            Type::Overlay => SuperblockKind::Overlay,
            _ => SuperblockKind::Other,
        }
    }

    fn root_kind(&self, sb: Sb, root: Den) -> RootKind {
        let row = self.files.inode_of(root);
        match row.kind {
            _ if root == self.files.superblock(sb).root => RootKind::Superblock,
            Kind::Directory if row.volume == Some(self.files.dentry(root).inode) => RootKind::Subvolume,
            Kind::Directory => RootKind::Directory,
            _ => RootKind::File,
        }
    }

    /// The mount that everything of the process starts from.
    pub(crate) fn top_mount(&self) -> MountKey {
        MountKey(self.process.top.mnt)
    }

    /// The file that a place is now.
    pub(crate) fn file_at(&self, place: &Place) -> Option<FileKey> {
        Some(FileKey(self.inode_at(self.find(place).ok()?)))
    }

    /// The mount that a place is on now.
    pub(crate) fn mount_at(&self, place: &Place) -> Option<MountKey> {
        Some(MountKey(self.find(place).ok()?.mnt))
    }

    /// Whether names, from the root of the superblock of a file, lead to a file that is not this
    /// one.
    pub(crate) fn leads_elsewhere(&self, names: &[Vec<u8>], held: &HeldFile) -> bool {
        self.leads_to(names, held).is_some_and(|file| file != held.file)
    }

    /// The file that names lead to now, from the root of the superblock of a held one.
    pub(crate) fn leads_to(&self, names: &[Vec<u8>], held: &HeldFile) -> Option<FileKey> {
        let sb = self.files.inode(held.file.0).sb;
        let mut den = self.files.superblock(sb).root;
        for name in names {
            den = *self.files.inode_of(den).children.get(name)?;
        }
        Some(FileKey(self.files.dentry(den).inode))
    }

    /// Whether there are names in a directory; what is mounted on it does not count.
    pub(crate) fn has_names(&self, NameKey(den): NameKey) -> bool {
        !self.files.inode_of(den).children.is_empty()
    }

    pub(crate) fn is_executable_detached(&self) -> bool {
        self.processes()
            .map(|process| self.mounts.get(process.exe.mnt))
            .any(|mount| !mount.attached && !mount.elsewhere)
    }

    /// The names from the superblock's root down to a name; `None` where one of them was removed.
    pub(crate) fn names_of(&self, NameKey(den): NameKey) -> Option<Vec<Vec<u8>>> {
        let removed = self.dens_above(den, None).into_iter().any(|den| self.files.is_removed(den));
        (!removed).then(|| self.names_down_to(den))
    }

    /// Everything below a held directory, without what is mounted there.
    pub(crate) fn listing(&self, held: &HeldFile) -> BTreeSet<(Vec<u8>, FileKey)> {
        let mut found = BTreeSet::new();
        self.list_below(held.file.0, &mut Vec::new(), &mut found);
        found
    }

    fn list_below(&self, directory: Ino, prefix: &mut Vec<u8>, found: &mut BTreeSet<(Vec<u8>, FileKey)>) {
        /// More is not examined: a program of a fuzzer's may make many.
        const LIMIT: usize = 1000;
        for (name, &den) in &self.files.inode(directory).children {
            if found.len() >= LIMIT {
                return;
            }
            let length = prefix.len();
            prefix.push(b'/');
            prefix.extend_from_slice(name);
            let ino = self.files.dentry(den).inode;
            found.insert((prefix.clone(), FileKey(ino)));
            self.list_below(ino, prefix, found);
            prefix.truncate(length);
        }
    }

    pub(crate) fn is_directory(&self, FileKey(ino): FileKey) -> bool {
        self.files.inode(ino).kind == Kind::Directory
    }

    pub(crate) fn is_symlink(&self, FileKey(ino): FileKey) -> bool {
        matches!(self.files.inode(ino).kind, Kind::Symlink(_))
    }

    /// A name and those above it, up to `end` or the superblock's root, which are part of it.
    fn dens_above(&self, mut den: Den, end: Option<Den>) -> Vec<Den> {
        let mut out = vec![den];
        while !self.files.is_root(den) && Some(den) != end {
            den = self.files.dentry(den).parent;
            out.push(den);
        }
        out
    }

    fn names_down_to(&self, den: Den) -> Vec<Vec<u8>> {
        let named = self.dens_above(den, None).into_iter().filter(|&den| !self.files.is_root(den));
        let mut names: Vec<_> = named.map(|den| self.files.dentry(den).name.clone()).collect();
        names.reverse();
        names
    }
}

/// The attributes that a mount has not anyway: `relatime` is the kernel's default.
fn special(attributes: &[MountAttribute]) -> BTreeSet<MountAttribute> {
    attributes.iter().copied().filter(|attribute| *attribute != MountAttribute::Relatime).collect()
}
