//! Relative resolution: what paths lead to from a directory, and what opening a file again gives.
//!
//! Each path is looked up in five ways. Most lead to one place in all of them, and where that follows from how the kernel
//! walks a path, one lookup stands for all: see [`Start::at_once`].

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
/// The harness's own corner in the top directory; the agent marks its other folders with a name like it.
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
    let start = Start { ends, fd, mount: sys::statx_mount_id(fd).ok() };
    let fixed = FIXED.map(|path| path.as_bytes().to_vec());
    let mut down = None;
    let mut out = Vec::new();
    for path in fixed.into_iter().chain(paths_below(fd)) {
        let outcomes = start.at_once(&path, &mut down).unwrap_or_else(|| start.one_by_one(&path));
        let lookups = KINDS.into_iter().zip(outcomes);
        out.extend(lookups.map(|(how, outcome)| Lookup { path: Bytes(path.clone()), how, outcome }));
    }
    out
}

/// One lookup with `openat(O_PATH)`.
pub(super) fn plain(ends: &Ends, fd: BorrowedFd<'_>, path: &Bytes) -> Outcome<Reached> {
    outcome(Start { ends, fd, mount: None }.look_up(path.as_slice(), LookupKind::Plain))
}

/// A directory that paths are looked up from.
struct Start<'a> {
    ends: &'a Ends,
    fd: BorrowedFd<'a>,
    /// The number of the mount that it is on.
    mount: Option<u64>,
}

/// A path without `..`, and where it leads without any symbolic link on the way.
type Down = (Vec<u8>, Result<Reached, Errno>);

impl Start<'_> {
    /// What all kinds of lookups of a path come to, each tried.
    fn one_by_one(&self, path: &[u8]) -> Outcomes {
        KINDS.map(|how| outcome(self.look_up(path, how)))
    }

    /// The same from fewer lookups; none for a path that has to be tried in each way. `down` is the last path that led straight
    /// down. Three sorts of paths have it, path_resolution(7), openat2(2), `handle_dots` in fs/namei.c:
    ///
    /// - *Straight down*, without `..` and without symbolic links (`RESOLVE_NO_SYMLINKS`): every kind takes the same names to
    ///   the same end, never above the start. Only a mount on the way ends one of them, with EXDEV; it shows in the number
    ///   of the mount at the end, since nothing leads back to the first. A first name that is missing is so for every kind.
    /// - *Straight down and one up*: the start stays above, so nothing is restricted there either, but for mounts on the
    ///   way down.
    /// - *Up*: there is no symbolic link to follow; a mount that was left shows in the number of the mount at the end. The
    ///   two kinds that may not leave the start are tried.
    fn at_once(&self, path: &[u8], down: &mut Option<Down>) -> Option<Outcomes> {
        let start = self.mount?;
        let plain = || self.look_up(path, LookupKind::Plain).ok();
        let crosses = |reached: &Reached| reached.mount.id != start;
        if path.split(|&byte| byte == b'/').all(|name| name == b"..") {
            let reached = plain()?;
            let mut outcomes = alike(&reached, crosses(&reached));
            for (how, outcome) in KINDS.into_iter().zip(&mut outcomes) {
                if matches!(how, LookupKind::Beneath | LookupKind::InRoot) {
                    *outcome = super::object::outcome(self.look_up(path, how));
                }
            }
            return Some(outcomes);
        }
        let (straight, up) = path.strip_suffix(b"/..").map_or((path, false), |straight| (straight, true));
        if down.as_ref().is_none_or(|(last, _)| last != straight) {
            *down = Some((straight.to_vec(), self.straight_down(straight)?));
        }
        match &down.as_ref()?.1 {
            Ok(reached) if up => Some(alike(&plain()?, crosses(reached))),
            Ok(reached) => Some(alike(reached, crosses(reached))),
            Err(error) => Some(KINDS.map(|_| Outcome::Err(format!("{error:?}")))),
        }
    }

    /// Where a path without `..` and without symbolic links leads, or that its only name is missing; none for other paths.
    fn straight_down(&self, path: &[u8]) -> Option<Result<Reached, Errno>> {
        if path.split(|&byte| byte == b'/').any(|name| name == b"..") {
            return None;
        }
        let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
        match openat2(self.fd, path, how) {
            Ok(found) => Some(Ok(self.ends.reached(found.as_fd()).ok()?)),
            Err(Errno::ENOENT) if !path.contains(&b'/') => Some(Err(Errno::ENOENT)),
            Err(_) => None,
        }
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

/// Every kind of lookup led to the same file, but for the one that may not cross a mount where there was one.
fn alike(reached: &Reached, crossed: bool) -> Outcomes {
    KINDS.map(|how| match how {
        LookupKind::NoXdev if crossed => Outcome::Err("EXDEV".to_owned()),
        _ => Outcome::Ok(reached.clone()),
    })
}

/// A restricted lookup of `..` gives EAGAIN when something was renamed or mounted meanwhile, anywhere (openat2(2)).
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

/// Every name below `fd`, and `..` of every directory there. What cannot be read is not descended into: the lookups
/// of the directory itself tell that.
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
    // The agent's `/run`, or the top directory seen from the agent's root: what is in there changes with the trial, or
    // is looked at by itself.
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
pub(super) fn is_kernel_filesystem(fd: BorrowedFd<'_>) -> bool {
    sys::filesystem_of(fd).is_ok_and(|(magic, _)| is_of_the_kernel(magic))
}

/// The same by magic number, statfs(2).
pub(super) fn is_of_the_kernel(magic: u64) -> bool {
    [PROC, SYSFS, DEVPTS].contains(&magic)
}

const PROC: u64 = 0x9fa0;
const SYSFS: u64 = 0x6265_6572;
const DEVPTS: u64 = 0x1cd1;
const OVERLAYFS: u64 = 0x794c_7630;

/// Opens a file again through its magic link `path` below `proc`, once for each access mode. Only regular files and
/// directories: opening a fifo or a device does something to it. Nor for writing on an overlay (`magic`), which would copy the
/// file into its upper layer (Documentation/filesystems/overlayfs.rst).
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

    /// `/proc` is a mount, `/proc/self` a symbolic link, and nobody changes either.
    #[test]
    fn what_follows_from_one_lookup_is_what_each_kind_shows() {
        let links = File::open("/proc/self/fd").unwrap();
        let ends = Ends::new(links.into(), MountTables::new([], []));
        let mut derived = 0;
        for from in ["/", "/proc", "/proc/sys", "/usr", "/usr/bin", "/dev"] {
            let dir = File::open(from).unwrap();
            let mount = sys::statx_mount_id(dir.as_fd()).unwrap();
            let start = Start { ends: &ends, fd: dir.as_fd(), mount: Some(mount) };
            let some = [".", "..", "../..", "no-such-name", "no-such-name/..", "proc", "proc/..", "proc/sys/kernel/.."];
            let more = ["proc/self", "proc/self/..", "self", "kernel", "kernel/..", "lib", "lib/..", "null", "null/.."];
            let mut down = None;
            for path in some.into_iter().chain(more).map(str::as_bytes) {
                let Some(outcomes) = start.at_once(path, &mut down) else { continue };
                assert_eq!(outcomes, start.one_by_one(path), "{} from {from}", String::from_utf8_lossy(path));
                derived += 1;
            }
        }
        assert!(derived > 50, "{derived} of 102");
    }
}
