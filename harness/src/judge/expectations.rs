//! What is known to fail: `scenarios/expectations.toml`, described in `docs/FORMATS.md`.
//!
//! An expectation makes a failure that is recorded here an `xfail`, and everything else that happens instead
//! visible: another failure is a `changed-fail`, a pass an `xpass`. The first entry that matches a trial applies, so
//! the special one stands before the general one.

use std::fs;
use std::ops::Range as Span;
use std::path::{Path, PathBuf};

use protocol::message::{Flavor, Lifecycle};
use serde::Deserialize;
use toml::Spanned;

use super::range::{Range, Version};
use super::verdict::{FailureKind, Judgement, Trial, Verdict, flavor_word, lifecycle_word, words};

/// One recorded failure.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// Names of scenarios, `*` for any text.
    pub scenario: Vec<String>,
    /// Flavors; empty for all.
    pub flavor: Vec<String>,
    /// Lifecycles; empty for all.
    pub lifecycle: Vec<String>,
    /// Kernels, by version; empty for all.
    pub kernel: Vec<Range>,
    /// Subjects, `*` for any text; empty for all.
    pub subject: Vec<String>,
    /// Versions of CRIU; empty for all, and for a subject that is no CRIU.
    pub criu: Vec<Range>,
    /// With which kind it fails.
    pub kind: FailureKind,
    /// Why.
    pub reason: String,
    /// Where that is discussed.
    pub link: Option<String>,
    /// Line in the file, 1-based.
    pub line: usize,
}

/// All recorded failures, in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct Expectations {
    entries: Vec<Expectation>,
    file: PathBuf,
}

/// Why the expectations cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ExpectationsError {
    /// The file cannot be read.
    #[error("cannot read the expectations {}: {source}; name another file or restore this one", .file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something in it is wrong.
    #[error("{}:{line}:{column}: {what}", .file.display())]
    Bad {
        /// Which file.
        file: PathBuf,
        /// 1-based.
        line: usize,
        /// In characters, 1-based.
        column: usize,
        /// What, and what is possible.
        what: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    expect: Vec<Spanned<RawEntry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    scenario: Spanned<OneOrMore>,
    flavor: Option<Spanned<OneOrMore>>,
    lifecycle: Option<Spanned<OneOrMore>>,
    kernel: Option<Spanned<OneOrMore>>,
    subject: Option<Spanned<OneOrMore>>,
    criu: Option<Spanned<OneOrMore>>,
    kind: Spanned<String>,
    reason: Spanned<String>,
    link: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// Each text of a key through `read`, whose complaint gets the key's place; nothing for a key that is not there.
fn each<T, E: ToString>(
    texts: Option<Spanned<OneOrMore>>,
    read: impl Fn(&str) -> Result<T, E>,
) -> Result<Vec<T>, Complaint> {
    let Some(texts) = texts else { return Ok(Vec::new()) };
    let span = texts.span();
    let all = match texts.into_inner() {
        OneOrMore::One(one) => vec![one],
        OneOrMore::More(more) => more,
    };
    all.iter().map(|text| read(text).map_err(|error| (span.clone(), error.to_string()))).collect()
}

type Complaint = (Span<usize>, String);

const FLAVORS: &[Flavor] = &[Flavor::Host, Flavor::Ns, Flavor::Userns];
const LIFECYCLES: &[Lifecycle] = &[Lifecycle::DumpRestore, Lifecycle::LeaveRunning];

fn known(what: &str, text: &str, all: &[&str]) -> Result<String, String> {
    if all.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!("unknown {what} {text:?}; known are {}", words(all.iter().copied())))
}

impl RawEntry {
    fn read(self, line: usize) -> Result<Expectation, Complaint> {
        let flavors: Vec<&str> = FLAVORS.iter().map(|flavor| flavor_word(*flavor)).collect();
        let lifecycles: Vec<&str> = LIFECYCLES.iter().map(|lifecycle| lifecycle_word(*lifecycle)).collect();
        let kind = self.kind.get_ref().parse::<FailureKind>();
        let any = |text: &str| Ok::<_, String>(text.to_owned());
        if self.reason.get_ref().trim().is_empty() {
            return Err((self.reason.span(), "an expectation needs a reason: why does this fail?".to_owned()));
        }
        Ok(Expectation {
            scenario: each(Some(self.scenario), any)?,
            flavor: each(self.flavor, |text| known("flavor", text, &flavors))?,
            lifecycle: each(self.lifecycle, |text| known("lifecycle", text, &lifecycles))?,
            kernel: each(self.kernel, str::parse)?,
            subject: each(self.subject, any)?,
            criu: each(self.criu, str::parse)?,
            kind: kind.map_err(|error| (self.kind.span(), error.to_string()))?,
            reason: self.reason.into_inner(),
            link: self.link,
            line,
        })
    }
}

