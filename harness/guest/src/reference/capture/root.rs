//! The root of a detached mount: from a directory by going up to where `..` stays; from a file by
//! the directory entry that it is open through, and as many steps up as its link text has; or as
//! the kernel tells it. What these ways lead to is compared with the object. The root may have been
//! removed from its directory since: then what is left of it is captured like a deleted file.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use protocol::observation::{FileId, FileKind, Mount, Object};
use scenarios::Bytes;

use super::super::private_mount_ns::{PrivateMountNs, look_at};
use super::super::table::{below, join};
use super::entry::{self, Entry};
use super::object::{self, CapturedObject};
use super::refusal::Cause;
use super::{Capture, DELETED, without_slash};
use crate::observe;
use crate::sys;

/// What follows the root of a mount in statmount(2) when it was removed (`seq_dentry` in
/// fs/seq_file.c).
const REMOVED_ROOT: &[u8] = b"//deleted";

/// Where the root of a detached mount is, from the root of the bare mount.
pub(super) struct Root {
    pub(super) path: Bytes,
    /// Whether it was removed from its directory.
    pub(super) is_removed: bool,
    /// A removed root, where the process or an event leads to it.
    pub(super) object: Option<CapturedObject>,
}

impl Root {
    fn live(path: Bytes) -> Self {
        Root { path, is_removed: false, object: None }
    }
}

