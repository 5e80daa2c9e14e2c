//! The mistakes of a capture ([`Fault`]) that need more than a condition in place.

use std::os::fd::{AsFd, BorrowedFd};

use nix::fcntl::OFlag;
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use nix::time::{ClockId, clock_gettime};
use protocol::Fault;
use protocol::observation::{FileKind, Object};
use scenarios::Bytes;

use super::super::checkpoint::{Contents, DetachedMount, MountImage, NameImage};
use super::super::private_mount_ns::{PrivateMountNs, reopen};
use super::super::table::{below, join};
use super::object::CapturedObject;
use super::refusal::Cause;
use super::{Capture, entry};
use crate::observe;
use crate::sys;

/// A file's path, taken for another.
pub(super) fn path(
    fault: Option<Fault>,
    captured: &CapturedObject,
    mount: &DetachedMount,
    private_ns: &PrivateMountNs,
    path: Bytes,
) -> Result<Bytes, Cause> {
    let wrong = match fault {
        Some(Fault::DotNameAsRoot) => path.0.starts_with(b".").then(Bytes::default),
        Some(Fault::OtherHardLink) => other_name(captured, mount, private_ns, &path)?,
        Some(Fault::SameInodeOtherSubvolume) => twin(captured, mount, private_ns, false)?,
        Some(Fault::SnapshotForSubvolume) => twin(captured, mount, private_ns, true)?,
        _ => None,
    };
    Ok(wrong.unwrap_or(path))
}

fn other_name(
    captured: &CapturedObject,
    mount: &DetachedMount,
    at: &PrivateMountNs,
    path: &Bytes,
) -> Result<Option<Bytes>, Cause> {
    let names = entry::names_of(at, captured.status.file).map_err(Cause::of("looking for other names"))?;
    let inside = |name: &Bytes| below_root(mount, name);
    Ok(names.iter().filter_map(inside).find(|name| name != path))
}

fn below_root(mount: &DetachedMount, name: &Bytes) -> Option<Bytes> {
    let slash = |path: &Bytes| Bytes::from([b"/", path.as_slice()].concat());
    below(&slash(&mount.root), &slash(name))
}

/// A file with the same inode number in another subvolume; in a snapshot of it, or of which it is
/// one, or in neither.
fn twin(
    captured: &CapturedObject,
    mount: &DetachedMount,
    at: &PrivateMountNs,
    snapshot: bool,
) -> Result<Option<Bytes>, Cause> {
    let proc = at.proc();
    let uuids = |fd: BorrowedFd<'_>| {
        let opened = reopen(proc, fd, OFlag::O_RDONLY);
        opened.and_then(|file| sys::btrfs_subvolume_of(file.as_fd())).ok()
    };
    // A pipe would wait for its other end.
    let is_plain = matches!(captured.status.kind, FileKind::File | FileKind::Directory);
    let Some(own) = is_plain.then(|| uuids(captured.fd.as_fd())).flatten() else { return Ok(None) };
    let mut found = None;
    let mut visit = |path: &Bytes, fd: BorrowedFd<'_>, kind: FileKind| {
        let file = observe::status(fd)?.file;
        let alike =
            kind == captured.status.kind && file.inode == captured.status.file.inode && file != captured.status.file;
        if alike
            && found.is_none()
            && let Some(other) = uuids(fd)
        {
            let related = own.1 == other.0 || own.0 == other.1;
            if related == snapshot {
                found = below_root(mount, path);
            }
        }
        Ok(true)
    };
    entry::walk(at.root.as_fd(), &mut visit).map_err(Cause::of("looking for a twin"))?;
    Ok(found)
}

/// The root of a mount that is a bind of a file: another name of the file.
pub(super) fn place(
    capture: &Capture<'_>,
    group: &[&CapturedObject],
    right: DetachedMount,
) -> Result<DetachedMount, Cause> {
    let bound = |captured: &&&CapturedObject| captured.link.0 == b"/" && captured.status.kind == FileKind::File;
    let Some(captured) = group.iter().find(bound) else { return Ok(right) };
    let private_ns = capture.private_ns(right.base)?;
    let names = entry::names_of(&private_ns, captured.status.file).map_err(Cause::of("looking for other names"))?;
    let root = names.into_iter().find(|name| *name != right.root).unwrap_or(right.root);
    Ok(DetachedMount { root, ..right })
}

/// Every file is given the mode that it has, which moves the time of its change.
///
/// Not before the clock that is read for that time has moved (`ktime_get_coarse_real_ts64`): what
/// was changed in the same tick has the same time, on a filesystem without finer ones (ramfs), and
/// then nothing has happened.
pub(super) fn touch(proc: BorrowedFd<'_>, objects: &[CapturedObject]) {
    let now = || clock_gettime(ClockId::CLOCK_REALTIME_COARSE).ok();
    let start = now();
    while start.is_some() && now() == start {
        std::thread::yield_now();
    }
    for captured in
        objects.iter().filter(|captured| captured.status.kind == FileKind::File && captured.object != Object::Exe)
    {
        let mode = Mode::from_bits_truncate(captured.status.mode);
        // On a read-only mount it cannot be done, and then nothing happens.
        let _ = fchmodat(proc, captured.magic.as_str(), mode, FchmodatFlags::FollowSymlink);
    }
}

/// Contents, changed.
pub(super) fn contents(fault: Option<Fault>, contents: &mut Contents) {
    match (fault, contents.extents.last_mut()) {
        (Some(Fault::StaleContent), Some((_, bytes))) => bytes.0.fill(b'-'),
        (Some(Fault::Truncated), Some(_)) => {
            contents.size = contents.size.saturating_sub(1);
            if let Some((_, bytes)) = contents.extents.last_mut() {
                bytes.0.pop();
            }
        }
        (Some(Fault::ModeChanged), _) => contents.mode ^= 0o111,
        (Some(Fault::DeviceNumberLost), _) if contents.rdev != 0 => contents.rdev ^= 4,
        (Some(Fault::HoleFilled), _) => {
            let begins_with_data = contents.extents.first().is_some_and(|(offset, _)| *offset == 0);
            if contents.size > 0 && !begins_with_data {
                contents.extents.insert(0, (0, vec![0].into()));
            }
        }
        (Some(Fault::XattrsLost), _) => contents.xattrs.clear(),
        (Some(Fault::TimeLost), _) => contents.times = [(0, libc::UTIME_NOW); 2],
        _ => {}
    }
}

/// Once all files are known: a file is given to another mount.
pub(super) fn after_all(capture: &mut Capture<'_>) {
    if capture.options.fault != Some(Fault::SiblingRootName) {
        return;
    }
    let mounts = capture.checkpoint.mounts.clone();
    let places: Vec<(usize, &DetachedMount)> = mounts
        .iter()
        .enumerate()
        .filter_map(|(index, mount)| match mount {
            MountImage::Detached(mount) => Some((index, mount)),
            _ => None,
        })
        .collect();
    for file in &mut capture.checkpoint.files {
        let Some((_, own)) = places.iter().find(|(index, _)| *index == file.mount) else { continue };
        let other = places.iter().find(|(_, mount)| mount.base == own.base && mount.root != own.root);
        if let (Some((other, mount)), NameImage::Live { file: id, .. }) = (other, &mut file.name)
            && let Ok(private_ns) = capture.private_namespaces.enter(capture.proc, capture.table, mount.base)
            && let Ok(fd) = super::look_at(private_ns.root.as_fd(), &join(&mount.root, &file.path))
            && let Ok(status) = observe::status(fd.as_fd())
        {
            (file.mount, *id) = (*other, status.file);
        }
    }
}
