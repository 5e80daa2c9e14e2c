//! The mistakes of a restore ([`Fault`]) about mounts, beyond a condition in place.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;

use nix::fcntl::{AtFlags, FcntlArg, OFlag, fcntl, openat, renameat};
use nix::mount::{MntFlags, MsFlags, mount as mount_call, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::epoll::{Epoll, EpollEvent};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstat, fstatat, umask};
use nix::unistd::{Uid, UnlinkatFlags, linkat, setresuid, unlinkat};
use protocol::Fault;
use protocol::observation::{FileKind, Mount, Outcome, TreeEntry};
use rustix::mount::OpenTreeFlags;
use rustix::thread::CapabilitySet;
use scenarios::Bytes;

use super::super::checkpoint::{DetachedMount, FileImage, MappingImage};
use super::super::private_mount_ns::look_at;
use super::mounts::{Opener, RestoreContext, above, attributes, cloned, mount_point_below};
use super::{Options, inode};
use crate::external::directory_of;
use crate::observe;
use crate::sys::{self, set_apart};

/// Makes the filesystem writable that a directory is on.
pub(super) fn writable(root: BorrowedFd<'_>) {
    let _ = sys::set_superblock(root, c".", false);
}

/// A detached mount that is not quite the one of the checkpoint. The paths of its files stay; see
/// [`prefix`].
pub(super) fn mount(options: Options, mount: &DetachedMount) -> DetachedMount {
    let root = match options.fault {
        Some(Fault::SuperblockRoot) => Bytes::default(),
        Some(Fault::ParentRoot) => above(&mount.root),
        _ => mount.root.clone(),
    };
    DetachedMount { root, attributes: attributes(options.fault, mount.attributes), ..mount.clone() }
}

/// What has to go before the paths of files for a mount whose root is higher than it should be.
pub(super) fn prefix(wrong: &DetachedMount, right: &DetachedMount) -> Bytes {
    let rest = right.root.0.strip_prefix(wrong.root.as_slice()).unwrap_or_default();
    rest.strip_prefix(b"/").unwrap_or(rest).into()
}

/// The directory with the path that a file of another namespace has there, in this one.
pub(super) fn inside(file: &FileImage) -> io::Result<OwnedFd> {
    set_apart(File::open(directory_of(&file.path).as_os_str())?)
}

/// A visible mount on which a file of a detached one is found too: `any` one, or another bind of
/// the same directory.
pub(super) fn attached(
    context: &RestoreContext<'_>,
    mount: &DetachedMount,
    same_root: bool,
) -> io::Result<Option<Opener>> {
    let Some(base) = context.table.get(mount.base) else { return Ok(None) };
    if !same_root {
        let root = set_apart(look_at(context.proc, &base.mount_point)?)?;
        return Ok(Some(Opener::new(root, mount.root.clone())));
    }
    let whole: Bytes =
        [base.root.0.strip_suffix(b"/").unwrap_or(&base.root.0), b"/", mount.root.as_slice()].concat().into();
    let others = context.table.of_device((base.major, base.minor));
    let Some(other) = others.iter().find(|other| other.root == whole) else { return Ok(None) };
    let root = set_apart(look_at(context.proc, &other.mount_point)?)?;
    Ok(Some(Opener::new(root, Bytes::default())))
}

/// What a visible mount covers on its parent, where there is something.
pub(super) fn covered(context: &RestoreContext<'_>, mount: &Mount) -> io::Result<Option<Opener>> {
    let Some(parent) = context.table.get(mount.parent) else { return Ok(None) };
    let Some(below) = mount_point_below(parent, mount) else { return Ok(None) };
    let private_ns = context.private_ns(parent.id)?;
    Ok(Some(Opener::new(set_apart(look_at(private_ns.root.as_fd(), &below)?)?, Bytes::default())))
}

