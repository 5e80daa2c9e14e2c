//! Names that are gone. An object that was opened by a name which was removed since shows that name and `(deleted)`. To
//! get it back the name must stand in its directory at the moment of the open and be removed afterwards. So: for the moment, missing
//! directories are made, whoever took the name steps aside, the inode gets the name (a link, where it has other
//! names; else it is made from its contents), everything that has it is opened, and all of this is undone, with the
//! times of the directories.
//!
//! All such names are put back at once, because one may be in the directory of another. Two of the same name take turns.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, FcntlArg, OFlag, RenameFlags, fcntl, openat, renameat2};
use nix::sys::stat::{Mode, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};
use protocol::Fault;
use protocol::observation::FileKind;
use scenarios::Bytes;

use super::super::image::{InodeSource, NameImage};
use super::super::table::{join, split};
use super::super::workshop::{Away, look_at};
use super::mounts::Stage;
use super::open::linked;
use super::{Failure, Opened, at, inode, wrong};
use crate::observe;
use crate::sys::set_apart;

/// A name that is put back: on which visible mount, and its path there.
type Spot = (u64, Bytes);

/// A file whose name is to be put back.
struct Waiting {
    spot: Spot,
    inode: usize,
    file: usize,
    /// So many of the directories above are gone as well.
    gone: usize,
}

/// A thing to undo, on a directory.
enum Undo {
    Unlink(Bytes),
    Rmdir(Bytes),
    Return { from: Bytes, to: Bytes },
}

/// One turn: what was done, in its order.
struct Turn<'a> {
    stage: &'a Stage<'a>,
    undo: Vec<(OwnedFd, Undo)>,
    /// The times of the directories that were touched.
    times: BTreeMap<Spot, (OwnedFd, [(i64, i64); 2])>,
    /// Of each inode the name that it has for the moment.
    named: BTreeMap<usize, (OwnedFd, Bytes)>,
    /// The directories that stand there for the moment only.
    made: BTreeSet<Spot>,
}

/// Opens every file whose name is gone or never was.
///
/// # Errors
/// The first thing that could not be done; what was done is undone even then.
pub(super) fn with_removed(stage: &Stage<'_>, opened: &mut Opened) -> Result<(), Failure> {
    let mut waiting: Vec<Waiting> = Vec::new();
    for (index, file) in stage.image.files.iter().enumerate() {
        match file.name {
            NameImage::Removed { inode, gone } => {
                let path = stage.path_on_bench(index).unwrap_or_default();
                let spot = (stage.image.inodes[inode].base, path);
                waiting.push(Waiting { spot, inode, file: index, gone });
            }
            NameImage::Never { inode } => never_named(stage, index, inode, opened)?,
            NameImage::Memfd { .. } => stage.open_memfd(index, opened)?,
            NameImage::Live { .. } | NameImage::Socket { .. } => {}
        }
    }
    // Directories before what is in them.
    let depth = |path: &Bytes| path.0.iter().filter(|&&byte| byte == b'/').count();
    waiting.sort_by_key(|name| (name.spot.0, depth(&name.spot.1), name.inode));
    while !waiting.is_empty() {
        let mut taken: BTreeMap<Spot, usize> = BTreeMap::new();
        let (now, later): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|name| *taken.entry(name.spot.clone()).or_insert(name.inode) == name.inode);
        let mut turn = Turn::new(stage);
        let result = turn.take(&now, opened);
        turn.end().map_err(at("putting directories back as they were"))?;
        result?;
        waiting = later;
    }
    Ok(())
}

/// A file that never had a name is made without one. The directory that it was made in is there for the moment.
fn never_named(stage: &Stage<'_>, file: usize, inode: usize, opened: &mut Opened) -> Result<(), Failure> {
    let object = &stage.image.files[file].object;
    let directory = split(&stage.path_on_bench(file).unwrap_or_default()).0;
    let mut turn = Turn::new(stage);
    let result = turn.directory(stage.image.inodes[inode].base, &directory, 0).map_err(at(object));
    let result = result.and_then(|_| opened_unnamed(stage, file, inode, opened));
    turn.end().map_err(at("putting directories back as they were"))?;
    result
}

