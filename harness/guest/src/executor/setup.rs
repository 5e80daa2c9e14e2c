//! Carries out programs, step by step, and checks what they assert.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use protocol::message::{FIRST_DESCRIPTOR, FailedAssertion, SetupFailure};
use scenarios::program::{Claim, FIRST_PROCESS, Line, ObjectName};
use scenarios::{Program, Step};
use vocabulary::Errno;

use super::claims::Claims;
use super::exec::Suspended;
use super::processes::{Member, Processes};
use super::world::World;
use super::{
    ProgramSlot, Rights, STREAMS, SetupResult, StepMark, describe, guard, mounts, names, objects, trees, watches,
};
use crate::external::FIRST_INHERITED;
use crate::observe::Made;
use crate::observe::inside::Glance;
use crate::sys;

/// No descriptor of the harness's has a higher number.
const DESCRIPTOR_LIMIT: i32 = 1024;

/// Carries out programs one after the other, up to the first that fails, and then checks what they
/// assert.
pub(super) fn set_up(slots: &[ProgramSlot], rights: Rights) -> Vec<SetupResult> {
    let mut all = Vec::new();
    let mut first_descriptor = FIRST_DESCRIPTOR;
    let mut done = Vec::new();
    let proc = own_proc();
    for (number, slot) in slots.iter().enumerate() {
        let mut result = SetupResult { first_descriptor, ..SetupResult::default() };
        match begin((number, slot), &proc, rights, &mut result) {
            Ok(one) => {
                first_descriptor = one.next_descriptor;
                done.push(one);
            }
            Err(failure) => result.failure = Some(failure),
        }
        let ends = result.failure.is_some();
        all.push(result);
        if ends {
            break;
        }
    }
    drop(proc);
    check(&mut all, &done);
    all
}

/// Goes on with the program that the step `exec` suspended.
pub(super) fn resume(number: &str) -> SetupResult {
    let mut result = SetupResult { first_descriptor: FIRST_DESCRIPTOR, ..SetupResult::default() };
    let go = |result: &mut SetupResult| {
        let failed = |error: io::Error| infrastructure(format!("after exec: {error}"));
        let Suspended { slot, rights, next, made } = Suspended::resume(number).map_err(failed)?;
        let proc = own_proc().map_err(infrastructure)?;
        let world = World::take_over(&slot.top, proc, made).map_err(failed)?;
        // One with the step `exec` is alone.
        go_on(world, (0, &slot), rights, next, result)
    };
    match go(&mut result) {
        Ok(done) => check(std::slice::from_mut(&mut result), &[done]),
        Err(failure) => result.failure = Some(failure),
    }
    result
}

/// Checks what programs assert.
fn check(results: &mut [SetupResult], done: &[CarriedOut]) {
    let mut glance = None;
    for (result, one) in results.iter_mut().zip(done) {
        match one.assertions(&mut glance) {
            Ok(failed) => result.failed_assertions.extend(failed),
            Err(error) => result.failure = Some(infrastructure(format!("checking assertions: {error}"))),
        }
    }
}

/// A procfs that is attached nowhere: it works wherever a program moves its root. Out of the way of
/// programs' descriptors.
fn own_proc() -> Result<Rc<OwnedFd>, String> {
    let proc = sys::fsmount(c"proc").and_then(sys::set_apart);
    proc.map(Rc::new).map_err(|error| format!("a procfs: {error}"))
}

pub(super) fn infrastructure(what: String) -> SetupFailure {
    SetupFailure { line: 0, what, missing: None, errno: None }
}

/// A program whose steps are done.
struct CarriedOut {
    program: Program,
    /// The path of its top directory.
    top: String,
    /// The mounts of the namespace that it left and that lives on.
    elsewhere: Vec<u64>,
    /// The first descriptor number of the next program.
    next_descriptor: i32,
    /// Its processes, the first one first.
    members: Vec<Member>,
}

