//! Relative resolution: what paths lead to from a directory, and what opening a file again gives.
//!
//! Each path is looked up in five ways. Most lead to one place in all of them, and where that
//! follows from how the kernel walks a path, one lookup represents all: see [`Start::outcomes`].

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::Mode;
use protocol::observation::{FileKind, Lookup, LookupKind, Outcome, Reached};
use scenarios::Bytes;

use super::ends::Ends;
use super::object::outcome;
use crate::sys;

/// No more paths than this are looked up from one directory; programs are small.
const PATH_LIMIT: usize = 96;
/// The harness's own corner in the top directory; the agent marks its other folders with a name
/// like it.
const CORNER: &[u8] = b".zdtm";
/// Nested paths reach this deep.
const DEPTH_LIMIT: usize = 4;
/// Looked up from every directory, whatever is in it.
const FIXED: [&str; 5] = [".", "..", "../..", "no-such-name", "no-such-name/.."];

/// How each path is looked up.
const KINDS: [LookupKind; 5] =
    [LookupKind::Plain, LookupKind::Nofollow, LookupKind::Beneath, LookupKind::InRoot, LookupKind::NoXdev];

/// What one path leads to, in the order of [`KINDS`].
type Outcomes = [Outcome<Reached>; KINDS.len()];

/// The lookups from the directory that `fd` names.
pub(super) fn resolutions(ends: &Ends, fd: BorrowedFd<'_>) -> Vec<Lookup> {
    let start = Start::new(ends, fd);
    let fixed = FIXED.map(|path| path.as_bytes().to_vec());
    let mut out = Vec::new();
    for path in fixed.into_iter().chain(paths_below(fd)) {
        let lookups = KINDS.into_iter().zip(start.outcomes(&path));
        out.extend(lookups.map(|(how, outcome)| Lookup { path: Bytes(path.clone()), how, outcome }));
    }
    out
}

/// One lookup with `openat(O_PATH)`.
pub(super) fn plain(ends: &Ends, fd: BorrowedFd<'_>, path: &Bytes) -> Outcome<Reached> {
    outcome(Start::new(ends, fd).look_up(path.as_slice(), LookupKind::Plain))
}

/// A directory that paths are looked up from.
struct Start<'a> {
    ends: &'a Ends,
    fd: BorrowedFd<'a>,
    /// Where paths lead that have no `..` and no symbolic link in them; an error for a single name
    /// that is missing.
    down: RefCell<HashMap<Vec<u8>, Result<Reached, Errno>>>,
}

impl<'a> Start<'a> {
    fn new(ends: &'a Ends, fd: BorrowedFd<'a>) -> Self {
        Start { ends, fd, down: RefCell::default() }
    }

    /// What all kinds of lookups of a path come to, each tried.
    fn one_by_one(&self, path: &[u8]) -> Outcomes {
        KINDS.map(|how| outcome(self.look_up(path, how)))
    }

    /// The same from fewer lookups, where some follow from others; see the functions that are
    /// asked.
    fn outcomes(&self, path: &[u8]) -> Outcomes {
        match (path.rsplit(|&byte| byte == b'/').next() == Some(b".."), path.strip_suffix(b"/..")) {
            (false, _) => self.all_down(path).unwrap_or_else(|| self.one_by_one(path)),
            (true, straight) => {
                let plain = outcome(self.look_up(path, LookupKind::Plain));
                let back = straight.and_then(|straight| self.all_back(straight, &plain));
                // The last component is not a symbolic link, so following it or not makes no
                // difference.
                back.unwrap_or_else(|| {
                    KINDS.map(|how| match how {
                        LookupKind::Plain | LookupKind::Nofollow => plain.clone(),
                        _ => outcome(self.look_up(path, how)),
                    })
                })
            }
        }
    }

    /// For a path straight down, without `..` and without symbolic links: every kind takes the same
    /// names to the same end, never above the start, openat2(2). Only a mount on the way ends one
    /// of them, with EXDEV; it shows in the number of the mount at the end, since nothing leads
    /// back to the first. A single name that is missing is so for every kind.
    fn all_down(&self, path: &[u8]) -> Option<Outcomes> {
        let start = self.straight_down(b".")?.ok()?;
        Some(match self.straight_down(path)? {
            Ok(reached) => alike(&reached, reached.mount.id != start.mount.id),
            Err(error) => KINDS.map(|_| outcome(Err(error))),
        })
    }

