//! The process under test: carries out a program, then observes itself whenever the agent asks.
//!
//! It talks to the agent over the pipes that are its standard input and output. A checkpoint finds
//! it in read(2) on the first; a restore gives it the same pipes again. It holds nothing between
//! two messages but the program's objects.
//!
//! Standard input, output and error are the harness's. An observation leaves them out.

pub(crate) mod change;
mod claims;
mod disks;
mod exec;
mod guard;
mod mounts;
mod names;
mod objects;
mod probes;
mod processes;
mod setup;
mod step_mark;
mod trees;
mod watches;
mod world;

use std::io::{self, BufRead};
use std::os::fd::RawFd;
use std::process::ExitCode;

use protocol::message::{FailedAssertion, SetupFailure};
use protocol::observation::{ObjectView, View};
use protocol::probe::Probe;
use protocol::wire;
use serde::{Deserialize, Serialize};

use crate::observe::Made;
use crate::observe::inside;
use crate::reference::checkpoint::Checkpoint;
use crate::reference::restore;
pub(crate) use guard::devices;
pub(crate) use processes::FIRST_PIPE;
use setup::{resume, set_up};
pub(crate) use step_mark::StepMark;

/// The standard streams are the pipes to the agent: the harness's, not the program's.
pub const STREAMS: [i32; 3] = [0, 1, 2];

/// What the executor is started with.
pub(crate) const ENVIRONMENT: &std::ffi::CStr = c"PATH=/usr/sbin:/usr/bin";

/// A program, and the directory and disks that it is carried out with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProgramSlot {
    /// The program's text.
    pub program: String,
    /// The top directory: `/` for one that is alone in a root of its own.
    pub top: String,
    /// The minors of the loop devices for the program's block filesystems, in the order of their
    /// `mount` steps.
    pub disks: Vec<u32>,
    /// In a user namespace, which may not mount them: for each disk the descriptors of mounts of
    /// its whole, attached nowhere, as many as the program mounts.
    pub trees: Vec<Vec<RawFd>>,
}

/// The result of carrying out a program.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SetupResult {
    /// What it made.
    pub made: Vec<Made>,
    /// The other processes, in the order of their forks.
    #[serde(default)]
    pub others: Vec<Other>,
    /// Its descriptors have this number or a higher one, below that of the next program.
    pub first_descriptor: i32,
    /// The step that failed, if one did.
    pub failure: Option<SetupFailure>,
    /// The `assert` lines that do not hold.
    pub failed_assertions: Vec<FailedAssertion>,
}

/// Another process than the first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Other {
    /// What the program made there.
    pub made: Vec<Made>,
    /// Its number as the processes see it, where it has ended.
    pub zombie: Option<i32>,
}

/// What a program may do on the kernel that it runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rights {
    /// Others use the kernel as well: only what is harmless to them.
    pub shared: bool,
    /// Only what a user namespace allows.
    pub confined: bool,
}

/// What the agent asks of the executor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Ask {
    /// Carry out programs; the first message, once.
    SetUp {
        /// One, or those of a pack.
        #[serde(rename = "plots")]
        slots: Vec<ProgramSlot>,
        /// What they may do: a step that may not be is unsupported, not wrong.
        rights: Rights,
    },
    /// Look at yourself.
    Look {
        /// The top directories of a pack: each is observed as if it were the working directory.
        tops: Vec<String>,
        /// The mounts of a namespace that the process left and that lives on, by their IDs.
        elsewhere: Vec<u64>,
    },
    /// Try what you can do with your objects; the last message.
    Probe {
        /// The program's top directory.
        top: String,
        /// Try its mounts as well: of several processes one does.
        mounts: bool,
    },
    /// Become the process of a checkpoint; the first message, once.
    Restore {
        /// What it had.
        checkpoint: Box<Checkpoint>,
        /// What the program made.
        made: Vec<Made>,
        /// What it made in the other processes.
        others: Vec<Vec<Made>>,
        /// How.
        options: restore::Options,
    },
}

/// What the executor answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// The programs were carried out, up to the first that could not be.
    SetUp(Vec<SetupResult>),
    /// What it observed.
    Observed {
        /// Its objects.
        view: View,
        /// The top directories that were asked for.
        tops: Vec<ObjectView>,
    },
    /// What came of the probes.
    Probed(Vec<Probe>),
    /// Why it could not observe, or probe.
    Blind(String),
    /// It is the process of the checkpoint.
    Restored,
    /// Why it is not.
    NotRestored(String),
}

/// The executor's life: until its input ends. After the step `exec`, `suspended` is the number of
/// the descriptor with what there was before.
pub fn main(suspended: Option<&str>) -> ExitCode {
    let mut made = Vec::new();
    if let Some(number) = suspended {
        let results = vec![resume(number)];
        made = results[0].made.clone();
        if wire::send(&mut io::stdout(), &Answer::SetUp(results)).is_err() {
            return ExitCode::FAILURE;
        }
    }
    listen(&mut io::stdin().lock(), made)
}

/// Answers the agent until the input ends.
fn listen(input: &mut impl BufRead, mut made: Vec<Made>) -> ExitCode {
    loop {
        let answer = match wire::receive::<Ask>(input) {
            Ok(Ask::SetUp { slots, rights }) => {
                let results = set_up(&slots, rights);
                made = results.iter().flat_map(|result| result.made.clone()).collect();
                Answer::SetUp(results)
            }
            Ok(Ask::Look { tops, elsewhere }) => match inside::look(&made, &tops, &STREAMS, &elsewhere) {
                Ok((view, tops)) => Answer::Observed { view, tops },
                Err(error) => Answer::Blind(format!("cannot look at myself: {error}")),
            },
            Ok(Ask::Probe { top, mounts }) => match probes::run(&made, &top, mounts) {
                Ok(outcomes) => Answer::Probed(outcomes),
                Err(error) => Answer::Blind(format!("cannot try what I can do: {error}")),
            },
            Ok(Ask::Restore { checkpoint, made: names, others, options }) => {
                made = names;
                match restore::run(&checkpoint, options) {
                    Ok(0) => Answer::Restored,
                    // Another process that was made from this one: nothing was asked of it yet.
                    Ok(other) => {
                        made = others.into_iter().nth(other - 1).unwrap_or_default();
                        continue;
                    }
                    Err(failure) => Answer::NotRestored(failure.to_string()),
                }
            }
            Err(wire::WireError::Closed) => return ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("executor: bad message from the agent: {error}");
                return ExitCode::FAILURE;
            }
        };
        // It flushes: nothing of the answer is buffered on our side of a checkpoint.
        if wire::send(&mut io::stdout(), &answer).is_err() {
            return ExitCode::FAILURE;
        }
    }
}

/// What is wrong with a program, in words.
pub(crate) fn describe(faults: &[scenarios::Diagnostic]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
