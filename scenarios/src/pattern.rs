//! Patterns for names: of scenarios, of what an expectation speaks of, of packages.

/// Whether the whole text fits the pattern: `*` is any text, also none; `[a-z]` is one byte of a
/// range; everything else is itself, a `[` that begins no range as well.
pub fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last `*` does not fit: that `*` takes one byte more.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p + 1, t));
            p += 1;
        } else if let Some(length) = one(&pattern[p..], text[t]) {
            (p, t) = (p + length, t + 1);
        } else if let Some((behind, from)) = star {
            star = Some((behind, from + 1));
            (p, t) = (behind, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// How many bytes of the pattern this byte of the text takes; `None` where it does not fit.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'[', low, b'-', high, b']', ..] => (low..=high).contains(&&byte).then_some(5),
        [literal, ..] => (*literal == byte).then_some(1),
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use arbtest::arbtest;

    use super::*;

    #[test]
    fn patterns_fit_whole_texts() {
        assert!(fits("linux-image-[0-9]*", "linux-image-6.1.0-50-cloud-amd64"));
        assert!(!fits("linux-image-[0-9]*", "linux-image-cloud-amd64"));
        assert!(fits("tzdata", "tzdata") && !fits("tzdata", "tzdata-legacy"));
        assert!(fits("*", "") && fits("", "") && !fits("", "a"));
        assert!(fits("a*b*c", "a-b-b-c") && !fits("a*b", "abc"));
        assert!(fits("a[b", "a[b") && fits("*aab", "aaab"));
    }

    /// As the definition says it, in exponential time.
    fn slow(pattern: &[u8], text: &[u8]) -> bool {
        match pattern {
            [] => text.is_empty(),
            [b'*', rest @ ..] => (0..=text.len()).any(|skip| slow(rest, &text[skip..])),
            _ => text
                .first()
                .and_then(|byte| one(pattern, *byte))
                .is_some_and(|length| slow(&pattern[length..], &text[1..])),
        }
    }

    #[test]
    fn the_fast_way_and_the_definition_agree() {
        arbtest(|u| {
            let mut word = |letters: &[&str]| -> arbitrary::Result<String> {
                (0..u.int_in_range(0..=6)?).map(|_| u.choose(letters).copied()).collect()
            };
            let (pattern, text) = (word(&["a", "b", "*", "[a-b]", "["])?, word(&["a", "b", "c", "["])?);
            assert_eq!(
                fits(&pattern, &text),
                slow(pattern.as_bytes(), text.as_bytes()),
                "pattern {pattern:?}, text {text:?}"
            );
            Ok(())
        });
    }
}
