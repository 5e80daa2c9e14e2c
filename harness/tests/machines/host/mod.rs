//! The agent on the host's own kernel: trials, and that nothing is left however they end.

mod blocked;
mod disks;
mod exported;
mod untrusted;

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use harness::host::{HostAgent, HostError, HostSpec, is_root};
use harness::image::{Settings, Store, default_cache_dir, tree};
use harness::judge::{Context, FailureKind, Verdict, judge};
use libtest_mimic::{Arguments, Failed, Trial};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use protocol::message::{Engine, Event, Flavor, Lifecycle, Probing, Request, TrialReport, TrialRequest};
use scenarios::Scenario;
use testing::lack::{as_nobody, lack_of_namespaces, lack_of_shared_mounts, lack_of_user_namespaces, lack_of_users};
use testing::left::{Processes, descendants, mounts, nothing_left, our_loop_devices, stat};

use crate::program::program;

/// Set, to the agent's path, in a process that plays the harness in other surroundings.
const ELSEWHERE: &str = "ZDTM_DETACHED_TEST_AGENT_ELSEWHERE";

/// A mount of its own, and objects of several kinds on it.
const PROGRAM: &str = r#"
# Objects on a lazily unmounted bind.
requires fs=tmpfs
outcome restored

mount $fs a
mkdir a/d
write a/d/f "hello"
bind a/d b
fd0 = open b/f rdwr
fd1 = open b directory
unlink b/f
umount-lazy b
assert fd0 detached
assert fd0 link "/f (deleted)"
assert fd1 lookup "f" ENOENT
"#;

/// A program that never comes to its end: a fifo without a writer cannot be opened for reading.
const ENDLESS: &str = r"
# Waits for a writer.
requires fs=tmpfs
outcome restored

mount $fs a
mkfifo a/p
fd0 = open a/p rdonly
assert fd0 visible
";

pub(crate) fn tests(_: &Arguments) -> Vec<Trial> {
    let by_lack = [
        trials!(None =>
            a_criu_is_refused,
            untrusted::a_folder_does_not_choose_the_host,
            untrusted::a_folder_chooses_no_program_of_this_machine,
        ),
        trials!(lack_of_namespaces() =>
            trials_in_every_flavor,
            blocked::a_blocked_step_is_named,
            blocked::a_blocked_step_in_a_pack_is_named,
            descriptors_of_the_caller_stay_out,
            a_dropped_agent_leaves_nothing,
            a_killed_agent_leaves_nothing,
            a_killed_watcher_leaves_nothing,
            an_interrupted_harness_leaves_nothing,
            a_killed_harness_leaves_nothing,
            untrusted::what_belongs_to_the_kernel_is_not_changed,
            untrusted::a_program_is_no_code,
        ),
        trials!(exported::lack() =>
            exported::programs_check_themselves,
            exported::a_change_is_noticed,
        ),
        trials!(lack_of_shared_mounts() => shared_mounts_stay_untouched),
        trials!(lack_of_users() => another_user_gets_a_user_namespace),
        trials!(lack_of_user_namespaces() => root_of_a_user_namespace_is_enough),
        trials!(untrusted::lack_of_loop_devices() =>
            disks::processes_count_disks_together,
            untrusted::a_block_device_of_the_host_is_out_of_reach,
        ),
    ];
    by_lack.into_iter().flatten().collect()
}

/// Whether this process plays the harness in other surroundings, and is to call [`elsewhere`].
pub(crate) fn is_elsewhere() -> bool {
    std::env::var_os(ELSEWHERE).is_some()
}

/// What is done in other surroundings. Blank filesystems are missing, so the machine lacks disks,
/// whatever the rights.
pub(crate) fn elsewhere() -> Result<(), Failed> {
    one_trial(&spec()?, Flavor::Ns)?;
    if is_root() {
        one_trial(&spec()?, Flavor::Userns)?;
    } else {
        let report = report_of(&spec()?, &scenario(PROGRAM)?, Flavor::Userns)?.1;
        let missing = report.setup_failure.and_then(|failure| failure.missing);
        if missing.as_deref() != Some("users for a user namespace") {
            return Err(
                format!("the users of a user namespace are missing here, and the agent says {missing:?}").into()
            );
        }
    }
    let needs_disk = PROGRAM.replace("fs=tmpfs", "fs=ext4");
    let report = report_of(&spec()?, &scenario(&needs_disk)?, Flavor::Ns)?.1;
    let missing = report.setup_failure.and_then(|failure| failure.missing);
    if missing.as_deref() != Some("filesystem ext4") {
        return Err(format!("a disk without the right to one is told as missing {missing:?}").into());
    }
    a_dropped_agent_leaves_nothing()?;
    a_killed_watcher_leaves_nothing()
}

