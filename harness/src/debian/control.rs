//! Control data as Debian's archive has it (deb822(5)): paragraphs of fields.

/// The paragraphs of a text, each still as text.
pub(super) fn paragraphs(text: &str) -> impl Iterator<Item = Paragraph<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(['\r', '\n']);
        if rest.is_empty() {
            return None;
        }
        let (paragraph, behind) = rest.split_once("\n\n").unwrap_or((rest, ""));
        rest = behind;
        Some(Paragraph { text: paragraph })
    })
}

/// Fields, one a line; lines that start with a space continue the one above.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paragraph<'a> {
    text: &'a str,
}

impl<'a> Paragraph<'a> {
    /// The lines of a field: what is behind the colon, then what continues it. Empty without such a
    /// field.
    pub(super) fn lines(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let mut lines = self.text.lines();
        let first = lines.find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        });
        let behind = lines.take_while(|line| line.starts_with([' ', '\t'])).map(str::trim);
        first.into_iter().chain(behind)
    }

    /// A field of one line; empty without such a field.
    pub(super) fn field(&self, name: &str) -> &'a str {
        self.lines(name).next().unwrap_or_default()
    }

    /// The rows of a field that lists files: `HASH SIZE NAME`.
    pub(super) fn files(&self, name: &str) -> impl Iterator<Item = Listed<'a>> {
        self.lines(name).filter_map(|line| {
            let mut words = line.split_whitespace();
            let (sha256, size, name) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
            Some(Listed { name, sha256, size })
        })
    }
}

/// A file that signed data lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listed<'a> {
    pub(super) name: &'a str,
    pub(super) sha256: &'a str,
    pub(super) size: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_lines_and_paragraphs_have_fields() {
        let text = "Package: a\nDescription: short\n long: text\n .\nDepends: b,\n c\n\n\nPackage: d\nSHA256:\n 12 5 x/y\n bad\n";
        let paragraphs: Vec<_> = paragraphs(text).collect();
        assert_eq!(paragraphs.len(), 2);
        assert_eq!(paragraphs[0].field("package"), "a");
        assert_eq!(paragraphs[0].field("long"), "");
        assert_eq!(paragraphs[0].lines("Depends").collect::<String>(), "b,c");
        assert_eq!(paragraphs[1].field("Package"), "d");
        let files: Vec<_> = paragraphs[1].files("SHA256").collect();
        assert_eq!(files, [Listed { name: "x/y", sha256: "12", size: 5 }]);
    }

    #[test]
    fn any_text_is_read() {
        arbtest::arbtest(|u| {
            let text: String = (0..u.int_in_range(0..=80)?)
                .map(|_| u.choose(&["A", ":", " ", "\n", "\n\n", "\r", "é", "SHA256:", "\n 1 2 n"]).copied())
                .collect::<Result<_, _>>()?;
            let size: usize = paragraphs(&text)
                .map(|paragraph| {
                    assert!(!paragraph.text.is_empty() && !paragraph.text.contains("\n\n"));
                    paragraph.lines("A").map(str::len).sum::<usize>() + paragraph.files("SHA256").count()
                })
                .sum();
            assert!(size <= text.len());
            Ok(())
        });
    }
}
