//! Before the programs start: filesystems, disks, top directories, the executor's process.

use std::fs;
use std::io;
use std::os::fd::{OwnedFd, RawFd};

use nix::mount::{MsFlags, mount};
use protocol::message::{Flavor, SetupFailure, TrialRequest};
use scenarios::Step;

use super::child::Child;
use super::disks::{self, Disk, Disks};
use super::forked::Forked;
use super::machine::Machine;
use super::sandbox::Sandbox;
use super::trial::infrastructure;
use super::user_namespace::{self, FIRST_TREE};
use crate::coverage;
use crate::executor::{ProgramSlot, describe};

/// What is there before the programs start.
pub(super) struct Prepared {
    /// The process.
    pub(super) child: Child,
    /// Where each program is carried out.
    pub(super) slots: Vec<ProgramSlot>,
    /// The process's mount namespace, where a program leaves it and it must live on.
    pub(super) kept: Option<OwnedFd>,
}

/// Everything that must be there before the programs start, and where each is carried out, below a
/// directory of its own when there are several; what was attached is in `disks` also on
/// failure.
pub(super) fn prepare(
    request: &TrialRequest,
    top: &str,
    machine: &mut Machine,
    disks: &mut Disks,
) -> Result<Prepared, SetupFailure> {
    let failed = |what: &'static str| move |error: io::Error| infrastructure(what, &error);
    if request.flavor == Flavor::Userns {
        user_namespace::can_be_made()?;
    }
    let mut needed = Vec::new();
    let mut keeps = false;
    let mut processes = Vec::new();
    let mut ends = Vec::new();
    for program in &request.programs {
        let program =
            scenarios::text::program(program).map_err(|faults| infrastructure("the program", &describe(&faults)))?;
        for filesystem in program.filesystems() {
            machine.provide(&filesystem)?;
        }
        needed.extend(disks::needed(&program));
        keeps |= program.steps.iter().any(|line| matches!(line.step, Step::UnshareMounts { keep_old: true }));
        // One that makes processes is alone.
        processes.extend(program.processes().split_off(1));
        ends.push(needed.len());
    }
    disks.attach(&needed, machine.may_add_loop_devices()).map_err(failed("attaching disks"))?;
    make_top(top, request.flavor).map_err(failed("making the top directory"))?;
    let inner = inner_top(request.flavor, top);
    let packed = request.programs.len() > 1;
    let mut first = 0;
    let mut slots = Vec::new();
    let mut trees: Vec<OwnedFd> = Vec::new();
    for (index, (program, end)) in request.programs.iter().zip(ends).enumerate() {
        let minors = disks[first..end].iter().map(Disk::minor).collect();
        let handed = match request.flavor {
            Flavor::Userns => hand_over(program, &disks[first..end], &mut trees).map_err(failed("mounting disks"))?,
            Flavor::Host | Flavor::Ns => Vec::new(),
        };
        first = end;
        let own = if packed { format!("{CORNER}/{index}") } else { String::new() };
        if !own.is_empty() {
            make_folders(&format!("{top}{own}"), request.flavor).map_err(failed("making a program's top directory"))?;
        }
        let whole = format!("{}{own}", inner.trim_end_matches('/'));
        let place = if whole.is_empty() { "/".to_owned() } else { whole };
        slots.push(ProgramSlot { program: program.clone(), top: place, disks: minors, trees: handed });
    }
    let minors: Vec<u32> = disks.iter().map(Disk::minor).collect();
    let sandbox = Sandbox::of(machine.rights(request.flavor), &minors);
    let forked = Forked::new(&processes).map_err(failed("making pipes"))?;
    let child = Child::start(request.flavor, top, &trees, sandbox, forked).map_err(failed("starting the executor"))?;
    // It exists since the process does, which has not begun.
    let kept = keeps.then(|| child.mount_namespace()).transpose().map_err(failed("keeping the mount namespace"))?;
    Ok(Prepared { child, slots, kept })
}

/// Mounts of a program's disks for a process that may not mount them; the numbers that they have
/// there.
fn hand_over(program: &str, disks: &[Disk], all: &mut Vec<OwnedFd>) -> io::Result<Vec<Vec<RawFd>>> {
    let program = scenarios::text::program(program).map_err(|faults| io::Error::other(describe(&faults)))?;
    let mut handed = Vec::new();
    for trees in user_namespace::trees(&program, disks)? {
        let first = FIRST_TREE + i32::try_from(all.len()).map_err(io::Error::other)?;
        handed.push((first..).take(trees.len()).collect());
        all.extend(trees);
    }
    Ok(handed)
}

/// The top directory as the process sees it.
pub(super) fn inner_top(flavor: Flavor, top: &str) -> &str {
    if flavor.has_own_root() { "/" } else { top }
}

/// The harness's own corner in a top directory, which no observation goes into: the executor, and
/// the top directories of a pack.
const CORNER: &str = "/.zdtm";

/// The executor's one file: every trial's program is a hard link to it.
const EXECUTOR: &str = "/t/.executor";

/// A folder of the agent's tmpfs as a mount of its own, with the executor in the harness's own
/// corner. It has a `/tmp`, as most roots do: without one, criu makes and removes a
/// directory in the root (`cr_pivot_root`, criu/mount.c) and so moves its time.
///
/// Not a tmpfs of its own, because the executor would have to be copied to it: a copy has other
/// pages, and TCG keeps translated code by page. That took 100 ms of each trial, and hundreds of
/// MiB of each VM in the end.
fn make_top(top: &str, flavor: Flavor) -> io::Result<()> {
    make_folders(top, flavor)?;
    fs::create_dir(format!("{top}{CORNER}"))?;
    if !fs::exists(EXECUTOR)? {
        fs::copy("/proc/self/exe", EXECUTOR)?;
    }
    fs::hard_link(EXECUTOR, format!("{top}{CORNER}/executor"))?;
    coverage::make_room(top)?;
    let none = None::<&str>;
    Ok(mount(Some(top), top, none, MsFlags::MS_BIND, none)?)
}

/// What a program finds in its top directory, all of it its own root's.
fn make_folders(top: &str, flavor: Flavor) -> io::Result<()> {
    ["", "/proc", "/tmp"].iter().try_for_each(|folder| {
        let folder = format!("{top}{folder}");
        fs::create_dir(&folder)?;
        if flavor == Flavor::Userns { user_namespace::give(&folder) } else { Ok(()) }
    })
}

/// Removes it; it may not have been made.
pub(super) fn remove_top(top: &str) -> io::Result<()> {
    match fs::remove_dir_all(top) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