/// Carries out one program from its first step.
fn begin(
    (number, slot): (usize, &ProgramSlot),
    proc: &Result<Rc<OwnedFd>, String>,
    rights: Rights,
    result: &mut SetupResult,
) -> Result<CarriedOut, SetupFailure> {
    let proc = Rc::clone(proc.as_ref().map_err(|why| infrastructure(why.clone()))?);
    let world = World::new(slot, proc, result.first_descriptor)
        .map_err(|error| infrastructure(format!("top directory {}: {error}", slot.top)))?;
    go_on(world, (number, slot), rights, 0, result)
}

/// Carries out a program from the step with the index `next`.
fn go_on(
    mut world: World,
    (number, slot): (usize, &ProgramSlot),
    rights: Rights,
    next: usize,
    result: &mut SetupResult,
) -> Result<CarriedOut, SetupFailure> {
    let program = scenarios::text::program(&slot.program)
        .map_err(|faults| infrastructure(format!("program text: {}", describe(&faults))))?;
    let mut processes = Processes::new(&program, rights);
    for (index, (process, line)) in program.by_process().enumerate().skip(next) {
        StepMark { program: number, line: line.number }.set();
        if mounts::takes_disk(&line.step) {
            processes.pass_over(&process, index)?;
        }
        if let Step::Exit { process } = &line.step {
            processes.end(process)?;
        } else if process.0 != FIRST_PROCESS {
            pass_over(&mut world, line)?;
            processes.carry_out(&process, index)?;
        } else if let Step::Exec = line.step {
            may(&world, line.number, &line.step, rights)?;
            let suspended = Suspended { slot: slot.clone(), rights, next: index + 1, made: world.pass_on() };
            let error = suspended.exec(&world);
            return Err(step_failure(line.number, &line.step, &error, rights.confined));
        } else {
            carry_out_line(&mut world, line, rights, &mut processes)?;
        }
    }
    StepMark::clear();
    let first = Member::of(&ObjectName(FIRST_PROCESS.to_owned()), &world, &program);
    let (members, failed) = processes.conclude(first)?;
    result.made = members[0].made.clone();
    result.others = members[1..].iter().map(Member::as_other).collect();
    result.failed_assertions = failed;
    let (next_descriptor, elsewhere) = (world.next_descriptor(), world.elsewhere().to_vec());
    Ok(CarriedOut { top: world.into_top(), elsewhere, next_descriptor, members, program })
}

/// One step, in the process that carries it out.
pub(super) fn carry_out_line(
    world: &mut World,
    line: &Line,
    rights: Rights,
    processes: &mut Processes<'_>,
) -> Result<(), SetupFailure> {
    let Line { number, step } = line;
    may(world, *number, step, rights)?;
    let done = match step {
        Step::Fork { process } => processes.fork(process, world),
        step => carry_out(world, step),
    };
    done.map_err(|error| step_failure(*number, step, &error, rights.confined))
}

/// One step, in a process that does not carry it out.
pub(super) fn pass_over(world: &mut World, line: &Line) -> Result<(), SetupFailure> {
    mounts::pass_over(world, &line.step).map_err(|error| infrastructure(format!("{}: {error}", line.step)))
}

/// Whether the machine lets a program do this.
fn may(world: &World, line: usize, step: &Step, rights: Rights) -> Result<(), SetupFailure> {
    if rights.shared
        && let Some(right) = guard::refusal(world, step)
    {
        let what = format!("{step}: not on a kernel that others use as well; in a VM it may");
        return Err(SetupFailure { line, what, missing: Some(right), errno: None });
    }
    let allowed = if rights.confined { permitted(step) } else { Ok(()) };
    allowed.map_err(|error| step_failure(line, step, &error, true))
}

fn step_failure(line: usize, step: &Step, error: &io::Error, confined: bool) -> SetupFailure {
    SetupFailure {
        line,
        what: format!("{step}: {error}"),
        missing: missing(step, error, confined),
        errno: error.raw_os_error().and_then(Errno::from_number),
    }
}

