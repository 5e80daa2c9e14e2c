//! The guest that runs out of memory: whom its kernel killed for it.
//!
//! A criu that takes all memory is the subject's failure, which the reason explains. Where the
//! kernel killed a process of the program instead, the trial says nothing of the subject. The agent
//! itself is PID 1, which the kernel never kills: it panics, and the machine is gone
//! ([`crate::vm::console`]).

use super::verdict::{Group, Judgement};

/// How the kernel begins its line, `__oom_kill_process` in mm/oom_kill.c.
const KILLED: &str = "Out of memory: Killed process ";

/// A process that the kernel killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Victim {
    /// Its name for the kernel.
    name: String,
}

impl Victim {
    /// It is of the program under test: while that is carried out, processes are called as their
    /// step (`executor::StepMark` in crate `guest`).
    pub(super) fn is_the_program(&self) -> bool {
        let step = |name: &str| name.split_once(':').is_some_and(|(program, _)| program.parse::<usize>().is_ok());
        self.name == "executor" || step(&self.name)
    }
}

/// Those that the kernel's messages name.
pub(super) fn victims(log: &[String]) -> Vec<Victim> {
    let lines = log.iter().filter_map(|line| line.split_once(KILLED));
    let name = |(_, rest): (&str, &str)| Some(rest.split_once('(')?.1.rsplit_once(") total-vm")?.0.to_owned());
    lines.filter_map(name).map(|name| Victim { name }).collect()
}

/// A judgement that says so where the guest ran out of memory, if it is not that all went well.
pub(super) fn named(judgement: Judgement, victims: &[Victim]) -> Judgement {
    if victims.is_empty() || judgement.verdict.group() == Group::Passed {
        return judgement;
    }
    let mut names: Vec<&str> = victims.iter().map(|victim| victim.name.as_str()).collect();
    names.dedup();
    let memory = format!("the guest ran out of memory, and its kernel killed {}", names.join(", "));
    let reason = match judgement.reason.as_str() {
        "" => memory,
        reason => format!("{reason}: {memory}"),
    };
    Judgement { reason, ..judgement }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str) -> String {
        format!("Out of memory: Killed process 154 ({name}) total-vm:813692kB, anon-rss:478820kB, UID:0")
    }

    #[test]
    fn victims_are_found_by_name() {
        let log = [line("sh"), "oom-kill:constraint=CONSTRAINT_NONE,task=sh,pid=154".to_owned(), line("a) (b")];
        assert_eq!(victims(&log).iter().map(|victim| victim.name.as_str()).collect::<Vec<_>>(), ["sh", "a) (b"]);
        let is_the_program = |name| victims(&[line(name)])[0].is_the_program();
        assert_eq!(["executor", "0:3.", "criu", "sh", "a:b"].map(is_the_program), [true, true, false, false, false]);
    }
}
