//! The table at the end: families by verdicts.
//!
//! The verdicts that every reader looks for have a column always, the others only when there are
//! any. Nothing is added up across columns, so that an expected failure is never taken for a pass.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::sanitize::{Colour, columns, paint, sanitized};
use crate::judge::Tally;

/// Shown even when nothing is in them.
const ALWAYS: &[&str] = &["pass", "xfail", "fail", "unsupported", "error"];

/// Short headings for a narrow terminal.
const SHORT: &[(&str, &str)] = &[("changed-fail", "changed"), ("unsupported", "unsupp.")];

/// The table, each line with its newline; as wide as `width` at most, as long as names have eight
/// columns left.
pub(crate) fn table(families: &BTreeMap<String, Tally>, total: &Tally, width: usize, colour: bool) -> String {
    let words: Vec<&'static str> =
        total.columns().filter(|(word, count)| *count > 0 || ALWAYS.contains(word)).map(|(word, _)| word).collect();
    let rows: Vec<(String, &Tally)> = families
        .iter()
        .map(|(family, tally)| (sanitized(super::family_title(family)), tally))
        .chain([("total".to_owned(), total)])
        .collect();
    let widest = rows.iter().map(|(name, _)| columns(name)).max().unwrap_or(0).max("family".len());
    let full: Vec<&str> = words.clone();
    let headings = if widest + numbers_width(&full, total) > width {
        words.iter().map(|word| SHORT.iter().find(|(long, _)| long == word).map_or(*word, |(_, short)| short)).collect()
    } else {
        full
    };
    let names = width.saturating_sub(numbers_width(&headings, total)).clamp(8, widest.max(8));

    let mut out = String::new();
    let mut heading = pad("family", names);
    for (heading_word, word) in headings.iter().zip(&words) {
        let _ = write!(heading, "  {heading_word:>width$}", width = column(heading_word, total.of(word)));
    }
    let _ = writeln!(out, "{}", paint(colour, Colour::Bold, &heading));
    for (name, tally) in rows {
        out.push_str(&pad(&name, names));
        for (heading_word, word) in headings.iter().zip(&words) {
            let count = tally.of(word);
            let cell = format!("{count:>width$}", width = column(heading_word, total.of(word)));
            let _ = write!(out, "  {}", if count == 0 { paint(colour, Colour::Dim, &cell) } else { cell });
        }
        out.push('\n');
    }
    out
}

fn column(heading: &str, largest: usize) -> usize {
    heading.len().max(largest.to_string().len())
}

fn numbers_width(headings: &[&str], total: &Tally) -> usize {
    // A heading never has fewer digits than any column but the widest number needs.
    let digits = total.total().to_string().len();
    headings.iter().map(|heading| 2 + heading.len().max(digits)).sum()
}

/// The name in exactly this many columns, cut where it is too long.
fn pad(name: &str, width: usize) -> String {
    let cut =
        if columns(name) > width { console::truncate_str(name, width, "...").into_owned() } else { name.to_owned() };
    let fill = width.saturating_sub(columns(&cut));
    format!("{cut}{:fill$}", "")
}
