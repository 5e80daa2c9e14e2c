//! What happened on the way to a program's end that its last state does not show: names at the time
//! of opening, where a mount was before it was detached.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{FileKey, HeldFile, Holder, Model, MountFacts, MountKey, NameKey};
use crate::program::{OpenFlag, Place};
use crate::{Program, Step};
use vocabulary::object::MountState;

type Names = Vec<Vec<u8>>;
type Listing = BTreeSet<(Vec<u8>, FileKey)>;

/// How a mount stood in the tree: now, or when it was detached.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing {
    /// Other mounts are on it, or went with it.
    pub(crate) in_a_tree: bool,
    /// It covers the root of another mount, or another covers its own.
    pub(crate) over_mounted: bool,
    pub(crate) propagates: bool,
    /// It went because another mount was unmounted that sends unmounts to where it was.
    pub(crate) by_propagation: bool,
    /// The mount that it is on.
    pub(crate) parent: Option<MountKey>,
    /// The directory that it is on.
    pub(crate) point: Option<NameKey>,
}

/// A program that was carried out, with what became of its files and mounts.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) model: Model,
    /// The names by which files were opened and directories bound.
    first_names: BTreeMap<NameKey, Names>,
    first_roots: BTreeMap<MountKey, Names>,
    /// The flags of each open file description.
    pub(crate) flags: BTreeMap<usize, Vec<OpenFlag>>,
    /// Objects with `FD_CLOEXEC`.
    pub(crate) cloexec: BTreeSet<String>,
    /// Objects that were received over a socket.
    pub(crate) received: BTreeSet<String>,
    /// Files that a process held which has ended.
    pub(crate) held_by_zombies: BTreeSet<FileKey>,
    /// Files whose metadata a step set.
    pub(crate) touched: BTreeSet<FileKey>,
    pub(crate) moved: BTreeSet<MountKey>,
    /// Mounts of a device, and not copies of mounts.
    pub(crate) of_devices: BTreeSet<MountKey>,
    detached: BTreeMap<MountKey, Standing>,
    points: BTreeMap<NameKey, Names>,
    /// What was below the held directories when their mounts were first detached.
    listings: BTreeMap<(MountKey, NameKey), Listing>,
}

impl Trace {
    /// Carries a program out. A step that the model refuses is left out.
    pub(crate) fn of(program: &Program) -> Self {
        let mut trace = Trace {
            model: Model::new(),
            first_names: BTreeMap::new(),
            first_roots: BTreeMap::new(),
            flags: BTreeMap::new(),
            cloexec: BTreeSet::new(),
            received: BTreeSet::new(),
            held_by_zombies: BTreeSet::new(),
            touched: BTreeSet::new(),
            moved: BTreeSet::new(),
            of_devices: BTreeSet::new(),
            detached: BTreeMap::new(),
            points: BTreeMap::new(),
            listings: BTreeMap::new(),
        };
        for line in &program.steps {
            trace.step(&line.step);
        }
        trace
    }

    fn step(&mut self, step: &Step) {
        if matches!(step, Step::Assert { .. }) {
            return;
        }
        let effect = effect(step);
        let before = if let Effect::Mounts = effect { self.model.mount_facts() } else { Vec::new() };
        let place = if let Effect::Metadata(place) = effect { self.model.file_at(place) } else { None };
        let top = self.model.top_mount();
        let source = match step {
            Step::Move { from, .. } => self.model.mount_at(from),
            _ => None,
        };
        let unmounted = match step {
            Step::Unmount { at, .. } => self.model.mount_at(at),
            _ => None,
        };
        let of_zombies = match step {
            Step::Exit { process } => {
                self.model.held_files().into_iter().filter(|held| held.process() == process.0).collect()
            }
            _ => Vec::new(),
        };
        if self.model.step(step).is_err() {
            return;
        }
        self.held_by_zombies.extend(of_zombies.into_iter().map(|held| held.file));
        self.touched.extend(place);
        self.moved.extend(source);
        if let Step::Mount { at, .. } | Step::MountAgain { at, .. } = step {
            self.of_devices.extend(self.model.mount_at(at));
        }
        if let Effect::Mounts = effect {
            let all = matches!(step, Step::UnshareMounts { .. });
            self.note_mounts(&before, top, all, unmounted);
        }
        if let Step::Receive { name, cloexec, .. } = step {
            let name = self.model.full_name(name).0;
            self.cloexec.extend(cloexec.then(|| name.clone()));
            self.received.insert(name);
        }
        self.note_held(step);
    }

