//! The mounts that files are opened on. Visible ones are there; detached ones are made again, in
//! one of two ways that must lead to the same: by open_tree(2), never attached anywhere, or by a
//! bind that is lazily unmounted.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use protocol::Fault;
use protocol::message::DetachMethod;
use protocol::observation::{FileKind, Mount};
use rustix::mount::{OpenTreeFlags, open_tree};
use scenarios::Bytes;

use super::super::checkpoint::{Checkpoint, DetachedMount, FileImage, MountImage, NameImage, TreeImage};
use super::super::private_mount_ns::{PrivateMountNs, PrivateMountNsCache, RootPath, look_at};
use super::super::table::{Table, below, join, split};
use super::{Failure, Options, at, wrong};
use crate::external::FIRST_INHERITED;
use crate::sys::{self, MountAttr, set_apart};

const MOUNT_ATTR_RDONLY: u64 = 0x1;
const MOUNT_ATTR_NOSUID: u64 = 0x2;
/// `MOUNT_ATTR__ATIME`: a field, not a bit.
const MOUNT_ATTR_ATIME_FIELD: u64 = 0x70;
const MOUNT_ATTR_ALL: u64 = 0xf | MOUNT_ATTR_ATIME_FIELD | 0x80 | 0x20_0000;
/// `MOUNT_ATTR_*` bits and the flag of mount(2) for each.
const FLAGS: &[(u64, libc::c_ulong)] = &[
    (0x1, libc::MS_RDONLY),
    (0x2, libc::MS_NOSUID),
    (0x4, libc::MS_NODEV),
    (0x8, libc::MS_NOEXEC),
    (0x10, libc::MS_NOATIME),
    (0x20, libc::MS_STRICTATIME),
    (0x80, libc::MS_NODIRATIME),
    // MS_NOSYMFOLLOW
    (0x20_0000, 256),
];

/// Where the files of one mount are opened: a directory (or the one file) and a path in front of
/// theirs.
#[derive(Debug)]
pub(super) struct Opener {
    /// `O_PATH`.
    pub(super) root: OwnedFd,
    /// Goes before the path of each file.
    pub(super) prefix: Bytes,
    /// Where the root of the mount has a path.
    pub(super) path: Option<RootPath>,
}

impl Opener {
    pub(super) fn new(root: OwnedFd, prefix: Bytes) -> Self {
        Opener { root, prefix, path: None }
    }
}

/// What the steps of a restore share: the checkpoint, its mounts, and where files are opened.
pub(super) struct RestoreContext<'a> {
    pub(super) checkpoint: &'a Checkpoint,
    pub(super) options: Options,
    pub(super) proc: BorrowedFd<'a>,
    pub(super) table: Table,
    private_namespaces: PrivateMountNsCache,
    /// For each mount of the checkpoint, once it is made; the kernel's own has none.
    openers: Vec<OnceCell<Opener>>,
    /// Where files of another namespace are opened, by their indices: this process inherited the
    /// directories from the one who restores.
    inherited: BTreeMap<usize, Opener>,
    /// For each visible mount that names are put back through: its root, writable, with nothing on
    /// it.
    writable_roots: BTreeMap<u64, OwnedFd>,
}

/// The files of another namespace that the checkpoint has, in the order in which they were given.
fn inherited(checkpoint: &Checkpoint, options: Options) -> io::Result<BTreeMap<usize, Opener>> {
    let opener = |((index, file), number): ((usize, &FileImage), i32)| {
        let given = sys::adopt(number)?;
        let directory = if options.fault == Some(Fault::OpenedInside) { wrong::inside(file)? } else { given };
        Ok((index, Opener::new(directory, Bytes::default())))
    };
    checkpoint.inherited().zip(FIRST_INHERITED..).map(opener).collect()
}

