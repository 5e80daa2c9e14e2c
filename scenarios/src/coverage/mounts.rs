//! The mount that is detached, its properties, and mounts of another namespace.

use super::facts::{Facts, path};
use super::{Axis, Point, Reason};
use crate::Step;
use crate::capability::{Base, Capability};
use crate::model::{Holder, RootKind};
use crate::program::{MountAttribute, Place, Propagation};
use vocabulary::object::FileKind;

pub(super) const MOUNT: Axis = Axis {
    name: "Mount",
    points: &[
        Point::refused("the filesystem's only mount (refused)", |facts| {
            facts.any(|_, mount| mount.root == RootKind::Superblock && mount.attributes_shown.is_empty())
        }),
        Point::detached("second mount of the device", |facts| facts.has_base(Base::Again)),
        Point::detached("bind of the whole", |facts| facts.has_base(Base::Whole)),
        Point::detached("bind of a subdirectory", |facts| facts.has_base(Base::Subdir)),
        Point::detached("bind of a single file", |facts| facts.has_base(Base::File)),
        Point::refused("bind of what nothing else shows (refused)", |facts| {
            facts.any(|_, mount| mount.root == RootKind::Directory && !mount.shown)
        }),
        Point::detached("with child mounts", |facts| facts.any(|_, mount| facts.children(mount).next().is_some())),
        Point::detached("covered names show through", |facts| {
            facts.any(|held, mount| {
                held.kind == FileKind::Directory && facts.children(mount).any(|child| facts.covers_names(child))
            })
        }),
        Point::detached("child of a mount that stays", |facts| facts.any(|_, mount| facts.parent_stays(mount))),
        Point::detached("over-mounted, or over another", |facts| facts.has(Capability::OverMount)),
        Point::detached("moved first", |facts| facts.has(Capability::Moved)),
        Point::detached("opened through a detached directory", is_opened_through_a_detached_directory),
        Point::detached("mount point renamed", |facts| point_changed(facts, |at, step| renames(step, at))),
        Point::detached("mount point removed", |facts| {
            point_changed(facts, |at, step| matches!(step, Step::Rmdir { at: other } if other == at))
        }),
        Point::detached("mount point replaced by a namesake", |facts| {
            point_changed(facts, |at, step| renames(step, at))
                && point_changed(facts, |at, step| matches!(step, Step::Mkdir { at: other } if other == at))
        }),
        Point::detached("old root after pivot_root", |facts| {
            facts.step_then(|step| matches!(step, Step::PivotRoot { .. }), |_, step| is_lazy(step))
        }),
        Point::detached("open_tree(), never attached", |facts| {
            facts.step(|step| matches!(step, Step::OpenTree { .. }))
        }),
        Point::detached("fsmount()", |facts| facts.step(|step| matches!(step, Step::NewTree { .. }))),
        Point::detached("connected subtree", |_| false)
            .without(Reason::Missing("kernels differ, so the model does not know what a process sees")),
        Point::detached("of a mount namespace that is gone", |facts| leaves_namespace(facts, false)),
        Point::restored("of a mount namespace that lives", |facts| {
            facts.outside(|_| true) && leaves_namespace(facts, true)
        }),
        Point::detached("detached by propagation from a peer", |facts| {
            is_propagated(facts) && !has(facts, Propagation::Slave)
        }),
        Point::detached("detached by propagation from a master", |facts| {
            is_propagated(facts) && has(facts, Propagation::Slave)
        }),
    ],
};

pub(super) const PROPERTY: Axis = Axis {
    name: "Mount property",
    points: &[
        Point::detached("ro", |facts| facts.has_attribute(MountAttribute::Ro)),
        Point::detached("nosuid", |facts| facts.has_attribute(MountAttribute::Nosuid)),
        Point::detached("nodev", |facts| facts.has_attribute(MountAttribute::Nodev)),
        Point::detached("noexec", |facts| facts.has_attribute(MountAttribute::Noexec)),
        Point::detached("noatime", |facts| facts.has_attribute(MountAttribute::Noatime)),
        Point::detached("strictatime", |facts| facts.has_attribute(MountAttribute::Strictatime)),
        Point::detached("nodiratime", |facts| facts.has_attribute(MountAttribute::Nodiratime)),
        Point::detached("nosymfollow", |facts| facts.has_attribute(MountAttribute::Nosymfollow)),
        Point::detached("relatime, beside another policy", |facts| {
            facts.has(Capability::Attributes) && facts.any(|_, mount| mount.attributes.is_empty())
        }),
        Point::detached("read-only superblock of an overlay", |facts| {
            facts.any(|_, mount| mount.read_only_superblock && mount.type_name == "overlay")
        }),
        Point::detached("read-only superblock of a disk", |facts| {
            facts.any(|_, mount| mount.read_only_superblock && mount.type_name != "overlay")
                && facts.step(|step| matches!(step, Step::Remount { superblock: true, .. }))
        }),
        Point::detached("shared", |facts| has(facts, Propagation::Shared)),
        Point::detached("slave", |facts| has(facts, Propagation::Slave)),
        Point::detached("slave and shared", |facts| facts.step_then(is_slave, makes_it_shared)),
        Point::detached("private", |facts| !facts.step(|step| matches!(step, Step::Propagate { .. }))),
        Point::detached("unbindable", |facts| has(facts, Propagation::Unbindable)),
        Point::waits("id-mapped", Reason::Step("mount-setattr")),
        Point::waits("locked (through a user namespace)", Reason::Step("unshare-user")),
    ],
};

