//! Lookups in messages and files: those of one path that led to the same stand together, since most paths lead to one place
//! however they are looked up. They are three quarters of an observation otherwise.

use std::borrow::Cow;

use scenarios::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

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

/// For `#[serde(with)]`.
///
/// # Errors
/// The deserializer's.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Lookup>, D::Error> {
    let groups = Vec::<Together<'static>>::deserialize(deserializer)?;
    let apart = |Together { path, how, outcome }: Together<'static>| {
        let (path, outcome) = (path.into_owned(), outcome.into_owned());
        how.into_iter().map(move |how| Lookup { path: path.clone(), how, outcome: outcome.clone() })
    };
    Ok(groups.into_iter().flat_map(apart).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use LookupKind::{Beneath, InRoot, Nofollow, Plain};

    #[derive(Serialize, Deserialize, Debug, PartialEq)]
    struct List(#[serde(with = "super")] Vec<Lookup>);

    fn lookup(path: &str, how: LookupKind, error: &str) -> Lookup {
        Lookup { path: path.into(), how, outcome: Outcome::Err(error.to_owned()) }
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
}
