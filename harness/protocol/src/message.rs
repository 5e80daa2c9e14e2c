//! Requests of the host, events of the agent, and the report of a trial.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vocabulary::Errno;

use crate::caller::Finding;
use crate::images::Images;
use crate::limits;
use crate::probe::Probes;
pub use crate::probe::Probing;
use crate::shell::{FromShell, ShellRequest, ToShell};
use crate::{Fault, Observation};
pub use vocabulary::flavor::Flavor;
pub use vocabulary::lifecycle::{Action, ActionEnd, Input, Lifecycle};

/// The host asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Run a trial; answered by events and one [`Event::Finished`].
    Run(TrialRequest),
    /// Do what the first trial would pay for: load every module, have criu find out about the
    /// kernel. For a machine that is about to be saved; answered by [`Event::Warm`], after which
    /// the agent is silent and waits.
    WarmUp {
        /// Have the userland's criu dump and restore a process too.
        cycle: bool,
    },
    /// The first request to a copy of a saved machine; answered by [`Event::Awake`].
    Wake(Wake),
    /// A criu in place of the userland's. The contents of the files follow right behind this line,
    /// in this order and as they are, which no other request has: a criu with its libraries is more
    /// than one line may be. Answered by [`Event::HandedOver`].
    HandOver(Vec<HandedFile>),
    /// Set up the process of a trial and dump and restore it with nothing around: what a trial is
    /// measured against. Answered by [`Event::Bare`].
    Bare(TrialRequest),
    /// Lead a trial to some moment and start a shell there; answered by [`Event::FromShell`].
    Shell(Box<ShellRequest>),
    /// For the shell that runs; without one it is not heard.
    ToShell(ToShell),
    /// Switch the machine off.
    Shutdown,
}

/// What a copy of a saved machine cannot know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wake {
    /// A number that the host has not used before: an answer that repeats it was given by this copy
    /// and now.
    pub nonce: u64,
    /// The time in nanoseconds since 1970: the saved machine's clock stood still.
    pub unix_time_ns: u64,
}

/// A file that is handed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandedFile {
    /// Its path below the folder for them.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

/// The agent tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// The agent is up; the first message.
    Ready(Ready),
    /// The machine is warm.
    Warm {
        /// What could not be done; whatever needs it will find out by itself.
        failed: Vec<String>,
        /// Traces of it that could not be taken away: this machine must not be saved.
        traces: Vec<String>,
    },
    /// This copy of a saved machine is alive.
    Awake {
        /// That of [`Wake`].
        nonce: u64,
        /// The machine as it is now.
        ready: Ready,
    },
    /// The files were taken.
    HandedOver {
        /// The version that this criu tells; `None` when it does not start.
        criu: Option<String>,
    },
    /// The bare work is done.
    Bare {
        /// The trial's number.
        trial: u64,
        /// How long each action of the lifecycle took, in microseconds.
        durations_us: Vec<u64>,
        /// What kept it from its end.
        failure: Option<String>,
    },
    /// A trial reached a stage; a sign of life and where it is.
    Progress {
        /// The trial's number.
        trial: u64,
        /// What begins now.
        stage: String,
    },
    /// A trial is over.
    Finished {
        /// The trial's number.
        trial: u64,
        /// What was seen.
        report: Box<Report>,
    },
    /// The shell speaks.
    FromShell(FromShell),
    /// The agent cannot go on; the machine is of no more use.
    Broken {
        /// What was tried and why it failed.
        why: String,
    },
}

/// What the agent found when it came up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Kernel release, uname(2).
    pub kernel: String,
    /// The version that `criu --version` names, if there is a criu: `4.1.1`.
    pub criu: Option<String>,
    /// Filesystems that can be mounted.
    pub filesystems: Vec<String>,
    /// Filesystems that cannot be mounted, with the reason, where the agent knows one.
    #[serde(default)]
    pub lacking: BTreeMap<String, String>,
    /// `statmount(STATMOUNT_BY_FD)` works.
    pub statmount_by_fd: bool,
    /// The kernel can tell which pages were written to, `CONFIG_MEM_SOFT_DIRTY`: pre-dumps need it.
    #[serde(default)]
    pub soft_dirty: bool,
    /// `/proc/sys/kernel/tainted`.
    pub tainted: u64,
    /// Milliseconds from the kernel's start to this message.
    pub uptime_ms: u64,
}

