//! Causes and ladder for a terminal, no wider than it.

use std::fmt::Write;

use scenarios::capability::Base;

use crate::causes::Cause;
use crate::causes::ladder::{Cell, Ladder, Row};

use super::sanitize::{Colour, columns, paint, sanitized};

/// How many causes are shown; the reports have all.
const CAUSES: usize = 10;
/// The width of the name at the start of a row of the ladder, in columns.
const NAMES: usize = 20;

/// The causes in their order; nothing where fewer than two trials failed.
pub(crate) fn causes(causes: &[Cause], width: usize, colour: bool) -> String {
    let failures: usize = causes.iter().map(|cause| cause.count).sum();
    // A failure that is alone is described already.
    if failures < 2 {
        return String::new();
    }
    let plural = |count: usize, one: &str| if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") };
    let heading = format!("{} of {}", plural(causes.len(), "cause"), plural(failures, "failure"));
    let mut out = format!("{}\n", paint(colour, Colour::Bold, &heading));
    for (index, cause) in causes.iter().take(CAUSES).enumerate() {
        out.push_str(&one(index + 1, cause, width, colour));
    }
    if causes.len() > CAUSES {
        let _ = writeln!(out, "... and {} more; --report json=FILE or html=FILE has all", causes.len() - CAUSES);
    }
    out
}

/// `1. 28x restore-failed: what was said`, what blocks it, and the smallest program.
fn one(number: usize, cause: &Cause, width: usize, colour: bool) -> String {
    let head = format!("{number}. {}x {}: ", cause.count, cause.word());
    let room = width.saturating_sub(columns(&head));
    let first = sanitized(&cause.first);
    let first = console::truncate_str(&first, room, "...");
    let mut out = format!("{}{first}\n", paint(colour, Colour::Red, &head));
    if let Some(note) = cause.note() {
        let note = console::truncate_str(&sanitized(&note), width.saturating_sub(3), "...").into_owned();
        let _ = writeln!(out, "   {}", paint(colour, Colour::Bold, &note));
    }
    let scenario = cause.example.split('/').take(2).collect::<Vec<_>>().join("/");
    let steps: Vec<String> = cause.program.lines().map(sanitized).collect();
    match steps.is_empty() {
        true => out.push_str(&format!("   {}\n", sanitized(&cause.example))),
        false => {
            let text = format!("{}: {}", sanitized(&scenario), steps.join("; "));
            out.push_str(&wrapped(&text, "   ", width, 3));
        }
    }
    out
}

/// Words in lines no wider than `width`, each line with `indent`; at most so many lines.
fn wrapped(text: &str, indent: &str, width: usize, limit: usize) -> String {
    let room = width.saturating_sub(columns(indent)).max(20);
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is a first line");
        if !line.is_empty() && columns(line) + 1 + columns(word) > room {
            lines.push(word.to_owned());
        } else {
            line.push_str(if line.is_empty() { "" } else { " " });
            line.push_str(word);
        }
    }
    if lines.len() > limit {
        lines.truncate(limit);
        lines.last_mut().expect("the limit is not 0").push_str(" ...");
    }
    lines.iter().map(|line| format!("{indent}{}\n", console::truncate_str(line, room, "..."))).collect()
}

/// The ladder. Capabilities that come back on the same bases share a row: then each base has
/// `all` or `none`. A capability that comes back in part has a row of its own, with its
/// numbers.
pub(crate) fn ladder(ladder: &Ladder, width: usize, colour: bool) -> String {
    if ladder.is_empty() {
        return String::new();
    }
    let bases = ladder.bases();
    let rows = ladder.rows();
    let (clear, partial): (Vec<Row>, Vec<Row>) = rows.into_iter().filter(|row| *row != Row::Total).partition(|row| {
        let cells = bases.iter().filter_map(|base| ladder.cell(*row, *base));
        cells.into_iter().all(|cell| cell.passed == 0 || cell.passed == cell.all)
    });
    let mut out = paint(colour, Colour::Bold, &line("ladder", bases.iter().map(|base| (base.word(), None)), colour));
    let counted = |row: Row| {
        let cells = bases.iter().map(|base| ladder.cell(row, *base).map(count));
        cells.collect::<Vec<_>>()
    };
    for row in std::iter::once(Row::Total).chain(partial) {
        let cells = counted(row);
        out.push_str(&line(row.word(), cells.iter().map(cell_text), colour));
    }
    for (pattern, rows) in alike(ladder, &bases, &clear) {
        let words = pattern.iter().map(|cell| match cell {
            None => ("-", None),
            Some(true) => ("all", Some(Colour::Green)),
            Some(false) => ("none", Some(Colour::Red)),
        });
        out.push_str(&line("", words, colour));
        let names: Vec<&str> = rows.iter().map(|row| row.word()).collect();
        out.push_str(&wrapped(&names.join(", "), "  ", width, 8));
    }
    out
}

type Counted = Option<(String, Colour)>;

fn count(cell: Cell) -> (String, Colour) {
    let colour = match cell.passed {
        0 => Colour::Red,
        passed if passed == cell.all => Colour::Green,
        _ => Colour::Yellow,
    };
    (format!("{}/{}", cell.passed, cell.all), colour)
}

fn cell_text(cell: &Counted) -> (&str, Option<Colour>) {
    cell.as_ref().map_or(("-", None), |(text, colour)| (text.as_str(), Some(*colour)))
}

fn line<'a>(name: &str, cells: impl Iterator<Item = (&'a str, Option<Colour>)>, colour: bool) -> String {
    let mut out = format!("{name:<NAMES$}");
    for (text, painted) in cells {
        let text = format!("{text:>8}");
        out.push_str(&painted.map_or(text.clone(), |wanted| paint(colour, wanted, &text)));
    }
    out + "\n"
}

/// For each base whether all come back; `None` where it has no trials.
type Pattern = Vec<Option<bool>>;

/// Rows that do not contradict each other, together; a base without trials fits both.
fn alike(ladder: &Ladder, bases: &[Base], rows: &[Row]) -> Vec<(Pattern, Vec<Row>)> {
    let mut groups: Vec<(Pattern, Vec<Row>)> = Vec::new();
    for row in rows {
        let own: Pattern =
            bases.iter().map(|base| ladder.cell(*row, *base).map(|cell| cell.passed == cell.all)).collect();
        let fits = |pattern: &Pattern| {
            pattern.iter().zip(&own).all(|(one, other)| one.is_none() || other.is_none() || one == other)
        };
        match groups.iter_mut().find(|(pattern, _)| fits(pattern)) {
            Some((pattern, group)) => {
                pattern.iter_mut().zip(own).for_each(|(one, other)| *one = one.or(other));
                group.push(*row);
            }
            None => groups.push((own, vec![*row])),
        }
    }
    groups
}