/// Something is left in the namespace after a detached mount was made.
pub(super) fn traces(context: &RestoreContext<'_>, mount: &DetachedMount, root: BorrowedFd<'_>) -> io::Result<()> {
    let none = None::<&CStr>;
    let Some(base) = context.table.get(mount.base) else { return Ok(()) };
    let at = base.mount_point.as_os_str();
    match context.options.fault {
        Some(Fault::MountPointLeft) => {
            let made = nix::unistd::mkdir(".zdtm-detached-mount-point", Mode::from_bits_truncate(0o755));
            made.or_else(|error| if error == nix::errno::Errno::EEXIST { Ok(()) } else { Err(error) })?;
        }
        Some(Fault::MountLeftVisible) => {
            mount_call(Some(at), "/.zdtm", none, MsFlags::MS_BIND, none)?;
        }
        Some(Fault::PropagationWrong) => mount_call(none, at, none, MsFlags::MS_PRIVATE, none)?,
        Some(fault @ (Fault::SubmountLost | Fault::SubmountReplaced)) => {
            if let Some(child) = submount(context, base) {
                let at = child.mount_point.as_os_str();
                umount2(at, MntFlags::MNT_DETACH)?;
                if fault == Fault::SubmountReplaced {
                    mount_call(Some(at), at, none, MsFlags::MS_BIND, none)?;
                }
            }
        }
        Some(Fault::BaseLeftWritable) if base.options.0.split(|&byte| byte == b',').any(|word| word == b"ro") => {
            mount_call(none, at, none, MsFlags::MS_REMOUNT | MsFlags::MS_BIND, none)?;
        }
        Some(Fault::LeftAttached) => {
            let is_directory = observe::status(root)?.kind == FileKind::Directory;
            sys::attach(root, if is_directory { c"/.zdtm" } else { c"/.zdtm/executor" })?;
        }
        Some(Fault::LeakedToPeer) => leak(context, mount)?,
        Some(fault @ (Fault::MappingLeft | Fault::LockLeft | Fault::RangeLockLeft | Fault::LeaseLeft)) => {
            stay_mapped(look_at(context.proc, &base.mount_point)?.as_fd(), fault)?;
        }
        Some(fault @ Fault::ReferenceLeft) if observe::status(root)?.kind == FileKind::Directory => {
            stay_mapped(root, fault)?;
        }
        _ => {}
    }
    Ok(())
}

fn submount<'a>(context: &'a RestoreContext<'_>, base: &Mount) -> Option<&'a Mount> {
    context.table.all().iter().find(|child| child.parent == base.id)
}

/// A clone of what is visible, with all that is mounted on it; `None` where something hides the
/// mount.
pub(super) fn with_submounts(context: &RestoreContext<'_>, mount: &DetachedMount) -> io::Result<Option<OwnedFd>> {
    let Some(base) = context.table.get(mount.base) else { return Ok(None) };
    let root = look_at(context.proc, &base.mount_point).and_then(|dir| look_at(dir.as_fd(), &mount.root));
    match root {
        Ok(root) if sys::statx_mount_id(root.as_fd())? == mount.base => {
            cloned(root.as_fd(), mount, OpenTreeFlags::AT_RECURSIVE).map(Some)
        }
        _ => Ok(None),
    }
}

