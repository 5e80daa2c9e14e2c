//! The ladders of both sides, beside each other: what comes back, capability by base.

use std::fmt::Write as _;

use scenarios::capability::Base;
use serde::Serialize;

use crate::causes::ladder::{Cell, Ladder, Row};
use crate::report::sanitize::{Colour, paint};

/// The width of the name at the start of a row, in columns.
const NAMES: usize = 20;
/// The width of a cell, in columns.
const CELL: usize = 16;

/// Both ladders. They count the same trials.
#[derive(Clone, Debug, Default)]
pub struct Ladders {
    /// Of the base.
    pub base: Ladder,
    /// Of the candidate.
    pub candidate: Ladder,
}

/// A cell as the JSON document has it.
#[derive(Clone, Debug, Serialize)]
struct Record {
    capability: &'static str,
    base: Base,
    base_passed: usize,
    candidate_passed: usize,
    all: usize,
}

impl Serialize for Ladders {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let record = |(row, base, old, new): (Row, Base, Cell, Cell)| Record {
            capability: row.word(),
            base,
            base_passed: old.passed,
            candidate_passed: new.passed,
            all: new.all,
        };
        serializer.collect_seq(self.cells().into_iter().map(record))
    }
}

impl Ladders {
    /// The cells that both have.
    fn cells(&self) -> Vec<(Row, Base, Cell, Cell)> {
        let bases = self.candidate.bases();
        let rows = self.candidate.rows().into_iter().flat_map(|row| bases.iter().map(move |base| (row, *base)));
        rows.filter_map(|(row, base)| Some((row, base, self.base.cell(row, base)?, self.candidate.cell(row, base)?)))
            .collect()
    }

    /// The rows in which something changed, below the sums; nothing where nothing did.
    pub(super) fn text(&self, width: usize, colour: bool) -> String {
        let cells = self.cells();
        let is_changed = |row: Row| cells.iter().any(|(of, _, old, new)| *of == row && old.passed != new.passed);
        let rows: Vec<Row> = self.candidate.rows().into_iter().filter(|row| is_changed(*row)).collect();
        if rows.is_empty() {
            return String::new();
        }
        let fit = (width.saturating_sub(NAMES) / CELL).max(1);
        let mut out = String::new();
        for bases in self.candidate.bases().chunks(fit) {
            let mut heading = format!("{:<NAMES$}", "ladder");
            bases.iter().for_each(|base| _ = write!(heading, "{:>CELL$}", base.word()));
            let _ = writeln!(out, "{}", paint(colour, Colour::Bold, &heading));
            for row in &rows {
                let _ = write!(out, "{:<NAMES$}", row.word());
                for base in bases {
                    let cell = cells.iter().find(|(of, at, ..)| of == row && at == base);
                    out.push_str(&cell.map_or_else(|| format!("{:>CELL$}", "-"), |cell| text_of(cell, colour)));
                }
                out.push('\n');
            }
        }
        out
    }
}

/// `3/5 -> 5/5`, or `5/5` where nothing changed.
fn text_of((_, _, old, new): &(Row, Base, Cell, Cell), colour: bool) -> String {
    let (from, to, all) = (old.passed, new.passed, new.all);
    match from.cmp(&to) {
        std::cmp::Ordering::Equal => format!("{:>CELL$}", format!("{to}/{all}")),
        order => {
            let wanted = if order.is_gt() { Colour::Red } else { Colour::Green };
            paint(colour, wanted, &format!("{:>CELL$}", format!("{from} -> {to}/{all}")))
        }
    }
}
