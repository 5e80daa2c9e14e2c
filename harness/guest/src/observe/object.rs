//! What both sides read of one object: status, filesystem, mount, content, extended attributes.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::{Mode, SFlag};
use protocol::observation::{
    Content, FileId, FileKind, FileStatus, FilesystemStatus, MountState, Object, Outcome, StatMount,
};
use rustix::fs::{AtFlags, SeekFrom, StatxFlags, StatxTimestamp, seek, statx};
use rustix::io::Errno;
use scenarios::Bytes;
use sha2::{Digest, Sha256};

use crate::sys;

/// An object that the program made and its name there.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Made {
    /// Name in the program.
    pub name: String,
    /// What it is.
    pub object: Object,
}

/// A result as it is reported.
pub(super) fn outcome<T, E: Into<io::Error>>(result: Result<T, E>) -> Outcome<T> {
    match result {
        Ok(value) => Outcome::Ok(value),
        Err(error) => Outcome::Err((&error.into()).into()),
    }
}

/// The link text of a magic link below `dir`.
pub(crate) fn link_text(dir: BorrowedFd<'_>, path: &str) -> io::Result<Bytes> {
    Ok(readlinkat(dir, path)?.as_os_str().into())
}

/// Most files of a procfs fit into this.
const SMALL: usize = 4096;

/// The whole of a small file below `dir`.
pub(crate) fn read_file(dir: BorrowedFd<'_>, path: &str) -> io::Result<Vec<u8>> {
    let file = openat(dir, path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    let mut text = Vec::with_capacity(SMALL);
    // This limits nothing, but it avoids a stat(2) for the size: a file of a procfs has none.
    File::from(file).take(u64::MAX).read_to_end(&mut text)?;
    Ok(text)
}

/// An `O_PATH` descriptor of what a path below `dir` leads to; magic links are followed.
pub(crate) fn path_fd(dir: BorrowedFd<'_>, path: &str) -> io::Result<OwnedFd> {
    Ok(openat(dir, path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// statx(2), also of an `O_PATH` descriptor.
pub(crate) fn status(fd: BorrowedFd<'_>) -> io::Result<FileStatus> {
    status_at(fd, b"", AtFlags::EMPTY_PATH)
}

/// statx(2) of a path below `dir`.
pub(super) fn status_at(dir: BorrowedFd<'_>, path: &[u8], flags: AtFlags) -> io::Result<FileStatus> {
    let stat = statx(dir, path, flags | AtFlags::NO_AUTOMOUNT, StatxFlags::BASIC_STATS)?;
    let time = |time: &StatxTimestamp| (time.tv_sec, time.tv_nsec);
    Ok(FileStatus {
        file: FileId { device: libc::makedev(stat.stx_dev_major, stat.stx_dev_minor), inode: stat.stx_ino },
        kind: file_kind(stat.stx_mode.into()),
        mode: u32::from(stat.stx_mode) & 0o7777,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        size: stat.stx_size,
        links: stat.stx_nlink.into(),
        rdev: libc::makedev(stat.stx_rdev_major, stat.stx_rdev_minor),
        mtime: time(&stat.stx_mtime),
        ctime: time(&stat.stx_ctime),
        attributes: stat.stx_attributes.bits() & ATTRIBUTES,
    })
}

/// Compressed, immutable, append only, no dump, encrypted, verity, DAX. The others are not the
/// file's but the place's: the root of a mount.
const ATTRIBUTES: u64 = 0x30_0874;

/// What is in the mode.
pub(super) fn file_kind(mode: u32) -> FileKind {
    match SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFREG => FileKind::File,
        SFlag::S_IFDIR => FileKind::Directory,
        SFlag::S_IFLNK => FileKind::Symlink,
        SFlag::S_IFIFO => FileKind::Fifo,
        SFlag::S_IFSOCK => FileKind::Socket,
        SFlag::S_IFCHR => FileKind::CharDevice,
        SFlag::S_IFBLK => FileKind::BlockDevice,
        _ => FileKind::Other,
    }
}

/// fstatfs(2): the magic number and the flags of the mount.
pub(super) fn filesystem(fd: BorrowedFd<'_>) -> io::Result<FilesystemStatus> {
    let (magic, flags) = sys::filesystem_of(fd)?;
    Ok(FilesystemStatus { magic, flags })
}

/// statmount(2) by descriptor; `None` where the kernel cannot do it at all.
pub(super) fn statmount(fd: BorrowedFd<'_>) -> Option<Outcome<StatMount>> {
    match sys::statmount_by_fd(fd) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL)) => None,
        result => Some(outcome(result)),
    }
}

/// Filesystems that are never in a mountinfo.
pub(crate) fn is_internal(magic: u64, link: &Bytes) -> bool {
    const PIPEFS: u64 = 0x5049_5045;
    const SOCKFS: u64 = 0x534F_434B;
    const ANON_INODES: u64 = 0x0904_1934;
    const NSFS: u64 = 0x6e73_6673;
    const PIDFS: u64 = 0x5049_4446;
    const TMPFS: u64 = 0x0102_1994;
    match magic {
        PIPEFS | SOCKFS | ANON_INODES | NSFS | PIDFS => true,
        // memfd_create(2), shmem, System V: a kernel-internal tmpfs; their names do not start at a
        // root.
        TMPFS => link.0.starts_with(b"/memfd:") || link.0.starts_with(b"/SYSV") || link.0.starts_with(b"/dev/zero"),
        _ => false,
    }
}

/// Where mounts can be seen: in the process's table, and in the observer's when that is another
/// one.
pub(super) struct MountTables {
    own: BTreeSet<u64>,
    other: BTreeSet<u64>,
    /// `f_type` of the mounts that are not in the first table, asked once for each.
    magic_numbers: RefCell<BTreeMap<u64, Option<u64>>>,
}

