//! What the process under test gives up before it starts, on a kernel that is not ours alone, even
//! as root of the machine. Everything that it becomes or starts, a restored process too, has given
//! it up as well. The agent keeps its own rights: it attaches disks and captures, and carries out
//! nothing of a program.

use std::io;

use crate::executor::{Rights, devices};
use crate::sys;

/// What steps and the reference engine's restore need: capabilities(7) by number. Not among them,
/// of many: `CAP_SYS_PTRACE` (with fewer rights than the agent's the process can no longer reach
/// into it through `/proc`), `CAP_SYS_RAWIO`, `CAP_SYS_MODULE`, `CAP_SYS_BOOT`, `CAP_SYS_TIME`,
/// `CAP_SYSLOG`, `CAP_NET_ADMIN`.
const KEPT: [u32; 15] = [
    0,  // CAP_CHOWN
    1,  // CAP_DAC_OVERRIDE
    2,  // CAP_DAC_READ_SEARCH: files by handle
    3,  // CAP_FOWNER
    4,  // CAP_FSETID
    5,  // CAP_KILL
    6,  // CAP_SETGID
    7,  // CAP_SETUID
    18, // CAP_SYS_CHROOT
    21, // CAP_SYS_ADMIN: mounts
    24, // CAP_SYS_RESOURCE
    27, // CAP_MKNOD: the filter says which
    28, // CAP_LEASE
    31, // CAP_SETFCAP
    40, // CAP_CHECKPOINT_RESTORE: files of mappings
];

/// What is taken away from a process under test.
#[derive(Clone, Copy)]
pub(super) enum Sandbox<'a> {
    /// Nothing: the machine is a VM.
    None,
    /// All but what steps need; the process may make nodes of these loop devices.
    Shared {
        /// Their minor numbers.
        disks: &'a [u32],
    },
}

impl<'a> Sandbox<'a> {
    /// That of a program with these rights and disks. In a user namespace the kernel refuses the
    /// same and more; it does no harm.
    pub(super) fn of(rights: Rights, disks: &'a [u32]) -> Self {
        if rights == Rights::All { Sandbox::None } else { Sandbox::Shared { disks } }
    }

    /// For this process, right before it becomes another program.
    pub(super) fn enter(self) -> io::Result<()> {
        let Sandbox::Shared { disks } = self else { return Ok(()) };
        let failed = |what: &str, error: io::Error| io::Error::new(error.kind(), format!("{what}: {error}"));
        sys::keep_capabilities(&KEPT).map_err(|error| failed("giving up capabilities", error))?;
        sys::filter_system_calls(&devices(disks)).map_err(|error| failed("giving up system calls", error))
    }
}