    /// For a path straight down and one up again, which leads to `plain`: when that is the
    /// directory above, on whose mount the one below is as well, then `..` crossed no mount, and
    /// nothing is mounted on what it led to, so it does the same for every kind (`handle_dots` in
    /// fs/namei.c). Mounts before that end one of them, as above.
    fn all_back(&self, straight: &[u8], plain: &Outcome<Reached>) -> Option<Outcomes> {
        let start = self.straight_down(b".")?.ok()?;
        let above = match straight.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => self.straight_down(&straight[..slash])?.ok()?,
            None => start.clone(),
        };
        let below = self.straight_down(straight)?.ok()?;
        let is_back = *plain == Outcome::Ok(above.clone()) && below.mount.id == above.mount.id;
        is_back.then(|| alike(&above, above.mount.id != start.mount.id))
    }

    /// Where a path without `..` and without symbolic links leads, or that its only name is
    /// missing; none for other paths.
    fn straight_down(&self, path: &[u8]) -> Option<Result<Reached, Errno>> {
        if let Some(known) = self.down.borrow().get(path) {
            return Some(known.clone());
        }
        if path.split(|&byte| byte == b'/').any(|name| name == b"..") {
            return None;
        }
        let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
        let end = match openat2(self.fd, path, how) {
            Ok(found) => Ok(self.ends.reached(found.as_fd()).ok()?),
            Err(Errno::ENOENT) if !path.contains(&b'/') => Err(Errno::ENOENT),
            Err(_) => return None,
        };
        self.down.borrow_mut().insert(path.to_vec(), end.clone());
        Some(end)
    }

    fn look_up(&self, path: &[u8], how: LookupKind) -> io::Result<Reached> {
        let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        let restricted = |resolve| again(|| openat2(self.fd, path, OpenHow::new().flags(flags).resolve(resolve)));
        let found = match how {
            LookupKind::Nofollow => openat(self.fd, path, flags | OFlag::O_NOFOLLOW, Mode::empty()),
            LookupKind::Beneath => restricted(ResolveFlag::RESOLVE_BENEATH),
            LookupKind::InRoot => restricted(ResolveFlag::RESOLVE_IN_ROOT),
            LookupKind::NoXdev => restricted(ResolveFlag::RESOLVE_NO_XDEV),
            _ => openat(self.fd, path, flags, Mode::empty()),
        };
        self.ends.reached(found?.as_fd())
    }
}

/// Every kind of lookup led to the same file, but for the one that may not cross a mount where
/// there was one.
fn alike(reached: &Reached, crossed: bool) -> Outcomes {
    KINDS.map(|how| match how {
        LookupKind::NoXdev if crossed => Outcome::Err(vocabulary::Errno::EXDEV.into()),
        _ => Outcome::Ok(reached.clone()),
    })
}

/// A restricted lookup of `..` gives EAGAIN when something was renamed or mounted meanwhile,
/// anywhere (openat2(2)).
fn again<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    const ATTEMPTS: usize = 10_000;
    for _ in 1..ATTEMPTS {
        match call() {
            Err(Errno::EAGAIN) => std::thread::yield_now(),
            result => return result,
        }
    }
    call()
}

/// Every name below `fd`, and `..` of every directory there. What cannot be read is not descended
/// into: the lookups of the directory itself tell that.
fn paths_below(fd: BorrowedFd<'_>) -> Vec<Vec<u8>> {
    let mut paths = Vec::new();
    if let Ok(dir) = openat(fd, ".", DIRECTORY, Mode::empty()) {
        descend(&dir, &mut Vec::new(), &mut paths);
    }
    paths
}

const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

