//! Text for a terminal: colours and width, and the functions that make it harmless.

use crate::judge::{Group, Verdict};
pub(crate) use crate::sanitize::{brief, sanitized};

/// A colour, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    Green,
    Yellow,
    Red,
    Bold,
    Dim,
}

/// Text in a colour, when colours are wanted.
pub(crate) fn paint(wanted: bool, colour: Colour, text: &str) -> String {
    if !wanted {
        return text.to_owned();
    }
    let code = match colour {
        Colour::Green => "32",
        Colour::Yellow => "33",
        Colour::Red => "1;31",
        Colour::Bold => "1",
        Colour::Dim => "2",
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

/// The colour of a verdict: an expected failure is not green, so that a reader does not take it for
/// a pass.
pub(crate) fn colour_of(verdict: Verdict) -> Colour {
    match (verdict, verdict.group()) {
        (Verdict::Pass | Verdict::Improved, _) => Colour::Green,
        (_, Group::Failed) => Colour::Red,
        _ => Colour::Yellow,
    }
}

/// How many columns the text takes.
pub(crate) fn columns(text: &str) -> usize {
    console::measure_text_width(text)
}