    /// `top` is the mount of the top directory before the step, `unmounted` the mount that it
    /// unmounts. With `all`, every mount went because the namespace ended: that others went too
    /// says nothing about how one of them was attached.
    fn note_mounts(&mut self, before: &[MountFacts], top: MountKey, all: bool, unmounted: Option<MountKey>) {
        let after = self.model.mount_facts();
        for mount in &after {
            self.first_roots.entry(mount.key).or_insert_with(|| mount.root_names.clone());
        }
        let left = |key: MountKey| after.iter().any(|mount| mount.key == key && mount.attached);
        let gone = before.iter().filter(|mount| mount.attached && !left(mount.key));
        for mount in gone {
            let mut standing = standing(mount, before, top);
            // One that stays is not detached with it.
            let parent_stays = mount.on.is_some_and(|(parent, _)| left(parent));
            if !all {
                standing.in_a_tree = !parent_stays || has_children(mount, before);
            }
            standing.by_propagation = unmounted.is_some_and(|unmounted| !is_on(mount.key, unmounted, before));
            if let Some((point, names)) = standing.point.and_then(|point| Some((point, self.model.names_of(point)?))) {
                self.points.insert(point, names);
            }
            self.detached.insert(mount.key, standing);
        }
    }

    fn note_held(&mut self, step: &Step) {
        for held in self.model.held_files() {
            self.first_names.entry(held.key).or_insert_with(|| held.names.clone());
            if held.state == MountState::Detached {
                let key = (held.mount, held.key);
                self.listings.entry(key).or_insert_with(|| self.model.listing(&held));
            }
            match step {
                Step::Open { name, flags, .. } if self.model.full_name(name).0 == held.name => {
                    if let (Some(number), Holder::Descriptor) = (held.description, held.holder) {
                        self.flags.insert(number, flags.clone());
                    }
                    if flags.contains(&OpenFlag::Cloexec) {
                        self.cloexec.insert(held.name);
                    }
                }
                Step::Dup { name, cloexec: true, .. } if self.model.full_name(name).0 == held.name => {
                    self.cloexec.insert(held.name);
                }
                _ => {}
            }
        }
    }

    /// How a mount is attached to the tree, or was.
    pub(crate) fn standing(&self, mount: &MountFacts, all: &[MountFacts]) -> Standing {
        self.detached.get(&mount.key).copied().unwrap_or_else(|| standing(mount, all, self.model.top_mount()))
    }

    /// The names by which a file was opened.
    pub(crate) fn first_names<'a>(&'a self, held: &'a HeldFile) -> &'a [Vec<u8>] {
        self.first_names.get(&held.key).unwrap_or(&held.names)
    }

    /// Whether the root of a mount is called otherwise than when the mount was made.
    pub(crate) fn root_renamed(&self, mount: &MountFacts) -> bool {
        self.first_roots.get(&mount.key).is_some_and(|names| *names != mount.root_names)
    }

    /// Whether a mount point has not the name any more that it had when its mount was detached.
    pub(crate) fn point_changed(&self, point: NameKey) -> bool {
        self.points.get(&point).is_some_and(|names| self.model.names_of(point).as_ref() != Some(names))
    }

    /// Whether there are other names below a directory than when its mount was detached.
    pub(crate) fn listing_changed(&self, held: &HeldFile) -> bool {
        self.listings.get(&(held.mount, held.key)).is_some_and(|before| *before != self.model.listing(held))
    }
}

/// What a step does that a trace records, beside what it opens.
enum Effect<'a> {
    /// It changes mounts.
    Mounts,
    /// It sets metadata of this file.
    Metadata(&'a Place),
    Other,
}

