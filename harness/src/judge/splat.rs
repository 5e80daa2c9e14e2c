//! Does the kernel complain about itself? Its log is a list of lines at level warning or worse;
//! most are about others (a process that crashed, a disk that is full). Only what says that the
//! kernel is wrong counts.

/// How such a line begins, behind its time stamp and the name of its detector.
const STARTS: &[&str] = &[
    "BUG:",
    "WARNING:",
    "Oops",
    "general protection",
    "kernel BUG at",
    "Kernel panic",
    "Unable to handle kernel",
    "KASAN",
    "KCSAN:",
    "KFENCE",
    "UBSAN:",
    "INFO: task ",
    "INFO: rcu",
    "INFO: possible",
    "INFO: suspicious",
    "INFO: lockdep",
    "INFO: trying to register non-static key",
    "lockdep",
    "list_add corruption",
    "list_del corruption",
    "refcount_t:",
    "VFS: Busy inodes after unmount",
];

/// Detectors that put their name before the line.
const DETECTORS: &[&str] = &["watchdog:", "rcu:", "kernel:", "workqueue:", "kmemleak:"];

/// The first line that says so, and the new bits of `/proc/sys/kernel/tainted`; `None` when the
/// kernel is content.
pub(crate) fn splat(log: &[String], tainted_before: u64, tainted_after: u64) -> Option<String> {
    if let Some(line) = log.iter().find(|line| is_splat(line)) {
        return Some(format!("the kernel said: {}", line.trim()));
    }
    let new = tainted_after & !tainted_before;
    (new != 0).then(|| format!("the kernel became tainted ({new:#x}, was {tainted_before:#x})"))
}

/// Whether this line says that the kernel is wrong.
pub(crate) fn is_splat(line: &str) -> bool {
    let mut rest = line.trim_start();
    loop {
        let shorter = strip_stamp(rest);
        let shorter = DETECTORS.iter().find_map(|name| shorter.strip_prefix(name)).unwrap_or(shorter).trim_start();
        if shorter.len() == rest.len() {
            return STARTS.iter().any(|start| rest.starts_with(start));
        }
        rest = shorter;
    }
}

/// Without `<4>` or `[   12.345678]` or `[ T12]` at its start.
fn strip_stamp(line: &str) -> &str {
    for (open, close) in [('<', '>'), ('[', ']')] {
        if let Some(inside) = line.strip_prefix(open)
            && let Some(end) = inside.find(close)
        {
            return inside[end + 1..].trim_start();
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_of_the_kernel_about_itself() {
        for line in [
            "BUG: kernel NULL pointer dereference, address: 0000000000000008",
            "<4>[   12.345678] WARNING: CPU: 0 PID: 77 at fs/namespace.c:1234 mntput_no_expire+0x2/0x3",
            "[   12.345678][   T55] BUG: KASAN: slab-use-after-free in foo",
            "watchdog: BUG: soft lockup - CPU#0 stuck for 22s!",
            "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
            "INFO: task criu:123 blocked for more than 120 seconds.",
            "general protection fault, probably for non-canonical address 0xdead: 0000 [#1]",
            "Oops: 0000 [#1] PREEMPT SMP",
            "VFS: Busy inodes after unmount of loop0 (ext4)",
        ] {
            assert!(is_splat(line), "{line}");
        }
    }

    #[test]
    fn complaints_about_others() {
        for line in [
            "traps: criu[55] general protection fault ip:401000 sp:7ffe error:0",
            "criu[55]: segfault at 0 ip 0000 sp 0000 error 4",
            "EXT4-fs (loop0): mounted filesystem without journal",
            "Spectre V2 : WARNING: Unprivileged eBPF is enabled",
            "loop0: detected capacity change from 0 to 8192",
            "",
        ] {
            assert!(!is_splat(line), "{line}");
        }
    }

    #[test]
    fn a_new_taint_counts_an_old_one_does_not() {
        assert_eq!(splat(&[], 0x1000, 0x1000), None);
        assert_eq!(splat(&[], 0x1200, 0x1000), None);
        assert!(splat(&[], 0x1000, 0x1200).unwrap().contains("0x200"));
    }
}