/// One trial to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialRequest {
    /// Number, chosen by the host, in every event of this trial.
    pub trial: u64,
    /// The programs as text, variables filled in. They share one process, one dump and one restore;
    /// where there are several, each gets a top directory of its own.
    pub programs: Vec<String>,
    /// In which namespaces the process runs.
    pub flavor: Flavor,
    /// What is done to it.
    pub lifecycle: Lifecycle,
    /// What does it.
    pub engine: Engine,
    /// How long one action of the lifecycle may take, in milliseconds.
    pub action_timeout_ms: u64,
    /// Send the checkpoint's images, and try a restore that failed a second time; criu's logs come
    /// always. It is for a trial that failed before.
    pub thorough: bool,
    /// Whether the process is probed after the last look, and a twin of it.
    pub probing: Probing,
}

/// The first descriptor of a program: behind the standard streams, which are the harness's.
pub const FIRST_DESCRIPTOR: i32 = 3;

/// The observations of a trial, split by its programs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What belongs to no program alone: the process, its root, other mounts and names, the agent's
    /// mounts, error lines, what was left behind, the kernel's log. `None` where there is one
    /// program: then all of that is in its report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<TrialReport>,
    /// What belongs to each program, in the order of the request, as if each had been alone:
    /// paths from its top directory, descriptors from [`FIRST_DESCRIPTOR`]. A trial that ends early
    /// has nothing in here that could pass.
    pub programs: Vec<TrialReport>,
}

impl Report {
    /// A report of this number of programs, without any observation yet.
    pub fn new(programs: usize) -> Self {
        let frame = (programs != 1).then(TrialReport::default);
        Self { frame, programs: vec![TrialReport::default(); programs] }
    }

    /// That of the only program.
    #[must_use]
    pub fn alone(mut self) -> Option<TrialReport> {
        self.programs.pop().filter(|_| self.programs.is_empty() && self.frame.is_none())
    }

    /// The frame and the reports of the programs, where the programs share a process.
    #[must_use]
    pub fn pack(self) -> Option<(TrialReport, Vec<TrialReport>)> {
        Some((self.frame?, self.programs))
    }

    /// Where all that belongs to no program alone comes: the frame, or the only program's report.
    pub fn whole(&mut self) -> &mut TrialReport {
        match self.programs.as_mut_slice() {
            [alone] if self.frame.is_none() => alone,
            _ => self.frame.get_or_insert_default(),
        }
    }

    /// All of them, the frame first.
    pub fn all(&mut self) -> impl Iterator<Item = &mut TrialReport> {
        self.frame.iter_mut().chain(&mut self.programs)
    }
}

impl From<TrialReport> for Report {
    /// That of a program that is alone.
    fn from(report: TrialReport) -> Self {
        Self { frame: None, programs: vec![report] }
    }
}

/// What dumps and restores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// The `criu` of the userland, through its command line.
    Criu {
        /// It is given the files on detached mounts (guest module `assist`).
        assisted: bool,
    },
    /// The reference engine, without CRIU.
    Reference {
        /// The mistake to make.
        fault: Option<Fault>,
        /// Do not use `statmount(STATMOUNT_BY_FD)` where the kernel has it.
        without_statmount: bool,
        /// How a detached mount is made.
        way: DetachMethod,
    },
}

/// How the reference engine makes a detached mount. Both ways must give the same result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DetachMethod {
    /// open_tree(2) and mount_setattr(2): never attached anywhere. Linux 5.12.
    #[default]
    Tree,
    /// A bind, mount(2), that is lazily unmounted after the open.
    Bind,
}

/// The most arcs that are reported of a trial; all of criu has half as many.
pub const ARC_LIMIT: usize = 1 << 16;

