//! Files that have lost the name that they were opened by: those with other names stay where they
//! are and are found again by handle or by one of those names; those without end with the process
//! and travel in the checkpoint.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, FcntlArg, OFlag, OpenHow, ResolveFlag, fcntl, openat, openat2};
use nix::sys::stat::{Mode, fstatat};
use nix::unistd::{AccessFlags, Whence, faccessat, lseek};
use protocol::observation::{FileId, FileKind, FileStatus};
use protocol::{Fault, Lack};
use scenarios::Bytes;

use super::super::checkpoint::{Contents, InodeImage, InodeSource, NameImage};
use super::super::private_mount_ns::{PrivateMountNs, look_at};
use super::super::table::split;
use super::object::CapturedObject;
use super::refusal::Cause;
use super::{Capture, entry, wrong};
use crate::observe;
use crate::sys;

/// `f_type` of statfs(2).
const BTRFS: u64 = 0x9123_683e;
/// More than this is not kept in a checkpoint, in bytes: it travels in one message.
const CONTENT_LIMIT: usize = 4 << 20;

impl Capture<'_> {
    /// A file whose entry `path`, from the root of the base, was removed.
    pub(super) fn removed(
        &mut self,
        captured: &CapturedObject,
        base: u64,
        path: &Bytes,
        private_ns: &PrivateMountNs,
    ) -> Result<NameImage, Cause> {
        writable(private_ns, path).map_err(Cause::CannotBeMadeAgain)?;
        let lost = match self.options.fault {
            Some(Fault::DeletedLostLinks | Fault::DeletedSuffixLiteral) => true,
            Some(Fault::Lacks(Lack::HardLink)) => self.table.get(captured.mount).is_none(),
            _ => false,
        };
        if captured.status.links > 0 && captured.status.kind != FileKind::Directory && !lost {
            if was_unnamed(captured) {
                return Err(Cause::NamedSince);
            }
            if self.is_indexed(base) {
                return Err(Cause::OfIndex);
            }
            let source = linked(captured, private_ns)?;
            let inode = self.inode(InodeImage { base, file: captured.status.file, source });
            return Ok(NameImage::Removed { inode, above: Vec::new() });
        }
        if self.removed_roots.contains(&captured.status.file) {
            return Err(Cause::RootElsewhere);
        }
        match captured.magic_number {
            BTRFS if is_on_other_device(captured, path, private_ns) => return Err(Cause::SubvolumeGone),
            observe::OVERLAYFS if is_on_other_device(captured, path, private_ns) => return Err(Cause::OfOneLayer),
            observe::OVERLAYFS if is_of_lower_layer(&captured.status) => return Err(Cause::OfLowerLayer),
            _ => {}
        }
        let inode = self.kept_inode(captured, base)?;
        let never = self.never_named(captured, inode, &split(path).1);
        if never {
            return Ok(NameImage::Never { inode, above: Vec::new() });
        }
        let above = self.removed_above(captured, path, private_ns)?;
        Ok(NameImage::Removed { inode, above })
    }

    /// Whether it is an overlay with an index: a hard link brings the name that it is made from
    /// into the upper layer (`ovl_nlink_start`, fs/overlayfs/util.c), and nothing shows whether it
    /// is there already.
    fn is_indexed(&self, base: u64) -> bool {
        let mount = self.table.get(base).filter(|mount| mount.fs_type.0 == b"overlay");
        mount.is_some_and(|mount| mount.super_options.0.split(|&byte| byte == b',').any(|one| one == b"index=on"))
    }

    /// Whether the file was made without a name. The kernel shows such a file as `#INODE`, which
    /// may also be the name of a file, so the flag that it was opened with decides; or that another
    /// descriptor of it has the flag.
    fn never_named(&self, captured: &CapturedObject, inode: usize, name: &Bytes) -> bool {
        let flag = was_unnamed(captured);
        let is_never = |name: &NameImage| matches!(name, NameImage::Never { inode: other, .. } if *other == inode);
        let other = || self.checkpoint.files.iter().any(|file| is_never(&file.name));
        name.0 == format!("#{}", captured.status.file.inode).into_bytes() && (flag || other())
    }

    /// An inode that ends with the process.
    pub(super) fn kept_inode(&mut self, captured: &CapturedObject, base: u64) -> Result<usize, Cause> {
        if let Some(index) = self.checkpoint.inodes.iter().position(|inode| inode.file == captured.status.file) {
            return Ok(index);
        }
        let mut contents = self.contents(captured)?;
        wrong::contents(self.options.fault, &mut contents);
        let source = InodeSource::Contents(Box::new(contents));
        Ok(self.inode(InodeImage { base, file: captured.status.file, source }))
    }

    /// The directories above a removed one that are not in its path now, the nearest first.
    /// `path` is from the root of the base. The directories above a file are not visible.
    fn removed_above(
        &self,
        captured: &CapturedObject,
        path: &Bytes,
        private_ns: &PrivateMountNs,
    ) -> Result<Vec<Option<FileId>>, Cause> {
        let mut removed = Vec::new();
        if captured.status.kind != FileKind::Directory {
            return Ok(removed);
        }
        let failed = || Cause::of("looking at the directories above");
        let status = |fd: OwnedFd| observe::status(fd.as_fd());
        let mut at = captured.fd.try_clone().map_err(failed())?;
        let mut above = split(path).0;
        while !above.is_empty() {
            let up = openat(&at, "..", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty());
            let up = up.map_err(|error| failed()(error.into()))?;
            let below = at.try_clone().and_then(status).map_err(failed())?;
            let then = up.try_clone().and_then(status).map_err(failed())?;
            at = up;
            let now = look_at(private_ns.root.as_fd(), &above).and_then(status);
            // Above the root of its mount the process sees no directory.
            if then.file == below.file {
                if now.is_ok_and(|now| now.kind == FileKind::Directory) {
                    break;
                }
                removed.push(None);
                above = split(&above).0;
                continue;
            }
            if now.is_ok_and(|now| now.file == then.file) {
                break;
            }
            if self.removed_roots.contains(&then.file) {
                return Err(Cause::RootElsewhere);
            }
            if captured.magic_number == observe::OVERLAYFS && is_of_lower_layer(&then) {
                return Err(Cause::OfLowerLayer);
            }
            removed.push(Some(then.file));
            above = split(&above).0;
        }
        Ok(removed)
    }

    /// A removed file on a mount whose root was removed: with the directories between.
    pub(super) fn on_removed_root(
        &self,
        captured: &CapturedObject,
        path: &Bytes,
        name: NameImage,
        root: usize,
    ) -> Result<NameImage, Cause> {
        if path.is_empty() {
            return Ok(name);
        }
        let between = path.0.iter().filter(|&&byte| byte == b'/').count();
        let mut above = vec![None; between];
        if captured.status.kind == FileKind::Directory {
            let mut at = captured.fd.try_clone().map_err(Cause::of("dup"))?;
            for which in &mut above {
                at = openat(&at, "..", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
                    .map_err(|error| Cause::Call("open of ..", error.into()))?;
                *which = Some(observe::status(at.as_fd()).map_err(Cause::of("fstat"))?.file);
            }
        }
        above.push(Some(self.checkpoint.inodes[root].file));
        match name {
            NameImage::Removed { inode, .. } => Ok(NameImage::Removed { inode, above }),
            NameImage::Never { inode, .. } => Ok(NameImage::Never { inode, above }),
            name => Ok(name),
        }
    }

    fn contents(&self, captured: &CapturedObject) -> Result<Contents, Cause> {
        let stat =
            fstatat(&captured.fd, "", AtFlags::AT_EMPTY_PATH).map_err(|error| Cause::Call("fstat", error.into()))?;
        let extents = match captured.status.kind {
            FileKind::File => self.extents(captured)?,
            _ => Vec::new(),
        };
        let target = match captured.status.kind {
            FileKind::Symlink => nix::fcntl::readlinkat(&captured.fd, "").map(|target| target.as_os_str().into()),
            _ => Ok(Bytes::default()),
        };
        let xattrs = match captured.status.kind {
            FileKind::Symlink => Ok(Vec::new()),
            _ => observe::xattrs(self.proc, std::slice::from_ref(&captured.magic)).and_then(|mut all| all.remove(0)),
        };
        Ok(Contents {
            kind: captured.status.kind,
            mode: captured.status.mode,
            uid: captured.status.uid,
            gid: captured.status.gid,
            rdev: captured.status.rdev,
            size: captured.status.size,
            times: [(stat.st_atime, stat.st_atime_nsec), (stat.st_mtime, stat.st_mtime_nsec)],
            xattrs: without_labels(xattrs.unwrap_or_default()),
            extents,
            target: target.map_err(|error| Cause::Call("readlink", error.into()))?,
        })
    }

    /// What the file holds between its holes (lseek(2), `SEEK_DATA`).
    fn extents(&self, captured: &CapturedObject) -> Result<Vec<(u64, Bytes)>, Cause> {
        let read = || -> io::Result<Option<Vec<(u64, Bytes)>>> {
            let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
            let file = openat(self.proc, captured.magic.as_str(), flags | OFlag::O_NOATIME, Mode::empty())
                .or_else(|_| openat(self.proc, captured.magic.as_str(), flags, Mode::empty()))?;
            let mut file = File::from(file);
            let (mut extents, mut total, mut at) = (Vec::new(), 0, 0);
            loop {
                let start = match lseek(&file, at, Whence::SeekData) {
                    Ok(start) => start,
                    Err(Errno::ENXIO) => return Ok(Some(extents)),
                    Err(error) => return Err(error.into()),
                };
                at = lseek(&file, start, Whence::SeekHole)?;
                let length = usize::try_from(at - start).map_err(io::Error::other)?;
                total += length;
                if total > CONTENT_LIMIT {
                    return Ok(None);
                }
                let mut bytes = vec![0; length];
                file.seek(SeekFrom::Start(start.cast_unsigned()))?;
                file.read_exact(&mut bytes)?;
                extents.push((start.cast_unsigned(), bytes.into()));
            }
        };
        read().map_err(Cause::of("reading its contents"))?.ok_or(Cause::TooLarge(CONTENT_LIMIT))
    }

    /// `F_GET_SEALS`, through a descriptor of our own.
    pub(super) fn seals(&self, captured: &CapturedObject) -> Result<i32, Cause> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let file = openat(self.proc, captured.magic.as_str(), flags, Mode::empty());
        let seals = file.and_then(|file| fcntl(file, FcntlArg::F_GET_SEALS));
        seals.map_err(|error| Cause::Call("F_GET_SEALS", error.into()))
    }
}

