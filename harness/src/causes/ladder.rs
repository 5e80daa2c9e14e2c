//! The ladder: what comes back, capability by base.
//!
//! A trial counts in the row of each of its capabilities and in the column of each of its bases.
//! A detail of a file that known defects lose (a time's fraction, say) does not affect a
//! capability, so such a trial counts as restored.

use std::collections::BTreeMap;

use scenarios::capability::{Base, Capability, Profile};
use serde::Serialize;

use super::case::{Case, End};

/// A row: every trial, those that need the base alone, or those that need a capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Row {
    /// Every trial.
    Total,
    /// No capability beside the base.
    Alone,
    /// This capability.
    Of(Capability),
}

impl Row {
    /// The word in reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Alone => "alone",
            Self::Of(capability) => capability.word(),
        }
    }
}

/// How many trials of a cell passed, of how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Restored.
    pub passed: usize,
    /// Restored or not.
    pub all: usize,
}

/// The table; a cell without trials is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ladder {
    cells: BTreeMap<(Row, Base), Cell>,
}

/// A cell as the JSON report has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CellRecord {
    /// The row's word: `total`, `alone`, or a capability.
    pub capability: String,
    /// The base.
    pub base: Base,
    /// See [`Cell::passed`].
    pub passed: usize,
    /// See [`Cell::all`].
    pub all: usize,
}

impl Ladder {
    /// Of these trials.
    pub fn of(cases: &[Case]) -> Self {
        let mut ladder = Self::default();
        for case in cases.iter().filter(|case| case.is_on_ladder()) {
            ladder.count(&case.profile, case.end == End::Good);
        }
        ladder
    }

    /// Counts a trial. A scenario that must be refused does not show what comes back.
    pub fn count(&mut self, profile: &Profile, passed: bool) {
        if profile.capabilities.contains(&Capability::Refusal) {
            return;
        }
        let own = profile.capabilities.iter().copied().map(Row::Of);
        let alone = profile.capabilities.is_empty().then_some(Row::Alone);
        for row in own.chain(alone).chain([Row::Total]) {
            for base in &profile.bases {
                let cell = self.cells.entry((row, *base)).or_default();
                cell.passed += usize::from(passed);
                cell.all += 1;
            }
        }
    }

    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The bases that have trials, in their order.
    pub fn bases(&self) -> Vec<Base> {
        Base::ALL.iter().copied().filter(|base| self.cell(Row::Total, *base).is_some()).collect()
    }

    /// The rows that have trials, in their order.
    pub fn rows(&self) -> Vec<Row> {
        let capabilities = Capability::ALL.iter().copied().map(Row::Of);
        let all = [Row::Total, Row::Alone].into_iter().chain(capabilities);
        all.filter(|row| Base::ALL.iter().any(|base| self.cell(*row, *base).is_some())).collect()
    }

    /// A cell, if it has trials.
    pub fn cell(&self, row: Row, base: Base) -> Option<Cell> {
        self.cells.get(&(row, base)).copied()
    }

    /// Every cell for the JSON report.
    pub fn records(&self) -> Vec<CellRecord> {
        let rows = self.rows().into_iter().flat_map(|row| self.bases().into_iter().map(move |base| (row, base)));
        let cells = rows.filter_map(|(row, base)| Some((row, base, self.cell(row, base)?)));
        let record = |(row, base, Cell { passed, all }): (Row, Base, Cell)| CellRecord {
            capability: row.word().to_owned(),
            base,
            passed,
            all,
        };
        cells.map(record).collect()
    }
}
