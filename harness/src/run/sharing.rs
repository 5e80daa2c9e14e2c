//! How many programs fit into one process: those of which every step
//! [may be shared](scenarios::sharing), as long as there are disks and descriptors.

use scenarios::program::Place;
use scenarios::sharing::is_shareable;
use scenarios::{Bytes, Program, Step};

/// What programs that share a process need together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Block devices.
    pub disks: usize,
    /// Descriptors, at most.
    pub descriptors: usize,
    /// The program has mounts on other mounts of its own.
    pub nested: bool,
}

/// What programs that share a process may take together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Block devices.
    pub disks: usize,
    /// Programs with mounts on their own mounts are let in.
    pub nested: bool,
}

/// The executor's own descriptors are behind these.
const DESCRIPTORS: usize = 800;

impl Needs {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Needs) -> Needs {
        Needs {
            disks: self.disks + other.disks,
            descriptors: self.descriptors + other.descriptors,
            nested: self.nested || other.nested,
        }
    }

    /// Whether the capacity suffices.
    pub fn fit(self, capacity: Capacity) -> bool {
        self.disks <= capacity.disks && self.descriptors <= DESCRIPTORS && (capacity.nested || !self.nested)
    }
}

/// What a program needs that may share a process; none for one that must be alone.
pub fn needs(program: &Program) -> Option<Needs> {
    let mut needs = Needs::default();
    let mut mount_points: Vec<&Place> = Vec::new();
    for line in &program.steps {
        if !is_shareable(&line.step) {
            return None;
        }
        needs = needs.and(of_step(&line.step));
        if let Some(at) = mount_point(&line.step) {
            needs.nested |= mount_points.iter().any(|point| at.base.is_some() || is_below(&point.path, &at.path));
            mount_points.push(at);
        }
    }
    Some(needs)
}

fn of_step(step: &Step) -> Needs {
    let mut needs = Needs::default();
    match step {
        Step::Mount { filesystem, .. } if filesystem.needs_disk() => needs.disks = 1,
        Step::Open { .. } | Step::Dup { .. } | Step::Memfd { .. } | Step::OpenTree { .. } | Step::NewTree { .. } => {
            needs.descriptors = 1;
        }
        Step::Socketpair { .. } => needs.descriptors = 2,
        _ => {}
    }
    needs
}

/// Where a step puts a mount.
fn mount_point(step: &Step) -> Option<&Place> {
    match step {
        Step::Mount { at, .. } | Step::MountAgain { at, .. } | Step::Overlay { at, .. } => Some(at),
        Step::Bind { to, .. } | Step::Move { to, .. } => Some(to),
        _ => None,
    }
}

fn is_below(above: &Bytes, path: &Bytes) -> bool {
    path.0.strip_prefix(above.as_slice()).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<Needs> {
        needs(&scenarios::text::program(text).expect("a good program"))
    }

    #[test]
    fn what_stays_below_its_top_directory_may_share() {
        let trees = Needs { descriptors: 2, ..Needs::default() };
        assert_eq!(of("mount tmpfs a\none = open-tree a\ntwo = fsmount tmpfs\n"), Some(trees));
        let text = "mount ext4 a\nmkdir a/d\nwrite a/d/f \"x\"\nbind a/d b\nfd0 = open b/f rdwr\nlock fd0 flock write\n\
                    umount-lazy b\nassert fd0 detached\n";
        assert_eq!(of(text), Some(Needs { disks: 1, descriptors: 1, ..Needs::default() }));
    }

    #[test]
    fn what_a_process_has_once_is_not_shared() {
        let head = "mount tmpfs a\nmkdir a/d\nwrite a/f \"x\"\nfd0 = open a/f rdwr\n";
        assert!(of(head).is_some());
        for line in [
            "chdir a",
            "chroot a",
            "lock fd0 posix write",
            "lock fd0 lease read",
            "mount proc p",
            "mount sysfs p",
            "mount mqueue p",
            "symlink \"/a/f\" l",
            "symlink \"../../f\" a/d/l",
            "mkdir tmp/x",
            "mkdir proc/x",
            "mkdir dev",
            "mkdir a/../b",
            "assert cwd visible",
        ] {
            assert_eq!(of(&format!("{head}{line}\n")), None, "{line}");
        }
    }

    #[test]
    fn mounts_on_mounts_are_reported() {
        let nested = |text: &str| of(text).expect("it may share").nested;
        assert!(nested("mount tmpfs a\nmount tmpfs a/m\n"));
        assert!(nested("mount tmpfs a\nbind a a\n"));
        assert!(!nested("mount tmpfs a\nbind a ab\n"));
    }

    #[test]
    fn there_is_room_for_so_much() {
        let capacity = Capacity { disks: 6, nested: false };
        let disks = |disks| Needs { disks, ..Needs::default() };
        assert!(disks(3).and(disks(3)).fit(capacity) && !disks(7).fit(capacity));
        assert!(!Needs { nested: true, ..Needs::default() }.fit(capacity));
    }
}
