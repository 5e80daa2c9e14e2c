//! What the agent sees of a process, and of the world around it.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use protocol::observation::{Mount, ObjectId, OtherProcess, Outcome, ProcessAttribute, ProcessState, TreeEntry, View};

use super::inside::Look;
pub(crate) use super::inside::mounted_proc;
use super::object::{Made, MountTables, read_file};
use super::{mountinfo, tree};
use crate::executor::STREAMS;
use crate::sys;

/// The outside part of an observation.
#[derive(Debug)]
pub struct Outside {
    /// The objects.
    pub view: View,
    /// Pairs of objects that are one open file description.
    pub shared_descriptions: Vec<(ObjectId, ObjectId)>,
    /// The process's mount table.
    pub mounts: Vec<Mount>,
    /// The agent's own.
    pub host_mounts: Vec<Mount>,
    /// The names below the top directory.
    pub tree: Vec<TreeEntry>,
    /// The names below each of the other directories that were asked for.
    pub trees: Vec<Vec<TreeEntry>>,
    /// The process's state.
    pub process: ProcessState,
    /// The other processes.
    pub others: Vec<OtherProcess>,
}

/// A process of a program.
#[derive(Clone, Copy, Debug)]
pub struct ProcessOf<'a> {
    /// Its name in the program.
    pub name: &'a str,
    /// Its number as the agent sees it.
    pub pid: i32,
    /// What the program made there; `None` where it has ended: a zombie has nothing to look at.
    pub made: Option<&'a [Made]>,
}

