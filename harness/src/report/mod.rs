//! One stream of events, one file per format.
//!
//! A run sends what happens as [`Event`]s, in start and end pairs; each [`Reporter`]
//! makes of them what its readers need. A further format is one more file and one more row in
//! [`FORMATS`].
//!
//! - [`terminal`]: for people; [`epilogue`] is its account of what failed
//! - [`json`]: for programs; [`record`] is the shape, to be read back
//! - [`artifacts`]: the folder of a failed trial

pub mod artifacts;
mod at_end;
mod case;
pub(crate) mod causes_text;
pub mod comparison;
pub mod epilogue;
mod eta;
mod github;
mod html;
pub mod json;
mod junit;
mod markdown;
mod matrix;
pub mod merge;
pub mod record;
pub(crate) mod sanitize;
mod shared_axes;
mod table;
mod tap;
pub mod terminal;
#[cfg(test)]
pub(crate) mod tests;
pub mod zdtm;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use scenarios::capability::Profile;

pub use shared_axes::SharedAxes;

use crate::judge::verdict::words;
use crate::judge::{Judgement, Trial};
use crate::notices::advice;
use crate::subject::Identity;
use zdtm::ZdtmTest;

/// Something that happened in a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The first event.
    RunStarted {
        /// How many trials there will be.
        trials: usize,
        /// What they have in common.
        shared: SharedAxes,
    },
    /// Which criu the subjects are; follows the first event, where something is known.
    Subjects(Vec<Identity>),
    /// The images whose packages are not those of `vm-images/images.lock`, a line each; all that
    /// are known now.
    NotAsLocked(Vec<String>),
    /// A worker got a machine.
    MachineStarted {
        /// In place of one that was thrown away.
        reset: bool,
    },
    /// A trial begins.
    TrialStarted {
        /// Which.
        trial: Trial,
    },
    /// A trial is over; also sent, without a start, for trials that are not run.
    TrialFinished(Box<Finished>),
    /// What CRIU's own tests came to; sent once at most, before the last event.
    Zdtm(Vec<ZdtmTest>),
    /// The last event.
    RunFinished {
        /// Wall time of the run.
        seconds: f64,
        /// The user ended it.
        interrupted: bool,
    },
}

/// A trial that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// Which.
    pub trial: Trial,
    /// The file of a scenario that is not in the catalogue.
    pub file: Option<PathBuf>,
    /// What became of it, expectations applied.
    pub judgement: Judgement,
    /// Wall time.
    pub seconds: f64,
    /// The folder with everything about it, if one was written.
    pub artifacts: Option<PathBuf>,
    /// What the guest's criu calls its version, if there is one.
    pub criu: Option<String>,
    /// The program, variables filled in.
    pub program: Option<String>,
    /// [`record::digest`] of the program.
    pub digest: Option<String>,
    /// What the program needs of an implementation; empty where it was not computed.
    pub profile: Profile,
}

/// Makes something of the events.
pub trait Reporter {
    /// Takes the next event.
    ///
    /// # Errors
    /// What cannot be written. The run goes on; the runner reports it at the end.
    fn event(&mut self, event: &Event) -> io::Result<()>;
}

/// Several reporters as one. Each gets every event, also after another failed.
#[derive(Default)]
pub struct Reporters {
    all: Vec<Box<dyn Reporter>>,
}

impl Reporters {
    /// Adds one.
    pub fn add(&mut self, reporter: Box<dyn Reporter>) {
        self.all.push(reporter);
    }

    /// Gives each the event; what could not be written.
    pub fn each(&mut self, event: &Event) -> Vec<io::Error> {
        self.all.iter_mut().filter_map(|reporter| reporter.event(event).err()).collect()
    }
}

impl Reporter for Reporters {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.each(event).into_iter().next().map_or(Ok(()), Err)
    }
}

/// Where a report goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// `-`: standard output, once, at the end.
    Stdout,
    /// A file.
    File(PathBuf),
}

/// A format that `--report` knows.
pub struct Format {
    /// Its name.
    pub name: &'static str,
    /// What it is for, for the help.
    pub about: &'static str,
    open: fn(Destination) -> io::Result<Box<dyn Reporter>>,
}