/// The agent of this source tree.
fn spec() -> Result<HostSpec, Failed> {
    if let Some(agent) = std::env::var_os(ELSEWHERE) {
        return Ok(HostSpec { agent: agent.into(), blank: None });
    }
    let store = Store::open(&default_cache_dir()?, &tree::locate(None)?, Settings::default())?;
    Ok(HostSpec { agent: store.host_image(None)?.agent, blank: None })
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn scenario(text: &str) -> Result<Scenario, Failed> {
    let file = tempfile::Builder::new().suffix(".scn").tempfile()?;
    fs::write(file.path(), text)?;
    let read = scenarios::catalogue::load_file(file.path()).map_err(|faults| format!("{faults:?}"))?;
    read.into_iter().next().ok_or_else(|| "no scenario".into())
}

fn request(scenario: &Scenario, flavor: Flavor) -> Request {
    Request::Run(TrialRequest {
        trial: 1,
        programs: vec![scenarios::text::print_program_in_place(&scenario.program)],
        flavor,
        lifecycle: Lifecycle::DumpRestore,
        engine: Engine::Criu { assisted: false },
        action_timeout_ms: 60_000,
        thorough: false,
        probing: Probing::Never,
    })
}

/// A whole trial, and the taint flags before it.
fn report_of(spec: &HostSpec, scenario: &Scenario, flavor: Flavor) -> Result<(u64, TrialReport), Failed> {
    let mut agent = HostAgent::boot(spec, soon())?;
    agent.send(&request(scenario, flavor))?;
    loop {
        if let Event::Finished { report, .. } = agent.receive(soon())? {
            let report = report.alone().ok_or("no report of one program")?;
            return Ok((agent.ready().tainted, report));
        }
    }
}

/// A trial with everything in it but a criu, which the agent's root does not have: the dump fails,
/// and all must be as before.
fn one_trial(spec: &HostSpec, flavor: Flavor) -> Result<TrialReport, Failed> {
    let scenario = scenario(PROGRAM)?;
    let (tainted_before, report) = report_of(spec, &scenario, flavor)?;
    let context = Context { lifecycle: Lifecycle::DumpRestore, tainted_before, probed: false };
    let judgement = judge(&scenario, context, &report);
    if judgement.verdict != Verdict::Fail(FailureKind::DumpFailed) || !report.leftovers.is_empty() {
        return Err(format!("{judgement:#?}\n{:#?} {:?}", report.setup_failure, report.leftovers).into());
    }
    Ok(report)
}

fn a_criu_is_refused() -> Result<(), Failed> {
    let output = program(&["run", "--backend", "host"]).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() != Some(2) || !said.contains("--subject reference") || !said.contains("debian:trixie") {
        return Err(format!("{}: {said}", output.status).into());
    }
    Ok(())
}

fn trials_in_every_flavor() -> Result<(), Failed> {
    let before = mounts();
    for &flavor in Flavor::ALL {
        one_trial(&spec()?, flavor)?;
    }
    nothing_left(&BTreeSet::new(), &before)
}

fn descriptors_of_the_caller_stay_out() -> Result<(), Failed> {
    let file = fs::File::open("/proc/self/status")?;
    let shared = nix::unistd::dup(&file)?;
    let flags = nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty());
    nix::fcntl::fcntl(&shared, flags)?;
    let report = one_trial(&spec()?, Flavor::Ns)?;
    let view = report.before.ok_or("no observation")?.outside;
    let stray = view.objects.iter().find(|object| object.descriptor.is_some() && object.name.is_none());
    stray.map_or(Ok(()), |object| Err(format!("a descriptor that the program did not open: {object:?}").into()))
}

/// An agent in the middle of a trial, with the processes that belong to it.
fn busy_agent() -> Result<(HostAgent, Processes), Failed> {
    let mut agent = HostAgent::boot(&spec()?, soon())?;
    agent.send(&request(&scenario(ENDLESS)?, Flavor::Ns))?;
    let watcher = i32::try_from(agent.pid())?;
    let deadline = soon();
    loop {
        let processes = descendants(watcher);
        // The agent and the program.
        if processes.len() >= 2 {
            return Ok((
                agent,
                processes.into_iter().chain(stat(watcher).map(|(_, start)| (watcher, start))).collect(),
            ));
        }
        if Instant::now() > deadline {
            return Err("the program did not start".into());
        }
    }
}

fn a_dropped_agent_leaves_nothing() -> Result<(), Failed> {
    let before = mounts();
    let (agent, processes) = busy_agent()?;
    drop(agent);
    let alive = processes.iter().filter(|(pid, start)| stat(*pid).is_some_and(|(_, now)| now == *start)).count();
    if alive > 0 {
        return Err(format!("{alive} processes live on after the drop").into());
    }
    nothing_left(&processes, &before)
}

