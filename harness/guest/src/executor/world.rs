//! What the executor keeps while it carries out a program: where paths start, which objects there
//! are.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::rc::Rc;

use nix::fcntl::{AtFlags, FcntlArg, OFlag, fcntl, open};
use nix::sched::CloneFlags;
use nix::sys::stat::{Mode, fstat, fstatat};
use protocol::observation::Object;
use scenarios::program::{ObjectName, Place, Queues};
use serde::{Deserialize, Serialize};

use super::ProgramSlot;
use super::disks::{Disks, PassedOnDisks};
use crate::observe::Made;
use crate::observe::inside::mount_ids;
use crate::sys::{adopt, duplicate, set_apart, statx_mount_id};

/// The state of a program under way.
pub(super) struct World {
    /// The top directory's path.
    top_path: String,
    /// The top directory.
    top: Rc<OwnedFd>,
    /// A procfs that is attached nowhere.
    proc: Rc<OwnedFd>,
    objects: BTreeMap<ObjectName, Object>,
    /// The program's descriptors, by number.
    descriptors: BTreeMap<RawFd, OwnedFd>,
    /// The program's descriptors start here; those below are of programs before it.
    first_descriptor: RawFd,
    /// Of each socket the other end and how many messages this process has sent to it.
    peers: BTreeMap<RawFd, (RawFd, u32)>,
    pub(super) disks: Disks,
    /// The mounts of the namespace that `unshare-mounts keep-old` left, by their IDs.
    elsewhere: Vec<u64>,
}

/// What passes over execve(2): everything that a program made.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PassedOn {
    /// The descriptor of the top directory, which passes over too.
    pub(super) top: RawFd,
    objects: Vec<(String, Object)>,
    descriptors: Vec<RawFd>,
    first_descriptor: RawFd,
    peers: Vec<(RawFd, (RawFd, u32))>,
    disks: PassedOnDisks,
    elsewhere: Vec<u64>,
}

/// Where a path stands: a directory and a path below it that is never empty.
pub(super) struct At {
    dir: Rc<OwnedFd>,
    pub(super) path: CString,
}

impl At {
    /// The directory, for calls that take one.
    pub(super) fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// A descriptor of the directory that holds the last component, and that component.
    pub(super) fn parent(&self) -> io::Result<(OwnedFd, CString)> {
        let bytes = self.path.to_bytes();
        let (parent, name) = match bytes.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => (&bytes[..slash], &bytes[slash + 1..]),
            None => (b".".as_slice(), bytes),
        };
        let parent = nix::fcntl::openat(self.dir(), parent, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        Ok((parent, CString::new(name).map_err(io::Error::other)?))
    }
}

/// It was closed under another name.
fn closed(name: &ObjectName) -> io::Error {
    io::Error::other(format!("{name} is closed"))
}

