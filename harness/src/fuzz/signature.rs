//! What a finding is like, as one line, so that a thousand programs that show one mistake are one finding.
//!
//! Of a failure with differences: the kind, what sort of object differs first, and in which comparison. Of any other: the kind
//! and what was said, without what changes from program to program (numbers, paths, quoted names).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::judge::{Difference, FailureKind, Judgement, Side, Verdict};
use crate::run::Over;

/// A line like `wrong-path descriptor link` or `dump-failed Error (criu/mount.c:N): Can't lookup mount=N`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Signature(pub String);

impl Signature {
    /// Of what became of a trial.
    pub fn of(judgement: &Judgement) -> Self {
        let what = match judgement.verdict {
            Verdict::Fail(kind) | Verdict::ChangedFail(kind) | Verdict::Xfail(kind) => kind.word(),
            other => other.word(),
        };
        let first = judgement.differences.iter().find(|difference| difference.known.is_none());
        let detail = match first {
            Some(difference) => format!("{} {}", object(difference), difference.comparison),
            None => plain(&judgement.reason),
        };
        Self(format!("{what} {detail}").trim_end().to_owned())
    }

    /// What a program that did not pass is filed under; none for one that did, or that this machine cannot run. A program that did
    /// not come about as the model says is a failure of the model, and one to look into.
    pub fn found(over: &Over) -> Option<Self> {
        let setup = over.report.as_ref().and_then(|report| report.setup_failure.as_ref());
        match over.judgement.verdict {
            Verdict::Xfail(_)
                if over.judgement.differences.iter().all(|difference| difference.known.is_some())
                    && !over.judgement.differences.is_empty() =>
            {
                None
            }
            Verdict::Pass | Verdict::Unsupported | Verdict::NotRun => None,
            Verdict::Error if setup.is_some_and(|failure| failure.line > 0) => {
                let what = setup.map_or("", |failure| failure.what.as_str());
                Some(Signature(format!("model step {}", plain(what))))
            }
            Verdict::Error if over.report.as_ref().is_some_and(|report| !report.failed_assertions.is_empty()) => {
                Some(Signature(format!("model {}", plain(&over.judgement.reason))))
            }
            _ => Some(Signature::of(&over.judgement)),
        }
    }

    /// The kind of the failure; none where it is no failure of a subject's, or not of one subject alone.
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

/// What stands before and after a name that criu writes without quotes (criu/files-reg.c, criu/mount.c): a name may have blanks.
const BARE_NAMES: [(&str, &str); 5] = [
    (": File ", " has bad "),
    ("open file ", " on restore"),
    (" mnt ./", " dev "),
    ("Can't link ", " -> "),
    (" -> ", ": "),
];

/// A message without what changes from program to program.
pub fn plain(text: &str) -> String {
    let mut text = text.trim().to_owned();
    for (before, after) in BARE_NAMES {
        if let Some(from) = text.find(before).map(|at| at + before.len())
            && let Some(length) = text[from..].find(after)
        {
            text.replace_range(from..from + length, "...");
        }
    }
    let mut out = String::new();
    let mut rest = &text[..];
    while let Some(c) = rest.chars().next() {
        let before = out.chars().next_back();
        let begins_word = before.is_none_or(|c| !c.is_alphanumeric());
        let (sign, end) = match c {
            '"' | '\'' if rest[1..].contains(c) && begins_word => {
                ("\"...\"", 1 + rest[1..].find(c).map_or(0, |at| at + 1))
            }
            '/' if begins_word => {
                ("/...", rest.find(|c: char| c.is_whitespace() || ",;:)]'\"".contains(c)).unwrap_or(rest.len()))
            }
            '0' if rest.starts_with("0x") => {
                ("N", 2 + rest[2..].find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len() - 2))
            }
            c if c.is_ascii_digit() => ("N", rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())),
            c => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
                continue;
            }
        };
        out.push_str(sign);
        rest = &rest[end..];
    }
    match out.char_indices().nth(160) {
        Some((end, _)) => out[..end].to_owned(),
        None => out,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::FailureKind;

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
        }
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
    fn names_of_files_are_tame() {
        let name = |text: &str| Signature(text.to_owned()).file_name();
        assert_eq!(name("dump-failed Error (criu/mount.c:N): \"...\""), "dump-failed-error-criu-mount-c-n");
        assert_eq!(name("../../x"), "x");
        assert!(name(&"ab ".repeat(90)).len() <= 80);
    }
}
