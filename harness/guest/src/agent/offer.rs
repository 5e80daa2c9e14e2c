//! What the host's own kernel offers to programs, found out once. No module is loaded: what is not
//! is reported with the reason, and programs that need it are *unsupported*.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File};

use super::kernel_log;
use crate::sys;

/// Filesystems that take no device and no options: mounting one, attached nowhere, tells whether it
/// can be done.
const PROBED: [&str; 7] = ["tmpfs", "ramfs", "proc", "sysfs", "devpts", "mqueue", "hugetlbfs"];
/// Filesystems that need something to be mounted from: the kernel's list is all that is known
/// before.
const LISTED: [&str; 2] = ["overlay", "fuse"];
/// Filesystems of which a machine has one: what a program did there would be done to the host.
const OF_THE_MACHINE: [&str; 2] = ["devtmpfs", "cgroup2"];
/// Filesystems on block devices.
const ON_DISK: [&str; 6] = ["ext4", "xfs", "btrfs", "squashfs", "erofs", "vfat"];

/// Each filesystem, with the reason where it cannot be mounted.
pub(super) struct Offer {
    filesystems: BTreeMap<&'static str, Result<(), String>>,
    confined: bool,
    tainted: u64,
}

impl Offer {
    /// Looks. `blank`: there are blank filesystems for disks.
    pub(super) fn look(confined: bool, blank: bool) -> Self {
        let list = fs::read_to_string("/proc/filesystems").unwrap_or_default();
        let listed = |name: &str| match list.lines().any(|line| line.split('\t').next_back() == Some(name)) {
            true => Ok(()),
            false => Err(format!(
                "the host's kernel does not list {name} in /proc/filesystems; `modprobe {name}` may bring it"
            )),
        };
        let disks = disks(confined, blank);
        let mut filesystems = BTreeMap::new();
        filesystems.extend(PROBED.map(|name| (name, listed(name).and_then(|()| probe(name, confined)))));
        let only_in_a_vm = "it is the whole machine's; a program has it in a VM only";
        filesystems.extend(OF_THE_MACHINE.map(|name| (name, Err(only_in_a_vm.to_owned()))));
        filesystems.extend(LISTED.map(|name| (name, listed(name))));
        filesystems.extend(ON_DISK.map(|name| (name, listed(name).and_then(|()| disks.clone()))));
        Offer { filesystems, confined, tainted: kernel_log::tainted() }
    }

    /// Those that can be mounted.
    pub(super) fn filesystems(&self) -> Vec<String> {
        self.filesystems.iter().filter(|(_, can)| can.is_ok()).map(|(name, _)| (*name).to_owned()).collect()
    }

    /// The others, with the reason.
    pub(super) fn lacking(&self) -> BTreeMap<String, String> {
        let why = |(name, can): (&&str, &Result<(), String>)| Some(((*name).to_owned(), can.clone().err()?));
        self.filesystems.iter().filter_map(why).collect()
    }

    /// Whether a filesystem can be mounted; the error says why not. About an unknown one nothing is
    /// said against it.
    pub(super) fn can_mount(&self, filesystem: &str) -> Result<(), String> {
        self.filesystems.get(filesystem).cloned().unwrap_or(Ok(()))
    }

    pub(super) fn confined(&self) -> bool {
        self.confined
    }

    pub(super) fn tainted(&self) -> u64 {
        self.tainted
    }
}

fn probe(name: &str, confined: bool) -> Result<(), String> {
    let fs_type = CString::new(name).expect("the names above have no NUL");
    let why = if confined { " in a user namespace" } else { "" };
    sys::fsmount(&fs_type).map(drop).map_err(|error| format!("mounting {name}{why}: {error}"))
}

/// Whether there can be disks: loop devices of the host that may be used.
fn disks(confined: bool, blank: bool) -> Result<(), String> {
    if confined {
        return Err("filesystems on block devices can only be mounted by root, not in a user namespace".to_owned());
    }
    if !blank {
        return Err("the harness gave no blank filesystems".to_owned());
    }
    let minors = sys::loop_devices().map_err(|error| format!("looking for loop devices in /sys/block: {error}"))?;
    let Some(first) = minors.first() else {
        return Err("this machine has no loop device; `losetup -f` as root makes one".to_owned());
    };
    sys::loop_device(*first)
        .map(|device: File| drop(device))
        .map_err(|error| format!("/dev/loop{first} cannot be opened: {error}; containers often forbid block devices"))
}