fn opened_unnamed(stage: &Stage<'_>, file: usize, inode: usize, opened: &mut Opened) -> Result<(), Failure> {
    let image = &stage.image.files[file];
    let InodeSource::Kept(contents) = &stage.image.inodes[inode].source else { return Ok(()) };
    let opener = stage.opener(image.mount)?;
    let directory = join(&opener.prefix, &split(&image.path).0);
    let directory = if directory.is_empty() { b".".as_slice() } else { directory.as_slice() };
    let mut first = None;
    for purpose in stage.uses(file) {
        let flags = OFlag::from_bits_retain(stage.flags(purpose));
        let fd = match &first {
            None => {
                let mode = Mode::from_bits_truncate(contents.mode);
                // With O_APPEND a write at an offset goes to the end all the same (pwrite(2)): it is set afterwards.
                let without_append = (flags & !OFlag::O_APPEND) | OFlag::O_TMPFILE | OFlag::O_CLOEXEC;
                let made = openat(&opener.root, directory, without_append, mode).map_err(at(&image.object))?;
                inode::fill(&made, contents).map_err(at(&image.object))?;
                fcntl(&made, FcntlArg::F_SETFL(flags)).map_err(at(&image.object))?;
                inode::own_times(&made, contents.times).map_err(at(&image.object))?;
                first = Some(set_apart(&made).map_err(at(&image.object))?);
                set_apart(made).map_err(at(&image.object))?
            }
            Some(first) => stage.open_again(first, flags & !OFlag::O_TMPFILE).map_err(at(&image.object))?,
        };
        stage.keep(opened, purpose, fd)?;
    }
    Ok(())
}

impl<'a> Turn<'a> {
    fn new(stage: &'a Stage<'a>) -> Self {
        Turn { stage, undo: Vec::new(), times: BTreeMap::new(), named: BTreeMap::new(), made: BTreeSet::new() }
    }

    fn take(&mut self, now: &[Waiting], opened: &mut Opened) -> Result<(), Failure> {
        let mut spots = BTreeSet::new();
        for Waiting { spot, inode, file, gone } in now {
            let object = &self.stage.image.files[*file].object;
            if spots.insert(spot.clone()) {
                self.name(spot, *inode, *gone).map_err(at(format!("{object}: putting its name back")))?;
            }
        }
        for Waiting { spot, inode, file, .. } in now {
            let kind = self.kind(*inode);
            for purpose in self.stage.uses(*file) {
                let fd = self.stage.open(*file, purpose, kind, opened)?;
                self.stage.keep(opened, purpose, fd)?;
                if self.stage.options.fault == Some(Fault::GhostCopy) {
                    self.copy(spot, *inode).map_err(at("a mistake"))?;
                }
            }
        }
        Ok(())
    }

    fn kind(&self, inode: usize) -> FileKind {
        match &self.stage.image.inodes[inode].source {
            InodeSource::Kept(contents) => contents.kind,
            InodeSource::Linked { .. } => FileKind::File,
        }
    }

    /// Gives an inode its name.
    fn name(&mut self, spot: &Spot, inode: usize, gone: usize) -> io::Result<()> {
        let (directory, name) = split(&spot.1);
        let directory = self.directory(spot.0, &directory, gone)?;
        let fault = self.stage.options.fault;
        if fault == Some(Fault::SameName) && look_at(directory.as_fd(), &name).is_ok() {
            return Ok(());
        }
        self.step_aside(spot.0, &directory, &name)?;
        let source = &self.stage.image.inodes[inode].source;
        match (self.named.get(&inode), source) {
            (Some((other, old)), _) => {
                linkat(other, old.as_slice(), &directory, name.as_slice(), AtFlags::empty())?;
            }
            (None, InodeSource::Kept(contents)) => inode::make(self.stage.proc, directory.as_fd(), &name, contents)?,
            (None, InodeSource::Linked { .. }) => {
                let bench = self.stage.bench(spot.0).map_err(|failure| failure.error)?;
                let found = linked(bench, source)?;
                if observe::status(found.as_fd())?.file != self.stage.image.inodes[inode].file {
                    return Err(io::Error::other("its other name leads to another file now"));
                }
                linkat(&found, "", &directory, name.as_slice(), AtFlags::AT_EMPTY_PATH)?;
            }
        }
        if fault == Some(Fault::GhostLeft)
            && let InodeSource::Kept(contents) = source
        {
            inode::make(self.stage.proc, directory.as_fd(), &".zdtm-detached-ghost".into(), contents)?;
        }
        let undo = match (self.kind(inode), fault) {
            (_, Some(Fault::Undeleted)) => None,
            (FileKind::Directory, Some(Fault::RenamedNotRemoved)) => {
                let to = [name.as_slice(), b" (deleted)"].concat().into();
                Some(Undo::Return { from: name.clone(), to })
            }
            (FileKind::Directory, _) => Some(Undo::Rmdir(name.clone())),
            _ => Some(Undo::Unlink(name.clone())),
        };
        if let Some(undo) = undo {
            self.undo.push((directory.try_clone()?, undo));
        }
        if self.kind(inode) == FileKind::Directory {
            self.made.insert(spot.clone());
        }
        self.named.insert(inode, (directory, name));
        Ok(())
    }

