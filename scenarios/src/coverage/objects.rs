//! What is held on the detached mount, and in which state.

use super::facts::Facts;
use super::{Axis, Point, Reason};
use crate::Step;
use crate::capability::Capability;
use crate::model::{HeldFile, Holder};
use crate::program::{LockKind, LockRange, Mark, ObjectName, OpenFlag};
use vocabulary::object::FileKind;

pub(super) const OBJECT: Axis = Axis {
    name: "Object",
    points: &[
        Point::detached("regular file, read-only", |facts| has_file(facts, Access::Read)),
        Point::detached("regular file, write-only", |facts| has_file(facts, Access::Write)),
        Point::detached("regular file, read-write", |facts| has_file(facts, Access::Both)),
        Point::detached("directory", |facts| facts.is_open(FileKind::Directory)),
        Point::detached("O_PATH of a file", |facts| has_path_only(facts, FileKind::File)),
        Point::detached("O_PATH of a directory", |facts| has_path_only(facts, FileKind::Directory)),
        Point::detached("O_PATH of a symbolic link", |facts| has_path_only(facts, FileKind::Symlink)),
        Point::detached("named pipe", |facts| facts.is_open(FileKind::Fifo)),
        Point::detached("socket file, by O_PATH", |facts| has_path_only(facts, FileKind::Socket)),
        Point::waits("bound Unix socket", Reason::Step("bind-socket")),
        Point::detached("character device", |facts| facts.is_open(FileKind::CharDevice)),
        Point::detached("block device", |facts| facts.any(|held, _| held.kind == FileKind::BlockDevice)),
        Point::detached("working directory", |facts| is_held(facts, Holder::WorkingDirectory)),
        Point::detached("root", |facts| is_held(facts, Holder::Root)),
        Point::restored("executable", |facts| facts.trace.model.is_executable_detached())
            .without(Reason::NoScenario("the model counts it neither as restorable nor as one that must be refused")),
        Point::detached("private mapping", |facts| has_mapping(facts, false)),
        Point::detached("shared mapping", |facts| has_mapping(facts, true)),
        Point::detached("mapping, descriptor closed", |facts| {
            facts.any(|map, _| {
                let open = |held: &HeldFile| held.description == map.description && held.holder == Holder::Descriptor;
                map.holder == Holder::Mapping && !facts.any(|held, _| open(held))
            })
        }),
        Point::detached("mapping of a deleted file", |facts| {
            facts.any(|held, _| held.holder == Holder::Mapping && held.removed)
        }),
        Point::detached("half-read directory", |facts| facts.has(Capability::HalfReadDirectory)),
        Point::detached("memfd beside", |facts| facts.has(Capability::Memfd)),
        Point::detached("O_TMPFILE", |facts| facts.has(Capability::Tmpfile)),
        Point::detached("descriptor of a mount", |facts| facts.has(Capability::OpenTree)),
        Point::detached("descriptor of a namespace", |_| false)
            .without(Reason::Missing("the model knows no file of proc, and no step opens a namespace")),
        Point::waits("pidfd", Reason::Step("pidfd")),
    ],
};

