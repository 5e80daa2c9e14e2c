//! Processes: clone(2), pidfd_open(2), kcmp(2), setns(2), and the loopback interface.

use std::cmp::Ordering;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering::Relaxed;

use nix::fcntl::{OFlag, openat};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, clone, setns, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::process::PidfdFlags;
use rustix::process::{Gid, Uid};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use super::{adopt, check, check_fd, request};

/// A process that is copied from this one into new namespaces (`CLONE_NEW*` bits), like fork(2): 0
/// in the child, the child's process ID, as this process sees it, in the parent.
///
/// # Errors
/// The call's; `EINVAL` in a process with several threads.
pub fn fork(namespaces: libc::c_int) -> io::Result<libc::pid_t> {
    let flags = libc::c_long::from(namespaces) | libc::c_long::from(libc::SIGCHLD);
    has_one_thread()?;
    // SAFETY: no stack, no thread bits: the kernel copies the process as fork does. There is no
    // other thread that could hold a lock in the copy.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })?;
    libc::pid_t::try_from(pid).map_err(io::Error::other)
}

/// `EINVAL` in a process with several threads: for one with a single thread, `CLONE_VM` has no
/// effect (unshare(2)).
fn has_one_thread() -> io::Result<()> {
    Ok(unshare(CloneFlags::CLONE_VM)?)
}

/// `struct clone_args` of `linux/sched.h`, second published size.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
}

/// A copy of this process with a chosen process ID in this PID namespace (clone3(2), Linux 5.5): 0
/// in the child.
///
/// # Errors
/// The call's: `EEXIST` when the number is taken. `EINVAL` in a process with several threads.
pub fn fork_as(pid: libc::pid_t) -> io::Result<libc::pid_t> {
    let wanted = [pid];
    let args = CloneArgs {
        exit_signal: u64::try_from(libc::SIGCHLD).map_err(io::Error::other)?,
        set_tid: wanted.as_ptr() as u64,
        set_tid_size: 1,
        ..CloneArgs::default()
    };
    has_one_thread()?;
    // SAFETY: as for `fork`; `wanted` outlives the call.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) })?;
    libc::pid_t::try_from(pid).map_err(io::Error::other)
}

/// What `start` of [`start_in_namespaces`] runs on, in bytes.
const START_STACK: usize = 256 << 10;

/// A process in new namespaces (`CLONE_NEW*` bits) that becomes another program in `start`, like
/// vfork(2): this process waits for the exec and no memory is copied, which takes longer than all
/// else. Where `start` comes back, the process ends with what it returns. It runs in this process's
/// memory: being `Fn + Sync`, it changes nothing there but what it made itself.
///
/// # Errors
/// clone(2)'s.
pub fn start_in_namespaces(namespaces: libc::c_int, start: impl Fn() -> libc::c_int + Sync) -> io::Result<libc::pid_t> {
    start_with(namespaces, start)
}

/// The same in a user namespace that is there already, as root of it: the new namespaces belong to
/// it. The process is a child of this one, whose user does not change.
///
/// # Errors
/// Those of setns(2) and clone(2).
pub fn start_in_user_namespace(
    user: BorrowedFd<'_>,
    namespaces: libc::c_int,
    start: impl Fn() -> libc::c_int + Sync,
) -> io::Result<libc::pid_t> {
    let started = AtomicI32::new(0);
    let enter_and_start = || {
        let pid = enter_user_namespace(user).and_then(|()| start_with(namespaces | libc::CLONE_PARENT, &start));
        match pid {
            Ok(pid) => {
                started.store(pid, Relaxed);
                0
            }
            Err(error) => error.raw_os_error().unwrap_or(libc::EINVAL),
        }
    };
    await_success(start_with(0, enter_and_start)?)?;
    Ok(started.into_inner())
}

/// Waits for the end of a process whose exit status is an errno.
fn await_success(pid: libc::pid_t) -> io::Result<()> {
    match waitpid(Pid::from_raw(pid), None)? {
        WaitStatus::Exited(_, 0) => Ok(()),
        WaitStatus::Exited(_, error) => Err(io::Error::from_raw_os_error(error)),
        status => Err(io::Error::other(format!("a process in a user namespace: {status:?}"))),
    }
}

/// The user namespace that owns a namespace (`NS_GET_USERNS`, ioctl_ns(2)).
///
/// # Errors
/// The call's: `EPERM` for one that is not below this process's.
pub fn owner_of(namespace: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    const NS_GET_USERNS: libc::Ioctl = request(0xb701);
    // SAFETY: no pointers.
    check_fd(unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_USERNS) }.into())
}

