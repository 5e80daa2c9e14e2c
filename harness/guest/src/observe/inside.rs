//! What the process sees of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use protocol::observation::{
    Control, Descriptor, FileKind, Mapping, Mount, MountRef, MountState, Object, ObjectView, Outcome, Reached,
    ReadError, View,
};
use scenarios::Bytes;

use super::control::control;
use super::ends::Ends;
use super::flight::Flights;
use super::locks::PosixLocks;
use super::lookups;
use super::maps::{self, Area};
use super::object::{self, Made, MountTables, link_text, outcome, path_fd, read_file};
use super::{fdinfo, mountinfo};
use crate::sys;

/// A `/proc` and whose entries in it are read.
pub(super) struct Look {
    /// The root of a procfs.
    pub(super) proc: OwnedFd,
    /// `self` or a process ID.
    base: String,
    /// Its ID.
    pid: i32,
    /// The process observes itself.
    inside: bool,
    /// Who is at the end of a lookup.
    ends: Ends,
    /// The kernel knows statmount(2) by descriptor (Linux 7.0).
    has_statmount: bool,
    /// The numbers of its descriptors, without those of this very observation, and the link texts
    /// of those that have one.
    numbers: Vec<i32>,
    links: BTreeMap<i32, Bytes>,
    /// What is in the queues of its sockets.
    flights: Flights,
    /// What fdinfo says of its descriptors, read before anything is closed.
    descriptors: BTreeMap<i32, (Descriptor, u64)>,
    /// The last to be dropped: whatever the observation holds may be of a locked file.
    _locks: PosixLocks,
}

/// Looks at this process, and at the directories `tops` as if each were its working directory. It
/// needs no `/proc` in its tree: it mounts one that is attached nowhere for the time of the
/// observation. The process cannot know of itself which mounts are in a namespace that it left:
/// `elsewhere` are their IDs.
///
/// # Errors
/// What makes any observation impossible: no procfs, no mountinfo, no such directory.
pub fn look(made: &[Made], tops: &[String], hidden: &[i32], elsewhere: &[u64]) -> io::Result<(View, Vec<ObjectView>)> {
    let look = own_look(hidden, elsewhere)?;
    let top = |path: &String| {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = nix::fcntl::open(path.as_str(), flags, Mode::empty())?;
        let link = format!("self/fd/{}", directory.as_raw_fd());
        let xattrs = look.xattrs(std::slice::from_ref(&link)).pop().expect("one for each");
        Ok(look.seen_at(Object::Cwd, Some("cwd".to_owned()), &link, Some(xattrs)))
    };
    Ok((look.view(made), tops.iter().map(top).collect::<io::Result<_>>()?))
}

fn own_look(hidden: &[i32], elsewhere: &[u64]) -> io::Result<Look> {
    let proc = own_procfs()?;
    let own = mount_ids(proc.as_fd(), "self")?;
    Look::new(proc, None, MountTables::new(own, elsewhere.iter().copied()), hidden)
}

/// A quick observation of this process: what `assert` lines are about, object by object, and
/// nothing else.
pub struct Glance(Look);

impl Glance {
    /// At this process's descriptors but for `hidden`; `elsewhere` as for [`look`].
    ///
    /// # Errors
    /// What makes any observation impossible: no procfs, no mountinfo.
    pub fn new(hidden: &[i32], elsewhere: &[u64]) -> io::Result<Self> {
        own_look(hidden, elsewhere).map(Glance)
    }

    /// At the descriptors of another process, by its number in this PID namespace.
    ///
    /// # Errors
    /// As for [`Glance::new`], and no such process.
    pub fn of(pid: i32, hidden: &[i32], elsewhere: &[u64]) -> io::Result<Self> {
        let proc = sys::fsmount(c"proc")?;
        let own = mount_ids(proc.as_fd(), &pid.to_string())?;
        Look::new(proc, Some(pid), MountTables::new(own, elsewhere.iter().copied()), hidden).map(Glance)
    }

    /// An object, without its extended attributes, lookups, and what opening it again gives.
    pub fn object(&self, object: Object) -> ObjectView {
        self.0.seen_at(object, None, &self.0.magic_link(object), None)
    }

    /// One plain lookup from an object.
    ///
    /// # Errors
    /// It cannot be looked up from.
    pub fn look_up(&self, object: Object, path: &Bytes) -> io::Result<Outcome<Reached>> {
        let fd = path_fd(self.0.proc.as_fd(), &self.0.magic_link(object))?;
        Ok(lookups::plain(&self.0.ends, fd.as_fd(), path))
    }

