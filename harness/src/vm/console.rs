//! The guest's serial console: a file that QEMU writes, and its last lines for people.
//!
//! No verdict comes from here. The file is limited by the kernel ([`LIMIT_BYTES`], `RLIMIT_FSIZE`
//! of the QEMU process): a guest that floods its console keeps the first part of it, loses the
//! rest, and neither blocks nor fills the disk.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The longest console file; the same limit holds for every file that QEMU writes.
pub const LIMIT_BYTES: u64 = 4 << 20;

/// How much of the end is read for the last lines, in bytes.
const TAIL_BYTES: u64 = 16 << 10;

/// How many lines an error quotes.
const TAIL_LINES: usize = 15;

/// How many of them come before a panic: what led to it says more than the registers after it.
const LINES_BEFORE_PANIC: usize = 8;

/// How the kernel's last message begins, `kernel/panic.c`.
const PANIC: &str = "Kernel panic - not syncing";

/// What the kernel says when a process is killed because there is no memory, and when no process is
/// left to be killed, `mm/oom_kill.c`.
const OUT_OF_MEMORY: [&str; 2] = ["Out of memory: ", "System is deadlocked on memory"];

/// The longest line that is quoted, in characters.
const LINE_CHARS: usize = 200;

/// The end of a console, as it was at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// The file.
    pub path: PathBuf,
    /// The last lines, oldest first, or those around a panic; control characters are replaced, long
    /// lines cut.
    pub lines: Vec<String>,
    /// The kernel's panic message.
    pub panic: Option<String>,
    /// The kernel said that there is no memory left.
    pub out_of_memory: bool,
    /// The file has reached [`LIMIT_BYTES`], so later lines are lost.
    pub full: bool,
}

impl Tail {
    /// The end of the file at `path`; a file that cannot be read has no lines.
    pub fn of(path: &Path) -> Self {
        let (bytes, length) = last_bytes(path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<String> = text.lines().map(readable).filter(|line| !line.is_empty()).collect();
        let last = lines.len().saturating_sub(TAIL_LINES);
        let panics = |line: &String| line.find(PANIC).map(|at| line[at..].to_owned());
        let out_of_memory = OUT_OF_MEMORY.iter().any(|said| text.contains(said));
        let panic = lines.iter().enumerate().find_map(|(at, line)| panics(line).map(|message| (at, message)));
        let (panic_at, panic) = panic.unzip();
        let first = panic_at.map_or(last, |at: usize| last.min(at.saturating_sub(LINES_BEFORE_PANIC)));
        let lines = lines.into_iter().skip(first).take(TAIL_LINES).collect();
        Self { path: path.to_owned(), lines, panic, out_of_memory, full: length >= LIMIT_BYTES }
    }
}

impl std::fmt::Display for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        if self.lines.is_empty() {
            return write!(f, "the console is empty ({})", self.path.display());
        }
        let which = if self.panic.is_some() { "the console around the panic" } else { "last lines of the console" };
        write!(f, "{which} ({}):", self.path.display())?;
        for line in &self.lines {
            write!(f, "\n  | {line}")?;
        }
        if self.full {
            write!(f, "\n  (the console reached its limit of {} MiB; what came later is lost)", LIMIT_BYTES >> 20)?;
        }
        Ok(())
    }
}

/// Whether the kernel has printed a whole line.
pub fn has_line(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(TAIL_BYTES).read_to_end(&mut start));
    read.is_ok() && start.contains(&b'\n')
}

fn last_bytes(path: &Path) -> io::Result<(Vec<u8>, u64)> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok((bytes, length))
}