fn effect(step: &Step) -> Effect<'_> {
    match step {
        Step::Mount { .. }
        | Step::MountAgain { .. }
        | Step::Overlay { .. }
        | Step::Bind { .. }
        | Step::Move { .. }
        | Step::Unmount { .. }
        | Step::PivotRoot { .. }
        | Step::UnshareMounts { .. }
        | Step::OpenTree { .. }
        | Step::NewTree { .. } => Effect::Mounts,
        Step::Chmod { at, .. } | Step::Chown { at, .. } | Step::Setxattr { at, .. } | Step::Touch { at, .. } => {
            Effect::Metadata(at)
        }
        Step::Remount { .. }
        | Step::Propagate { .. }
        | Step::Mkdir { .. }
        | Step::Write { .. }
        | Step::Append { .. }
        | Step::Truncate { .. }
        | Step::Symlink { .. }
        | Step::Link { .. }
        | Step::Rename { .. }
        | Step::Unlink { .. }
        | Step::Rmdir { .. }
        | Step::Mkfifo { .. }
        | Step::Mksocket { .. }
        | Step::Mknod { .. }
        | Step::Subvolume { .. }
        | Step::Snapshot { .. }
        | Step::DeleteSubvolume { .. }
        | Step::Open { .. }
        | Step::Dup { .. }
        | Step::Memfd { .. }
        | Step::Map { .. }
        | Step::Socketpair { .. }
        | Step::Peer { .. }
        | Step::Send { .. }
        | Step::Receive { .. }
        | Step::Seek { .. }
        | Step::Read { .. }
        | Step::WriteTo { .. }
        | Step::ReadEntries { .. }
        | Step::Lock { .. }
        | Step::Close { .. }
        | Step::Chdir { .. }
        | Step::Chroot { .. }
        | Step::External { .. }
        | Step::Exec
        | Step::Fork { .. }
        | Step::As { .. }
        | Step::Seal { .. }
        | Step::SetOwner { .. }
        | Step::SetSignal { .. }
        | Step::Epoll { .. }
        | Step::Inotify { .. }
        | Step::Fanotify { .. }
        | Step::Exit { .. }
        | Step::Assert { .. } => Effect::Other,
    }
}

/// Whether a mount is this one, or on it, or on one that is on it.
fn is_on(mut key: MountKey, this: MountKey, all: &[MountFacts]) -> bool {
    while key != this {
        let on = all.iter().find(|mount| mount.key == key).and_then(|mount| mount.on);
        let Some((parent, _)) = on else { return false };
        key = parent;
    }
    true
}

fn has_children(mount: &MountFacts, all: &[MountFacts]) -> bool {
    all.iter().any(|other| other.on.is_some_and(|(parent, _)| parent == mount.key))
}

fn standing(mount: &MountFacts, all: &[MountFacts], top: MountKey) -> Standing {
    let on_it = |other: &&MountFacts| other.on.is_some_and(|(parent, _)| parent == mount.key);
    let parent = mount.on.and_then(|(parent, _)| all.iter().find(|other| other.key == parent));
    let below_another = parent.is_some_and(|parent| parent.key != top);
    Standing {
        in_a_tree: mount.key != top && (below_another || all.iter().any(|other| on_it(&other))),
        over_mounted: mount.covers_a_root || all.iter().filter(on_it).any(|other| other.covers_a_root),
        propagates: propagates(mount, all),
        by_propagation: false,
        parent: mount.on.map(|(parent, _)| parent),
        point: mount.on.map(|(_, point)| point),
    }
}

/// Whether a mount of the namespace that shows the same superblock sends or receives mounts, or is
/// on one that does: what is mounted there for a moment spreads.
pub(crate) fn propagates(mount: &MountFacts, all: &[MountFacts]) -> bool {
    let on = |other: &MountFacts| other.on.and_then(|(parent, _)| all.iter().find(|one| one.key == parent));
    let spreads = |other: &MountFacts| other.propagates || on(other).is_some_and(|on| on.propagates);
    all.iter().filter(|other| other.attached && other.superblock == mount.superblock).any(spreads)
}