pub(super) const OUTSIDE: Axis = Axis {
    name: "Outside",
    points: &[
        Point::restored("file", |facts| facts.outside(|held| held.kind == FileKind::File)),
        Point::restored("directory", |facts| facts.outside(|held| held.kind == FileKind::Directory)),
        Point::restored("O_PATH descriptor", |facts| facts.outside(|held| held.path_only)),
        Point::restored("named pipe", |facts| facts.outside(|held| held.kind == FileKind::Fifo)),
        Point::restored("device (/dev/null of the host)", |facts| {
            facts.outside(|held| held.kind == FileKind::CharDevice)
        }),
        Point::restored("two descriptors of one description", |facts| {
            facts.outside(|held| held.holder == Holder::Descriptor) && facts.has(Capability::Dup)
        }),
        Point::restored("two descriptions of one file", |facts| {
            facts.outside(|_| true) && facts.has(Capability::OpenedTwice)
        }),
        Point::restored("file offset and flags", |facts| facts.outside(|held| held.moved_offset)),
        Point::restored("terminal", |_| false).without(Reason::Missing("a scenario has no terminal")),
        Point::refused("working directory (refused)", |facts| {
            facts.outside(|held| held.holder == Holder::WorkingDirectory)
        }),
        Point::refused("mapping (refused)", |facts| facts.outside(|held| held.holder == Holder::Mapping)),
        Point::refused("in a socket's queue (refused)", |facts| facts.outside(|held| held.holder == Holder::InFlight)),
        Point::restored("received over a socket", |facts| {
            facts.outside(|held| facts.trace.received.contains(&held.name))
        }),
        Point::restored("given, with a counterpart inside", |facts| facts.outside(|_| true) && !facts.step(is_unmount)),
        Point::restored("given, without a counterpart", |facts| facts.outside(|_| true) && facts.step(is_unmount)),
        Point::restored("a decoy at the same path inside", |facts| {
            facts.outside(|held| is_another_inside(facts, &held.names))
        }),
        Point::restored("beside something detached", |facts| facts.outside(|_| true) && facts.is_detached()),
        Point::refused("not given by the caller (refused)", |facts| {
            facts.outside(|held| held.lost) && !facts.step(|step| matches!(step, Step::External { .. }))
        }),
        Point::refused("the name is gone or taken (refused)", |facts| facts.outside(|held| held.removed)),
    ],
};

fn is_unmount(step: &Step) -> bool {
    matches!(step, Step::Unmount { .. })
}

/// Whether a name is written once more after the process left its namespace.
fn is_another_inside(facts: &Facts<'_>, names: &[Vec<u8>]) -> bool {
    let name = names.last().map(Vec::as_slice).unwrap_or_default();
    facts.step_then(
        |step| matches!(step, Step::UnshareMounts { keep_old: true }),
        |_, step| matches!(step, Step::Write { at, .. } if super::facts::last_name(at) == name),
    )
}

fn is_lazy(step: &Step) -> bool {
    matches!(step, Step::Unmount { lazy: true, .. })
}

/// A descriptor is opened through another one after the mount of both was detached.
fn is_opened_through_a_detached_directory(facts: &Facts<'_>) -> bool {
    let opens = |step: &Step| match step {
        Step::Open { name, at: Place { base: Some(base), .. }, .. } => facts
            .any(|one, _| one.name == name.0 && facts.any(|other, _| other.name == base.0 && other.mount == one.mount)),
        _ => false,
    };
    facts.step_then(|step| is_lazy(step) || matches!(step, Step::UnshareMounts { .. }), |_, step| opens(step))
}

/// Such a step on the mount point, after the lazy unmount.
fn point_changed(facts: &Facts<'_>, changes: impl Fn(&Place, &Step) -> bool) -> bool {
    let is_it = |unmount: &Step, step: &Step| match unmount {
        Step::Unmount { at, .. } => changes(at, step),
        _ => false,
    };
    facts.has(Capability::MountPointChanged) && facts.step_then(is_lazy, is_it)
}

fn renames(step: &Step, at: &Place) -> bool {
    matches!(step, Step::Rename { old, .. } if old == at)
}

fn leaves_namespace(facts: &Facts<'_>, lives: bool) -> bool {
    facts.step(|step| matches!(step, Step::UnshareMounts { keep_old } if *keep_old == lives))
}

fn is_propagated(facts: &Facts<'_>) -> bool {
    facts.any(|_, mount| facts.trace.standing(mount, &facts.mounts).by_propagation)
}

fn has(facts: &Facts<'_>, kind: Propagation) -> bool {
    facts.step(|step| matches!(step, Step::Propagate { kind: other, .. } if *other == kind))
}

fn is_slave(step: &Step) -> bool {
    matches!(step, Step::Propagate { kind: Propagation::Slave, .. })
}

/// A slave that is made shared afterwards is both.
fn makes_it_shared(slave: &Step, step: &Step) -> bool {
    match (slave, step) {
        (Step::Propagate { at, .. }, Step::Propagate { at: other, kind: Propagation::Shared, .. }) => {
            path(at).is_some() && at == other
        }
        _ => false,
    }
}
