//! The machine that trials run on, as far as they must know it: which filesystems it has, whose
//! kernel it is.

use std::collections::BTreeMap;

use protocol::message::{Flavor, SetupFailure};

use super::kernel_log::{self, KernelLog};
use super::modules::Modules;
use super::offer::Offer;
use crate::executor::Rights;

/// Whose kernel it is decides what may be done to it.
pub(super) enum Machine {
    /// A VM: all of it is ours.
    Vm(Modules),
    /// The host's own kernel: shared with everybody on it.
    Host(Offer),
}

impl Machine {
    /// The filesystems that can be mounted.
    pub(super) fn filesystems(&self) -> Vec<String> {
        match self {
            Machine::Vm(modules) => modules.filesystems(),
            Machine::Host(offer) => offer.filesystems(),
        }
    }

    /// The filesystems that cannot be mounted, with the reason, as far as that is known beforehand.
    pub(super) fn lacking(&self) -> BTreeMap<String, String> {
        match self {
            Machine::Vm(_) => BTreeMap::new(),
            Machine::Host(offer) => offer.lacking(),
        }
    }

    /// Makes sure of a filesystem that a program needs. Where it is unknown whether the kernel has
    /// it, it is left to the program to find out.
    pub(super) fn provide(&mut self, filesystem: &str) -> Result<(), SetupFailure> {
        let failure = |what, missing| SetupFailure { line: 0, what, missing, errno: None };
        match self {
            Machine::Vm(modules) => {
                modules.load(filesystem).map_err(|error| failure(format!("loading modules: {error}"), None))
            }
            Machine::Host(offer) => {
                offer.can_mount(filesystem).map_err(|why| failure(why, Some(format!("filesystem {filesystem}"))))
            }
        }
    }

    /// What a program may do.
    pub(super) fn rights(&self, flavor: Flavor) -> Rights {
        let below = flavor == Flavor::Userns;
        match self {
            Machine::Vm(_) => Rights { shared: false, confined: below },
            Machine::Host(offer) => Rights { shared: true, confined: offer.confined() || below },
        }
    }

    /// New loop devices may be made; on the host one would stay for ever.
    pub(super) fn may_add_loop_devices(&self) -> bool {
        matches!(self, Machine::Vm(_))
    }

    /// The kernel's messages from now on. The host's kernel speaks about everybody's doings; what
    /// of it belongs to a trial is unknown, so none of it is read.
    pub(super) fn kernel_log(&self) -> std::io::Result<KernelLog> {
        match self {
            Machine::Vm(_) => KernelLog::from_now(),
            Machine::Host(_) => Ok(KernelLog::unread()),
        }
    }

    /// The taint flags; on the host those of the agent's start, for the same reason.
    pub(super) fn tainted(&self) -> u64 {
        match self {
            Machine::Vm(_) => kernel_log::tainted(),
            Machine::Host(offer) => offer.tainted(),
        }
    }
}