/// A copy of a mount namespace that belongs to the same user namespace as that. `proc` is a procfs
/// in which this process is.
///
/// # Errors
/// Those of setns(2) and unshare(2).
pub fn copy_mount_namespace(
    user: BorrowedFd<'_>,
    namespace: BorrowedFd<'_>,
    proc: BorrowedFd<'_>,
) -> io::Result<OwnedFd> {
    let made = AtomicI32::new(-1);
    let copied = || -> io::Result<OwnedFd> {
        setns(user, CloneFlags::CLONE_NEWUSER)?;
        setns(namespace, CloneFlags::CLONE_NEWNS)?;
        unshare(CloneFlags::CLONE_NEWNS)?;
        Ok(openat(proc, "self/ns/mnt", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?)
    };
    let copy = || match copied() {
        Ok(fd) => {
            made.store(fd.into_raw_fd(), Relaxed);
            0
        }
        Err(error) => error.raw_os_error().unwrap_or(libc::EINVAL),
    };
    // Descriptors are shared: this process has what that one opens.
    await_success(start_with(libc::CLONE_FILES, copy)?)?;
    adopt(made.into_inner())
}

/// Root of another user namespace, with all its rights and no others (setns(2)). There is no way
/// back.
fn enter_user_namespace(user: BorrowedFd<'_>) -> io::Result<()> {
    setns(user, CloneFlags::CLONE_NEWUSER)?;
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)?;
    Ok(rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)?)
}

fn start_with(flags: libc::c_int, start: impl Fn() -> libc::c_int + Sync) -> io::Result<libc::pid_t> {
    let mut stack = vec![0; START_STACK];
    let flags = CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK | CloneFlags::from_bits_retain(flags);
    // SAFETY: the stack is not touched until the process has another program, or has ended. This
    // thread waits so long: the new process is this thread with a stack and descriptors of its own.
    Ok(unsafe { clone(Box::new(|| start() as isize), &mut stack, flags, Some(libc::SIGCHLD)) }?.as_raw())
}

/// Makes `call` in another mount namespace, with root and working directory at that namespace's
/// root, and comes back to `home`, the one that this process is in (setns(2)). Its root and working
/// directory are the root of `home` then.
///
/// # Errors
/// Those of entering, and of `call`. A process with several threads cannot enter.
pub fn in_mount_namespace<T>(
    namespace: BorrowedFd<'_>,
    home: BorrowedFd<'_>,
    call: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    setns(namespace, CloneFlags::CLONE_NEWNS)?;
    let result = call();
    setns(home, CloneFlags::CLONE_NEWNS).expect("who could leave a namespace of its own can enter it again");
    result
}

/// pidfd_open(2): readable when the process has ended.
///
/// # Errors
/// The call's; `ESRCH` when the process does not exist.
pub fn pidfd_open(pid: libc::pid_t) -> io::Result<OwnedFd> {
    let pid = rustix::process::Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// Waits until a process has ended, whosever child it is; its parent still has to wait for it.
///
/// # Errors
/// Those of pidfd_open(2) and poll(2).
pub fn wait_for_zombie(pid: libc::pid_t) -> io::Result<()> {
    let pidfd = pidfd_open(pid)?;
    let mut polled = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    while poll(&mut polled, PollTimeout::NONE)? == 0 {}
    Ok(())
}

/// A descriptor of a process: its number there.
pub type DescriptorOf = (libc::pid_t, libc::c_int);

/// kcmp(2) with `KCMP_FILE`: an order of open file descriptions in which equal means the same one.
///
/// # Errors
/// The call's.
pub fn kcmp_file(one: DescriptorOf, other: DescriptorOf) -> io::Result<Ordering> {
    const KCMP_FILE: libc::c_int = 0;
    // SAFETY: no pointers.
    let order = check(unsafe { libc::syscall(libc::SYS_kcmp, one.0, other.0, KCMP_FILE, one.1, other.1) })?;
    match order {
        0 => Ok(Ordering::Equal),
        1 => Ok(Ordering::Less),
        2 => Ok(Ordering::Greater),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Switches a network interface on (`SIOCSIFFLAGS`, netdevice(7)).
///
/// # Errors
/// The first failing call's.
pub fn interface_up(name: &str) -> io::Result<()> {
    const SIOCSIFFLAGS: libc::Ioctl = request(0x8914);
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: all-zero bytes are a valid `ifreq`.
    let mut interface: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in interface.ifr_name.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1)) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    interface.ifr_ifru.ifru_flags =
        libc::c_short::try_from(libc::IFF_UP | libc::IFF_RUNNING).map_err(io::Error::other)?;
    // SAFETY: SIOCSIFFLAGS reads an `ifreq`.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), SIOCSIFFLAGS, &raw const interface) }.into()).map(drop)
}

/// Gives every signal its default action, as a new process has them; SIGPIPE stays
/// as it is.
pub fn reset_signals() {
    for signal in (1..=libc::SIGRTMAX()).filter(|&signal| signal != libc::SIGPIPE) {
        // SAFETY: the default action runs no code of this program. It fails for the few that cannot
        // be changed; let it.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Takes capabilities from this process's effective and permitted sets (capset(2)).
///
/// # Errors
/// The calls'.
pub fn drop_capabilities(dropped: CapabilitySet) -> io::Result<()> {
    let mut sets = capabilities(None)?;
    sets.effective.remove(dropped);
    sets.permitted.remove(dropped);
    Ok(set_capabilities(None, sets)?)
}