impl World {
    pub(super) fn new(slot: &ProgramSlot, proc: Rc<OwnedFd>, first_descriptor: RawFd) -> io::Result<Self> {
        let top = slot.top.as_str();
        let top_fd = open(top, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        let objects = [("cwd", Object::Cwd), ("root", Object::Root), ("exe", Object::Exe)];
        let objects = objects.map(|(name, object)| (ObjectName(name.to_owned()), object)).into();
        Ok(World {
            top_path: top.trim_end_matches('/').to_owned(),
            top: Rc::new(set_apart(top_fd)?),
            proc,
            objects,
            descriptors: BTreeMap::new(),
            first_descriptor,
            peers: BTreeMap::new(),
            disks: Disks::new(&slot.disks, &slot.trees)?,
            elsewhere: Vec::new(),
        })
    }

    /// The state for the same program after execve(2).
    pub(super) fn pass_on(&self) -> PassedOn {
        PassedOn {
            top: self.top.as_raw_fd(),
            objects: self.objects.iter().map(|(name, &object)| (name.0.clone(), object)).collect(),
            descriptors: self.descriptors.keys().copied().collect(),
            first_descriptor: self.first_descriptor,
            peers: self.peers.iter().map(|(&end, &other)| (end, other)).collect(),
            disks: self.disks.pass_on(),
            elsewhere: self.elsewhere.clone(),
        }
    }

    /// The state of the program before execve(2), in the process after it.
    pub(super) fn take_over(top: &str, proc: Rc<OwnedFd>, from: PassedOn) -> io::Result<Self> {
        let own = |number: RawFd| Ok((number, adopt(number)?));
        Ok(World {
            top_path: top.trim_end_matches('/').to_owned(),
            top: Rc::new(set_apart(adopt(from.top)?)?),
            proc,
            objects: from.objects.into_iter().map(|(name, object)| (ObjectName(name), object)).collect(),
            descriptors: from.descriptors.into_iter().map(own).collect::<io::Result<_>>()?,
            first_descriptor: from.first_descriptor,
            peers: from.peers.into_iter().collect(),
            disks: Disks::take_over(from.disks)?,
            elsewhere: from.elsewhere,
        })
    }

    /// Gives the process a mount namespace of its own, and the top directory's copy in it.
    pub(super) fn unshare(&mut self, keep_old: bool) -> io::Result<()> {
        let top = if self.top_path.is_empty() { "/" } else { self.top_path.as_str() };
        let before = mount_ids(self.proc.as_fd(), "self")?;
        nix::sched::unshare(CloneFlags::CLONE_NEWNS)?;
        let copy = open(top, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        let number = |fd: BorrowedFd<'_>| fstat(fd).map(|stat| (stat.st_dev, stat.st_ino));
        if number(copy.as_fd())? != number(self.top.as_fd())? {
            return Err(io::Error::other("the process has another root: its top directory cannot be found again"));
        }
        self.top = Rc::new(set_apart(copy)?);
        if keep_old {
            self.elsewhere = before;
        }
        Ok(())
    }

    /// Whether this process executes the file with this path from the top directory.
    pub(super) fn is_executable_of_this(&self, path: &CStr) -> io::Result<bool> {
        let own = fstatat(&self.proc, "self/exe", AtFlags::empty())?;
        let other = fstatat(&self.top, path, AtFlags::empty())?;
        Ok((own.st_dev, own.st_ino) == (other.st_dev, other.st_ino))
    }

    /// That a descriptor is on a mount of the namespace that the process left.
    pub(super) fn is_elsewhere(&self, name: &ObjectName) -> io::Result<()> {
        let mount = statx_mount_id(self.borrow(name)?)?;
        let why = || io::Error::other("it is not on a mount of another namespace");
        if self.elsewhere.contains(&mount) { Ok(()) } else { Err(why()) }
    }

    /// The mounts of the namespace that the process left and that lives on.
    pub(super) fn elsewhere(&self) -> &[u64] {
        &self.elsewhere
    }

    /// The top directory.
    pub(super) fn top(&self) -> BorrowedFd<'_> {
        self.top.as_fd()
    }

    /// The top directory's path; empty for the root.
    pub(super) fn top_path(&self) -> &str {
        &self.top_path
    }

    /// Ends the setup: the descriptors stay open, as the program's. The top directory's path.
    pub(super) fn into_top(self) -> String {
        for fd in self.descriptors.into_values() {
            let _ = fd.into_raw_fd();
        }
        self.top_path
    }

    /// The objects that the process has at the end of the program, by the names that they have
    /// everywhere.
    pub(super) fn made(&self, process: &ObjectName, queues: &Queues) -> Vec<Made> {
        let now = |(name, &object): (&ObjectName, &Object)| {
            let name = name.of_process(process);
            let object = match object {
                Object::InFlight { socket, .. } => {
                    Object::InFlight { socket, nth: u32::try_from(queues.before(&name)?).ok()? }
                }
                object => object,
            };
            Some(Made { name: name.0, object })
        };
        self.objects.iter().filter_map(now).collect()
    }

    /// The lowest number behind all of the program's descriptors.
    pub(super) fn next_descriptor(&self) -> RawFd {
        self.descriptors.keys().chain(self.peers.keys()).max().map_or(self.first_descriptor, |last| last + 1)
    }

    /// Keeps a descriptor under a number of this program's: the one that it would have had alone,
    /// counted from the first.
    fn own(&mut self, mut fd: OwnedFd) -> io::Result<RawFd> {
        if fd.as_raw_fd() < self.first_descriptor {
            let cloexec = fcntl(&fd, FcntlArg::F_GETFD)? & libc::FD_CLOEXEC != 0;
            fd = duplicate(&fd, self.first_descriptor, cloexec)?;
        }
        let number = fd.as_raw_fd();
        self.descriptors.insert(number, fd);
        Ok(number)
    }

    /// Where `place` is.
    pub(super) fn at(&self, place: &Place) -> io::Result<At> {
        let path = match &place.base {
            None if place.path.is_empty() => b".".to_vec(),
            None => place.path.0.clone(),
            Some(base) => {
                let mut path = format!("self/fd/{}", self.descriptor(base)?).into_bytes();
                if !place.path.is_empty() {
                    path.push(b'/');
                    path.extend_from_slice(&place.path.0);
                }
                path
            }
        };
        let dir = if place.base.is_some() { &self.proc } else { &self.top };
        Ok(At { dir: Rc::clone(dir), path: CString::new(path).map_err(io::Error::other)? })
    }

    /// The absolute path of a place below the top directory, for calls whose path the kernel keeps
    /// as text.
    pub(super) fn absolute(&self, place: &Place) -> io::Result<Vec<u8>> {
        match &place.base {
            None => Ok([self.top_path.as_bytes(), b"/", &place.path.0].concat()),
            Some(_) => Err(io::Error::other("this step takes paths below the top directory only")),
        }
    }

    /// The path of a place for a call that takes one string, from [`World::in_proc`]'s working
    /// directory.
    pub(super) fn path_in_proc(&self, place: &Place) -> io::Result<CString> {
        let at = self.at(place)?;
        if place.base.is_some() {
            return Ok(at.path);
        }
        let prefix = format!("self/fd/{}/", self.top.as_raw_fd()).into_bytes();
        CString::new([prefix, at.path.into_bytes()].concat()).map_err(io::Error::other)
    }

    /// Makes `call` with the working directory at the root of a procfs, where
    /// [`World::path_in_proc`]'s paths start.
    pub(super) fn in_proc<T>(&self, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let before = set_apart(&open(".", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?)?;
        nix::unistd::fchdir(&self.proc)?;
        let result = call();
        nix::unistd::fchdir(&before)?;
        result
    }

    /// The number of an object that is a descriptor.
    pub(super) fn descriptor(&self, name: &ObjectName) -> io::Result<RawFd> {
        match self.objects.get(name) {
            Some(Object::Fd(number)) => Ok(*number),
            Some(_) => Err(io::Error::other(format!("{name} is no descriptor"))),
            None => Err(io::Error::other(format!("there is no {name}"))),
        }
    }

    /// An object that is a descriptor, for calls on it.
    pub(super) fn borrow(&self, name: &ObjectName) -> io::Result<BorrowedFd<'_>> {
        let number = self.descriptor(name)?;
        self.descriptors.get(&number).map(AsFd::as_fd).ok_or_else(|| closed(name))
    }

    /// Gives an object to the program.
    pub(super) fn keep(&mut self, name: &ObjectName, fd: OwnedFd) -> io::Result<()> {
        let number = self.own(fd)?;
        self.objects.insert(name.clone(), Object::Fd(number));
        Ok(())
    }

    /// Gives a mapping to the program.
    pub(super) fn keep_mapping(&mut self, name: &ObjectName, start: u64) {
        self.objects.insert(name.clone(), Object::Map(start));
    }

    /// Gives two connected sockets to the program, the first one under a name.
    pub(super) fn keep_pair(&mut self, name: &ObjectName, one: OwnedFd, other: OwnedFd) -> io::Result<()> {
        let (first, second) = (self.own(one)?, self.own(other)?);
        self.objects.insert(name.clone(), Object::Fd(first));
        self.peers.extend([(first, (second, 0)), (second, (first, 0))]);
        Ok(())
    }

    /// Gives a name to the other end of a socket.
    pub(super) fn name_peer(&mut self, name: &ObjectName, of: &ObjectName) -> io::Result<()> {
        let (peer, _) = self.next_message(of)?;
        self.objects.insert(name.clone(), Object::Fd(peer));
        Ok(())
    }

    /// Where the next message over a socket goes, and how many this process has sent there.
    pub(super) fn next_message(&self, over: &ObjectName) -> io::Result<(RawFd, u32)> {
        let no_socket = || io::Error::other(format!("{over} is no socket"));
        self.peers.get(&self.descriptor(over)?).copied().ok_or_else(no_socket)
    }

    /// A descriptor was sent to `socket`, in a message of its own. How many are before it turns out
    /// when all steps are done.
    pub(super) fn keep_in_flight(&mut self, name: &ObjectName, socket: RawFd) {
        self.objects.insert(name.clone(), Object::InFlight { socket, nth: 0 });
        self.peers.values_mut().filter(|(peer, _)| *peer == socket).for_each(|(_, sent)| *sent += 1);
    }

    /// Takes a descriptor away from the program; it closes when dropped.
    pub(super) fn give_up(&mut self, name: &ObjectName) -> io::Result<OwnedFd> {
        let number = self.descriptor(name)?;
        self.objects.remove(name);
        self.descriptors.remove(&number).ok_or_else(|| closed(name))
    }
}