/// A mapping can be made in a user namespace, but no process there can see its file:
/// proc_pid_map_files(5).
fn permitted(step: &Step) -> io::Result<()> {
    if matches!(step, Step::Map { .. }) { Err(io::Error::from_raw_os_error(libc::EPERM)) } else { Ok(()) }
}

/// The one thing that a kernel may lack for a step, when its error says so.
fn missing(step: &Step, error: &io::Error, confined: bool) -> Option<String> {
    match (step, error.raw_os_error()) {
        (Step::Mount { filesystem, .. }, Some(libc::ENODEV)) => Some(format!("filesystem {filesystem}")),
        (Step::Overlay { .. }, Some(libc::ENODEV)) => Some("filesystem overlay".to_owned()),
        (Step::Map { .. }, Some(libc::EPERM)) if confined => {
            Some("way to see a mapping's file, in /proc/PID/map_files, from a user namespace".to_owned())
        }
        (_, Some(libc::EPERM)) if confined => Some(format!("right to `{step}` in a user namespace")),
        // Other users than the one who runs this are not mapped.
        (Step::Chown { .. }, Some(libc::EINVAL)) if confined => Some(format!("other user for `{step}`")),
        (_, Some(libc::ENOSYS)) => Some(format!("a system call for `{step}`")),
        _ => None,
    }
}

fn carry_out(world: &mut World, step: &Step) -> io::Result<()> {
    use Step as S;
    match step {
        S::Mount { .. }
        | S::MountAgain { .. }
        | S::Overlay { .. }
        | S::Bind { .. }
        | S::Move { .. }
        | S::Remount { .. }
        | S::Propagate { .. }
        | S::Unmount { .. }
        | S::PivotRoot { .. }
        | S::UnshareMounts { .. } => mounts::carry_out(world, step),
        S::Mkdir { .. }
        | S::Write { .. }
        | S::Append { .. }
        | S::Truncate { .. }
        | S::Symlink { .. }
        | S::Link { .. }
        | S::Rename { .. }
        | S::Unlink { .. }
        | S::Rmdir { .. }
        | S::Mkfifo { .. }
        | S::Mksocket { .. }
        | S::Mknod { .. }
        | S::Chmod { .. }
        | S::Chown { .. }
        | S::Setxattr { .. }
        | S::Touch { .. }
        | S::Subvolume { .. }
        | S::Snapshot { .. }
        | S::DeleteSubvolume { .. } => names::carry_out(world, step),
        S::Epoll { .. } | S::Inotify { .. } | S::Fanotify { .. } => watches::carry_out(world, step),
        S::OpenTree { .. } | S::NewTree { .. } => trees::carry_out(world, step),
        S::Open { .. }
        | S::Dup { .. }
        | S::Memfd { .. }
        | S::Map { .. }
        | S::Socketpair { .. }
        | S::Peer { .. }
        | S::Send { .. }
        | S::Receive { .. }
        | S::Seek { .. }
        | S::Read { .. }
        | S::WriteTo { .. }
        | S::ReadEntries { .. }
        | S::Lock { .. }
        | S::Seal { .. }
        | S::SetOwner { .. }
        | S::SetSignal { .. }
        | S::Close { .. }
        | S::External { .. }
        | S::Chdir { .. }
        | S::Chroot { .. } => objects::carry_out(world, step),
        // Assertions hold at the end or not at all. The callers carry out `exec`, `fork`, `as` and
        // `exit`.
        S::Assert { .. } | S::Exec | S::Fork { .. } | S::As { .. } | S::Exit { .. } => Ok(()),
    }
}

impl CarriedOut {
    /// The `assert` lines about objects of this process that do not hold. The glance is taken when
    /// the first one needs it.
    fn assertions(&self, glance: &mut Option<Glance>) -> io::Result<Vec<FailedAssertion>> {
        let CarriedOut { program, top, elsewhere, members, .. } = self;
        let asserts = assertions_of(program, FIRST_PROCESS);
        if asserts.is_empty() {
            return Ok(Vec::new());
        }
        let glance = match glance {
            Some(glance) => &*glance,
            none => none.insert(Glance::new(&STREAMS, elsewhere)?),
        };
        failed(&asserts, glance, top, elsewhere, (FIRST_PROCESS, members))
    }
}

