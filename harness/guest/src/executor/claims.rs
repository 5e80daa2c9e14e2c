//! `assert` lines: a scenario that did not produce its situation is an error, not a pass.

use protocol::observation::{LookupKind, MountState, ObjectView, Outcome, Reached, View};
use scenarios::Bytes;
use scenarios::program::{Claim, ObjectName};

/// What was expected and what was found, in words.
type Unmet = (String, String);

/// Holds the claim in this view? `top` is the top directory's path, which a visible object's link starts with.
pub(super) fn check(view: &View, top: &str, name: &ObjectName, claim: &Claim) -> Result<(), Unmet> {
    let object = find(view, name)?;
    match claim {
        Claim::Detached => state(object, MountState::Detached),
        Claim::Visible => state(object, MountState::Visible),
        Claim::Internal => state(object, MountState::Internal),
        Claim::Link(text) => same("link", &from_top(object.mount.state, top, text), &object.link),
        Claim::Links(count) => match &object.status {
            Outcome::Ok(status) => same("links", count, &status.links),
            Outcome::Err(error) => Err((format!("links {count}"), error.clone())),
        },
        Claim::Content(bytes) => content(object, bytes),
        Claim::Position(offset) => match &object.descriptor {
            Some(descriptor) => same("position", offset, &descriptor.position),
            None => Err((format!("position {offset}"), "no descriptor".to_owned())),
        },
        Claim::LookupFails { path, errno } => lookup(object, path, &Outcome::Err(errno.clone()), top),
        Claim::LookupReaches { path, link } => lookup(object, path, &Outcome::Ok(link.clone()), top),
        Claim::SameFile { other, not } => {
            let other_view = find(view, other)?;
            let id = |object: &ObjectView| match &object.status {
                Outcome::Ok(status) => Ok(status.file),
                Outcome::Err(error) => Err(("fstat".to_owned(), error.clone())),
            };
            relation("same file as", other, id(object)? == id(other_view)?, *not)
        }
        Claim::SameMount { other, not } => {
            relation("same mount as", other, object.mount.id == find(view, other)?.mount.id, *not)
        }
        Claim::SameDescription { other, not } => {
            relation("same description as", other, same_description(object, find(view, other)?), *not)
        }
    }
}

fn find<'a>(view: &'a View, name: &ObjectName) -> Result<&'a ObjectView, Unmet> {
    use protocol::observation::Object;
    let reserved = match name.0.as_str() {
        "cwd" => Some(Object::Cwd),
        "root" => Some(Object::Root),
        "exe" => Some(Object::Exe),
        _ => None,
    };
    let matches = |object: &&ObjectView| match reserved {
        Some(reserved) => object.object == reserved,
        None => object.name.as_ref() == Some(&name.0),
    };
    view.objects.iter().find(matches).ok_or_else(|| (format!("an object {name}"), "none".to_owned()))
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

/// A link as the program writes it: from the top directory when the object is visible, from the mount's root otherwise.
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
        Some(Outcome::Err(error)) => Err((wanted(), error.clone())),
        None => Err((wanted(), "no regular file".to_owned())),
    }
}

fn lookup(object: &ObjectView, path: &Bytes, expected: &Outcome<Bytes>, top: &str) -> Result<(), Unmet> {
    let wanted = match expected {
        Outcome::Ok(link) => format!("lookup {path:?} link {link:?}"),
        Outcome::Err(errno) => format!("lookup {path:?} {errno}"),
    };
    let found = object.lookups.iter().find(|lookup| lookup.how == LookupKind::Plain && lookup.path == *path);
    let looked_up = found.map_or_else(|| look_up_now(object, path), |found| Ok(found.outcome.clone()));
    let outcome = looked_up.map_err(|error| (wanted.clone(), error.to_string()))?;
    match (&outcome, expected) {
        (Outcome::Ok(reached), Outcome::Ok(link)) if reached.link == from_top(reached.mount.state, top, link) => Ok(()),
        (Outcome::Err(got), Outcome::Err(errno)) if got == errno => Ok(()),
        (Outcome::Ok(reached), _) => Err((wanted, format!("link {:?}", reached.link))),
        (Outcome::Err(got), _) => Err((wanted, got.clone())),
    }
}

/// A lookup that the observation does not make by itself: a name that is not there any more.
fn look_up_now(object: &ObjectView, path: &Bytes) -> std::io::Result<Outcome<Reached>> {
    crate::observe::inside::look_up(object.object, path)
}

fn relation(words: &str, other: &ObjectName, holds: bool, not: bool) -> Result<(), Unmet> {
    let (yes, no) = (format!("{words} {other}"), format!("not {words} {other}"));
    if holds != not {
        return Ok(());
    }
    Err(if not { (no, yes) } else { (yes, no) })
}

/// kcmp(2) on this very process.
fn same_description(one: &ObjectView, other: &ObjectView) -> bool {
    crate::observe::inside::same_description(one.object, other.object).unwrap_or(false)
}