/// What happens to the one who took a deleted file's name, while it is out of the way under the
/// name `aside`.
pub(super) fn aside(context: &RestoreContext<'_>, base: u64, dir: BorrowedFd<'_>, aside: &Bytes) -> io::Result<()> {
    let name = aside.as_slice();
    let stat = fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    if SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) != SFlag::S_IFREG {
        return Ok(());
    }
    let times = [(stat.st_atime, stat.st_atime_nsec), (stat.st_mtime, stat.st_mtime_nsec)];
    let mode = Mode::from_bits_truncate(stat.st_mode & 0o7777);
    match context.options.fault {
        Some(Fault::TakerOverwritten) => {
            let file = openat(dir, name, OFlag::O_WRONLY | OFlag::O_TRUNC | OFlag::O_CLOEXEC, Mode::empty())?;
            nix::unistd::write(&file, b"not yours")?;
            inode::own_times(&file, times)?;
        }
        Some(Fault::TakerModeChanged) => {
            fchmodat(dir, name, mode ^ Mode::S_IXUSR, FchmodatFlags::FollowSymlink)?;
        }
        Some(Fault::TakerCopied) => {
            let mut bytes = Vec::new();
            let file = openat(dir, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
            File::from(file).read_to_end(&mut bytes)?;
            let new = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
            unlinkat(dir, name, UnlinkatFlags::NoRemoveDir)?;
            let mut copy = File::from(openat(dir, name, new, mode)?);
            copy.write_all(&bytes)?;
            inode::own_times(&copy.into(), times)?;
        }
        Some(Fault::TakerLinked) => {
            let writable_root = context.writable_root(base).map_err(|failure| failure.error)?;
            let hidden = context.table.get(base).and_then(|base| mount_point_below(base, submount(context, base)?));
            if let Some(hidden) = hidden {
                let hidden = look_at(writable_root, &hidden)?;
                linkat(dir, name, &hidden, ".zdtm-detached-link", AtFlags::empty())?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// What a private mapping holds instead of its file.
pub(super) fn memory(fault: Option<Fault>, mapping: &MappingImage, file: BorrowedFd<'_>) -> io::Result<Option<Bytes>> {
    let (Some(fault @ (Fault::StaleMemory | Fault::PrivateCopied)), false) = (fault, mapping.shared) else {
        return Ok(None);
    };
    let size = observe::status(file)?.size.saturating_sub(mapping.offset.cast_unsigned());
    let mut memory = vec![b'-'; usize::try_from(size.min(mapping.length)).map_err(io::Error::other)?];
    if fault == Fault::PrivateCopied {
        if mapping.memory.is_some() {
            return Ok(None);
        }
        File::from(file.try_clone_to_owned()?).read_exact_at(&mut memory, mapping.offset.cast_unsigned())?;
    }
    Ok(Some(memory.into()))
}

/// A regular file below a directory is mapped for as long as the process lives, by a description
/// that has no descriptor any more, and may have a lock or a lease.
fn stay_mapped(root: BorrowedFd<'_>, fault: Fault) -> io::Result<()> {
    let is_file = |entry: &TreeEntry| matches!(&entry.status, Outcome::Ok(status) if status.kind == FileKind::File);
    let Some(file) = observe::names_below(root, "")?.into_iter().find(is_file) else { return Ok(()) };
    let file = openat(root, file.path.as_slice(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    match fault {
        Fault::LockLeft => sys::flock(file.as_fd(), false)?,
        Fault::RangeLockLeft => {
            let kind = libc::c_short::try_from(libc::F_RDLCK).map_err(io::Error::other)?;
            let range = libc::flock { l_type: kind, l_whence: 0, l_start: 1, l_len: 2, l_pid: 0 };
            fcntl(&file, FcntlArg::F_OFD_SETLK(&range)).map(drop)?;
        }
        Fault::LeaseLeft => sys::set_lease(file.as_fd(), false)?,
        _ => {}
    }
    sys::map_page(file.as_fd(), false, false).map(drop)
}

/// A regular file that was made again gets an attribute of chattr(1), where its filesystem has any.
pub(super) fn attribute(fault: Option<Fault>, dir: BorrowedFd<'_>, name: &Bytes) -> io::Result<()> {
    if fault != Some(Fault::AttributeSet) {
        return Ok(());
    }
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    if let Ok(file) = openat(dir, name.as_slice(), flags, Mode::empty())
        && let Ok(had) = rustix::fs::ioctl_getflags(&file)
    {
        rustix::fs::ioctl_setflags(&file, had | rustix::fs::IFlags::NODUMP)?;
    }
    Ok(())
}

/// A name of a directory that was read in part is taken out and put back.
pub(super) fn entry_moved(proc: BorrowedFd<'_>, directory: &OwnedFd) -> io::Result<()> {
    if observe::status(directory.as_fd())?.kind != FileKind::Directory {
        return Ok(());
    }
    let path = super::magic(directory);
    let again = openat(proc, path.as_str(), OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let Some(entry) = sys::entries(again.as_fd())?.pop() else { return Ok(()) };
    let stat = fstat(&again)?;
    let aside = ".zdtm-detached-entry";
    renameat(&again, entry.name.as_slice(), &again, aside)?;
    renameat(&again, aside, &again, entry.name.as_slice())?;
    inode::own_times(&again, [(stat.st_atime, stat.st_atime_nsec), (stat.st_mtime, stat.st_mtime_nsec)])
}

/// What the process has or lacks in the end.
pub(super) fn process(fault: Option<Fault>) -> io::Result<()> {
    match fault {
        Some(Fault::SignalBlocked) => SigSet::from(Signal::SIGUSR1).thread_block()?,
        Some(Fault::UmaskLost) => drop(umask(Mode::empty())),
        Some(Fault::FileSizeLimitLeft) => {
            let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE)?;
            setrlimit(Resource::RLIMIT_FSIZE, 1, hard)?;
        }
        Some(Fault::PrivilegeLost) => sys::drop_capabilities(CapabilitySet::DAC_OVERRIDE)?,
        _ => {}
    }
    Ok(())
}

/// A description of the same pipe is put into an epoll set instead of this one, under its number:
/// the set has it as long as it is open anywhere (epoll(7)).
pub(super) fn add_other_end(
    epoll: &Epoll,
    watched: BorrowedFd<'_>,
    event: EpollEvent,
    given: &[Vec<OwnedFd>],
) -> io::Result<()> {
    let file = observe::status(watched)?.file;
    let is_other = |fd: &&OwnedFd| {
        fd.as_raw_fd() != watched.as_raw_fd() && observe::status(fd.as_fd()).is_ok_and(|status| status.file == file)
    };
    let Some(other) = given.iter().flatten().find(is_other) else { return Ok(epoll.add(watched, event)?) };
    let own = set_apart(watched)?;
    sys::place([other], watched.as_raw_fd())?;
    let added = epoll.add(watched, event);
    sys::place([&own], watched.as_raw_fd())?;
    Ok(added?)
}

/// The owner of a description's signals is set with the rights of a user without any. The
/// kernel notes them, and sends no signal (`sigio_perm`, fs/fcntl.c).
pub(super) fn own_signals(fd: BorrowedFd<'_>) -> io::Result<()> {
    let (root, nobody) = (Uid::from_raw(0), Uid::from_raw(65534));
    setresuid(nobody, nobody, root)?;
    let owned = sys::own_signals(fd);
    setresuid(root, root, root)?;
    // Another user makes a process one that cannot be looked at (prctl(2), `PR_SET_DUMPABLE`).
    nix::sys::prctl::set_dumpable(true)?;
    owned
}

/// A bind that is made in a copy of the namespace whose mounts were not made private: the peer of a
/// shared mount, which is in the namespace itself, gets it too, and keeps it when the copy
/// ends.
fn leak(context: &RestoreContext<'_>, mount: &DetachedMount) -> io::Result<()> {
    let none = None::<&CStr>;
    let Some(base) = context.table.get(mount.base) else { return Ok(()) };
    let home = openat(context.proc, "self/ns/mnt", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    let at = [base.mount_point.as_slice(), b"/", mount.root.as_slice()].concat();
    unshare(CloneFlags::CLONE_NEWNS)?;
    let bound = mount_call(Some(at.as_slice()), at.as_slice(), none, MsFlags::MS_BIND, none);
    setns(home, CloneFlags::CLONE_NEWNS)?;
    Ok(bound?)
}
