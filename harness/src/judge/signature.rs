//! The identity of a failure, as one line: a thousand programs that show one mistake have one
//! signature.
//!
//! A failure that differences decided has the kind, the sort of object that differs first, and the
//! comparison. Any other, an action that failed in particular, has the kind and what was said,
//! without what changes from program to program (numbers, paths, quoted names).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::difference::{Difference, Side};
use super::verdict::{FailureKind, Judgement};

/// A line like `wrong-path descriptor link` or
/// `dump-failed Error (criu/mount.c:N): Can't lookup mount=N`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Signature(pub String);

impl Signature {
    /// Of what became of a trial.
    pub fn of(judgement: &Judgement) -> Self {
        let what = judgement.verdict.kind().map_or(judgement.verdict.word(), FailureKind::word);
        let detail = match judgement.deciding() {
            Some(difference) => format!("{} {}", object(difference), difference.comparison),
            None => plain(judgement.said()),
        };
        Self(format!("{what} {detail}").trim_end().to_owned())
    }

    /// The kind of the failure; `None` where it is not a failure of a subject's, or not of one
    /// subject alone.
    pub fn kind(&self) -> Option<FailureKind> {
        self.0.split(' ').next()?.parse().ok()
    }

    /// A name for a file: letters, digits and dashes.
    pub fn file_name(&self) -> String {
        let mut name = String::new();
        for c in self.0.chars() {
            match c.is_ascii_alphanumeric() {
                true => name.push(c.to_ascii_lowercase()),
                false if !name.ends_with('-') => name.push('-'),
                false => {}
            }
        }
        name.truncate(80);
        name.trim_matches('-').to_owned()
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The sort of an object, without its name and number: `fd0 (descriptor 3)` is a descriptor.
fn object(difference: &Difference) -> String {
    let name = difference.object.as_deref().unwrap_or_default();
    let sorts = [("(descriptor ", "descriptor"), ("(mapping ", "mapping"), ("(in flight", "in-flight")];
    match (sorts.iter().find(|(mark, _)| name.contains(mark)), difference.view) {
        (Some((_, sort)), _) => (*sort).to_owned(),
        (None, Side::Inside | Side::Outside) if ["cwd", "root", "exe"].contains(&name) => name.to_owned(),
        (None, Side::Inside | Side::Outside) => "process".to_owned(),
        (None, side) => side.to_string(),
    }
}

/// What stands before and after a name that criu writes without quotes (criu/files-reg.c,
/// criu/mount.c): a name may have blanks.
const BARE_NAMES: [(&str, &str); 5] = [
    (": File ", " has bad "),
    ("open file ", " on restore"),
    (" mnt ./", " dev "),
    ("Can't link ", " -> "),
    (" -> ", ": "),
];

/// The placeholder in a message for a number, a path, a quoted text and a name without quotes.
struct Signs {
    number: &'static str,
    path: &'static str,
    quoted: &'static str,
    bare: &'static str,
}

/// A message without what changes from program to program.
pub fn plain(text: &str) -> String {
    let out = general(text, &Signs { number: "N", path: "/...", quoted: "\"...\"", bare: "..." });
    match out.char_indices().nth(LENGTH) {
        Some((end, _)) => out[..end].to_owned(),
        None => out,
    }
}

/// A regular expression that finds this message and those that [`plain`] takes for the same.
pub fn pattern(text: &str) -> String {
    // Characters for private use replace what changes until the rest is escaped.
    let signs = Signs { number: "\u{e000}", path: "\u{e001}", quoted: "\u{e002}", bare: "\u{e003}" };
    let text: String = general(text, &signs).chars().take(LENGTH).collect();
    let expressions =
        [(signs.number, "[0-9a-fx]+"), (signs.path, "/.*"), (signs.quoted, "[\"'].*[\"']"), (signs.bare, ".*")];
    expressions.iter().fold(regex_lite::escape(&text), |text, (sign, expression)| text.replace(sign, expression))
}

/// More of a message says nothing new, in characters.
const LENGTH: usize = 160;

fn general(text: &str, signs: &Signs) -> String {
    let mut text = text.trim().to_owned();
    for (before, after) in BARE_NAMES {
        if let Some(from) = text.find(before).map(|at| at + before.len())
            && let Some(length) = text[from..].find(after)
        {
            text.replace_range(from..from + length, signs.bare);
        }
    }
    let mut out = String::new();
    let mut rest = &text[..];
    while let Some(c) = rest.chars().next() {
        let before = out.chars().next_back();
        let begins_word = before.is_none_or(|c| !c.is_alphanumeric());
        let (sign, end) = match c {
            '"' | '\'' if rest[1..].contains(c) && begins_word => {
                (signs.quoted, 1 + rest[1..].find(c).map_or(0, |at| at + 1))
            }
            '/' if begins_word => {
                (signs.path, rest.find(|c: char| c.is_whitespace() || ",;:)]'\"".contains(c)).unwrap_or(rest.len()))
            }
            '0' if rest.starts_with("0x") => {
                (signs.number, 2 + rest[2..].find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len() - 2))
            }
            c if c.is_ascii_digit() => (signs.number, rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())),
            c => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
                continue;
            }
        };
        out.push_str(sign);
        rest = &rest[end..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Verdict;

    #[test]
    fn messages_lose_what_changes() {
        for (text, expected) in [
            (
                "Error (criu/files-reg.c:1871): Can't lookup mount=38 for fd=3 path=/d/f (deleted)",
                "Error (criu/files-reg.c:N): Can't lookup mount=N for fd=N path=/... (deleted)",
            ),
            ("x: File f (deleted) has bad size 0 (expect 5)", "x: File ... has bad size N (expect N)"),
            ("mnt: FS mnt ./two words dev 0x1e root /a unsupported", "mnt: FS mnt ./... dev N root /... unsupported"),
            ("x: Can't link f/#257.cr.1.ghost -> f/#257: Is full", "x: Can't link ... -> ...: Is full"),
            ("the dump did not end within 12000 ms", "the dump did not end within N ms"),
            ("cannot bind \"a b\" at 0x7ffe01: it's so", "cannot bind \"...\" at N: it's so"),
            ("ext4 and x86_64 größe/1", "extN and xN_N größe/N"),
            ("", ""),
            ("'", "'"),
            ("/", "/..."),
        ] {
            assert_eq!(plain(text), expected);
            let found = regex_lite::Regex::new(&pattern(text)).expect("a pattern is a regular expression");
            assert!(found.is_match(text.trim()), "{text}: {found}");
        }
    }

    #[test]
    fn a_pattern_finds_the_same_message_and_no_other() {
        let pattern = pattern("Error (criu/files-reg.c:1871): Can't lookup mount=38 for fd=3 path=/d/f");
        let found = regex_lite::Regex::new(&pattern).expect("a pattern is a regular expression");
        assert!(found.is_match("Error (criu/files-reg.c:1902): Can't lookup mount=7 for fd=12 path=/x y"));
        assert!(!found.is_match("Error (criu/files-reg.c:1871): Can't open mount=38 for fd=3 path=/d/f"));
    }

    fn difference(view: Side, object: Option<&str>, known: bool) -> Difference {
        Difference {
            comparison: "link".into(),
            kind: FailureKind::WrongPath,
            view,
            object: object.map(str::to_owned),
            what: "link".into(),
            expected: String::new(),
            got: String::new(),
            known: known.then(|| "why".to_owned()),
        }
    }

    #[test]
    fn the_first_unknown_difference_decides() {
        let signature = |differences: Vec<Difference>| {
            let verdict = Verdict::Fail(FailureKind::WrongPath);
            Signature::of(&Judgement { differences, ..Judgement::plain(verdict, "at 17") }).0
        };
        let fd = |view| difference(view, Some("fd17 (descriptor 9)"), false);
        assert_eq!(signature(vec![fd(Side::Inside)]), signature(vec![fd(Side::Outside)]));
        assert_eq!(signature(vec![fd(Side::Inside)]), "wrong-path descriptor link");
        assert_eq!(signature(vec![difference(Side::Inside, Some("cwd"), false)]), "wrong-path cwd link");
        assert_eq!(signature(vec![difference(Side::Tree, Some("a/d"), false)]), "wrong-path tree link");
        let known = difference(Side::Inside, Some("cwd"), true);
        assert_eq!(signature(vec![known.clone(), fd(Side::Inside)]), "wrong-path descriptor link");
        assert_eq!(signature(vec![known]), "wrong-path at N");
    }

    #[test]
    fn what_the_address_sanitizer_reports_is_one_cause_for_each_kind_and_function() {
        let signature = |said: &str| Signature::of(&Judgement::plain(Verdict::Fail(FailureKind::Crash), said)).0;
        let one = signature("AddressSanitizer: heap-use-after-free in dump_one criu/files.c:12");
        assert_eq!(one, "crash AddressSanitizer: heap-use-after-free in dump_one criu/files.c:N");
        assert_eq!(one, signature("AddressSanitizer: heap-use-after-free in dump_one criu/files.c:1234"));
        for other in ["heap-use-after-free in dump_two", "heap-buffer-overflow in dump_one"] {
            assert_ne!(one, signature(&format!("AddressSanitizer: {other} criu/files.c:12")));
        }
    }

    #[test]
    fn names_of_files_are_tame() {
        let name = |text: &str| Signature(text.to_owned()).file_name();
        assert_eq!(name("dump-failed Error (criu/mount.c:N): \"...\""), "dump-failed-error-criu-mount-c-n");
        assert_eq!(name("../../x"), "x");
        assert!(name(&"ab ".repeat(90)).len() <= 80);
    }
}
