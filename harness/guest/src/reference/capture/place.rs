//! Where a detached mount can be made again: the visible mount of its superblock, its root on that,
//! its attributes.
//!
//! A kernel that has it tells by `statmount(STATMOUNT_BY_FD)` (7.0). Otherwise: the superblock is
//! that of the mounts with the file's device number, or, where files have others (btrfs subvolumes,
//! overlayfs), the one on which the file itself turns up. The root is found from a directory by
//! going up to where `..` stays; from a file by the directory entry that it is open through, and as
//! many steps up as its link text has. What these ways lead to is compared with the object. Nothing
//! is taken on the strength of a path alone.

use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use protocol::observation::{FileId, FileKind, Mount};
use scenarios::Bytes;

use super::super::image::DetachedMount;
use super::super::private_mount_ns::{PrivateMountNs, look_at};
use super::super::table::{Table, below, join};
use super::entry::{self, Entry};
use super::object::CapturedObject;
use super::refusal::Cause;
use super::{Capture, DELETED, without_slash};
use crate::observe;
use crate::sys;

const ST_RDONLY: u64 = 1;
/// `f_flags` of statfs(2) and the `MOUNT_ATTR_*` bit that each stands for.
const ATTRIBUTES: &[(u64, u64)] =
    &[(ST_RDONLY, 0x1), (0x2, 0x2), (0x4, 0x4), (0x8, 0x8), (0x400, 0x10), (0x800, 0x80), (0x2000, 0x20_0000)];
const ST_NOATIME_OR_RELATIME: u64 = 0x400 | 0x1000;
const MOUNT_ATTR_STRICTATIME: u64 = 0x20;

impl Capture<'_> {
    /// Where the detached mount that these objects are on can be made again.
    pub(super) fn place(&self, group: &[&CapturedObject]) -> Result<DetachedMount, Cause> {
        let first = group[0];
        let statmount =
            if self.options.without_statmount { None } else { sys::statmount_device(first.fd.as_fd()).ok() };
        let candidates = self.candidates(first, statmount.as_ref().map(|(_, device)| *device));
        if candidates.is_empty() {
            return Err(Cause::NoVisibleMount);
        }
        let mut cause = Cause::NoVisibleMount;
        for base in candidates {
            let private_ns = self.private_ns(base.id)?;
            let found = match &statmount {
                Some((mount, _)) => root_from_table(base, &private_ns, &mount.root, group),
                None => self.found(&private_ns, group),
            };
            match found {
                Ok(root) => {
                    let read_only_superblock = is_read_only(base);
                    let attributes = statmount.as_ref().map(|(mount, _)| mount.attributes);
                    let attributes = attributes.unwrap_or_else(|| attributes_of(first, read_only_superblock));
                    return Ok(DetachedMount { base: base.id, root, attributes });
                }
                Err(why) => cause = worse(cause, why),
            }
        }
        Err(cause)
    }

    /// Visible mounts that may be of the object's superblock, the likelier ones first.
    fn candidates(&self, captured: &CapturedObject, device: Option<(u32, u32)>) -> Vec<&Mount> {
        if let Some(device) = device {
            return self.table.of_device(device);
        }
        let device = captured.status.file.device;
        let numbers = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let (major, minor) = (numbers(nix::sys::stat::major(device)), numbers(nix::sys::stat::minor(device)));
        let found = self.table.of_device((major, minor));
        if !found.is_empty() {
            return found;
        }
        let alike =
            |mount: &&Mount| self.magic_numbers.get(&mount.id).is_none_or(|number| *number == captured.magic_number);
        let mut found: Vec<&Mount> = self.table.all().iter().filter(alike).collect();
        found.sort_by_key(|mount| (mount.root.0.len(), mount.id));
        found
    }

    /// The root by the objects themselves.
    fn found(&self, private_ns: &PrivateMountNs, group: &[&CapturedObject]) -> Result<Bytes, Cause> {
        let directories = group.iter().filter(|captured| captured.status.kind == FileKind::Directory);
        let files = group.iter().filter(|captured| captured.status.kind != FileKind::Directory);
        let mut cause = None;
        for captured in directories {
            match root_of_directory(captured, private_ns) {
                Ok(root) => return Ok(root),
                Err(why) => cause = Some(why),
            }
        }
        for captured in files {
            match self.root_of_file(captured, private_ns) {
                Ok(root) => return Ok(root),
                Err(why) => cause = Some(why),
            }
        }
        Err(cause.unwrap_or(Cause::RootNotReachable))
    }

    /// From the entry of a file as many steps up as its path has; without an entry by the only name
    /// that fits.
    fn root_of_file(&self, captured: &CapturedObject, private_ns: &PrivateMountNs) -> Result<Bytes, Cause> {
        let entry = entry::entry_of(self.watch(), self.proc, captured, private_ns)
            .map_err(Cause::of("finding its directory entry"))?;
        let Some(Entry { directory, name }) = entry else { return root_by_name(captured, private_ns) };
        if !belongs(captured, &directory, &name) {
            return Err(Cause::NoVisibleMount);
        }
        let path = without_slash(&captured.link);
        if path.is_empty() {
            let parent = reachable(private_ns, &directory)?;
            return Ok(join(&parent, &name));
        }
        let steps = path.0.iter().filter(|&&byte| byte == b'/').count();
        let root = climb(directory, steps)?;
        reachable(private_ns, &root)
    }
}

