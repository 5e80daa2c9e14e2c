//! Relative resolution: what paths lead to from a directory, and what opening a file again gives.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::Mode;
use protocol::observation::{FileKind, Lookup, LookupKind, MountRef, Outcome, Reached};
use scenarios::Bytes;

use super::object::{MountTables, file_kind, link_text, outcome, path_fd};
use crate::sys;

/// No more paths than this are looked up from one directory; programs are small.
const PATH_LIMIT: usize = 96;
/// The harness's own corner in the top directory; the agent marks its other folders with a name like it.
const CORNER: &str = ".zdtm";
/// Nested paths reach this deep.
const DEPTH_LIMIT: usize = 4;

/// The lookups from the directory that `fd` names. `links` is this process's `/proc/PID/fd`.
pub(super) fn resolutions(links: BorrowedFd<'_>, fd: BorrowedFd<'_>, tables: &MountTables) -> Vec<Lookup> {
    let mut paths = BTreeSet::new();
    collect(fd, &mut Vec::new(), &mut paths);
    let fixed = [".", "..", "../..", "no-such-name", "no-such-name/.."].map(Bytes::from);
    let mut out = Vec::new();
    for path in fixed.into_iter().chain(paths) {
        for how in
            [LookupKind::Plain, LookupKind::Nofollow, LookupKind::Beneath, LookupKind::InRoot, LookupKind::NoXdev]
        {
            let reached = look_up(links, fd, &path, how, tables);
            out.push(Lookup { path: path.clone(), how, outcome: outcome(reached) });
        }
    }
    out
}

/// One lookup with `openat(O_PATH)`.
pub(super) fn plain(links: BorrowedFd<'_>, fd: BorrowedFd<'_>, path: &Bytes, tables: &MountTables) -> Outcome<Reached> {
    outcome(look_up(links, fd, path, LookupKind::Plain, tables))
}

/// Every name below `fd`, and `..` of every directory there. What cannot be read is not descended into: the lookups
/// of the directory itself tell that.
fn collect(fd: BorrowedFd<'_>, prefix: &mut Vec<u8>, paths: &mut BTreeSet<Bytes>) {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let Ok(mut dir) = Dir::openat(fd, ".", flags, Mode::empty()) else { return };
    let mut names: Vec<Vec<u8>> = dir.iter().flatten().map(|entry| entry.file_name().to_bytes().to_vec()).collect();
    names.sort();
    let depth = prefix.split(|&byte| byte == b'/').count();
    for name in names.into_iter().filter(|name| name != b"." && name != b"..") {
        if paths.len() >= PATH_LIMIT {
            return;
        }
        // The harness's own corner, and kernel filesystems whose content is not the program's.
        if prefix.is_empty() && name == CORNER.as_bytes() {
            continue;
        }
        let length = prefix.len();
        if !prefix.is_empty() {
            prefix.push(b'/');
        }
        prefix.extend_from_slice(&name);
        paths.insert(prefix.as_slice().into());
        let child = openat(fd, name.as_slice(), flags, Mode::empty());
        if let Some(child) = child.ok().filter(|child| !is_kernel_filesystem(child.as_fd())) {
            paths.insert([prefix, b"/..".as_slice()].concat().into());
            if depth < DEPTH_LIMIT && !is_own(child.as_fd()) {
                collect(child.as_fd(), prefix, paths);
            }
        }
        prefix.truncate(length);
    }
}

/// A folder with the harness's own corner in it: the agent's `/run`, or the top directory seen from the agent's root.
/// What is in there changes with the trial, or is looked at by itself.
fn is_own(dir: BorrowedFd<'_>) -> bool {
    openat(dir, CORNER, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).is_ok()
}

/// proc, sysfs and their kind: endless and never still.
pub(super) fn is_kernel_filesystem(fd: BorrowedFd<'_>) -> bool {
    on(fd, &[PROC, SYSFS, DEVPTS])
}

/// On one of these filesystems, by magic number (statfs(2)).
fn on(fd: BorrowedFd<'_>, filesystems: &[u64]) -> bool {
    sys::filesystem_of(fd).is_ok_and(|(magic, _)| filesystems.contains(&magic))
}

const PROC: u64 = 0x9fa0;
const SYSFS: u64 = 0x6265_6572;
const DEVPTS: u64 = 0x1cd1;
const OVERLAYFS: u64 = 0x794c_7630;

fn look_up(
    links: BorrowedFd<'_>,
    fd: BorrowedFd<'_>,
    path: &Bytes,
    how: LookupKind,
    tables: &MountTables,
) -> io::Result<Reached> {
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    let restricted = |resolve| again(|| openat2(fd, path.as_slice(), OpenHow::new().flags(flags).resolve(resolve)));
    let found = match how {
        LookupKind::Nofollow => openat(fd, path.as_slice(), flags | OFlag::O_NOFOLLOW, Mode::empty()),
        LookupKind::Beneath => restricted(ResolveFlag::RESOLVE_BENEATH),
        LookupKind::InRoot => restricted(ResolveFlag::RESOLVE_IN_ROOT),
        LookupKind::NoXdev => restricted(ResolveFlag::RESOLVE_NO_XDEV),
        _ => openat(fd, path.as_slice(), flags, Mode::empty()),
    };
    reached(links, found?.as_fd(), tables)
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

/// Who is at the end of a lookup.
fn reached(links: BorrowedFd<'_>, fd: BorrowedFd<'_>, tables: &MountTables) -> io::Result<Reached> {
    use std::os::fd::AsRawFd as _;
    let link = link_text(links, &fd.as_raw_fd().to_string())?;
    let sys::Identity { file, mode, mount: id } = sys::identity(fd)?;
    let state = tables.state(id, Some(fd), &link);
    Ok(Reached { file, kind: file_kind(mode), mount: MountRef { id, state }, link })
}

/// Opens a file again through its magic link `path` below `proc`, once for each access mode. Only regular files and
/// directories: opening a fifo or a device does something to it. Nor for writing on an overlay, which would copy the file
/// into its upper layer (Documentation/filesystems/overlayfs.rst).
pub(super) fn reopened(
    proc: BorrowedFd<'_>,
    links: BorrowedFd<'_>,
    path: &str,
    kind: FileKind,
    tables: &MountTables,
) -> Vec<Lookup> {
    let modes = [
        (LookupKind::ReopenRead, OFlag::O_RDONLY),
        (LookupKind::ReopenWrite, OFlag::O_WRONLY),
        (LookupKind::ReopenReadWrite, OFlag::O_RDWR),
    ];
    let is_overlay = || path_fd(proc, path).is_ok_and(|fd| on(fd.as_fd(), &[OVERLAYFS]));
    let modes = match kind {
        FileKind::File if is_overlay() => &modes[..1],
        FileKind::File | FileKind::Directory => &modes[..],
        _ => &[],
    };
    let opened = |mode: OFlag| -> io::Result<Reached> {
        let fd = openat(proc, path, mode | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK, Mode::empty())?;
        reached(links, fd.as_fd(), tables)
    };
    modes.iter().map(|&(how, mode)| Lookup { path: Bytes::default(), how, outcome: outcome(opened(mode)) }).collect()
}
