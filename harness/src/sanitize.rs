//! Text from anywhere, made harmless: names, comments, logs, what a guest has sent. Everything that
//! is printed or goes into a document for people passes here, so that there is one answer to what
//! a terminal or a parser could act on.

/// On one line, with everything that a terminal would act on, that turns a line around, or that
/// documents may not have (XML 1.0, 2.2), made visible.
pub fn sanitized(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push(' '),
            c if c.is_control() || is_mark(c) || is_noncharacter(c) => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// The same with its lines as they are.
pub fn sanitized_lines(text: &str) -> String {
    text.split('\n').map(sanitized).collect::<Vec<_>>().join("\n")
}

/// The beginning of such a text on one line, at most `limit` characters of it.
pub fn brief(text: &str, limit: usize) -> String {
    let text = sanitized(text);
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// Marks without a width: of direction, of byte order, and the line ends that are not control
/// characters.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Code points that are no characters (Unicode, 23.7). XML 1.0 forbids two of them.
fn is_noncharacter(c: char) -> bool {
    u32::from(c) & 0xfffe == 0xfffe || matches!(c, '\u{fdd0}'..='\u{fdef}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_act_is_visible_and_the_rest_is_as_it_was() {
        let hostile = "a\u{1b}[2J\r\n\0\u{7f}\u{9b}\u{202e}\u{2028}\u{feff}\u{fffe}\u{1ffff}\u{fdd0}";
        assert_eq!(
            sanitized(hostile),
            r"a\u{1b}[2J\r\n\u{0}\u{7f}\u{9b}\u{202e}\u{2028}\u{feff}\u{fffe}\u{1ffff}\u{fdd0}"
        );
        let harmless = "größe/日本 \u{1f600}e\u{301} ~\"'<&>\\\u{fffd}";
        assert_eq!(sanitized(harmless), harmless);
        assert_eq!(sanitized_lines("a\tb\n\u{1b}c\n"), "a b\n\\u{1b}c\n");
        assert_eq!(brief("\u{1b}23456789", 7), r"\u{1b}2...");
    }
}
