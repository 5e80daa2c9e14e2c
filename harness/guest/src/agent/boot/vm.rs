//! From the kernel's hand-over to a machine in which CRIU works: a root that can be pivoted away
//! from, kernel filesystems, modules, the loopback interface, the port to the host.

use std::ffi::CStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::{BootError, make_private, mark_as_own, mount_kernel_filesystem, step};
use crate::agent::modules::Modules;
use crate::sys;

/// The name of the virtio-serial port that the harness gives the VM.
const PORT_NAME: &str = "zdtm.agent";

/// Brings the machine up and opens the channel.
pub(in crate::agent) fn bring_up() -> Result<(File, Modules), BootError> {
    step("a mounted root", mounted_root())?;
    for (source, target, fs_type, data) in KERNEL_FILESYSTEMS {
        step(format!("the directory {target}"), fs::create_dir_all(target))?;
        step(format!("mount {fs_type} on {target}"), mount_kernel_filesystem(source, target, fs_type, data))?;
    }
    step("mark /run", mark_as_own("/run"))?;
    step("mounts private", make_private())?;
    step("/dev/ptmx", replace_by_link("/dev/ptmx", "pts/ptmx"))?;
    let mut modules = Modules::read(Path::new("/modules"));
    step("base modules", modules.load("base"))?;
    step("interface lo", sys::interface_up("lo"))?;
    Ok((open_port()?, modules))
}

const KERNEL_FILESYSTEMS: [(&str, &str, &str, Option<&str>); 6] = [
    ("proc", "/proc", "proc", None),
    ("sysfs", "/sys", "sysfs", None),
    ("devtmpfs", "/dev", "devtmpfs", None),
    ("devpts", "/dev/pts", "devpts", Some("newinstance,ptmxmode=0666")),
    ("tmpfs", "/run", "tmpfs", Some("mode=0755")),
    ("tmpfs", "/t", "tmpfs", Some("mode=0755")),
];

/// The initial rootfs cannot be pivoted away from (pivot_root(2)): a bind of it, moved over it,
/// can.
fn mounted_root() -> io::Result<()> {
    let none = None::<&CStr>;
    fs::create_dir_all("/newroot")?;
    mount(Some("/"), "/newroot", none, MsFlags::MS_BIND, none)?;
    std::env::set_current_dir("/newroot")?;
    mount(Some("."), "/", none, MsFlags::MS_MOVE, none)?;
    std::os::unix::fs::chroot(".")?;
    std::env::set_current_dir("/")?;
    // PID 1 shares root and working directory with the kernel's threads (`rest_init` in
    // init/main.c). They have this root now; from here on they are apart, or no other mount
    // namespace could be entered.
    Ok(unshare(CloneFlags::CLONE_FS)?)
}

fn replace_by_link(path: &str, target: &str) -> io::Result<()> {
    if fs::exists(path)? {
        fs::remove_file(path)?;
    }
    std::os::unix::fs::symlink(target, path)
}

/// The device of our port. Where virtio is a module its ports appear some time after the load: the
/// kernel tells each change of /dev through inotify.
fn open_port() -> Result<File, BootError> {
    use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
    let watch = step("inotify", Inotify::init(InitFlags::IN_CLOEXEC).map_err(io::Error::from))?;
    let flags = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_ATTRIB;
    step("a watch on /dev", watch.add_watch("/dev", flags).map_err(io::Error::from))?;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        if let Some(device) = find_port() {
            let opened = OpenOptions::new().read(true).write(true).open(&device);
            return step(format!("open {}", device.display()), opened);
        }
        let rest = deadline.saturating_duration_since(std::time::Instant::now());
        if rest.is_zero() {
            return Err(BootError::Lacking(format!(
                "there is no virtio-serial port named {PORT_NAME}; the VM was started without it"
            )));
        }
        let timeout = nix::poll::PollTimeout::try_from(rest).unwrap_or(nix::poll::PollTimeout::MAX);
        let mut polled = [nix::poll::PollFd::new(std::os::fd::AsFd::as_fd(&watch), nix::poll::PollFlags::POLLIN)];
        if nix::poll::poll(&mut polled, timeout).is_ok_and(|count| count > 0) {
            let _ = watch.read_events();
        }
    }
}

/// `/sys/class/virtio-ports/vportNpM/name` holds the name; `/dev/vportNpM` is the port.
fn find_port() -> Option<PathBuf> {
    let ports = fs::read_dir("/sys/class/virtio-ports").ok()?;
    ports.flatten().find_map(|port| {
        let name = fs::read_to_string(port.path().join("name")).ok()?;
        let device = Path::new("/dev").join(port.file_name());
        (name.trim() == PORT_NAME && device.exists()).then_some(device)
    })
}