/// A line that cannot do anything to a terminal.
fn readable(line: &str) -> String {
    let safe = line.trim_end().chars().map(|char| match char {
        '\t' => ' ',
        char if char.is_control() => '?',
        char => char,
    });
    let mut safe: Vec<char> = safe.collect();
    if safe.len() > LINE_CHARS {
        safe.truncate(LINE_CHARS);
        safe.push('…');
    }
    safe.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn tail(bytes: &[u8]) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("console");
        std::fs::write(&path, bytes).unwrap();
        Tail::of(&path).to_string().replace(&directory.path().display().to_string(), "DIR")
    }

    #[test]
    fn the_last_lines_are_quoted_and_harmless() {
        let mut text = String::new();
        for number in 0..2000 {
            text.push_str(&format!("[    0.{number:04}] line {number}\r\n"));
        }
        text.push_str("\x1b[2Jwiped\tout\r\n\r\n");
        text.push_str(&"x".repeat(300));
        expect![[r#"
            last lines of the console (DIR/console):
              | [    0.1987] line 1987
              | [    0.1988] line 1988
              | [    0.1989] line 1989
              | [    0.1990] line 1990
              | [    0.1991] line 1991
              | [    0.1992] line 1992
              | [    0.1993] line 1993
              | [    0.1994] line 1994
              | [    0.1995] line 1995
              | [    0.1996] line 1996
              | [    0.1997] line 1997
              | [    0.1998] line 1998
              | [    0.1999] line 1999
              | ?[2Jwiped out
              | xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…"#]]
        .assert_eq(&tail(text.as_bytes()));
    }

    #[test]
    fn a_panic_is_quoted_with_what_led_to_it() {
        let mut lines: Vec<String> = (0..30).map(|number| format!("[ 1.{number:02}] before")).collect();
        lines.push("[ 2.00] Kernel panic - not syncing: Attempted to kill init!".to_owned());
        lines.extend((0..40).map(|number| format!("[ 3.{number:02}] R{number}")));
        expect![[r#"
            the console around the panic (DIR/console):
              | [ 1.22] before
              | [ 1.23] before
              | [ 1.24] before
              | [ 1.25] before
              | [ 1.26] before
              | [ 1.27] before
              | [ 1.28] before
              | [ 1.29] before
              | [ 2.00] Kernel panic - not syncing: Attempted to kill init!
              | [ 3.00] R0
              | [ 3.01] R1
              | [ 3.02] R2
              | [ 3.03] R3
              | [ 3.04] R4
              | [ 3.05] R5"#]]
        .assert_eq(&tail(lines.join("\n").as_bytes()));
        let early = format!("[ 0.0] {PANIC}: early\n[ 0.1] last\n");
        assert!(tail(early.as_bytes()).ends_with("early\n  | [ 0.1] last"));
    }

    #[test]
    fn a_lack_of_memory_is_found_far_from_the_end() {
        let killed = "[ 1.00] Out of memory: Killed process 154 (sh) total-vm:813692kB";
        let more: String = (0..40).map(|number| format!("[ 2.{number:02}] after\n")).collect();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("console");
        std::fs::write(&path, format!("{killed}\n{more}")).unwrap();
        assert!(Tail::of(&path).out_of_memory);
        std::fs::write(&path, more).unwrap();
        assert!(!Tail::of(&path).out_of_memory);
    }

    #[test]
    fn no_output_and_no_file_say_so() {
        expect!["the console is empty (DIR/console)"].assert_eq(&tail(b""));
        assert_eq!(Tail::of(Path::new("/nonexistent/console")).lines, [""; 0]);
    }

    #[test]
    fn a_full_console_says_so() {
        let text = vec![b'x'; usize::try_from(LIMIT_BYTES).unwrap()];
        assert!(tail(&text).ends_with("(the console reached its limit of 4 MiB; what came later is lost)"));
    }

    #[test]
    fn noise_is_quoted_without_control_characters() {
        arbtest::arbtest(|u| {
            let noise: Vec<u8> = u.arbitrary()?;
            assert!(!tail(&noise).replace('\n', "").contains(char::is_control));
            Ok(())
        });
    }

    #[test]
    fn a_line_is_a_whole_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("console");
        assert!(!has_line(&path));
        std::fs::write(&path, "[    0.0").unwrap();
        assert!(!has_line(&path));
        std::fs::write(&path, "[    0.0] Linux\n").unwrap();
        assert!(has_line(&path));
    }
}
