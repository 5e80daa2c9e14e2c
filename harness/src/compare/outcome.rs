//! What one result says about the subject, and how often a trial passed in several.

use std::iter::Sum;
use std::ops::Add;

use crate::judge::{FailureKind, Verdict};

/// What became of a trial, whatever was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Pass,
    Fail(FailureKind),
    /// The machine lacks something.
    Unsupported,
    /// Nothing is known about the subject: an error, a trial that did not run, one that comes to
    /// something else each time.
    Unknown,
}

impl Outcome {
    pub(crate) fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass | Verdict::Xpass | Verdict::Improved => Self::Pass,
            Verdict::Fail(kind) | Verdict::Xfail(kind) | Verdict::ChangedFail(kind) => Self::Fail(kind),
            Verdict::Unsupported => Self::Unsupported,
            Verdict::Error | Verdict::NotRun | Verdict::Flaky { .. } => Self::Unknown,
        }
    }
}

/// How often a trial passed, and how often it ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Runs {
    pub(crate) passed: u32,
    pub(crate) all: u32,
}

impl Runs {
    /// The count of one result; a flaky one has several runs already.
    pub(crate) fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Flaky { passed, runs } => Self { passed, all: runs },
            verdict => Self { passed: u32::from(Outcome::of(verdict) == Outcome::Pass), all: 1 },
        }
    }

    /// As [`Runs::of`]; `None` for a result that says nothing about the subject.
    pub(crate) fn that_count(verdict: Verdict) -> Option<Self> {
        let counts = !matches!(verdict, Verdict::Unsupported | Verdict::Error | Verdict::NotRun);
        counts.then(|| Self::of(verdict))
    }

    /// The same result, this many times.
    pub(crate) fn times(self, count: u32) -> Self {
        Self { passed: self.passed * count, all: self.all * count }
    }

    /// Passed in some and not in others.
    pub(crate) fn disagree(self) -> bool {
        0 < self.passed && self.passed < self.all
    }

    /// The verdict on results that are not the same.
    pub(crate) fn flaky(self) -> Verdict {
        Verdict::Flaky { passed: self.passed, runs: self.all }
    }
}

impl Add for Runs {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self { passed: self.passed + more.passed, all: self.all + more.all }
    }
}

impl Sum for Runs {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expected_failure_is_no_pass_and_an_unexpected_pass_is_one() {
        let kind = FailureKind::Hang;
        let all = [Verdict::Xfail(kind), Verdict::ChangedFail(kind), Verdict::Xpass, Verdict::Improved];
        let runs: Runs = all.into_iter().map(Runs::of).sum();
        assert_eq!(runs, Runs { passed: 2, all: 4 });
        assert!(runs.disagree() && !Runs::of(Verdict::Pass).times(3).disagree());
        assert_eq!((runs + Runs::of(runs.flaky())).flaky(), Verdict::Flaky { passed: 4, runs: 8 });
    }

    #[test]
    fn an_error_is_a_run_but_says_nothing_about_the_subject() {
        assert_eq!(Runs::of(Verdict::Error), Runs { passed: 0, all: 1 });
        assert_eq!(Runs::that_count(Verdict::Error), None);
        assert_eq!(Runs::that_count(Verdict::Flaky { passed: 1, runs: 2 }), Some(Runs { passed: 1, all: 2 }));
    }
}
