//! The host's memory: what is available, and what a process takes of it.

use std::fs;

/// `MemAvailable` of proc_meminfo(5), in MiB.
pub fn available_mib() -> Option<u64> {
    field_kib(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:").map(|kib| kib >> 10)
}

/// What a process takes, in KiB (`/proc/PID/smaps_rollup`, proc(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryUse {
    /// Private to the process: it is freed when the process ends.
    pub private_kib: u64,
    /// The same and its part of what it shares with others.
    pub proportional_kib: u64,
}

/// What a process takes now.
pub fn memory_of(pid: u32) -> Option<MemoryUse> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let field = |name| field_kib(&text, name);
    Some(MemoryUse {
        private_kib: field("Private_Clean:")? + field("Private_Dirty:")?,
        proportional_kib: field("Pss:")?,
    })
}

fn field_kib(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_has_memory_and_this_process_takes_some() {
        assert!(available_mib().unwrap() > 0);
        let memory = memory_of(std::process::id()).unwrap();
        assert!(memory.private_kib > 0 && memory.proportional_kib >= memory.private_kib, "{memory:?}");
        assert_eq!(memory_of(0), None);
    }
}
