//! The axis `base`: one file for a bind of a filesystem's whole, of a directory, of a file, for the
//! device mounted a second time, and for a btrfs subvolume mounted by its path. `docs/AUTHORING.md`
//! has the table.

use super::Mistake;
use super::header::Axis;
use super::lexer::{Token, Word};
use crate::grammar::StepKind;

/// The name of the axis.
pub(super) const AXIS: &str = "base";

/// What each value of the axis gives.
struct Base {
    value: &'static str,
    /// `$of`: what is bound.
    of: &'static str,
    /// `$in`: the directory that the file `f` is in.
    inside: &'static str,
    /// `$at`: the rest of the path of `f` below the mount point.
    at: &'static str,
    /// `$link`: the link of `f`, when its mount is detached.
    link: &'static str,
    /// The filesystems on which it exists; empty for all.
    filesystems: &'static [&'static str],
}

const BASES: [Base; 5] = [
    Base { value: "whole", of: "a", inside: "a", at: "/f", link: "/f", filesystems: &[] },
    Base { value: "subdir", of: "a/d", inside: "a/d", at: "/f", link: "/f", filesystems: &[] },
    Base { value: "file", of: "a/d/f", inside: "a/d", at: "", link: "/", filesystems: &[] },
    Base { value: "again", of: "a", inside: "a", at: "/f", link: "/f", filesystems: &["ext4", "xfs", "btrfs"] },
    Base { value: "subvol", of: "a/d", inside: "a/d", at: "/f", link: "/f", filesystems: &["btrfs"] },
];

/// The names of the variables, without `$`. No axis can have one of them.
pub(super) const VARIABLES: [&str; 4] = ["of", "in", "at", "link"];

/// The variable that a text in quotes names.
const TEXT: &str = "link";

/// The values of the axis.
pub(super) fn values() -> Vec<&'static str> {
    BASES.iter().map(|base| base.value).collect()
}

fn base(value: &str) -> Option<&'static Base> {
    BASES.iter().find(|base| base.value == value)
}

/// The base at a point of the axes.
fn chosen(point: &[(String, String)]) -> Option<&'static Base> {
    point.iter().find(|(axis, _)| axis == AXIS).and_then(|(_, value)| base(value))
}

/// A point of the axes with the variables that its base gives.
pub(super) fn with_variables(point: &[(String, String)]) -> Vec<(String, String)> {
    let variables = chosen(point).map_or(Vec::new(), |base| {
        let values = [base.of, base.inside, base.at, base.link];
        VARIABLES.iter().zip(values).map(|(name, value)| ((*name).to_owned(), value.to_owned())).collect()
    });
    [point, &variables].concat()
}

/// Does this axis give this variable?
pub(super) fn gives(axis: &str, variable: &str) -> bool {
    axis == variable || (axis == AXIS && VARIABLES.contains(&variable))
}

/// The words of a line as this base means them; `None` when it has nothing to do. `bind $of b` is
/// another mount of what is there, however this base makes one. `mkdir $in` makes the directory if
/// none exists yet.
pub(super) fn meant(point: &[(String, String)], tokens: &[Token], mut words: Vec<Word>) -> Option<Vec<Word>> {
    let (Some(base), Some(token)) = (chosen(point), tokens.get(1)) else { return Some(words) };
    let of_base = token.is_variable("of");
    let verb = |kind: StepKind| kind.verb().as_bytes().to_vec();
    for (word, token) in words.iter_mut().zip(tokens) {
        word.quoted |= token.is_variable(TEXT);
    }
    match (words[0].plain().and_then(StepKind::of_verb), base.value) {
        (Some(StepKind::Mkdir), "whole" | "again") if words.len() == 2 && (of_base || token.is_variable("in")) => {
            return None;
        }
        (Some(StepKind::Mkdir), "subvol") if of_base || token.is_variable("in") => {
            words[0].text = verb(StepKind::Subvolume);
        }
        (Some(StepKind::Bind), "again") if of_base => words[0].text = verb(StepKind::MountAgain),
        (Some(StepKind::Bind), "subvol") if of_base => {
            words[0].text = verb(StepKind::MountAgain);
            words[1].text = b"a".to_vec();
            words.push(Word { key: Some("subvol".to_owned()), ..words[1].with_text(b"d") });
        }
        _ => {}
    }
    Some(words)
}

/// Can a filesystem of this point's type be mounted in this way?
pub(super) fn is_possible(point: &[(String, String)]) -> bool {
    let filesystem = point.iter().find(|(axis, _)| axis == "fs").map(|(_, value)| value.as_str());
    match (chosen(point), filesystem) {
        (Some(base), Some(filesystem)) => base.filesystems.is_empty() || base.filesystems.contains(&filesystem),
        _ => true,
    }
}

/// A value of an axis that none of the possible points has.
pub(super) fn without_a_point(axis: &Axis, points: &[Vec<(String, String)>]) -> Option<Mistake> {
    let has = |value: &&String| points.iter().flatten().any(|(name, other)| *name == axis.name && other == *value);
    let value = axis.values.iter().find(|value| !has(value))?;
    let other = if axis.name == AXIS { "fs" } else { AXIS };
    let mistake = Mistake::new(axis.span, format!("`{}={value}` goes with no value of `{other}`", axis.name));
    Some(mistake.hint("`base=again` needs ext4, xfs or btrfs, `base=subvol` needs btrfs"))
}
