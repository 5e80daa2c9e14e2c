//! The kernel's command line, a reason for each word.
//!
//! Effects were measured with Debian's 6.12 cloud kernel under TCG. `nokaslr` is not here because a
//! `vmlinux` that is entered by PVH is never moved; `mitigations=off`, `no5lvl`, `tsc=reliable`,
//! `audit=0`, `quiet` are not here because they bring nothing that could be measured.

use crate::architecture::Architecture;

/// Each word and why it is there, besides `console`: the kernel's messages go to the serial port,
/// which QEMU writes to a file.
const WORDS: &[(&str, &str)] = &[
    ("panic=-1", "a panic resets at once; with -no-reboot QEMU ends, and the host sees it"),
    ("cryptomgr.notests", "leaves out the self-tests of ciphers: 0.5 s of 2.6 s to the first message"),
    ("init_on_alloc=0", "memory is not cleared at each allocation: a fifth of the time of files and forks"),
    ("no_timer_check", "on a busy host the kernel's test of the timer can fail under TCG, and it panics (seen on 7.3)"),
    ("nowatchdog", "a host that is busy must not look like a guest whose processor is stuck"),
];

/// The command line with `extra` words at its end, where they win over the ones before.
pub fn with(architecture: Architecture, extra: &str) -> String {
    let console = match architecture {
        Architecture::Amd64 => "console=ttyS0",
        Architecture::Arm64 => "console=ttyAMA0",
    };
    let words = WORDS.iter().map(|(word, _)| *word).chain(extra.split_whitespace());
    std::iter::once(console).chain(words).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_words_come_last() {
        let with = |extra| with(Architecture::Arm64, extra);
        assert_eq!(with(""), with("  "));
        assert!(with("").starts_with("console=ttyAMA0 panic=-1 "));
        assert_eq!(with(" loglevel=8  quiet"), format!("{} loglevel=8 quiet", with("")));
    }
}