fn descend(dir: &OwnedFd, prefix: &mut Vec<u8>, paths: &mut Vec<Vec<u8>>) {
    let Ok(mut entries) = sys::entries(dir.as_fd()) else { return };
    let has_corner = entries.iter().any(|entry| entry.name == CORNER);
    // The agent's `/run`, or the top directory seen from the agent's root: what is in there changes
    // with the trial, or is observed by itself.
    if has_corner && !prefix.is_empty() {
        return;
    }
    entries.retain(|entry| entry.name != CORNER);
    entries.sort();
    let depth = prefix.split(|&byte| byte == b'/').count();
    for sys::Entry { name, may_be_directory } in entries {
        if paths.len() >= PATH_LIMIT {
            return;
        }
        let length = prefix.len();
        if !prefix.is_empty() {
            prefix.push(b'/');
        }
        prefix.extend_from_slice(&name);
        paths.push(prefix.clone());
        let child = may_be_directory.then(|| openat(dir, name.as_slice(), DIRECTORY, Mode::empty()).ok());
        // Kernel filesystems' content is not the program's.
        if let Some(child) = child.flatten().filter(|child| !is_kernel_filesystem(child.as_fd())) {
            paths.push([prefix, b"/..".as_slice()].concat());
            if depth < DEPTH_LIMIT {
                descend(&child, prefix, paths);
            }
        }
        prefix.truncate(length);
    }
}

/// proc, sysfs and their kind: endless and never still.
pub(crate) fn is_kernel_filesystem(fd: BorrowedFd<'_>) -> bool {
    sys::filesystem_of(fd).is_ok_and(|(magic, _)| is_of_the_kernel(magic))
}

/// The same by magic number, statfs(2).
pub(super) fn is_of_the_kernel(magic: u64) -> bool {
    [PROC, SYSFS, DEVPTS, CGROUP2].contains(&magic)
}

/// Whether reading a regular file there changes it: the times of a message queue
/// (`mqueue_read_file`, ipc/mqueue.c).
pub(super) fn is_changed_by_reading(magic: u64) -> bool {
    magic == MQUEUE
}

const PROC: u64 = 0x9fa0;
const SYSFS: u64 = 0x6265_6572;
const DEVPTS: u64 = 0x1cd1;
const CGROUP2: u64 = 0x6367_7270;
const MQUEUE: u64 = 0x1980_0202;
pub(crate) const OVERLAYFS: u64 = 0x794c_7630;

/// Opens a file again through its magic link `path` below `proc`, once for each access mode. Only
/// regular files and directories: opening a fifo or a device does something to it. Nor for writing
/// on an overlay (`magic`), which would copy the file into its upper layer
/// (Documentation/filesystems/overlayfs.rst).
pub(super) fn reopened(ends: &Ends, proc: BorrowedFd<'_>, path: &str, kind: FileKind, magic: u64) -> Vec<Lookup> {
    let modes = [
        (LookupKind::ReopenRead, OFlag::O_RDONLY),
        (LookupKind::ReopenWrite, OFlag::O_WRONLY),
        (LookupKind::ReopenReadWrite, OFlag::O_RDWR),
    ];
    let modes = match kind {
        FileKind::File if magic == OVERLAYFS => &modes[..1],
        FileKind::File | FileKind::Directory => &modes[..],
        _ => &[],
    };
    let opened = |mode: OFlag| -> io::Result<Reached> {
        let fd = openat(proc, path, mode | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK, Mode::empty())?;
        ends.reached(fd.as_fd())
    };
    modes.iter().map(|&(how, mode)| Lookup { path: Bytes::default(), how, outcome: outcome(opened(mode)) }).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::super::object::MountTables;
    use super::*;

    /// `/proc` is a mount, `/proc/self` a symbolic link, and both stay unchanged.
    #[test]
    fn what_follows_from_other_lookups_is_what_each_kind_shows() {
        let links = File::open("/proc/self/fd").unwrap();
        let ends = Ends::new(links.into(), MountTables::new([], []));
        for from in ["/", "/proc", "/proc/sys", "/usr", "/usr/bin", "/dev"] {
            let dir = File::open(from).unwrap();
            let start = Start::new(&ends, dir.as_fd());
            let some =
                FIXED.into_iter().chain(["proc", "proc/..", "proc/sys/kernel", "proc/sys/kernel/..", "proc/self"]);
            let more = ["proc/self/..", "self", "kernel", "kernel/..", "lib", "lib/..", "null", "null/.."];
            for path in some.chain(more) {
                let tried = start.one_by_one(path.as_bytes());
                assert_eq!(start.outcomes(path.as_bytes()), tried, "{path} from {from}");
            }
        }
    }
}
