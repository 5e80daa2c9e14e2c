//! Steps that make objects and change their state.

use super::files::{Ino, Kind, Type};
use super::mounts::Path;
use super::nodes::OFFSET_LIMIT;
use super::opening::{Access, tmpfile};
use super::processes::Process;
use super::{Model, Refusal, Result, errno, trees, unknown, watches};
use crate::program::{ObjectName, OpenFlag, Place, Seal};
use vocabulary::Errno;

/// What an object's name refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// A descriptor, with the number of its open file description.
    Descriptor(usize),
    /// A mapping; it holds the description that it was made from.
    Mapping(usize),
    /// A descriptor in a socket's queue.
    InFlight(usize),
    /// One end of a socket pair.
    Socket,
    /// An instance of epoll, inotify or fanotify, by its number.
    Watcher(usize),
}

/// An open file description.
#[derive(Clone, Debug)]
pub(super) struct Description {
    pub(super) path: Path,
    pub(super) reads: bool,
    pub(super) writes: bool,
    pub(super) path_only: bool,
    /// Made by this open, without a name.
    pub(super) unnamed: bool,
    pub(super) append: bool,
    pub(super) direct: bool,
    /// In bytes; `None` where the filesystem chooses the number.
    pub(super) position: Option<u64>,
    /// Bytes in a pipe stay in the inode, but only while it is open.
    pub(super) untouched: bool,
    /// It is a tree that is attached nowhere: its end is the tree's (`FMODE_NEED_UNMOUNT`).
    pub(super) tree: bool,
    /// The process gets its signals (`F_SETOWN`).
    pub(super) owned: bool,
    /// Which signal that is (`F_SETSIG`).
    pub(super) signal: u8,
}

impl Description {
    /// One that was opened for nothing.
    pub(super) fn of(path: Path) -> Self {
        Description {
            path,
            reads: false,
            writes: false,
            path_only: false,
            unnamed: false,
            append: false,
            direct: false,
            position: Some(0),
            untouched: true,
            tree: false,
            owned: false,
            signal: 0,
        }
    }
}

pub(super) fn open(model: &mut Model, name: &ObjectName, at: &Place, flags: &[OpenFlag]) -> Result<()> {
    let has = |flag| flags.contains(&flag);
    let access = Access::of(flags);
    let path_only = has(OpenFlag::Path);
    let path = if path_only {
        let path = if access.nofollow { model.find_link(at)? } else { model.find(at)? };
        if access.directory && !model.files.is_directory(path.den) {
            return errno(Errno::ENOTDIR);
        }
        path
    } else if has(OpenFlag::Tmpfile) {
        tmpfile(model, at, access)?
    } else {
        model.open_path(at, access)?
    };
    model.keep(
        name,
        Description {
            reads: access.reads && !path_only,
            writes: access.writes,
            path_only,
            unnamed: has(OpenFlag::Tmpfile) && !path_only,
            append: has(OpenFlag::Append),
            direct: access.direct,
            ..Description::of(path)
        },
    );
    Ok(())
}

pub(super) fn dup(model: &mut Model, name: &ObjectName, of: &ObjectName) -> Result<()> {
    let description = model.descriptor(of)?;
    model.process.objects.insert(name.clone(), Held::Descriptor(description));
    Ok(())
}

pub(super) fn memfd(model: &mut Model, name: &ObjectName, label: &[u8], sealable: bool) -> Result<()> {
    let mnt = match model.internal {
        Some(mnt) => mnt,
        None => {
            let sb = model.files.add_superblock(Type::Internal);
            let root = model.files.superblock(sb).root;
            *model.internal.insert(model.mounts.add(sb, root))
        }
    };
    let row = model.mounts.get(mnt);
    let (sb, root) = (row.sb, row.root);
    let inode = model.files.add_inode(sb, Kind::File);
    model.files.inode_mut(inode).links = 0;
    if !sealable {
        model.files.inode_mut(inode).seals.insert(Seal::Seal);
    }
    // The text that `simple_dname` makes (fs/d_path.c).
    let text = [b"/memfd:", label, b" (deleted)"].concat();
    let den = model.files.add_loose(root, &text, inode);
    model.keep(name, Description { reads: true, writes: true, ..Description::of(Path { mnt, den }) });
    Ok(())
}

