//! A private copy of the mount namespace, in which one visible mount is laid bare: nothing stands
//! on it or above it, and it is writable. Detached mounts are made here, covered directories are
//! reached here, names are put back here.
//!
//! Why a copy: a bind in the namespace itself would be visible to every process in it, would
//! propagate to peers, and needs an unbindable or covered mount to be changed for a moment. Here
//! all of that ends with the copy. Its mounts are private, so nothing that happens to them spreads.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use nix::fcntl::{AtFlags, OFlag, open, openat, readlinkat};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::{Mode, fstat, fstatat};
use scenarios::Bytes;

use super::table::{Chain, Table, below};
use crate::observe::read_file;
use crate::sys::{copy_mount_namespace, owner_of, set_apart};

/// Returns this process to the namespace that it was in when dropped. The root and working
/// directory are the root of that namespace then.
#[derive(Debug)]
pub struct NamespaceGuard {
    home: OwnedFd,
}

impl NamespaceGuard {
    /// From now on in a copy of the namespace, whose mounts are private.
    fn in_a_copy(proc: BorrowedFd<'_>) -> io::Result<Self> {
        let guard = NamespaceGuard { home: namespace(proc)? };
        match foreign_owner(proc, guard.home.as_fd())? {
            None => unshare(CloneFlags::CLONE_NEWNS)?,
            // A copy of this process's own would have all its mounts locked: they come from another
            // user namespace then (mount_namespaces(7)).
            Some(user) => {
                let copy = copy_mount_namespace(user.as_fd(), guard.home.as_fd(), proc)?;
                setns(copy, CloneFlags::CLONE_NEWNS)?;
            }
        }
        let none = None::<&CStr>;
        mount(none, "/", none, MsFlags::MS_PRIVATE | MsFlags::MS_REC, none)?;
        Ok(guard)
    }

    /// From now on in a copy that was kept.
    fn in_kept(proc: BorrowedFd<'_>, kept: BorrowedFd<'_>) -> io::Result<Self> {
        let guard = NamespaceGuard { home: namespace(proc)? };
        setns(kept, CloneFlags::CLONE_NEWNS)?;
        Ok(guard)
    }

    /// In a copy with nothing mounted but its root. There a name can be moved that is a mount point
    /// elsewhere (`is_local_mountpoint` in fs/namespace.c).
    ///
    /// # Errors
    /// Those of copying and unmounting.
    pub fn where_nothing_is_mounted(proc: BorrowedFd<'_>) -> io::Result<Self> {
        let guard = NamespaceGuard::in_a_copy(proc)?;
        let table = Table::own(proc)?;
        let top = table.all().iter().find(|mount| table.get(mount.parent).is_none_or(|parent| parent.id == mount.id));
        let none = || io::Error::new(io::ErrorKind::NotFound, "no mount at the root");
        clear(proc, &table.chain(top.ok_or_else(none)?.id))?;
        Ok(guard)
    }
}

impl Drop for NamespaceGuard {
    fn drop(&mut self) {
        // It can only fail when this process has several threads, and then it had not come here.
        let _ = setns(self.home.as_fd(), CloneFlags::CLONE_NEWNS);
    }
}

/// The user namespace that a mount namespace belongs to, where that is another than this process's.
fn foreign_owner(proc: BorrowedFd<'_>, namespace: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
    let owner = owner_of(namespace)?;
    let own = fstatat(proc, "self/ns/user", AtFlags::empty())?;
    Ok((fstat(&owner)?.st_ino != own.st_ino).then_some(owner))
}

