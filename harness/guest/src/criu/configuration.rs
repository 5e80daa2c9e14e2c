//! criu's arguments as a configuration file says them (criu(8), CONFIGURATION FILES).
//!
//! A line has an option without its dashes, and its value. Short options have none there, so their
//! long names are written. Which argument is a value is known without a table of all options: it
//! is what stands behind one and has no dash.

use std::ffi::OsString;

/// What a service is given.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Configuration {
    /// The file.
    pub(super) text: Vec<u8>,
    /// How much is logged, which a service takes from its request alone.
    pub(super) log_level: i32,
}

/// Without an option (`DEFAULT_LOGLEVEL` in criu/include/criu-log.h).
const LOG_LEVEL: i32 = 2;
/// The short options, their long names, whether a value follows (criu/config.c).
const SHORT: [(u8, &str, Value); 12] = [
    (b's', "leave-stopped", Value::No),
    (b'R', "leave-running", Value::No),
    (b'j', "shell-job", Value::No),
    (b'l', "file-locks", Value::No),
    (b'o', "log-file", Value::Yes),
    (b'W', "work-dir", Value::Yes),
    (b'L', "libdir", Value::Yes),
    (b'r', "root", Value::Yes),
    (b'J', "join-ns", Value::Yes),
    (b'M', "ext-mount-map", Value::Yes),
    (b'v', "verbosity", Value::Attached),
    (b'x', "ext-unix-sk", Value::Attached),
];
/// Options that criu overlooks in a configuration file, or that have no meaning for a service.
const NOT_HERE: [&str; 5] = ["config", "no-default-config", "help", "version", "exec-cmd"];

/// Whether an option has a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Value {
    No,
    /// Attached, or the next argument.
    Yes,
    /// Attached, if at all.
    Attached,
}

impl Configuration {
    /// Of arguments of the command line.
    ///
    /// # Errors
    /// A sentence about the first that cannot be given so.
    pub(super) fn of(arguments: &[OsString]) -> Result<Self, String> {
        let mut lines: Vec<Vec<Vec<u8>>> = Vec::new();
        let mut log_level = LOG_LEVEL;
        for argument in arguments {
            let bytes = argument.as_encoded_bytes();
            if let Some(long) = bytes.strip_prefix(b"--").filter(|long| !long.is_empty()) {
                lines.push(words(long));
            } else if let Some(short) = bytes.strip_prefix(b"-").filter(|short| !short.is_empty()) {
                lines.extend(cluster(short).ok_or_else(|| format!("{argument:?} is unknown; give long options"))?);
            } else {
                let line = lines.last_mut().ok_or_else(|| format!("{argument:?} belongs to no option"))?;
                line.push(bytes.to_vec());
            }
        }
        let mut text = Vec::new();
        for line in lines {
            let name = String::from_utf8_lossy(&line[0]).into_owned();
            let (option, value) = name.split_once('=').unwrap_or((&name, ""));
            if NOT_HERE.contains(&option) {
                return Err(format!("--{option} cannot be used here"));
            }
            if option == "verbosity" {
                log_level = value.parse().map_err(|_| format!("--verbosity: {value:?} is no number"))?;
                continue;
            }
            let words: Option<Vec<Vec<u8>>> = line.iter().map(|word| quoted(word)).collect();
            text.extend(words.ok_or_else(|| unspeakable(&line))?.join(&b' '));
            text.push(b'\n');
        }
        Ok(Configuration { text, log_level })
    }
}

/// The words of a long option. One that has to be quoted must not be the first.
fn words(long: &[u8]) -> Vec<Vec<u8>> {
    match long.iter().position(|&byte| byte == b'=') {
        Some(at) if needs_quotes(&long[at + 1..]) => vec![long[..at].to_vec(), long[at + 1..].to_vec()],
        _ => vec![long.to_vec()],
    }
}

/// Short options that share a dash, as lines.
fn cluster(mut short: &[u8]) -> Option<Vec<Vec<Vec<u8>>>> {
    let mut lines = Vec::new();
    while let Some((&letter, rest)) = short.split_first() {
        let (_, name, value) = SHORT.iter().find(|(known, ..)| *known == letter)?;
        short = if *value == Value::No { rest } else { b"" };
        let name = name.as_bytes();
        lines.push(match value {
            // `-v` is `-v1`, `-vvv` is `-v3`.
            Value::Attached if letter == b'v' && rest.iter().all(|&other| other == b'v') => {
                vec![format!("verbosity={}", rest.len() + 1).into_bytes()]
            }
            Value::Attached if !rest.is_empty() => vec![[name, b"=", rest].concat()],
            Value::Yes if !rest.is_empty() => vec![name.to_vec(), rest.to_vec()],
            _ => vec![name.to_vec()],
        });
    }
    Some(lines)
}

fn needs_quotes(word: &[u8]) -> bool {
    word.first().is_none_or(|first| b"#\"".contains(first)) || word.iter().any(u8::is_ascii_whitespace)
}

/// A word as `parse_statement` of criu/config.c reads it; none that it cannot read.
fn quoted(word: &[u8]) -> Option<Vec<u8>> {
    if !needs_quotes(word) {
        return Some(word.to_vec());
    }
    let is_readable = !word.is_empty() && !word.ends_with(b"\\") && !word.iter().any(|byte| b"\"\n".contains(byte));
    is_readable.then(|| [b"\"", word, b"\""].concat())
}

fn unspeakable(line: &[Vec<u8>]) -> String {
    let name = String::from_utf8_lossy(&line[0]).into_owned();
    format!(
        "the value of --{name} cannot be said in a configuration file, which criu is given: it is empty or has a \
             quotation mark, a newline or a backslash at its end"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(arguments: &[&str]) -> Result<Configuration, String> {
        Configuration::of(&arguments.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn options_become_lines() {
        let arguments = ["-v4", "-jl", "-o", "d.log", "-W/tmp", "--external", "mnt[/a b]:c", "--manage-cgroups=soft"];
        let text =
            "shell-job\nfile-locks\nlog-file d.log\nwork-dir /tmp\nexternal \"mnt[/a b]:c\"\nmanage-cgroups=soft\n";
        assert_eq!(of(&arguments).unwrap(), Configuration { text: text.into(), log_level: 4 });
        let text = "root \"#\"\next-unix-sk\n";
        assert_eq!(of(&["--root=#", "-x", "-vv"]).unwrap(), Configuration { text: text.into(), log_level: 2 });
        assert_eq!(of(&[]).unwrap(), Configuration { text: Vec::new(), log_level: LOG_LEVEL });
    }

    #[test]
    fn what_cannot_be_said_is_named() {
        assert_eq!(of(&["a"]).unwrap_err(), "\"a\" belongs to no option");
        assert_eq!(of(&["-q"]).unwrap_err(), "\"-q\" is unknown; give long options");
        assert_eq!(of(&["-h"]).unwrap_err(), "\"-h\" is unknown; give long options");
        assert_eq!(of(&["--config", "a"]).unwrap_err(), "--config cannot be used here");
        assert_eq!(of(&["-vx"]).unwrap_err(), "--verbosity: \"x\" is no number");
        for value in ["", "a\nb", "a b\\", "\"a"] {
            assert!(of(&["--root", value]).unwrap_err().starts_with("the value of --root cannot be said"), "{value:?}");
        }
    }
}