pub(super) fn map(model: &mut Model, name: &ObjectName, of: &ObjectName, shared_write: bool) -> Result<()> {
    let number = model.descriptor(of)?;
    let description = &model.descriptions[number];
    if description.path_only {
        return errno(Errno::EBADF);
    }
    if !description.reads || shared_write && !description.writes {
        return errno(Errno::EACCES);
    }
    let path = description.path;
    let is_sealed = model.files.inode_of(path.den).seals.iter().any(|seal| *seal != Seal::Seal);
    match model.files.inode_of(path.den).kind {
        Kind::File if is_sealed => unknown("mapping a memfd with seals"),
        Kind::File if model.files.type_of(path.den).is_kernels() => unknown("mapping a file of the kernel's"),
        Kind::File => {
            model.process.objects.insert(name.clone(), Held::Mapping(number));
            Ok(())
        }
        Kind::Device(..) => unknown("mapping a device"),
        _ => errno(Errno::ENODEV),
    }
}

pub(super) fn socket(model: &mut Model, name: &ObjectName) -> Result<()> {
    model.process.objects.insert(name.clone(), Held::Socket);
    Ok(())
}

pub(super) fn send(model: &mut Model, name: &ObjectName, over: &ObjectName, object: &ObjectName) -> Result<()> {
    if model.process.objects.get(over) != Some(&Held::Socket) {
        return Err(Refusal::Fails("the object is no socket"));
    }
    let description = model.descriptor(object)?;
    model.process.objects.insert(name.clone(), Held::InFlight(description));
    Ok(())
}

pub(super) fn receive(model: &mut Model, name: &ObjectName, over: &ObjectName) -> Result<()> {
    let mut received = None;
    for message in model.queues.next(&model.full_name(over)) {
        let (process, message) = message.parts();
        let process =
            if process == model.process.name { Some(&mut model.process) } else { model.others.get_mut(&process) };
        received = process.and_then(|process| process.objects.remove(&message)).or(received);
    }
    let Some(Held::InFlight(description)) = received else { return Err(Refusal::Fails("nothing waits in the queue")) };
    model.process.objects.insert(name.clone(), Held::Descriptor(description));
    Ok(())
}

pub(super) fn seek(model: &mut Model, object: &ObjectName, offset: u64) -> Result<()> {
    const LARGEST: u64 = i64::MAX.cast_unsigned();
    let number = model.descriptor(object)?;
    let path = model.descriptions[number].path;
    let position = match model.files.inode_of(path.den).kind {
        Kind::Fifo => return errno(Errno::ESPIPE),
        Kind::File if offset < OFFSET_LIMIT => Some(offset),
        // `MAX_LFS_FILESIZE`; a disk's filesystem has less.
        Kind::File if offset <= LARGEST && model.files.type_of(path.den) == Type::Tmpfs => Some(offset),
        Kind::Directory if offset == 0 => Some(0),
        _ => return unknown("which positions there are"),
    };
    let description = &mut model.descriptions[number];
    description.position = position;
    description.untouched &= offset == 0;
    Ok(())
}

pub(super) fn read(model: &mut Model, object: &ObjectName, length: u64) -> Result<()> {
    let number = model.descriptor(object)?;
    if length == 0 {
        return Ok(());
    }
    let description = &model.descriptions[number];
    let row = model.files.inode_of(description.path.den);
    if !description.reads {
        return errno(Errno::EBADF);
    }
    match row.kind {
        Kind::Directory => errno(Errno::EISDIR),
        Kind::File if description.direct || row.opaque => unknown("reading past the page cache, or an unknown file"),
        Kind::File => {
            let Some(position) = description.position else { return unknown("the position") };
            if position.checked_add(length).is_none_or(|end| end > row.content.length()) {
                return Err(Refusal::Fails("the file ends too early"));
            }
            model.descriptions[number].position = Some(position + length);
            Ok(())
        }
        Kind::Fifo if row.content.length() >= length => {
            let rest = row.content.length() - length;
            let ino = model.inode_at(model.descriptions[number].path);
            model.files.inode_mut(ino).content.truncate(rest);
            Ok(())
        }
        Kind::Device(_, 1, 3) => Err(Refusal::Fails("the file ends too early")),
        Kind::Device(_, 1, 5) => Ok(()),
        _ => unknown("a read that may wait for ever"),
    }
}

