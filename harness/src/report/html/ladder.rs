//! The ladder as a coloured table: capability by base. A cell of a run leads to its trials.

use maud::{Markup, html};
use scenarios::capability::{Base, Capability};

use super::super::comparison::Ladders;
use crate::causes::ladder::{CellRecord, Row};

/// The section of a run; nothing where no report says what its programs need.
pub(super) fn ladder(cells: &[CellRecord]) -> Markup {
    let what = "How many trials came back, of how many: capability by base.";
    section("Ladder", what, cells, 1, |row, base| chosen(cell(cells, row, base)))
}

/// Both ladders of a comparison side by side, base by base; what changed is marked.
pub(super) fn both(ladders: &Ladders) -> Markup {
    let (old, new) = (ladders.base.records(), ladders.candidate.records());
    let what = "How many trials came back with the base | with the candidate: capability by base of the mount.";
    section("Ladders", what, &new, 2, |row, base| pair(cell(&old, row, base), cell(&new, row, base)))
}

/// A section with a table of these rows and bases, each base that many columns wide.
fn section(
    title: &str,
    what: &str,
    cells: &[CellRecord],
    wide: usize,
    filled: impl Fn(&str, Base) -> Markup,
) -> Markup {
    let bases = bases(cells);
    let scope = if wide == 1 { "col" } else { "colgroup" };
    let columns = (wide > 1).then_some(wide);
    html! {
        @if !cells.is_empty() {
            section.ladder aria-label=(title) {
                h2 { (title) }
                p.common { (what) }
                div.scroll { table {
                    thead { tr {
                        th scope="col" { "capability" }
                        @for base in &bases { th scope=(scope) colspan=[columns] title=(base.about()) { (base) } }
                    } }
                    tbody { @for row in rows(cells) { tr {
                        th scope="row" title=(about(row)) { (row) }
                        @for base in &bases { (filled(row, *base)) }
                    } } }
                } }
            }
        }
    }
}

/// A cell with its link into the list of trials.
fn chosen(cell: Option<&CellRecord>) -> Markup {
    let Some(cell) = cell else { return html! { td {} } };
    let CellRecord { capability, base, passed, all } = cell;
    // The row of all trials asks for no capability.
    let query = match capability == Row::Total.word() {
        true => format!("#base={base}"),
        false => format!("#base={base}&capability={capability}"),
    };
    html! {
        td.(colour(cell)) data-capability=(capability) data-base=(base) {
            a.choose href=(query) title=(format!("{capability} on {base}: {passed} of {all}")) { (passed) "/" (all) }
        }
    }
}

/// The cells of both sides.
fn pair(old: Option<&CellRecord>, new: Option<&CellRecord>) -> Markup {
    let count = |cell: Option<&CellRecord>| cell.map_or(0, |cell| cell.passed);
    let sign = match count(new).cmp(&count(old)) {
        std::cmp::Ordering::Less => "\u{25bc}",
        std::cmp::Ordering::Equal => "",
        std::cmp::Ordering::Greater => "\u{25b2}",
    };
    let one = |side: &str, cell: Option<&CellRecord>, sign: &str| {
        let Some(cell) = cell else { return html! { td {} } };
        html! {
            td.(colour(cell)) data-side=(side) data-capability=(cell.capability) data-base=(cell.base) {
                (cell.passed) "/" (cell.all) (sign)
            }
        }
    };
    html! { (one("base", old, "")) (one("candidate", new, sign)) }
}

/// The class of a cell's colour.
fn colour(cell: &CellRecord) -> &'static str {
    match cell.passed {
        0 => "none",
        passed if passed == cell.all => "all",
        _ => "some",
    }
}

/// The bases that have trials, in their order.
pub(super) fn bases(cells: &[CellRecord]) -> Vec<Base> {
    Base::ALL.iter().copied().filter(|base| cells.iter().any(|cell| cell.base == *base)).collect()
}

/// The rows, in the order of the cells.
pub(super) fn rows(cells: &[CellRecord]) -> Vec<&str> {
    let mut rows: Vec<&str> = Vec::new();
    for cell in cells {
        if !rows.contains(&cell.capability.as_str()) {
            rows.push(&cell.capability);
        }
    }
    rows
}

fn cell<'a>(cells: &'a [CellRecord], row: &str, base: Base) -> Option<&'a CellRecord> {
    cells.iter().find(|cell| cell.capability == row && cell.base == base)
}

/// What a row counts.
fn about(row: &str) -> &'static str {
    match row.parse::<Capability>() {
        Ok(capability) => capability.about(),
        Err(_) if row == Row::Total.word() => "Every trial.",
        Err(_) => "Trials that need nothing beside the base.",
    }
}
