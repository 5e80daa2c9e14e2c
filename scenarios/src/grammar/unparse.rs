//! From a step back to its form and the values of the form's arguments.

use super::words::{ForWriting, Shared};
use super::{Count, Form, Item, Kind, Vocabulary, form, word};
use crate::Bytes;
use crate::program::{Claim, ObjectName, Place, Step};

/// The parts of a step; [`Form::step`] puts them together again.
pub struct StepParts {
    /// How it is written.
    pub form: &'static Form,
    /// The object that it makes.
    pub name: Option<ObjectName>,
    /// The values of each argument, in the order of [`Form::arguments`]; none for a word that must
    /// stand.
    pub slots: Vec<Vec<Item>>,
}

type Slots = Vec<Vec<Item>>;

fn place(place: &Place) -> Vec<Item> {
    vec![Item::Place(place.clone())]
}

fn object(name: &ObjectName) -> Vec<Item> {
    vec![Item::Object(name.clone())]
}

fn text(bytes: &Bytes) -> Vec<Item> {
    vec![Item::Text(bytes.clone())]
}

fn number(number: impl Into<i128>) -> Vec<Item> {
    vec![Item::Number(number.into())]
}

fn words<T: Vocabulary>(values: &[T]) -> Vec<Item> {
    values.iter().map(|value| Item::Word(word(*value))).collect()
}

fn switch(on: bool, word: &'static str) -> Vec<Item> {
    if on { vec![Item::Word(word)] } else { Vec::new() }
}

/// Decomposes a step into its form and the values of its arguments.
pub fn decompose(step: &Step) -> StepParts {
    let (head, name, values) = parts(step);
    let form = form(head).expect("every step has a form");
    let mut values = values.into_iter();
    let slot = |argument: &super::Argument| match (argument.kind, argument.count) {
        (Kind::Literal(_), Count::One) => Vec::new(),
        _ => values.next().expect("a form's arguments and its way back agree"),
    };
    let slots = form.arguments.iter().map(slot).collect();
    StepParts { form, name: name.cloned(), slots }
}

/// The head of the form, the name, the values of all arguments that are not fixed words.
fn parts(step: &Step) -> (&'static str, Option<&ObjectName>, Slots) {
    let (head, values) = match step {
        Step::Mount { filesystem, at, attributes } => {
            ("mount", vec![words(&[*filesystem]), place(at), words(attributes)])
        }
        Step::MountAgain { of, at, subvolume, attributes } => {
            let subvolume = subvolume.iter().flat_map(text).collect();
            ("mount-again", vec![place(of), place(at), subvolume, words(attributes)])
        }
        Step::Overlay { at, lower, upper, work, nfs_export, attributes } => {
            let lower = lower.iter().flat_map(place).collect();
            let upper = upper.iter().flat_map(place).collect();
            let work = work.iter().flat_map(place).collect();
            let nfs_export = switch(*nfs_export, "nfs-export");
            ("overlay", vec![place(at), lower, upper, work, nfs_export, words(attributes)])
        }
        Step::Bind { from, to, recursive, attributes } => {
            (if *recursive { "rbind" } else { "bind" }, vec![place(from), place(to), words(attributes)])
        }
        Step::Move { from, to } => ("move", vec![place(from), place(to)]),
        Step::Remount { at, attributes } => ("remount", vec![place(at), words(attributes)]),
        Step::Propagate { at, kind, recursive } => {
            ("propagation", vec![place(at), words(&[*kind]), switch(*recursive, "recursive")])
        }
        Step::Unmount { at, lazy } => (if *lazy { "umount-lazy" } else { "umount" }, vec![place(at)]),
        Step::PivotRoot { new_root, put_old } => ("pivot-root", vec![place(new_root), place(put_old)]),
        Step::Mkdir { at } => ("mkdir", vec![place(at)]),
        Step::Write { at, bytes } => ("write", vec![place(at), text(bytes)]),
        Step::Append { at, bytes } => ("append", vec![place(at), text(bytes)]),
        Step::Truncate { at, length } => ("truncate", vec![place(at), number(*length)]),
        Step::Symlink { target, at } => ("symlink", vec![text(target), place(at)]),
        Step::Link { old, new } => ("link", vec![place(old), place(new)]),
        Step::Rename { old, new } => ("rename", vec![place(old), place(new)]),
        Step::Unlink { at } => ("unlink", vec![place(at)]),
        Step::Rmdir { at } => ("rmdir", vec![place(at)]),
        Step::Mkfifo { at } => ("mkfifo", vec![place(at)]),
        Step::Mknod { at, kind, major, minor } => {
            ("mknod", vec![place(at), words(&[*kind]), number(*major), number(*minor)])
        }
        Step::Chmod { at, mode } => ("chmod", vec![place(at), number(*mode)]),
        Step::Chown { at, uid, gid } => ("chown", vec![place(at), number(*uid), number(*gid)]),
        Step::Setxattr { at, name, value } => ("setxattr", vec![place(at), text(name), text(value)]),
        Step::Touch { at, seconds, nanoseconds } => {
            let nanoseconds = if *nanoseconds == 0 { Vec::new() } else { number(*nanoseconds) };
            ("touch", vec![place(at), number(*seconds), nanoseconds])
        }
        Step::Subvolume { at } => ("subvolume", vec![place(at)]),
        Step::Snapshot { from, to, read_only } => ("snapshot", vec![place(from), place(to), switch(*read_only, "ro")]),
        Step::DeleteSubvolume { at } => ("delete-subvolume", vec![place(at)]),
        Step::Chdir { at } => ("chdir", vec![place(at)]),
        Step::Chroot { at } => ("chroot", vec![place(at)]),
        Step::Assert { object, claim } => (claim_head(claim), claim_values(object, claim)),
        Step::Open { .. }
        | Step::Dup { .. }
        | Step::Memfd { .. }
        | Step::Map { .. }
        | Step::Socketpair { .. }
        | Step::Peer { .. }
        | Step::Send { .. }
        | Step::Seek { .. }
        | Step::Read { .. }
        | Step::WriteTo { .. }
        | Step::ReadEntries { .. }
        | Step::Lock { .. }
        | Step::Close { .. } => return object_parts(step),
    };
    (head, None, values)
}