/// The more telling of two causes: that it is nowhere says less than why it is not where it was
/// looked for.
fn worse(one: Cause, other: Cause) -> Cause {
    if matches!(other, Cause::NoVisibleMount) { one } else { other }
}

fn is_read_only(mount: &Mount) -> bool {
    mount.super_options.0.split(|&byte| byte == b',').any(|option| option == b"ro")
}

/// The attributes as fstatfs(2) shows them. A read-only superblock hides whether the mount was
/// read-only too.
fn attributes_of(captured: &CapturedObject, read_only_superblock: bool) -> u64 {
    let flags = if read_only_superblock { captured.mount_flags & !ST_RDONLY } else { captured.mount_flags };
    let named: u64 = ATTRIBUTES.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, attribute)| attribute).sum();
    if flags & ST_NOATIME_OR_RELATIME == 0 { named | MOUNT_ATTR_STRICTATIME } else { named }
}

/// The root as the kernel tells it, found on the bare mount.
fn root_from_table(
    base: &Mount,
    private_ns: &PrivateMountNs,
    root: &Bytes,
    group: &[&CapturedObject],
) -> Result<Bytes, Cause> {
    let path = below(&base.root, root).ok_or(Cause::RootNotReachable)?;
    let fd = look_at(private_ns.root.as_fd(), &path).map_err(|_| Cause::RootNotReachable)?;
    // An object that is not under its path may be a deleted one; one that is proves the place.
    let root_itself = group.iter().find(|captured| captured.link.0 == b"/");
    match root_itself {
        Some(captured) if identity(&fd)? != captured.status.file => Err(Cause::RootNotReachable),
        _ => Ok(path),
    }
}

fn identity(fd: &OwnedFd) -> Result<FileId, Cause> {
    Ok(observe::status(fd.as_fd()).map_err(Cause::of("fstat"))?.file)
}

/// From the directory itself up to where `..` stays: that is the root of its mount. The same
/// directory is then looked for on the bare mount.
fn root_of_directory(captured: &CapturedObject, private_ns: &PrivateMountNs) -> Result<Bytes, Cause> {
    let mut root = captured.fd.try_clone().map_err(Cause::of("dup"))?;
    loop {
        let up = step_up(&root)?;
        if identity(&up)? == identity(&root)? {
            break;
        }
        root = up;
    }
    let wanted = identity(&root)?;
    if let Ok(handle) = sys::handle_of(root.as_fd())
        && let Ok(found) = sys::open_handle(private_ns.root.as_fd(), &handle)
    {
        // The same handle may mean another directory on another filesystem.
        return if identity(&found)? == wanted { reachable(private_ns, &found) } else { Err(Cause::NoVisibleMount) };
    }
    let names = entry::names_of(private_ns, wanted).map_err(Cause::of("looking for the mount's root"))?;
    names.into_iter().next().ok_or(Cause::RootNotReachable)
}