fn namespace(proc: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    Ok(openat(proc, "self/ns/mnt", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// A path to the root of a mount, in a copy of the namespace that is kept or in this one.
#[derive(Debug)]
pub struct RootPath {
    namespace: Option<OwnedFd>,
    path: CString,
}

impl RootPath {
    /// In a copy.
    pub fn kept(namespace: OwnedFd, path: CString) -> Self {
        RootPath { namespace: Some(namespace), path }
    }

    /// In this namespace.
    ///
    /// # Errors
    /// A NUL in the path.
    pub fn here(path: &Bytes) -> io::Result<Self> {
        Ok(RootPath { namespace: None, path: CString::new(path.as_slice()).map_err(io::Error::other)? })
    }

    /// Opens what is there.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn open(&self, proc: BorrowedFd<'_>, flags: OFlag) -> io::Result<OwnedFd> {
        let _guard = self.namespace.as_ref().map(|kept| NamespaceGuard::in_kept(proc, kept.as_fd())).transpose()?;
        Ok(open(self.path.as_c_str(), flags, Mode::empty())?)
    }
}

/// The copy; this process is in it until the value is dropped. Descriptors that were opened in it
/// stay good.
#[derive(Debug)]
pub struct PrivateMountNs {
    _guard: NamespaceGuard,
    proc: OwnedFd,
    /// The root of the bare mount; `O_PATH` when it is not a directory.
    pub root: Rc<OwnedFd>,
    /// Its mount point here.
    pub at: Bytes,
    /// The namespace belongs to another user namespace than this process's.
    pub foreign: bool,
}

/// Private namespaces that are kept: each visible mount is laid bare once, however many mounts are
/// made from it. A user of one leaves it as it was.
#[derive(Debug, Default)]
pub struct PrivateMountNsCache {
    kept: RefCell<BTreeMap<u64, CachedNs>>,
}

#[derive(Debug)]
struct CachedNs {
    namespace: OwnedFd,
    root: Rc<OwnedFd>,
    at: Bytes,
    foreign: bool,
}

impl PrivateMountNsCache {
    /// As [`PrivateMountNs::enter`], in the same copy each time.
    ///
    /// # Errors
    /// Those of copying, unmounting and entering.
    pub fn enter(&self, proc: BorrowedFd<'_>, table: &Table, base: u64) -> io::Result<PrivateMountNs> {
        if let Some(kept) = self.kept.borrow().get(&base) {
            let _guard = NamespaceGuard::in_kept(proc, kept.namespace.as_fd())?;
            let (root, at) = (Rc::clone(&kept.root), kept.at.clone());
            return Ok(PrivateMountNs { _guard, proc: proc.try_clone_to_owned()?, root, at, foreign: kept.foreign });
        }
        let new = PrivateMountNs::enter(proc, table, base)?;
        let root = Rc::new(set_apart(&new.root)?);
        let kept = CachedNs {
            namespace: set_apart(new.namespace()?)?,
            root: Rc::clone(&root),
            at: new.at.clone(),
            foreign: new.foreign,
        };
        self.kept.borrow_mut().insert(base, kept);
        Ok(PrivateMountNs { root, ..new })
    }
}

impl PrivateMountNs {
    /// Enters a copy of this process's namespace with `base` laid bare. `table` is that of the
    /// namespace. The process must have one thread; its root and working directory are the
    /// namespace's root afterwards.
    ///
    /// # Errors
    /// Those of copying and unmounting.
    pub fn enter(proc: BorrowedFd<'_>, table: &Table, base: u64) -> io::Result<Self> {
        let chain = table.chain(base);
        let guard = NamespaceGuard::in_a_copy(proc)?;
        let foreign = foreign_owner(proc, guard.home.as_fd())?.is_some();
        let (root, at) = lay_bare(proc, &chain)?;
        Ok(PrivateMountNs { _guard: guard, proc: proc.try_clone_to_owned()?, root: Rc::new(root), at, foreign })
    }

    /// The copy itself: with it a mount that stands here stays.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn namespace(&self) -> io::Result<OwnedFd> {
        namespace(self.proc())
    }

    /// The path of an open file from the root of the bare mount; none for a file that cannot be
    /// reached from there.
    pub fn path_of(&self, fd: BorrowedFd<'_>) -> Option<Bytes> {
        let text = readlinkat(&self.proc, format!("self/fd/{}", fd.as_raw_fd()).as_str()).ok()?;
        below(&self.at, &text.as_os_str().into())
    }

    /// A procfs in which `self` is this process.
    pub fn proc(&self) -> BorrowedFd<'_> {
        self.proc.as_fd()
    }

    /// The absolute path here of a path on the bare mount.
    ///
    /// # Errors
    /// A NUL in the path.
    pub fn absolute(&self, path: &Bytes) -> io::Result<CString> {
        let at = self.at.0.strip_suffix(b"/").unwrap_or(&self.at.0);
        let whole = if path.is_empty() { self.at.0.clone() } else { [at, b"/", path.as_slice()].concat() };
        CString::new(whole).map_err(io::Error::other)
    }
}

/// Detaches every mount that is on this one, or hides it or its path; returns where it is then.
fn clear(proc: BorrowedFd<'_>, chain: &Chain) -> io::Result<Bytes> {
    let mut table = Table::own(proc)?;
    let lost = || io::Error::new(io::ErrorKind::NotFound, "the mount is not in a copy of its namespace");
    let base = table.find(chain).ok_or_else(lost)?.clone();
    while let Some(in_the_way) = table.in_the_way(&base).cloned() {
        umount2(in_the_way.mount_point.as_os_str(), MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)?;
        table.remove(in_the_way.id);
    }
    Ok(base.mount_point)
}

fn lay_bare(proc: BorrowedFd<'_>, chain: &Chain) -> io::Result<(OwnedFd, Bytes)> {
    let at = clear(proc, chain)?;
    let none = None::<&CStr>;
    mount(none, at.as_os_str(), none, MsFlags::MS_REMOUNT | MsFlags::MS_BIND, none)?;
    // open_by_handle_at(2) wants a real descriptor, which for anything but a directory might do
    // something to it.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let root = open(at.as_os_str(), flags | OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())
        .or_else(|_| open(at.as_os_str(), flags | OFlag::O_PATH, Mode::empty()))?;
    Ok((root, at))
}

/// The text of a file below a procfs.
pub(super) fn text(proc: BorrowedFd<'_>, path: &str) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&read_file(proc, path)?).into_owned())
}

/// Opens with `O_PATH`, the last name not followed; an empty path is `dir` itself.
pub(super) fn look_at(dir: BorrowedFd<'_>, path: &Bytes) -> io::Result<OwnedFd> {
    if path.is_empty() {
        return dir.try_clone_to_owned();
    }
    Ok(openat(dir, path.as_slice(), OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// A procfs that is attached nowhere.
///
/// # Errors
/// Those of fsopen(2) and fsmount(2).
pub fn own_proc() -> io::Result<OwnedFd> {
    crate::sys::fsmount(c"proc")
}

/// Makes `call` with the working directory at the root of a procfs, for calls that take a path from
/// there only.
pub(super) fn in_proc<T>(proc: BorrowedFd<'_>, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    nix::unistd::fchdir(proc)?;
    let result = call();
    nix::unistd::chdir("/")?;
    result
}

/// A file that is open, once more, through its magic link below `proc`.
pub(super) fn reopen(proc: BorrowedFd<'_>, fd: BorrowedFd<'_>, flags: OFlag) -> io::Result<File> {
    let path = format!("self/fd/{}", fd.as_raw_fd());
    Ok(openat(proc, path.as_str(), flags | OFlag::O_CLOEXEC, Mode::empty())?.into())
}
