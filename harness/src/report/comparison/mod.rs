//! Two sides of the same trials, reported as one result: what got worse, better, differently bad.
//!
//! The numbers and words for people (`text`), for programs (this is the JSON document) and as a
//! page (`html`). Not here: what is worse than what, which `gate` decides.

mod ladder;
mod text;

use std::path::PathBuf;

use serde::Serialize;

pub use ladder::Ladders;

use super::html;
use crate::exit;
use crate::judge::{Difference, FailureKind};
use crate::subject::Identity;

/// The version of the document's shape.
const VERSION: u32 = 1;

/// The document; a contract, `docs/FORMATS.md`.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    version: u32,
    /// What was there before.
    pub base: String,
    /// What is tested.
    pub candidate: String,
    /// Which criu they are, as far as it is known: the base, the candidate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<Identity>,
    /// A line for each image of either side whose packages are not those of the lock file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_as_locked: Vec<String>,
    /// Passed with the base and fail with the candidate, or fail at a higher price.
    pub worse: Vec<Entry>,
    /// The reverse.
    pub better: Vec<Entry>,
    /// Fail with both in another way, at the same price.
    pub different: Vec<Entry>,
    /// Not the same once, and the same when run again.
    pub flaky: Vec<Entry>,
    /// Nothing that could be said.
    pub undecided: Vec<Entry>,
    /// How many are the same.
    pub same: usize,
    /// How many neither could run.
    pub unsupported: usize,
    /// The ids of those that did not run with both.
    pub left_out: Vec<String>,
    /// What comes back with each.
    pub ladder: Ladders,
    /// Wall time.
    pub seconds: f64,
    /// Why trials were left out.
    #[serde(skip)]
    pub why_left_out: &'static str,
    /// The user ended it.
    #[serde(skip)]
    pub interrupted: bool,
}

/// A trial that is not the same with both.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// The trial, without what is another one on each side.
    pub id: String,
    /// `deleted/unlinked@ext4`
    pub scenario: String,
    /// `deleted`
    pub family: String,
    /// `ns`
    pub flavor: &'static str,
    /// `dump-restore`
    pub lifecycle: &'static str,
    /// `6.12`; the candidate's.
    pub kernel: String,
    /// Why nothing was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What the base did.
    pub base: SideResult,
    /// What the candidate did.
    pub candidate: SideResult,
    /// The folder of the candidate's failure, when there is one.
    #[serde(skip)]
    pub artifacts: Option<PathBuf>,
}

/// What one side did.
#[derive(Clone, Debug, Serialize)]
pub struct SideResult {
    /// `pass`, `fail`, `unsupported`, `error` or `flaky`: known failures play no part.
    pub verdict: &'static str,
    /// The kind of a failure.
    pub kind: Option<FailureKind>,
    /// One line; empty for a plain pass.
    pub reason: String,
    /// How many runs passed.
    pub passed: usize,
    /// How many there were.
    pub runs: usize,
    /// Those of the other side left out.
    pub differences: Vec<Difference>,
}

impl SideResult {
    /// `fail(wrong-path), passed in 0 of 2 runs`
    pub(super) fn verdict(&self) -> String {
        let kind = self.kind.map_or_else(String::new, |kind| format!("({kind})"));
        let count =
            if self.runs == 1 { String::new() } else { format!(", passed in {} of {} runs", self.passed, self.runs) };
        format!("{}{kind}{count}", self.verdict)
    }
}

impl Comparison {
    /// The formats of `--report` that it can be written in.
    pub const FORMATS: [&str; 2] = ["json", "html"];

    /// Of nothing yet.
    pub fn new(base: String, candidate: String, seconds: f64) -> Self {
        Self {
            version: VERSION,
            base,
            candidate,
            subjects: Vec::new(),
            not_as_locked: Vec::new(),
            worse: Vec::new(),
            better: Vec::new(),
            different: Vec::new(),
            flaky: Vec::new(),
            undecided: Vec::new(),
            same: 0,
            unsupported: 0,
            left_out: Vec::new(),
            ladder: Ladders::default(),
            seconds: (seconds * 1000.0).round() / 1000.0,
            why_left_out: "no time was left",
            interrupted: false,
        }
    }

    /// The lists with their titles, the most telling first.
    pub(super) fn groups(&self) -> [(&'static str, &[Entry]); 5] {
        [
            ("worse", &self.worse),
            ("better", &self.better),
            ("differently bad", &self.different),
            ("flaky, the same when run again", &self.flaky),
            ("undecided", &self.undecided),
        ]
    }

    /// The two lines that every comparison ends with.
    pub(super) fn sum(&self) -> [String; 2] {
        [
            format!(
                "{} the same, {} unsupported, {} left out, in {:.1} s",
                self.same,
                self.unsupported,
                self.left_out.len(),
                self.seconds
            ),
            format!(
                "gate: {} worse, {} better, {} differently bad, {} flaky, {} undecided",
                self.worse.len(),
                self.better.len(),
                self.different.len(),
                self.flaky.len(),
                self.undecided.len()
            ),
        ]
    }

    /// The exit status; with `strict`, what fails in another way than before counts as worse.
    pub fn exit_status(&self, strict: bool) -> u8 {
        let decided = self.same + self.better.len() + self.different.len() + self.flaky.len();
        match () {
            () if self.interrupted => exit::INTERRUPTED,
            () if !self.worse.is_empty() || (strict && !self.different.is_empty()) => exit::FAILED,
            () if !self.undecided.is_empty() => exit::INFRASTRUCTURE,
            () if decided == 0 => exit::NOTHING_RAN,
            () => exit::AS_EXPECTED,
        }
    }

    /// The document as text, ending with a newline.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("words, numbers and lists become JSON") + "\n"
    }

    /// In a format of `--report`; none in those that are for one run only.
    pub fn in_format(&self, format: &str) -> Option<String> {
        match format {
            "json" => Some(self.json()),
            "html" => Some(html::comparison::render(self)),
            _ => None,
        }
    }
}
