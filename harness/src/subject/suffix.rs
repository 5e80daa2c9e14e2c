//! Suffixes of a subject that is built from sources: how it is built, and patches on top.
//!
//! A folder may have a `+` in its name, so only the words that are known are taken off, from the
//! end; what is left is the folder's. Where that is not there, [`meant`] says what may have been
//! meant.

use std::path::PathBuf;

use super::UnknownSubject;
use super::criu::Variant;

/// Stands before each patch.
const PATCH: &str = "+patch:";
/// Stands before the suite of a build root.
const BUILD: &str = "+build=";
const COVERAGE: &str = "+coverage";
const ASAN: &str = "+asan";

/// All of them, for messages.
pub(super) const FORMS: &str = "+build=SUITE, +coverage, +asan or +patch:FILE";

/// A word, split into its parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    /// What stands before.
    pub(super) head: &'a str,
    pub(super) variant: Variant,
    pub(super) patches: Vec<PathBuf>,
}

/// Splits a word. The ways to build may come before, between and after the patches.
pub(super) fn take_apart(word: &str) -> Result<Parts<'_>, UnknownSubject> {
    let mut parts = Parts::default();
    for (number, part) in word.split(PATCH).enumerate() {
        let rest = take_ways(word, part, &mut parts.variant)?;
        match number {
            0 => parts.head = rest,
            _ if rest.is_empty() => return Err(incomplete(word, "a file behind +patch:")),
            _ => parts.patches.push(rest.into()),
        }
    }
    if parts.variant.asan && parts.variant.coverage {
        return Err(UnknownSubject::Both(word.to_owned()));
    }
    Ok(parts)
}

/// Takes the ways to build off the end of a part; the rest.
fn take_ways<'a>(word: &str, mut part: &'a str, variant: &mut Variant) -> Result<&'a str, UnknownSubject> {
    loop {
        if let Some(rest) = part.strip_suffix(COVERAGE) {
            (variant.coverage, part) = (true, rest);
        } else if let Some(rest) = part.strip_suffix(ASAN) {
            (variant.asan, part) = (true, rest);
        } else if let Some((rest, suite)) = part.rsplit_once(BUILD).filter(|(_, suite)| !suite.contains(['+', '/'])) {
            if suite.is_empty() {
                return Err(incomplete(word, "+build=SUITE, as in +build=bookworm"));
            }
            if variant.suite.as_ref().is_some_and(|other| other != suite) {
                return Err(UnknownSubject::TwoSuites(word.to_owned()));
            }
            (variant.suite, part) = (Some(suite.to_owned()), rest);
        } else {
            return Ok(part);
        }
    }
}

fn incomplete(word: &str, form: &'static str) -> UnknownSubject {
    UnknownSubject::Incomplete { word: word.to_owned(), form }
}

/// What to say of a folder that is not there and has a `+` in its last name: perhaps a word that is
/// misspelt.
pub(super) fn meant(folder: &str) -> Option<String> {
    let name = folder.rsplit('/').next()?;
    let (_, word) = name.split_once('+')?;
    Some(format!("; if +{word} is not part of its name, write {FORMS}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_words_are_taken_off() {
        let parts = take_apart("src:../c++/criu+x+build=sid+patch:a+b.patch+asan").unwrap();
        let variant = Variant { suite: Some("sid".into()), asan: true, coverage: false };
        assert_eq!(parts, Parts { head: "src:../c++/criu+x", variant, patches: vec!["a+b.patch".into()] });
        assert_eq!(take_apart("src:a").unwrap(), Parts { head: "src:a", ..Parts::default() });
    }

    #[test]
    fn a_misspelt_word_is_reported() {
        let message = "; if +bulid=sid is not part of its name, write +build=SUITE, +coverage, +asan or +patch:FILE";
        assert_eq!(meant("../criu+bulid=sid").as_deref(), Some(message));
        assert_eq!(meant("../c++/criu"), None);
    }
}