fn a_killed_agent_leaves_nothing() -> Result<(), Failed> {
    let before = mounts();
    let (mut agent, processes) = busy_agent()?;
    let watcher = i32::try_from(agent.pid())?;
    let child = |(pid, _): &&(i32, String)| stat(*pid).is_some_and(|(parent, _)| parent == watcher);
    let inner = processes.iter().find(child).ok_or("the agent is no child of the watcher")?;
    kill(Pid::from_raw(inner.0), Signal::SIGKILL)?;
    let end = std::iter::repeat_with(|| agent.receive(soon())).find_map(Result::err);
    match end {
        Some(HostError::Died { said, .. }) if said.contains("SIGKILL") => {}
        other => return Err(format!("the end of the agent was told as {other:?}").into()),
    }
    nothing_left(&processes, &before)
}

fn a_killed_watcher_leaves_nothing() -> Result<(), Failed> {
    let before = mounts();
    let (agent, processes) = busy_agent()?;
    kill(Pid::from_raw(i32::try_from(agent.pid())?), Signal::SIGKILL)?;
    nothing_left(&processes, &before)
}

/// The harness as users start it, in the middle of its trials; disks among them where it may have
/// some.
fn busy_harness(temporary: &tempfile::TempDir) -> Result<(Child, Processes), Failed> {
    let null = || fs::File::create("/dev/null");
    let mut child = program(&["run", "--backend", "host", "--subject", "reference", "-j", "2", "--keep"])
        .arg(temporary.path().join("kept"))
        .env("TMPDIR", temporary.path())
        .stdin(Stdio::null())
        .stdout(null()?)
        .stderr(null()?)
        .spawn()?;
    let harness = i32::try_from(child.id())?;
    let disks = nix::unistd::geteuid().is_root() && fs::exists("/sys/block/loop0")?;
    let deadline = Instant::now() + Duration::from_secs(300);
    loop {
        let processes = descendants(harness);
        // Two agents with their watchers, and a program.
        if processes.len() >= 5 && (!disks || !our_loop_devices().is_empty()) {
            return Ok((child, processes));
        }
        if let Some(status) = child.try_wait()? {
            return Err(format!("the harness ended with {status} before it was in the middle of its trials").into());
        }
        if Instant::now() > deadline {
            child.kill()?;
            return Err("the harness never had two agents and a disk".into());
        }
    }
}

fn no_folder_left(temporary: &tempfile::TempDir) -> Result<(), Failed> {
    let entries = fs::read_dir(temporary.path())?.flatten().map(|entry| entry.file_name());
    let left: Vec<_> = entries.filter(|name| name != "kept").collect();
    if left.is_empty() { Ok(()) } else { Err(format!("left in the temporary folder: {left:?}").into()) }
}

fn an_interrupted_harness_leaves_nothing() -> Result<(), Failed> {
    let before = mounts();
    let temporary = tempfile::tempdir()?;
    let (mut harness, processes) = busy_harness(&temporary)?;
    kill(Pid::from_raw(i32::try_from(harness.id())?), Signal::SIGINT)?;
    let status = harness.wait()?;
    if status.code() != Some(130) {
        return Err(format!("the interrupted harness ended with {status}").into());
    }
    nothing_left(&processes, &before)?;
    no_folder_left(&temporary)
}

fn a_killed_harness_leaves_nothing() -> Result<(), Failed> {
    let before = mounts();
    for _ in 0..3 {
        let temporary = tempfile::tempdir()?;
        let (mut harness, processes) = busy_harness(&temporary)?;
        harness.kill()?;
        harness.wait()?;
        nothing_left(&processes, &before)?;
        no_folder_left(&temporary)?;
    }
    Ok(())
}

/// On most machines every mount reaches the namespaces that it is copied to, and back.
fn shared_mounts_stay_untouched() -> Result<(), Failed> {
    let mut command = Command::new("unshare");
    command.args(["-m", "--propagation", "shared"]);
    in_other_surroundings(command)
}

fn another_user_gets_a_user_namespace() -> Result<(), Failed> {
    in_other_surroundings(as_nobody())
}

/// As in a container without privileges: root, but not of the machine.
fn root_of_a_user_namespace_is_enough() -> Result<(), Failed> {
    let mut command = Command::new("unshare");
    command.args(["-Umpr", "--fork", "--mount-proc"]);
    in_other_surroundings(command)
}

/// Runs this program again behind `command`, with an agent that everybody can read.
fn in_other_surroundings(mut command: Command) -> Result<(), Failed> {
    let before = mounts();
    let folder = tempfile::tempdir()?;
    let agent = folder.path().join("agent");
    fs::copy(spec()?.agent, &agent)?;
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let output = command.arg(std::env::current_exe()?).env(ELSEWHERE, &agent).output()?;
    if !output.status.success() {
        return Err(format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr)).into());
    }
    nothing_left(&BTreeSet::new(), &before)
}
