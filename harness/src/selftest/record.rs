//! What a selftest found, for people and for programs.

use std::collections::BTreeMap;
use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;

use super::LackRecord;

/// The version of the JSON document.
pub(super) const VERSION: u32 = 1;

/// How the result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A line each
    Human,
    /// One JSON document
    Json,
}

/// What became of one fault.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FaultRecord {
    /// Its name.
    pub name: &'static str,
    /// The kind that it must fail with.
    pub kind: &'static str,
    /// What it does wrong.
    pub text: &'static str,
    /// The scenarios that failed with this kind.
    pub caught_by: Vec<String>,
    /// Trials that were run.
    pub trials: usize,
    /// Why it was not: this kernel does not show it. Then it does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_tried: Option<&'static str>,
    /// The kinds that other scenarios failed with, and how many.
    pub other_kinds: BTreeMap<&'static str, usize>,
    /// Every trial passes without its probes; only with `--comparisons`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub needs_probes: bool,
}

/// The whole result.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Record {
    /// Of the document.
    pub version: u32,
    /// Faults that were caught.
    pub caught: usize,
    /// Faults that were tried.
    pub total: usize,
    /// Trials of the engine without a fault that passed, failed and were skipped.
    pub clean: [usize; 3],
    /// One for each fault.
    pub faults: Vec<FaultRecord>,
    /// One for each lack.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<LackRecord>,
    /// The trials of the engine without a fault that failed: name and reason.
    pub failures: Vec<(String, String)>,
    /// What each comparison is for; only with `--comparisons`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub comparisons: Vec<ComparisonRecord>,
}

/// What one comparison of the judge is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ComparisonRecord {
    /// Its name.
    pub name: &'static str,
    /// The faults that survive without it.
    pub needed_by: Vec<&'static str>,
    /// This kernel tells what it compares.
    pub shown: bool,
}

impl Record {
    /// The lacks with another result than they must have.
    pub fn unnamed(&self) -> usize {
        self.lacks.iter().filter(|lack| lack.wrong.is_some()).count()
    }

    /// Every fault was caught, the engine passed without one, and everything else is named.
    pub fn is_good(&self) -> bool {
        self.caught == self.total && self.clean[1] == 0 && self.unnamed() == 0 && self.dead() == 0
    }

    /// The comparisons that nothing needs; of those none is listed unless every fault is tried.
    pub fn dead(&self) -> usize {
        self.comparisons.iter().filter(|row| row.shown && row.needed_by.is_empty()).count()
    }
}

/// Writes the result.
///
/// # Errors
/// The writer's.
pub fn write(format: Format, record: &Record, out: &mut dyn Write) -> io::Result<()> {
    if format == Format::Json {
        serde_json::to_writer_pretty(&mut *out, record)?;
        return writeln!(out);
    }
    for fault in &record.faults {
        let by = match fault.caught_by.split_first() {
            Some((first, [])) => format!("caught by {first}"),
            Some((first, more)) => format!("caught by {first} and {} more", more.len()),
            None if fault.not_tried.is_some() => format!("not tried: {}", fault.not_tried.unwrap_or_default()),
            None => survived(fault),
        };
        writeln!(out, "{:27} {:17} {by}", fault.name, fault.kind)?;
    }
    for row in &record.comparisons {
        let for_what = match (row.needed_by.is_empty(), row.shown) {
            (false, _) => row.needed_by.join(", "),
            (true, true) => "NOTHING needs it".to_owned(),
            (true, false) => "this kernel does not tell it".to_owned(),
        };
        writeln!(out, "without {:19} survives: {for_what}", row.name)?;
    }
    let need_probes: Vec<&str> =
        record.faults.iter().filter(|fault| fault.needs_probes).map(|fault| fault.name).collect();
    if !need_probes.is_empty() {
        writeln!(out, "caught by probes alone ({}): {}", need_probes.len(), need_probes.join(", "))?;
    }
    record.lacks.iter().try_for_each(|lack| lack_line(lack, out))?;
    for (scenario, reason) in &record.failures {
        writeln!(out, "without a fault: {scenario}: {reason}")?;
    }
    writeln!(out, "\ncaught/total: {}/{}", record.caught, record.total)?;
    if !record.lacks.is_empty() {
        writeln!(out, "lacks named: {}/{}", record.lacks.len() - record.unnamed(), record.lacks.len())?;
    }
    let [passed, failed, skipped] = record.clean;
    let (passed, failed) = (passed + record.caught, failed + record.total - record.caught);
    let (passed, failed) = (passed + record.lacks.len() - record.unnamed(), failed + record.unnamed());
    writeln!(out, "result: {passed} passed, {failed} failed, {skipped} skipped")
}

