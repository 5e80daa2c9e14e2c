//! What is known to fail: `scenarios/expectations.toml`, described in `docs/FORMATS.md`.
//!
//! An entry records a failure by its kind and by what is said (`says`), and makes it an `xfail`. A
//! new message is a `fail`, also of the recorded kind. What else happens depends on the subject. Of
//! a subject that the entry speaks of, another kind is a `changed-fail` and a pass an `xpass`. An
//! entry without `subject` speaks of distributed crius (`debian:`). For a tree under test it only
//! tells what is known: a pass is `improved`, and another failure has nothing to do with the entry.
//!
//! A [`defect::Defect`] explains one difference wherever it comes up.
//!
//! - [`scope`]: which trials an entry is about
//! - [`defect`]: one difference that a subject is known to make
//! - [`uses`]: which defects still show
//! - `read`: the text of the file
//!
//! Why two sorts of entries: stock CRIU makes small changes to ordinary files (times, one flag). If
//! an entry could only record a whole trial, every control would be an expected failure, and any
//! further difference would stay hidden. So `[[expect]]` records a trial that fails as a whole,
//! with its message, and `[[defect]]` records one difference with what the defect makes of the
//! value. Both must still happen: an expected failure that passes fails the run, and so does a
//! defect that no trial of a whole run shows.

pub mod defect;
mod read;
pub mod scope;
pub mod uses;

use std::fs;
use std::path::{Path, PathBuf};

use regex_lite::Regex;

pub(crate) use read::place;

use super::difference::Difference;
use super::lifecycle::summary;
use super::range::Version;
use super::verdict::{FailureKind, Judgement, Trial, Verdict};
use defect::Defect;
use scope::Scope;

/// One recorded failure.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// Which trials fail.
    pub scope: Scope,
    /// With which kind.
    pub kind: FailureKind,
    /// What is said: found in the reason, which is the first error line of a dump or restore that
    /// failed, or the first difference.
    pub says: Regex,
    /// Why.
    pub reason: String,
    /// Where that is discussed.
    pub link: Option<String>,
    /// Line in the file, 1-based.
    pub line: usize,
}

impl Expectation {
    /// Whether this failure is the one that it records.
    pub fn records(&self, kind: FailureKind, said: &str) -> bool {
        self.kind == kind && self.says.is_match(said)
    }
}

