//! The mistakes of a restore ([`Fault`]) about mounts, beyond a condition in place.

use std::ffi::CStr;
use std::io;
use std::os::fd::AsFd;

use nix::fcntl::{OFlag, openat};
use nix::mount::{MntFlags, MsFlags, mount as mount_call, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::Mode;
use protocol::Fault;
use protocol::observation::Mount;
use scenarios::Bytes;

use super::super::image::DetachedMount;
use super::super::workshop::look_at;
use super::mounts::{Opener, Stage, above, attributes, mount_point_below};
use super::{Options, set_apart};

/// A detached mount that is not quite the one of the image. The paths of its files stay; see [`prefix`].
pub(super) fn mount(options: Options, mount: &DetachedMount) -> DetachedMount {
    let root = match options.fault {
        Some(Fault::SuperblockRoot) => Bytes::default(),
        Some(Fault::ParentRoot) => above(&mount.root),
        _ => mount.root.clone(),
    };
    DetachedMount { root, base: mount.base, attributes: attributes(options.fault, mount.attributes) }
}

/// What has to go before the paths of files for a mount whose root is higher than it should be.
pub(super) fn prefix(wrong: &DetachedMount, right: &DetachedMount) -> Bytes {
    let rest = right.root.0.strip_prefix(wrong.root.as_slice()).unwrap_or_default();
    rest.strip_prefix(b"/").unwrap_or(rest).into()
}

/// A visible mount on which a file of a detached one is found too: `any` one, or another bind of the same directory.
pub(super) fn attached(stage: &Stage<'_>, mount: &DetachedMount, same_root: bool) -> io::Result<Option<Opener>> {
    let Some(base) = stage.table.get(mount.base) else { return Ok(None) };
    if !same_root {
        let root = set_apart(look_at(stage.proc, &base.mount_point)?)?;
        return Ok(Some(Opener { root, prefix: mount.root.clone() }));
    }
    let whole: Bytes =
        [base.root.0.strip_suffix(b"/").unwrap_or(&base.root.0), b"/", mount.root.as_slice()].concat().into();
    let others = stage.table.of_device((base.major, base.minor));
    let Some(other) = others.iter().find(|other| other.root == whole) else { return Ok(None) };
    let root = set_apart(look_at(stage.proc, &other.mount_point)?)?;
    Ok(Some(Opener { root, prefix: Bytes::default() }))
}

/// What a visible mount covers on its parent, where there is something.
pub(super) fn covered(stage: &Stage<'_>, mount: &Mount) -> io::Result<Option<Opener>> {
    let Some(parent) = stage.table.get(mount.parent) else { return Ok(None) };
    let Some(below) = mount_point_below(parent, mount) else { return Ok(None) };
    let workshop = stage.workshop(parent.id)?;
    Ok(Some(Opener { root: set_apart(look_at(workshop.root.as_fd(), &below)?)?, prefix: Bytes::default() }))
}

/// Something is left in the namespace after a detached mount was made.
pub(super) fn traces(stage: &Stage<'_>, mount: &DetachedMount) -> io::Result<()> {
    let none = None::<&CStr>;
    let Some(base) = stage.table.get(mount.base) else { return Ok(()) };
    let at = base.mount_point.as_os_str();
    match stage.options.fault {
        Some(Fault::MountPointLeft) => {
            let made = nix::unistd::mkdir(".zdtm-detached-mount-point", Mode::from_bits_truncate(0o755));
            made.or_else(|error| if error == nix::errno::Errno::EEXIST { Ok(()) } else { Err(error) })?;
        }
        Some(Fault::MountLeftVisible) => {
            mount_call(Some(at), "/.zdtm", none, MsFlags::MS_BIND, none)?;
        }
        Some(Fault::PropagationWrong) => mount_call(none, at, none, MsFlags::MS_PRIVATE, none)?,
        Some(Fault::SubmountLost) => {
            let child = stage.table.all().iter().find(|child| child.parent == base.id);
            if let Some(child) = child {
                umount2(child.mount_point.as_os_str(), MntFlags::MNT_DETACH)?;
            }
        }
        Some(Fault::LeakedToPeer) => leak(stage, mount)?,
        _ => {}
    }
    Ok(())
}

/// A bind that is made in a copy of the namespace whose mounts were not made private: the peer of a shared mount, which
/// stands in the namespace itself, gets it too, and keeps it when the copy ends.
fn leak(stage: &Stage<'_>, mount: &DetachedMount) -> io::Result<()> {
    let none = None::<&CStr>;
    let Some(base) = stage.table.get(mount.base) else { return Ok(()) };
    let home = openat(stage.proc, "self/ns/mnt", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    let at = [base.mount_point.as_slice(), b"/", mount.root.as_slice()].concat();
    unshare(CloneFlags::CLONE_NEWNS)?;
    let bound = mount_call(Some(at.as_slice()), at.as_slice(), none, MsFlags::MS_BIND, none);
    setns(home, CloneFlags::CLONE_NEWNS)?;
    Ok(bound?)
}
