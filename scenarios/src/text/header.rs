//! The lines before the steps: `requires`, `outcome`, `with`.

use vocabulary::{Flavor, Lifecycle};

use super::lexer::{Word, is_variable};
use super::{Mistake, Span, base};
use crate::Outcome;
use crate::grammar::words;
use crate::program::Filesystem;

/// Everything that stands before the steps.
#[derive(Default)]
pub(super) struct Header {
    /// The axes with all their values, and where they stand.
    pub(super) axes: Vec<Axis>,
    /// Axes whose values are filled in already.
    pub(super) with: Vec<(String, String)>,
    pub(super) kernel: Option<Kernels>,
    pub(super) flavors: Vec<Flavor>,
    pub(super) lifecycles: Vec<Lifecycle>,
    pub(super) outcome: Option<Outcome>,
}

/// The lowest and the highest release.
pub(super) type Kernels = (Option<(u32, u32)>, Option<(u32, u32)>);

pub(super) struct Axis {
    pub(super) name: String,
    pub(super) values: Vec<String>,
    pub(super) line: usize,
    pub(super) span: Span,
}

/// The words that start a line of the header.
pub(super) const KEYWORDS: [&str; 3] = ["requires", "outcome", "with"];

/// A part of a header line, split at blanks.
struct Part<'a> {
    text: &'a str,
    span: Span,
}

/// The words of a line without its comment, split at blanks; no quotes.
fn parts(line: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = 0;
    while let Some(start) = line[rest..].find(|c| !matches!(c, ' ' | '\t' | '\r')) {
        let start = rest + start;
        let end = line[start..].find([' ', '\t', '\r']).map_or(line.len(), |at| start + at);
        if line[start..].starts_with('#') {
            break;
        }
        parts.push(Part { text: &line[start..end], span: Span { start, end } });
        rest = end;
    }
    parts
}

/// The keyword, when the line is one of the header.
pub(super) fn keyword(line: &str) -> Option<&'static str> {
    let parts = parts(line);
    let first = parts.first()?;
    let step = parts.get(1).is_some_and(|part| part.text.starts_with('='));
    KEYWORDS.into_iter().find(|keyword| *keyword == first.text && !step)
}

impl Header {
    /// No header line was read so far.
    pub(super) fn is_empty(&self) -> bool {
        let no_list = self.axes.is_empty() && self.with.is_empty();
        let no_range = self.kernel.is_none() && self.flavors.is_empty() && self.lifecycles.is_empty();
        no_list && no_range && self.outcome.is_none()
    }

    /// Reads a `requires` or `with` line.
    pub(super) fn pairs(&mut self, keyword: &str, line: &str, number: usize) -> Result<(), Mistake> {
        let parts = parts(line);
        if parts.len() == 1 {
            let mistake = Mistake::new(parts[0].span.after(), "nothing is required");
            return Err(mistake.expected([
                "fs=tmpfs|ext4",
                "base=whole|subdir",
                "kernel=6.12..",
                "flavor=ns",
                "NAME=VALUE|VALUE",
            ]));
        }
        for part in &parts[1..] {
            let Some((name, values)) = part.text.split_once('=') else {
                let mistake = Mistake::new(part.span, format!("`{}` has no value", part.text));
                return Err(mistake.expected(["NAME=VALUE|VALUE"]));
            };
            match (keyword, name) {
                ("with", _) => self.fixed(name, values, part.span)?,
                (_, "kernel") => self.kernels(values, part.span)?,
                (_, "flavor") => self.flavors = words_of(Flavor::ALL, Flavor::word, values, part.span)?,
                (_, "lifecycle") => self.lifecycles = words_of(Lifecycle::ALL, Lifecycle::word, values, part.span)?,
                _ => self.axis(name, values, part.span, number)?,
            }
        }
        Ok(())
    }

    fn is_taken(&self, name: &str) -> bool {
        self.axes.iter().any(|axis| axis.name == name) || self.with.iter().any(|(other, _)| other == name)
    }

    fn fixed(&mut self, name: &str, value: &str, span: Span) -> Result<(), Mistake> {
        axis_name(name, span)?;
        if self.is_taken(name) {
            return Err(Mistake::new(span, format!("the axis `{name}` stands a second time")));
        }
        let value = list(value, span, &allowed(name))?;
        let [value] = value.as_slice() else {
            return Err(Mistake::new(span, "`with` takes one value for each axis").expected(["NAME=VALUE"]));
        };
        self.with.push((name.to_owned(), value.clone()));
        Ok(())
    }

    fn axis(&mut self, name: &str, values: &str, span: Span, line: usize) -> Result<(), Mistake> {
        axis_name(name, span)?;
        if self.is_taken(name) {
            return Err(Mistake::new(span, format!("the axis `{name}` stands a second time")));
        }
        let values = list(values, span, &allowed(name))?;
        self.axes.push(Axis { name: name.to_owned(), values, line, span });
        Ok(())
    }

