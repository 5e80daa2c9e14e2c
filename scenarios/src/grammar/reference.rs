//! The reference of all steps as Markdown, for `docs/AUTHORING.md`.

use std::fmt::Write;

use super::words::{OnOff, errnos};
use super::{Argument, forms, words};
use crate::program::{DeviceKind, Filesystem, LockKind, Mark, MountAttribute, OpenFlag, Propagation, Seal};

/// Every form with its help line, and the lists of words.
pub fn reference() -> String {
    let mut out = String::from("| step | what it does |\n| --- | --- |\n");
    for form in forms() {
        let usage = form.usage().replace('|', "\\|");
        writeln!(out, "| `{usage}` | {} |", form.help).expect("a string takes everything");
    }
    out.push_str("\n| word | one of |\n| --- | --- |\n");
    let lists = [
        ("FS", words::<Filesystem>()),
        ("ATTRIBUTE", words::<MountAttribute>()),
        ("SETTING", words::<OnOff>()),
        ("KIND", words::<Propagation>()),
        ("TYPE", words::<DeviceKind>()),
        ("FLAG", words::<OpenFlag>()),
        ("LOCK", words::<LockKind>()),
        ("SEAL", words::<Seal>()),
        ("MARK", words::<Mark>()),
        ("ERRNO", errnos()),
    ];
    for (label, words) in lists {
        let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
        writeln!(out, "| {label} | {} |", words.join(", ")).expect("a string takes everything");
    }
    out
}

impl Argument {
    /// How the argument is called where it is missing or wrong:
    /// `a path (FROM)`.
    pub(crate) fn describe(&self) -> String {
        if let Some(key) = self.key {
            return format!("{key}={}", self.label);
        }
        let what = match self.kind {
            super::Kind::Object | super::Kind::Socket | super::Kind::AnyObject => "the name of an object",
            super::Kind::Process => "the name of a process",
            super::Kind::Place => "a path",
            super::Kind::Text | super::Kind::Label => "a word or quoted bytes",
            super::Kind::Number(..) => "a number",
            super::Kind::Octal(_) => "an octal number",
            super::Kind::Word(words) => return words().join(", "),
            super::Kind::Literal(word) => return word.to_owned(),
        };
        format!("{what} ({})", self.label)
    }
}