/// Whether it was opened with `O_TMPFILE`.
fn was_unnamed(captured: &CapturedObject) -> bool {
    let made_so = |flags: u32| flags.cast_signed() & libc::O_TMPFILE == libc::O_TMPFILE;
    captured.descriptor.as_ref().is_some_and(|descriptor| made_so(descriptor.flags))
}

/// Labels of a security module are its own business; it gives a new file the right one.
fn without_labels(xattrs: Vec<(Bytes, Bytes)>) -> Vec<(Bytes, Bytes)> {
    xattrs.into_iter().filter(|(name, _)| !name.0.starts_with(b"security.selinux")).collect()
}

/// Whether a removed directory of an overlay is that of a lower layer: one that was made on the
/// overlay has no links left.
fn is_of_lower_layer(status: &FileStatus) -> bool {
    status.kind == FileKind::Directory && status.links > 0
}

/// Whether a file is not on the device of the directory that it was in. A btrfs subvolume has a
/// device of its own, which goes with it; in an overlay of several filesystems files have the
/// devices of their layers (`ovl_map_dev_ino` in fs/overlayfs/inode.c).
fn is_on_other_device(captured: &CapturedObject, path: &Bytes, private_ns: &PrivateMountNs) -> bool {
    let nearest = || Some(observe::status(nearest(private_ns, path).ok()?.as_fd()).ok()?.file.device);
    nearest().is_some_and(|device| device != captured.status.file.device)
}

