//! The user namespace of flavor `userns`, and what is handed to the process in it: mounts of disks,
//! which it may not make itself, as engines hand them to containers.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::wait::waitpid;
use nix::unistd::{Gid, Pid, Uid, chown, pipe2, read};
use protocol::message::SetupFailure;
use scenarios::program::Place;
use scenarios::{Program, Step};

use super::disks::Disk;
use crate::sys;

/// Root of the namespace is this user and this group outside; the others follow.
const FIRST_ID: u32 = 20_000;
/// How many users and groups it has: as many as 16 bits can tell apart.
const IDS: u32 = 65_536;

/// The number of the first mount that a process inherits.
pub(super) const FIRST_TREE: i32 = 830;

/// What uid_map and gid_map of the namespace say, as text of one line.
fn mapping() -> String {
    format!("0 {FIRST_ID} {IDS}")
}

/// Whether the agent's own user namespace has the users and groups that a new one maps.
pub(super) fn can_be_made() -> Result<(), SetupFailure> {
    let covered = |map: &str| fs::read_to_string(format!("/proc/self/{map}")).is_ok_and(|text| covers(&text));
    if ["uid_map", "gid_map"].into_iter().all(covered) {
        return Ok(());
    }
    let last = FIRST_ID + IDS - 1;
    Err(SetupFailure {
        line: 0,
        what: format!(
            "flavor userns needs the users and groups {FIRST_ID} to {last}, and this runs in a user namespace that \
             has fewer: run as root, or in a VM"
        ),
        missing: Some("users for a user namespace".to_owned()),
        errno: None,
    })
}

/// Whether one line of a map has all of them. The kernel does not join the lines of a map
/// (`map_id_range_down` in kernel/user_namespace.c).
fn covers(map: &str) -> bool {
    map.lines().any(|line| {
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let wanted = u64::from(FIRST_ID)..=u64::from(FIRST_ID + IDS);
        matches!(numbers[..], [first, _, count] if first <= *wanted.start() && *wanted.end() <= first + count)
    })
}

/// That a process has the users and groups of such a namespace, or, where it is not to be `below`,
/// those of the agent.
///
/// # Errors
/// Says what it has instead.
pub(super) fn check(pid: i32, below: bool) -> Result<(), String> {
    for map in ["uid_map", "gid_map"] {
        let read = |process: &str| -> Result<String, String> {
            let path = format!("/proc/{process}/{map}");
            let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
            Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
        };
        let expected = if below { mapping() } else { read("self")? };
        let got = read(&pid.to_string())?;
        if got != expected {
            return Err(format!("the process is in another user namespace: its {map} is {got}, not {expected}"));
        }
    }
    Ok(())
}

/// A user namespace below the agent's.
pub(super) struct UserNamespace(OwnedFd);

impl UserNamespace {
    /// A new one.
    ///
    /// # Errors
    /// Those of clone(2), `EINVAL` in a process with several threads, and of writing the maps:
    /// `EPERM` for an agent that has no such users itself.
    pub(super) fn new() -> io::Result<Self> {
        let (end, held) = pipe2(OFlag::O_CLOEXEC)?;
        let pid = sys::fork(libc::CLONE_NEWUSER)?;
        if pid == 0 {
            drop(held);
            let _ = read(&end, &mut [0]);
            std::process::exit(0);
        }
        let made = || -> io::Result<OwnedFd> {
            fs::write(format!("/proc/{pid}/uid_map"), mapping())?;
            fs::write(format!("/proc/{pid}/gid_map"), mapping())?;
            Ok(fs::File::open(format!("/proc/{pid}/ns/user"))?.into())
        };
        let made = made();
        drop(held);
        waitpid(Pid::from_raw(pid), None)?;
        made.map(UserNamespace)
    }

    /// For setns(2).
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A user or group as the namespace sees it; one that it does not have stays as it is.
pub(super) fn inside(id: u32) -> u32 {
    id.checked_sub(FIRST_ID).filter(|id| *id < IDS).unwrap_or(id)
}

/// Gives a file or directory to root of a new namespace.
///
/// # Errors
/// Those of chown(2).
pub(super) fn give(path: impl AsRef<Path>) -> io::Result<()> {
    Ok(chown(path.as_ref(), Some(Uid::from_raw(FIRST_ID)), Some(Gid::from_raw(FIRST_ID)))?)
}

/// For each disk of a program mounts of its whole, attached nowhere: one for its `mount` step and
/// one for each `mount-again` without a subvolume. Root of the namespace owns the top directory.
///
/// # Errors
/// Those of mounting.
pub(super) fn trees(program: &Program, disks: &[Disk]) -> io::Result<Vec<Vec<OwnedFd>>> {
    let mounted = program.steps.iter().filter_map(|line| match &line.step {
        Step::Mount { filesystem, at, .. } if filesystem.needs_disk() => Some(at),
        _ => None,
    });
    mounted.zip(disks).map(|(at, disk)| copies(disk, 1 + mounted_again(program, at))).collect()
}

fn mounted_again(program: &Program, at: &Place) -> usize {
    let again = |step: &Step| matches!(step, Step::MountAgain { of, subvolume: None, .. } if of == at);
    program.steps.iter().filter(|line| again(&line.step)).count()
}

fn copies(disk: &Disk, count: usize) -> io::Result<Vec<OwnedFd>> {
    const STAGE: &str = "/run/stage/handed";
    fs::create_dir_all(STAGE)?;
    let data = (disk.fs_type == "xfs").then_some("nouuid");
    mount(Some(disk.path().as_str()), STAGE, Some(disk.fs_type.as_str()), MsFlags::empty(), data)?;
    let stage = c"/run/stage/handed";
    // The copies of the descriptors do not pass to what the agent starts.
    let tree = || sys::open_tree(stage, false).and_then(sys::set_apart);
    let trees = give(STAGE).and_then(|()| (0..count).map(|_| tree()).collect());
    umount2(STAGE, MntFlags::MNT_DETACH)?;
    trees
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_enough_or_not() {
        let all = "         0          0 4294967295\n";
        let container = "0 100000 65536\n";
        let wide = "0 1000 1\n1 100000 85535\n";
        let halves = "0 100000 50000\n50000 200000 50000\n";
        let maps = [all, "0 1000 1\n", container, "0 100000 85536\n", "0 100000 85535\n", wide, halves, ""];
        assert_eq!(maps.map(covers), [true, false, false, true, false, true, false, false]);
    }

    #[test]
    fn a_process_is_in_the_user_namespace_that_it_should_be_in() {
        let own = std::process::id().cast_signed();
        assert_eq!(check(own, false), Ok(()));
        let why = check(own, true).unwrap_err();
        assert!(why.starts_with("the process is in another user namespace: its uid_map is 0 "), "{why}");
        assert!(why.ends_with(", not 0 20000 65536"), "{why}");
    }
}
