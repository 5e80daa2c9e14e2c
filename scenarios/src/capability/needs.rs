//! From what a program holds at its end, and how it came to that, to the words.

use std::collections::BTreeSet;

use super::trace::Trace;
use super::{Base, Capability};
use crate::model::{HeldFile, Holder, MountFacts, MountKey, RootKind, SuperblockKind};
use crate::program::OpenFlag;
use vocabulary::object::{FileKind, MountState};

/// Names from this length on, in bytes, are long: with ` (deleted)` behind them, and a few letters
/// of the implementation's, they are longer than a name can be.
const LONG_NAME: usize = 200;

/// A program's end: the objects that count, and the mounts that they are on.
pub(super) struct End<'a> {
    trace: &'a Trace,
    mounts: Vec<MountFacts>,
    all: Vec<HeldFile>,
    /// Those on detached mounts; where there are none, those in another namespace; where there are
    /// none of these either, those on visible mounts.
    counted: Vec<HeldFile>,
    /// Where those that count are.
    state: MountState,
}

impl<'a> End<'a> {
    pub(super) fn of(trace: &'a Trace) -> Self {
        let all = trace.model.held_files();
        let has = |state: &MountState| all.iter().any(|held| held.state == *state);
        let state = [MountState::Detached, MountState::Elsewhere].into_iter().find(has).unwrap_or(MountState::Visible);
        let counted = all.iter().filter(|held| held.state == state).cloned().collect();
        End { trace, mounts: trace.model.mount_facts(), all, counted, state }
    }

    fn is_detached(&self) -> bool {
        self.state == MountState::Detached
    }

    /// The mounts of the objects that count, each once.
    fn mounts(&self) -> Vec<&MountFacts> {
        let keys: BTreeSet<MountKey> = self.counted.iter().map(|held| held.mount).collect();
        self.mounts.iter().filter(|mount| keys.contains(&mount.key)).collect()
    }

    pub(super) fn bases(&self) -> BTreeSet<Base> {
        match self.state {
            MountState::Detached => {}
            MountState::Elsewhere => return BTreeSet::from([Base::Outside]),
            MountState::Visible | MountState::Internal => return BTreeSet::from([Base::Visible]),
        }
        self.mounts().into_iter().map(|mount| self.base(mount)).collect()
    }

    fn base(&self, mount: &MountFacts) -> Base {
        let devices = self.trace.of_devices.iter();
        let same = |key: &&MountKey| {
            self.mounts.iter().any(|other| other.key == **key && other.superblock == mount.superblock)
        };
        let is_device = self.trace.of_devices.contains(&mount.key);
        match mount.root {
            RootKind::Superblock if is_device && devices.filter(same).count() > 1 => Base::Again,
            RootKind::Superblock => Base::Whole,
            RootKind::Subvolume => Base::Subvolume,
            RootKind::Directory => Base::Subdir,
            RootKind::File => Base::File,
        }
    }

    pub(super) fn capabilities(&self) -> BTreeSet<Capability> {
        let mut found = BTreeSet::new();
        for held in &self.counted {
            self.of_the_object(held, &mut found);
            self.of_the_name(held, &mut found);
            self.of_the_state(held, &mut found);
        }
        for mount in self.mounts() {
            self.of_the_mount(mount, &mut found);
        }
        self.of_all_together(&mut found);
        found
    }

    fn of_the_object(&self, held: &HeldFile, found: &mut BTreeSet<Capability>) {
        match held.holder {
            Holder::WorkingDirectory => found.insert(Capability::WorkingDirectory),
            Holder::Root => found.insert(Capability::Root),
            Holder::Mapping => found.insert(Capability::Mapping),
            Holder::InFlight => found.insert(Capability::InFlight),
            Holder::Descriptor => false,
        };
        match held.kind {
            FileKind::Directory if held.description.is_some() => found.insert(Capability::Directory),
            FileKind::Fifo => found.insert(Capability::Fifo),
            FileKind::Symlink => found.insert(Capability::Symlink),
            FileKind::CharDevice | FileKind::BlockDevice => found.insert(Capability::Device),
            FileKind::Directory | FileKind::File | FileKind::Socket | FileKind::Other => false,
        };
        add(found, Capability::PathOnly, held.path_only);
        add(found, Capability::OpenTree, held.keeps_tree);
        if held.kind == FileKind::Directory {
            let is_symlink = |(_, file): &(Vec<u8>, _)| self.trace.model.is_symlink(*file);
            add(found, Capability::SymlinkResolution, self.trace.model.listing(held).iter().any(is_symlink));
            add(found, Capability::MadeSince, self.trace.listing_changed(held));
        }
    }

    fn of_the_name(&self, held: &HeldFile, found: &mut BTreeSet<Capability>) {
        add(found, Capability::Deleted, held.removed && held.other_names == 0);
        add(found, Capability::HardLink, held.removed && held.other_names > 0);
        add(found, Capability::OtherLinks, !held.removed && held.other_names > 0);
        add(found, Capability::Refusal, held.lost);
        add(found, Capability::RemovedParent, held.parent_removed);
        add(found, Capability::Tmpfile, held.unnamed);
        let first = self.trace.first_names(held);
        add(found, Capability::Renamed, first != held.names);
        // The name of one that never had one is the filesystem's.
        if !held.unnamed {
            let taken = |names: &[Vec<u8>]| self.trace.model.leads_elsewhere(names, held);
            add(found, Capability::NameTaken, held.name_in_use || taken(first));
        }
        for name in held.names.iter().filter(|_| !held.unnamed) {
            add(found, Capability::LongName, name.len() >= LONG_NAME);
            let (stem, suffixed) = match name.strip_suffix(b" (deleted)") {
                Some(stem) => (stem, true),
                None => (name.as_slice(), false),
            };
            add(found, Capability::DeletedSuffix, suffixed);
            let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
            add(found, Capability::OddName, !stem.iter().all(plain) || stem.starts_with(b"."));
        }
    }