    fn kernels(&mut self, range: &str, span: Span) -> Result<(), Mistake> {
        let wrong = |what: &str| {
            Mistake::new(span, what.to_owned()).expected(["kernel=6.12..", "kernel=..6.12", "kernel=6.1..6.12"])
        };
        if self.kernel.is_some() {
            return Err(wrong("`kernel` stands a second time"));
        }
        let release = |text: &str| match text.split_once('.') {
            _ if text.is_empty() => Ok(None),
            Some((major, minor)) if digits(major) && digits(minor) => {
                Ok(Some((major.parse().map_err(|_| ())?, minor.parse().map_err(|_| ())?)))
            }
            _ => Err(()),
        };
        let (from, to) = range.split_once("..").ok_or_else(|| wrong("this is not a range of kernels"))?;
        let range: Result<Kernels, ()> = release(from).and_then(|from| Ok((from, release(to)?)));
        match range {
            Ok((None, None)) | Err(()) => Err(wrong("this is not a range of kernels")),
            Ok((Some(from), Some(to))) if from > to => Err(wrong("the range of kernels is empty")),
            Ok(range) => {
                self.kernel = Some(range);
                Ok(())
            }
        }
    }

    /// Reads an `outcome` line.
    pub(super) fn outcome(&mut self, words: &[Word]) -> Result<(), Mistake> {
        let expected = ["restored", "refused \"why nobody can restore it\""];
        if self.outcome.is_some() {
            return Err(Mistake::new(words[0].span, "`outcome` stands a second time"));
        }
        let Some(kind) = words.get(1) else {
            return Err(Mistake::new(words[0].span.after(), "the outcome is missing").expected(expected));
        };
        let (outcome, length) = match (kind.plain(), words.get(2)) {
            (Some("restored"), _) => (Outcome::Restored, 2),
            (Some("refused"), Some(reason)) if reason.quoted => {
                let reason = String::from_utf8(reason.text.clone()).ok().filter(|text| !text.trim().is_empty());
                let reason = reason.ok_or_else(|| Mistake::new(words[2].span, "the reason is not a text"))?;
                (Outcome::Refused { reason }, 3)
            }
            (Some("refused"), _) => {
                return Err(Mistake::new(kind.span.after(), "the reason in quotes is missing").expected(expected));
            }
            (text, _) => {
                let mistake = Mistake::new(kind.span, "unknown outcome").expected(expected);
                return Err(mistake.near(text.unwrap_or(""), ["restored", "refused"]));
            }
        };
        if let Some(word) = words.get(length) {
            return Err(Mistake::new(word.span, "one word too many").expected(["the end of the line"]));
        }
        self.outcome = Some(outcome);
        Ok(())
    }
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The values that an axis can have; empty for any.
fn allowed(axis: &str) -> Vec<&'static str> {
    match axis {
        "fs" => words::<Filesystem>(),
        base::AXIS => base::values(),
        _ => Vec::new(),
    }
}

fn axis_name(name: &str, span: Span) -> Result<(), Mistake> {
    let reserved = ["kernel", "flavor", "lifecycle"];
    let well_formed = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(is_variable);
    if well_formed && name.len() <= 32 && !reserved.contains(&name) && !base::VARIABLES.contains(&name) {
        return Ok(());
    }
    let mistake = Mistake::new(span, format!("`{name}` cannot be the name of an axis"));
    if base::VARIABLES.contains(&name) {
        return Err(mistake.hint(format!("`${name}` is one of the variables that the axis `base` gives")));
    }
    Err(mistake.expected(["a small letter, then small letters, digits and `_`"]))
}

/// What the words of a list mean.
fn words_of<T: Copy>(all: &[T], word: fn(T) -> &'static str, values: &str, span: Span) -> Result<Vec<T>, Mistake> {
    let known: Vec<&str> = all.iter().map(|one| word(*one)).collect();
    let words = list(values, span, &known)?;
    Ok(words.iter().filter_map(|own| all.iter().copied().find(|one| word(*one) == own)).collect())
}

/// The values between `|`, each of them one of `known` (or anything when that is empty), none
/// twice.
fn list(values: &str, span: Span, known: &[&str]) -> Result<Vec<String>, Mistake> {
    let mut list: Vec<String> = Vec::new();
    for value in values.split('|') {
        let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-');
        if value.is_empty() || value.len() > 32 || !value.chars().all(bare) {
            let mistake = Mistake::new(span, format!("`{value}` cannot be a value"));
            return Err(mistake.expected(["letters, digits, `.`, `_`, `+` and `-`, at most 32"]));
        }
        if !known.is_empty() && !known.contains(&value) {
            let mistake = Mistake::new(span, format!("unknown value `{value}`"));
            return Err(mistake.near(value, known.iter().copied()).expected(known.iter().copied()));
        }
        if list.iter().any(|other| other == value) {
            return Err(Mistake::new(span, format!("the value `{value}` stands twice")));
        }
        list.push(value.to_owned());
    }
    Ok(list)
}
