//! Where the process runs, what is done to it, and what must be refused.

use vocabulary::Flavor;
use vocabulary::lifecycle::{Action, Input};

use super::facts::{Facts, path};
use super::{Axis, Point, Reason};
use crate::Step;
use crate::capability::Base;
use crate::program::MountAttribute;

pub(super) const FLAVOR: Axis = Axis {
    name: "Flavor",
    points: &[
        Point::flavor(Flavor::Host),
        Point::flavor(Flavor::Ns),
        Point::flavor(Flavor::Userns),
        Point::waits("nested mount namespaces", Reason::Missing("all processes are in one mount namespace")),
        Point::detached("read-only root", has_read_only_root),
        Point::detached("no /tmp", |facts| {
            facts.step(|step| matches!(step, Step::Rmdir { at } if path(at) == Some(b"tmp")))
        }),
        Point::waits("no capabilities", Reason::Flavor("no-capabilities")),
        Point::waits("laid out as a container", Reason::Flavor("container")),
    ],
};

pub(super) const LIFECYCLE: Axis = Axis {
    name: "Lifecycle",
    points: &[
        Point::lifecycle("dump and restore", |lifecycle| lifecycle.actions() == [Action::Dump, Action::Restore]),
        Point::lifecycle("three times over", |lifecycle| count(lifecycle.actions(), Action::Restore) >= 3),
        Point::lifecycle("two pre-dumps", |lifecycle| count(lifecycle.actions(), Action::PreDump) >= 2),
        Point::lifecycle("left running", |lifecycle| lifecycle.actions() == [Action::DumpLeaveRunning]),
        Point::lifecycle("left running, then dumped", |lifecycle| {
            lifecycle.actions().starts_with(&[Action::DumpLeaveRunning, Action::Dump])
        }),
        Point::lifecycle("left stopped", |lifecycle| lifecycle.actions().contains(&Action::DumpLeaveStopped)),
        Point::lifecycle("failed dump, then dumped", |lifecycle| {
            lifecycle.actions().starts_with(&[Action::FailedDump, Action::Dump])
        }),
        Point::lifecycle("disk full while dumping", |lifecycle| lifecycle.actions().contains(&Action::FailedDump)),
        Point::lifecycle("criu killed while dumping", |lifecycle| lifecycle.actions().contains(&Action::KilledDump)),
        Point::lifecycle("older mount engine", |lifecycle| lifecycle.actions().contains(&Action::CompatRestore)),
        Point::waits("reboot between dump and restore", Reason::Lifecycle("reboot")),
        Point::lifecycle("tree changed between dump and restore", |lifecycle| {
            lifecycle.actions().contains(&Action::Change)
        }),
        Point::waits("restored twice at once", Reason::Lifecycle("restored-twice")),
        Point::lifecycle("criu killed while restoring", |lifecycle| {
            lifecycle.actions().contains(&Action::KilledRestore)
        }),
        Point::lifecycle("RPC", |lifecycle| lifecycle.actions().contains(&Action::ServiceDump)),
        Point::lifecycle("page server", |lifecycle| lifecycle.actions().contains(&Action::PageServerDump)),
        Point::waits("image streamer", Reason::Lifecycle("image-streamer")),
    ],
};

pub(super) const CRIU: Axis = Axis {
    name: "Environment of CRIU",
    points: &[
        Point::lifecycle("standard input is a pipe", |lifecycle| lifecycle.input() == Input::Pipe),
        Point::lifecycle("standard input is a terminal", |lifecycle| lifecycle.input() == Input::Terminal),
        Point::lifecycle("standard input is closed", |lifecycle| lifecycle.input() == Input::Closed),
        Point::lifecycle("relative image folder", |lifecycle| has_relative(lifecycle.actions(), false)),
        Point::lifecycle("relative --action-script", |lifecycle| {
            lifecycle.actions().contains(&Action::RelativeScriptRestore)
        }),
        Point::lifecycle("criu's own working directory unchanged", |lifecycle| has_relative(lifecycle.actions(), true)),
        Point::lifecycle("relative --pidfile", |lifecycle| has_relative(lifecycle.actions(), true)),
        Point::lifecycle("failed restore, tried again", |lifecycle| {
            lifecycle.actions().contains(&Action::FailedRestore)
        }),
        Point::waits("two containers, one root filesystem", Reason::Lifecycle("two-containers")),
        Point::detached("decoy in the root", |facts| facts.any(|held, mount| facts.has_decoy_in_the_root(held, mount))),
        Point::detached("decoy below another mount's root", |facts| {
            facts.any(|held, mount| facts.has_decoy_on_a_mount(held, mount))
        }),
    ],
};

pub(super) const CONTROLS: Axis =
    Axis { name: "Controls", points: &[Point::restored("nothing detached", |facts| facts.has_base(Base::Visible))] };

pub(super) const REFUSED: Axis = Axis {
    name: "Refused",
    points: &[
        Point::refused("superblock visible nowhere else", |facts| {
            facts.any(|_, mount| mount.attributes_shown.is_empty())
        }),
        Point::waits(
            "no file handles, no help of the kernel",
            Reason::Missing(
                "overlays have none, and their files are found by events; a filesystem where those fail is missing",
            ),
        ),
        Point::refused("root of the mount not reachable", |facts| {
            facts.any(|_, mount| !mount.shown && !mount.attributes_shown.is_empty())
        }),
        Point::refused("made anew on another device (overlay)", |facts| {
            facts.any(|held, mount| mount.shown && mount.type_name == "overlay" && held.removed && held.lost)
        }),
        Point::refused("mount of another namespace", |facts| facts.outside(|held| held.lost)),
    ],
};

fn count(actions: &[Action], of: Action) -> usize {
    actions.iter().filter(|action| **action == of).count()
}

/// The caller names every path relatively; at the end of a restore it also finds where criu stands.
fn has_relative(actions: &[Action], restore: bool) -> bool {
    actions.iter().any(|action| action.is_relative() && (action.restores() || !restore))
}

fn has_read_only_root(facts: &Facts<'_>) -> bool {
    facts.step(|step| match step {
        Step::Remount { at, attributes, superblock: false } => {
            path(at) == Some(b".") && attributes.contains(&MountAttribute::Ro)
        }
        _ => false,
    })
}
