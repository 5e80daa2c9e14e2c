//! What the process under test gives up before it starts, on a kernel that is not ours alone, even
//! as root of the machine. Everything that it becomes or starts, a restored process too, has given
//! it up as well. The agent keeps its own rights: it attaches disks and captures, and carries out
//! nothing of a program.
//!
//! Programs may come from somebody else (a folder of results, a corpus). The threat is a program of
//! the language, which the executor carries out step by step. The threat is not code that has taken
//! over the executor: that would be root with `CAP_SYS_ADMIN`. Therefore nothing runs here unless
//! the user types `--backend host`, and anything that could be hostile belongs in a VM.
//!
//! - The process gives up all capabilities but 15, the system calls that act on a machine as a
//!   whole (a seccomp filter), and mknod(2) of every device except harmless ones and its own disks.
//!   It has fewer rights than the agent, so it cannot reach into it through `/proc/1`.
//! - `executor::guard` checks each step right before it is carried out. A step opens no device
//!   except harmless ones, and opens or changes no file on another filesystem than the program's
//!   own. Directories may be held.
//! - The step `exec` executes the file that the process executes already, and no other.
//! - No file of the host is in the namespaces. Blank filesystems are copied, and the file below a
//!   loop device has no name.
//!
//! A refused step makes the trial *unsupported*, with the reason. A user namespace would have the
//! kernel refuse all of this, but it would also take disks, device nodes and mappings away. When it
//! was measured (Linux 6.18), 281 of 488 scenarios were unsupported as root of a user namespace,
//! and none in the sandbox.

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
        if rights.shared { Sandbox::Shared { disks } } else { Sandbox::None }
    }

    /// For this process, right before it becomes another program.
    pub(super) fn enter(self) -> io::Result<()> {
        let Sandbox::Shared { disks } = self else { return Ok(()) };
        let failed = |what: &str, error: io::Error| io::Error::new(error.kind(), format!("{what}: {error}"));
        sys::keep_capabilities(&KEPT).map_err(|error| failed("giving up capabilities", error))?;
        sys::filter_system_calls(&devices(disks)).map_err(|error| failed("giving up system calls", error))
    }
}
