//! Names, strings and comments of C.

use scenarios::program::ObjectName;

/// A file's name for a scenario's: `deleted_unlinked_ext4_rdwr_whole`. It is a target of make and
/// an argument of a shell.
pub fn file_name(scenario: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    scenario.chars().map(fits).collect()
}

/// A string literal. Everything but printable ASCII is written in octal, always with three digits.
pub(super) fn string(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    let mut before = 0;
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => out.push_str(&format!("\\{}", char::from(byte))),
            b'\n' => out.push_str("\\n"),
            b'\t' => out.push_str("\\t"),
            // Two question marks start a trigraph.
            b'?' if before == b'?' => out.push_str("\\?"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\{byte:03o}")),
        }
        before = byte;
    }
    out.push('"');
    out
}

/// Text for a comment: it neither ends it nor starts another, and no terminal obeys it.
pub(super) fn comment(text: &str) -> String {
    text.replace(char::is_control, "?").replace("*/", "* /").replace("/*", "/ *")
}

/// A variable for an object. The end keeps it apart from names of C and its library.
pub(super) fn variable(name: &ObjectName, end: &str) -> String {
    let digits = name.0.trim_start_matches("fd");
    let is_plain = name.0.starts_with("fd") && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    // `_` is written twice, so that `a-b` and `a_b` stay two names.
    let text = name.0.replace('_', "__").replace(['-', '.'], "_");
    if is_plain { text } else { format!("{text}_{end}") }
}
