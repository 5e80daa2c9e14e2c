//! The result of a gate: a JSON document, and the same for people.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::Duration;

use serde::Serialize;

use super::compare::{Change, Seen, ever, sign};
use super::rounds::{End, Pair};
use super::{Format, GateArgs};
use crate::judge::verdict::flavor_word;
use crate::judge::{Difference, FailureKind, Verdict};
use crate::report::terminal::{Detail, Look};
use crate::report::{artifacts, epilogue};

/// The version of the document's shape.
const VERSION: u32 = 1;

/// How many trials of each kind are told to people in full.
const TRIALS: usize = 20;
/// How many differences of each.
const DIFFERENCES: usize = 3;

/// Who was compared.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Sides {
    pub(super) base: String,
    pub(super) candidate: String,
}

/// The document; a contract, `docs/FORMATS.md`.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Document {
    version: u32,
    #[serde(flatten)]
    sides: Sides,
    worse: Vec<Entry>,
    better: Vec<Entry>,
    different: Vec<Entry>,
    flaky: Vec<Entry>,
    undecided: Vec<Entry>,
    same: usize,
    unsupported: usize,
    left_out: Vec<String>,
    seconds: f64,
    #[serde(skip)]
    interrupted: bool,
}

/// A trial that is not the same with both.
#[derive(Clone, Debug, Serialize)]
struct Entry {
    /// The trial without its subject.
    id: String,
    scenario: String,
    family: String,
    flavor: &'static str,
    lifecycle: &'static str,
    kernel: String,
    /// Why nothing was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    base: Told,
    candidate: Told,
    /// The folder of the candidate's failure, below `--keep`.
    #[serde(skip)]
    artifacts: String,
}

/// What one of them did.
#[derive(Clone, Debug, Serialize)]
struct Told {
    verdict: &'static str,
    kind: Option<FailureKind>,
    reason: String,
    passed: usize,
    runs: usize,
    /// Those of the other one left out.
    differences: Vec<Difference>,
}

impl Told {
    /// The last run that tells the most: a failure before a pass, both before nothing.
    fn of(seen: &[Seen], other: &[Seen]) -> Self {
        let rank = |one: &&Seen| match one.judgement.verdict {
            Verdict::Pass | Verdict::Xpass | Verdict::Unsupported => 1,
            _ if one.is_unknown() => 0,
            _ => 2,
        };
        let most = seen.iter().max_by_key(rank).expect("what was not run is left out");
        let others = ever(other);
        let own = |difference: &&Difference| !others.contains(&sign(difference));
        Self {
            verdict: match most.judgement.verdict {
                // The words of a run with expectations stand in saved reports.
                Verdict::Xfail(_) | Verdict::ChangedFail(_) => "fail",
                Verdict::Xpass => "pass",
                verdict => verdict.word(),
            },
            kind: most.judgement.verdict.kind(),
            reason: most.judgement.reason.clone(),
            passed: seen.iter().filter(|one| matches!(one.outcome, super::compare::Outcome::Pass)).count(),
            runs: seen.len(),
            differences: most.judgement.differences.iter().filter(own).cloned().collect(),
        }
    }

    fn line(&self) -> String {
        let kind = self.kind.map_or_else(String::new, |kind| format!("({kind})"));
        let count =
            if self.runs == 1 { String::new() } else { format!(", passed in {} of {} runs", self.passed, self.runs) };
        let reason = if self.reason.is_empty() { String::new() } else { format!(": {}", self.reason) };
        format!("{}{kind}{count}{reason}", self.verdict)
    }
}

impl Document {
    pub(super) fn new(sides: Sides, pairs: Vec<(Pair, End)>, took: Duration) -> Self {
        let mut document = Self {
            version: VERSION,
            sides,
            worse: Vec::new(),
            better: Vec::new(),
            different: Vec::new(),
            flaky: Vec::new(),
            undecided: Vec::new(),
            same: 0,
            unsupported: 0,
            left_out: Vec::new(),
            seconds: (took.as_secs_f64() * 1000.0).round() / 1000.0,
            interrupted: crate::interrupt::requested(),
        };
        for (pair, end) in pairs {
            document.add(&pair, end);
        }
        document
    }

