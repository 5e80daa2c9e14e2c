//! Results of CRIU's own test suite, beside those of a run: what `zdtm.py` reports, in one page
//! with what this program found.
//!
//! They are no trials: a test of zdtm passes or fails in all its flavors together, and the report
//! names neither a kernel nor a criu. So they stand apart in every format, with causes of their
//! own.
//!
//! - [`read`]: from `zdtm.py`'s files

pub mod read;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::sanitize::{Colour, brief, paint, sanitized};
use crate::judge::signature::plain;

/// How many tests of a cause are named.
const NAMES: usize = 5;
/// So many characters of a cause are shown.
const TEXT: usize = 300;

/// A test of zdtm that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZdtmTest {
    /// `zdtm/static/unlink_fstat00`
    pub name: String,
    /// What became of it.
    pub result: ZdtmResult,
    /// The flavor in which it failed: `h`, `ns`, `uns`. One that passed did so in all of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flavor: Option<String>,
    /// One line; empty for a pass.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Lines of its output that say what went wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
    /// The file that says so.
    pub from: String,
}

/// What became of a test of zdtm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ZdtmResult {
    /// It passed in all flavors.
    Passed,
    /// It failed in one.
    Failed,
    /// It was not run.
    Skipped,
}

/// How many got which result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Passed.
    pub passed: usize,
    /// Failed.
    pub failed: usize,
    /// Skipped.
    pub skipped: usize,
}

impl Numbers {
    /// Those of these tests.
    pub fn of(tests: &[ZdtmTest]) -> Self {
        let count = |result| tests.iter().filter(|test| test.result == result).count();
        let (passed, failed) = (count(ZdtmResult::Passed), count(ZdtmResult::Failed));
        Self { passed, failed, skipped: count(ZdtmResult::Skipped) }
    }
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, skipped } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// Failed tests with one cause, the most common cause first.
pub struct ZdtmCause<'a> {
    /// What the first of them says.
    pub text: String,
    /// Which.
    pub tests: Vec<&'a ZdtmTest>,
}

/// The causes of the failures: what zdtm.py says of a test, and the first error in its output
/// without what changes from run to run.
pub fn causes(tests: &[ZdtmTest]) -> Vec<ZdtmCause<'_>> {
    let mut causes: BTreeMap<(String, String), ZdtmCause<'_>> = BTreeMap::new();
    for test in tests.iter().filter(|test| test.result == ZdtmResult::Failed) {
        let first = test.log.first().map_or("", String::as_str);
        let text = [test.reason.as_str(), first].into_iter().filter(|text| !text.is_empty());
        let text = text.collect::<Vec<_>>().join(": ");
        let cause = causes.entry((plain(&test.reason), plain(first)));
        cause.or_insert_with(|| ZdtmCause { text, tests: Vec::new() }).tests.push(test);
    }
    let mut causes: Vec<_> = causes.into_values().collect();
    causes.sort_by_key(|cause| std::cmp::Reverse(cause.tests.len()));
    causes
}

impl ZdtmCause<'_> {
    /// The cause, short and harmless.
    pub fn title(&self) -> String {
        brief(&self.text, TEXT)
    }

    /// `zdtm/static/env00 (ns), zdtm/static/fifo (h), and 3 more`
    pub fn names(&self) -> String {
        let name = |test: &&ZdtmTest| {
            let flavor = test.flavor.as_deref().map_or_else(String::new, |flavor| format!(" ({flavor})"));
            sanitized(&format!("{}{flavor}", test.name))
        };
        let more = self.tests.len().saturating_sub(NAMES);
        let more = (more > 0).then(|| format!("and {more} more"));
        self.tests.iter().take(NAMES).map(name).chain(more).collect::<Vec<_>>().join(", ")
    }
}

/// The account for a terminal: each cause with its tests, then the numbers; nothing without tests.
pub(super) fn text(tests: &[ZdtmTest], colour: bool) -> String {
    if tests.is_empty() {
        return String::new();
    }
    let mut out = String::new();
    for cause in causes(tests).iter().rev() {
        let count = format!("{:>5} x", cause.tests.len());
        let failed = paint(colour, Colour::Red, "zdtm");
        out.push_str(&format!("{count} {failed}  {}\n         {}\n", cause.title(), cause.names()));
    }
    out.push_str(&format!("zdtm: {}\n", Numbers::of(tests)));
    out
}
