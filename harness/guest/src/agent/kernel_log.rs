//! What the kernel said during a trial: `/dev/kmsg` (`Documentation/ABI/testing/dev-kmsg`) and the
//! taint flags.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

/// Messages at this level (warning) or below it are kept.
const WORST_QUIET_LEVEL: u32 = 4;
/// The most lines that are reported; of a flood the first lines are enough.
const LINE_LIMIT: usize = 500;

/// A reader that starts at the end of the log.
pub(super) struct KernelLog {
    /// None for a log that others fill too.
    file: Option<File>,
}

impl KernelLog {
    /// From now on.
    pub(super) fn from_now() -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg")?;
        file.seek(SeekFrom::End(0))?;
        Ok(KernelLog { file: Some(file) })
    }

    /// A log that stays empty, for a kernel that is not ours alone: nothing in its log can be laid
    /// to a trial.
    pub(super) fn unread() -> Self {
        KernelLog { file: None }
    }

    /// The messages since then that are at level warning or worse, with the lines that belong to
    /// them. Where the ring buffer ran over that is a line of its own.
    pub(super) fn lines(self) -> Vec<String> {
        let mut lines = Vec::new();
        let Some(mut file) = self.file else { return lines };
        let mut buffer = [0; 8192];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => lines.extend(serious(&buffer[..length])),
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {
                    lines.push("(messages were lost: the kernel's ring buffer ran over)".to_owned());
                }
                Err(_) => break,
            }
            if lines.len() >= LINE_LIMIT {
                lines.truncate(LINE_LIMIT);
                lines.push("(more messages follow)".to_owned());
                break;
            }
        }
        lines
    }
}

/// How the kernel says that one place of it had too much to say (lib/ratelimit.c): at level
/// warning, whatever the level of what it left out. What was serious of that is in the log
/// before.
const SUPPRESSED: &str = " callbacks suppressed";

/// The text of a record `PRIORITY,SEQUENCE,TIMESTAMP,FLAGS;TEXT` when its level is serious.
fn serious(record: &[u8]) -> Option<String> {
    let record = String::from_utf8_lossy(record);
    let (head, text) = record.split_once(';')?;
    let priority: u32 = head.split(',').next()?.parse().ok()?;
    let line = text.lines().next().unwrap_or_default();
    (priority & 7 <= WORST_QUIET_LEVEL && !line.ends_with(SUPPRESSED)).then(|| line.to_owned())
}

/// `/proc/sys/kernel/tainted`.
pub(super) fn tainted() -> u64 {
    let text = std::fs::read_to_string("/proc/sys/kernel/tainted").unwrap_or_default();
    text.trim().parse().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::serious;

    #[test]
    fn levels_are_distinguished() {
        assert_eq!(serious(b"4,10,5,-;WARNING: bad\n SUBSYSTEM=x\n"), Some("WARNING: bad".to_owned()));
        assert_eq!(serious(b"6,11,5,-;loop0: detected capacity change\n"), None);
        assert_eq!(serious(b"4,12,5,-;_btrfs_printk: 21 callbacks suppressed\n"), None);
        assert_eq!(serious(b"noise"), None);
    }
}
