//! What a run that ended could have left: processes, mounts, loop devices.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long the kernel may take to clear up after a kill; a busy machine needs seconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// Processes by number and start time, proc_pid_stat(5).
pub type Processes = BTreeSet<(i32, String)>;

/// The parent and the start time of a process that has not ended.
pub fn stat(pid: i32) -> Option<(i32, String)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    (*fields.first()? != "Z").then_some((fields.get(1)?.parse().ok()?, (*fields.get(19)?).to_owned()))
}

/// Everything that a process has started, in all generations.
pub fn descendants(of: i32) -> Processes {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let all: Vec<(i32, i32, String)> =
        numbers.filter_map(|pid| stat(pid).map(|(parent, start)| (pid, parent, start))).collect();
    let mut found = Processes::new();
    let mut parents = vec![of];
    while let Some(parent) = parents.pop() {
        for (pid, _, start) in all.iter().filter(|(_, of, _)| *of == parent) {
            found.insert((*pid, start.clone()));
            parents.push(*pid);
        }
    }
    found
}

/// The mounts of this process.
pub fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap_or_default()
}

/// Loop devices whose file is one that agents make.
pub fn our_loop_devices() -> Vec<PathBuf> {
    let entries = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let backing = entries.map(|entry| entry.path().join("loop/backing_file"));
    backing.filter(|file| fs::read_to_string(file).is_ok_and(|path| path.contains("/run/disks/"))).collect()
}

/// Processes end and devices detach a moment after the kill; mounts never come to this namespace at
/// all.
///
/// # Errors
/// What is left.
pub fn nothing_left(processes: &Processes, mounts_before: &str) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let alive: Vec<_> =
            processes.iter().filter(|(pid, start)| stat(*pid).is_some_and(|(_, now)| now == *start)).collect();
        let devices = our_loop_devices();
        if alive.is_empty() && devices.is_empty() {
            break;
        }
        if Instant::now() > deadline {
            return Err(format!("left behind: processes {alive:?}, loop devices {devices:?}"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    if mounts() != mounts_before {
        return Err(format!("the mounts were\n{mounts_before}\nand are\n{}", mounts()));
    }
    Ok(())
}
