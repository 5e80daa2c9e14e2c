//! The steps that [`super::Exhaustive`] tries in a state: all of a small vocabulary, in a fixed
//! order.

use super::arguments::below;
use crate::Bytes;
use crate::model::{Entry, EntryKind, Survey};
use crate::program::{Filesystem, ObjectName, OpenFlag, Place, Step};

/// The names, each as good as the others.
pub(super) const NAMES: &[&[u8]] = &[b"a", b"b", b"c"];
/// Paths have no more names than this.
const PATH_NAMES: usize = 2;
/// What a file holds.
const CONTENT: &str = "x";

/// Where a symbolic link leads: nowhere.
const TARGET: &str = "x";

/// How a file is opened, a directory, and a symbolic link.
const FILE: &[&[OpenFlag]] = &[&[], &[OpenFlag::Rdwr], &[OpenFlag::Path]];
const DIRECTORY: &[&[OpenFlag]] = &[&[OpenFlag::Directory], &[OpenFlag::Path]];
const SYMLINK: &[&[OpenFlag]] = &[&[OpenFlag::Path, OpenFlag::Nofollow]];

/// What there is to make steps of.
pub(super) struct Vocabulary<'a> {
    survey: &'a Survey,
    entries: Vec<&'a Entry>,
    /// Names that are in use, and one that is not, if there is one left.
    names: Vec<&'static [u8]>,
}

impl<'a> Vocabulary<'a> {
    /// Of a state in which the names with a bit in `used` stand.
    pub(super) fn new(survey: &'a Survey, used: u8) -> Self {
        let is_used = |index: &usize| used & 1 << index != 0;
        let fresh = (0..NAMES.len()).find(|index| !is_used(index));
        let names = (0..NAMES.len()).filter(|index| is_used(index) || Some(*index) == fresh);
        let entries = survey.entries.iter().filter(|entry| is_ours(&entry.place)).collect();
        Vocabulary { survey, entries, names: names.map(|index| NAMES[index]).collect() }
    }

    /// Every step; of some it is not known yet whether they can be done. `object` is the name of
    /// what a step makes, and `objects` are those that are there.
    pub(super) fn steps<'o>(&self, object: &ObjectName, objects: impl Iterator<Item = &'o ObjectName>) -> Vec<Step> {
        let mut steps = self.lazy_unmounts();
        steps.extend(self.opens(object));
        steps.extend(objects.map(|of| Step::Dup { name: object.clone(), of: of.clone(), cloexec: false }));
        let fresh = self.fresh();
        for at in &fresh {
            let at = || at.clone();
            steps.push(Step::Mount { filesystem: Filesystem::Tmpfs, at: at(), attributes: Vec::new() });
            steps.push(Step::Mkdir { at: at() });
            steps.push(Step::Write { at: at(), bytes: Bytes::from(CONTENT) });
            steps.push(Step::Symlink { target: Bytes::from(TARGET), at: at() });
        }
        for entry in &self.entries {
            self.of_entry(entry, &fresh, &mut steps);
        }
        steps
    }

    /// Every step that can put a held object on a detached mount.
    pub(super) fn lazy_unmounts(&self) -> Vec<Step> {
        let ours = self.survey.mounts.iter().filter(|mount| is_ours(&mount.place));
        ours.map(|mount| Step::Unmount { at: mount.place.clone(), lazy: true }).collect()
    }

    fn opens(&self, object: &ObjectName) -> impl Iterator<Item = Step> {
        self.entries.iter().flat_map(move |entry| {
            let ways = match entry.kind {
                EntryKind::File => FILE,
                EntryKind::Directory => DIRECTORY,
                EntryKind::Symlink => SYMLINK,
                EntryKind::Special => &[],
            };
            ways.iter().map(move |flags| Step::Open {
                name: object.clone(),
                at: entry.place.clone(),
                flags: flags.to_vec(),
            })
        })
    }

    /// The places where there is nothing.
    fn fresh(&self) -> Vec<Place> {
        let top = Place { base: None, path: Bytes::default() };
        let deep = self.entries.iter().filter(|entry| is_directory(entry) && length(&entry.place) < PATH_NAMES);
        let directories = std::iter::once(&top).chain(deep.map(|entry| &entry.place));
        let places = directories.flat_map(|directory| self.names.iter().map(|name| below(directory, name)));
        places.filter(|place| self.entries.iter().all(|entry| entry.place != *place)).collect()
    }

    fn of_entry(&self, entry: &Entry, fresh: &[Place], steps: &mut Vec<Step>) {
        let at = || entry.place.clone();
        let like_it = self.entries.iter().filter(|other| is_directory(other) == is_directory(entry));
        let like_it: Vec<&Place> = like_it.map(|other| &other.place).collect();
        let bind = |to: &Place| Step::Bind { from: at(), to: to.clone(), recursive: false, attributes: Vec::new() };
        let rename = |new: &Place| Step::Rename { old: at(), new: new.clone() };
        steps.extend(like_it.iter().copied().chain(fresh).map(bind));
        let others = like_it.iter().copied().filter(|other| **other != entry.place);
        steps.extend(others.chain(fresh).map(rename));
        if is_directory(entry) {
            steps.push(Step::Mount { filesystem: Filesystem::Tmpfs, at: at(), attributes: Vec::new() });
            steps.push(Step::Rmdir { at: at() });
            steps.push(Step::Chdir { at: at() });
        } else {
            steps.extend(fresh.iter().map(|new| Step::Link { old: at(), new: new.clone() }));
            steps.push(Step::Unlink { at: at() });
        }
    }
}

fn is_directory(entry: &Entry) -> bool {
    entry.kind == EntryKind::Directory
}

fn length(place: &Place) -> usize {
    place.path.0.split(|&byte| byte == b'/').count()
}

/// Whether it is reached from the top directory by names of the vocabulary.
fn is_ours(place: &Place) -> bool {
    place.base.is_none() && place.path.0.split(|&byte| byte == b'/').all(|name| NAMES.contains(&name))
}
