//! A file that ended with the process is made again: contents, owner, mode, attributes, times.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmodat, futimens, mkdirat, mknodat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchownat, ftruncate, symlinkat};
use protocol::observation::FileKind;
use rustix::fs::{XattrFlags, setxattr};
use scenarios::Bytes;

use super::super::checkpoint::Contents;
use super::super::private_mount_ns::look_at;

/// Makes the file under a free name.
pub(super) fn make(proc: BorrowedFd<'_>, dir: BorrowedFd<'_>, name: &Bytes, contents: &Contents) -> io::Result<()> {
    let name = name.as_slice();
    let private = Mode::from_bits_truncate(0o600);
    let node = |kind| mknodat(dir, name, kind, private, contents.rdev);
    match contents.kind {
        FileKind::File => {
            let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
            fill(&openat(dir, name, flags, private)?, contents)?;
        }
        FileKind::Directory => mkdirat(dir, name, Mode::from_bits_truncate(0o700))?,
        FileKind::Symlink => symlinkat(contents.target.as_slice(), dir, name)?,
        FileKind::Fifo => node(SFlag::S_IFIFO)?,
        FileKind::Socket => node(SFlag::S_IFSOCK)?,
        FileKind::CharDevice => node(SFlag::S_IFCHR)?,
        FileKind::BlockDevice => node(SFlag::S_IFBLK)?,
        FileKind::Other => return Err(io::Error::other("a file of an unknown kind")),
    }
    fchownat(
        dir,
        name,
        Some(Uid::from_raw(contents.uid)),
        Some(Gid::from_raw(contents.gid)),
        AtFlags::AT_SYMLINK_NOFOLLOW,
    )?;
    if contents.kind != FileKind::Symlink {
        // A change of the owner takes the set-id bits away: the mode comes after it.
        fchmodat(dir, name, Mode::from_bits_truncate(contents.mode), FchmodatFlags::FollowSymlink)?;
        let made = look_at(dir, &name.into())?;
        attributes(proc, &made, contents)?;
    }
    times(dir, &name.into(), contents.times)
}

fn attributes(proc: BorrowedFd<'_>, made: &OwnedFd, contents: &Contents) -> io::Result<()> {
    if contents.xattrs.is_empty() {
        return Ok(());
    }
    let path = CString::new(super::magic(made)).map_err(io::Error::other)?;
    super::super::private_mount_ns::in_proc(proc, || {
        contents.xattrs.iter().try_for_each(|(name, value)| {
            let name = CString::new(name.as_slice()).map_err(io::Error::other)?;
            Ok(setxattr(&path, &name, value.as_slice(), XattrFlags::empty())?)
        })
    })
}

/// Size and data; what lies between stays a hole.
pub(super) fn fill(fd: &OwnedFd, contents: &Contents) -> io::Result<()> {
    ftruncate(fd, i64::try_from(contents.size).map_err(io::Error::other)?)?;
    let file = File::from(fd.as_fd().try_clone_to_owned()?);
    contents.extents.iter().try_for_each(|(offset, bytes)| file.write_all_at(bytes.as_slice(), *offset))
}

/// Access and modification time of an open file.
pub(super) fn own_times(fd: &OwnedFd, times: [(i64, i64); 2]) -> io::Result<()> {
    let [access, change] = times.map(|(seconds, nanoseconds)| TimeSpec::new(seconds, nanoseconds));
    Ok(futimens(fd, &access, &change)?)
}

/// Access and modification time of a name; of `dir` itself when the name is empty.
pub(super) fn times(dir: BorrowedFd<'_>, name: &Bytes, times: [(i64, i64); 2]) -> io::Result<()> {
    let [access, change] = times.map(|(seconds, nanoseconds)| TimeSpec::new(seconds, nanoseconds));
    let name = if name.is_empty() { b".".as_slice() } else { name.as_slice() };
    Ok(utimensat(dir, name, &access, &change, UtimensatFlags::NoFollowSymlink)?)
}
