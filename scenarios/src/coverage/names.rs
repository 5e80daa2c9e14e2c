//! The names of what is held, how it is shared, and where names lead from its directories.

use super::facts::{Facts, last_name};
use super::{Axis, Point, Reason};
use crate::Step;
use crate::capability::Capability;
use crate::model::{HeldFile, Holder};
use crate::program::Place;
use vocabulary::object::FileKind;

/// The longest path that a system call takes, in bytes, with the zero at its end (`PATH_MAX`).
const PATH_MAX: usize = 4096;

pub(super) const NAME: Axis = Axis {
    name: "Name",
    points: &[
        Point::detached("as opened", |facts| {
            facts.any(|held, _| !held.removed && facts.trace.first_names(held) == held.names)
        }),
        Point::detached("renamed since", |facts| facts.has(Capability::Renamed)),
        Point::detached("unlinked", |facts| facts.has(Capability::Deleted)),
        Point::detached("unlinked, link left in the mount", |facts| is_linked(facts, |held| held.names_inside > 0)),
        Point::detached("unlinked, link left outside the mount", |facts| {
            is_linked(facts, |held| held.names_inside < held.other_names)
        }),
        Point::detached("unlinked, link in another directory", |facts| {
            is_linked(facts, |held| held.names_beside < held.other_names)
        }),
        Point::detached("unlinked, name taken by a file", |facts| is_taken(facts, false)),
        Point::detached("unlinked, name taken by a directory", |facts| is_taken(facts, true)),
        Point::detached("parent removed", |facts| facts.has(Capability::RemovedParent)),
        Point::detached("all ancestors removed", |facts| {
            let removes = |step: &Step| matches!(step, Step::Rmdir { .. });
            facts.has(Capability::RemovedParent) && facts.step_then(removes, |_, step| removes(step))
        }),
        Point::detached("link made after the open", |facts| {
            facts.any(|held, _| held.other_names > 0)
                && facts
                    .step_then(|step| matches!(step, Step::Open { .. }), |_, step| matches!(step, Step::Link { .. }))
        }),
        Point::detached("ends in ` (deleted)`", |facts| facts.name(|name| name.ends_with(b" (deleted)"))),
        Point::detached("starts with a dot", |facts| {
            facts.name(|name| name.starts_with(b".") && !name.starts_with(b".."))
        }),
        Point::detached("starts with two dots", |facts| {
            facts.name(|name| name.starts_with(b"..") && !name.starts_with(b"..."))
        }),
        Point::detached("three dots", |facts| facts.name(|name| name == b"...")),
        Point::detached("space", |facts| {
            facts.name(|name| name.strip_suffix(b" (deleted)").unwrap_or(name).contains(&b' '))
        }),
        Point::detached("newline", |facts| facts.name(|name| name.contains(&b'\n'))),
        Point::detached("tab", |facts| facts.name(|name| name.contains(&b'\t'))),
        Point::detached("backslash", |facts| facts.name(|name| name.contains(&b'\\'))),
        Point::detached("the text \\040", |facts| facts.name(|name| name.windows(4).any(|text| text == b"\\040"))),
        Point::detached("not UTF-8", |facts| facts.name(|name| std::str::from_utf8(name).is_err())),
        Point::detached("255 bytes", |facts| facts.name(|name| name.len() == 255)),
        Point::detached("root of the bind removed (//deleted)", |facts| facts.any(|_, mount| mount.root_removed)),
        Point::detached("path longer than PATH_MAX", |facts| facts.any(|held, _| path_length(held) >= PATH_MAX)),
        Point::detached("through a symbolic link that changed", is_link_changed),
    ],
};

