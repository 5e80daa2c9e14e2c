//! What one program is made of: a random part of all kinds of steps, filesystems and names.

use arbitrary::{Result, Unstructured};

use super::Limits;
use crate::program::Filesystem;

/// Every kind of step except assertions, by its verb, and how often it is chosen against the
/// others.
pub const KINDS: &[(&str, u32)] = &[
    ("mount", 6),
    ("mount-again", 3),
    ("overlay", 3),
    ("bind", 12),
    ("rbind", 4),
    ("move", 4),
    ("remount", 3),
    ("propagation", 5),
    ("umount", 3),
    ("umount-lazy", 8),
    ("pivot-root", 1),
    ("mkdir", 8),
    ("write", 10),
    ("append", 2),
    ("truncate", 2),
    ("symlink", 4),
    ("link", 5),
    ("rename", 7),
    ("unlink", 6),
    ("rmdir", 4),
    ("mkfifo", 2),
    ("mknod", 3),
    ("chmod", 1),
    ("chown", 1),
    ("setxattr", 2),
    ("touch", 1),
    ("subvolume", 4),
    ("snapshot", 5),
    ("delete-subvolume", 2),
    ("open", 20),
    ("dup", 3),
    ("memfd", 1),
    ("map", 3),
    ("socketpair", 1),
    ("peer", 1),
    ("send", 3),
    ("seek", 2),
    ("read", 2),
    ("write-to", 3),
    ("read-entries", 1),
    ("lock", 2),
    ("close", 3),
    ("chdir", 3),
    ("chroot", 2),
];

/// Names: plain ones first, then those that are often taken for something else.
pub(super) const NAMES: &[&[u8]] = &[
    b"a",
    b"b",
    b"d",
    b"f",
    b"g",
    b"n",
    b".f",
    b"..f",
    b"...",
    b"f (deleted)",
    b"two words",
    b"new\nline",
    b"\\040",
    b"//deleted",
    b"\xff\xfe",
    b"#9",
    "größe".as_bytes(),
];

/// So many of them are plain.
const PLAIN_NAMES: usize = 6;

/// So much more often comes what no two programs may do in one process, where it may come at all.
const SOLITARY: u32 = 6;

const MEMORY: &[Filesystem] = &[Filesystem::Tmpfs, Filesystem::Ramfs];
const KERNELS: &[Filesystem] = &[Filesystem::Proc, Filesystem::Sysfs, Filesystem::Devpts, Filesystem::Mqueue];
const DISKS: &[Filesystem] = &[Filesystem::Ext4, Filesystem::Xfs, Filesystem::Btrfs];

/// What a program may be made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swarm {
    kinds: Vec<(&'static str, u32)>,
    filesystems: Vec<Filesystem>,
    names: Vec<&'static [u8]>,
    pub(super) limits: Limits,
}

impl Swarm {
    /// Everything that the limits allow.
    pub fn all(limits: &Limits) -> Self {
        let mut filesystems = MEMORY.to_vec();
        if limits.disks {
            filesystems.extend(DISKS);
        }
        if limits.privileged {
            filesystems.extend(KERNELS);
        }
        filesystems.retain(|&filesystem| limits.without.allows(filesystem));
        if filesystems.is_empty() {
            // It is refused where it is used.
            filesystems.push(Filesystem::Tmpfs);
        }
        let names = if limits.without.odd_names() { &NAMES[..PLAIN_NAMES] } else { NAMES };
        let names = names.iter().flat_map(|name| name.split(|&byte| byte == b'/').filter(|part| !part.is_empty()));
        let fits = |kind: &str| match kind {
            "pivot-root" => limits.own_root,
            "mount-again" | "subvolume" | "snapshot" | "delete-subvolume" => limits.disks,
            "mknod" | "chown" | "map" | "setxattr" => limits.privileged,
            _ => true,
        };
        // A program that has a process to itself uses it.
        let weight = |kind: &str, weight| match kind {
            "chroot" | "chdir" | "pivot-root" if !limits.shares => SOLITARY * weight,
            _ => weight,
        };
        let kinds =
            KINDS.iter().filter(|(kind, _)| fits(kind)).map(|&(kind, often)| (kind, weight(kind, often))).collect();
        Swarm { kinds, filesystems, names: names.collect(), limits: *limits }
    }

    /// A random part of everything: about half of it, and never nothing.
    ///
    /// # Errors
    /// Errors of the byte source. Running out of bytes is not an error.
    pub fn draw(u: &mut Unstructured<'_>, limits: &Limits) -> Result<Self> {
        let mut swarm = Swarm::all(limits);
        draw(u, &mut swarm.kinds)?;
        draw(u, &mut swarm.filesystems)?;
        draw(u, &mut swarm.names)?;
        Ok(swarm)
    }

    /// Of these kinds of steps only, each as likely as the others.
    #[must_use]
    pub fn only(mut self, kinds: &[&str]) -> Self {
        self.kinds.retain(|(kind, _)| kinds.contains(kind));
        self.kinds.iter_mut().for_each(|(_, weight)| *weight = 1);
        self
    }

    pub(super) fn kind(&self, u: &mut Unstructured<'_>) -> Result<&'static str> {
        let sum: u32 = self.kinds.iter().map(|(_, weight)| weight).sum();
        let mut at = u.int_in_range(0..=sum.max(1) - 1)?;
        for (kind, weight) in &self.kinds {
            if at < *weight {
                return Ok(kind);
            }
            at -= weight;
        }
        Ok("open")
    }

    pub(super) fn filesystem(&self, u: &mut Unstructured<'_>) -> Result<Filesystem> {
        // tmpfs is where nothing is in the way.
        if u.ratio(1, 3)? && self.limits.without.allows(Filesystem::Tmpfs) {
            Ok(Filesystem::Tmpfs)
        } else {
            u.choose(&self.filesystems).copied()
        }
    }

    pub(super) fn name(&self, u: &mut Unstructured<'_>) -> Result<&'static [u8]> {
        u.choose(&self.names).copied()
    }
}

fn draw<T: Clone>(u: &mut Unstructured<'_>, all: &mut Vec<T>) -> Result<()> {
    let first = all[0].clone();
    let mut kept = Vec::new();
    for one in all.drain(..) {
        if u.arbitrary()? {
            kept.push(one);
        }
    }
    if kept.is_empty() {
        kept.push(first);
    }
    *all = kept;
    Ok(())
}
