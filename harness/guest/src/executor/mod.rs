//! The process under test: carries out a program, then looks at itself whenever the agent asks.
//!
//! It talks to the agent over the pipes that are its standard input and output. A checkpoint finds it in read(2) on
//! the first; a restore gives it the same pipes again. It holds nothing between two messages but the program's objects.

mod claims;
mod mounts;
mod names;
mod objects;
mod world;

use std::fs::File;
use std::io::{self, BufReader};
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;
use std::process::ExitCode;

use protocol::message::{FailedAssertion, SetupFailure};
use protocol::observation::View;
use protocol::wire;
use scenarios::program::Line;
use scenarios::{Program, Step};
use serde::{Deserialize, Serialize};

use crate::observe::{Made, inside};
use crate::reference::image::Image;
use crate::reference::restore;
use world::World;

/// The standard streams are the pipes to the agent: the harness's, not the program's.
pub const STREAMS: [i32; 3] = [0, 1, 2];

/// What the agent asks of the executor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Ask {
    /// Carry out a program; the first message, once.
    SetUp {
        /// The program's text.
        program: String,
        /// The top directory: `/` in a root of its own.
        top: String,
        /// The minors of the loop devices for the program's block filesystems, in the order of their `mount` steps.
        disks: Vec<u32>,
        /// There are only the privileges of a user namespace: a step that may not be is unsupported, not wrong.
        confined: bool,
    },
    /// Look at yourself.
    Look,
    /// Become the process of an image; the first message, once.
    Restore {
        /// What it had.
        image: Box<Image>,
        /// What the program made.
        made: Vec<Made>,
        /// How.
        options: restore::Options,
    },
}

/// What the executor answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// The program was carried out.
    SetUp {
        /// What it made.
        made: Vec<Made>,
        /// The step that failed, if one did.
        failure: Option<SetupFailure>,
        /// The `assert` lines that do not hold.
        failed_assertions: Vec<FailedAssertion>,
    },
    /// What it sees.
    Seen(View),
    /// Why it could not look.
    Blind(String),
    /// It is the process of the image.
    Restored,
    /// Why it is not.
    NotRestored(String),
}

/// Standard input or output as a file that is never closed: nothing of it is buffered on our side of a checkpoint.
fn stream(fd: i32) -> ManuallyDrop<File> {
    // SAFETY: the agent made both pipes before it started us; ManuallyDrop leaves them open.
    ManuallyDrop::new(unsafe { File::from_raw_fd(fd) })
}

/// The executor's life: until its input ends.
pub fn main() -> ExitCode {
    let input = stream(0);
    let mut input = BufReader::new(&*input);
    let mut made = Vec::new();
    loop {
        let answer = match wire::receive::<Ask>(&mut input) {
            Ok(Ask::SetUp { program, top, disks, confined }) => {
                let answer = set_up(&program, &top, &disks, confined);
                if let Answer::SetUp { made: names, .. } = &answer {
                    made.clone_from(names);
                }
                answer
            }
            Ok(Ask::Look) => match inside::look(&made, &STREAMS) {
                Ok(view) => Answer::Seen(view),
                Err(error) => Answer::Blind(format!("cannot look at myself: {error}")),
            },
            Ok(Ask::Restore { image, made: names, options }) => {
                made = names;
                match restore::run(&image, options) {
                    Ok(()) => Answer::Restored,
                    Err(failure) => Answer::NotRestored(failure.to_string()),
                }
            }
            Err(wire::WireError::Closed) => return ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("executor: bad message from the agent: {error}");
                return ExitCode::FAILURE;
            }
        };
        if wire::send(&mut &*stream(1), &answer).is_err() {
            return ExitCode::FAILURE;
        }
    }
}

/// What is wrong with a program, in words.
pub(crate) fn told(faults: &[scenarios::Diagnostic]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn set_up(text: &str, top: &str, disks: &[u32], confined: bool) -> Answer {
    let mut world = match World::new(top, disks) {
        Ok(world) => world,
        Err(error) => {
            return failed(SetupFailure { line: 0, what: format!("top directory {top}: {error}"), missing: None });
        }
    };
    let program = match scenarios::text::program(text) {
        Ok(program) => program,
        Err(faults) => {
            return failed(SetupFailure { line: 0, what: format!("program text: {}", told(&faults)), missing: None });
        }
    };
    if let Err(failure) = run(&mut world, &program, confined) {
        return failed(failure);
    }
    let (made, top) = (world.made(), world.into_top());
    match assertions(&program, &made, &top) {
        Ok(failed_assertions) => Answer::SetUp { made, failure: None, failed_assertions },
        Err(error) => failed(SetupFailure { line: 0, what: format!("checking assertions: {error}"), missing: None }),
    }
}

fn failed(failure: SetupFailure) -> Answer {
    Answer::SetUp { made: Vec::new(), failure: Some(failure), failed_assertions: Vec::new() }
}

fn run(world: &mut World, program: &Program, confined: bool) -> Result<(), SetupFailure> {
    for Line { number, step } in &program.steps {
        let done = if confined { permitted(step) } else { Ok(()) }.and_then(|()| carry_out(world, step));
        done.map_err(|error| SetupFailure {
            line: *number,
            missing: missing(step, &error, confined),
            what: format!("{step}: {error}"),
        })?;
    }
    Ok(())
}

/// A mapping can be made in a user namespace, but nobody can see its file: proc_pid_map_files(5).
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
        | S::PivotRoot { .. } => mounts::carry_out(world, step),
        S::Open { .. }
        | S::Dup { .. }
        | S::Memfd { .. }
        | S::Map { .. }
        | S::Socketpair { .. }
        | S::Peer { .. }
        | S::Send { .. }
        | S::Seek { .. }
        | S::Read { .. }
        | S::WriteTo { .. }
        | S::ReadEntries { .. }
        | S::Lock { .. }
        | S::Close { .. }
        | S::Chdir { .. }
        | S::Chroot { .. } => objects::carry_out(world, step),
        // Assertions hold at the end or not at all.
        S::Assert { .. } => Ok(()),
        _ => names::carry_out(world, step),
    }
}

fn assertions(program: &Program, made: &[Made], top: &str) -> io::Result<Vec<FailedAssertion>> {
    let asserts = || program.steps.iter().filter(|line| matches!(line.step, Step::Assert { .. }));
    if asserts().next().is_none() {
        return Ok(Vec::new());
    }
    let view = inside::look(made, &STREAMS)?;
    let mut failed = Vec::new();
    for Line { number, step } in asserts() {
        if let Step::Assert { object, claim } = step
            && let Err((expected, got)) = claims::check(&view, top, object, claim)
        {
            failed.push(FailedAssertion { line: *number, expected, got });
        }
    }
    Ok(failed)
}
