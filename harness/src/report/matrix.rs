//! The table of a run with several kernels or subjects: families by (kernel, subject), folded where
//! it is too wide.
//!
//! A cell counts verdicts by letters, and omits a letter whose count is 0. So a cell without an `f`
//! or an `e` is as expected.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::sanitize::{Colour, columns, paint, sanitized};
use crate::judge::{Tally, Trial};

/// A kernel and a subject.
pub(crate) type Pair = (String, String);

/// What the letters mean.
const LEGEND: &str = "p pass, x xfail, f failed (fail, xpass, changed-fail, flaky), e error, s skipped";

/// Counts by family and pair.
#[derive(Debug, Default)]
pub(crate) struct Matrix {
    /// In the order in which they first came.
    pairs: Vec<Pair>,
    families: BTreeMap<String, BTreeMap<Pair, Tally>>,
    total: BTreeMap<Pair, Tally>,
}

impl Matrix {
    /// Counts one more trial.
    pub(crate) fn add(&mut self, trial: &Trial, verdict: crate::judge::Verdict) {
        let pair = (trial.kernel.clone(), trial.subject.clone());
        if !self.total.contains_key(&pair) {
            self.pairs.push(pair.clone());
        }
        self.families.entry(trial.family.clone()).or_default().entry(pair.clone()).or_default().add(verdict);
        self.total.entry(pair).or_default().add(verdict);
    }

    /// The table, each line with its newline, no wider than `width` as long as a name and one
    /// column fit; nothing for a single pair.
    pub(crate) fn table(&self, width: usize, colour: bool) -> String {
        if self.pairs.len() < 2 {
            return String::new();
        }
        let mut out = String::new();
        for (number, (kernel, subject)) in self.pairs.iter().enumerate() {
            let _ = writeln!(out, "[{}] {}", number + 1, sanitized(&format!("{kernel} {subject}")));
        }
        let families = self.families.iter().map(|(family, tallies)| (sanitized(super::family_title(family)), tallies));
        let rows: Vec<(String, &BTreeMap<Pair, Tally>)> = families.chain([("total".to_owned(), &self.total)]).collect();
        let names = rows.iter().map(|(name, _)| columns(name)).max().unwrap_or(0).max("family".len());
        let cell = |tallies: &BTreeMap<Pair, Tally>, pair: &Pair| tallies.get(pair).map_or_else(String::new, counts);
        let wide = |(number, pair): (usize, &Pair)| {
            let cells = rows.iter().map(|(_, tallies)| cell(tallies, pair).len()).max().unwrap_or(0);
            cells.max(format!("[{}]", number + 1).len())
        };
        let widths: Vec<usize> = self.pairs.iter().enumerate().map(wide).collect();
        let mut from = 0;
        while from < self.pairs.len() {
            let mut to = from + 1;
            let mut used = names + 2 + widths[from];
            while to < widths.len() && used + 2 + widths[to] <= width {
                used += 2 + widths[to];
                to += 1;
            }
            let mut heading = format!("{:<names$}", "family");
            for (number, width) in widths.iter().enumerate().take(to).skip(from) {
                let _ = write!(heading, "  {:<width$}", format!("[{}]", number + 1));
            }
            let _ = writeln!(out, "\n{}", paint(colour, Colour::Bold, heading.trim_end()));
            for (name, tallies) in &rows {
                let mut line = format!("{name}{:fill$}", "", fill = names.saturating_sub(columns(name)));
                for (pair, width) in self.pairs.iter().zip(&widths).take(to).skip(from) {
                    let _ = write!(line, "  {:<width$}", cell(tallies, pair));
                }
                let _ = writeln!(out, "{}", line.trim_end());
            }
            from = to;
        }
        let _ = writeln!(out, "{LEGEND}");
        out
    }
}

/// `2p 14x 1f`
fn counts(tally: &Tally) -> String {
    let error = tally.of("error");
    let letters = [
        (tally.of("pass"), 'p'),
        (tally.of("xfail"), 'x'),
        (tally.failed() - error, 'f'),
        (error, 'e'),
        (tally.skipped(), 's'),
    ];
    let words: Vec<String> =
        letters.iter().filter(|(count, _)| *count > 0).map(|(count, letter)| format!("{count}{letter}")).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::fixtures::trial;
    use crate::judge::{FailureKind, Verdict};

    fn matrix(subjects: &[&str]) -> Matrix {
        let mut matrix = Matrix::default();
        let dump = FailureKind::DumpFailed;
        for (number, subject) in subjects.iter().enumerate() {
            let last = if number == 0 { Verdict::Xfail(dump) } else { Verdict::Fail(dump) };
            for (family, verdict) in [("deleted", Verdict::Pass), ("deleted", last), ("names", Verdict::Unsupported)] {
                let trial = Trial { family: family.into(), subject: (*subject).into(), ..trial("x") };
                matrix.add(&trial, verdict);
            }
        }
        matrix
    }

    #[test]
    fn one_pair_needs_no_matrix() {
        assert_eq!(matrix(&["debian:trixie"]).table(80, false), "");
    }

    #[test]
    fn it_folds() {
        expect![[r#"
            [1] 6.12 debian:trixie
            [2] 6.12 src:../criu
            [3] 6.12 path:/usr/sbin/criu

            family   [1]       [2]
            deleted  1p 1x     1p 1f
            names    1s        1s
            total    1p 1x 1s  1p 1f 1s

            family   [3]
            deleted  1p 1f
            names    1s
            total    1p 1f 1s
            p pass, x xfail, f failed (fail, xpass, changed-fail, flaky), e error, s skipped
        "#]]
        .assert_eq(&matrix(&["debian:trixie", "src:../criu", "path:/usr/sbin/criu"]).table(30, false));
    }
}
