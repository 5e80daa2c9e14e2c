//! The caller of a dump or restore who names every path relatively, and what he finds afterwards
//! (`protocol::caller`).
//!
//! The hook is this program under another name, [`HOOK`]: the restorer starts it when the
//! process goes on, and it writes what it finds beside itself.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use protocol::caller::{
    self, Finding, IMAGES, IN_IMAGES, LOG, MASK, Matter, NAMESPACES, NUMBER, OTHERS, PIDFILE, PLACE, STATISTICS, WORK,
};
use protocol::message::Action;
use serde::{Deserialize, Serialize};

/// The name under which this program is the hook.
pub const HOOK: &str = "hook";
/// What the hook writes.
const ANSWER: &str = "hook.json";
/// The name under which it is a hook that fails at [`SPOILING_MOMENT`].
const FAILING_HOOK: &str = "failing-hook";
/// The name under which it is one that kills criu then.
const KILLING_HOOK: &str = "killing-hook";
/// What both leave then.
const SPOILT: &str = "spoiling-hook-was-started";
/// All processes are there and do not run yet.
const SPOILING_MOMENT: &str = "post-restore";
/// The moment at which a hook is started (criu(8), `--action-script`), and the one that counts
/// here.
pub const MOMENT: &str = "CRTOOLS_SCRIPT_ACTION";
/// See above.
pub const LAST_MOMENT: &str = "post-resume";
/// The namespaces that a process may be in.
const KINDS: [&str; 6] = ["mnt", "net", "ipc", "uts", "pid", "user"];

/// Where a process stands.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stand {
    folder: PathBuf,
    mask: String,
    namespaces: Vec<PathBuf>,
}

impl Stand {
    /// This process's.
    fn own() -> io::Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let mask = status.lines().find_map(|line| line.strip_prefix("Umask:")).unwrap_or_default().trim().to_owned();
        let link = |kind| fs::read_link(format!("/proc/self/ns/{kind}"));
        let namespaces = KINDS.into_iter().map(link).collect::<io::Result<_>>()?;
        Ok(Stand { folder: std::env::current_dir()?, mask, namespaces })
    }
}

/// Whether this program was started as the hook.
pub fn is_hook() -> bool {
    [HOOK, FAILING_HOOK, KILLING_HOOK].into_iter().any(is_called) && std::env::var_os(MOMENT).is_some()
}

fn is_called(name: &str) -> bool {
    let own = std::env::args_os().next().unwrap_or_default();
    Path::new(&own).file_name() == Some(OsStr::new(name))
}

/// The life of a hook that fails at its moment, or kills criu, and leaves a mark beside itself when
/// it does.
fn spoiling_hook_main() -> ExitCode {
    if std::env::var_os(MOMENT).is_none_or(|moment| moment != SPOILING_MOMENT) {
        return ExitCode::SUCCESS;
    }
    if let Some(own) = std::env::args_os().next() {
        // Without the mark the restore counts as one that failed by itself.
        let _ = fs::write(Path::new(&own).with_file_name(SPOILT), "");
    }
    if is_called(KILLING_HOOK) {
        // criu is still there: it waits for the hook.
        let _ = kill(Pid::parent(), Signal::SIGKILL);
    }
    ExitCode::FAILURE
}

/// A hook that spoils a restore when all processes are there and none runs yet.
pub struct SpoilingHook(PathBuf);

