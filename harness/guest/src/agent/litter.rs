//! What a trial left behind after its processes were ended: processes, mounts, files in the
//! machine's own folders. The agent compares with what was there before; whatever is more is named.
//!
//! This observation is the proof that a machine can serve the next trial, also after a restore that
//! failed.
//!
//! It covers processes, mounts, loop devices, and the names in the folders of the machine that a
//! criu could write to, [`FOLDERS`]. Whatever is new is a difference `leftovers` of this trial, and
//! the host throws the machine away. What a file holds is not compared.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, umount2};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use protocol::observation::Mount;

use crate::observe::outside::own_mounts;
use crate::sys;

/// The machine's own folders in which a dump or a restore may leave something, and what may
/// appear in each: the harness's own folders, and what criu keeps of the kernel for its next start
/// (`get_kerndat_filename`, criu/kerndat.c; the lock is that of the iptables that it starts for
/// that).
const FOLDERS: [(&str, &[&str]); 8] = [
    ("/", &[".zdtm", STATISTICS[0], STATISTICS[1]]),
    ("/tmp", &[]),
    ("/run", &["criu.kdat", "xtables.lock", "disks", "images", "stage"]),
    ("/run/images", &[]),
    ("/t", &[".executor"]),
    ("/etc", &[]),
    ("/root", &[]),
    ("/subject", &[]),
];

/// Where criu stands at its end it writes its statistics (`write_stats`, criu/stats.c). That this
/// is not the folder it was sent to is a matter of the lifecycle with relative paths alone
/// (`protocol::caller`), or every trial would fail by it.
const STATISTICS: [&str; 2] = ["stats-dump", "stats-restore"];

/// How long a process that was killed may take to be gone, in milliseconds.
const END_TIME_LIMIT_MS: u16 = 5000;

/// The state of the machine before a trial.
pub(super) struct Before {
    mounts: BTreeSet<u64>,
    /// The numbers of all, kernel threads too.
    processes: BTreeSet<i32>,
    names: BTreeSet<PathBuf>,
}

impl Before {
    /// The machine as it is now.
    pub(super) fn look() -> io::Result<Self> {
        let mounts = own_mounts()?.iter().map(|mount| mount.id).collect();
        Ok(Before { mounts, processes: process_numbers()?, names: names(&FOLDERS)? })
    }

    /// Names what is more than it was, and takes away what can be taken away: processes are killed,
    /// mounts detached, files and empty folders removed. Mounts below `expected_mounts` are taken
    /// away unnamed, and that folder may be there.
    pub(super) fn clean(&self, expected_mounts: Option<&str>) -> io::Result<Vec<String>> {
        let mut leftovers = Vec::new();
        reap_all();
        // Kernel threads have no memory.
        for pid in process_numbers()?.difference(&self.processes).copied().filter(|&pid| has_memory(pid)) {
            leftovers.push(process_text(pid));
            end(pid);
        }
        let mut mounts = own_mounts()?;
        mounts.retain(|mount| !self.mounts.contains(&mount.id));
        // Children stand after their parents.
        for mount in mounts.iter().rev() {
            let below = expected_mounts.and_then(|top| mount.mount_point.0.strip_prefix(top.as_bytes()));
            let expected = below.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"));
            if !expected {
                leftovers.push(mount_text(mount));
            }
            let _ = umount2(mount.mount_point.as_os_str(), MntFlags::MNT_DETACH);
        }
        let is_own = |path: &&PathBuf| expected_mounts.is_some_and(|top| **path == *Path::new(top));
        for path in names(&FOLDERS)?.difference(&self.names).filter(|path| !is_own(path)) {
            leftovers.push(remove(path));
        }
        for name in STATISTICS {
            let _ = fs::remove_file(Path::new("/").join(name));
        }
        reap_all();
        Ok(leftovers)
    }
}

/// Kills a process and waits for its end.
pub(super) fn end(pid: i32) {
    let pidfd = sys::pidfd_open(pid);
    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    if let Ok(pidfd) = pidfd {
        let _ = poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], END_TIME_LIMIT_MS);
    }
}

/// Removes a file or an empty folder; what it is, in words. A folder that holds something stays:
/// its contents are unknown.
fn remove(path: &Path) -> String {
    let text = name_text(path);
    let is_folder = fs::symlink_metadata(path).is_ok_and(|data| data.is_dir());
    let _ = if is_folder { fs::remove_dir(path) } else { fs::remove_file(path) };
    text
}

/// A process, in words.
pub(super) fn process_text(pid: i32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    format!("process {pid} ({})", name.trim())
}

/// A mount, in words.
pub(super) fn mount_text(mount: &Mount) -> String {
    format!("mount {} ({}) on {}", mount.id, mount.fs_type, mount.mount_point)
}

/// A name and what it is of, in words.
pub(super) fn name_text(path: &Path) -> String {
    let word = match fs::symlink_metadata(path).map(|data| data.file_type()) {
        Ok(kind) if kind.is_dir() => "directory",
        Ok(kind) if kind.is_symlink() => "symbolic link",
        Ok(kind) if kind.is_socket() => "socket",
        Ok(kind) if kind.is_fifo() => "pipe",
        _ => "file",
    };
    format!("{word} {}", scenarios::Bytes::from(path.as_os_str()))
}

/// Every name in the machine's own folders but those that may be there.
pub(super) fn folder_names() -> io::Result<BTreeSet<PathBuf>> {
    names(&FOLDERS)
}

/// Every name in these folders but those that may be there.
fn names(folders: &[(&str, &[&str])]) -> io::Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for (folder, known) in folders {
        let known: Vec<OsString> = known.iter().map(OsString::from).collect();
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if !known.contains(&entry.file_name()) {
                found.insert(entry.path());
            }
        }
    }
    Ok(found)
}

/// Takes the exit status of every ended child: PID 1 inherits orphans.
pub(super) fn reap_all() {
    while matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(status) if status != WaitStatus::StillAlive) {}
}

/// The numbers of all processes, those of kernel threads and of ended ones too.
pub(super) fn process_numbers() -> io::Result<BTreeSet<i32>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/proc")? {
        found.extend(entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    Ok(found)
}

/// Whether it is a process that has not ended, and no kernel thread.
pub(super) fn has_memory(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let is_kernel_thread = status.lines().any(|line| line == "Kthread:\t1");
    !is_kernel_thread && status.lines().any(|line| line.starts_with("VmSize:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_names_are_found_and_known_ones_are_not() {
        let folder = std::env::temp_dir().join(format!("zdtm-litter-{}", std::process::id()));
        fs::create_dir(&folder).expect("a folder");
        let folders: [(&str, &[&str]); 2] =
            [(folder.to_str().expect("a plain name"), &["known"]), ("/no/such/folder", &[])];
        fs::write(folder.join("old"), "").expect("a file");
        let before = names(&folders).expect("a look");
        fs::write(folder.join("known"), "").expect("a file");
        fs::write(folder.join("new"), "").expect("a file");
        fs::create_dir_all(folder.join("full/of")).expect("a folder");
        let now = names(&folders).expect("a look");
        let found: Vec<String> = now.difference(&before).map(|path| remove(path)).collect();
        let left = names(&folders).expect("a look");
        fs::remove_dir_all(&folder).expect("its end");
        let at = folder.display();
        assert_eq!(found, [format!("directory {at}/full"), format!("file {at}/new")]);
        assert_eq!(left, [folder.join("full"), folder.join("old")].into());
    }
}
