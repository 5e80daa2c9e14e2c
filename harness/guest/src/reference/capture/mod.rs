//! Capture: from a running process to a [`Checkpoint`] of its objects, or to refusals that name the
//! objects and the causes.
//!
//! It reads the process from outside and leaves it as it is. It must run in the process's mount
//! namespace, in a process of one thread that may end afterwards: it enters copies of the namespace
//! ([`super::private_mount_ns`]).
//!
//! - [`object`]: what objects there are
//! - [`place`]: where a detached mount can be made again
//! - [`entry`]: through which directory entry a file is open
//! - [`flight`]: sockets, and descriptors in their queues
//! - `inode`: files that have lost their names
//! - [`outside`]: files of a mount namespace that the process left
//! - [`given`]: only the files on detached mounts, for a checkpointer that saves all else
//! - `watches`: what epoll, inotify and fanotify watch
//! - `visible`: files on visible mounts and on the kernel's own
//! - `trees`: mounts that are connected, which it cannot make; never attached ones
//! - `lacks`: what an engine makes of it that has not learnt everything
//! - [`refusal`]: why something cannot be captured
//!
//! The process must not run meanwhile. Here it waits for the agent; who captures others must stop
//! them first.

pub mod entry;
pub mod flight;
pub mod given;
mod inode;
mod lacks;
pub mod object;
pub mod outside;
pub mod place;
pub mod refusal;
mod root;
mod state;
mod trees;
mod visible;
mod watches;
mod wrong;

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use protocol::Fault;
use protocol::observation::{FileId, FileKind, Mount, ObjectId};
use scenarios::Bytes;

use super::checkpoint::{Checkpoint, DetachedMount, FileImage, InodeImage, NameImage, ProcessImage};
use super::private_mount_ns::{PrivateMountNs, PrivateMountNsCache, look_at};
use super::table::{Table, join};
use crate::observe;
use crate::sys::{self, EntryWatch};
use object::CapturedObject;
use outside::Outside;
use refusal::{Cause, Refusal};

/// What the kernel puts behind the link text of a removed entry.
const DELETED: &[u8] = b" (deleted)";

/// How to capture.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Do without `statmount(STATMOUNT_BY_FD)`.
    pub without_statmount: bool,
    /// The mistake to make.
    pub fault: Option<Fault>,
}

/// A capture under way.
pub(super) struct Capture<'a> {
    proc: BorrowedFd<'a>,
    pids: &'a [i32],
    table: &'a Table,
    options: Options,
    outside: &'a Outside,
    private_namespaces: PrivateMountNsCache,
    /// `f_type` of each visible mount that is not covered.
    magic_numbers: BTreeMap<u64, u64>,
    /// The mounts that the process itself sees.
    theirs: BTreeSet<u64>,
    /// Removed files that visible mounts have for their roots.
    removed_roots: BTreeSet<FileId>,
    checkpoint: Checkpoint,
    /// The index in `checkpoint.mounts` of each mount.
    mounts: BTreeMap<u64, usize>,
    /// Made when it is first needed; `None` where the kernel lacks it.
    watch: OnceCell<Option<EntryWatch>>,
}

/// Captures the processes `pids`, each behind its parent. `proc` is a procfs in which they and this
/// process are; `hidden` are descriptors that are not the program's.
///
/// # Errors
/// A refusal for every object that cannot be captured; or what makes any capture impossible.
pub fn processes(
    proc: BorrowedFd<'_>,
    pids: &[i32],
    hidden: &[i32],
    options: Options,
    outside: &Outside,
) -> io::Result<Result<Checkpoint, Vec<Refusal>>> {
    let table = Table::own(proc)?;
    let processes = object::images(proc, pids)?;
    let objects = all_objects(proc, pids, &processes, hidden)?;
    if options.fault == Some(Fault::TouchedByDump) {
        wrong::touch(proc, &objects);
    }
    Ok(Capture::new(proc, (pids, processes), &table, options, outside)?.run(&objects))
}

/// The objects of all processes.
fn all_objects(
    proc: BorrowedFd<'_>,
    pids: &[i32],
    processes: &[ProcessImage],
    hidden: &[i32],
) -> io::Result<Vec<CapturedObject>> {
    let mut objects = Vec::new();
    let living = (0..).zip(pids).zip(processes).filter(|(_, image)| image.ended.is_none());
    for ((process, &pid), _) in living {
        let mut own = object::objects(proc, pid, hidden)?;
        own.iter_mut().for_each(|captured| captured.process = process);
        if process > 0 {
            own.iter_mut().for_each(|captured| captured.label = format!("{} of process {pid}", captured.label));
        }
        objects.extend(own);
    }
    Ok(objects)
}