    /// Whether two objects, the second one at another glance, are one open file description.
    ///
    /// # Errors
    /// kcmp(2)'s, and an object that is not a descriptor.
    pub fn same_description(&self, one: Object, with: &Glance, other: Object) -> io::Result<bool> {
        let number =
            |glance: &Glance, object| glance.0.number_of(object).ok_or_else(|| io::Error::other("no descriptor"));
        Ok(sys::kcmp_file(number(self, one)?, number(with, other)?)?.is_eq())
    }
}

/// The mount IDs in a process's mountinfo.
///
/// # Errors
/// It cannot be read.
pub(crate) fn mount_ids(proc: BorrowedFd<'_>, base: &str) -> io::Result<Vec<u64>> {
    let text = read_file(proc, &format!("{base}/mountinfo"))?;
    let mounts = mountinfo::parse(&text).map_err(io::Error::other)?;
    Ok(mounts.iter().map(|mount| mount.id).collect())
}

impl Look {
    /// Begins an observation of the process `pid`, or of this one; its descriptors are those that
    /// are there, but for `hidden`.
    pub(super) fn new(proc: OwnedFd, pid: Option<i32>, tables: MountTables, hidden: &[i32]) -> io::Result<Self> {
        let base = pid.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
        let mut numbers = numbers(proc.as_fd(), &base, hidden)?;
        if pid.is_none() {
            numbers.retain(|&number| number != proc.as_raw_fd());
        }
        let (inside, pid) = (pid.is_none(), pid.unwrap_or_else(own_pid));
        let read = |&number: &i32| Some((number, descriptor(proc.as_fd(), &format!("{base}/fd/{number}")).ok()?));
        let descriptors: BTreeMap<_, _> = numbers.iter().filter_map(read).collect();
        let seen = descriptors.iter().map(|(&number, (descriptor, _))| (number, descriptor));
        let _locks = if inside { PosixLocks::of(seen) } else { PosixLocks::default() };
        let link = |&number: &i32| Some((number, link_text(proc.as_fd(), &format!("{base}/fd/{number}")).ok()?));
        let links: BTreeMap<i32, Bytes> = numbers.iter().filter_map(link).collect();
        let flights = Flights::of(pid, &links)?;
        let ends = Ends::new(path_fd(proc.as_fd(), "self/fd")?, tables);
        let has_statmount = object::statmount(proc.as_fd()).is_some();
        Ok(Look { proc, base, pid, inside, ends, has_statmount, numbers, links, flights, descriptors, _locks })
    }

    /// Every object: descriptors, what is in flight, cwd, root, exe, the program's mappings.
    pub(super) fn view(&self, made: &[Made]) -> View {
        let mut objects: BTreeSet<Object> = self.with_description().collect();
        objects.extend([Object::Cwd, Object::Root, Object::Exe]);
        objects.extend(made.iter().map(|made| made.object).filter(|object| matches!(object, Object::Map(_))));
        let name = |object| made.iter().find(|made| made.object == object).map(|made| made.name.clone());
        let links: Vec<String> = objects.iter().map(|&object| self.magic_link(object)).collect();
        let all = objects.into_iter().zip(&links).zip(self.xattrs(&links));
        let seen = all.map(|((object, link), xattrs)| self.seen_at(object, name(object), link, Some(xattrs)));
        View { objects: seen.collect() }
    }

    /// Extended attributes of what is at the ends of magic links.
    fn xattrs(&self, links: &[String]) -> Vec<Outcome<Vec<(Bytes, Bytes)>>> {
        let proc = self.proc.as_fd();
        let cwd = path_fd(proc, "self/cwd");
        let fixed = |link: &String| match (&cwd, link.as_str()) {
            // The calls have the working directory elsewhere.
            (Ok(cwd), "self/cwd") => format!("self/fd/{}", cwd.as_raw_fd()),
            _ => link.clone(),
        };
        match object::xattrs(proc, &links.iter().map(fixed).collect::<Vec<_>>()) {
            Ok(lists) => lists.into_iter().map(outcome).collect(),
            Err(error) => vec![Outcome::Err((&error).into()); links.len()],
        }
    }

    /// The objects that are open file descriptions.
    fn with_description(&self) -> impl Iterator<Item = Object> {
        self.numbers.iter().copied().map(Object::Fd).chain(self.flights.objects())
    }