/// By which the inode can be had again: a handle that leads to it from here, else one of its names.
/// Root of a user namespace may open no file by its handle (open_by_handle_at(2)).
fn linked(captured: &CapturedObject, private_ns: &PrivateMountNs) -> Result<InodeSource, Cause> {
    if !private_ns.foreign
        && let Ok(handle) = sys::handle_of(captured.fd.as_fd())
    {
        let found = sys::open_handle(private_ns.root.as_fd(), &handle).and_then(|fd| observe::status(fd.as_fd()));
        if found.is_ok_and(|found| found.file == captured.status.file) {
            return Ok(InodeSource::Linked { handle: Some(handle), path: None });
        }
    }
    let names = entry::names_of(private_ns, captured.status.file).map_err(Cause::of("looking for its other names"))?;
    let path = names.into_iter().next().ok_or(Cause::OtherNamesNotReachable)?;
    Ok(InodeSource::Linked { handle: None, path: Some(path) })
}

/// Whether something can be made in the directory of `path`, or in the nearest one above it that is
/// left.
fn writable(private_ns: &PrivateMountNs, path: &Bytes) -> io::Result<()> {
    Ok(faccessat(nearest(private_ns, path)?, ".", AccessFlags::W_OK, AtFlags::AT_EACCESS)?)
}

/// The directory of `path`, or the nearest one above it that is left. What has the name of a
/// directory by now and is not one does not count.
fn nearest(private_ns: &PrivateMountNs, path: &Bytes) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    let mut directory = split(path).0;
    loop {
        let at = if directory.is_empty() { b".".as_slice() } else { directory.as_slice() };
        match openat2(&private_ns.root, at, how) {
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) if !directory.is_empty() => {
                directory = split(&directory).0;
            }
            result => return result,
        }
    }
}
