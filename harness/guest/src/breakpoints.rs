//! A criu on an emulated processor does without hardware breakpoints.
//!
//! criu stops a process at the end of its own code by a breakpoint in a debug register and waits
//! for the trap (compel/src/lib/infect.c, `compel_stop_pie`). Under QEMU's emulation the trap seems
//! to have failed to come in one of 488 dumps: the process went on, criu waited for ever, and the
//! trial ended in a false `hang`. criu knows such machines (pull request 2660) and has a way
//! without: it stops at each system call instead. `CRIU_FAULT=130` asks for it
//! (criu/include/fault-injection.h, `FI_NO_BREAKPOINTS`). On a real processor, KVM included,
//! nothing is changed.

use std::fs;
use std::process::Command;
use std::sync::OnceLock;

/// How QEMU names the processor that it emulates with `-cpu max` (target/i386/cpu.c).
const EMULATED: &str = "QEMU TCG CPU";
const NO_BREAKPOINTS: (&str, &str) = ("CRIU_FAULT", "130");

/// Tells a criu to do without breakpoints where they cannot be relied on.
pub(crate) fn instruct(command: &mut Command) {
    static IS_EMULATED: OnceLock<bool> = OnceLock::new();
    if *IS_EMULATED.get_or_init(|| is_emulated(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default())) {
        command.env(NO_BREAKPOINTS.0, NO_BREAKPOINTS.1);
    }
}

/// Whether proc_cpuinfo(5) tells of an emulated processor.
fn is_emulated(cpuinfo: &str) -> bool {
    let mut models = cpuinfo.lines().filter(|line| line.starts_with("model name"));
    models.any(|line| line.contains(EMULATED))
}

#[cfg(test)]
mod tests {
    use super::is_emulated;

    #[test]
    fn only_an_emulated_processor_is_one() {
        assert!(is_emulated("processor\t: 0\nmodel name\t: QEMU TCG CPU version 2.5+\n"));
        assert!(!is_emulated("processor\t: 0\nmodel name\t: AMD EPYC 9R14\nflags\t\t: QEMU TCG CPU\n"));
        assert!(!is_emulated(""));
    }
}