impl<'a> RestoreContext<'a> {
    /// Makes every mount of the checkpoint but those whose root has to be put back first.
    pub(super) fn build(checkpoint: &'a Checkpoint, options: Options, proc: BorrowedFd<'a>) -> Result<Self, Failure> {
        let table = Table::own(proc).map_err(at("the mount table"))?;
        let openers = checkpoint.mounts.iter().map(|_| OnceCell::new()).collect();
        let (private_namespaces, writable_roots) = (PrivateMountNsCache::default(), BTreeMap::new());
        let inherited = inherited(checkpoint, options).map_err(at("a file of another namespace"))?;
        let mut context =
            RestoreContext { checkpoint, options, proc, table, private_namespaces, openers, inherited, writable_roots };
        for (index, mount) in checkpoint.mounts.iter().enumerate() {
            if !matches!(mount, MountImage::Detached(DetachedMount { removed_root: Some(_), .. })) {
                context.make(index)?;
            }
        }
        for inode in checkpoint.inodes.iter().filter(|inode| inode.base != 0) {
            if !context.writable_roots.contains_key(&inode.base) {
                let private_ns = context.private_ns(inode.base).map_err(at("a mount to put names back through"))?;
                let root = set_apart(&private_ns.root).map_err(at("a descriptor"))?;
                context.writable_roots.insert(inode.base, root);
            }
        }
        Ok(context)
    }

    /// Makes a mount of the checkpoint.
    pub(super) fn make(&self, index: usize) -> Result<(), Failure> {
        let opener = match &self.checkpoint.mounts[index] {
            MountImage::Internal | MountImage::Elsewhere => return Ok(()),
            MountImage::Visible { id } => self.visible(*id).map_err(at(format!("visible mount {id}")))?,
            MountImage::Detached(mount) => {
                let which = format!("a detached mount of {:?} below visible mount {}", mount.root, mount.base);
                if self.options.fault == Some(Fault::SuperblockWritable) {
                    let private_ns = self.private_ns(mount.base).map_err(at("the visible mount"))?;
                    wrong::writable(private_ns.root.as_fd());
                }
                self.detached(index, mount).map_err(at(which))?
            }
        };
        self.openers[index].get_or_init(|| opener);
        Ok(())
    }

    /// The directory of a file of another namespace.
    pub(super) fn given(&self, file: usize) -> Option<&Opener> {
        self.inherited.get(&file)
    }

    /// The detached mounts whose root was removed: index, base, path of the root, its inode.
    pub(super) fn removed_roots(&self) -> impl Iterator<Item = (usize, u64, &'a Bytes, usize)> {
        self.checkpoint.mounts.iter().enumerate().filter_map(|(index, mount)| match mount {
            MountImage::Detached(DetachedMount { base, root, removed_root: Some(inode), .. }) => {
                Some((index, *base, root, *inode))
            }
            _ => None,
        })
    }

    pub(super) fn private_ns(&self, base: u64) -> io::Result<PrivateMountNs> {
        self.private_namespaces.enter(self.proc, &self.table, base)
    }

    /// The root of a visible mount.
    fn visible(&self, id: u64) -> io::Result<Opener> {
        let gone = || io::Error::new(io::ErrorKind::NotFound, "it is not in the kept namespace");
        let mount = self.table.get(id).ok_or_else(gone)?;
        if self.options.fault == Some(Fault::SubmountShowsCovered)
            && let Some(covered) = wrong::covered(self, mount)?
        {
            return Ok(covered);
        }
        let root = set_apart(look_at(self.proc, &mount.mount_point)?)?;
        if sys::statx_mount_id(root.as_fd())? == id {
            let path = Some(RootPath::here(&mount.mount_point)?);
            return Ok(Opener { root, prefix: Bytes::default(), path });
        }
        Err(io::Error::other(format!("something is mounted over {}", mount.mount_point)))
    }

