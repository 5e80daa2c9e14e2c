//! Mounts: whether each that is visible can be made read-only, and unmounted. Both fail (`EBUSY`)
//! where somebody holds more of the mount than before: mount_setattr(2), umount(2).

use std::io;
use std::os::fd::AsFd;

use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, umount2};
use nix::sys::stat::Mode;
use protocol::observation::Mount;
use protocol::probe::ProbeGroup::Busy;
use rustix::mount::MountAttrFlags;

use super::{Outcomes, done};
use crate::observe::{own_mount_table, own_procfs};
use crate::sys::{self, MountAttr};

pub(super) fn probe(top: &str, outcomes: &mut Outcomes) -> io::Result<()> {
    let mounts = visible(top)?;
    for (mount, path) in &mounts {
        if mount.options.0.split(|&byte| byte == b',').any(|word| word == b"rw") {
            outcomes.add(Busy, path, "make the mount read-only", done(read_only_and_back(mount)));
        }
    }
    for (mount, path) in &mounts {
        outcomes.add(Busy, path, "unmount", done(unmount(mount)));
    }
    Ok(())
}

/// Unmounts all that can be.
pub(super) fn unmount_all(top: &str) -> io::Result<()> {
    for (mount, _) in visible(top)? {
        // What stays has a reason, which is no news.
        let _ = unmount(&mount);
    }
    Ok(())
}

/// The mounts below the top directory, a child before its parent, and their paths there.
fn visible(top: &str) -> io::Result<Vec<(Mount, String)>> {
    let top = top.trim_end_matches('/').as_bytes();
    let below = |mount: &Mount| {
        let rest = mount.mount_point.as_slice().strip_prefix(top)?.strip_prefix(b"/")?;
        // The harness's own.
        let own = rest.is_empty() || rest == b"proc" || rest.starts_with(b".zdtm");
        (!own).then(|| scenarios::bytes::escape(rest))
    };
    let mounts = own_mount_table(own_procfs()?.as_fd())?;
    // A child mount comes after its parent.
    Ok(mounts.into_iter().rev().filter_map(|mount| below(&mount).map(|path| (mount, path))).collect())
}

fn unmount(mount: &Mount) -> nix::Result<()> {
    umount2(mount.mount_point.as_os_str(), MntFlags::UMOUNT_NOFOLLOW)
}

fn read_only_and_back(mount: &Mount) -> io::Result<()> {
    let at = open(mount.mount_point.as_os_str(), OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?;
    if sys::statx_mount_id(at.as_fd())? != mount.id {
        return Err(io::Error::other("hidden by another mount"));
    }
    let read_only = u64::from(MountAttrFlags::MOUNT_ATTR_RDONLY.bits());
    let set = |set, clear| sys::mount_setattr(at.as_fd(), c"", false, MountAttr { set, clear, ..MountAttr::default() });
    set(read_only, 0)?;
    set(0, read_only)
}
