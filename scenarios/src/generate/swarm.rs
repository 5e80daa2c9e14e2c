//! What one program is made of: a random part of all kinds of steps, filesystems and names.

use arbitrary::{Result, Unstructured};

use super::Limits;
use crate::grammar::StepKind;
use crate::program::Filesystem;

/// Every kind of step that programs are made of: all but assertions, which come at the end.
pub fn kinds() -> impl Iterator<Item = StepKind> + Clone {
    StepKind::ALL.iter().copied().filter(|kind| *kind != StepKind::Assert)
}

/// What a kind of step needs of the machine.
#[derive(Clone, Copy)]
enum Need {
    Nothing,
    Disks,
    OwnRoot,
    Privileges,
}

/// How often a kind is chosen against the others, and what it needs.
fn share_of(kind: StepKind) -> (u32, Need) {
    use Need as N;
    use StepKind as K;
    match kind {
        K::Mount => (6, N::Nothing),
        K::MountAgain => (3, N::Disks),
        K::Overlay => (3, N::Nothing),
        K::Bind => (12, N::Nothing),
        K::Rbind => (4, N::Nothing),
        K::Move => (4, N::Nothing),
        K::Remount => (3, N::Nothing),
        K::Propagate => (5, N::Nothing),
        K::Unmount => (3, N::Nothing),
        K::UnmountLazy => (8, N::Nothing),
        K::PivotRoot => (1, N::OwnRoot),
        K::UnshareMounts => (1, N::OwnRoot),
        K::External => (1, N::OwnRoot),
        K::Exec => (1, N::Nothing),
        K::OpenTree => (4, N::Nothing),
        K::NewTree => (1, N::Nothing),
        K::Fork => (1, N::Nothing),
        K::As => (3, N::Nothing),
        K::Exit => (1, N::Nothing),
        K::Mkdir => (8, N::Nothing),
        K::Write => (10, N::Nothing),
        K::Append => (2, N::Nothing),
        K::Truncate => (2, N::Nothing),
        K::Symlink => (4, N::Nothing),
        K::Link => (5, N::Nothing),
        K::Rename => (7, N::Nothing),
        K::Unlink => (6, N::Nothing),
        K::Rmdir => (4, N::Nothing),
        K::Mkfifo => (2, N::Nothing),
        K::Mksocket => (1, N::Nothing),
        K::Mknod => (3, N::Privileges),
        K::Chmod => (1, N::Nothing),
        K::Chown => (1, N::Privileges),
        K::Setxattr => (2, N::Privileges),
        K::Touch => (1, N::Nothing),
        K::Subvolume => (4, N::Disks),
        K::Snapshot => (5, N::Disks),
        K::DeleteSubvolume => (2, N::Disks),
        K::Open => (20, N::Nothing),
        K::Dup => (3, N::Nothing),
        K::Memfd => (1, N::Nothing),
        K::Map => (3, N::Privileges),
        K::Socketpair => (1, N::Nothing),
        K::Peer => (1, N::Nothing),
        K::Send => (3, N::Nothing),
        K::Receive => (2, N::Nothing),
        K::Seek => (2, N::Nothing),
        K::Read => (2, N::Nothing),
        K::WriteTo => (3, N::Nothing),
        K::ReadEntries => (1, N::Nothing),
        K::Lock => (2, N::Nothing),
        K::Seal => (1, N::Nothing),
        K::SetOwner => (1, N::Nothing),
        K::SetSignal => (1, N::Nothing),
        K::Epoll => (1, N::Nothing),
        K::Inotify => (1, N::Nothing),
        K::Fanotify => (1, N::Privileges),
        K::Close => (3, N::Nothing),
        K::Chdir => (3, N::Nothing),
        K::Chroot => (2, N::Nothing),
        K::Assert => (0, N::Nothing),
    }
}

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
const KERNELS: &[Filesystem] = &[
    Filesystem::Proc,
    Filesystem::Sysfs,
    Filesystem::Devpts,
    Filesystem::Mqueue,
    Filesystem::Devtmpfs,
    Filesystem::Hugetlbfs,
    Filesystem::Cgroup2,
];
/// Little can be done on these: few programs have them.
const RARE: &[Filesystem] = &[
    Filesystem::Devtmpfs,
    Filesystem::Hugetlbfs,
    Filesystem::Cgroup2,
    Filesystem::Squashfs,
    Filesystem::Erofs,
    Filesystem::Vfat,
];
const DISKS: &[Filesystem] =
    &[Filesystem::Ext4, Filesystem::Xfs, Filesystem::Btrfs, Filesystem::Squashfs, Filesystem::Erofs, Filesystem::Vfat];

/// What a program may be made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swarm {
    kinds: Vec<(StepKind, u32)>,
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
        let has = |need| match need {
            Need::Nothing => true,
            Need::Disks => limits.disks,
            Need::OwnRoot => limits.own_root,
            Need::Privileges => limits.privileged,
        };
        let kinds = kinds().filter_map(|kind| {
            let (weight, need) = share_of(kind);
            // A program that has a process to itself uses it.
            use StepKind::{Chdir, Chroot, Exec, External, PivotRoot, UnshareMounts};
            let alone = matches!(kind, Chroot | Chdir | PivotRoot | UnshareMounts | External | Exec);
            let solitary = alone && !limits.shares;
            has(need).then_some((kind, if solitary { SOLITARY * weight } else { weight }))
        });
        Swarm { kinds: kinds.collect(), filesystems, names: names.collect(), limits: *limits }
    }

    /// A random part of everything: about half of it, and never nothing.
    ///
    /// # Errors
    /// Errors of the byte source. Running out of bytes is not an error.
    pub fn draw(u: &mut Unstructured<'_>, limits: &Limits) -> Result<Self> {
        let mut swarm = Swarm::all(limits);
        draw(u, &mut swarm.kinds)?;
        if !u.ratio(1, 8)? && swarm.filesystems.iter().any(|filesystem| !RARE.contains(filesystem)) {
            swarm.filesystems.retain(|filesystem| !RARE.contains(filesystem));
        }
        draw(u, &mut swarm.filesystems)?;
        draw(u, &mut swarm.names)?;
        Ok(swarm)
    }

    /// Of these kinds of steps only, each as likely as the others.
    #[must_use]
    pub fn only(mut self, kinds: &[StepKind]) -> Self {
        self.kinds.retain(|(kind, _)| kinds.contains(kind));
        self.kinds.iter_mut().for_each(|(_, weight)| *weight = 1);
        self
    }

    pub(super) fn kind(&self, u: &mut Unstructured<'_>) -> Result<StepKind> {
        let sum: u32 = self.kinds.iter().map(|(_, weight)| weight).sum();
        let mut at = u.int_in_range(0..=sum.max(1) - 1)?;
        for (kind, weight) in &self.kinds {
            if at < *weight {
                return Ok(*kind);
            }
            at -= weight;
        }
        Ok(StepKind::Open)
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
