//! Names that are gone. An object that was opened by a name which was removed since shows that name
//! and `(deleted)`. To get it back the name must be in its directory at the moment of the open
//! and be removed afterwards. So: for the moment, missing directories are made, the file that took
//! the name steps aside, the inode gets the name (a link, where it has other names; else it is made
//! from its contents), everything that has it is opened, and all of this is undone, with the times
//! of the directories.
//!
//! What is below a removed directory is opened while that stands: they are a tree ([`Node`]), which
//! is walked from the top. Two of one name come one after the other, each with its own below it.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, FcntlArg, OFlag, fcntl, openat};
use nix::sys::stat::{Mode, fstat, mkdirat};
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};
use protocol::Fault;
use protocol::observation::{FileId, FileKind};
use rustix::fs::{RenameFlags, renameat_with};
use scenarios::Bytes;

use super::super::checkpoint::{InodeSource, NameImage};
use super::super::private_mount_ns::{NamespaceGuard, look_at};
use super::super::table::{join, split};
use super::mounts::RestoreContext;
use super::open::linked;
use super::{Failure, Opened, at, inode, magic, wrong};
use crate::observe;
use crate::sys::{self, set_apart};

/// What is put back under a name, and below it.
#[derive(Default)]
struct Node {
    /// The inode that stands here, where an object has it; else it is a directory, for the moment.
    inode: Option<usize>,
    /// The files that are opened by this name.
    files: Vec<usize>,
    /// Files that are made in this directory without a name, and their inodes.
    unnamed: Vec<(usize, usize)>,
    /// Detached mounts of which this is the root: they are made while it is here.
    mounts: Vec<usize>,
    /// By name and by which of several that had it; none for the directory that has it now, or any
    /// where it is missing.
    below: BTreeMap<(Bytes, Option<FileId>), Node>,
}

/// A thing to undo, in a directory.
enum Undo {
    Unlink(Bytes),
    Rmdir(Bytes),
    Return { from: Bytes, to: Bytes },
}

/// A directory of the walk.
struct Directory<'a> {
    fd: OwnedFd,
    /// The nearest one above it that is there to stay; `None` when it is there to stay itself.
    lasting: Option<&'a Directory<'a>>,
    /// The visible mount.
    base: u64,
}

/// The walk.
struct Walk<'a> {
    context: &'a RestoreContext<'a>,
    /// Of each inode how many names are to be put back.
    names: BTreeMap<usize, usize>,
    /// The times of the directories that were changed, and of files that changed with them.
    times: Vec<(OwnedFd, [(i64, i64); 2])>,
    /// Inodes with more names to come have one, out of the way, for the meantime.
    spare: BTreeMap<usize, (OwnedFd, Bytes)>,
}

/// Opens every file whose name is gone or never was.
///
/// # Errors
/// The first thing that could not be done; what was done is undone even then.
pub(super) fn with_removed(context: &RestoreContext<'_>, opened: &mut Opened) -> Result<(), Failure> {
    let mut trees: BTreeMap<u64, Node> = BTreeMap::new();
    let mut walk = Walk { context, names: BTreeMap::new(), times: Vec::new(), spare: BTreeMap::new() };
    for (index, base, root, inode) in context.removed_roots() {
        let (directory, name) = split(root);
        let node = trees.entry(base).or_default().directory(&directory, &[]);
        let node = node.below.entry((name, Some(context.checkpoint.inodes[inode].file))).or_default();
        *walk.names.entry(inode).or_default() += usize::from(node.inode.is_none());
        node.inode = Some(inode);
        node.mounts.push(index);
    }
    for (index, file) in context.checkpoint.files.iter().enumerate() {
        let path = context.path_on_writable_root(index).unwrap_or_default();
        match &file.name {
            NameImage::Removed { inode, above } => {
                let (directory, name) = split(&path);
                let tree = trees.entry(context.checkpoint.inodes[*inode].base).or_default();
                let node = tree.directory(&directory, above);
                let node = node.below.entry((name, Some(context.checkpoint.inodes[*inode].file))).or_default();
                *walk.names.entry(*inode).or_default() += usize::from(node.inode.is_none());
                node.inode = Some(*inode);
                node.files.push(index);
            }
            NameImage::Never { inode, above } => {
                let tree = trees.entry(context.checkpoint.inodes[*inode].base).or_default();
                tree.directory(&split(&path).0, above).unnamed.push((index, *inode));
            }
            NameImage::Memfd { .. } => context.open_memfd(index, opened)?,
            NameImage::Live { .. } | NameImage::Pathless { .. } => {}
        }
    }
    let result = trees.iter().try_for_each(|(base, tree)| {
        let fd = set_apart(context.writable_root(*base)?).map_err(at("a mount to put names back through"))?;
        walk.within(&Directory { fd, lasting: None, base: *base }, tree, opened)
    });
    result.and(walk.end().map_err(at(BACK)))
}

