//! The text of the expectations file: `docs/FORMATS.md` describes it, a wrong entry is refused with
//! its place.

use std::ops::Range as Span;
use std::path::Path;

use protocol::message::{Flavor, Lifecycle};
use regex_lite::Regex;
use serde::Deserialize;
use toml::Spanned;

use super::super::comparisons;
use super::super::verdict::{FailureKind, words};
use super::defect::{Change, Defect};
use super::scope::Scope;
use super::{Expectation, Expectations, ExpectationsError};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    expect: Vec<Spanned<RawExpectation>>,
    #[serde(default)]
    defect: Vec<Spanned<RawDefect>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExpectation {
    scenario: Spanned<OneOrMore>,
    except: Option<Spanned<OneOrMore>>,
    flavor: Option<Spanned<OneOrMore>>,
    lifecycle: Option<Spanned<OneOrMore>>,
    kernel: Option<Spanned<OneOrMore>>,
    subject: Option<Spanned<OneOrMore>>,
    criu: Option<Spanned<OneOrMore>>,
    kind: Spanned<String>,
    says: Spanned<String>,
    reason: Spanned<String>,
    link: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDefect {
    scenario: Spanned<OneOrMore>,
    except: Option<Spanned<OneOrMore>>,
    flavor: Option<Spanned<OneOrMore>>,
    lifecycle: Option<Spanned<OneOrMore>>,
    kernel: Option<Spanned<OneOrMore>>,
    subject: Option<Spanned<OneOrMore>>,
    criu: Option<Spanned<OneOrMore>>,
    comparison: Spanned<OneOrMore>,
    object: Option<Spanned<OneOrMore>>,
    expected: Option<Spanned<String>>,
    got: Option<Spanned<String>>,
    reason: Spanned<String>,
    link: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

type Complaint = (Span<usize>, String);

/// Each text of a key through `read`, whose complaint gets the key's place; nothing for a key that
/// is not there.
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

fn known(what: &str, text: &str, all: &[&str]) -> Result<String, String> {
    if all.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!("unknown {what} {text:?}; known are {}", words(all.iter().copied())))
}

fn any(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

fn flavor(text: &str) -> Result<String, vocabulary::flavor::UnknownFlavor> {
    text.parse().map(|flavor: Flavor| flavor.word().to_owned())
}

/// Every lifecycle with a restore.
const RESTORING: &str = "restoring";

/// The lifecycles that some words mean, and whether they are left out (`!` in front).
fn lifecycles_of(text: &str) -> Result<(Vec<Lifecycle>, bool), String> {
    let (word, left_out) = text.strip_prefix('!').map_or((text, false), |word| (word, true));
    if word == RESTORING {
        let restoring = Lifecycle::ALL.iter().copied().filter(|lifecycle| lifecycle.restores());
        return Ok((restoring.collect(), left_out));
    }
    let one = word.parse().map_err(|error| format!("{error}; `{RESTORING}` means every one with a restore"))?;
    Ok((vec![one], left_out))
}

/// Those that are named and not left out; of all where none is named.
fn lifecycles(texts: Option<Spanned<OneOrMore>>) -> Result<Vec<String>, Complaint> {
    let (left_out, named): (Vec<_>, Vec<_>) = each(texts, lifecycles_of)?.into_iter().partition(|(_, out)| *out);
    let flat = |words: Vec<(Vec<Lifecycle>, bool)>| words.into_iter().flat_map(|(all, _)| all).collect::<Vec<_>>();
    let (left_out, mut named) = (flat(left_out), flat(named));
    if named.is_empty() && !left_out.is_empty() {
        named = Lifecycle::ALL.to_vec();
    }
    named.retain(|lifecycle| !left_out.contains(lifecycle));
    Ok(named.into_iter().map(|lifecycle| lifecycle.word().to_owned()).collect())
}

fn comparison(text: &str) -> Result<String, String> {
    let all: Vec<&str> = comparisons::ALL.iter().map(|row| row.name).collect();
    known("comparison", text, &all)
}

/// What is said, a regular expression. One that finds everything would hide every new message.
fn says(text: &Spanned<String>) -> Result<Regex, Complaint> {
    let regex = Regex::new(text.get_ref()).map_err(|error| (text.span(), error.to_string()))?;
    if regex.is_match("") {
        let what = "it finds every message: write a part of the first error line, or of the first difference";
        return Err((text.span(), what.to_owned()));
    }
    Ok(regex)
}

fn reason(text: Spanned<String>) -> Result<String, Complaint> {
    if text.get_ref().trim().is_empty() {
        return Err((text.span(), "an entry needs a reason: why does this fail?".to_owned()));
    }
    Ok(text.into_inner())
}

/// The keys that both kinds of entry have; the optional ones in the order of `docs/FORMATS.md`.
/// (They cannot be a struct of their own: serde's `flatten` loses the places of the values.)
fn scope(scenario: Spanned<OneOrMore>, optional: [Option<Spanned<OneOrMore>>; 6]) -> Result<Scope, Complaint> {
    let [except, flavors, lifecycle, kernel, subject, criu] = optional;
    Ok(Scope {
        scenario: each(Some(scenario), any)?,
        except: each(except, any)?,
        flavor: each(flavors, flavor)?,
        lifecycle: lifecycles(lifecycle)?,
        kernel: each(kernel, str::parse)?,
        subject: each(subject, any)?,
        criu: each(criu, str::parse)?,
    })
}

impl RawExpectation {
    fn read(self, line: usize) -> Result<Expectation, Complaint> {
        let kind = self.kind.get_ref().parse::<FailureKind>();
        Ok(Expectation {
            scope: scope(
                self.scenario,
                [self.except, self.flavor, self.lifecycle, self.kernel, self.subject, self.criu],
            )?,
            kind: kind.map_err(|error| (self.kind.span(), error.to_string()))?,
            says: says(&self.says)?,
            reason: reason(self.reason)?,
            link: self.link,
            line,
        })
    }
}

impl RawDefect {
    fn read(self, line: usize) -> Result<Defect, Complaint> {
        let change = match (self.expected, self.got) {
            (None, None) => Change::Any,
            (Some(expected), Some(got)) => {
                let whole = format!("^(?:{})$", expected.get_ref());
                let expected = Regex::new(&whole).map_err(|error| (expected.span(), error.to_string()))?;
                Change::Rewritten { expected, got: got.into_inner() }
            }
            (Some(text), None) | (None, Some(text)) => {
                return Err((text.span(), "`expected` and `got` stand together or not at all".to_owned()));
            }
        };
        Ok(Defect {
            scope: scope(
                self.scenario,
                [self.except, self.flavor, self.lifecycle, self.kernel, self.subject, self.criu],
            )?,
            comparison: each(Some(self.comparison), comparison)?,
            object: each(self.object, any)?,
            change,
            reason: reason(self.reason)?,
            link: self.link,
            line,
        })
    }
}

/// Reads the text of a file.
pub(super) fn parse(text: &str, file: &Path) -> Result<Expectations, ExpectationsError> {
    let bad = |(span, what): Complaint| {
        let (line, column) = place(text, span.start);
        ExpectationsError::Bad { file: file.to_owned(), line, column, what }
    };
    let newlines: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    let line = |span: Span<usize>| newlines.partition_point(|&newline| newline < span.start) + 1;
    let raw: RawFile = toml::from_str(text)
        .map_err(|error| bad((error.span().unwrap_or_default(), error.message().replace('\n', " "))))?;
    let expectation = |entry: Spanned<RawExpectation>| {
        let line = line(entry.span());
        entry.into_inner().read(line).map_err(bad)
    };
    let defect = |entry: Spanned<RawDefect>| {
        let line = line(entry.span());
        entry.into_inner().read(line).map_err(bad)
    };
    Ok(Expectations {
        entries: raw.expect.into_iter().map(expectation).collect::<Result<_, _>>()?,
        defects: raw.defect.into_iter().map(defect).collect::<Result<_, _>>()?,
        file: file.to_owned(),
    })
}

/// Line and column in characters, both from 1, of a byte in a text.
pub(crate) fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