impl<'a> Capture<'a> {
    fn new(
        proc: BorrowedFd<'a>,
        (pids, processes): (&'a [i32], Vec<ProcessImage>),
        table: &'a Table,
        options: Options,
        outside: &'a Outside,
    ) -> io::Result<Self> {
        let root_of = |mount: &Mount| {
            let fd = look_at(proc, &mount.mount_point).ok()?;
            sys::statx_mount_id(fd.as_fd()).is_ok_and(|id| id == mount.id).then_some(fd)
        };
        let magic = |mount: &Mount| Some((mount.id, sys::filesystem_of(root_of(mount)?.as_fd()).ok()?.0));
        let magic_numbers = table.all().iter().filter_map(magic).collect();
        let removed_root = |mount: &Mount| {
            let fd = if mount.root.0.ends_with(b"//deleted") { root_of(mount) } else { None };
            Some(observe::status(fd?.as_fd()).ok()?.file)
        };
        let removed_roots = table.all().iter().filter_map(removed_root).collect();
        let mut theirs = BTreeSet::new();
        for (&pid, _) in pids.iter().zip(&processes).filter(|(_, image)| image.ended.is_none()) {
            theirs.extend(Table::of(proc, pid)?.all().iter().map(|mount| mount.id));
        }
        Ok(Capture {
            proc,
            pids,
            table,
            options,
            outside,
            private_namespaces: PrivateMountNsCache::default(),
            magic_numbers,
            theirs,
            removed_roots,
            checkpoint: Checkpoint { processes, ..Checkpoint::default() },
            mounts: BTreeMap::new(),
            watch: OnceCell::new(),
        })
    }
}

impl Capture<'_> {
    fn run(mut self, objects: &[CapturedObject]) -> Result<Checkpoint, Vec<Refusal>> {
        let mut refusals = Vec::new();
        if self.options.fault == Some(Fault::RefusesAll) {
            refusals.extend(
                objects.iter().take(1).map(|captured| refuse(captured, Cause::Unsupported("anything".to_owned()))),
            );
        }
        refusals.extend(self.connected(objects));
        let files = self.files(objects, &mut refusals);
        wrong::after_all(&mut self);
        for captured in objects {
            if let Some(&file) = files.get(&captured.id())
                && let Err(cause) = self.state(captured, file)
            {
                refusals.push(refuse(captured, cause));
            }
        }
        match self.descriptors(objects, &files) {
            Ok(descriptions) => refusals.extend(self.open_trees(objects, &files, &descriptions)),
            Err(cause) => refusals.extend(objects.first().map(|captured| refuse(captured, cause))),
        }
        if let (true, Some(Fault::Lacks(lack))) = (refusals.is_empty(), self.options.fault) {
            refusals = self.without(lack, objects, &files);
        }
        match (refusals.is_empty(), self.options.fault) {
            (true, _) | (_, Some(Fault::AcceptsUnrestorable)) => Ok(self.checkpoint),
            _ => Err(refusals),
        }
    }

    /// The file of each object, an index; a refusal of those that have none.
    fn files(&mut self, objects: &[CapturedObject], refusals: &mut Vec<Refusal>) -> BTreeMap<ObjectId, usize> {
        let mut groups: BTreeMap<u64, Vec<&CapturedObject>> = BTreeMap::new();
        for captured in objects {
            groups.entry(captured.mount).or_default().push(captured);
        }
        let mut files: BTreeMap<ObjectId, usize> = BTreeMap::new();
        for group in groups.values() {
            self.group(group, &mut files, refusals);
        }
        files
    }

    /// The files of all objects on one mount.
    fn group(&mut self, group: &[&CapturedObject], files: &mut BTreeMap<ObjectId, usize>, refusals: &mut Vec<Refusal>) {
        let detached = match self.mount_of(group) {
            Ok(detached) => detached,
            Err(cause) => {
                // The cause is the mount's: every object on it has it, and the first one reports it
                // in full.
                let again = |_| Refusal { label: String::new(), link: Bytes::default(), cause: Cause::NoVisibleMount };
                let mut rest: Vec<Refusal> = group[1..].iter().map(again).collect();
                for (captured, refusal) in group[1..].iter().zip(&mut rest) {
                    (refusal.label, refusal.link) = (captured.label.clone(), captured.link.clone());
                    refusal.cause = Cause::Unsupported(format!("this mount, as for {},", group[0].label));
                }
                refusals.push(refuse(group[0], cause));
                refusals.extend(rest);
                return;
            }
        };
        let private_ns = match detached.as_ref().map(|mount| self.private_ns(mount.base)).transpose() {
            Ok(private_ns) => private_ns,
            Err(cause) => {
                refusals.push(refuse(group[0], cause));
                return;
            }
        };
        for captured in group {
            let found = match (&detached, &private_ns) {
                _ if is_forbidden_device(captured) => Err(Cause::DeviceForbidden),
                (Some(mount), Some(private_ns)) => self.detached_file(captured, mount, private_ns),
                _ if self.outside.mounts.contains(&captured.mount) => self.given_file(captured),
                _ => self.other_file(captured),
            };
            match found {
                Ok(file) => drop(files.insert(captured.id(), file)),
                Err(cause) => refusals.push(refuse(captured, cause)),
            }
        }
    }

