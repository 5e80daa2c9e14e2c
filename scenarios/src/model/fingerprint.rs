//! When are two states the same? When they are written in the same words: everything that is
//! reached from the roots and the objects, with numbers given in the order in which it is met, so
//! that it does not matter which rows it is in.
//!
//! The text has every field of every row. It omits what no process can see or reach any more, and
//! how a state came about, but for one thing: the order of the mounts, which is that of mountinfo.
//! So two states with the same text take the same further steps, and everything predicted of them
//! is the same.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use super::Model;
use super::files::{Den, Dentry, Ino, Inode, Kind, Layer, Lock, Sb, Superblock};
use super::mounts::{Mnt, Mount, Path};
use super::objects::{Description, Held};
use super::processes::Process;
use super::watches::Watcher;
use crate::program::ObjectName;

/// A state in one number. Two states that are not the same have the same number once in 10^19
/// times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// The same for states that differ only by a renaming of the names, or of the objects in their
    /// order.
    pub(crate) number: u64,
    /// A bit for each of the names: whether it stands anywhere in the state.
    pub(crate) used: u8,
}

/// What is met, in the order of its number.
#[derive(Clone, Copy)]
enum Row {
    Sb(usize),
    Ino(usize),
    Den(usize),
    Mnt(usize),
    Description(usize),
}

/// Who tells a state.
struct Hashing<'a> {
    model: &'a Model,
    names: &'a [&'a [u8]],
    /// What each name is called.
    called: &'a [usize],
    used: u8,
    met: Vec<Row>,
    /// For each sort of row and each of its numbers in the model the number here, plus one; 0
    /// before it is met.
    numbers: [Vec<usize>; 5],
    hasher: DefaultHasher,
}

impl Model {
    /// The state up to a renaming of `names`, of which there are at most eight. `more` is what the
    /// state does not have of an object and is written with it.
    pub(crate) fn fingerprint(&self, names: &[&[u8]], more: impl Fn(&ObjectName) -> u64) -> Fingerprint {
        let plain: Vec<usize> = (0..names.len()).collect();
        let (mut number, used) = self.hash_with(names, &plain, &more);
        let own: Vec<usize> = plain.into_iter().filter(|name| used & 1 << name != 0).collect();
        // Of all ways to call the names that are there 0, 1, ... the one that gives the smallest
        // number.
        let mut order: Vec<usize> = (0..own.len()).collect();
        if order != own {
            number = u64::MAX;
        }
        let mut called = vec![0; names.len()];
        let mut is_told = order == own;
        loop {
            if !is_told {
                own.iter().zip(&order).for_each(|(&name, &other)| called[name] = other);
                number = number.min(self.hash_with(names, &called, &more).0);
            }
            is_told = false;
            if !advance(&mut order) {
                break;
            }
        }
        Fingerprint { number, used }
    }

    fn hash_with(&self, names: &[&[u8]], called: &[usize], more: &dyn Fn(&ObjectName) -> u64) -> (u64, u8) {
        let (met, hasher) = (Vec::with_capacity(64), DefaultHasher::new());
        let mut hashing = Hashing { model: self, names, called, used: 0, met, numbers: Default::default(), hasher };
        hashing.state(more);
        (hashing.hasher.finish(), hashing.used)
    }
}

/// The next permutation in lexicographic order; false after the last one.
fn advance(order: &mut [usize]) -> bool {
    let Some(at) = order.windows(2).rposition(|pair| pair[0] < pair[1]) else { return false };
    let other = order.iter().rposition(|&one| one > order[at]).expect("the one behind it is larger");
    order.swap(at, other);
    order[at + 1..].reverse();
    true
}

