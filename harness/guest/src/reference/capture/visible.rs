//! Files on visible mounts and on those of the kernel's own, which are never in a mountinfo.

use std::os::fd::AsFd;

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use protocol::observation::Object;
use scenarios::Bytes;

use super::super::checkpoint::NameImage;
use super::super::private_mount_ns::look_at;
use super::super::table::{below, join, split};
use super::object::CapturedObject;
use super::refusal::Cause;
use super::{Capture, DELETED, is_at, watches};
use crate::observe;
use crate::sys;

impl Capture<'_> {
    /// A file on a visible mount or on one of the kernel's own.
    pub(super) fn other_file(&mut self, captured: &CapturedObject) -> Result<usize, Cause> {
        let Some(mount) = self.table().get(captured.mount) else {
            return match &captured.socket {
                Some(socket) => self.socket(captured, socket),
                None if watches::has_watches(captured) => Ok(self.watcher(captured)),
                None => self.memfd(captured),
            };
        };
        let found = look_at(self.proc, &captured.link)
            .and_then(|fd| Ok((observe::status(fd.as_fd())?.file, sys::statx_mount_id(fd.as_fd())?)));
        let stands_there = |wanted: &Bytes| below(&mount.mount_point, wanted).ok_or(Cause::Covered);
        if found.is_ok_and(|(file, id)| file == captured.status.file && id == captured.mount) {
            let path = stands_there(&captured.link)?;
            if captured.object == Object::Exe {
                self.checkpoint.executable = captured.link.clone();
            }
            return Ok(self.file(
                captured,
                path,
                NameImage::Live { file: captured.status.file, kind: captured.status.kind },
            ));
        }
        let stripped: Bytes = captured.link.0.strip_suffix(DELETED).ok_or(Cause::Covered)?.into();
        let path = stands_there(&stripped)?;
        if !self.is_bare(&stripped, captured.mount) {
            return Err(Cause::Covered);
        }
        let (base, prefix) = self.table().widest(mount.id).ok_or(Cause::Covered)?;
        let (base, below_base) = (base.id, join(&prefix, &path));
        let private_ns = self.private_ns(base)?;
        let unstripped = join(&prefix, &stands_there(&captured.link)?);
        if is_at(&private_ns, &unstripped, captured) {
            // It is there under its whole name, out of sight below something that is mounted over
            // that.
            return Err(Cause::Covered);
        }
        let name = self.removed(captured, base, &below_base, &private_ns)?;
        Ok(self.file(captured, path, name))
    }

    /// Whether the nearest directory above a path that is there is on this mount: whether a name
    /// that is put back under that path can be reached on it.
    fn is_bare(&self, path: &Bytes, mount: u64) -> bool {
        let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
        let mut directory = split(path).0;
        loop {
            let at = if directory.is_empty() { b"/".as_slice() } else { directory.as_slice() };
            match openat2(self.proc, at, how) {
                Ok(fd) => return sys::statx_mount_id(fd.as_fd()).is_ok_and(|id| id == mount),
                Err(_) if directory.is_empty() => return false,
                Err(_) => directory = split(&directory).0,
            }
        }
    }

    fn memfd(&mut self, captured: &CapturedObject) -> Result<usize, Cause> {
        let label = captured.link.0.strip_prefix(b"/memfd:").and_then(|rest| rest.strip_suffix(DELETED));
        let label: Bytes = label.ok_or_else(|| Cause::Unsupported(format!("{:?}", captured.status.kind)))?.into();
        let seals = self.seals(captured)?;
        let inode = self.kept_inode(captured, 0)?;
        Ok(self.file(captured, label, NameImage::Memfd { inode, seals }))
    }
}
