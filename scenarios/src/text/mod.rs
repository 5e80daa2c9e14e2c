//! Program text: from bytes to [`Scenario`]s and back. `docs/AUTHORING.md` describes the format to
//! people.
//!
//! A file is read line by line: comments, header lines, steps. Its axes are multiplied, and each
//! point is parsed *and* checked here, so that what this module hands out is well formed. All
//! mistakes of a file are reported together.

mod base;
mod header;
mod lexer;
mod print;
mod reader;
mod step;

use std::path::Path;

pub use print::{print_program, print_program_in_place, print_scenario, print_step};

use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::{Program, Scenario};
use reader::Reader;

/// The word before a step that others carry out between dump and restore.
pub const CHANGE: &str = "change";
/// The largest file in bytes.
pub const TEXT_LIMIT: usize = 64 << 10;
/// The most lines that [`print_program_in_place`] keeps apart.
const LINE_LIMIT: usize = TEXT_LIMIT;
/// The most scenarios that the axes of one file may make.
pub const VARIANT_LIMIT: usize = 64;
/// The most mistakes that are reported of one file.
const DIAGNOSTIC_LIMIT: usize = 50;

/// Bytes of a line, from, to.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    end: usize,
}

impl Span {
    fn after(self) -> Span {
        Span { start: self.end, end: self.end }
    }
}

/// A diagnostic that does not know its line yet.
struct Mistake {
    span: Span,
    what: String,
    expected: Vec<String>,
    hint: Option<String>,
}

impl Mistake {
    fn new(span: Span, what: impl Into<String>) -> Self {
        Mistake { span, what: what.into(), expected: Vec::new(), hint: None }
    }

    fn expected<T: Into<String>>(mut self, expected: impl IntoIterator<Item = T>) -> Self {
        self.expected = expected.into_iter().map(Into::into).collect();
        self
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn hint_if_none(mut self, hint: String) -> Self {
        self.hint.get_or_insert(hint);
        self
    }

    /// The hint is the known word that was probably meant.
    fn near<'a>(mut self, word: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        self.hint = did_you_mean(word, known).or(self.hint);
        self
    }
}

/// The scenarios of a file, one for each point of its axes.
///
/// `name` is `family/file` in the catalogue and the file's stem elsewhere; `path` is for messages
/// and [`Scenario::file`].
///
/// # Errors
/// Every mistake of the file, at most 50.
pub fn scenarios(source: &[u8], name: &str, path: &Path) -> Result<Vec<Scenario>, Vec<Diagnostic>> {
    let text = decode(source, path)?;
    Reader::new(text, path).read(Some(name))
}

/// The program of a text whose variables are filled in: steps; comments and header lines may stand
/// there and say nothing. This is for those who carry a program out.
///
/// # Errors
/// Every mistake of the text, at most 50.
pub fn program(source: &str) -> Result<Program, Vec<Diagnostic>> {
    let path = Path::new("program");
    let text = decode(source.as_bytes(), path)?;
    let scenarios = Reader::new(text, path).read(None)?;
    Ok(scenarios.into_iter().next().expect("no axes make one point").program)
}

/// A mistake of the file as a whole.
pub(crate) fn of_the_file(path: &Path, what: impl Into<String>) -> Diagnostic {
    Diagnostic {
        path: path.to_owned(),
        line: 0,
        column: 0,
        length: 0,
        source: String::new(),
        what: what.into(),
        expected: Vec::new(),
        hint: None,
    }
}

fn decode<'a>(source: &'a [u8], path: &Path) -> Result<&'a str, Vec<Diagnostic>> {
    if source.len() > TEXT_LIMIT {
        let what = format!("the file has {} bytes; at most {TEXT_LIMIT} are read", source.len());
        return Err(vec![of_the_file(path, what)]);
    }
    std::str::from_utf8(source).map_err(|error| {
        let (good, bad) = source.split_at(error.valid_up_to());
        let good = String::from_utf8_lossy(good);
        let start = good.rfind('\n').map_or(0, |at| at + 1);
        let before = &good[start..];
        let rest = bad.split(|byte| *byte == b'\n').next().unwrap_or_default();
        vec![Diagnostic {
            path: path.to_owned(),
            line: good.matches('\n').count() + 1,
            column: before.chars().count() + 1,
            length: 1,
            source: format!("{before}{}", String::from_utf8_lossy(rest)),
            what: format!("byte 0x{:02x} is not UTF-8", bad[0]),
            expected: Vec::new(),
            hint: Some("a byte in a name is written \"\\xHH\", in quotes".to_owned()),
        }]
    })
}
