//! Text from anywhere inside Markdown: it is shown, and makes no markup, no link and no further
//! cell of a table.

use std::fmt::Write;

use super::sanitize::sanitized;

/// What begins or ends markup somewhere, in GitHub's Markdown: HTML, emphasis, links, code, cells,
/// issues and people.
const MARKUP: &str = "&<>|\\`*_[]!#~@$";

/// As plain text. What could be markup stands as a character reference, which never is.
pub(super) fn text(text: &str) -> String {
    let mut out = String::new();
    for c in sanitized(text).chars() {
        match c {
            c if MARKUP.contains(c) => _ = write!(out, "&#{};", u32::from(c)),
            c => out.push(c),
        }
    }
    // An address would become a link.
    out.replace("://", "&#58;//").replace("www.", "www&#46;")
}

/// The same in the type of code. Not in backquotes: character references mean nothing there, and no
/// escape helps against every `|` and backquote in a table.
pub(super) fn code(name: &str) -> String {
    format!("<code>{}</code>", text(name))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn nothing_is_markup() {
        let hostile =
            "a | b\n<script>alert(1)</script> ![x](https://e.invalid/y) `c` \\| @all **b** www.e.invalid\u{1b}[2J";
        expect![[
            r"a &#124; b&#92;n&#60;script&#62;alert(1)&#60;/script&#62; &#33;&#91;x&#93;(https&#58;//e.invalid/y) &#96;c&#96; &#92;&#124; &#64;all &#42;&#42;b&#42;&#42; www&#46;e.invalid&#92;u{1b}&#91;2J"
        ]]
        .assert_eq(&text(hostile));
        assert_eq!(code("deleted/hard_link@ext4"), "<code>deleted/hard&#95;link&#64;ext4</code>");
    }
}