fn step_up(fd: &OwnedFd) -> Result<OwnedFd, Cause> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    // ENOENT: the way up leads out of the part that this mount shows.
    openat(fd, "..", flags, Mode::empty()).map_err(|_| Cause::RootNotReachable)
}

fn climb(from: OwnedFd, steps: usize) -> Result<OwnedFd, Cause> {
    (0..steps).try_fold(from, |fd, _| {
        let up = step_up(&fd)?;
        if identity(&up)? == identity(&fd)? { Err(Cause::RootNotReachable) } else { Ok(up) }
    })
}

/// The path of a directory on the bare mount, when one leads to it.
fn reachable(private_ns: &PrivateMountNs, fd: &OwnedFd) -> Result<Bytes, Cause> {
    let path = private_ns.path_of(fd.as_fd()).ok_or(Cause::RootNotReachable)?;
    let found = look_at(private_ns.root.as_fd(), &path).map_err(|_| Cause::RootNotReachable)?;
    if identity(&found)? == identity(fd)? { Ok(path) } else { Err(Cause::RootNotReachable) }
}

/// Whether an entry may be that of the object: the file is under the name, or the name is gone and
/// the directory is on the file's device.
fn belongs(captured: &CapturedObject, directory: &OwnedFd, name: &Bytes) -> bool {
    let found = look_at(directory.as_fd(), name).and_then(|fd| observe::status(fd.as_fd()));
    if found.is_ok_and(|found| found.file == captured.status.file) {
        return true;
    }
    let device = observe::status(directory.as_fd()).map(|status| status.file.device);
    let gone = captured.link.0.strip_suffix(DELETED).is_some_and(|text| text.ends_with(name.as_slice()));
    gone && (captured.magic_number == observe::OVERLAYFS
        || device.is_ok_and(|device| device == captured.status.file.device))
}

/// For what cannot be opened: all names of the file on the bare mount that end in its link text.
/// One is proof, provided that no name of it is out of sight.
fn root_by_name(captured: &CapturedObject, private_ns: &PrivateMountNs) -> Result<Bytes, Cause> {
    let path = without_slash(&captured.link);
    let names = entry::names_of(private_ns, captured.status.file).map_err(Cause::of("looking for the file"))?;
    if names.is_empty() {
        let is_here =
            observe::status(private_ns.root.as_fd()).is_ok_and(|at| at.file.device == captured.status.file.device);
        let nameless = || Cause::Ambiguous("the file cannot be opened, and has no name left to find it by".to_owned());
        return Err(if is_here { nameless() } else { Cause::NoVisibleMount });
    }
    let count = names.len();
    let ends = |name: Bytes| {
        if path.is_empty() {
            return Some(name);
        }
        let rest = name.0.strip_suffix(path.as_slice())?;
        match rest.split_last() {
            None => Some(Bytes::default()),
            Some((b'/', rest)) => Some(rest.into()),
            Some(_) => None,
        }
    };
    let mut roots: Vec<Bytes> = names.into_iter().filter_map(ends).collect();
    match (roots.len(), u64::try_from(count).is_ok_and(|count| count == captured.status.links)) {
        (1, true) => Ok(roots.remove(0)),
        (0, _) => Err(Cause::RootNotReachable),
        _ => Err(Cause::Ambiguous("the file cannot be opened, and has several names that would do".to_owned())),
    }
}

impl Capture<'_> {
    /// In a copy of the namespace with this mount laid bare, for as long as the value is kept.
    pub(super) fn private_ns(&self, base: u64) -> Result<PrivateMountNs, Cause> {
        self.private_namespaces.enter(self.proc, self.table, base).map_err(Cause::of("laying a visible mount bare"))
    }

    /// The table of the namespace.
    pub(super) fn table(&self) -> &Table {
        self.table
    }
}