/// `MSDOS_SUPER_MAGIC`, include/uapi/linux/magic.h.
const VFAT: u64 = 0x4d44;

const BACK: &str = "putting directories back as they were";

impl Directory<'_> {
    fn lasting(&self) -> &Directory<'_> {
        self.lasting.unwrap_or(self)
    }
}

impl Node {
    /// The directory of this path, of which the last ones are these, the nearest first.
    fn directory(&mut self, path: &Bytes, above: &[Option<FileId>]) -> &mut Node {
        let names: Vec<&[u8]> = path.0.split(|&byte| byte == b'/').filter(|name| !name.is_empty()).collect();
        let count = names.len();
        names.into_iter().enumerate().fold(self, |node, (index, name)| {
            let which = above.get(count - 1 - index).copied().flatten();
            node.below.entry((name.into(), which)).or_default()
        })
    }

    /// The first file here or below, for messages.
    fn first(&self) -> Option<usize> {
        let here = self.files.first().copied().or(self.unnamed.first().map(|(file, _)| *file));
        here.or_else(|| self.below.values().find_map(Node::first))
    }
}

/// A file that never had a name is made without one, in the directory where it was made.
fn opened_unnamed(context: &RestoreContext<'_>, file: usize, inode: usize, opened: &mut Opened) -> Result<(), Failure> {
    let image = &context.checkpoint.files[file];
    let InodeSource::Contents(contents) = &context.checkpoint.inodes[inode].source else { return Ok(()) };
    let opener = context.opener(image.mount)?;
    let directory = join(&opener.prefix, &split(&image.path).0);
    let directory = if directory.is_empty() { b".".as_slice() } else { directory.as_slice() };
    let mut first = None;
    for purpose in context.uses(file) {
        let flags = OFlag::from_bits_retain(context.flags(purpose));
        let fd = match &first {
            None => {
                let mode = Mode::from_bits_truncate(contents.mode);
                // With O_APPEND a write at an offset goes to the end all the same (pwrite(2)): it
                // is set afterwards.
                let mut without_append = (flags & !OFlag::O_APPEND) | OFlag::O_TMPFILE | OFlag::O_CLOEXEC;
                without_append.set(OFlag::O_EXCL, context.options.fault == Some(Fault::TmpfileUnlinkable));
                let made = openat(&opener.root, directory, without_append, mode).map_err(at(&image.object))?;
                inode::fill(&made, contents).map_err(at(&image.object))?;
                fcntl(&made, FcntlArg::F_SETFL(flags)).map_err(at(&image.object))?;
                inode::own_times(&made, contents.times).map_err(at(&image.object))?;
                first = Some(set_apart(&made).map_err(at(&image.object))?);
                set_apart(made).map_err(at(&image.object))?
            }
            Some(first) => context.open_again(first, flags & !OFlag::O_TMPFILE).map_err(at(&image.object))?,
        };
        context.keep(opened, purpose, fd)?;
    }
    Ok(())
}

