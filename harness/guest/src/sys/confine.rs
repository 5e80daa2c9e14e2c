//! What a process gives up for good, itself and everything that it becomes or starts: capabilities
//! (prctl(2), `PR_CAPBSET_DROP`) and system calls (seccomp(2)).

use std::io;

use super::check;

/// A device's type and numbers, as mknod(2) takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// A block device; else a character device.
    pub block: bool,
    /// Its major number.
    pub major: u32,
    /// Its minor number.
    pub minor: u32,
}

impl Device {
    /// As the kernel takes it (`new_encode_dev`, include/linux/kdev_t.h).
    const fn encoded(self) -> u32 {
        (self.minor & 0xff) | (self.major << 8) | ((self.minor & !0xff) << 12)
    }
}

/// Takes every capability but these from the bounding set: what is executed after this has no
/// other.
///
/// # Errors
/// prctl(2)'s.
pub fn keep_capabilities(keep: &[u32]) -> io::Result<()> {
    for capability in (0..=63).filter(|capability| !keep.contains(capability)) {
        // SAFETY: numbers only.
        match check(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability), 0, 0, 0) }.into()) {
            // The kernel has no more than those before.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            result => result?,
        };
    }
    Ok(())
}

/// System calls that change a machine as a whole or reach into other processes, or that would go
/// round this filter.
const FORBIDDEN: [libc::c_long; 28] = [
    libc::SYS_reboot,
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_quotactl,
    libc::SYS_perf_event_open,
    libc::SYS_bpf,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_vhangup,
    libc::SYS_nfsservctl,
];

/// What one architecture has besides: its name for seccomp(2), more forbidden system calls, and
/// mknod(2) with the places of its mode and device among the arguments.
#[cfg(target_arch = "x86_64")]
mod own {
    pub(super) const AUDIT_ARCH: u32 = 0xC000_003E;
    pub(super) const FORBIDDEN: &[libc::c_long] = &[
        libc::SYS_kexec_file_load,
        libc::SYS_iopl,
        libc::SYS_ioperm,
        libc::SYS_modify_ldt,
        libc::SYS_lookup_dcookie,
        libc::SYS_uselib,
    ];
    pub(super) const NODES: &[(libc::c_long, u32, u32)] = &[(libc::SYS_mknod, 1, 2), (libc::SYS_mknodat, 2, 3)];
}

#[cfg(target_arch = "aarch64")]
mod own {
    pub(super) const AUDIT_ARCH: u32 = 0xC000_00B7;
    /// `kexec_file_load`, which the libc crate does not have for musl on arm64.
    pub(super) const FORBIDDEN: &[libc::c_long] = &[294];
    pub(super) const NODES: &[(libc::c_long, u32, u32)] = &[(libc::SYS_mknodat, 2, 3)];
}

const fn op(code: u32, k: u32, yes: u8, no: u8) -> libc::sock_filter {
    // The codes of BPF have 16 bits.
    libc::sock_filter { code: code as u16, jt: yes, jf: no, k }
}

/// Loads 32 bits of `struct seccomp_data`.
const fn load(offset: u32) -> libc::sock_filter {
    op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset, 0, 0)
}

/// Goes on where the number is `k`, else leaves out the next `otherwise` operations.
const fn is(k: u32, otherwise: u8) -> libc::sock_filter {
    op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, k, 0, otherwise)
}

const fn end(action: u32) -> libc::sock_filter {
    op(libc::BPF_RET | libc::BPF_K, action, 0, 0)
}

const REFUSE: libc::sock_filter = end(libc::SECCOMP_RET_ERRNO | libc::EPERM as u32);
const ALLOW: libc::sock_filter = end(libc::SECCOMP_RET_ALLOW);
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
/// System calls of amd64's ABI with short pointers have this bit; no number of arm64 is as large.
const X32: u32 = 0x4000_0000;

/// The lower 32 bits of the argument with this index.
const fn argument(index: u32) -> u32 {
    16 + 8 * index
}

/// Operations that decide about the system call `number`, which makes nodes: with the mode and the
/// device in these arguments.
fn nodes(number: libc::c_long, mode: u32, device: u32, devices: &[Device]) -> io::Result<Vec<libc::sock_filter>> {
    let mut inner = vec![load(argument(mode)), op(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, libc::S_IFMT, 0, 0)];
    for (block, kind) in [(false, libc::S_IFCHR), (true, libc::S_IFBLK)] {
        let mut part = vec![load(argument(device))];
        for allowed in devices.iter().filter(|allowed| allowed.block == block) {
            part.extend([is(allowed.encoded(), 1), ALLOW]);
        }
        part.push(REFUSE);
        inner.push(is(kind, length(&part)?));
        inner.extend(part);
    }
    inner.push(ALLOW);
    let number = u32::try_from(number).map_err(io::Error::other)?;
    Ok(std::iter::once(is(number, length(&inner)?)).chain(inner).collect())
}

fn length(part: &[libc::sock_filter]) -> io::Result<u8> {
    u8::try_from(part.len()).map_err(io::Error::other)
}

/// Has the kernel refuse this process system calls for a machine as a whole, and mknod(2) of every
/// device but these, with `EPERM`. For a process with `CAP_SYS_ADMIN`.
///
/// # Errors
/// prctl(2)'s: `EINVAL` where the kernel has no `CONFIG_SECCOMP_FILTER`. More than a hundred
/// devices.
pub fn filter_system_calls(devices: &[Device]) -> io::Result<()> {
    let foreign = op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, own::AUDIT_ARCH, 1, 0);
    let mut filter = vec![load(ARCHITECTURE), foreign, end(libc::SECCOMP_RET_KILL_PROCESS), load(NUMBER)];
    filter.extend([op(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, X32, 0, 1), REFUSE]);
    for number in FORBIDDEN.iter().chain(own::FORBIDDEN) {
        filter.extend([is(u32::try_from(*number).map_err(io::Error::other)?, 1), REFUSE]);
    }
    for (number, mode, device) in own::NODES {
        filter.extend(nodes(*number, *mode, *device, devices)?);
    }
    filter.push(ALLOW);
    let program =
        libc::sock_fprog { len: u16::try_from(filter.len()).map_err(io::Error::other)?, filter: filter.as_mut_ptr() };
    // SAFETY: the kernel copies the program, which lives until the call is over.
    let done = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program, 0, 0) };
    check(done.into()).map(drop)
}