impl Capture<'_> {
    /// The root by the objects themselves.
    pub(super) fn found(&self, private_ns: &PrivateMountNs, group: &[&CapturedObject]) -> Result<Root, Cause> {
        let directories = group.iter().filter(|captured| captured.status.kind == FileKind::Directory);
        let files = group.iter().filter(|captured| captured.status.kind != FileKind::Directory);
        let mut cause = None;
        for captured in directories {
            match self.root_of_directory(captured, private_ns) {
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
    fn root_of_file(&self, captured: &CapturedObject, private_ns: &PrivateMountNs) -> Result<Root, Cause> {
        let entry = entry::entry_of(self.watch(), self.proc, captured, private_ns)
            .map_err(Cause::of("finding its directory entry"))?;
        let Some(Entry { directory, name }) = entry else { return root_by_name(captured, private_ns).map(Root::live) };
        if !belongs(captured, &directory, &name) {
            return Err(Cause::NoVisibleMount);
        }
        let path = without_slash(&captured.link);
        if path.is_empty() {
            let parent = reachable(private_ns, &directory)?;
            return Ok(Root::live(join(&parent, &name)));
        }
        if path.0 == DELETED {
            let parent = removed_path(private_ns, &directory)?;
            let object = self.object(captured.magic.clone(), None)?;
            return Ok(Root { path: join(&parent, &name), is_removed: true, object: Some(object) });
        }
        let steps = path.0.iter().filter(|&&byte| byte == b'/').count();
        self.reached(climb(directory, steps)?, private_ns)
    }

    /// From the directory itself up to where `..` stays: that is the root of its mount. The same
    /// directory is then looked for on the bare mount.
    fn root_of_directory(&self, captured: &CapturedObject, private_ns: &PrivateMountNs) -> Result<Root, Cause> {
        let root = mount_root(captured)?;
        let wanted = identity(&root)?;
        if let Ok(handle) = sys::handle_of(root.as_fd())
            && let Ok(found) = sys::open_handle(private_ns.root.as_fd(), &handle)
        {
            // The same handle may mean another directory on another filesystem.
            return if identity(&found)? == wanted {
                self.reached(found, private_ns)
            } else {
                Err(Cause::NoVisibleMount)
            };
        }
        let names = entry::names_of(private_ns, wanted).map_err(Cause::of("looking for the mount's root"))?;
        names.into_iter().next().map(Root::live).ok_or(Cause::RootNotReachable)
    }

    /// The root, by a descriptor of it on the bare mount.
    fn reached(&self, fd: OwnedFd, private_ns: &PrivateMountNs) -> Result<Root, Cause> {
        if !is_removed(&fd)? {
            return reachable(private_ns, &fd).map(Root::live);
        }
        let path = removed_path(private_ns, &fd)?;
        Ok(Root { path, is_removed: true, object: Some(self.held_object(fd)?) })
    }

    /// The root as the kernel tells it, found on the bare mount.
    pub(super) fn root_from_table(
        &self,
        base: &Mount,
        private_ns: &PrivateMountNs,
        root: &Bytes,
        group: &[&CapturedObject],
    ) -> Result<Root, Cause> {
        if let Some(removed) = root.0.strip_suffix(REMOVED_ROOT) {
            let path = below(&base.root, &removed.into()).ok_or(Cause::RootNotReachable)?;
            return Ok(Root { path, is_removed: true, object: self.removed_root_object(group)? });
        }
        let path = below(&base.root, root).ok_or(Cause::RootNotReachable)?;
        let fd = look_at(private_ns.root.as_fd(), &path).map_err(|_| Cause::RootNotReachable)?;
        // An object that is not under its path may be a deleted one; one that is proves the place.
        let root_itself = group.iter().find(|captured| captured.link.0 == b"/");
        match root_itself {
            Some(captured) if identity(&fd)? != captured.status.file => Err(Cause::RootNotReachable),
            _ => Ok(Root::live(path)),
        }
    }

    /// The removed root of the mount that these objects are on, where one of them is it or leads to
    /// it.
    fn removed_root_object(&self, group: &[&CapturedObject]) -> Result<Option<CapturedObject>, Cause> {
        let root_itself = |captured: &&&CapturedObject| without_slash(&captured.link).0 == DELETED;
        if let Some(captured) = group.iter().find(root_itself) {
            return self.object(captured.magic.clone(), None).map(Some);
        }
        match group.iter().find(|captured| captured.status.kind == FileKind::Directory) {
            Some(directory) => self.held_object(mount_root(directory)?).map(Some),
            None => Ok(None),
        }
    }

    fn held_object(&self, fd: OwnedFd) -> Result<CapturedObject, Cause> {
        self.object(format!("self/fd/{}", fd.as_raw_fd()), Some(fd))
    }

    /// The root of a detached mount as an object, through a magic link.
    fn object(&self, magic: String, held: Option<OwnedFd>) -> Result<CapturedObject, Cause> {
        let label = "the root of its detached mount".to_owned();
        let object = object::see(self.proc, label, Object::Root, magic, None).map_err(Cause::of("looking at it"))?;
        Ok(CapturedObject { held, ..object })
    }
}

fn identity(fd: &OwnedFd) -> Result<FileId, Cause> {
    Ok(observe::status(fd.as_fd()).map_err(Cause::of("fstat"))?.file)
}

/// From a directory up to where `..` stays: that is the root of its mount.
fn mount_root(captured: &CapturedObject) -> Result<OwnedFd, Cause> {
    let mut root = captured.fd.try_clone().map_err(Cause::of("dup"))?;
    loop {
        let up = step_up(&root)?;
        if identity(&up)? == identity(&root)? {
            return Ok(root);
        }
        root = up;
    }
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

/// Whether a directory was removed.
fn is_removed(fd: &OwnedFd) -> Result<bool, Cause> {
    let status = observe::status(fd.as_fd()).map_err(Cause::of("fstat"))?;
    Ok(status.kind == FileKind::Directory && status.links == 0)
}

/// The path that a directory on the bare mount has, or had when it was removed.
fn removed_path(private_ns: &PrivateMountNs, fd: &OwnedFd) -> Result<Bytes, Cause> {
    if !is_removed(fd)? {
        return reachable(private_ns, fd);
    }
    let path = private_ns.path_of(fd.as_fd()).ok_or(Cause::RootNotReachable)?;
    path.0.strip_suffix(DELETED).map(Bytes::from).ok_or(Cause::RootNotReachable)
}

/// Whether an entry may be that of the object: the file is under the name, or the name is gone and
/// the directory is on the file's device.
fn belongs(captured: &CapturedObject, directory: &OwnedFd, name: &Bytes) -> bool {
    let found = look_at(directory.as_fd(), name).and_then(|fd| observe::status(fd.as_fd()));
    if found.is_ok_and(|found| found.file == captured.status.file) {
        return true;
    }
    let device = observe::status(directory.as_fd()).map(|status| status.file.device);
    let fits = |text: &[u8]| text == b"/" || text.ends_with(name.as_slice());
    let gone = captured.link.0.strip_suffix(DELETED).is_some_and(fits);
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