impl SpoilingHook {
    /// The one that an action needs, made in `folder`; none for most.
    ///
    /// # Errors
    /// The filesystem's.
    pub fn of(action: Action, folder: &Path) -> io::Result<Option<Self>> {
        let name = match action {
            Action::FailedRestore => FAILING_HOOK,
            Action::KilledRestore => KILLING_HOOK,
            _ => return Ok(None),
        };
        let hook = folder.join(name);
        fs::copy("/proc/self/exe", &hook)?;
        Ok(Some(SpoilingHook(hook)))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Whether it came to its moment.
    pub fn was_started(&self) -> bool {
        self.0.with_file_name(SPOILT).exists()
    }
}

/// The hook's life. What it cannot tell is missing, and that is a finding.
pub fn hook_main() -> ExitCode {
    if !is_called(HOOK) {
        return spoiling_hook_main();
    }
    if std::env::var_os(MOMENT).is_some_and(|moment| moment == LAST_MOMENT)
        && let Some(beside) = std::env::args_os().next().as_deref().map(Path::new).and_then(Path::parent)
        && let Ok(stand) = Stand::own()
        && let Ok(text) = serde_json::to_vec(&stand)
    {
        let _ = fs::write(beside.join(ANSWER), text);
    }
    ExitCode::SUCCESS
}

/// The folders of a caller, and a hook beside them.
pub struct Caller {
    /// Where he stands.
    pub folder: PathBuf,
    hook: PathBuf,
}

impl Caller {
    /// Makes them below `folder`; the hook is outside of where the caller stands.
    ///
    /// # Errors
    /// The filesystem's.
    pub fn new(folder: &Path) -> io::Result<Self> {
        let caller = Caller { folder: folder.join("caller"), hook: folder.join(HOOK) };
        fs::create_dir_all(caller.folder.join(IMAGES))?;
        fs::create_dir_all(caller.folder.join(WORK))?;
        if !caller.hook.exists() {
            fs::copy("/proc/self/exe", &caller.hook)?;
        }
        Ok(caller)
    }

    /// The hook's path for an action: absolute, because where it is found must not hang on what it
    /// is there to tell, but where just this is tested.
    pub fn hook(&self, action: Action) -> PathBuf {
        match action {
            Action::RelativeScriptRestore => Path::new("..").join(HOOK),
            _ => self.hook.clone(),
        }
    }

    /// What he finds after an action; `pid` is the process's number.
    ///
    /// # Errors
    /// The filesystem's.
    pub fn findings(&self, action: Action, pid: i32) -> io::Result<Vec<Finding>> {
        let (log, statistics) =
            if action.restores() { ("restore.log", "stats-restore") } else { ("dump.log", "stats-dump") };
        let own = Stand::own()?;
        let answer = fs::read(self.hook.with_file_name(ANSWER)).ok();
        let hook: Option<Stand> = answer.and_then(|text| serde_json::from_slice(&text).ok());
        let finding = |&matter: &Matter| {
            let wrong = if matter == IN_IMAGES {
                self.missing(IMAGES, "inventory.img")
            } else if matter == LOG {
                self.missing(WORK, log)
            } else if matter == STATISTICS {
                self.missing(WORK, statistics)
            } else if matter == NUMBER {
                self.wrong_number(pid)
            } else if matter == OTHERS {
                self.others()?
            } else {
                wrong_stand(matter, hook.as_ref(), &own, &self.folder.join(WORK))
            };
            Ok(matter.found(wrong))
        };
        caller::matters(action).iter().map(finding).collect()
    }

    fn missing(&self, folder: &str, name: &str) -> Option<String> {
        (!self.folder.join(folder).join(name).is_file()).then(|| format!("no file {folder}/{name}"))
    }

    fn wrong_number(&self, pid: i32) -> Option<String> {
        self.missing(WORK, PIDFILE).or_else(|| {
            let text = fs::read_to_string(self.folder.join(WORK).join(PIDFILE)).unwrap_or_default();
            (text.trim().parse() != Ok(pid)).then(|| "another number".to_owned())
        })
    }

    /// Names where he stands that he did not make.
    fn others(&self) -> io::Result<Option<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            if ![IMAGES, WORK].iter().any(|known| name.as_bytes() == known.as_bytes()) {
                names.push(scenarios::Bytes::from(name.as_os_str()).to_string());
            }
        }
        names.sort();
        Ok((!names.is_empty()).then(|| names.join(", ")))
    }
}

/// What is wrong with where the hook stood.
fn wrong_stand(matter: Matter, hook: Option<&Stand>, own: &Stand, work: &Path) -> Option<String> {
    let Some(hook) = hook else { return Some("it was not started, or could not write".to_owned()) };
    if matter == PLACE {
        return (hook.folder != work).then(|| hook.folder.display().to_string());
    }
    if matter == MASK {
        return (hook.mask != own.mask).then(|| format!("{} instead of {}", hook.mask, own.mask));
    }
    debug_assert_eq!(matter, NAMESPACES);
    let others = KINDS.iter().zip(hook.namespaces.iter().zip(&own.namespaces)).filter(|(_, (one, other))| one != other);
    let others: Vec<&str> = others.map(|(kind, _)| *kind).collect();
    (!others.is_empty()).then(|| format!("another one: {}", others.join(", ")))
}