impl Expectation {
    fn matches(&self, trial: &Trial, criu: Option<&Version>) -> bool {
        let any = |patterns: &[String], text: &str| {
            patterns.is_empty() || patterns.iter().any(|pattern| wildcard(pattern, text))
        };
        let within = |ranges: &[Range], version: Option<&Version>| {
            ranges.is_empty() || version.is_some_and(|version| ranges.iter().any(|range| range.contains(version)))
        };
        self.scenario.iter().any(|pattern| wildcard(pattern, &trial.scenario))
            && any(&self.flavor, flavor_word(trial.flavor))
            && any(&self.lifecycle, lifecycle_word(trial.lifecycle))
            && any(&self.subject, &trial.subject)
            && within(&self.kernel, Version::find(&trial.kernel).as_ref())
            && within(&self.criu, criu)
    }
}

impl Expectations {
    /// Reads the file.
    ///
    /// # Errors
    /// A file that cannot be read, or with a wrong entry.
    pub fn load(file: &Path) -> Result<Self, ExpectationsError> {
        let text = fs::read_to_string(file)
            .map_err(|source| ExpectationsError::Unreadable { file: file.to_owned(), source })?;
        Self::parse(&text, file)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// The first wrong entry, with its place.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ExpectationsError> {
        let bad = |(span, what): Complaint| {
            let (line, column) = place(text, span.start);
            ExpectationsError::Bad { file: file.to_owned(), line, column, what }
        };
        let raw: RawFile = toml::from_str(text)
            .map_err(|error| bad((error.span().unwrap_or_default(), error.message().replace('\n', " "))))?;
        let read = |entry: Spanned<RawEntry>| {
            let line = place(text, entry.span().start).0;
            entry.into_inner().read(line).map_err(bad)
        };
        Ok(Self { entries: raw.expect.into_iter().map(read).collect::<Result<_, _>>()?, file: file.to_owned() })
    }

    /// The entries, in the order of the file.
    pub fn entries(&self) -> &[Expectation] {
        &self.entries
    }

    /// The entry that applies to a trial: the first that matches. `criu` is the version of the subject, if it is one.
    pub fn find(&self, trial: &Trial, criu: Option<&Version>) -> Option<&Expectation> {
        self.entries.iter().find(|entry| entry.matches(trial, criu))
    }

    /// What a judgement is in the light of what is known.
    pub fn apply(&self, trial: &Trial, criu: Option<&Version>, judgement: Judgement) -> Judgement {
        let Some(entry) = self.find(trial, criu) else { return judgement };
        let place = format!("{}:{}", self.file.display(), entry.line);
        let link = entry.link.as_ref().map_or_else(String::new, |link| format!(", {link}"));
        let known = format!("known: {}{link}", entry.reason);
        let (verdict, reason) = match judgement.verdict {
            Verdict::Fail(kind) if kind == entry.kind => {
                (Verdict::Xfail(kind), format!("{} ({known})", judgement.reason))
            }
            Verdict::Fail(kind) => {
                let expected = format!("{place} expects {}", entry.kind);
                (Verdict::ChangedFail(kind), format!("{} ({expected}; {known})", judgement.reason))
            }
            Verdict::Pass => {
                let what = format!("it passes now, but {place} expects {}", entry.kind);
                (Verdict::Xpass, format!("{what}: remove or narrow the entry ({known})"))
            }
            _ => return judgement,
        };
        Judgement { verdict, reason, ..judgement }
    }

    /// A complaint for each entry that matches no scenario of the whole catalogue: it is stale or misspelt.
    pub fn stale<'a>(&self, catalogue: impl IntoIterator<Item = &'a str>) -> Vec<ExpectationsError> {
        let names: Vec<&str> = catalogue.into_iter().collect();
        let matches = |entry: &&Expectation| {
            names.iter().any(|name| entry.scenario.iter().any(|pattern| wildcard(pattern, name)))
        };
        let complain = |entry: &Expectation| ExpectationsError::Bad {
            file: self.file.clone(),
            line: entry.line,
            column: 1,
            what: format!("no scenario is called {}: remove the entry or correct the name", entry.scenario.join(", ")),
        };
        self.entries.iter().filter(|entry| !matches(entry)).map(complain).collect()
    }
}

/// Line and column in characters, both from 1, of a byte in a text.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// Whether the whole text is like the pattern, in which `*` stands for any text, also none.
pub(crate) fn wildcard(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}