    /// A detached mount; it lives as long as something is open on it.
    fn detached(&self, index: usize, right: &DetachedMount) -> io::Result<Opener> {
        let same = |mount: &MountImage| matches!(mount, MountImage::Detached(other) if other.root == right.root);
        if self.options.fault == Some(Fault::MergedMounts)
            && let Some(other) =
                self.checkpoint.mounts[..index].iter().position(same).and_then(|first| self.openers[first].get())
        {
            return Ok(Opener::new(set_apart(&other.root)?, other.prefix.clone()));
        }
        let mount = wrong::mount(self.options, right);
        let (root, path) = match self.open_tree(index) {
            Some(tree) => (self.never_attached(&mount, tree)?, None),
            None => self.made(&mount, self.needs_path(index))?,
        };
        let root = set_apart(root)?;
        wrong::traces(self, &mount, root.as_fd())?;
        Ok(Opener { root, prefix: wrong::prefix(&mount, right), path })
    }

    /// Whether it is a mount that is never attached and whose descriptor stays open.
    fn open_tree(&self, index: usize) -> Option<TreeImage> {
        let checkpoint = self.checkpoint;
        let mut on_it = checkpoint.descriptions.iter().filter(|one| checkpoint.files[one.file].mount == index);
        on_it.find_map(|one| one.tree)
    }

    /// Such a mount. One that can be copied in this namespace must be made in it.
    fn never_attached(&self, mount: &DetachedMount, tree: TreeImage) -> io::Result<OwnedFd> {
        let here = || -> io::Result<Option<OwnedFd>> {
            let Some(base) = self.table.get(mount.base) else { return Ok(None) };
            let root = look_at(look_at(self.proc, &base.mount_point)?.as_fd(), &mount.root)?;
            let is_bare = sys::statx_mount_id(root.as_fd())? == mount.base;
            is_bare.then(|| cloned(root.as_fd(), mount, OpenTreeFlags::empty())).transpose()
        };
        match if tree.can_be_copied { here().ok().flatten() } else { None } {
            Some(made) => Ok(made),
            None => by_tree(&self.private_ns(mount.base)?, mount),
        }
    }

    /// A mount of a file with something open that `O_NOFOLLOW` forbids to open through a magic
    /// link.
    fn needs_path(&self, index: usize) -> bool {
        let is_root = |file: &FileImage| {
            let directory = matches!(file.name, NameImage::Live { kind: FileKind::Directory, .. });
            file.mount == index && file.path.is_empty() && !directory
        };
        let mut descriptions = self.checkpoint.descriptions.iter();
        descriptions.any(|one| one.flags & libc::O_NOFOLLOW != 0 && is_root(&self.checkpoint.files[one.file]))
    }

    /// The mount; when it `stays`, attached in a copy of the namespace, with its place there.
    fn made(&self, mount: &DetachedMount, stays: bool) -> io::Result<(OwnedFd, Option<RootPath>)> {
        if self.options.fault == Some(Fault::SubmountsKept)
            && let Some(tree) = wrong::with_submounts(self, mount)?
        {
            return Ok((tree, None));
        }
        let private_ns = match stays {
            true => PrivateMountNs::enter(self.proc, &self.table, mount.base)?,
            false => self.private_ns(mount.base)?,
        };
        let at = private_ns.absolute(&mount.root)?;
        let root = match self.options.way {
            DetachMethod::Tree => {
                let root = by_tree(&private_ns, mount)?;
                if stays {
                    sys::attach(root.as_fd(), &at)?;
                }
                root
            }
            DetachMethod::Bind => {
                let root = by_bind(&private_ns, mount, &at)?;
                if !stays {
                    umount2(at.as_c_str(), MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)?;
                }
                root
            }
        };
        let namespace = || set_apart(private_ns.namespace()?);
        Ok((root, stays.then(namespace).transpose()?.map(|namespace| RootPath::kept(namespace, at))))
    }

    /// The same mount as that of the checkpoint, once more.
    pub(super) fn another(&self, index: usize) -> io::Result<Option<Opener>> {
        match &self.checkpoint.mounts[index] {
            MountImage::Detached(mount) => self.detached(index, mount).map(Some),
            _ => Ok(None),
        }
    }