pub(super) const SHARING: Axis = Axis {
    name: "Sharing",
    points: &[
        Point::detached("two descriptors of one description", |facts| facts.has(Capability::Dup)),
        Point::detached("descriptors of two processes", |facts| facts.is_shared_by_processes(|_| true)),
        Point::detached("passed over a socket and received", |facts| {
            facts.any(|held, _| facts.trace.received.contains(&held.name))
        }),
        Point::detached("in flight", |facts| facts.has(Capability::InFlight)),
        Point::detached("two descriptions of one file", |facts| facts.has(Capability::OpenedTwice)),
        Point::detached("two objects on one detached mount", |facts| facts.has(Capability::SameMount)),
        Point::detached("two detached mounts of one superblock", |facts| facts.has(Capability::SecondMount)),
        Point::detached("one detached, one visible", |facts| facts.has(Capability::VisibleToo)),
        Point::waits("detached here, visible elsewhere", Reason::Missing("all processes are in one mount namespace")),
        Point::detached("cwd of one, descriptor of another", |facts| {
            facts.is_shared_by_processes(|one| one.holder == Holder::WorkingDirectory)
        }),
        Point::waits("thread with unshared CLONE_FS", Reason::Step("thread")),
        Point::waits("thread with unshared CLONE_FILES", Reason::Step("thread")),
        // It holds nothing any more: what it held, another process has.
        Point::detached("held by a zombie", |facts| {
            facts.any(|held, _| facts.trace.held_by_zombies.contains(&held.file))
        }),
    ],
};

pub(super) const RESOLUTION: Axis = Axis {
    name: "Resolution",
    points: &[
        Point::detached("down", |facts| facts.looks_up(|path| !has_dots(path))),
        Point::detached("up and out", |facts| facts.looks_up(has_dots)),
        Point::detached("relative symbolic link", |facts| has_symlink(facts, |target| !target.starts_with(b"/"))),
        Point::detached("absolute symbolic link", |facts| has_symlink(facts, |target| target.starts_with(b"/"))),
        Point::detached("across a covered mount point", |facts| {
            facts.looks_up(|_| true) && facts.any(|_, mount| facts.children(mount).next().is_some())
        }),
        Point::detached("into a subvolume", |facts| {
            facts.is_on("btrfs")
                && facts.looks_up(|path| !has_dots(path))
                && facts.step(|step| matches!(step, Step::Subvolume { .. }))
        }),
        Point::detached("into what was made since the detach", |facts| facts.has(Capability::MadeSince)),
        Point::detached("symbolic link to /proc/self/fd/N", |facts| {
            has_symlink(facts, |target| target.starts_with(b"/proc/self/fd/"))
        })
        .without(Reason::NoScenario("where it leads depends on who looks it up, the process or an observer")),
    ],
};

/// Removed, with another name left for which this is true.
fn is_linked(facts: &Facts<'_>, is_it: impl Fn(&HeldFile) -> bool) -> bool {
    facts.any(|held, _| held.removed && held.other_names > 0 && is_it(held))
}

fn is_taken(facts: &Facts<'_>, by_directory: bool) -> bool {
    let taken = |held: &HeldFile| facts.trace.model.leads_to(facts.trace.first_names(held), held);
    facts.any(|held, _| {
        let other = taken(held).filter(|file| *file != held.file);
        held.removed && other.is_some_and(|file| facts.trace.model.is_directory(file) == by_directory)
    })
}

fn path_length(held: &HeldFile) -> usize {
    held.names.iter().map(|name| name.len() + 1).sum()
}

/// A file is opened by a path with the name of a symbolic link in it, which is then removed.
fn is_link_changed(facts: &Facts<'_>) -> bool {
    let links: Vec<&Place> = facts
        .steps()
        .filter_map(|step| match step {
            Step::Symlink { at, .. } => Some(at),
            _ => None,
        })
        .collect();
    let is_below = |at: &Place, link: &Place| {
        let names: Vec<&[u8]> = at.path.as_slice().split(|byte| *byte == b'/').collect();
        names[..names.len() - 1].contains(&last_name(link))
    };
    let opens = |step: &Step, link: &Place| matches!(step, Step::Open { at, .. } if is_below(at, link));
    let removes = |step: &Step, link: &Place| match step {
        Step::Unlink { at } | Step::Rename { old: at, .. } => last_name(at) == last_name(link),
        _ => false,
    };
    links.iter().any(|link| facts.step_then(|step| opens(step, link), |_, step| removes(step, link)))
}

fn has_dots(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(|name| name == b"..")
}

/// There is a symbolic link with such a target below a directory on a detached mount.
fn has_symlink(facts: &Facts<'_>, is_it: impl Fn(&[u8]) -> bool) -> bool {
    let directory = |held: &HeldFile| held.kind == FileKind::Directory;
    facts.has(Capability::SymlinkResolution)
        && facts.any(|held, _| directory(held))
        && facts.step(|step| matches!(step, Step::Symlink { target, .. } if is_it(target.as_slice())))
}