impl Hashing<'_> {
    fn word(&mut self, word: impl Hash) {
        word.hash(&mut self.hasher);
    }

    /// A row by its number, which it gets when it is met first.
    fn row(&mut self, row: Row) {
        let (sort, index) = match row {
            Row::Sb(index) => (0, index),
            Row::Ino(index) => (1, index),
            Row::Den(index) => (2, index),
            Row::Mnt(index) => (3, index),
            Row::Description(index) => (4, index),
        };
        let numbers = &mut self.numbers[sort];
        if numbers.len() <= index {
            numbers.resize(index + 1, 0);
        }
        if numbers[index] == 0 {
            self.met.push(row);
            numbers[index] = self.met.len();
        }
        let number = numbers[index];
        self.word(number);
    }

    fn path(&mut self, path: Path) {
        let Path { mnt: Mnt(mnt), den: Den(den) } = path;
        self.row(Row::Mnt(mnt));
        self.row(Row::Den(den));
    }

    /// How a name is called, and whether it is one of those that may be renamed.
    fn called(&mut self, name: &[u8]) -> Option<usize> {
        let found = self.names.iter().position(|other| *other == name)?;
        self.used |= 1 << found;
        Some(self.called[found])
    }

    fn name(&mut self, name: &[u8]) {
        match self.called(name) {
            Some(called) => self.word((0u8, called)),
            None => self.word((1u8, name)),
        }
    }

    fn state(&mut self, more: &dyn Fn(&ObjectName) -> u64) {
        let Model {
            files: _,
            mounts: _,
            process,
            others,
            ended,
            left,
            external: _,
            descriptions: _,
            watchers: _,
            queues,
            internal,
            singles,
            disks,
        } = self.model;
        self.word((left.is_some(), queues, ended));
        left.iter().for_each(|path| self.path(*path));
        self.process(process, more);
        for (name, process) in others {
            self.word(name);
            self.process(process, more);
        }
        if let Some(Mnt(mnt)) = internal {
            self.row(Row::Mnt(*mnt));
        }
        for (kind, Sb(sb)) in singles {
            self.word(kind);
            self.row(Row::Sb(*sb));
        }
        for (place, (Sb(sb), Den(den))) in disks {
            self.word(place);
            self.row(Row::Sb(*sb));
            self.row(Row::Den(*den));
        }
        let mut next = 0;
        while let Some(&row) = self.met.get(next) {
            self.word(std::mem::discriminant(&row));
            match row {
                Row::Sb(sb) => self.superblock(Sb(sb)),
                Row::Ino(ino) => self.inode(Ino(ino)),
                Row::Den(den) => self.dentry(Den(den)),
                Row::Mnt(mnt) => self.mount(Mnt(mnt)),
                Row::Description(number) => self.description(number),
            }
            next += 1;
        }
        // The order in which the mounts were made.
        let mut mounts: Vec<(usize, usize)> = Vec::new();
        for (number, row) in self.met.iter().enumerate() {
            if let Row::Mnt(mnt) = row {
                mounts.push((*mnt, number));
            }
        }
        mounts.sort_unstable();
        mounts.into_iter().for_each(|(_, number)| self.word(number));
    }

    fn process(&mut self, process: &Process, more: &dyn Fn(&ObjectName) -> u64) {
        let Process { name, top, root, cwd, exe, objects } = process;
        self.word(name);
        [top, root, cwd, exe].into_iter().for_each(|path| self.path(*path));
        for (name, held) in objects {
            self.word(std::mem::discriminant(held));
            self.word(more(name));
            match held {
                Held::Descriptor(number) | Held::Mapping(number) | Held::InFlight(number) => {
                    self.row(Row::Description(*number));
                }
                Held::Socket => {}
                Held::Watcher(number) => self.watcher(&self.model.watchers[*number]),
            }
        }
    }

    fn watcher(&mut self, watcher: &Watcher) {
        self.word(std::mem::discriminant(watcher));
        match watcher {
            Watcher::Epoll(objects) => self.word(objects),
            Watcher::Inotify(all) => all.iter().for_each(|path| self.path(*path)),
            Watcher::Fanotify(mark, path) => {
                self.word(mark);
                self.path(*path);
            }
        }
    }

    fn superblock(&mut self, sb: Sb) {
        let Superblock { kind, root: Den(root), read_only, one_device, redirects, volumes, indexed } =
            self.model.files.superblock(sb);
        self.word((kind, read_only, one_device, redirects, indexed, volumes.len()));
        for Ino(volume) in volumes {
            self.row(Row::Ino(*volume));
        }
        self.row(Row::Den(*root));
    }

    fn inode(&mut self, ino: Ino) {
        let Inode {
            sb: Sb(sb),
            kind,
            links,
            mode,
            uid,
            content,
            children,
            dead,
            linkable,
            opaque,
            foreign,
            layer_of,
            layer,
            uncertain,
            volume,
            volume_read_only,
            locks,
            seals,
        } = self.model.files.inode(ino);
        self.row(Row::Sb(*sb));
        self.word((links, mode, uid, content, seals));
        self.word((dead, linkable, opaque, foreign, uncertain, volume_read_only));
        match kind {
            Kind::Symlink(target) => {
                for part in target.split(|&byte| byte == b'/') {
                    self.name(part);
                }
            }
            Kind::File | Kind::Directory | Kind::Fifo | Kind::Socket | Kind::Device(..) => self.word(kind),
        }
        self.word((layer_of.is_some(), layer.map(|layer| std::mem::discriminant(&layer)), volume.is_some()));
        if let Some(Sb(sb)) = layer_of {
            self.row(Row::Sb(*sb));
        }
        if let Some(Layer::Lower(Ino(lower))) = layer {
            self.row(Row::Ino(*lower));
        }
        if let Some(Ino(volume)) = volume {
            self.row(Row::Ino(*volume));
        }
        for Lock { kind, owner, write, range } in locks {
            self.word((kind, owner.is_some(), write, range));
            if let Some(owner) = owner {
                self.row(Row::Description(*owner));
            }
        }
        self.word((children.len(), locks.len()));
        // In the order of what the names are called.
        let mut renamed = Vec::new();
        for (name, &Den(den)) in children {
            match self.called(name) {
                Some(called) => renamed.push((called, den)),
                None => {
                    self.word((1u8, name));
                    self.row(Row::Den(den));
                }
            }
        }
        renamed.sort_unstable();
        for (called, den) in renamed {
            self.word((0u8, called));
            self.row(Row::Den(den));
        }
    }

    fn dentry(&mut self, den: Den) {
        let Dentry { parent: Den(parent), name, inode: Ino(inode), hashed, numbered } = self.model.files.dentry(den);
        self.row(Row::Den(*parent));
        self.name(name);
        self.row(Row::Ino(*inode));
        self.word((hashed, numbered));
    }

    fn mount(&mut self, mnt: Mnt) {
        let Mount {
            sb: Sb(sb),
            root: Den(root),
            on,
            attached,
            elsewhere,
            floating,
            attributes: _,
            read_only,
            nodev,
            nosymfollow,
            shared,
            master,
            unbindable,
        } = self.model.mounts.get(mnt);
        self.row(Row::Sb(*sb));
        self.row(Row::Den(*root));
        self.word((attached, elsewhere, floating, read_only, nodev, nosymfollow, shared, master, unbindable));
        self.word(on.is_some());
        if let Some(on) = on {
            self.path(*on);
        }
        let children: Vec<Mnt> = self.model.mounts.children(mnt).collect();
        self.word(children.len());
        for Mnt(child) in children {
            self.row(Row::Mnt(child));
        }
    }

    fn description(&mut self, number: usize) {
        let Description {
            path,
            reads,
            writes,
            path_only,
            unnamed,
            append,
            direct,
            position,
            untouched,
            tree,
            owned,
            signal,
        } = &self.model.descriptions[number];
        self.path(*path);
        self.word((reads, writes, path_only, unnamed, append, direct, position, untouched, tree, owned, signal));
        self.word(self.model.external.contains(path));
    }
}