/// Looks at the processes of a program, the first one first, whose top directory is `top` below the
/// root of the mount namespace; those of a pack's programs are `tops`. `elsewhere` are the mounts
/// of a namespace that the process left and that lives on.
///
/// # Errors
/// What makes the observation impossible, above all a process that does not exist.
pub fn look(processes: &[ProcessOf<'_>], top: &str, tops: &[String], elsewhere: &[u64]) -> io::Result<Outside> {
    let proc = mounted_proc()?;
    let pid = processes.first().ok_or(io::ErrorKind::NotFound)?.pid;
    processes.iter().try_for_each(|process| settle(proc.as_fd(), process.pid))?;
    let (mounts, root) = visit(proc.as_fd(), pid, || {
        let root = open("/", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
        Ok((mount_table(proc.as_fd(), "self")?, root))
    })?;
    let host_mounts = mount_table(proc.as_fd(), "self")?;
    let ids = |mounts: &[Mount]| mounts.iter().map(|mount| mount.id).collect::<Vec<_>>();
    let mut looks = Vec::new();
    let mut view = View::default();
    for (index, process) in (0..).zip(processes) {
        let Some(made) = process.made else {
            looks.push(None);
            continue;
        };
        let tables = MountTables::new(ids(&mounts), ids(&host_mounts).into_iter().chain(elsewhere.iter().copied()));
        let look = Look::new(mounted_proc()?, Some(process.pid), tables, &STREAMS)?;
        view.objects.extend(of_process(index, look.view(made)).objects);
        looks.push(Some(look));
    }
    let shared_descriptions = shared(&looks, &view)?;
    let process = process_state(proc.as_fd(), pid)?;
    let other = |other: &ProcessOf<'_>| {
        let state = process_state(proc.as_fd(), other.pid)?;
        Ok(OtherProcess { name: other.name.to_owned(), state })
    };
    let others = processes[1..].iter().map(other).collect::<io::Result<_>>()?;
    let tree = tree::walk(root.as_fd(), top)?;
    let trees = tops.iter().map(|top| tree::walk(root.as_fd(), top)).collect::<io::Result<_>>()?;
    Ok(Outside { view, shared_descriptions, mounts, host_mounts, tree, trees, process, others })
}

/// What is seen of a process, as that process's.
pub(crate) fn of_process(process: u32, mut view: View) -> View {
    view.objects.iter_mut().for_each(|object| object.process = process);
    view
}

fn mount_table(proc: BorrowedFd<'_>, base: &str) -> io::Result<Vec<Mount>> {
    mountinfo::parse(&read_file(proc, &format!("{base}/mountinfo"))?).map_err(io::Error::other)
}

/// Makes `call` in the mount namespace of a process, at its root. What lies below the root
/// directory of the process itself may be less: one whose root is on a detached mount has an empty
/// mountinfo.
fn visit<T>(proc: BorrowedFd<'_>, pid: i32, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let namespace = |of: &str| open_below(proc, &format!("{of}/ns/mnt"));
    sys::in_mount_namespace(namespace(&pid.to_string())?.as_fd(), namespace("self")?.as_fd(), call)
}

fn open_below(proc: BorrowedFd<'_>, path: &str) -> io::Result<OwnedFd> {
    Ok(openat(proc, path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// The mounts that the agent itself sees.
///
/// # Errors
/// Those of reading `/proc/self/mountinfo`.
pub fn own_mounts() -> io::Result<Vec<Mount>> {
    mount_table(mounted_proc()?.as_fd(), "self")
}

/// All pairs of objects that share a description. Only those of one file with one link text can;
/// among these, in the kernel's order, those that do stand side by side.
fn shared(looks: &[Option<Look>], view: &View) -> io::Result<Vec<(ObjectId, ObjectId)>> {
    let mut by_file: BTreeMap<_, Vec<(ObjectId, sys::DescriptorOf)>> = BTreeMap::new();
    for seen in &view.objects {
        let file = match &seen.status {
            Outcome::Ok(status) => Some(status.file),
            Outcome::Err(_) => None,
        };
        let look = usize::try_from(seen.process).ok().and_then(|process| looks.get(process)?.as_ref());
        let number = look.and_then(|look| look.number_of(seen.object)).map(|number| (seen.id(), number));
        by_file.entry((file, &seen.link)).or_default().extend(number);
    }
    let mut failed = None;
    let mut order = |one: sys::DescriptorOf, other| {
        sys::kcmp_file(one, other).unwrap_or_else(|error| {
            failed = Some(error);
            Ordering::Equal
        })
    };
    let mut pairs = Vec::new();
    for mut alike in by_file.into_values() {
        alike.sort_by(|(_, one), (_, other)| order(*one, *other));
        for same in alike.chunk_by(|(_, one), (_, other)| order(*one, *other).is_eq()) {
            for (index, &(one, _)) in same.iter().enumerate() {
                pairs.extend(same[index + 1..].iter().map(|&(other, _)| (one.min(other), one.max(other))));
            }
        }
    }
    pairs.sort_unstable();
    failed.map_or(Ok(pairs), Err)
}

/// A process that has just answered is on its way to its next read(2); on another core it may still
/// be seen running. One that does not come to rest is observed as it is.
fn settle(proc: BorrowedFd<'_>, pid: i32) -> io::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(5);
    let path = format!("{pid}/stat");
    loop {
        let stat = read_file(proc, &path)?;
        // The command's name before it may have any bytes in it.
        let state = stat.iter().rposition(|&byte| byte == b')').and_then(|end| stat.get(end + 2));
        if state != Some(&b'R') || Instant::now() >= deadline {
            return Ok(());
        }
        std::thread::sleep(Duration::from_micros(100));
    }
}

fn process_state(proc: BorrowedFd<'_>, pid: i32) -> io::Result<ProcessState> {
    let text = read_file(proc, &format!("{pid}/status"))?;
    let text = String::from_utf8_lossy(&text);
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(str::trim).unwrap_or_default()
    };
    let last_number =
        |name: &str| field(name).split_ascii_whitespace().last().and_then(|n| n.parse().ok()).unwrap_or(0);
    let state: String = field("State").chars().take(1).collect();
    let (signals, attributes) = if state == ZOMBIE {
        (Vec::new(), vec![exit_status(&read_file(proc, &format!("{pid}/stat"))?)])
    } else {
        let signals = ["SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"].map(|name| field(name).to_owned());
        let limits = read_file(proc, &format!("{pid}/limits"))?;
        (signals.into(), attributes(&text, &limits).map_err(io::Error::other)?)
    };
    Ok(ProcessState {
        state,
        tracer: last_number("TracerPid"),
        pid: last_number("Pid"),
        inner_pid: last_number("NSpid"),
        signals,
        attributes,
    })
}

/// The state of a process that has ended and that its parent has not waited for. No more can
/// be seen of it than the number and how it ended.
const ZOMBIE: &str = "Z";

/// The last field of `/proc/PID/stat`: what waitpid(2) gives.
fn exit_status(stat: &[u8]) -> ProcessAttribute {
    let last = String::from_utf8_lossy(stat).split_ascii_whitespace().last().unwrap_or_default().to_owned();
    ProcessAttribute { name: "Exit status".to_owned(), value: last }
}

/// The lines of `/proc/PID/status` that say what a process may do.
const ATTRIBUTES: [&str; 12] = [
    "Name",
    "Umask",
    "Uid",
    "Gid",
    "Groups",
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
];

/// Where the columns of `/proc/PID/limits` begin and end (`proc_pid_limits`, fs/proc/base.c).
const LIMIT_NAME: usize = 25;
const LIMIT_VALUES: std::ops::Range<usize> = 26..67;

/// What a process may do, and its limits; the error names what is not there.
fn attributes(status: &str, limits: &[u8]) -> Result<Vec<ProcessAttribute>, String> {
    let words = |text: &str| text.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    let attribute = |name: &str, value: &str| ProcessAttribute { name: words(name), value: words(value) };
    let line_of = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let of_status = ATTRIBUTES.iter().map(|name| match line_of(name) {
        Some(value) => Ok(attribute(name, value)),
        None => Err(format!("the status of a process has no {name}")),
    });
    let limits = String::from_utf8_lossy(limits);
    let of_limits = limits.lines().skip(1).map(|line| {
        let columns = line.get(..LIMIT_NAME).zip(line.get(LIMIT_VALUES));
        let (name, values) = columns.ok_or_else(|| format!("a limit without its columns: {line:?}"))?;
        Ok(attribute(name, values))
    });
    of_status.chain(of_limits).collect()
}

/// The mount table of a process's mount namespace.
///
/// # Errors
/// Those of entering it and of reading mountinfo there.
pub fn look_at_mounts(pid: i32) -> io::Result<Vec<Mount>> {
    let proc = mounted_proc()?;
    visit(proc.as_fd(), pid, || mount_table(proc.as_fd(), "self"))
}

/// Makes `call` in a mount namespace that no process need be in, at its root.
///
/// # Errors
/// Those of entering it, and of `call`.
pub fn in_namespace<T>(namespace: &OwnedFd, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let home = open_below(mounted_proc()?.as_fd(), "self/ns/mnt")?;
    sys::in_mount_namespace(namespace.as_fd(), home.as_fd(), call)
}

/// The mount table of a mount namespace that no process need be in.
///
/// # Errors
/// Those of entering it and of reading mountinfo there.
pub fn mounts_of_namespace(namespace: &OwnedFd) -> io::Result<Vec<Mount>> {
    let proc = mounted_proc()?;
    in_namespace(namespace, || mount_table(proc.as_fd(), "self"))
}

#[cfg(test)]
mod tests {
    use nix::sys::resource::{Resource, getrlimit};
    use nix::unistd::getuid;

    use super::*;

    #[test]
    fn a_process_has_the_limits_that_it_asks_for() {
        let state = process_state(mounted_proc().unwrap().as_fd(), std::process::id().cast_signed()).unwrap();
        let value = |name: &str| state.attributes.iter().find(|one| one.name == name).map(|one| one.value.as_str());
        let limit = |value: u64| if value == u64::MAX { "unlimited".to_owned() } else { value.to_string() };
        for (resource, name) in [
            (Resource::RLIMIT_NOFILE, "Max open files"),
            (Resource::RLIMIT_FSIZE, "Max file size"),
            (Resource::RLIMIT_CORE, "Max core file size"),
        ] {
            let (soft, hard) = getrlimit(resource).unwrap();
            assert_eq!(value(name), Some(format!("{} {}", limit(soft), limit(hard)).as_str()), "{name}");
        }
        let user = getuid();
        assert_eq!(value("Uid"), Some(format!("{user} {user} {user} {user}").as_str()));
        assert_eq!(attributes("Name:\tx\n", b""), Err("the status of a process has no Umask".to_owned()));
        let status = ATTRIBUTES.map(|name| format!("{name}:\t0\n")).concat();
        let limits = b"Limit\nMax odd\n";
        assert_eq!(attributes(&status, limits), Err("a limit without its columns: \"Max odd\"".to_owned()));
    }
}
