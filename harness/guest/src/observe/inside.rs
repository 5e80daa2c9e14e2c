//! What the process sees of itself.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::dir::Dir;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use protocol::observation::{Descriptor, FileKind, Mapping, MountRef, MountState, Object, ObjectView, Outcome, View};
use scenarios::Bytes;

use super::lookups;
use super::object::{self, Made, MountTables, errno_name, link_text, outcome, path_fd, read_file};
use super::{fdinfo, mountinfo};
use crate::sys;

/// A `/proc` and whose entries in it are looked at.
pub(super) struct Look {
    /// The root of a procfs.
    pub(super) proc: OwnedFd,
    /// `self` or a process ID.
    pub(super) base: String,
    /// The process looks at itself.
    pub(super) inside: bool,
    pub(super) tables: MountTables,
}

/// Looks at this process. It needs no `/proc` in its tree: it mounts one that is attached nowhere for the time of the look.
///
/// # Errors
/// What makes any look impossible: no procfs, no mountinfo.
pub fn look(made: &[Made], hidden: &[i32]) -> io::Result<View> {
    let proc = sys::fsmount(c"proc")?;
    let own = mount_ids(proc.as_fd(), "self")?;
    let look = Look { proc, base: "self".to_owned(), inside: true, tables: MountTables { own, other: Vec::new() } };
    look.view(made, hidden)
}

/// One plain lookup of this process from one of its objects.
///
/// # Errors
/// What makes any look impossible, and an object that cannot be looked up from.
pub fn look_up(object: Object, path: &Bytes) -> io::Result<Outcome<protocol::observation::Reached>> {
    let proc = sys::fsmount(c"proc")?;
    let own = mount_ids(proc.as_fd(), "self")?;
    let look = Look { proc, base: "self".to_owned(), inside: true, tables: MountTables { own, other: Vec::new() } };
    let fd = path_fd(look.proc.as_fd(), &look.magic_link(object))?;
    Ok(lookups::plain(look.proc.as_fd(), fd.as_fd(), path, &look.tables))
}

/// The mount IDs in a process's mountinfo.
pub(super) fn mount_ids(proc: BorrowedFd<'_>, base: &str) -> io::Result<Vec<u64>> {
    let text = read_file(proc, &format!("{base}/mountinfo"))?;
    let mounts = mountinfo::parse(&text).map_err(io::Error::other)?;
    Ok(mounts.iter().map(|mount| mount.id).collect())
}

impl Look {
    /// Every object: the descriptors that are there (but for the `hidden` ones), cwd, root, exe, the program's mappings.
    pub(super) fn view(&self, made: &[Made], hidden: &[i32]) -> io::Result<View> {
        let mut objects: BTreeSet<Object> = self.descriptors(hidden)?.into_iter().map(Object::Fd).collect();
        objects.extend([Object::Cwd, Object::Root, Object::Exe]);
        objects.extend(made.iter().map(|made| made.object).filter(|object| matches!(object, Object::Map(_))));
        let name = |object| made.iter().find(|made| made.object == object).map(|made| made.name.clone());
        Ok(View { objects: objects.into_iter().map(|object| self.object(object, name(object))).collect() })
    }

    /// The numbers of the descriptors, without those of this very look.
    pub(super) fn descriptors(&self, hidden: &[i32]) -> io::Result<Vec<i32>> {
        let path = format!("{}/fd", self.base);
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut dir = Dir::openat(self.proc.as_fd(), path.as_str(), flags, Mode::empty())?;
        let own = [dir.as_raw_fd(), self.proc.as_raw_fd()];
        let mut numbers = Vec::new();
        for entry in dir.iter() {
            let entry = entry?;
            let number = entry.file_name().to_str().ok().and_then(|name| name.parse().ok());
            numbers.extend(number.filter(|number| !(hidden.contains(number) || self.inside && own.contains(number))));
        }
        Ok(numbers)
    }

    /// The magic link of an object.
    fn magic_link(&self, object: Object) -> String {
        let base = &self.base;
        match object {
            Object::Fd(number) => format!("{base}/fd/{number}"),
            Object::Cwd => format!("{base}/cwd"),
            Object::Root => format!("{base}/root"),
            Object::Exe => format!("{base}/exe"),
            Object::Map(start) => format!("{base}/map_files/{start:x}-{:x}", start + 4096),
        }
    }