    /// Whose descriptor an object is, and its number there: what is in flight is held by this
    /// process for the moment.
    pub(super) fn number_of(&self, object: Object) -> Option<sys::DescriptorOf> {
        match object {
            Object::Fd(number) => Some((self.pid, number)),
            _ => self.flights.get(object).map(|fd| (own_pid(), fd.as_raw_fd())),
        }
    }

    /// What the process itself can ask its descriptors for.
    fn control(&self, object: Object) -> Option<Control> {
        let (_, number) = self.number_of(object).filter(|_| self.inside)?;
        control(number)
    }

    /// The magic link of an object.
    fn magic_link(&self, object: Object) -> String {
        let base = &self.base;
        match object {
            Object::Fd(number) => format!("{base}/fd/{number}"),
            Object::InFlight { .. } => {
                format!("self/fd/{}", self.flights.get(object).map_or(-1, AsRawFd::as_raw_fd))
            }
            Object::Cwd => format!("{base}/cwd"),
            Object::Root => format!("{base}/root"),
            Object::Exe => format!("{base}/exe"),
            Object::Map(start) => format!("{base}/map_files/{start:x}-{:x}", start + 4096),
        }
    }

    /// An object by a magic link below the procfs; with its extended attributes when all of it is
    /// wanted, lookups included.
    fn seen_at(
        &self,
        object: Object,
        name: Option<String>,
        path: &str,
        xattrs: Option<Outcome<Vec<(Bytes, Bytes)>>>,
    ) -> ObjectView {
        let whole = xattrs.is_some();
        let proc = self.proc.as_fd();
        let known = match object {
            Object::Fd(number) => self.links.get(&number).cloned(),
            _ => None,
        };
        let link = known.map_or_else(|| link_text(proc, path), Ok);
        let link = link.unwrap_or_else(|error| Bytes::from(format!("?{}", ReadError::from(&error)).as_str()));
        let fd = path_fd(proc, path);
        let fd = fd.as_ref().map(AsFd::as_fd);
        let copy_error = |error: &io::Error| io::Error::from_raw_os_error(error.raw_os_error().unwrap_or(libc::EIO));
        let on_fd = || fd.map_err(copy_error);
        let status = on_fd().and_then(object::status);
        let filesystem = on_fd().and_then(object::filesystem);
        let magic = filesystem.as_ref().map_or(0, |filesystem| filesystem.magic);
        let kind = status.as_ref().map_or(FileKind::Other, |status| status.kind);
        let size = status.as_ref().map_or(0, |status| status.size);
        let is_description = matches!(object, Object::Fd(_) | Object::InFlight { .. });
        let descriptor = match object {
            Object::Fd(number) => self.descriptors.get(&number).cloned(),
            Object::InFlight { .. } => descriptor(proc, path).ok(),
            _ => None,
        };
        let id = match &descriptor {
            Some((_, id)) => Ok(*id),
            None => on_fd().and_then(|fd| object::mount_id(&fd)),
        };
        let state = id.as_ref().map_or(MountState::Detached, |&id| self.ends.tables.state_on(id, magic, &link));
        let mount = MountRef { state, id: id.unwrap_or(0) };
        let directory = kind == FileKind::Directory && !lookups::is_of_the_kernel(magic);
        ObjectView {
            process: 0,
            object,
            name,
            mount,
            getcwd: (self.inside && object == Object::Cwd).then(getcwd),
            descriptor: descriptor.map(|(descriptor, _)| Descriptor { control: self.control(object), ..descriptor }),
            mapping: match object {
                Object::Map(start) => self.mapping(start, size).ok(),
                _ => None,
            },
            statmount: on_fd().ok().filter(|_| self.has_statmount).and_then(object::statmount),
            content: (kind == FileKind::File && object != Object::Exe && !lookups::is_changed_by_reading(magic))
                .then(|| outcome(object::content(proc, path))),
            xattrs: xattrs.unwrap_or_else(|| Outcome::Ok(Vec::new())),
            queue: match object {
                Object::Fd(number) => self.flights.queue(number),
                _ => None,
            },
            reopen: match whole && self.inside && is_description {
                true => lookups::reopened(&self.ends, proc, path, kind, magic),
                false => Vec::new(),
            },
            lookups: match on_fd() {
                Ok(fd) if whole && self.inside && directory => lookups::resolutions(&self.ends, fd),
                _ => Vec::new(),
            },
            link,
            status: outcome(status),
            filesystem: outcome(filesystem),
        }
    }