/// All that is recorded, in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct Expectations {
    entries: Vec<Expectation>,
    defects: Vec<Defect>,
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
        read::parse(text, file)
    }

    /// The recorded failures, in the order of the file.
    pub fn entries(&self) -> &[Expectation] {
        &self.entries
    }

    /// The known defects, in the order of the file.
    pub fn defects(&self) -> &[Defect] {
        &self.defects
    }

    /// The entry that applies to a trial: the first that matches. `criu` is the version of the
    /// subject, if it is one.
    pub fn find(&self, trial: &Trial, criu: Option<&Version>) -> Option<&Expectation> {
        self.entries.iter().find(|entry| entry.scope.has(trial, criu))
    }

    /// What a judgement is in the light of what is known.
    pub fn apply(&self, trial: &Trial, criu: Option<&Version>, judgement: Judgement) -> Judgement {
        let judgement = self.explain(trial, criu, judgement);
        let Some(first) = self.find(trial, criu) else { return judgement };
        let is_strict = first.scope.speaks_of(&trial.subject);
        let place = format!("{}:{}", self.file.display(), first.line);
        let known = format!("known: {}", reason_of(&first.reason, first.link.as_deref()));
        let (verdict, note) = match judgement.verdict {
            Verdict::Fail(kind) | Verdict::Xfail(kind) => match () {
                () if first.records(kind, judgement.said()) && judgement.is_harmed_by_restore() => {
                    (Verdict::Fail(kind), format!("{known}, but not what the failed restore did besides"))
                }
                () if first.records(kind, judgement.said()) => (Verdict::Xfail(kind), known),
                () if !is_strict => return judgement,
                () if kind == first.kind => (Verdict::Fail(kind), format!("{place} expects another message")),
                () => (Verdict::ChangedFail(kind), format!("{place} expects {}; {known}", first.kind)),
            },
            Verdict::Pass if !is_strict => (Verdict::Improved, format!("not {}; {known}", first.kind)),
            Verdict::Pass => {
                let what = format!("it passes now, but {place} expects {}", first.kind);
                let reason = format!("{what}: remove or narrow the entry ({known})");
                return Judgement { verdict: Verdict::Xpass, reason, ..judgement };
            }
            _ => return judgement,
        };
        let said = Some(judgement.said().to_owned());
        let reason = match verdict {
            Verdict::Improved => note,
            _ => format!("{} ({note})", judgement.reason),
        };
        Judgement { verdict, reason, said, ..judgement }
    }

    /// What a judgement of a generated program is: known defects count in whatever scenario and on
    /// whatever object they were recorded, recorded failures of scenarios say nothing.
    pub fn apply_anywhere(&self, trial: &Trial, criu: Option<&Version>, judgement: Judgement) -> Judgement {
        let defects = self.defects.iter().filter(|defect| defect.scope.has_place(trial, criu));
        explained(&defects.collect::<Vec<_>>(), Defect::explains_anywhere, judgement)
    }

    /// [`explained`] by the defects of the trial's scope.
    fn explain(&self, trial: &Trial, criu: Option<&Version>, judgement: Judgement) -> Judgement {
        let defects = self.defects.iter().filter(|defect| defect.scope.has(trial, criu));
        explained(&defects.collect::<Vec<_>>(), Defect::explains, judgement)
    }

    /// A complaint for each pattern that matches no scenario of the whole catalogue, and for each
    /// entry whose exceptions leave none: it is stale or misspelt.
    pub fn stale<'a>(&self, catalogue: impl IntoIterator<Item = &'a str>) -> Vec<ExpectationsError> {
        let names: Vec<&str> = catalogue.into_iter().collect();
        let scopes = self.entries.iter().map(|entry| (&entry.scope, entry.line));
        let all = scopes.chain(self.defects.iter().map(|defect| (&defect.scope, defect.line)));
        let mut complaints = Vec::new();
        for (scope, line) in all {
            let mut complain = |called: String| {
                let what = format!("no scenario is called {called}: remove it or correct the name");
                complaints.push(ExpectationsError::Bad { file: self.file.clone(), line, column: 1, what });
            };
            let patterns = scope.scenario.iter().chain(&scope.except);
            let dead: Vec<_> =
                patterns.filter(|pattern| !names.iter().any(|name| scenarios::pattern::fits(pattern, name))).collect();
            if dead.is_empty() && !names.iter().any(|name| scope.names(name)) {
                complain(scope.scenario.join(", "));
            }
            dead.into_iter().for_each(|pattern| complain(pattern.clone()));
        }
        complaints
    }
}

/// A reason with the place where it is discussed.
fn reason_of(reason: &str, link: Option<&str>) -> String {
    link.map_or_else(|| reason.to_owned(), |link| format!("{reason}, {link}"))
}

/// Marks the differences that known defects explain. Where all are, the failure is an expected one;
/// otherwise the first of the others decides. A failure that is not one of differences stays what
/// it is, and so does one with more differences than are kept: the harness cannot say that all of
/// them are known.
fn explained(defects: &[&Defect], explains: fn(&Defect, &Difference) -> bool, mut judgement: Judgement) -> Judgement {
    if judgement.verdict == Verdict::Fail(FailureKind::RestoreFailed) {
        for difference in judgement.differences.iter_mut().filter(|one| one.kind == FailureKind::HarmedByRestore) {
            let cause = defects.iter().find(|defect| explains(defect, difference));
            difference.known = cause.map(|defect| reason_of(&defect.reason, defect.link.as_deref()));
        }
        return judgement;
    }
    let of_differences = judgement.differences.first().map(|first| Verdict::Fail(first.kind));
    if of_differences != Some(judgement.verdict) || judgement.more_differences > 0 {
        return judgement;
    }
    for difference in &mut judgement.differences {
        let cause = defects.iter().find(|defect| explains(defect, difference));
        difference.known = cause.map(|defect| reason_of(&defect.reason, defect.link.as_deref()));
    }
    judgement.differences.sort_by_key(|difference| difference.known.is_some());
    let unknown = judgement.differences.iter().filter(|difference| difference.known.is_none()).count();
    let Some(first) = judgement.differences.first() else { return judgement };
    if unknown > 0 {
        judgement.reason = summary(first, unknown);
        judgement.verdict = Verdict::Fail(first.kind);
    } else {
        let mut causes: Vec<&str> = Vec::new();
        for cause in judgement.differences.iter().filter_map(|difference| difference.known.as_deref()) {
            if !causes.contains(&cause) {
                causes.push(cause);
            }
        }
        let seen = summary(first, judgement.differences.len());
        judgement.reason = format!("{seen} (known: {})", causes.join("; "));
        judgement.said = Some(seen);
        judgement.verdict = Verdict::Xfail(first.kind);
    }
    judgement
}