pub(super) const STATE: Axis = Axis {
    name: "Flags and state",
    points: &[
        Point::detached("O_APPEND", |facts| facts.opened_with(OpenFlag::Append)),
        Point::detached("O_NONBLOCK", |facts| facts.opened_with(OpenFlag::Nonblock)),
        Point::detached("O_DIRECT", |facts| facts.opened_with(OpenFlag::Direct)),
        Point::detached("O_SYNC", |facts| facts.opened_with(OpenFlag::Sync)),
        Point::detached("O_NOATIME", |facts| facts.opened_with(OpenFlag::Noatime)),
        Point::detached("O_CLOEXEC", |facts| facts.has(Capability::Cloexec)),
        Point::detached("position past the end", |facts| facts.any(|held, _| held.past_the_end)),
        Point::detached("sparse", |facts| facts.has(Capability::Sparse)),
        Point::detached("POSIX lock", |facts| is_locked(facts, |lock| lock.kind == LockKind::Posix)),
        Point::detached("OFD lock", |facts| is_locked(facts, |lock| lock.kind == LockKind::Ofd)),
        Point::detached("flock", |facts| is_locked(facts, |lock| lock.kind == LockKind::Flock)),
        Point::detached("lease", |facts| is_locked(facts, |lock| lock.kind == LockKind::Lease)),
        Point::detached("read lock", |facts| is_locked(facts, |lock| !lock.write)),
        Point::detached("lock of a range", |facts| is_locked(facts, |lock| lock.range != LockRange::default())),
        Point::detached("seals", |facts| facts.step(|step| matches!(step, Step::Seal { .. }))),
        Point::detached("F_SETOWN", |facts| is_signalled(facts, |step| matches!(step, Step::SetOwner { .. }))),
        Point::detached("F_SETSIG", |facts| {
            is_signalled(facts, |step| matches!(step, Step::SetSignal { signal, .. } if *signal > 0))
        }),
        Point::detached("inotify watch", |facts| is_watched(facts, None)),
        Point::detached("fanotify mark on an inode", |facts| is_watched(facts, Some(Mark::Inode))),
        Point::detached("fanotify mark on a mount", |facts| is_watched(facts, Some(Mark::Mount))),
        Point::detached("fanotify mark on a filesystem", |facts| is_watched(facts, Some(Mark::Filesystem))),
        Point::detached("in an epoll set", |facts| {
            facts.trace.model.polled_objects().any(|object| facts.any(|held, _| held.name == object.0))
        }),
    ],
};

/// The access mode of a description.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
    Both,
}

fn access(flags: &[OpenFlag]) -> Access {
    if flags.contains(&OpenFlag::Rdwr) {
        Access::Both
    } else if flags.contains(&OpenFlag::Wronly) {
        Access::Write
    } else {
        Access::Read
    }
}

fn has_file(facts: &Facts<'_>, wanted: Access) -> bool {
    let is_file = |held: &HeldFile| held.kind == FileKind::File && held.holder == Holder::Descriptor && !held.path_only;
    facts.any(|held, _| is_file(held) && access(facts.flags_of(held)) == wanted)
}

fn has_path_only(facts: &Facts<'_>, kind: FileKind) -> bool {
    facts.any(|held, _| held.path_only && held.kind == kind)
}

fn is_held(facts: &Facts<'_>, holder: Holder) -> bool {
    facts.any(|held, _| held.holder == holder)
}

fn has_mapping(facts: &Facts<'_>, wanted: bool) -> bool {
    let maps = |step: &Step| match step {
        Step::Map { name: ObjectName(name), shared, .. } => {
            *shared == wanted && facts.any(|held, _| held.holder == Holder::Mapping && held.name == *name)
        }
        _ => false,
    };
    facts.step(maps)
}

fn is_signalled(facts: &Facts<'_>, is_it: impl Fn(&Step) -> bool) -> bool {
    let is_detached = |step: &Step| match step {
        Step::SetOwner { object } | Step::SetSignal { object, .. } => facts.any(|held, _| held.name == object.0),
        _ => false,
    };
    facts.step(|step| is_it(step) && is_detached(step))
}

/// Whether a file that is held on a detached mount is watched, or that mount is.
fn is_watched(facts: &Facts<'_>, wanted: Option<Mark>) -> bool {
    facts.trace.model.watched_files().any(|(mark, file, mount)| {
        mark == wanted
            && facts.any(|held, _| if mark == Some(Mark::Mount) { held.mount == mount } else { held.file == file })
    })
}

/// What `lock` asks for.
struct Lock {
    kind: LockKind,
    write: bool,
    range: LockRange,
}

fn is_locked(facts: &Facts<'_>, is_it: impl Fn(Lock) -> bool) -> bool {
    let locks = |step: &Step| match *step {
        Step::Lock { ref object, kind, write, range } => {
            is_it(Lock { kind, write, range }) && facts.any(|held, _| held.locked && held.name == object.0)
        }
        _ => false,
    };
    facts.step(locks)
}