/// Every format that `--report` knows.
pub const FORMATS: &[Format] = &[
    Format {
        name: "json",
        about: "one document with every trial, rewritten as the run goes on (docs/FORMATS.md)",
        open: |to| Ok(Box::new(json::Json::open(to)?)),
    },
    Format {
        name: "junit",
        about: "XML for Jenkins, GitLab and others",
        open: |to| Ok(Box::new(at_end::AtEnd::open(to, junit::render)?)),
    },
    Format {
        name: "tap",
        about: "TAP 14; an expected failure is `not ok` with a TODO",
        open: |to| Ok(Box::new(at_end::AtEnd::open(to, tap::render)?)),
    },
    Format {
        name: "html",
        about: "one page that needs no network: causes, ladder, filters, each failure side by side",
        open: |to| Ok(Box::new(at_end::AtEnd::open(to, html::render)?)),
    },
    Format {
        name: "github",
        about: "an annotation for each cause for GitHub Actions, and tables in the step's summary",
        open: |to| Ok(Box::new(at_end::AtEnd::open(to, github::render)?)),
    },
];

/// What a family is called; a user's own files have none.
fn family_title(family: &str) -> &str {
    if family.is_empty() { "(own files)" } else { family }
}

/// Why a trial got its verdict, in plain text: the reason, the differences, the log.
fn account_of(trial: &record::TrialRecord) -> String {
    let mut text = format!("{}\n", sanitize::sanitized(&trial.reason));
    text.push_str(&epilogue::differences(&trial.differences, trial.more_differences, 20, 120, false));
    for line in &trial.log {
        text.push_str(&format!("log: {}\n", sanitize::sanitized(line)));
    }
    text
}

/// A report that was asked for: `json=FILE`, `json=-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    format: usize,
    /// Where it goes.
    pub to: Destination,
}

/// Why a report cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Not `FORMAT=FILE`.
    #[error("{0:?} is no report; write FORMAT=FILE, or FORMAT=- for standard output, as in json=report.json")]
    Shape(String),
    /// A format that does not exist.
    #[error("unknown report format {0:?}; known are {known}", known = words(FORMATS.iter().map(|format| format.name)))]
    Format(String),
    /// It cannot be written.
    #[error("cannot write the {format} report to {}: {source}{}", .file.display(), advice(source, "name a file on another disk"))]
    Write {
        /// The format.
        format: &'static str,
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl FromStr for Wanted {
    type Err = ReportError;

    fn from_str(text: &str) -> Result<Self, ReportError> {
        let shape = || ReportError::Shape(text.to_owned());
        let (name, to) = text.split_once('=').filter(|(_, to)| !to.is_empty()).ok_or_else(shape)?;
        let format = FORMATS.iter().position(|format| format.name == name);
        let to = if to == "-" { Destination::Stdout } else { Destination::File(PathBuf::from(to)) };
        Ok(Self { format: format.ok_or_else(|| ReportError::Format(name.to_owned()))?, to })
    }
}

impl Wanted {
    /// The format's name.
    pub fn format(&self) -> &'static str {
        FORMATS[self.format].name
    }

    /// Opens the report; a file that cannot be written is found out now and not after an hour.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn open(&self) -> Result<Box<dyn Reporter>, ReportError> {
        let format = &FORMATS[self.format];
        let file = match &self.to {
            Destination::Stdout => PathBuf::from("-"),
            Destination::File(file) => file.clone(),
        };
        let opened = (format.open)(self.to.clone());
        let unwritten = Unwritten { format: format.name, file };
        match opened {
            Ok(reporter) => Ok(Box::new(Named { reporter, unwritten })),
            Err(source) => Err(unwritten.because(source)),
        }
    }
}

/// What an error is about.
struct Unwritten {
    format: &'static str,
    file: PathBuf,
}

impl Unwritten {
    fn because(&self, source: io::Error) -> ReportError {
        ReportError::Write { format: self.format, file: self.file.clone(), source }
    }
}

/// A reporter whose errors name the report.
struct Named {
    reporter: Box<dyn Reporter>,
    unwritten: Unwritten,
}

impl Reporter for Named {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        let done = self.reporter.event(event);
        done.map_err(|error| io::Error::new(error.kind(), self.unwritten.because(error)))
    }
}

/// Writes a file. One that cannot be written as a whole is left empty: half a document, or one of
/// an earlier run, would be taken for this run's.
fn write_whole(file: &Path, text: &[u8]) -> io::Result<()> {
    let written = fs::write(file, text);
    if written.is_err() && fs::metadata(file).is_ok_and(|meta| meta.is_file()) {
        let _ = fs::File::create(file);
    }
    written
}