/// The same for the steps that make or use objects.
fn object_parts(step: &Step) -> (&'static str, Option<&ObjectName>, Slots) {
    match step {
        Step::Open { name, at, flags } => ("open", Some(name), vec![place(at), words(flags)]),
        Step::Dup { name, of, cloexec } => ("dup", Some(name), vec![object(of), switch(*cloexec, "cloexec")]),
        Step::Memfd { name, label } => ("memfd", Some(name), vec![text(label)]),
        Step::Map { name, of, shared, write } => {
            ("map", Some(name), vec![object(of), words(&[Shared(*shared)]), switch(*write, "write")])
        }
        Step::Socketpair { name } => ("socketpair", Some(name), Vec::new()),
        Step::Peer { name, of } => ("peer", Some(name), vec![object(of)]),
        Step::Send { name, over, object: of } => ("send", Some(name), vec![object(over), object(of)]),
        Step::Seek { object: of, offset } => ("seek", None, vec![object(of), number(*offset)]),
        Step::Read { object: of, length } => ("read", None, vec![object(of), number(*length)]),
        Step::WriteTo { object: of, bytes } => ("write-to", None, vec![object(of), text(bytes)]),
        Step::ReadEntries { object: of } => ("read-entries", None, vec![object(of)]),
        Step::Lock { object: of, kind, write } => {
            ("lock", None, vec![object(of), words(&[*kind]), words(&[ForWriting(*write)])])
        }
        Step::Close { object: of } => ("close", None, vec![object(of)]),
        _ => unreachable!("`parts` handles the others"),
    }
}

fn claim_head(claim: &Claim) -> &'static str {
    match claim {
        Claim::Detached => "assert detached",
        Claim::Visible => "assert visible",
        Claim::Internal => "assert internal",
        Claim::Link(_) => "assert link",
        Claim::Links(_) => "assert links",
        Claim::Content(_) => "assert content",
        Claim::Position(_) => "assert position",
        Claim::LookupFails { .. } => "assert lookup",
        Claim::LookupReaches { .. } => "assert lookup link",
        Claim::SameFile { not: false, .. } => "assert same-file",
        Claim::SameFile { not: true, .. } => "assert not same-file",
        Claim::SameMount { not: false, .. } => "assert same-mount",
        Claim::SameMount { not: true, .. } => "assert not same-mount",
        Claim::SameDescription { not: false, .. } => "assert same-description",
        Claim::SameDescription { not: true, .. } => "assert not same-description",
    }
}

fn claim_values(of: &ObjectName, claim: &Claim) -> Slots {
    let mut values = vec![object(of)];
    match claim {
        Claim::Detached | Claim::Visible | Claim::Internal => {}
        Claim::Link(bytes) | Claim::Content(bytes) => values.push(text(bytes)),
        Claim::Links(count) | Claim::Position(count) => values.push(number(*count)),
        Claim::LookupFails { path, errno } => {
            values.extend([text(path), vec![Item::Word(errno.name())]]);
        }
        Claim::LookupReaches { path, link } => values.extend([text(path), text(link)]),
        Claim::SameFile { other, .. } | Claim::SameMount { other, .. } | Claim::SameDescription { other, .. } => {
            values.push(object(other));
        }
    }
    values
}
