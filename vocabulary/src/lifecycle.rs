//! What is done to the process between two observations: lifecycles, and the actions that they are
//! made of.
//!
//! This is the one place that knows them all. The agent carries the actions out one by one, with a
//! observation after each; the judge knows from here what each must come to; users know the words.
//!
//! The agent saves each dump in a folder of its own. The judge compares a restore with the first
//! observation, so nothing can be lost bit by bit over several restores. It compares a dump that
//! the process survives with the observation before it.
//!
//! One lifecycle changes the tree between dump and restore. The process is left running, so the
//! observation after the change says what is right.
//!
//! Two lifecycles spoil a dump. One gives it a tmpfs of 64 KiB for its images. The other puts a
//! pipe in the place of its pages file. Bytes from that pipe prove that criu has its code in the
//! process. A pipe holds no more than 64 KiB, so criu is still running when the agent kills it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! lifecycles {
    ($($variant:ident $word:literal $text:literal [$($action:ident),*];)*) => {
        /// What is done to the process between observations. The words are those of the command
        /// line and of trials' names.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Lifecycle {
            $(#[doc = $text] $variant,)*
        }

        impl Lifecycle {
            /// Every lifecycle, in the order of the documentation.
            pub const ALL: &[Lifecycle] = &[$(Lifecycle::$variant,)*];

            /// The word on the command line and in ids.
            pub const fn word(self) -> &'static str {
                match self { $(Lifecycle::$variant => $word,)* }
            }

            /// What it is, for people.
            pub const fn text(self) -> &'static str {
                match self { $(Lifecycle::$variant => $text,)* }
            }

            /// What is done, in this order, with an observation after each.
            pub const fn actions(self) -> &'static [Action] {
                match self { $(Lifecycle::$variant => &[$(Action::$action,)*],)* }
            }
        }
    };
}

lifecycles! {
    DumpRestore "dump-restore" "Dump, restore." [Dump, Restore];
    LeaveRunning "leave-running" "Dump, and leave the process running." [DumpLeaveRunning];
    ThreeTimes "three-times" "Dump and restore, three times over." [Dump, Restore, Dump, Restore, Dump, Restore];
    LeaveRunningDump "leave-running-dump" "Dump and leave running; then dump and restore." [DumpLeaveRunning, Dump, Restore];
    LeaveStopped "leave-stopped" "Dump and leave stopped; SIGCONT has the process go on." [DumpLeaveStopped];
    PreDump "pre-dump" "Two pre-dumps of the memory, a dump of what changed since, restore." [PreDump, PreDump, Dump, Restore];
    CompatMode "compat-mode" "Dump, restore with criu's older mount engine." [Dump, CompatRestore];
    FailedDump "failed-dump" "A dump that finds its disk full; then dump and restore." [FailedDump, Dump, Restore];
    KilledDump "killed-dump" "A dump that is killed while it saves memory; then dump and restore." [KilledDump, Dump, Restore];
    FailedRestore "failed-restore" "Dump, a restore that a hook at its end has fail, restore." [Dump, FailedRestore, Restore];
    KilledRestore "killed-restore" "Dump, a restore that is killed when all processes are there, restore." [Dump, KilledRestore, Restore];
    ChangedTree "changed-tree" "Dump, the tree is changed, restore: the right files, or a refusal." [DumpLeaveRunning, Change, End, Restore];
    PageServer "page-server" "Dump with the memory sent to a page server, restore." [PageServerDump, Restore];
    Service "service" "Dump, restore, both by criu's service (RPC)." [ServiceDump, ServiceRestore];
    InputPipe "input-pipe" "Dump, restore; criu's standard input is a pipe." [Dump, Restore];
    InputTerminal "input-terminal" "Dump, restore; criu's standard input is a terminal." [Dump, Restore];
    InputClosed "input-closed" "Dump, restore; criu is started without a standard input." [Dump, Restore];
    RelativePaths "relative-paths" "Dump, restore, with all paths relative; then what the caller finds." [RelativeDump, RelativeRestore];
    RelativeScript "relative-script" "Dump, restore, with all paths relative, that of the hook too." [RelativeDump, RelativeScriptRestore];
    Untouched "untouched" "Nothing: whatever differs, the harness itself changed." [Nothing];
}

