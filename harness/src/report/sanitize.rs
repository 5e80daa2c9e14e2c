//! Text for a terminal: colours, width, and control characters made visible.

use crate::judge::{Group, Verdict};

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

/// Text from a log or a file name, with everything that a terminal would act on made visible.
pub(crate) fn sanitized(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // Directional marks can turn a line around.
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        match c {
            '\t' => out.push(' '),
            c if c.is_control() || turns => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// The beginning of such a text on one line, at most `limit` characters of it.
pub(crate) fn brief(text: &str, limit: usize) -> String {
    let text = sanitized(text);
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// How many columns the text takes.
pub(crate) fn columns(text: &str) -> usize {
    console::measure_text_width(text)
}