    /// The line of `maps` that starts at this address, and from inside the memory's digest.
    fn mapping(&self, start: u64, file_size: u64) -> io::Result<Mapping> {
        let text = read_file(self.proc.as_fd(), &format!("{}/maps", self.base))?;
        let area = maps::parse(&text).into_iter().find(|area| area.start == start).ok_or(io::ErrorKind::NotFound)?;
        let Area { length, permissions, offset, .. } = area;
        let sha256 = match self.inside {
            // No memory is there behind the end of the file.
            true => {
                let memory = read_memory(self.proc.as_fd(), &self.base, start, file_size.min(length))?;
                Some(object::hash(&mut memory.as_slice())?.sha256)
            }
            false => None,
        };
        Ok(Mapping { length, permissions, offset, sha256 })
    }
}

/// Memory of a process whose entries in the procfs `proc` are below `base` (proc_pid_mem(5)).
///
/// # Errors
/// Those of opening and reading: `EIO` where nothing is mapped.
pub(crate) fn read_memory(proc: BorrowedFd<'_>, base: &str, start: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut memory = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    let file = openat(proc, format!("{base}/mem").as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    File::from(file).read_exact_at(&mut memory, start)?;
    Ok(memory)
}

/// A procfs that is attached nowhere.
///
/// # Errors
/// Those of fsmount(2).
pub(crate) fn own_procfs() -> io::Result<OwnedFd> {
    sys::fsmount(c"proc")
}

/// The mounts that this process sees, in the kernel's order.
///
/// # Errors
/// No mountinfo.
pub(crate) fn own_mount_table(proc: BorrowedFd<'_>) -> io::Result<Vec<Mount>> {
    mountinfo::parse(&read_file(proc, "self/mountinfo")?).map_err(io::Error::other)
}

/// The memory of this process's shared mapping that starts at this address, up to the first page
/// that has none: behind the end of a file. `None` for a private mapping.
///
/// # Errors
/// No mapping starts there.
pub(crate) fn read_own_shared_mapping(proc: BorrowedFd<'_>, start: u64) -> io::Result<Option<Vec<u8>>> {
    const PAGE: u64 = 4096;
    let areas = maps::parse(&read_file(proc, "self/maps")?);
    let area = areas.into_iter().find(|area| area.start == start).ok_or(io::ErrorKind::NotFound)?;
    if !area.permissions.ends_with('s') {
        return Ok(None);
    }
    let pages = (0..area.length / PAGE).map_while(|page| read_memory(proc, "self", start + page * PAGE, PAGE).ok());
    Ok(Some(pages.flatten().collect()))
}

/// What fdinfo says of the descriptor with this magic link.
fn descriptor(proc: BorrowedFd<'_>, magic_link: &str) -> io::Result<(Descriptor, u64)> {
    let text = read_file(proc, &magic_link.replace("/fd/", "/fdinfo/"))?;
    let (descriptor, mount) = fdinfo::parse(&text).map_err(io::Error::other)?;
    Ok((Descriptor { flags: fdinfo::as_on_amd64(descriptor.flags), ..descriptor }, mount))
}

fn own_pid() -> i32 {
    std::process::id().cast_signed()
}

/// The numbers of the descriptors of a process whose entries in the procfs `proc` are below `base`,
/// without `hidden` ones and the one that this takes.
///
/// # Errors
/// The folder of its descriptors cannot be read.
pub(crate) fn numbers(proc: BorrowedFd<'_>, base: &str, hidden: &[i32]) -> io::Result<Vec<i32>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let dir = openat(proc, format!("{base}/fd").as_str(), flags, Mode::empty())?;
    let number = |entry: sys::Entry| std::str::from_utf8(&entry.name).ok()?.parse().ok();
    let mut numbers: Vec<i32> = sys::entries(dir.as_fd())?.into_iter().filter_map(number).collect();
    let own = if base == "self" { dir.as_raw_fd() } else { -1 };
    numbers.retain(|number| *number != own && !hidden.contains(number));
    numbers.sort_unstable();
    Ok(numbers)
}

/// The working directory as the call getcwd(2) gives it, with `(unreachable)` in front where it
/// cannot be reached from the root. The C library would turn that into `ENOENT`.
fn getcwd() -> Outcome<Bytes> {
    outcome(rustix::process::getcwd(Vec::new()).map_err(io::Error::from).map(|path| Bytes::from(path.into_bytes())))
}

/// A procfs of this mount namespace, for one who has it at its place.
pub(crate) fn mounted_proc() -> io::Result<OwnedFd> {
    Ok(File::open("/proc")?.into())
}