    fn add(&mut self, pair: &Pair, end: End) {
        let trial = &pair.trial;
        let (flavor, lifecycle) = (flavor_word(trial.flavor), trial.lifecycle.word());
        let id = format!("{}/{flavor}/{lifecycle}/{}", trial.scenario, trial.kernel);
        let entry = |why| Entry {
            id: id.clone(),
            scenario: trial.scenario.clone(),
            family: trial.family.clone(),
            flavor,
            lifecycle,
            kernel: trial.kernel.clone(),
            why,
            base: Told::of(&pair.base, &pair.candidate),
            candidate: Told::of(&pair.candidate, &pair.base),
            artifacts: artifacts::folder_name(&trial.to_string()),
        };
        match end {
            End::Change(Change::Same) => self.same += 1,
            End::Change(Change::Unsupported) => self.unsupported += 1,
            End::Change(Change::Worse) => self.worse.push(entry(None)),
            End::Change(Change::Better) => self.better.push(entry(None)),
            End::Change(Change::Different) => self.different.push(entry(None)),
            End::Change(Change::Undecided) => self.undecided.push(entry(None)),
            End::Flaky(why) => self.flaky.push(entry(Some(why))),
            End::Undecided(why) => self.undecided.push(entry(Some(why))),
            End::LeftOut => self.left_out.push(id),
        }
    }

    pub(super) fn exit_status(&self, strict: bool) -> u8 {
        let decided = self.same + self.better.len() + self.different.len() + self.flaky.len();
        match () {
            () if self.interrupted => 130,
            () if !self.worse.is_empty() || (strict && !self.different.is_empty()) => 1,
            () if !self.undecided.is_empty() => 3,
            () if decided == 0 => 4,
            () => 0,
        }
    }

    pub(super) fn write(&self, args: &GateArgs) -> io::Result<()> {
        let text = match args.format {
            Format::Json => serde_json::to_string_pretty(self)? + "\n",
            Format::Human => self.human(args, Look::detect(args.color, Detail::Lines, false)),
        };
        io::stdout().lock().write_all(text.as_bytes())
    }

    fn human(&self, args: &GateArgs, look: Look) -> String {
        let mut out = format!("base       {}\ncandidate  {}\n", self.sides.base, self.sides.candidate);
        for (title, entries) in self.groups() {
            if entries.is_empty() {
                continue;
            }
            let _ = writeln!(out, "\n{title}: {}", entries.len());
            for entry in entries.iter().take(TRIALS) {
                self.entry(entry, args, look, &mut out);
            }
            if entries.len() > TRIALS {
                let _ = writeln!(out, "  ... and {} more; --format json has all", entries.len() - TRIALS);
            }
        }
        if !self.left_out.is_empty() {
            let names: Vec<&str> = self.left_out.iter().take(5).map(String::as_str).collect();
            let more = self.left_out.len() - names.len();
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            let why = if self.interrupted { "interrupted" } else { "no time was left" };
            let _ = writeln!(out, "\nleft out, {why}: {}\n  {}{more}", self.left_out.len(), names.join("\n  "));
        }
        let _ = writeln!(
            out,
            "\n{} the same, {} unsupported, {} left out, in {:.1} s\ngate: {} worse, {} better, {} differently bad, {} flaky, \
             {} undecided",
            self.same,
            self.unsupported,
            self.left_out.len(),
            self.seconds,
            self.worse.len(),
            self.better.len(),
            self.different.len(),
            self.flaky.len(),
            self.undecided.len()
        );
        out
    }

    fn groups(&self) -> [(&'static str, &[Entry]); 5] {
        [
            ("worse", &self.worse),
            ("better", &self.better),
            ("differently bad", &self.different),
            ("flaky, the same when run again", &self.flaky),
            ("undecided", &self.undecided),
        ]
    }

    fn entry(&self, entry: &Entry, args: &GateArgs, look: Look, out: &mut String) {
        let Entry { id, base, candidate, why, .. } = entry;
        let _ = writeln!(out, "  {id}");
        if let Some(why) = why {
            let _ = writeln!(out, "    {why}");
        }
        for (name, told) in [("base", base), ("candidate", candidate)] {
            let _ = writeln!(out, "    {name:<9}  {}", epilogue::plain(&told.line()));
        }
        // What the base does and the candidate does not is what got better; otherwise the candidate's is of interest.
        let (told, whose) = if candidate.differences.is_empty() { (base, "base") } else { (candidate, "candidate") };
        if !told.differences.is_empty() {
            let _ = writeln!(out, "    the {whose}'s, after against before:");
            let text =
                epilogue::differences(&told.differences, 0, DIFFERENCES, look.width.saturating_sub(4), look.colour);
            text.lines().for_each(|line| {
                let _ = writeln!(out, "    {line}");
            });
        }
        let folder = args.keep.join(&entry.artifacts);
        if folder.exists() {
            let _ = writeln!(out, "    artifacts: {}", folder.display());
        }
    }
}