    fn object(&self, object: Object, name: Option<String>) -> ObjectView {
        let proc = self.proc.as_fd();
        let path = self.magic_link(object);
        let link =
            link_text(proc, &path).unwrap_or_else(|error| Bytes::from(format!("?{}", errno_name(&error)).as_str()));
        let fd = path_fd(proc, &path);
        let fd = fd.as_ref().map(AsFd::as_fd);
        let copy_error = |error: &io::Error| io::Error::from_raw_os_error(error.raw_os_error().unwrap_or(libc::EIO));
        let on_fd = || fd.map_err(copy_error);
        let status = on_fd().and_then(object::status);
        let filesystem = on_fd().and_then(object::filesystem);
        let kind = status.as_ref().map_or(FileKind::Other, |status| status.kind);
        let size = status.as_ref().map_or(0, |status| status.size);
        let descriptor = match object {
            Object::Fd(number) => self.descriptor(number).ok(),
            _ => None,
        };
        let id = match &descriptor {
            Some((_, id)) => Ok(*id),
            None => on_fd().and_then(|fd| object::mount_id(&fd)),
        };
        let magic = filesystem.as_ref().ok().map(|filesystem| filesystem.magic);
        let state = |&id: &u64| self.tables.state(id, magic, &link);
        let mount = MountRef { state: id.as_ref().map_or(MountState::Detached, state), id: id.unwrap_or(0) };
        let directory = kind == FileKind::Directory && !on_fd().is_ok_and(lookups::is_kernel_filesystem);
        ObjectView {
            object,
            name,
            mount,
            getcwd: (self.inside && object == Object::Cwd).then(getcwd),
            descriptor: descriptor.map(|(descriptor, _)| descriptor),
            mapping: match object {
                Object::Map(start) => self.mapping(start, size).ok(),
                _ => None,
            },
            statmount: on_fd().ok().and_then(object::statmount),
            content: (kind == FileKind::File && object != Object::Exe).then(|| outcome(object::content(proc, &path))),
            xattrs: outcome(on_fd().and_then(|fd| object::xattrs(proc, &format!("self/fd/{}", fd.as_raw_fd())))),
            reopen: match (self.inside, object) {
                (true, Object::Fd(_)) => lookups::reopened(proc, &path, kind, &self.tables),
                _ => Vec::new(),
            },
            lookups: match on_fd() {
                Ok(fd) if self.inside && directory => lookups::resolutions(proc, fd, &self.tables),
                _ => Vec::new(),
            },
            link,
            status: outcome(status),
            filesystem: outcome(filesystem),
        }
    }

    fn descriptor(&self, number: i32) -> io::Result<(Descriptor, u64)> {
        let text = read_file(self.proc.as_fd(), &format!("{}/fdinfo/{number}", self.base))?;
        fdinfo::parse(&text).map_err(io::Error::other)
    }

    /// The line of `maps` that starts at this address, and from inside the memory's digest.
    fn mapping(&self, start: u64, file_size: u64) -> io::Result<Mapping> {
        let text = read_file(self.proc.as_fd(), &format!("{}/maps", self.base))?;
        let text = String::from_utf8_lossy(&text);
        let begin = format!("{start:08x}-");
        let line = text.lines().find(|line| line.starts_with(&begin)).ok_or(io::ErrorKind::NotFound)?;
        let mut words = line.split_ascii_whitespace();
        let end = words.next().and_then(|range| range.split_once('-')).map(|(_, end)| end).unwrap_or_default();
        let end = u64::from_str_radix(end, 16).map_err(io::Error::other)?;
        let permissions = words.next().unwrap_or_default().to_owned();
        let offset = u64::from_str_radix(words.next().unwrap_or_default(), 16).map_err(io::Error::other)?;
        let readable = usize::try_from(file_size.min(end - start)).map_err(io::Error::other)?;
        // SAFETY: the executor made this mapping of at least one page with `map_page`, and the file is this long.
        let memory = self.inside.then(|| unsafe { sys::mapped_bytes(start, readable) });
        let sha256 = memory.map(|memory| object::hash(&mut memory.as_slice()).map(|content| content.sha256));
        Ok(Mapping { length: end - start, permissions, offset, sha256: sha256.transpose()? })
    }
}

/// The working directory as getcwd(2) gives it; the raw call's answer, `(unreachable)` and all.
fn getcwd() -> Outcome<Bytes> {
    outcome(sys::getcwd().map(Bytes::from))
}

/// A procfs of this mount namespace, for one who has it at its place.
pub(super) fn mounted_proc() -> io::Result<OwnedFd> {
    Ok(File::open("/proc")?.into())
}
