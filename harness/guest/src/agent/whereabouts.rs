//! Where processes are that carry out programs: at which step, and whether they are blocked in it.
//!
//! A process is blocked that sleeps, interruptibly, through the limit of a step. On a slow machine
//! it waits for the processor or for a disk instead, in other states of proc_pid_stat(5), and the
//! limit of an action holds.

use std::time::Duration;

use protocol::message::SetupFailure;

use super::litter;
use super::pipes::NoAnswer;
use crate::executor::{ProgramSlot, StepMark};

/// How many limits of a step the limit of an action has.
const STEPS_PER_ACTION: u32 = 24;

/// The shortest limit of a step: time for what one that sleeps waits for.
const SHORTEST: Duration = Duration::from_millis(500);

/// How long a step may sleep, where an action may take `action`.
pub(super) fn step_limit(action: Duration) -> Duration {
    (action / STEPS_PER_ACTION).max(SHORTEST)
}

/// The processes of a session.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Whereabouts {
    /// Where the first one is.
    pub(super) step: Option<StepMark>,
    /// Of each: number, state, how often it went to sleep.
    processes: Vec<(i32, String, String)>,
}

impl Whereabouts {
    /// Those of the session that the process `leader` has made.
    pub(super) fn look(leader: i32) -> Self {
        let mut found = Self::default();
        for pid in litter::process_numbers().unwrap_or_default() {
            // It may have ended meanwhile.
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
            // The first number is the one in the agent's PID namespace.
            if field("NSsid:").split('\t').next() == Some(&leader.to_string()) {
                found.processes.push((pid, field("State:").to_owned(), field("voluntary_ctxt_switches:").to_owned()));
                if pid == leader {
                    found.step = StepMark::of_name(field("Name:"));
                }
            }
        }
        found
    }

    /// Whether all have slept, in the same step, since `before`.
    pub(super) fn asleep_since(&self, before: &Self) -> bool {
        let sleeps = |(_, state, _): &(i32, String, String)| state.starts_with('S');
        self.step.is_some() && !self.processes.is_empty() && self.processes.iter().all(sleeps) && self == before
    }
}

/// The failure of programs that were not carried out, and the index of the one that it is of, where
/// that is known.
pub(super) fn failure(slots: &[ProgramSlot], error: &NoAnswer, last: &Whereabouts) -> (Option<usize>, SetupFailure) {
    let Some(StepMark { program, line }) = last.step else {
        return (None, super::trial::infrastructure("carrying out the program", error));
    };
    let text = slots.get(program).and_then(|slot| slot.program.lines().nth(line.wrapping_sub(1)));
    let what = format!("{}: {error}", text.unwrap_or("a step").trim());
    (Some(program), SetupFailure { line, what, missing: None, errno: None })
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// cat(1), called as a process is at a step, in a session of its own.
    fn cat(file: &str) -> Child {
        let folder = std::env::temp_dir().join(format!("zdtm-whereabouts-{}-{}", std::process::id(), file.len()));
        std::fs::create_dir(&folder).expect("a folder");
        let program = folder.join("3:14.");
        std::os::unix::fs::symlink("/bin/cat", &program).expect("a link");
        let mut command = Command::new("setsid");
        command.arg(&program).arg(file).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("cat");
        // It is cat from its first byte on.
        if file == "-" {
            std::io::Write::write_all(child.stdin.as_mut().expect("a pipe"), b"x").expect("cat reads");
        }
        let mut byte = [0];
        std::io::Read::read_exact(child.stdout.as_mut().expect("a pipe"), &mut byte).expect("cat writes");
        std::fs::remove_dir_all(&folder).expect("its end");
        child
    }

    fn end(mut child: Child) {
        child.kill().expect("it lives");
        child.wait().expect("its end");
    }

    fn look(child: &Child) -> Whereabouts {
        Whereabouts::look(child.id().cast_signed())
    }

    #[test]
    fn one_that_waits_is_asleep_in_its_step() {
        let waits = cat("-");
        let (mut before, mut now) = (look(&waits), look(&waits));
        while !now.asleep_since(&before) {
            (before, now) = (now, look(&waits));
        }
        end(waits);
        assert_eq!(now.step, Some(StepMark { program: 3, line: 14 }));
    }

    #[test]
    fn one_that_works_is_not_asleep() {
        let mut works = cat("/dev/zero");
        let mut output = works.stdout.take().expect("a pipe");
        let reader = std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        let first = look(&works);
        // Between the two it sleeps, wakes and writes.
        let written = || {
            let text = std::fs::read_to_string(format!("/proc/{}/io", works.id())).expect("its figures");
            let line = text.lines().find_map(|line| line.strip_prefix("wchar: ")).expect("a figure").to_owned();
            line.parse::<u64>().expect("a number")
        };
        let begin = written();
        while written() < begin + (64 << 20) {}
        let second = look(&works);
        end(works);
        reader.join().expect("no panic").expect("a pipe to its end");
        assert!(first.step.is_some() && !second.asleep_since(&first), "{first:?} {second:?}");
    }

    #[test]
    fn what_cannot_be_a_step_is_none() {
        assert_eq!(["executor", "0:", "1:2", "x:2."].map(StepMark::of_name), [None; 4]);
    }
}
