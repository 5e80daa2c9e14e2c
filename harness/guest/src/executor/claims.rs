//! `assert` lines: a scenario that did not produce its situation is an error, not a pass.

use std::collections::BTreeMap;

use protocol::observation::{MountState, ObjectView, Outcome};
use scenarios::Bytes;
use scenarios::program::{Claim, ObjectName};

use crate::observe::inside::Glance;

/// What was expected and what was found, in words.
type Unmet = (String, String);

/// What a program's `assert` lines are held against.
pub(super) struct Claims<'a> {
    pub(super) glance: &'a Glance,
    /// Of other processes, by their names.
    pub(super) others: BTreeMap<String, Glance>,
    /// The top directory's path, which a visible object's link starts with.
    pub(super) top: &'a str,
    /// The objects that they name.
    pub(super) objects: BTreeMap<String, ObjectView>,
}

impl Claims<'_> {
    /// Whether it holds.
    pub(super) fn check(&self, name: &ObjectName, claim: &Claim) -> Result<(), Unmet> {
        let object = self.find(name)?;
        match claim {
            Claim::Detached => state(object, MountState::Detached),
            Claim::Visible => state(object, MountState::Visible),
            Claim::Elsewhere => state(object, MountState::Elsewhere),
            Claim::Internal => state(object, MountState::Internal),
            Claim::Link(text) => same("link", &from_top(object.mount.state, self.top, text), &object.link),
            Claim::Links(count) => match &object.status {
                Outcome::Ok(status) => same("links", count, &status.links),
                Outcome::Err(error) => Err((format!("links {count}"), error.to_string())),
            },
            Claim::Content(bytes) => content(object, bytes),
            Claim::Position(offset) => match &object.descriptor {
                Some(descriptor) => same("position", offset, &descriptor.position),
                None => Err((format!("position {offset}"), "no descriptor".to_owned())),
            },
            Claim::LookupFails { path, errno } => self.lookup(object, path, &Outcome::Err((*errno).into())),
            Claim::LookupReaches { path, link } => self.lookup(object, path, &Outcome::Ok(link.clone())),
            Claim::SameFile { other, not } => {
                let other_view = self.find(other)?;
                let id = |object: &ObjectView| match &object.status {
                    Outcome::Ok(status) => Ok(status.file),
                    Outcome::Err(error) => Err(("fstat".to_owned(), error.to_string())),
                };
                relation("same file as", other, id(object)? == id(other_view)?, *not)
            }
            Claim::SameMount { other, not } => {
                relation("same mount as", other, object.mount.id == self.find(other)?.mount.id, *not)
            }
            Claim::SameDescription { other, not } => {
                let with = self.others.get(&other.parts().0.0).unwrap_or(self.glance);
                let same = self.glance.same_description(object.object, with, self.find(other)?.object);
                relation("same description as", other, same.unwrap_or(false), *not)
            }
        }
    }

    fn find(&self, name: &ObjectName) -> Result<&ObjectView, Unmet> {
        self.objects.get(&name.0).ok_or_else(|| (format!("an object {name}"), "none".to_owned()))
    }

    fn lookup(&self, object: &ObjectView, path: &Bytes, expected: &Outcome<Bytes>) -> Result<(), Unmet> {
        let wanted = match expected {
            Outcome::Ok(link) => format!("lookup {path:?} link {link:?}"),
            Outcome::Err(errno) => format!("lookup {path:?} {errno}"),
        };
        let looked_up = self.glance.look_up(object.object, path);
        let outcome = looked_up.map_err(|error| (wanted.clone(), error.to_string()))?;
        match (&outcome, expected) {
            (Outcome::Ok(reached), Outcome::Ok(link))
                if reached.link == from_top(reached.mount.state, self.top, link) =>
            {
                Ok(())
            }
            (Outcome::Err(got), Outcome::Err(errno)) if got == errno => Ok(()),
            (Outcome::Ok(reached), _) => Err((wanted, format!("link {:?}", reached.link))),
            (Outcome::Err(got), _) => Err((wanted, got.to_string())),
        }
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, got: &T) -> Result<(), Unmet> {
    if expected == got { Ok(()) } else { Err((format!("{what} {expected:?}"), format!("{what} {got:?}"))) }
}

fn state(object: &ObjectView, expected: MountState) -> Result<(), Unmet> {
    let word = |state| format!("{state:?}").to_lowercase();
    if object.mount.state == expected {
        return Ok(());
    }
    Err((word(expected), format!("{} (link {:?}, mount {})", word(object.mount.state), object.link, object.mount.id)))
}

/// A link as the program writes it: from the top directory when the object is visible, from the
/// mount's root otherwise.
fn from_top(state: MountState, top: &str, text: &Bytes) -> Bytes {
    match state {
        MountState::Visible if text.0 == b"/" && !top.is_empty() => top.into(),
        MountState::Visible => [top.as_bytes(), text.as_slice()].concat().into(),
        _ => text.clone(),
    }
}

fn content(object: &ObjectView, expected: &Bytes) -> Result<(), Unmet> {
    let wanted = || format!("content {expected:?}");
    match &object.content {
        Some(Outcome::Ok(content)) => {
            let same = content.length == expected.0.len() as u64 && expected.0.starts_with(content.head.as_slice());
            let digest = crate::observe::digest(expected.as_slice());
            let got = || format!("content {:?} ({} bytes)", content.head, content.length);
            if same && digest == content.sha256 { Ok(()) } else { Err((wanted(), got())) }
        }
        Some(Outcome::Err(error)) => Err((wanted(), error.to_string())),
        None => Err((wanted(), "no regular file".to_owned())),
    }
}

fn relation(words: &str, other: &ObjectName, holds: bool, not: bool) -> Result<(), Unmet> {
    let (yes, no) = (format!("{words} {other}"), format!("not {words} {other}"));
    if holds != not {
        return Ok(());
    }
    Err(if not { (no, yes) } else { (yes, no) })
}
