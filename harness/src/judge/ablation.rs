//! Which comparison a planted fault needs: its trials are judged again without each comparison in
//! turn, and one without which no trial catches the fault is needed. A comparison that no fault
//! needs is dead, or a scenario is missing.
//!
//! `selftest --comparisons` runs every fault in the scenarios that are likely to catch it, judges
//! each report again without each comparison, and names the faults that survive. A test demands one
//! for every row. So a new comparison comes with a fault that only it catches, in
//! `protocol/src/fault.rs` and at one place of the engine.
//!
//! - What follows from other rows gets no row. Which mount a path leads to follows from the mount
//!   table, from the mount of the object where it starts, and from lookups that may not leave that
//!   mount (`RESOLVE_NO_XDEV`). So it is a part of `lookups`.
//! - A fault that the looks do not see at all needs the probes, be it one group or several.
//! - `process-number` and `change-times` are compared only where nothing was restored. Their faults
//!   declare the lifecycle `leave-running`.
//! - `statmount` needs Linux 7.0. Elsewhere its fault is not tried: `selftest --comparisons
//!   --backend vm --kernel 7.3`.

use std::collections::BTreeSet;

use protocol::message::{Lifecycle, TrialReport};
use scenarios::Scenario;

use super::comparisons::{self, STATMOUNT};
use super::{Context, Judge, Judgement, Verdict};

/// The trials of one fault, judged with all comparisons and without each of them.
#[derive(Clone, Debug)]
pub struct Ablation {
    kind: &'static str,
    caught: bool,
    /// Without any one of these the fault is not caught so far.
    survives_without: BTreeSet<&'static str>,
    /// Something is wrong in a trial as the looks see it, without its probes.
    shows_without_probes: bool,
    statmount: bool,
}

impl Ablation {
    /// No trial yet; `kind` is the kind of failure that the fault must cause.
    pub fn new(kind: &'static str) -> Self {
        let survives_without = comparisons::ALL.iter().map(|row| row.name).collect();
        Ablation { kind, caught: false, survives_without, shows_without_probes: false, statmount: false }
    }

    /// One more trial. The taint of its machine does not count.
    pub fn add(&mut self, scenario: &Scenario, lifecycle: Lifecycle, report: &TrialReport) {
        let context = Context { lifecycle, tainted_before: report.tainted, probed: report.probes.is_some() };
        let judged = |disabled| Judge { disabled }.judge(scenario, context, report);
        let kind = self.kind.parse().ok();
        let is_catch = |judgement: &Judgement| kind.is_some_and(|kind| judgement.has_kind(kind));
        let whole = judged(None);
        // A comparison that found no difference changes nothing when it is left out.
        let has_a_say = |row: &str| {
            whole.more_differences > 0 || whole.differences.iter().any(|difference| difference.comparison == row)
        };
        let catches_without = |row| is_catch(&if has_a_say(row) { judged(Some(row)) } else { whole.clone() });
        let caught = is_catch(&whole);
        let survives = self.survives_without.iter().copied().filter(|&row| !catches_without(row)).collect();
        self.caught |= caught;
        self.survives_without = survives;
        let looked_at = Judge::default().judge(scenario, Context { probed: false, ..context }, report);
        self.shows_without_probes |= looked_at.verdict != Verdict::Pass;
        self.statmount |= Ablation::has_statmount(report);
    }

    /// Whether the trial's kernel has statmount(2) by descriptor.
    pub fn has_statmount(report: &TrialReport) -> bool {
        let mut objects = report.before.iter().flat_map(|seen| &seen.inside.objects);
        objects.any(|object| object.statmount.is_some())
    }

    /// The comparisons without which the mistake survives, and with which it does not.
    pub fn needs(&self) -> impl Iterator<Item = &'static str> {
        self.survives_without.iter().copied().filter(|_| self.caught)
    }

    /// Whether it is caught, and every trial passes without its probes.
    pub fn needs_probes(&self) -> bool {
        self.caught && !self.shows_without_probes
    }

    /// Whether it is caught whichever comparison is left out: no more trials are needed.
    pub fn is_settled(&self) -> bool {
        self.caught && self.survives_without.is_empty()
    }

    /// Whether its trials can show what this comparison is for: not all kernels tell everything.
    pub fn shows(&self, row: &str) -> bool {
        row != STATMOUNT || self.statmount
    }
}
