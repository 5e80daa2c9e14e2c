//! Lookups in messages and files: those of one path that led to the same stand together, since most
//! paths lead to one place however they are looked up. They are three quarters of an observation
//! otherwise.

use std::borrow::Cow;
use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use vocabulary::Bytes;

use crate::limits::Expansion;
use crate::observation::{Lookup, LookupKind, Outcome, Reached};

/// Lookups of one path, in their order.
#[derive(Serialize, Deserialize)]
struct Together<'a> {
    path: Cow<'a, Bytes>,
    how: Vec<LookupKind>,
    outcome: Cow<'a, Outcome<Reached>>,
}

/// For `#[serde(with)]`.
///
/// # Errors
/// The serializer's.
pub(crate) fn serialize<S: Serializer>(lookups: &[Lookup], serializer: S) -> Result<S::Ok, S::Error> {
    let alike = |one: &Lookup, other: &Lookup| one.path == other.path && one.outcome == other.outcome;
    serializer.collect_seq(lookups.chunk_by(alike).map(|same| Together {
        path: Cow::Borrowed(&same[0].path),
        how: same.iter().map(|lookup| lookup.how).collect(),
        outcome: Cow::Borrowed(&same[0].outcome),
    }))
}

/// For `#[serde(with)]`. The groups come apart one by one as they are read, within the limits of
/// [`Expansion`].
///
/// # Errors
/// The deserializer's, and more than these limits.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Lookup>, D::Error> {
    deserializer.deserialize_seq(Groups)
}

struct Groups;

impl<'de> Visitor<'de> for Groups {
    type Value = Vec<Lookup>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("groups of lookups")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut groups: A) -> Result<Vec<Lookup>, A::Error> {
        let mut all = Vec::new();
        let mut expansion = Expansion::so_far();
        while let Some(Together { path, how, outcome }) = groups.next_element::<Together<'static>>()? {
            let (path, outcome) = (path.into_owned(), outcome.into_owned());
            expansion.take(how.len(), path.0.len() + size_of_outcome(&outcome))?;
            all.extend(how.into_iter().map(|how| Lookup { path: path.clone(), how, outcome: outcome.clone() }));
        }
        Ok(all)
    }
}

/// The bytes of an outcome's texts.
fn size_of_outcome(outcome: &Outcome<Reached>) -> usize {
    match outcome {
        Outcome::Ok(reached) => reached.link.0.len(),
        Outcome::Err(error) => error.as_str().len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use LookupKind::{Beneath, InRoot, Nofollow, Plain};

    #[derive(Serialize, Deserialize, Debug, PartialEq)]
    struct List(#[serde(with = "super")] Vec<Lookup>);

    fn lookup(path: &str, how: LookupKind, error: &str) -> Lookup {
        Lookup { path: path.into(), how, outcome: Outcome::Err(error.to_owned().into()) }
    }

    #[test]
    fn what_stands_together_comes_apart_in_the_same_order() {
        let all = List(vec![
            lookup("a", Plain, "ENOENT"),
            lookup("a", Nofollow, "ENOENT"),
            lookup("a", Beneath, "EXDEV"),
            lookup("a", InRoot, "ENOENT"),
            lookup("b", Plain, "ENOENT"),
        ]);
        let text = serde_json::to_string(&all).unwrap();
        expect_test::expect![[r#"[{"path":"a","how":["plain","nofollow"],"outcome":{"err":"ENOENT"}},{"path":"a","how":["beneath"],"outcome":{"err":"EXDEV"}},{"path":"a","how":["in-root"],"outcome":{"err":"ENOENT"}},{"path":"b","how":["plain"],"outcome":{"err":"ENOENT"}}]"#]].assert_eq(&text);
        assert_eq!(serde_json::from_str::<List>(&text).unwrap(), all);
    }

    fn group(path: usize, how: usize) -> String {
        let how = vec!["\"plain\""; how].join(",");
        format!(r#"{{"path":"{}","how":[{how}],"outcome":{{"err":"ENOENT"}}}}"#, "a".repeat(path))
    }

    fn refusal(text: &str) -> String {
        serde_json::from_str::<List>(text).expect_err("it is over a limit").to_string()
    }

    #[test]
    fn a_short_line_does_not_become_a_large_list() {
        // Two megabytes that would be 800 MB.
        let bomb = format!("[{}]", group(4096, 200_000));
        assert!(refusal(&bomb).starts_with("lookups of more than 67108864 bytes in one message"), "{}", refusal(&bomb));
        let many = format!("[{}]", vec![group(1, 1024); 1025].join(","));
        assert!(refusal(&many).starts_with("more than 1048576 lookups in one message"), "{}", refusal(&many));
        let just = format!("[{}]", vec![group(1, 1024); 1024].join(","));
        assert_eq!(serde_json::from_str::<List>(&just).unwrap().0.len(), 1 << 20);
    }
}
