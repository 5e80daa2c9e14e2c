//! Which step a process carries out, for the agent, which reads it when the process does not answer
//! in time or ends: the name of the process (`/proc/PID/comm`), one system call a step. Before a
//! checkpoint the process has its usual name again.

use std::ffi::CString;

use nix::sys::prctl;

/// What every executor is called by execve(2).
const USUAL: &std::ffi::CStr = c"executor";

/// A step of one of the programs of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StepMark {
    /// The index of the program.
    pub(crate) program: usize,
    /// Line in its text.
    pub(crate) line: usize,
}

impl StepMark {
    /// The calling process is at this step from now on. The name of a thread cannot be refused; one
    /// that is too long (prctl(2): 15 bytes) names no step.
    pub(super) fn set(self) {
        if let Ok(name) = CString::new(format!("{}:{}.", self.program, self.line)) {
            let _ = prctl::set_name(&name);
        }
    }

    /// The calling process is at no step.
    pub(super) fn clear() {
        let _ = prctl::set_name(USUAL);
    }

    /// The step of a process with this name.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        let (program, line) = name.strip_suffix('.')?.split_once(':')?;
        Some(Self { program: program.parse().ok()?, line: line.parse().ok()? })
    }
}