    /// A directory on the visible mount; made for the moment, with those above it, where it is missing or something else has
    /// its name, and where it is one of the last `gone`: whoever has the name steps aside.
    fn directory(&mut self, base: u64, path: &Bytes, gone: usize) -> io::Result<OwnedFd> {
        let stage = self.stage;
        let mut at: OwnedFd = set_apart(stage.bench(base).map_err(|failure| failure.error)?)?;
        let mut walked: Vec<u8> = Vec::new();
        let names: Vec<Bytes> =
            path.0.split(|&byte| byte == b'/').filter(|name| !name.is_empty()).map(Bytes::from).collect();
        for (index, name) in names.iter().enumerate() {
            let spot = (base, join(&walked.as_slice().into(), name));
            let is_gone = index + gone >= names.len() && !self.made.contains(&spot);
            let next = match look_at(at.as_fd(), name) {
                Ok(found) if !is_gone && observe::status(found.as_fd())?.kind == FileKind::Directory => found,
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {
                    self.touch(base, &walked, &at)?;
                    self.step_aside(base, &at, name)?;
                    mkdirat(&at, name.as_slice(), Mode::from_bits_truncate(0o700))?;
                    self.undo.push((at.try_clone()?, Undo::Rmdir(name.clone())));
                    self.made.insert(spot.clone());
                    look_at(at.as_fd(), name)?
                }
            };
            walked = spot.1.0;
            at = set_apart(next)?;
        }
        self.touch(base, &walked, &at)?;
        Ok(at)
    }

    /// Remembers the times of a directory before it is changed.
    fn touch(&mut self, base: u64, path: &[u8], dir: &OwnedFd) -> io::Result<()> {
        let spot = (base, Bytes::from(path));
        if let Entry::Vacant(place) = self.times.entry(spot) {
            let stat = fstatat(dir, "", AtFlags::AT_EMPTY_PATH)?;
            let times = [(stat.st_atime, stat.st_atime_nsec), (stat.st_mtime, stat.st_mtime_nsec)];
            place.insert((dir.try_clone()?, times));
        }
        Ok(())
    }

    /// Whoever has the name now gets another one for the moment.
    fn step_aside(&mut self, base: u64, dir: &OwnedFd, name: &Bytes) -> io::Result<()> {
        if look_at(dir.as_fd(), name).is_err() {
            return Ok(());
        }
        for number in 0.. {
            let aside = Bytes::from(format!(".zdtm-detached-{}-{number}", std::process::id()).as_str());
            match moved(self.stage.proc, dir.as_fd(), name, &aside) {
                Ok(()) => {
                    wrong::aside(self.stage, base, dir.as_fd(), &aside)?;
                    if self.stage.options.fault == Some(Fault::TakerLost) {
                        return Ok(());
                    }
                    self.undo.push((dir.try_clone()?, Undo::Return { from: aside, to: name.clone() }));
                    return Ok(());
                }
                Err(Errno::EEXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        unreachable!("the numbers do not end")
    }

    /// The mistake of a copy for each who opens: what stands under the name is exchanged for another one.
    fn copy(&mut self, spot: &Spot, inode: usize) -> io::Result<()> {
        let (directory, name) = split(&spot.1);
        let directory = self.directory(spot.0, &directory, 0)?;
        if let InodeSource::Kept(contents) = &self.stage.image.inodes[inode].source {
            unlinkat(&directory, name.as_slice(), UnlinkatFlags::NoRemoveDir)?;
            inode::make(self.stage.proc, directory.as_fd(), &name, contents)?;
        }
        Ok(())
    }

    /// Undoes all, last things first, then puts the times back.
    fn end(self) -> io::Result<()> {
        let mut result = Ok(());
        for (dir, undo) in self.undo.into_iter().rev() {
            let done = undone(self.stage.proc, dir.as_fd(), &undo);
            result = result.and(done);
        }
        if self.stage.options.fault == Some(Fault::ParentTouched) {
            return result;
        }
        for (dir, times) in self.times.into_values() {
            // A directory that was made for the moment is gone by now.
            match inode::times(dir.as_fd(), &Bytes::default(), times) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                done => result = result.and(done),
            }
        }
        result
    }
}

/// Gives a name to what has another one. A mount point moves only where nothing is mounted on it.
fn moved(proc: BorrowedFd<'_>, dir: BorrowedFd<'_>, from: &Bytes, to: &Bytes) -> Result<(), Errno> {
    let rename = || renameat2(dir, from.as_slice(), dir, to.as_slice(), RenameFlags::RENAME_NOREPLACE);
    match rename() {
        Err(Errno::EBUSY) => {
            let _away = Away::where_nothing_is_mounted(proc).map_err(|_| Errno::EBUSY)?;
            rename()
        }
        result => result,
    }
}

fn undone(proc: BorrowedFd<'_>, dir: BorrowedFd<'_>, undo: &Undo) -> io::Result<()> {
    match undo {
        Undo::Unlink(name) => unlinkat(dir, name.as_slice(), UnlinkatFlags::NoRemoveDir)?,
        Undo::Rmdir(name) => unlinkat(dir, name.as_slice(), UnlinkatFlags::RemoveDir)?,
        Undo::Return { from, to } => moved(proc, dir, from, to)?,
    }
    Ok(())
}