pub(super) fn write(model: &mut Model, object: &ObjectName, bytes: &[u8]) -> Result<()> {
    const PIPE_LIMIT: u64 = 4096;
    let number = model.descriptor(object)?;
    let description = &model.descriptions[number];
    if !description.writes {
        return errno(Errno::EBADF);
    }
    let path = description.path;
    let ino = model.inode_at(path);
    let row = model.files.inode(ino);
    let count = bytes.len() as u64;
    match row.kind {
        Kind::File if count > 0 && row.seals.iter().any(|seal| *seal != Seal::Seal) => {
            unknown("writing to a memfd with seals")
        }
        Kind::File if description.direct && count > 0 => unknown("writing past the page cache"),
        Kind::File => {
            let position = if description.append { Some(row.content.length()) } else { description.position };
            let Some(position) = position.filter(|position| *position < OFFSET_LIMIT) else {
                return unknown("the position");
            };
            if count > 0 {
                model.descriptions[number].position = Some(position + count);
                model.changed(ino);
                model.files.inode_mut(ino).content.write(position, bytes);
            }
            Ok(())
        }
        Kind::Fifo => {
            let reader = model.descriptions_of(ino).iter().any(|&index| model.descriptions[index].reads);
            let length = row.content.length();
            if !reader || length + count > PIPE_LIMIT {
                return unknown("writing to a pipe that nobody reads, or that is full");
            }
            model.files.inode_mut(ino).content.truncate(length + count);
            Ok(())
        }
        Kind::Device(..) => Ok(()),
        _ => unknown("writing to this"),
    }
}

pub(super) fn read_entries(model: &mut Model, object: &ObjectName) -> Result<()> {
    let number = model.descriptor(object)?;
    let description = &model.descriptions[number];
    let row = model.files.inode_of(description.path.den);
    if !description.reads {
        return errno(Errno::EBADF);
    }
    if row.kind != Kind::Directory {
        return errno(Errno::ENOTDIR);
    }
    if row.dead {
        return errno(Errno::ENOENT);
    }
    if !description.untouched || row.opaque {
        return unknown("how many entries are left");
    }
    // `.` and `..` fit in any case.
    let description = &mut model.descriptions[number];
    (description.position, description.untouched) = (None, false);
    Ok(())
}

pub(super) fn close(model: &mut Model, object: &ObjectName) -> Result<()> {
    let number = model.descriptor(object)?;
    watches::closed(model, object, number)?;
    model.process.objects.remove(object);
    closed(model, number)
}

/// A descriptor of this description was closed.
pub(super) fn closed(model: &mut Model, number: usize) -> Result<()> {
    let ino = model.inode_at(model.descriptions[number].path);
    if !model.descriptions[number].path_only {
        model.closed(ino);
    }
    released(model, number)
}

/// Something that held this description is gone: the last one takes it along.
pub(super) fn released(model: &mut Model, number: usize) -> Result<()> {
    if !model.is_held(number) {
        let ino = model.inode_at(model.descriptions[number].path);
        let row = model.files.inode_mut(ino);
        row.locks.retain(|lock| lock.owner != Some(number));
        if row.kind == Kind::Fifo && model.descriptions_of(ino).is_empty() {
            model.files.inode_mut(ino).content.truncate(0);
        }
        if model.descriptions[number].tree {
            trees::dissolve(model, model.descriptions[number].path)?;
        }
    }
    Ok(())
}

pub(super) fn chdir(model: &mut Model, at: &Place) -> Result<()> {
    model.process.cwd = directory(model, at)?;
    Ok(())
}

pub(super) fn chroot(model: &mut Model, at: &Place) -> Result<()> {
    model.process.root = directory(model, at)?;
    Ok(())
}

fn directory(model: &Model, at: &Place) -> Result<Path> {
    let path = model.find(at)?;
    if model.files.is_directory(path.den) { Ok(path) } else { errno(Errno::ENOTDIR) }
}

impl Model {
    pub(super) fn keep(&mut self, name: &ObjectName, description: Description) {
        self.descriptions.push(description);
        self.process.objects.insert(name.clone(), Held::Descriptor(self.descriptions.len() - 1));
    }

    /// Every file that the processes hold.
    pub(super) fn held(&self) -> impl Iterator<Item = Path> {
        let of_objects = (0..self.descriptions.len()).filter(|&index| self.is_held(index));
        let of_process = |process: &Process| [process.cwd, process.root, process.exe, process.top];
        of_objects.map(|index| self.descriptions[index].path).chain(self.processes().flat_map(of_process))
    }

    /// A mount on which a process has a regular file open for writing cannot become read-only.
    pub(super) fn has_writers(&self, mnt: super::mounts::Mnt) -> bool {
        (0..self.descriptions.len()).filter(|&index| self.is_held(index)).any(|index| {
            let description = &self.descriptions[index];
            let ino: Ino = self.inode_at(description.path);
            description.writes && description.path.mnt == mnt && self.files.inode(ino).kind == Kind::File
        })
    }
}