/// What criu's standard input is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Input {
    /// `/dev/null`.
    #[default]
    Null,
    /// A pipe that stays open.
    Pipe,
    /// A terminal.
    Terminal,
    /// There is none.
    Closed,
}

impl Lifecycle {
    /// What criu's standard input is in it.
    pub const fn input(self) -> Input {
        match self {
            Lifecycle::InputPipe => Input::Pipe,
            Lifecycle::InputTerminal => Input::Terminal,
            Lifecycle::InputClosed => Input::Closed,
            _ => Input::Null,
        }
    }

    /// Whether it is about how criu is called, and not about what it does.
    pub fn is_about_the_caller(self) -> bool {
        self.input() != Input::Null || self.actions().iter().any(|action| action.is_relative())
    }

    /// Whether the process is restored in it.
    pub fn restores(self) -> bool {
        self.actions().iter().any(|action| action.restores())
    }

    /// Whether a subject does something to the process.
    pub fn has_a_subject(self) -> bool {
        self.actions().iter().any(|action| !action.is_of_the_harness())
    }
}

impl fmt::Display for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Lifecycle {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().copied().find(|lifecycle| lifecycle.word() == word);
        let known = || Self::ALL.iter().map(|lifecycle| lifecycle.word()).collect::<Vec<_>>().join(", ");
        found.ok_or_else(|| format!("unknown lifecycle {word:?}; known are {}", known()))
    }
}

/// A thing done to the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Checkpoint; the process ends.
    Dump,
    /// Checkpoint; the process goes on.
    DumpLeaveRunning,
    /// Checkpoint; the process is stopped, and the agent has it go on.
    DumpLeaveStopped,
    /// The memory alone; the process goes on. The next dump saves only what changed since.
    PreDump,
    /// A dump into a filesystem without room for the images: it must fail.
    FailedDump,
    /// A dump that gets SIGKILL while it saves memory.
    KilledDump,
    /// Restore.
    Restore,
    /// A restore that must fail at its end, when all processes are there: a hook does.
    FailedRestore,
    /// A restore that gets SIGKILL when all processes are there and none runs yet.
    KilledRestore,
    /// Others carry out the `change` lines of the program. What the process is then is what a
    /// restore must come to.
    Change,
    /// The process is ended, not by the one who dumped it.
    End,
    /// Checkpoint whose memory goes to a page server (criu(8), `page-server`); the process ends.
    PageServerDump,
    /// Restore with `--mntns-compat-mode`.
    CompatRestore,
    /// Checkpoint by a caller who names every path relatively; the process ends.
    RelativeDump,
    /// Restore by such a caller (crate `protocol`, module `caller`).
    RelativeRestore,
    /// Restore by such a caller, the hook's path relative too.
    RelativeScriptRestore,
    /// Checkpoint by criu's service; the process ends.
    ServiceDump,
    /// Restore by it.
    ServiceRestore,
    /// Nothing is done to the process.
    Nothing,
}

impl Action {
    /// What a killed criu is ended by: signal(7), the same on every architecture.
    pub const SIGKILL: i32 = 9;

    /// The status of a restore that its hook had fail. One that failed before has criu's own.
    pub const HOOK_FAILED: i32 = 125;

