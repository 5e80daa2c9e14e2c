//! Locks and leases (fs/locks.c), as far as one process can be in its own way.

use super::files::{Ino, Kind, Lock};
use super::objects::Held;
use super::{Model, Result, errno, unknown};
use crate::program::{LockKind, LockRange, ObjectName};
use vocabulary::Errno;

pub(super) fn lock(
    model: &mut Model,
    object: &ObjectName,
    kind: LockKind,
    write: bool,
    range: LockRange,
) -> Result<()> {
    let number = model.descriptor(object)?;
    let description = &model.descriptions[number];
    let path = description.path;
    let ino = model.inode_at(path);
    if model.files.inode(ino).kind != Kind::File {
        return unknown("locks of anything but regular files");
    }
    if kind == LockKind::Posix && model.has_forked() {
        return unknown("locks that belong to one of several processes");
    }
    let owner = match kind {
        LockKind::Posix => None,
        _ => Some(number),
    };
    match kind {
        LockKind::Posix | LockKind::Ofd if write && !description.writes || !write && !description.reads => {
            return errno(Errno::EBADF);
        }
        LockKind::Lease => return lease(model, number, ino, write),
        _ => {}
    }
    let same_list = |other: LockKind| (other == LockKind::Flock) == (kind == LockKind::Flock);
    let row = model.files.inode_mut(ino);
    let conflicts = |lock: &Lock| {
        lock.kind != LockKind::Lease
            && same_list(lock.kind)
            && lock.owner != owner
            && (lock.write || write)
            && overlap(lock.range, range)
    };
    if row.locks.iter().any(conflicts) {
        return errno(Errno::EAGAIN);
    }
    let is_own = |lock: &Lock| same_list(lock.kind) && lock.owner == owner && lock.kind != LockKind::Lease;
    let (own, mut locks): (Vec<Lock>, Vec<Lock>) = std::mem::take(&mut row.locks).into_iter().partition(is_own);
    for lock in own {
        locks.extend(rest(lock.range, range).map(|range| Lock { range, ..lock.clone() }));
    }
    locks.push(Lock { kind, owner, write, range });
    row.locks = locks;
    Ok(())
}

fn overlap(one: LockRange, other: LockRange) -> bool {
    let starts_in = |one: LockRange, other: LockRange| other.end().is_none_or(|end| one.start < end);
    starts_in(one, other) && starts_in(other, one)
}

/// What is left of a range where the same owner locks another one (fcntl(2): the lock is split, or
/// shrinks).
fn rest(old: LockRange, new: LockRange) -> impl Iterator<Item = LockRange> {
    let before = old.start < new.start;
    let length = old.end().map_or(new.start, |end| end.min(new.start)).saturating_sub(old.start);
    let before = before.then_some(LockRange { start: old.start, length });
    let after = new.end().filter(|end| old.end().is_none_or(|old| old > *end)).map(|end| {
        let start = end.max(old.start);
        LockRange { start, length: old.end().map_or(0, |old| old - start) }
    });
    before.into_iter().chain(after)
}

/// Breaking a lease kills its holder by a signal. The harness opens every object again
/// for reading and for writing, so only a read lease on a read-only mount lives.
fn lease(model: &mut Model, number: usize, ino: Ino, write: bool) -> Result<()> {
    if write {
        return unknown("a lease that is broken by looking at it");
    }
    let harmless = |model: &Model, index: usize| {
        let description = &model.descriptions[index];
        model.want_write(description.path.mnt).is_err() && !description.writes
    };
    let all = model.descriptions_of(ino);
    if all.iter().any(|&index| model.descriptions[index].signal != 0) {
        return unknown("a lease with another signal");
    }
    if model.descriptions[number].writes || !all.iter().all(|&index| harmless(model, index)) {
        return unknown("a lease that is broken by looking at it");
    }
    model.files.inode_mut(ino).locks.push(Lock {
        kind: LockKind::Lease,
        owner: Some(number),
        write,
        range: LockRange::default(),
    });
    Ok(())
}

impl Model {
    pub(super) fn is_leased(&self, ino: Ino) -> bool {
        self.files.inode(ino).locks.iter().any(|lock| lock.kind == LockKind::Lease)
    }

    /// The open file descriptions of an inode that a process holds.
    pub(super) fn descriptions_of(&self, ino: Ino) -> Vec<usize> {
        (0..self.descriptions.len())
            .filter(|&index| self.is_held(index) && self.inode_at(self.descriptions[index].path) == ino)
            .collect()
    }

    /// A descriptor of this inode was closed: POSIX locks go with whichever it was (fcntl(2)).
    pub(super) fn closed(&mut self, ino: Ino) {
        self.files.inode_mut(ino).locks.retain(|lock| lock.kind != LockKind::Posix);
    }

    pub(super) fn is_held(&self, number: usize) -> bool {
        self.processes().flat_map(|process| process.objects.values()).any(|held| match held {
            Held::Descriptor(other) | Held::Mapping(other) | Held::InFlight(other) => *other == number,
            Held::Socket | Held::Watcher(_) => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, length: u64) -> LockRange {
        LockRange { start, length }
    }

    #[test]
    fn a_lock_is_split_around_another_of_its_owner() {
        let left = |old, new| rest(old, new).collect::<Vec<_>>();
        assert_eq!(left(range(0, 0), range(2, 1)), [range(0, 2), range(3, 0)]);
        assert_eq!(left(range(2, 4), range(0, 3)), [range(3, 3)]);
        assert_eq!(left(range(2, 4), range(4, 0)), [range(2, 2)]);
        assert_eq!(left(range(2, 4), range(8, 1)), [range(2, 4)]);
        assert_eq!(left(range(8, 2), range(0, 3)), [range(8, 2)]);
        assert_eq!(left(range(2, 4), range(0, 0)), []);
    }

    #[test]
    fn ranges_overlap_in_a_byte() {
        assert!(overlap(range(0, 3), range(2, 1)) && !overlap(range(0, 3), range(3, 1)));
        assert!(overlap(range(5, 0), range(9, 1)) && !overlap(range(5, 0), range(0, 5)));
    }
}
