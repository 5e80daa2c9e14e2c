//! Instances of epoll(7), inotify(7) and fanotify(7), and what each watches.
//!
//! A watch of inotify and a mark of fanotify go with the inode, or with the mount; neither holds it
//! (fs/notify/mark.c). epoll watches a descriptor until the last one of its description is closed.

use super::files::{Kind, Type};
use super::mounts::{Mnt, Path};
use super::objects::Held;
use super::{Model, Refusal, Result, errno, unknown};
use crate::program::{Mark, ObjectName, Place};
use vocabulary::Errno;

/// An instance, with what it watches.
#[derive(Clone, Debug)]
pub(super) enum Watcher {
    /// Descriptors, by their names.
    Epoll(Vec<ObjectName>),
    /// Files, by the names that they were found by.
    Inotify(Vec<Path>),
    /// A file, and what of it.
    Fanotify(Mark, Path),
}

pub(super) fn epoll(model: &mut Model, name: &ObjectName, objects: &[ObjectName]) -> Result<()> {
    if model.has_forked() {
        return unknown("watches of one of several processes");
    }
    for (index, object) in objects.iter().enumerate() {
        if objects[..index].contains(object) {
            return errno(Errno::EEXIST);
        }
        match model.process.objects.get(object) {
            Some(Held::Socket) => {}
            Some(Held::Watcher(number)) => {
                if let Watcher::Epoll(_) = model.watchers[*number] {
                    return unknown("an instance of epoll that another one watches");
                }
            }
            _ => pollable(model, object)?,
        }
    }
    model.watch(name, Watcher::Epoll(objects.to_vec()));
    Ok(())
}

/// What has no `poll` operation is refused with `EPERM` (epoll_ctl(2)).
fn pollable(model: &Model, object: &ObjectName) -> Result<()> {
    let description = &model.descriptions[model.descriptor(object)?];
    if description.path_only {
        return errno(Errno::EBADF);
    }
    match model.files.inode_of(description.path.den).kind {
        Kind::Fifo => Ok(()),
        Kind::File | Kind::Directory if !model.files.type_of(description.path.den).is_kernels() => errno(Errno::EPERM),
        _ => unknown("whether it can be polled"),
    }
}

pub(super) fn inotify(model: &mut Model, name: &ObjectName, places: &[Place]) -> Result<()> {
    let found = places.iter().map(|at| watchable(model, at)).collect::<Result<Vec<Path>>>()?;
    model.watch(name, Watcher::Inotify(found));
    Ok(())
}

pub(super) fn fanotify(model: &mut Model, name: &ObjectName, mark: Mark, at: &Place) -> Result<()> {
    let path = watchable(model, at)?;
    model.watch(name, Watcher::Fanotify(mark, path));
    Ok(())
}

/// A file that can be watched. On these filesystems the numbers in fdinfo are those of stat(2), and
/// `FAN_REPORT_FID` finds a handle.
fn watchable(model: &Model, at: &Place) -> Result<Path> {
    if model.has_forked() {
        return unknown("watches of one of several processes");
    }
    let path = model.find(at)?;
    match model.files.type_of(path.den) {
        Type::Tmpfs | Type::Ext4 | Type::Xfs => Ok(path),
        _ => unknown("what fdinfo says of a watch on this filesystem"),
    }
}

/// Before a descriptor is closed: epoll watches it no longer, unless another descriptor of the
/// description is left.
pub(super) fn closed(model: &mut Model, object: &ObjectName, description: usize) -> Result<()> {
    let is_watched = |watcher: &Watcher| matches!(watcher, Watcher::Epoll(objects) if objects.contains(object));
    if !model.watchers.iter().any(is_watched) {
        return Ok(());
    }
    let holds = |(name, held): (&ObjectName, &Held)| {
        let same =
            matches!(held, Held::Descriptor(one) | Held::Mapping(one) | Held::InFlight(one) if *one == description);
        same && name != object
    };
    if model.process.objects.iter().any(holds) {
        return Err(Refusal::Unknown("a watched descriptor that is closed, and its description lives"));
    }
    for watcher in &mut model.watchers {
        if let Watcher::Epoll(objects) = watcher {
            objects.retain(|other| other != object);
        }
    }
    Ok(())
}

impl Model {
    fn watch(&mut self, name: &ObjectName, watcher: Watcher) {
        self.watchers.push(watcher);
        self.process.objects.insert(name.clone(), Held::Watcher(self.watchers.len() - 1));
    }

    /// Whether there is an instance of epoll, inotify or fanotify.
    pub(crate) fn has_watchers(&self) -> bool {
        !self.watchers.is_empty()
    }

    /// Whether every watch could be set again: a descriptor has the file, or it is where a name of
    /// a visible mount leads. A mark on a mount needs a descriptor on that mount, or a visible one.
    pub(super) fn are_watches_restorable(&self) -> bool {
        let has = |is_it: &dyn Fn(Path) -> bool| {
            self.process.objects.values().any(|held| match held {
                Held::Descriptor(number) => is_it(self.descriptions[*number].path),
                _ => false,
            })
        };
        let file = |path: &Path| {
            let ino = self.inode_at(*path);
            has(&|other| self.inode_at(other) == ino) || self.is_at_a_visible_name(*path)
        };
        self.watchers.iter().all(|watcher| match watcher {
            Watcher::Epoll(_) => true,
            Watcher::Inotify(all) => all.iter().all(file),
            Watcher::Fanotify(Mark::Inode, path) => file(path),
            Watcher::Fanotify(Mark::Mount, path) => self.is_in_sight(path.mnt) || has(&|other| other.mnt == path.mnt),
            Watcher::Fanotify(Mark::Filesystem, path) => {
                let sb = self.mounts.get(path.mnt).sb;
                self.mounts.all().any(|mnt| self.mounts.get(mnt).sb == sb && self.is_in_sight(mnt))
            }
        })
    }

    /// Whether a mount is visible, and its path leads to its root.
    fn is_in_sight(&self, mnt: Mnt) -> bool {
        let mount = self.mounts.get(mnt);
        mount.attached && self.is_bare(Path { mnt, den: mount.root })
    }

    /// Whether a name of this file is on a visible mount, with nothing mounted over the way there.
    fn is_at_a_visible_name(&self, path: Path) -> bool {
        self.files.names_of(self.inode_at(path)).any(|den| {
            let mut mounts = self.mounts.all().filter(|&mnt| {
                let mount = self.mounts.get(mnt);
                mount.attached && mount.sb == self.mounts.get(path.mnt).sb && self.files.is_below(den, mount.root)
            });
            mounts.any(|mnt| self.is_bare(Path { mnt, den }))
        })
    }

    /// Of each watch of a file by inotify or fanotify: by whom and the file.
    pub(crate) fn watched_files(&self) -> impl Iterator<Item = (Option<Mark>, super::FileKey, super::MountKey)> {
        let key = |path: &Path| (super::FileKey(self.inode_at(*path)), super::MountKey(path.mnt));
        self.watchers.iter().flat_map(move |watcher| match watcher {
            Watcher::Epoll(_) => Vec::new(),
            Watcher::Inotify(all) => all.iter().map(key).map(|(file, mount)| (None, file, mount)).collect(),
            Watcher::Fanotify(mark, path) => vec![(Some(*mark), key(path).0, key(path).1)],
        })
    }

    /// The objects that instances of epoll watch.
    pub(crate) fn polled_objects(&self) -> impl Iterator<Item = &ObjectName> {
        self.watchers.iter().flat_map(|watcher| match watcher {
            Watcher::Epoll(objects) => objects.as_slice(),
            _ => &[],
        })
    }
}
