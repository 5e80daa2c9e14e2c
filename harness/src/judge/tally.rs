//! How many trials got which verdict, the last line of a run, and the exit status.

use std::fmt;

use super::verdict::Verdict;
use crate::exit;

/// How many trials got which verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    counts: [usize; Verdict::WORDS.len()],
}

impl Tally {
    /// Counts one more.
    pub fn add(&mut self, verdict: Verdict) {
        let column = Verdict::WORDS.iter().position(|word| *word == verdict.word());
        self.counts[column.expect("every verdict has its word in WORDS")] += 1;
    }

    /// The counts, in the order of [`Verdict::WORDS`].
    pub fn columns(&self) -> impl Iterator<Item = (&'static str, usize)> {
        Verdict::WORDS.iter().copied().zip(self.counts)
    }

    /// How many got the verdict with this word.
    pub fn of(&self, word: &str) -> usize {
        self.columns().find(|(column, _)| *column == word).map_or(0, |(_, count)| count)
    }

    /// pass + xfail + improved
    pub fn passed(&self) -> usize {
        self.of("pass") + self.of("xfail") + self.of("improved")
    }

    /// unsupported + not-run
    pub fn skipped(&self) -> usize {
        self.of("unsupported") + self.of("not-run")
    }

    /// fail + xpass + changed-fail + flaky + error
    pub fn failed(&self) -> usize {
        self.total() - self.passed() - self.skipped()
    }

    /// All trials.
    pub fn total(&self) -> usize {
        self.counts.iter().sum()
    }

    /// The exit status of the run: 130 interrupted; 1 when something failed; 3 when nothing failed
    /// but an infrastructure error left something unknown; 4 when nothing ran; 0 as expected. (2 is
    /// a usage error.)
    pub fn exit_status(&self, interrupted: bool) -> u8 {
        let errors = self.of("error");
        match () {
            () if interrupted => exit::INTERRUPTED,
            () if self.failed() > errors => exit::FAILED,
            () if errors > 0 => exit::INFRASTRUCTURE,
            () if self.passed() == 0 => exit::NOTHING_RAN,
            () => exit::AS_EXPECTED,
        }
    }
}

impl fmt::Display for Tally {
    /// The last line of every run.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "result: {} passed, {} failed, {} skipped", self.passed(), self.failed(), self.skipped())
    }
}
