//! The lines of fdinfo that are not the same for every file (proc_pid_fdinfo(5)): locks, epoll,
//! inotify, fanotify, pidfd. They name files by device and inode, and processes by number; those
//! are taken out of the text, and the files compared as files.

use protocol::observation::FileId;
use scenarios::Bytes;

use super::wording::quoted;

/// A line, split into its parts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Detail {
    /// The line as it is, quoted.
    pub(crate) text: String,
    /// Without numbers that the kernel hands out.
    pub(crate) masked: String,
    /// The file that it is about.
    pub(crate) file: Option<FileId>,
    /// The mount that it is about.
    pub(crate) mount: Option<u64>,
}

/// Splits a line into its parts.
pub(crate) fn detail(line: &Bytes) -> Detail {
    let text = quoted(line);
    let plain = String::from_utf8_lossy(line.as_slice());
    let words: Vec<&str> = plain.split_ascii_whitespace().collect();
    match words.first() {
        Some(&"lock:") if words.len() > 6 => lock(text, &words),
        Some(&("Pid:" | "NSpid:")) => {
            let masked = words.iter().map(|word| if is_positive(word) { "(number)" } else { word });
            Detail { masked: masked.collect::<Vec<_>>().join(" "), text, file: None, mount: None }
        }
        _ => watch(text, &words),
    }
}

fn is_positive(word: &str) -> bool {
    word.parse::<u64>().is_ok_and(|number| number > 0)
}

/// `lock: 1: POSIX ADVISORY WRITE PID MAJOR:MINOR:INODE START END`, fs/locks.c `lock_get_status`:
/// major and minor in hexadecimal, the inode in decimal.
fn lock(text: String, words: &[&str]) -> Detail {
    let mut masked = words.to_vec();
    if is_positive(words[5]) {
        masked[5] = "(owner)";
    }
    let numbers: Vec<&str> = words[6].split(':').collect();
    let file = match numbers.as_slice() {
        [major, minor, inode] => (|| {
            let hex = |digits: &str| u64::from_str_radix(digits, 16).ok();
            Some(FileId { device: st_dev(hex(major)?, hex(minor)?), inode: inode.parse().ok()? })
        })(),
        _ => None,
    };
    if file.is_some() {
        masked[6] = "(file)";
    }
    Detail { text, masked: masked.join(" "), file, mount: None }
}

/// Lines of `key:value` words, as epoll, inotify and fanotify write them: `ino` and `sdev` in
/// hexadecimal, `sdev` in the kernel's own form with 20 bits of minor (fs/notify/fdinfo.c,
/// fs/eventpoll.c).
fn watch(text: String, words: &[&str]) -> Detail {
    let value = |key: &str| {
        let word = words.iter().find_map(|word| word.strip_prefix(key))?;
        u64::from_str_radix(word, 16).ok()
    };
    let file = match (value("sdev:"), value("ino:")) {
        (Some(device), Some(inode)) => Some(FileId { device: st_dev(device >> 20, device & 0xf_ffff), inode }),
        _ => None,
    };
    let mask = |word: &&str| match word.split_once(':') {
        Some((key @ ("ino" | "sdev"), _)) if file.is_some() => format!("{key}:(number)"),
        Some((key @ ("f_handle" | "mnt_id"), value)) if !value.is_empty() => format!("{key}:(number)"),
        _ => (*word).to_owned(),
    };
    Detail { masked: words.iter().map(mask).collect::<Vec<_>>().join(" "), text, file, mount: value("mnt_id:") }
}

fn st_dev(major: u64, minor: u64) -> u64 {
    (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & !0xff) << 12) | ((major & !0xfff) << 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_names_its_file_but_not_its_owner() {
        let line = detail(&Bytes::from("lock:\t1: POSIX  ADVISORY  WRITE 1234 00:2f:12 0 EOF"));
        assert_eq!(line.masked, "lock: 1: POSIX ADVISORY WRITE (owner) (file) 0 EOF");
        assert_eq!(line.file, Some(FileId { device: 0x2f, inode: 12 }));
        let ofd = detail(&Bytes::from("lock:\t1: OFDLCK ADVISORY  READ  -1 08:01:12 0 10"));
        assert_eq!(ofd.masked, "lock: 1: OFDLCK ADVISORY READ -1 (file) 0 10");
        assert_eq!(ofd.file, Some(FileId { device: 0x801, inode: 12 }));
    }

    #[test]
    fn a_watch_names_its_file() {
        let line = detail(&Bytes::from(
            "inotify wd:1 ino:9e7e sdev:800013 mask:800afce ignored_mask:0 fhandle-bytes:8 fhandle-type:1 f_handle:7e9e0000640d1b6d",
        ));
        assert_eq!(line.file, Some(FileId { device: 0x813, inode: 0x9e7e }));
        assert_eq!(
            line.masked,
            "inotify wd:1 ino:(number) sdev:(number) mask:800afce ignored_mask:0 fhandle-bytes:8 fhandle-type:1 f_handle:(number)"
        );
    }

    #[test]
    fn other_lines_stay() {
        assert_eq!(detail(&Bytes::from("eventfd-count: 5")).masked, "eventfd-count: 5");
        assert_eq!(detail(&Bytes::from("lock:\tnonsense")).file, None);
    }
}