fn lack_line(lack: &LackRecord, out: &mut dyn Write) -> io::Result<()> {
    let name = format!("lacks:{}", lack.name);
    let counts = format!("{} of {} that need it fail, {} pass", lack.failed.len(), lack.needing, lack.passed);
    write!(out, "{name:27} {:17} {counts}; ", lack.shows)?;
    match &lack.wrong {
        Some(wrong) => writeln!(out, "WRONG: {wrong}"),
        None => writeln!(out, "blocked by: {}", lack.blocked_by_text),
    }
}

fn survived(fault: &FaultRecord) -> String {
    let kinds: Vec<String> = fault.other_kinds.iter().map(|(kind, count)| format!("{kind} {count} times")).collect();
    let seen = if kinds.is_empty() { "nothing was seen".to_owned() } else { format!("seen: {}", kinds.join(", ")) };
    format!("SURVIVED {} trials; {seen}", fault.trials)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use protocol::lack::Shows;
    use scenarios::capability::{Capability, Word};

    use super::*;

    fn lack(name: &'static str, wrong: Option<String>) -> LackRecord {
        LackRecord {
            name,
            needs: Word::Capability(Capability::Deleted),
            shows: Shows::AtDump,
            text: "A deleted file is refused.",
            needing: 3,
            failed: vec!["x/y".into(), "x/z".into()],
            passed: 40,
            kinds: BTreeMap::from([("dump-failed", 2)]),
            blocked_by: vec![Word::Capability(Capability::Deleted)],
            blocked_by_text: "deleted file or directory".to_owned(),
            unexpected: Vec::new(),
            wrong,
        }
    }

    #[test]
    fn what_a_lack_blocks_is_named() {
        let wrong = Some("nothing failed".to_owned());
        let record = Record { lacks: vec![lack("deleted", None), lack("overlay", wrong)], ..Record::default() };
        let mut out = Vec::new();
        write(Format::Human, &record, &mut out).expect("memory");
        expect![[r"
            lacks:deleted               at dump           2 of 3 that need it fail, 40 pass; blocked by: deleted file or directory
            lacks:overlay               at dump           2 of 3 that need it fail, 40 pass; WRONG: nothing failed

            caught/total: 0/0
            lacks named: 1/2
            result: 1 passed, 1 failed, 0 skipped
        "]]
        .assert_eq(&String::from_utf8(out).expect("text"));
    }

    #[test]
    fn survivors_are_loud() {
        let caught = FaultRecord { name: "a", kind: "litter", caught_by: vec!["x/y".into()], ..FaultRecord::default() };
        let other_kinds = BTreeMap::from([("wrong-path", 2)]);
        let survivor = FaultRecord { name: "b", kind: "hang", trials: 9, other_kinds, ..FaultRecord::default() };
        let record =
            Record { caught: 1, total: 2, clean: [7, 0, 1], faults: vec![caught, survivor], ..Record::default() };
        let mut out = Vec::new();
        write(Format::Human, &record, &mut out).expect("memory");
        let text = String::from_utf8(out).expect("text");
        expect![[r"
            a                           litter            caught by x/y
            b                           hang              SURVIVED 9 trials; seen: wrong-path 2 times

            caught/total: 1/2
            result: 8 passed, 1 failed, 1 skipped
        "]]
        .assert_eq(&text);
    }
}
