//! Which programs can be carried out side by side in one process, each below a top directory of its
//! own, so that each behaves as it would alone. Decided by looking at the steps; in doubt a program
//! runs alone, which is never wrong.
//!
//! What one process has only once (root, working directory, POSIX locks, signals of leases) no two
//! programs may use. What one kernel or namespace has only once (the superblock of `/proc`, of
//! queues) would show one program's mount to the other. And no path may lead out of the top
//! directory, or lead elsewhere there than in a root of its own.

use crate::grammar::{Item, StepParts, decompose};
use crate::program::{Filesystem, LockKind, Place};
use crate::{Bytes, Step};

/// Whether the step means below a top directory among others what it means alone.
pub fn is_shareable(step: &Step) -> bool {
    is_shareable_in_parts(step, &decompose(step))
}

/// The same for a step that is decomposed already.
pub(crate) fn is_shareable_in_parts(step: &Step, parts: &StepParts) -> bool {
    let kind = match step {
        Step::Chdir { .. } | Step::Chroot { .. } | Step::PivotRoot { .. } | Step::UnshareMounts { .. } | Step::Exec => {
            false
        }
        Step::Fork { .. } | Step::As { .. } | Step::Exit { .. } => false,
        // One superblock for all in a PID, network or IPC namespace.
        Step::Mount { filesystem, .. } => !matches!(
            filesystem,
            Filesystem::Proc | Filesystem::Sysfs | Filesystem::Mqueue | Filesystem::Devtmpfs | Filesystem::Cgroup2
        ),
        Step::Lock { kind, .. } => matches!(kind, LockKind::Ofd | LockKind::Flock),
        // It leads elsewhere from another depth.
        Step::Symlink { target, .. } => !target.0.starts_with(b"/") && !has(target, b".."),
        _ => true,
    };
    kind && parts.slots.iter().flatten().all(|item| match item {
        Item::Place(place) => stays_inside(place),
        Item::Object(name) => !matches!(name.0.as_str(), "cwd" | "root" | "exe"),
        _ => true,
    })
}

fn stays_inside(place: &Place) -> bool {
    let inside = !has(&place.path, b"..") && !has(&place.path, b".");
    let first = place.path.0.split(|&byte| byte == b'/').next().unwrap_or_default();
    // The top directory itself is a mount only for a program that is alone; the names are those of
    // a whole root.
    let ours = place.base.is_some() || ![b"" as &[u8], b"proc", b"tmp", b"dev", b".zdtm"].contains(&first);
    inside && ours
}

fn has(path: &Bytes, component: &[u8]) -> bool {
    path.0.split(|&byte| byte == b'/').any(|name| name == component)
}
