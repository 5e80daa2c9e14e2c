//! What is wrong with a text, where, and what would be right.

use std::fmt;
use std::path::PathBuf;

use unicode_width::UnicodeWidthChar;

/// One mistake in a scenario file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file.
    pub path: PathBuf,
    /// 1-based; 0 for a mistake of the file as a whole.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
    /// How many characters are wrong, at least 1.
    pub length: usize,
    /// The line as it is in the file; bytes that are not UTF-8 are replaced.
    pub source: String,
    /// What is wrong.
    pub what: String,
    /// What could stand there; empty when the message says it all.
    pub expected: Vec<String>,
    /// Further advice: the word that was probably meant.
    pub hint: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        if self.line == 0 {
            write!(f, "{path}: {}", self.what)?;
        } else {
            let (line, column) = (self.line, self.column);
            let margin = " ".repeat(line.to_string().len());
            let source: String = self.source.chars().map(harmless).collect();
            writeln!(f, "{path}:{line}:{column}: {}", self.what)?;
            writeln!(f, "{margin} |")?;
            writeln!(f, "{line} | {source}")?;
            write!(f, "{margin} | {}", carets(&source, column, self.length))?;
        }
        if !self.expected.is_empty() {
            write!(f, "\n  expected: {}", self.expected.join(", "))?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  {hint}")?;
        }
        Ok(())
    }
}

/// Control characters must not reach a terminal.
fn harmless(c: char) -> char {
    if c.is_control() && c != '\t' { '\u{fffd}' } else { c }
}

/// The line below the source line: blanks as wide as what stands before the column (tabs stay
/// tabs), then carets.
fn carets(source: &str, column: usize, length: usize) -> String {
    let width = |c: char| c.width().unwrap_or(0);
    let blank = |c: char| if c == '\t' { "\t".to_owned() } else { " ".repeat(width(c)) };
    let mut line: String = source.chars().take(column - 1).map(blank).collect();
    let wrong: usize = source.chars().skip(column - 1).take(length).map(width).sum();
    line.push_str(&"^".repeat(wrong.max(1)));
    line
}

/// The word among `known` that `word` was probably meant to be.
pub(crate) fn near_miss<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = word.chars().count().div_ceil(3).min(3);
    let far = |other: &&str| distance(word, other);
    known.into_iter().filter(|other| distance(word, other) <= limit).min_by_key(far)
}

/// The advice for a near miss.
pub(crate) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    near_miss(word, known).map(|meant| format!("did you mean `{meant}`?"))
}

/// How many characters must be inserted, removed, replaced or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carets_stand_below_wide_and_narrow_characters_and_tabs() {
        let diagnostic = |source: &str, column, length| Diagnostic {
            path: "x.scn".into(),
            line: 12,
            column,
            length,
            source: source.to_owned(),
            what: "wrong".to_owned(),
            expected: vec!["right".to_owned(), "better".to_owned()],
            hint: None,
        };
        expect_test::expect![[r#"
            x.scn:12:8: wrong
               |
            12 | 	größe 漢字 bad
               | 	      ^^^^
              expected: right, better"#]]
        .assert_eq(&diagnostic("\tgröße 漢字 bad", 8, 2).to_string());
        expect_test::expect![[r#"
            x.scn:12:1: wrong
               |
            12 | �[31m
               | ^
              expected: right, better"#]]
        .assert_eq(&diagnostic("\u{1b}[31m", 1, 1).to_string());
    }

    #[test]
    fn near_misses() {
        let known = ["umount", "umount-lazy", "unlink", "mkdir", "rmdir"];
        assert_eq!(near_miss("umount-lasy", known), Some("umount-lazy"));
        assert_eq!(near_miss("unmout", known), Some("umount"));
        assert_eq!(near_miss("mkdri", known), Some("mkdir"));
        assert_eq!(near_miss("zebra", known), None);
    }
}
