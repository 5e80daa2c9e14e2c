//! What a trial left behind after its processes were ended: processes, mounts. The agent compares with what was there
//! before; whatever is more is named.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::observe::outside::own_mounts;

/// The state of the machine before a trial.
pub(super) struct Before {
    mounts: BTreeSet<u64>,
    processes: BTreeSet<i32>,
}

impl Before {
    /// The machine as it is now.
    pub(super) fn look() -> io::Result<Self> {
        Ok(Before { mounts: own_mounts()?.iter().map(|mount| mount.id).collect(), processes: processes()? })
    }

    /// Names what is more than it was, and takes away what can be taken away: processes are killed, mounts detached.
    pub(super) fn clean(&self, expected_mounts: &str) -> io::Result<Vec<String>> {
        let mut leftovers = Vec::new();
        reap_all();
        for pid in processes()?.difference(&self.processes) {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            leftovers.push(format!("process {pid} ({})", name.trim()));
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        let mut mounts = own_mounts()?;
        mounts.retain(|mount| !self.mounts.contains(&mount.id));
        // Children stand after their parents.
        for mount in mounts.iter().rev() {
            let below = mount.mount_point.0.strip_prefix(expected_mounts.as_bytes());
            let expected = below.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"));
            if !expected {
                leftovers.push(format!("mount {} ({}) on {}", mount.id, mount.fs_type, mount.mount_point));
            }
            let _ = umount2(mount.mount_point.as_os_str(), MntFlags::MNT_DETACH);
        }
        reap_all();
        Ok(leftovers)
    }
}

/// Takes the exit status of every ended child: PID 1 inherits orphans.
fn reap_all() {
    while matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(status) if status != WaitStatus::StillAlive) {}
}

/// Every process that is no kernel thread: kernel threads have no memory and so an empty command line.
fn processes() -> io::Result<BTreeSet<i32>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let is_kernel_thread = status.lines().any(|line| line == "Kthread:\t1");
        let has_memory = status.lines().any(|line| line.starts_with("VmSize:"));
        if !is_kernel_thread && has_memory {
            found.insert(pid);
        }
    }
    Ok(found)
}