impl MountTables {
    /// Tables with these mount IDs.
    pub(super) fn new(own: impl IntoIterator<Item = u64>, other: impl IntoIterator<Item = u64>) -> Self {
        let (own, other) = (own.into_iter().collect(), other.into_iter().collect());
        MountTables { own, other, magic_numbers: RefCell::default() }
    }

    /// The state of the mount `id` that holds an object with this link text, which `fd` leads to if
    /// anything does.
    pub(super) fn state(&self, id: u64, fd: Option<BorrowedFd<'_>>, link: &Bytes) -> MountState {
        if self.own.contains(&id) {
            return MountState::Visible;
        }
        let ask = || Some(sys::filesystem_of(fd?).ok()?.0);
        let magic = *self.magic_numbers.borrow_mut().entry(id).or_insert_with(ask);
        self.state_on(id, magic.unwrap_or(0), link)
    }

    /// The same where the magic number of the filesystem is known, 0 where it is unknown.
    pub(super) fn state_on(&self, id: u64, magic: u64, link: &Bytes) -> MountState {
        if self.own.contains(&id) {
            MountState::Visible
        } else if is_internal(magic, link) {
            MountState::Internal
        } else if self.other.contains(&id) {
            MountState::Elsewhere
        } else {
            MountState::Detached
        }
    }
}

/// No more of a file is read than this; the program language cannot write more, a sparse file may
/// be longer.
const CONTENT_LIMIT: u64 = 4 << 20;

/// What a regular file holds: opened anew through its magic link, so that no position moves.
pub(super) fn content(dir: BorrowedFd<'_>, path: &str) -> io::Result<Content> {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = openat(dir, path, flags | OFlag::O_NOATIME, Mode::empty())
        .or_else(|_| openat(dir, path, flags, Mode::empty()))?;
    let file = File::from(file);
    let mut content = hash(&mut (&file).take(CONTENT_LIMIT))?;
    content.holes = holes(&file)?;
    Ok(content)
}

/// A file with more holes is reported without the rest.
const HOLES_LIMIT: usize = 100;

/// Where a file has holes, in the unit of its filesystem. The position of the description moves.
/// Where a filesystem knows no holes, the end is the only one (lseek(2)).
fn holes(file: &File) -> io::Result<Vec<(u64, u64)>> {
    let size = file.metadata()?.len();
    let (mut holes, mut at) = (Vec::new(), 0);
    while at < size && holes.len() < HOLES_LIMIT {
        let hole = seek(file, SeekFrom::Hole(at))?;
        if hole >= size {
            break;
        }
        at = match seek(file, SeekFrom::Data(hole)) {
            Ok(data) => data,
            Err(Errno::NXIO) => size,
            Err(error) => return Err(error.into()),
        };
        holes.push((hole, at - hole));
    }
    Ok(holes)
}

/// Length, digest and start of what a reader gives.
pub(crate) fn hash(reader: &mut impl Read) -> io::Result<Content> {
    let mut digest = Sha256::new();
    let (mut length, mut head) = (0u64, Vec::new());
    // Programs' files are small.
    let mut buffer = [0; 4 << 10];
    loop {
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        digest.update(&buffer[..count]);
        length += count as u64;
        let missing = 64usize.saturating_sub(head.len());
        head.extend_from_slice(&buffer[..count.min(missing)]);
    }
    Ok(Content { length, sha256: hex(&digest.finalize()), head: head.into(), holes: Vec::new() })
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// Extended attributes of what magic links below `proc` lead to, sorted by name. The calls take a
/// path from the working directory only, and a `/proc` at its place is more than a process with a
/// root of its own may have; so none of the links may be that of the own working directory.
///
/// # Errors
/// The working directory cannot be left or entered again.
pub(crate) fn xattrs(proc: BorrowedFd<'_>, paths: &[String]) -> io::Result<Vec<io::Result<Xattrs>>> {
    let before = nix::fcntl::open(".", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
    nix::unistd::fchdir(proc)?;
    let list = |path: &String| list_xattrs(&CString::new(path.as_str()).map_err(io::Error::other)?);
    let lists = paths.iter().map(list).collect();
    nix::unistd::fchdir(&before)?;
    Ok(lists)
}

/// Names and values.
type Xattrs = Vec<(Bytes, Bytes)>;

fn list_xattrs(path: &CStr) -> io::Result<Xattrs> {
    let names = sys::listxattr(path)?;
    let names = names.split(|&byte| byte == 0).filter(|name| !name.is_empty());
    let mut list = Vec::new();
    for name in names {
        let name_text = CString::new(name).map_err(io::Error::other)?;
        list.push((name.into(), sys::getxattr(path, &name_text)?.into()));
    }
    list.sort();
    Ok(list)
}

/// SHA-256 in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The mount ID of what a descriptor names.
pub(super) fn mount_id(fd: &impl AsFd) -> io::Result<u64> {
    sys::statx_mount_id(fd.as_fd())
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;
    use protocol::observation::ReadError;

    use super::*;

    #[test]
    fn every_error_of_the_kernel_keeps_its_name() {
        let known = |number: &i32| Errno::from_raw(*number) != Errno::UnknownErrno;
        for number in (1..4096).filter(known) {
            let Outcome::Err(error) = outcome::<(), _>(Err(Errno::from_raw(number))) else { panic!("{number}") };
            assert_eq!(error.to_string(), format!("{:?}", Errno::from_raw(number)));
            assert!(matches!(error, ReadError::Errno(_)), "{number}");
        }
    }
}
