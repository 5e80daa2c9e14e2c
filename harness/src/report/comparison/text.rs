//! A comparison for people.

use std::fmt::Write as _;

use super::{Comparison, Entry, SideResult};
use crate::report::epilogue::{self, plain};
use crate::report::terminal::{Detail, Look};

/// How many trials of each list are printed in full, unless all are wanted.
const TRIALS: usize = 20;
/// How many differences of each.
const DIFFERENCES: usize = 3;
/// How many names of trials that were left out.
const NAMES: usize = 5;

impl Comparison {
    /// The text, ending with a newline. With [`Detail::Reasons`] nothing is cut short.
    pub fn text(&self, look: Look) -> String {
        let limit = |usual| if look.detail == Detail::Reasons { usize::MAX } else { usual };
        let mut out = format!("base       {}\ncandidate  {}\n", plain(&self.base), plain(&self.candidate));
        for identity in &self.subjects {
            let _ = writeln!(out, "{}", plain(&format!("{}: {identity}", identity.subject)));
        }
        for image in &self.not_as_locked {
            let _ = writeln!(out, "{}", plain(&format!("not as locked: {image}")));
        }
        for (title, entries) in self.groups() {
            if entries.is_empty() {
                continue;
            }
            let _ = writeln!(out, "\n{title}: {}", entries.len());
            for entry in entries.iter().take(limit(TRIALS)) {
                one(entry, limit(DIFFERENCES), look, &mut out);
            }
            let more = entries.len().saturating_sub(limit(TRIALS));
            if more > 0 {
                let _ = writeln!(out, "  ... and {more} more; the JSON document has all");
            }
        }
        if !self.left_out.is_empty() {
            let names: Vec<String> = self.left_out.iter().take(limit(NAMES)).map(|name| plain(name)).collect();
            let more = self.left_out.len() - names.len();
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            let why = if self.interrupted { "interrupted" } else { self.why_left_out };
            let _ = writeln!(out, "\nleft out, {why}: {}\n  {}{more}", self.left_out.len(), names.join("\n  "));
        }
        let ladder = self.ladder.text(look.width, look.colour);
        let between = if ladder.is_empty() { "" } else { "\n" };
        let [same, sum] = self.sum();
        let _ = writeln!(out, "{between}{ladder}\n{same}\n{sum}");
        out
    }
}

fn one(entry: &Entry, limit: usize, look: Look, out: &mut String) {
    let Entry { id, base, candidate, why, artifacts, .. } = entry;
    let _ = writeln!(out, "  {}", plain(id));
    if let Some(why) = why {
        let _ = writeln!(out, "    {}", plain(why));
    }
    for (name, result) in [("base", base), ("candidate", candidate)] {
        let _ = writeln!(out, "    {name:<9}  {}", plain(&line(result)));
    }
    // What the base does and the candidate does not is what got better; otherwise the candidate's
    // is of interest.
    let (result, whose) = if candidate.differences.is_empty() { (base, "base") } else { (candidate, "candidate") };
    if !result.differences.is_empty() {
        let _ = writeln!(out, "    the {whose}'s, after against before:");
        let text = epilogue::differences(&result.differences, 0, limit, look.width.saturating_sub(4), look.colour);
        text.lines().for_each(|line| {
            let _ = writeln!(out, "    {line}");
        });
    }
    if let Some(folder) = artifacts {
        let _ = writeln!(out, "    artifacts: {}", plain(&folder.display().to_string()));
    }
}

fn line(result: &SideResult) -> String {
    let reason = if result.reason.is_empty() { String::new() } else { format!(": {}", result.reason) };
    format!("{}{reason}", result.verdict())
}