    /// Where files of this mount are opened.
    pub(super) fn opener(&self, mount: usize) -> Result<&Opener, Failure> {
        let none = || io::Error::other("a mount of the kernel's own");
        self.openers.get(mount).and_then(OnceCell::get).ok_or_else(none).map_err(at("a mount"))
    }

    /// Where names are put back for this visible mount.
    pub(super) fn writable_root(&self, base: u64) -> Result<BorrowedFd<'_>, Failure> {
        let none = || io::Error::other("no such mount");
        self.writable_roots
            .get(&base)
            .map(AsFd::as_fd)
            .ok_or_else(none)
            .map_err(at("a mount to put names back through"))
    }

    /// The path of a file from the root of the mount that its name is put back through.
    pub(super) fn path_on_writable_root(&self, file: usize) -> Option<Bytes> {
        let file = &self.checkpoint.files[file];
        match &self.checkpoint.mounts[file.mount] {
            MountImage::Detached(mount) => Some(join(&mount.root, &file.path)),
            MountImage::Visible { id } => Some(join(&self.table.widest(*id)?.1, &file.path)),
            MountImage::Internal | MountImage::Elsewhere => None,
        }
    }
}

/// A clone of a part of the bare mount, attached nowhere.
fn by_tree(private_ns: &PrivateMountNs, mount: &DetachedMount) -> io::Result<OwnedFd> {
    let root = look_at(private_ns.root.as_fd(), &mount.root)?;
    cloned(root.as_fd(), mount, OpenTreeFlags::empty())
}

/// A clone of the mount that `root` is on, from there on; `more` are further flags of open_tree(2).
pub(super) fn cloned(root: BorrowedFd<'_>, mount: &DetachedMount, more: OpenTreeFlags) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(root, c"", flags | more)?;
    let attr = MountAttr {
        set: mount.attributes,
        clear: MOUNT_ATTR_ALL & !(mount.attributes & !MOUNT_ATTR_ATIME_FIELD),
        propagation: libc::MS_PRIVATE,
        ..MountAttr::default()
    };
    sys::mount_setattr(tree.as_fd(), c"", false, attr)?;
    Ok(tree)
}

/// A bind of a part of the bare mount onto itself, at `at`, which needs no mount point of its own.
fn by_bind(private_ns: &PrivateMountNs, detached: &DetachedMount, at: &CStr) -> io::Result<OwnedFd> {
    let none = None::<&CStr>;
    mount(Some(at), at, none, MsFlags::MS_BIND, none)?;
    let mut flags = libc::MS_REMOUNT | libc::MS_BIND;
    flags |=
        FLAGS.iter().filter(|(bit, _)| detached.attributes & bit != 0).map(|(_, flag)| flag).sum::<libc::c_ulong>();
    if detached.attributes & MOUNT_ATTR_ATIME_FIELD == 0 {
        flags |= libc::MS_RELATIME;
    }
    let none = None::<&CStr>;
    mount(none, at, none, MsFlags::from_bits_retain(flags), none)?;
    look_at(private_ns.proc(), &at.to_bytes().into())
}

/// The attributes with one of them lost.
pub(super) fn attributes(fault: Option<Fault>, attributes: u64) -> u64 {
    match fault {
        Some(Fault::MountRoLost) => attributes & !MOUNT_ATTR_RDONLY,
        Some(Fault::MountNosuidLost) => attributes & !MOUNT_ATTR_NOSUID,
        Some(Fault::AtimePolicyLost) => attributes & !(MOUNT_ATTR_ATIME_FIELD | 0x80),
        _ => attributes,
    }
}

/// The rest of a mount's own mount point below that of another.
pub(super) fn mount_point_below(parent: &Mount, mount: &Mount) -> Option<Bytes> {
    below(&parent.mount_point, &mount.mount_point).filter(|rest| !rest.is_empty())
}

/// The directory above.
pub(super) fn above(path: &Bytes) -> Bytes {
    split(path).0
}
