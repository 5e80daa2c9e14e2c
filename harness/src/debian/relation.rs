//! What a package needs: `Depends` and `Provides` of deb-control(5).

use std::cmp::Ordering;
use std::fmt;

/// Alternatives: one of them is enough.
pub(super) type Group = Vec<Relation>;

/// A package, or something that packages provide, in some versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Relation {
    pub(super) name: String,
    /// An operator and a version.
    pub(super) version: Option<(Operator, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Before,
    UpTo,
    Exactly,
    From,
    After,
}

const OPERATORS: [(&str, Operator); 5] = [
    ("<<", Operator::Before),
    ("<=", Operator::UpTo),
    (">=", Operator::From),
    (">>", Operator::After),
    ("=", Operator::Exactly),
];

impl Relation {
    /// Does this version fit? Without one, only where any does.
    pub(super) fn admits(&self, version: Option<&str>) -> bool {
        let Some((operator, wanted)) = &self.version else { return true };
        let Some(version) = version else { return false };
        let order = compare(version, wanted);
        match operator {
            Operator::Before => order == Ordering::Less,
            Operator::UpTo => order != Ordering::Greater,
            Operator::Exactly => order == Ordering::Equal,
            Operator::From => order != Ordering::Less,
            Operator::After => order == Ordering::Greater,
        }
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        let Some((operator, version)) = &self.version else { return Ok(()) };
        let sign = OPERATORS.iter().find(|(_, known)| known == operator).map_or("", |(sign, _)| sign);
        write!(f, " ({sign} {version})")
    }
}

/// The order of versions, deb-version(7).
pub(super) fn compare(left: &str, right: &str) -> Ordering {
    deb_version::compare_versions(left, right)
}

/// Reads a field; the error names what is not understood.
pub(super) fn parse(field: &str) -> Result<Vec<Group>, String> {
    let groups = field.split(',').map(str::trim).filter(|group| !group.is_empty());
    groups.map(|group| group.split('|').map(|one| relation(one.trim())).collect()).collect()
}

fn relation(text: &str) -> Result<Relation, String> {
    let (name, rest) = text.split_once('(').map_or((text, None), |(name, rest)| (name, Some(rest)));
    // `:any` and `:amd64` are both satisfied by a package for amd64, and so for arm64.
    let name = name.trim().split(':').next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "+-._".contains(c);
    let wrong = || format!("`{text}` is no relation between packages");
    if name.is_empty() || !name.chars().all(plain) {
        return Err(wrong());
    }
    let version = match rest {
        None => None,
        Some(rest) => {
            let inside = rest.strip_suffix(')').ok_or_else(wrong)?.trim();
            let (sign, operator) = OPERATORS.iter().find(|(sign, _)| inside.starts_with(sign)).ok_or_else(wrong)?;
            let version = inside[sign.len()..].trim();
            Some((*operator, version.to_owned())).filter(|_| is_version(version)).ok_or_else(wrong)?.into()
        }
    };
    Ok(Relation { name: name.to_owned(), version })
}

/// What can be compared.
pub(super) fn is_version(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-._~:".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relations_are_read_and_shown() {
        let groups = parse("a (>= 1:2~rc1), b:any | c (<< 3) ,d").unwrap();
        let shown: Vec<String> =
            groups.iter().map(|group| group.iter().map(Relation::to_string).collect::<Vec<_>>().join(" | ")).collect();
        assert_eq!(shown, ["a (>= 1:2~rc1)", "b | c (<< 3)", "d"]);
        assert_eq!(parse(""), Ok(Vec::new()));
        for wrong in ["a b", "a (>= )", "a (1)", "a (>= 1", "|", "a (>= é)"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn versions_are_in_the_order_of_dpkg() {
        let ascending = [
            "1.0~rc1",
            "1.0~rc1-1",
            "1.0",
            "1.0-1~bpo12+1",
            "1.0-1",
            "1.0-1+b1",
            "1.0a",
            "1.0+dfsg",
            "1.2",
            "1.10",
            "1:0.1",
        ];
        for (at, lower) in ascending.iter().enumerate() {
            assert_eq!(compare(lower, lower), Ordering::Equal);
            for higher in &ascending[at + 1..] {
                assert_eq!(compare(lower, higher), Ordering::Less, "{lower} {higher}");
                assert_eq!(compare(higher, lower), Ordering::Greater, "{lower} {higher}");
            }
        }
    }

    #[test]
    fn operators_admit_versions() {
        let admits = |relation: &str, version| parse(relation).unwrap()[0][0].admits(version);
        assert!(admits("a", None) && admits("a (= 1)", Some("1")) && !admits("a (= 1)", None));
        assert!(admits("a (<< 2)", Some("1")) && !admits("a (<< 2)", Some("2")) && admits("a (<= 2)", Some("2")));
        assert!(admits("a (>> 2)", Some("3")) && !admits("a (>> 2)", Some("2")) && !admits("a (>= 2)", Some("1")));
    }

    #[test]
    fn any_text_is_a_relation_or_an_error() {
        arbtest::arbtest(|u| {
            let text: String = (0..u.int_in_range(0..=20)?)
                .map(|_| u.choose(&["a", "(", ")", ">=", "<<", "=", "|", ",", " ", "1", "~", "é", ":"]).copied())
                .collect::<Result<_, _>>()?;
            if let Ok(groups) = parse(&text) {
                groups.iter().flatten().for_each(|relation| {
                    relation.admits(Some("1:2~3-4"));
                    assert_eq!(parse(&relation.to_string()).unwrap(), [[relation.clone()]]);
                });
            }
            Ok(())
        });
    }
}
