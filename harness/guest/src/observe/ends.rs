//! Which file is at the end of a lookup, by a descriptor of it: its identity, its mount, its link
//! text.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use protocol::observation::{FileId, FileKind, MountRef, Reached};
use scenarios::Bytes;

use super::object::{MountTables, file_kind, link_text};
use crate::sys;

/// What btrfs shows in a snapshot for each subvolume of its original: empty directories, all with
/// this inode number (`BTRFS_EMPTY_SUBVOL_DIR_OBJECTID` in fs/btrfs/btrfs_tree.h).
const STUB: u64 = 2;

/// What one observation knows about where lookups end.
pub(super) struct Ends {
    /// The observing process's `/proc/PID/fd`.
    links: OwnedFd,
    /// Where mounts can be seen.
    pub(super) tables: MountTables,
    /// Link texts of directories, by mount and file. A directory has one name, so these two are
    /// enough to know it (`d_splice_alias` in fs/dcache.c), but for [`STUB`]s; a file may have
    /// several.
    directories: RefCell<HashMap<(u64, FileId), Bytes>>,
}

impl Ends {
    /// `links` is the observing process's `/proc/PID/fd`.
    pub(super) fn new(links: OwnedFd, tables: MountTables) -> Self {
        Ends { links, tables, directories: RefCell::default() }
    }

    /// Who is open here.
    pub(super) fn reached(&self, fd: BorrowedFd<'_>) -> io::Result<Reached> {
        let sys::Identity { file, mode, mount: id } = sys::identity(fd)?;
        let kind = file_kind(mode);
        let link = match kind {
            FileKind::Directory if file.inode != STUB => self.directory(fd, (id, file))?,
            _ => self.link(fd)?,
        };
        let state = self.tables.state(id, Some(fd), &link);
        Ok(Reached { file, kind, mount: MountRef { id, state }, link })
    }

    fn directory(&self, fd: BorrowedFd<'_>, which: (u64, FileId)) -> io::Result<Bytes> {
        if let Some(link) = self.directories.borrow().get(&which) {
            return Ok(link.clone());
        }
        let link = self.link(fd)?;
        self.directories.borrow_mut().insert(which, link.clone());
        Ok(link)
    }

    fn link(&self, fd: BorrowedFd<'_>) -> io::Result<Bytes> {
        link_text(self.links.as_fd(), &fd.as_raw_fd().to_string())
    }
}
