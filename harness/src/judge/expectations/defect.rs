//! A defect of a subject that shows as one certain difference, wherever it comes up.
//!
//! It explains that difference and no other: a trial whose differences are all explained is an
//! `xfail`, one with another difference besides fails by that one.

use regex_lite::Regex;

use super::super::difference::Difference;
use scenarios::pattern::fits;

use super::scope::Scope;

/// A known defect.
#[derive(Clone, Debug)]
pub struct Defect {
    /// Which trials can show it.
    pub scope: Scope,
    /// The comparisons that see it.
    pub comparison: Vec<String>,
    /// The objects on which it shows, `*` for any text; empty for all.
    pub object: Vec<String>,
    /// What it does.
    pub change: Change,
    /// Why.
    pub reason: String,
    /// Where that is discussed.
    pub link: Option<String>,
    /// Line in the file, 1-based.
    pub line: usize,
}

/// What a defect makes of a value.
#[derive(Clone, Debug)]
pub enum Change {
    /// It cannot be predicted.
    Any,
    /// A value that matches `expected` becomes exactly what `got` says, with `$name` for what
    /// `(?<name>...)` matched.
    Rewritten {
        /// Matches the whole text.
        expected: Regex,
        /// A replacement.
        got: String,
    },
}

impl Defect {
    /// Whether it is what made this difference, in a trial of its scope.
    pub(super) fn explains(&self, difference: &Difference) -> bool {
        let object = difference.object.as_deref().unwrap_or_default();
        let meant = self.object.is_empty() || self.object.iter().any(|pattern| fits(pattern, object));
        meant && self.explains_anywhere(difference)
    }

    /// Whether it makes such differences, on whatever object.
    pub(super) fn explains_anywhere(&self, difference: &Difference) -> bool {
        self.comparison.contains(&difference.comparison)
            && match &self.change {
                Change::Any => true,
                Change::Rewritten { expected, got } => expected.captures(&difference.expected).is_some_and(|found| {
                    let mut text = String::new();
                    found.expand(got, &mut text);
                    text == difference.got
                }),
            }
    }
}