    fn of_the_state(&self, held: &HeldFile, found: &mut BTreeSet<Capability>) {
        add(found, Capability::Lock, held.locked);
        add(found, Capability::Signals, held.signalled);
        add(found, Capability::Sparse, held.sparse);
        add(found, Capability::Metadata, held.chain.iter().any(|file| self.trace.touched.contains(file)));
        if held.holder == Holder::Mapping {
            return;
        }
        match held.kind {
            FileKind::File => add(found, Capability::Position, held.moved_offset),
            FileKind::Directory => {
                add(found, Capability::HalfReadDirectory, held.moved_offset && held.description.is_some());
            }
            _ => {}
        }
        let flags = held.description.and_then(|number| self.trace.flags.get(&number));
        let flags = flags.map_or(&[][..], Vec::as_slice);
        add(found, Capability::OpenFlags, flags.iter().any(|flag| is_status(*flag, held.kind)));
        add(found, Capability::Cloexec, held.holder == Holder::Descriptor && self.trace.cloexec.contains(&held.name));
        let shares = |other: &&HeldFile| {
            other.name != held.name
                && other.process() == held.process()
                && other.description == held.description
                && other.holder != Holder::Mapping
        };
        add(found, Capability::Dup, held.description.is_some() && self.all.iter().any(|other| shares(&other)));
        let again = |other: &HeldFile| {
            other.file == held.file && other.description.is_some() && other.description != held.description
        };
        add(found, Capability::OpenedTwice, held.description.is_some() && self.all.iter().any(again));
    }

    fn of_the_mount(&self, mount: &MountFacts, found: &mut BTreeSet<Capability>) {
        let standing = self.trace.standing(mount, &self.mounts);
        add(found, Capability::Attributes, self.has_attributes(mount));
        add(found, Capability::ChildMount, standing.in_a_tree);
        add(found, Capability::OverMount, standing.over_mounted);
        let now = super::trace::propagates(mount, &self.mounts);
        add(found, Capability::Propagation, standing.propagates || now);
        add(found, Capability::Moved, self.trace.moved.contains(&mount.key));
        let point_changed = standing.point.is_some_and(|point| self.trace.point_changed(point));
        add(found, Capability::MountPointChanged, point_changed);
        add(found, Capability::Renamed, self.trace.root_renamed(mount));
        add(found, Capability::Covered, self.is_detached() && mount.covered);
        add(found, Capability::Refusal, self.is_detached() && !mount.shown);
        match mount.filesystem {
            SuperblockKind::Plain => {}
            SuperblockKind::Xfs => add(found, Capability::Xfs, true),
            SuperblockKind::Btrfs => add(found, Capability::Btrfs, true),
            SuperblockKind::Overlay => add(found, Capability::Overlay, true),
            SuperblockKind::Other => add(found, Capability::OtherFilesystem, true),
        }
    }

    /// A copy of a visible mount has its attributes: only others need something.
    fn has_attributes(&self, mount: &MountFacts) -> bool {
        match mount.attributes_shown.as_slice() {
            shown if self.is_detached() && !shown.is_empty() => shown.iter().any(|other| *other != mount.attributes),
            _ => !mount.attributes.is_empty(),
        }
    }

    fn of_all_together(&self, found: &mut BTreeSet<Capability>) {
        let counted = &self.counted;
        add(found, Capability::InSubvolume, counted.iter().any(|held| held.in_subvolume));
        add(found, Capability::Watch, self.trace.model.has_watchers());
        add(found, Capability::Processes, self.trace.model.has_forked());
        add(found, Capability::Memfd, self.all.iter().any(|held| held.state == MountState::Internal));
        if !self.is_detached() {
            return;
        }
        let beside = |held: &HeldFile| held.state == MountState::Visible;
        add(found, Capability::VisibleToo, self.all.iter().any(beside));
        let same_mount = |one: &HeldFile| {
            counted.iter().any(|other| {
                let same_object =
                    other.name == one.name || other.description.is_some() && other.description == one.description;
                other.mount == one.mount && !same_object
            })
        };
        add(found, Capability::SameMount, counted.iter().any(same_mount));
        let mounts = self.mounts();
        let superblocks: BTreeSet<usize> = mounts.iter().map(|mount| mount.superblock).collect();
        add(found, Capability::SecondMount, superblocks.len() < mounts.len());
        add(found, Capability::TwoFilesystems, superblocks.len() > 1);
    }
}

fn add(found: &mut BTreeSet<Capability>, capability: Capability, needed: bool) {
    if needed {
        found.insert(capability);
    }
}

/// A flag that stays with the open file description. `O_NOFOLLOW` is how a symbolic link is opened
/// itself.
fn is_status(flag: OpenFlag, kind: FileKind) -> bool {
    use OpenFlag::{Append, Direct, Noatime, Nofollow, Nonblock, Sync};
    match flag {
        Append | Nonblock | Direct | Sync | Noatime => true,
        Nofollow => kind != FileKind::Symlink,
        _ => false,
    }
}