    /// A file on a detached mount, by its path from the mount's root.
    fn detached_file(
        &mut self,
        captured: &CapturedObject,
        mount: &DetachedMount,
        private_ns: &PrivateMountNs,
    ) -> Result<usize, Cause> {
        let path = without_slash(&captured.link);
        let stripped: Option<Bytes> = path.0.strip_suffix(DELETED).map(Bytes::from);
        let is_live = mount.removed_root.is_none()
            && is_at(private_ns, &join(&mount.root, &path), captured)
            && self.is_under(captured, &path, stripped.as_ref(), private_ns)?;
        let (path, name) = match stripped {
            _ if is_live && self.options.fault != Some(Fault::DeletedSuffixLiteral) => (path, None),
            Some(stripped) => (stripped, Some(mount.base)),
            None if is_live => (path, None),
            None => return Err(Cause::NotUnderItsName),
        };
        let name = match name {
            Some(base) => {
                let name = self.removed(captured, base, &join(&mount.root, &path), private_ns)?;
                match mount.removed_root {
                    Some(root) => self.on_removed_root(captured, &path, name, root)?,
                    None => name,
                }
            }
            None => NameImage::Live { file: captured.status.file, kind: captured.status.kind },
        };
        let path = wrong::path(self.options.fault, captured, mount, private_ns, path)?;
        Ok(self.file(captured, path, name))
    }

    /// A file with a name which ends in " (deleted)" may still be a removed one with a
    /// shorter name and this one left: the directory entry tells.
    fn is_under(
        &self,
        captured: &CapturedObject,
        path: &Bytes,
        stripped: Option<&Bytes>,
        at: &PrivateMountNs,
    ) -> Result<bool, Cause> {
        if stripped.is_none() || captured.status.kind == FileKind::Directory || captured.status.links < 2 {
            return Ok(true);
        }
        let entry =
            entry::entry_of(self.watch(), self.proc, captured, at).map_err(Cause::of("finding its directory entry"))?;
        match entry {
            Some(entry) => Ok(path.0.ends_with(entry.name.as_slice())),
            None => Err(Cause::Ambiguous("a name that ends in \" (deleted)\"".to_owned())),
        }
    }

    fn watch(&self) -> Option<&EntryWatch> {
        self.watch.get_or_init(|| EntryWatch::new().ok()).as_ref()
    }

    /// The index of this file, noted now unless it was before.
    fn file(&mut self, captured: &CapturedObject, path: Bytes, name: NameImage) -> usize {
        let mount = self.mounts[&captured.mount];
        let same = |file: &FileImage| file.mount == mount && file.path == path && file.name == name;
        if let Some(index) = self.checkpoint.files.iter().position(same) {
            return index;
        }
        self.checkpoint.files.push(FileImage { object: captured.label.clone(), mount, path, name });
        self.checkpoint.files.len() - 1
    }

    /// The index of this inode.
    fn inode(&mut self, inode: InodeImage) -> usize {
        if let Some(index) = self.checkpoint.inodes.iter().position(|other| other.file == inode.file) {
            return index;
        }
        self.checkpoint.inodes.push(inode);
        self.checkpoint.inodes.len() - 1
    }
}

/// Whether its mount became `nodev` after the open (mount(2), `may_open_dev` in fs/namei.c).
fn is_forbidden_device(captured: &CapturedObject) -> bool {
    let is_device = matches!(captured.status.kind, FileKind::CharDevice | FileKind::BlockDevice);
    let is_open = captured.descriptor.as_ref().is_some_and(|one| one.flags.cast_signed() & libc::O_PATH == 0);
    is_device && is_open && captured.mount_flags & libc::ST_NODEV != 0
}

fn refuse(captured: &CapturedObject, cause: Cause) -> Refusal {
    Refusal { label: captured.label.clone(), link: captured.link.clone(), cause }
}

/// Whether this path on the bare mount leads to the object.
fn is_at(private_ns: &PrivateMountNs, path: &Bytes, captured: &CapturedObject) -> bool {
    let found = look_at(private_ns.root.as_fd(), path).and_then(|fd| observe::status(fd.as_fd()));
    found.is_ok_and(|found| found.file == captured.status.file)
}

/// A link text as a path below the root that it starts from.
fn without_slash(link: &Bytes) -> Bytes {
    link.0.strip_prefix(b"/").unwrap_or(&link.0).into()
}

/// Filesystems that are never in a mountinfo.
fn is_internal(captured: &CapturedObject) -> bool {
    observe::is_internal(captured.magic_number, &captured.link)
}