/// Everything that was observed of a program, or of what belongs to no program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialReport {
    /// The program could not be carried out.
    pub setup_failure: Option<SetupFailure>,
    /// `assert` lines that did not hold.
    #[serde(deserialize_with = "limits::lines")]
    pub failed_assertions: Vec<FailedAssertion>,
    /// Before anything was done to the process; `None` when the setup failed.
    pub before: Option<Observation>,
    /// One for each action of the lifecycle that was begun.
    pub actions: Vec<ActionReport>,
    /// What came of the probes, where they were asked for and the process was there in the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probes: Option<Probes>,
    /// Messages of the kernel at level warning or worse, or that start a splat.
    #[serde(deserialize_with = "limits::lines")]
    pub kernel_log: Vec<String>,
    /// `/proc/sys/kernel/tainted` afterwards.
    pub tainted: u64,
    /// What the trial left behind after its processes were ended: mounts, processes, devices.
    #[serde(deserialize_with = "limits::lines")]
    pub leftovers: Vec<String>,
    /// Files for the artifacts folder: criu's logs.
    #[serde(deserialize_with = "limits::files")]
    pub files: Vec<ReportFile>,
    /// The images of the checkpoint, where they were asked for.
    #[serde(default, skip_serializing_if = "Images::is_empty")]
    pub images: Images,
    /// Branches that a criu took which was built to count them, a number for each, ascending, no
    /// more than [`ARC_LIMIT`]. Of a pack the frame has them: which of its programs had them taken
    /// the agent does not know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arcs: Vec<u32>,
}

/// A step that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupFailure {
    /// Line in the program's text; 0 when it was not a step.
    pub line: usize,
    /// What was tried, on which path, and why it failed.
    pub what: String,
    /// The filesystem or call that this kernel does not have, when that is the cause.
    pub missing: Option<String>,
    /// The kernel's error, when it refused a step with one that has a name.
    #[serde(default)]
    pub errno: Option<Errno>,
}

/// An `assert` line that did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedAssertion {
    /// Line in the program's text.
    pub line: usize,
    /// The claim.
    pub expected: String,
    /// What was found.
    pub got: String,
}

/// What the first of an action's error lines begins with when the address sanitizer stopped criu.
pub const SANITIZER: &str = "AddressSanitizer: ";

/// One action of a lifecycle and the observation after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionReport {
    /// Which one.
    pub action: Action,
    /// How it ended.
    pub end: ActionEnd,
    /// Lines of the log that say what went wrong, at most 20, oldest first.
    #[serde(deserialize_with = "limits::lines")]
    pub error_lines: Vec<String>,
    /// Duration in milliseconds.
    pub duration_ms: u64,
    /// What was observed afterwards; `None` when nothing should be there (after a dump that ends
    /// the process).
    pub after: Option<Observation>,
    /// Why the process could not be observed although it should be there.
    pub unobservable: Option<String>,
    /// What the caller found, after an action with relative paths that says it succeeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caller: Vec<Finding>,
    /// What a restore that failed left in the root and around it, or took away there.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "limits::lines")]
    pub left: Vec<String>,
    /// What came of a restore that failed when it was tried once more in the same root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_try: Option<SecondTry>,
}

/// A second try of a restore that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecondTry {
    /// How it ended.
    pub end: ActionEnd,
    /// As those of the first.
    #[serde(deserialize_with = "limits::lines")]
    pub error_lines: Vec<String>,
}

/// A file for the artifacts folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportFile {
    /// A plain file name: `dump.log`.
    pub name: String,
    /// What it holds, as text; bytes that are not UTF-8 are replaced.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_alone_has_the_whole_report() {
        let mut report = Report::new(1);
        report.whole().tainted = 1;
        assert_eq!(report.all().map(|report| report.tainted).collect::<Vec<_>>(), [1]);
        assert_eq!((report.clone().pack(), report.alone().map(|report| report.tainted)), (None, Some(1)));
    }

    #[test]
    fn programs_that_share_a_process_have_a_frame() {
        let mut report = Report::new(2);
        report.whole().tainted = 1;
        assert_eq!(report.all().map(|report| report.tainted).collect::<Vec<_>>(), [1, 0, 0]);
        assert_eq!(report.clone().alone(), None);
        assert_eq!(report.pack().map(|(frame, programs)| (frame.tainted, programs.len())), Some((1, 2)));
    }
}
