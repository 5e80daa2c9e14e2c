//! Name patterns of the manifest: `*` is any run of characters, `[0-9]` one of a range, everything else itself.
//!
//! Package names and paths need no more than that, so this is not a crate.

/// True when the whole name fits the pattern. A `[` without its `]` stands for itself.
pub(crate) fn fits(pattern: &str, name: &str) -> bool {
    fits_bytes(pattern.as_bytes(), name.as_bytes())
}

/// True when the name fits one of the patterns.
pub(crate) fn fits_any(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| fits(pattern, name))
}

fn fits_bytes(pattern: &[u8], name: &[u8]) -> bool {
    match pattern {
        [] => name.is_empty(),
        [b'*', rest @ ..] => (0..=name.len()).any(|skip| fits_bytes(rest, &name[skip..])),
        [b'[', low, b'-', high, b']', rest @ ..] => {
            name.first().is_some_and(|byte| (low..=high).contains(&byte)) && fits_bytes(rest, &name[1..])
        }
        [literal, rest @ ..] => name.first() == Some(literal) && fits_bytes(rest, &name[1..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_names() {
        assert!(fits("linux-image-[0-9]*", "linux-image-6.1.0-50-cloud-amd64"));
        assert!(!fits("linux-image-[0-9]*", "linux-image-cloud-amd64"));
        assert!(fits("tzdata", "tzdata"));
        assert!(!fits("tzdata", "tzdata-legacy"));
        assert!(fits("*", ""));
        assert!(fits("a*b*c", "a-b-b-c"));
        assert!(!fits("a*b", "abc"));
    }
}
