//! A private corner of a running machine: called by a process that is alone in new namespaces, it
//! builds a root on a fresh tmpfs, moves there and lets go of everything else. All of it lives in
//! the mount namespace and goes with it.
//!
//! Nothing on the host is written to and no folder is made there: the tmpfs is mounted over
//! `/proc`, which every machine has, and that mount is seen by this namespace alone.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, SFlag, makedev, mknod, umask};

use super::{BootError, make_private, mark_as_own, mount_kernel_filesystem, step};

/// Where the new root is mounted for as long as the old one is there.
const STAGE: &str = "/proc";

/// Devices that programs, the agent and criu use: name and numbers of
/// `Documentation/admin-guide/devices.txt`.
const DEVICES: [(&str, u64, u64); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// Devices that only a process with the machine's privileges can have; a program that needs one
/// finds out that it is not there. Loop devices are added when they are taken.
const PRIVILEGED_DEVICES: [(&str, u64, u64); 3] =
    [("btrfs-control", 10, 234), ("fuse", 10, 229), ("loop-control", 10, 237)];

/// Makes the new root and moves there. `blank` is the folder with blank filesystems, copied to
/// `/blank`: nothing of the host's own files is in reach of a program that could make them
/// writable.
pub(in crate::agent) fn enter(blank: Option<&Path>) -> Result<(), BootError> {
    step("mounts private", make_private())?;
    umask(Mode::from_bits_truncate(0o022));
    step(format!("mount tmpfs on {STAGE}"), mount_kernel_filesystem("tmpfs", STAGE, "tmpfs", Some("mode=0755")))?;
    step(format!("go to {STAGE}"), std::env::set_current_dir(STAGE))?;
    for directory in ["proc", "sys", "dev", "dev/pts", "run", "t", "tmp", "blank"] {
        step(format!("the directory {directory} of the new root"), fs::create_dir(directory))?;
    }
    step("mark run in the new root", mark_as_own("run"))?;
    // mount_namespaces(7), "Restrictions on mount namespaces".
    let proc =
        "mount proc in the new root (without root this needs a /proc that nothing covers; many containers mask it)";
    step(proc, mount_kernel_filesystem("proc", "proc", "proc", None))?;
    // In a user namespace sysfs needs a network namespace of its own and a /sys that nothing
    // covers. Who needs it finds out by itself.
    let _ = mount_kernel_filesystem("sysfs", "sys", "sysfs", None);
    let devpts = mount_kernel_filesystem("devpts", "dev/pts", "devpts", Some("newinstance,ptmxmode=0666"));
    step("mount devpts in the new root", devpts)?;
    step("dev/ptmx in the new root", symlink("pts/ptmx", "dev/ptmx"))?;
    for (name, major, minor) in DEVICES {
        let made = make_device(name, major, minor).or_else(|_| borrow_device(name));
        step(format!("dev/{name} in the new root"), made)?;
    }
    for (name, major, minor) in PRIVILEGED_DEVICES {
        let _ = make_device(name, major, minor);
    }
    if let Some(blank) = blank {
        step(format!("copy {} into the new root", blank.display()), copy_files(blank, "blank"))?;
    }
    step("make the new root the root", leave_old_root())
}

fn make_device(name: &str, major: u64, minor: u64) -> io::Result<()> {
    let mode = Mode::from_bits_truncate(0o666);
    Ok(mknod(format!("dev/{name}").as_str(), SFlag::S_IFCHR, mode, makedev(major, minor))?)
}

/// In a user namespace, and in many containers, nodes cannot be made; those of the old root can be
/// shown.
fn borrow_device(name: &str) -> io::Result<()> {
    let at = format!("dev/{name}");
    fs::File::create(&at)?;
    let none = None::<&str>;
    Ok(mount(Some(format!("/{at}").as_str()), at.as_str(), none, MsFlags::MS_BIND, none)?)
}

fn copy_files(folder: &Path, to: &str) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), Path::new(to).join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// pivot_root(2) with both arguments the same puts the old root over the new one; then it is taken
/// away.
fn leave_old_root() -> io::Result<()> {
    nix::unistd::pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    std::env::set_current_dir("/")
}