    /// The word in reports and file names.
    pub const fn word(self) -> &'static str {
        match self {
            Action::Dump => "dump",
            Action::DumpLeaveRunning => "dump-leave-running",
            Action::DumpLeaveStopped => "dump-leave-stopped",
            Action::PreDump => "pre-dump",
            Action::FailedDump => "failed-dump",
            Action::KilledDump => "killed-dump",
            Action::Restore => "restore",
            Action::FailedRestore => "failed-restore",
            Action::KilledRestore => "killed-restore",
            Action::Change => "change",
            Action::End => "end",
            Action::PageServerDump => "page-server-dump",
            Action::CompatRestore => "compat-restore",
            Action::RelativeDump => "relative-dump",
            Action::RelativeRestore => "relative-restore",
            Action::RelativeScriptRestore => "relative-script-restore",
            Action::ServiceDump => "service-dump",
            Action::ServiceRestore => "service-restore",
            Action::Nothing => "nothing",
        }
    }

    /// The caller names every path relatively, and observes its surroundings afterwards.
    pub const fn is_relative(self) -> bool {
        matches!(self, Action::RelativeDump | Action::RelativeRestore | Action::RelativeScriptRestore)
    }

    /// It makes a new process, with other numbers, unless it fails.
    pub const fn restores(self) -> bool {
        matches!(
            self,
            Action::Restore
                | Action::FailedRestore
                | Action::KilledRestore
                | Action::CompatRestore
                | Action::RelativeRestore
                | Action::RelativeScriptRestore
                | Action::ServiceRestore
        )
    }

    /// The process has ended after it: most dumps.
    pub const fn ends_process(self) -> bool {
        matches!(self, Action::Dump | Action::RelativeDump | Action::ServiceDump | Action::PageServerDump | Action::End)
    }

    /// The harness does it, and no subject has a part in it.
    pub const fn is_of_the_harness(self) -> bool {
        matches!(self, Action::Change | Action::End | Action::Nothing)
    }

    /// The harness itself sees to it that this does not succeed.
    pub const fn is_spoilt(self) -> bool {
        matches!(self, Action::FailedDump | Action::KilledDump | Action::FailedRestore | Action::KilledRestore)
    }

    /// Whether it ended as it must, so that the lifecycle can go on. A spoilt dump may also refuse
    /// before it is spoilt.
    pub fn ended_well(self, end: &ActionEnd) -> bool {
        match self {
            Action::FailedDump => matches!(end, ActionEnd::Failed(_)),
            Action::FailedRestore => *end == ActionEnd::Failed(Self::HOOK_FAILED),
            Action::KilledRestore => *end == ActionEnd::Killed(Self::SIGKILL),
            Action::KilledDump => matches!(end, ActionEnd::Failed(_) | ActionEnd::Killed(Self::SIGKILL)),
            _ => *end == ActionEnd::Done,
        }
    }

    /// Whether there must be a process after this end.
    pub fn has_process(self, end: &ActionEnd) -> bool {
        let done = *end == ActionEnd::Done;
        match self {
            Action::FailedDump | Action::KilledDump => !done,
            Action::DumpLeaveRunning
            | Action::DumpLeaveStopped
            | Action::PreDump
            | Action::Change
            | Action::Nothing => true,
            _ => done == self.restores(),
        }
    }
}

/// How an action ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActionEnd {
    /// It says that it succeeded.
    Done,
    /// It says that it failed, with this exit status.
    Failed(i32),
    /// It was ended by this signal.
    Killed(i32),
    /// It took longer than it may.
    TimedOut,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_and_written_alike() {
        for &lifecycle in Lifecycle::ALL {
            assert_eq!(lifecycle.word().parse(), Ok(lifecycle));
            assert_eq!(serde_json::to_value(lifecycle).unwrap(), lifecycle.word());
            for action in lifecycle.actions() {
                assert_eq!(serde_json::to_value(action).unwrap(), action.word());
            }
        }
        let error = "leave".parse::<Lifecycle>().unwrap_err();
        assert!(error.starts_with("unknown lifecycle \"leave\"; known are dump-restore, leave-running, "), "{error}");
    }

    #[test]
    fn a_restore_comes_after_a_dump_that_ended_the_process() {
        for lifecycle in Lifecycle::ALL {
            let mut there = true;
            for action in lifecycle.actions() {
                assert_ne!(there, action.restores(), "{lifecycle}: {}", action.word());
                let end = match action {
                    Action::FailedRestore => ActionEnd::Failed(Action::HOOK_FAILED),
                    Action::KilledRestore => ActionEnd::Killed(Action::SIGKILL),
                    spoilt if spoilt.is_spoilt() => ActionEnd::Failed(1),
                    _ => ActionEnd::Done,
                };
                assert!(action.ended_well(&end), "{lifecycle}: {}", action.word());
                there = action.has_process(&end);
            }
            assert!(there, "{lifecycle}");
        }
        assert!(!Action::FailedRestore.ended_well(&ActionEnd::Failed(1)), "it failed by itself");
    }
}