impl Walk<'_> {
    /// Puts back what is below a directory, one after the other.
    fn within(&mut self, directory: &Directory<'_>, node: &Node, opened: &mut Opened) -> Result<(), Failure> {
        for (file, inode) in &node.unnamed {
            opened_unnamed(self.context, *file, *inode, opened)?;
        }
        let mut touched = false;
        for ((name, which), child) in &node.below {
            if which.is_none()
                && let Ok(fd) = look_at(directory.fd.as_fd(), name)
                && observe::status(fd.as_fd()).map_err(at(BACK))?.kind == FileKind::Directory
            {
                let fd = set_apart(fd).map_err(at(BACK))?;
                self.within(&Directory { fd, lasting: None, base: directory.base }, child, opened)?;
                continue;
            }
            // The times of temporary directories do not matter: they are removed.
            if !touched && (directory.lasting.is_none() || node.inode.is_some()) {
                self.touch(&directory.fd).map_err(at(BACK))?;
                touched = true;
            }
            let mut undo = Vec::new();
            let result = self.put_back(directory, name, child, &mut undo, opened);
            let undone =
                undo.into_iter().rev().try_for_each(|undo| undone(self.context.proc, directory.fd.as_fd(), &undo));
            result.and(undone.map_err(at(BACK)))?;
        }
        Ok(())
    }

    /// Gives an inode its name, or makes a directory, and opens what has it and what is below it.
    fn put_back(
        &mut self,
        directory: &Directory<'_>,
        name: &Bytes,
        node: &Node,
        undo: &mut Vec<Undo>,
        opened: &mut Opened,
    ) -> Result<(), Failure> {
        let context = self.context;
        let object = || node.first().map_or("a file", |file| context.checkpoint.files[file].object.as_str());
        let named = self.name(directory, name, node.inode, undo);
        named.map_err(at(format!("{}: putting its name back", object())))?;
        for mount in &node.mounts {
            context.make(*mount)?;
        }
        let kind = node.inode.map_or(FileKind::Directory, |inode| self.kind(inode));
        for file in &node.files {
            for purpose in self.context.uses(*file) {
                let fd = self.context.open(*file, purpose, kind, opened)?;
                self.context.keep(opened, purpose, fd)?;
                if let (Some(Fault::GhostCopy), Some(inode)) = (self.context.options.fault, node.inode) {
                    self.copy(&directory.fd, name, inode).map_err(at("a mistake"))?;
                }
            }
        }
        if node.below.is_empty() && node.unnamed.is_empty() {
            return Ok(());
        }
        let fd = look_at(directory.fd.as_fd(), name).and_then(set_apart).map_err(at(object()))?;
        self.within(&Directory { fd, lasting: Some(directory.lasting()), base: directory.base }, node, opened)
    }

    fn kind(&self, inode: usize) -> FileKind {
        self.context.checkpoint.inodes[inode].source.kind()
    }

    /// Gives an inode its name, a new directory where it is missing.
    fn name(
        &mut self,
        directory: &Directory<'_>,
        name: &Bytes,
        inode: Option<usize>,
        undo: &mut Vec<Undo>,
    ) -> io::Result<()> {
        let dir = &directory.fd;
        let fault = self.context.options.fault;
        if inode.is_some() && fault == Some(Fault::SameName) && look_at(dir.as_fd(), name).is_ok() {
            return Ok(());
        }
        undo.extend(self.step_aside(directory, name)?);
        let Some(inode) = inode else {
            mkdirat(dir, name.as_slice(), Mode::from_bits_truncate(0o700))?;
            undo.push(Undo::Rmdir(name.clone()));
            return Ok(());
        };
        if let Err(error) = self.give(directory, name, inode) {
            // It may have been made in part, on a full disk for one.
            let how = if self.kind(inode) == FileKind::Directory { Undo::Rmdir } else { Undo::Unlink };
            let _ = undone(self.context.proc, dir.as_fd(), &how(name.clone()));
            return Err(error);
        }
        if fault == Some(Fault::GhostLeft)
            && let InodeSource::Contents(contents) = &self.context.checkpoint.inodes[inode].source
        {
            inode::make(self.context.proc, dir.as_fd(), &".zdtm-detached-ghost".into(), contents)?;
        }
        undo.extend(match (self.kind(inode), fault) {
            (_, Some(Fault::Undeleted)) => None,
            (FileKind::Directory, Some(Fault::RenamedNotRemoved)) => {
                let to = [name.as_slice(), b" (deleted)"].concat().into();
                Some(Undo::Return { from: name.clone(), to })
            }
            (FileKind::Directory, _) => Some(Undo::Rmdir(name.clone())),
            _ => Some(Undo::Unlink(name.clone())),
        });
        Ok(())
    }

    /// The inode under a free name.
    fn give(&mut self, directory: &Directory<'_>, name: &Bytes, inode: usize) -> io::Result<()> {
        let (context, dir) = (self.context, &directory.fd);
        let image = &context.checkpoint.inodes[inode];
        match (self.spare.get(&inode), &image.source) {
            (Some((other, old)), _) => linkat(other, old.as_slice(), dir, name.as_slice(), AtFlags::empty())?,
            (None, InodeSource::Contents(contents)) => {
                inode::make(context.proc, dir.as_fd(), name, contents)?;
                wrong::attribute(context.options.fault, dir.as_fd(), name)?;
                if sys::filesystem_of(dir.as_fd())?.0 == VFAT {
                    // The removal of the name moves them (`vfat_unlink`, fs/fat/namei_vfat.c).
                    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                    let file = set_apart(openat(dir, name.as_slice(), flags, Mode::empty())?)?;
                    self.times.push((file, contents.times));
                }
                if self.names[&inode] > 1 {
                    let lasting = directory.lasting();
                    let spare = Bytes::from(format!(".zdtm-detached-{}-spare-{inode}", std::process::id()).as_str());
                    linkat(dir, name.as_slice(), &lasting.fd, spare.as_slice(), AtFlags::empty())?;
                    self.spare.insert(inode, (lasting.fd.try_clone()?, spare));
                }
            }
            (None, InodeSource::Linked { .. }) => {
                let writable_root = context.writable_root(directory.base).map_err(|failure| failure.error)?;
                let found = linked(writable_root, &image.source)?;
                if observe::status(found.as_fd())?.file != image.file {
                    return Err(io::Error::other("its other name leads to another file now"));
                }
                // In a user namespace `AT_EMPTY_PATH` is not allowed (open(2)).
                linkat(context.proc, magic(&found).as_str(), dir, name.as_slice(), AtFlags::AT_SYMLINK_FOLLOW)?;
            }
        }
        Ok(())
    }

    /// Remembers the times of a directory before it is changed. The descriptor is a real one: with
    /// it they can be put back even when the directory is removed.
    fn touch(&mut self, dir: &OwnedFd) -> io::Result<()> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let dir = set_apart(openat(dir, ".", flags, Mode::empty())?)?;
        let stat = fstat(&dir)?;
        let times = [(stat.st_atime, stat.st_atime_nsec), (stat.st_mtime, stat.st_mtime_nsec)];
        self.times.push((dir, times));
        Ok(())
    }

    /// Gives the file that has the name now another one for the moment; returns how to undo that.
    fn step_aside(&self, directory: &Directory<'_>, name: &Bytes) -> io::Result<Option<Undo>> {
        let dir = directory.fd.as_fd();
        if look_at(dir, name).is_err() {
            return Ok(None);
        }
        for number in 0.. {
            let aside = Bytes::from(format!(".zdtm-detached-{}-{number}", std::process::id()).as_str());
            match moved(self.context.proc, dir, name, &aside) {
                Ok(()) => {
                    wrong::aside(self.context, directory.base, dir, &aside)?;
                    let lost = self.context.options.fault == Some(Fault::TakerLost);
                    return Ok((!lost).then(|| Undo::Return { from: aside, to: name.clone() }));
                }
                Err(Errno::EEXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        unreachable!("the numbers do not end")
    }

    /// The mistake of a copy for each open: the file at the name is exchanged for
    /// another one.
    fn copy(&self, dir: &OwnedFd, name: &Bytes, inode: usize) -> io::Result<()> {
        if let InodeSource::Contents(contents) = &self.context.checkpoint.inodes[inode].source {
            unlinkat(dir, name.as_slice(), UnlinkatFlags::NoRemoveDir)?;
            inode::make(self.context.proc, dir.as_fd(), name, contents)?;
        }
        Ok(())
    }

    /// Takes spare names away, then puts the times back, those first that were remembered last.
    fn end(self) -> io::Result<()> {
        let mut result = Ok(());
        for (dir, name) in self.spare.into_values() {
            result = result.and(unlinkat(&dir, name.as_slice(), UnlinkatFlags::NoRemoveDir).map_err(Into::into));
        }
        if self.context.options.fault == Some(Fault::ParentTouched) {
            return result;
        }
        for (dir, times) in self.times.into_iter().rev() {
            result = result.and(inode::own_times(&dir, times));
        }
        result
    }
}

/// Gives a name to what has another one. A mount point moves only where nothing is mounted on it.
fn moved(proc: BorrowedFd<'_>, dir: BorrowedFd<'_>, from: &Bytes, to: &Bytes) -> Result<(), Errno> {
    let rename = || renameat_with(dir, from.as_slice(), dir, to.as_slice(), RenameFlags::NOREPLACE);
    let renamed = match rename() {
        Err(rustix::io::Errno::BUSY) => {
            let _guard = NamespaceGuard::where_nothing_is_mounted(proc).map_err(|_| Errno::EBUSY)?;
            rename()
        }
        result => result,
    };
    renamed.map_err(|error| Errno::from_raw(error.raw_os_error()))
}

fn undone(proc: BorrowedFd<'_>, dir: BorrowedFd<'_>, undo: &Undo) -> io::Result<()> {
    match undo {
        Undo::Unlink(name) => unlinkat(dir, name.as_slice(), UnlinkatFlags::NoRemoveDir)?,
        Undo::Rmdir(name) => unlinkat(dir, name.as_slice(), UnlinkatFlags::RemoveDir)?,
        Undo::Return { from, to } => moved(proc, dir, from, to)?,
    }
    Ok(())
}