/// In another process than the first: the `assert` lines about its objects that do not hold.
pub(super) fn assertions(
    program: &Program,
    world: &World,
    process: &ObjectName,
    members: &[Member],
) -> io::Result<Vec<FailedAssertion>> {
    let asserts = assertions_of(program, &process.0);
    let glance = Glance::new(&while_following(), world.elsewhere())?;
    failed(&asserts, &glance, world.top_path(), world.elsewhere(), (&process.0, members))
}

/// The descriptors of a process other than the first that no program made, as long as it takes
/// orders from the first, or has just ceased to: it closes some of them then.
fn while_following() -> Vec<i32> {
    STREAMS.into_iter().chain(FIRST_INHERITED..DESCRIPTOR_LIMIT).collect()
}

/// The `assert` lines about objects of a process.
fn assertions_of<'a>(program: &'a Program, process: &str) -> Vec<&'a Line> {
    let is_own = |line: &&Line| match &line.step {
        Step::Assert { object, .. } => object.parts().0.0 == process,
        _ => false,
    };
    program.steps.iter().filter(is_own).collect()
}

fn failed(
    asserts: &[&Line],
    glance: &Glance,
    top: &str,
    elsewhere: &[u64],
    (process, members): (&str, &[Member]),
) -> io::Result<Vec<FailedAssertion>> {
    let named: BTreeSet<&str> = asserts.iter().flat_map(|line| named_by(&line.step)).collect();
    let (mut others, mut objects) = (BTreeMap::new(), BTreeMap::new());
    for member in members {
        let wanted: Vec<&Made> = member.made.iter().filter(|made| named.contains(made.name.as_str())).collect();
        if wanted.is_empty() {
            continue;
        }
        let glance = if member.name == process {
            glance
        } else {
            &*others.entry(member.name.clone()).or_insert(Glance::of(member.pid, &while_following(), elsewhere)?)
        };
        objects.extend(wanted.into_iter().map(|made| (made.name.clone(), glance.object(made.object))));
    }
    let claims = Claims { glance, others, top, objects };
    let failed = asserts.iter().filter_map(|Line { number, step }| match step {
        Step::Assert { object, claim } => {
            let (expected, got) = claims.check(object, claim).err()?;
            Some(FailedAssertion { line: *number, expected, got })
        }
        _ => None,
    });
    Ok(failed.collect())
}

/// The objects that an `assert` line is about.
fn named_by(step: &Step) -> impl Iterator<Item = &str> {
    let (object, other) = match step {
        Step::Assert { object, claim } => {
            let other = match claim {
                Claim::SameFile { other, .. }
                | Claim::SameMount { other, .. }
                | Claim::SameDescription { other, .. } => Some(other),
                _ => None,
            };
            (Some(object), other)
        }
        _ => (None, None),
    };
    object.into_iter().chain(other).map(|name| name.0.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_reports_the_kernels_error() {
        let program = scenarios::text::program("rmdir a\n").unwrap();
        let failure = |error| step_failure(1, &program.steps[0].step, &error, false);
        let refused = failure(io::Error::from_raw_os_error(libc::ENOTEMPTY));
        assert_eq!((refused.errno, refused.missing), (Some(Errno::ENOTEMPTY), None));
        // A number without a name, and an error that is not the kernel's, are in the text.
        let unnamed = failure(io::Error::from_raw_os_error(524));
        assert!(unnamed.errno.is_none() && unnamed.what.contains("524"), "{unnamed:?}");
        let other = failure(io::Error::other("short read"));
        assert!(other.errno.is_none() && other.what.contains("short read"), "{other:?}");
    }
}
