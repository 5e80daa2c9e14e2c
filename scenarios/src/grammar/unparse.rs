//! From a step back to its form and the values of the form's arguments.

use super::StepKind as K;
use super::words::{ForWriting, OnOff, Shared};
use super::{Count, Form, Item, Kind, StepKind, Vocabulary, form, form_of, word};
use crate::Bytes;
use crate::program::{Claim, ObjectName, Place, Step, Subvolume};

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

/// A number that is not written where it is 0.
fn nonzero(value: impl Into<i128>) -> Vec<Item> {
    let value = value.into();
    if value == 0 { Vec::new() } else { number(value) }
}

fn words<T: Vocabulary>(values: &[T]) -> Vec<Item> {
    values.iter().map(|value| Item::Word(word(*value))).collect()
}

fn switch(on: bool, word: &'static str) -> Vec<Item> {
    if on { vec![Item::Word(word)] } else { Vec::new() }
}

/// Decomposes a step into its form and the values of its arguments.
pub fn decompose(step: &Step) -> StepParts {
    let (kind, name, values) = parts(step);
    let form = match step {
        Step::Assert { claim, .. } => form(claim_head(claim)),
        _ => form_of(kind),
    };
    let form = form.expect("every step has a form");
    let mut values = values.into_iter();
    let slot = |argument: &super::Argument| match (argument.kind, argument.count) {
        (Kind::Literal(_), Count::One) => Vec::new(),
        _ => values.next().expect("a form's arguments and its way back agree"),
    };
    let slots = form.arguments.iter().map(slot).collect();
    StepParts { form, name: name.cloned(), slots }
}

fn overlay(step: &Step) -> Slots {
    let Step::Overlay { at, lower, upper, work, nfs_export, settings, attributes } = step else {
        unreachable!("the caller sends overlay steps only");
    };
    let places = |some: &[Place]| some.iter().flat_map(place).collect();
    let setting = |on: Option<bool>| words(on.map(OnOff).as_slice());
    vec![
        place(at),
        places(lower),
        places(upper.as_slice()),
        places(work.as_slice()),
        switch(*nfs_export, "nfs-export"),
        setting(settings.metacopy),
        setting(settings.redirect_dir),
        setting(settings.index),
        setting(settings.xino),
        words(attributes),
    ]
}

/// The kind, the name, the values of all arguments that are not fixed words.
fn parts(step: &Step) -> (StepKind, Option<&ObjectName>, Slots) {
    match step {
        Step::Mount { .. }
        | Step::MountAgain { .. }
        | Step::Overlay { .. }
        | Step::Bind { .. }
        | Step::Move { .. }
        | Step::Remount { .. }
        | Step::Propagate { .. }
        | Step::Unmount { .. }
        | Step::PivotRoot { .. }
        | Step::UnshareMounts { .. } => mount_parts(step),
        Step::Mkdir { .. }
        | Step::Write { .. }
        | Step::Append { .. }
        | Step::Truncate { .. }
        | Step::Symlink { .. }
        | Step::Link { .. }
        | Step::Rename { .. }
        | Step::Unlink { .. }
        | Step::Rmdir { .. }
        | Step::Mkfifo { .. }
        | Step::Mksocket { .. }
        | Step::Mknod { .. }
        | Step::Chmod { .. }
        | Step::Chown { .. }
        | Step::Setxattr { .. }
        | Step::Touch { .. }
        | Step::Subvolume { .. }
        | Step::Snapshot { .. }
        | Step::DeleteSubvolume { .. } => name_parts(step),
        Step::Open { .. }
        | Step::Dup { .. }
        | Step::Memfd { .. }
        | Step::Map { .. }
        | Step::Socketpair { .. }
        | Step::Peer { .. }
        | Step::Send { .. }
        | Step::Receive { .. }
        | Step::Seek { .. }
        | Step::Read { .. }
        | Step::WriteTo { .. }
        | Step::ReadEntries { .. }
        | Step::Lock { .. }
        | Step::Close { .. }
        | Step::External { .. }
        | Step::Chdir { .. }
        | Step::Chroot { .. }
        | Step::Exec
        | Step::Fork { .. }
        | Step::As { .. }
        | Step::Assert { .. }
        | Step::OpenTree { .. }
        | Step::NewTree { .. } => object_parts(step),
        Step::Seal { .. }
        | Step::SetOwner { .. }
        | Step::SetSignal { .. }
        | Step::Epoll { .. }
        | Step::Inotify { .. }
        | Step::Fanotify { .. }
        | Step::Exit { .. } => state_parts(step),
    }
}

/// The same for the steps on mounts.
fn mount_parts(step: &Step) -> (StepKind, Option<&ObjectName>, Slots) {
    let (kind, values) = match step {
        Step::Mount { filesystem, at, attributes } => {
            (K::Mount, vec![words(&[*filesystem]), place(at), words(attributes)])
        }
        Step::MountAgain { of, at, subvolume, attributes } => {
            let (path, id) = match subvolume {
                Some(Subvolume::Path(path)) => (text(path), Vec::new()),
                Some(Subvolume::Id(id)) => (Vec::new(), number(*id)),
                None => (Vec::new(), Vec::new()),
            };
            (K::MountAgain, vec![place(of), place(at), path, id, words(attributes)])
        }
        Step::Overlay { .. } => (K::Overlay, overlay(step)),
        Step::Bind { from, to, recursive, attributes } => {
            (if *recursive { K::Rbind } else { K::Bind }, vec![place(from), place(to), words(attributes)])
        }
        Step::Move { from, to } => (K::Move, vec![place(from), place(to)]),
        Step::Remount { at, superblock, attributes } => {
            (K::Remount, vec![place(at), switch(*superblock, "superblock"), words(attributes)])
        }
        Step::Propagate { at, kind, recursive } => {
            (K::Propagate, vec![place(at), words(&[*kind]), switch(*recursive, "recursive")])
        }
        Step::Unmount { at, lazy } => (if *lazy { K::UnmountLazy } else { K::Unmount }, vec![place(at)]),
        Step::PivotRoot { new_root, put_old } => (K::PivotRoot, vec![place(new_root), place(put_old)]),
        Step::UnshareMounts { keep_old } => (K::UnshareMounts, vec![switch(*keep_old, "keep-old")]),
        _ => unreachable!("`parts` handles the others"),
    };
    (kind, None, values)
}

/// The same for the steps that make, change or remove names.
fn name_parts(step: &Step) -> (StepKind, Option<&ObjectName>, Slots) {
    match step {
        Step::Mkdir { at } => (K::Mkdir, None, vec![place(at)]),
        Step::Write { at, bytes } => (K::Write, None, vec![place(at), text(bytes)]),
        Step::Append { at, bytes } => (K::Append, None, vec![place(at), text(bytes)]),
        Step::Truncate { at, length } => (K::Truncate, None, vec![place(at), number(*length)]),
        Step::Symlink { target, at } => (K::Symlink, None, vec![text(target), place(at)]),
        Step::Link { old, new } => (K::Link, None, vec![place(old), place(new)]),
        Step::Rename { old, new } => (K::Rename, None, vec![place(old), place(new)]),
        Step::Unlink { at } => (K::Unlink, None, vec![place(at)]),
        Step::Rmdir { at } => (K::Rmdir, None, vec![place(at)]),
        Step::Mkfifo { at } => (K::Mkfifo, None, vec![place(at)]),
        Step::Mksocket { at } => (K::Mksocket, None, vec![place(at)]),
        Step::Mknod { at, kind, major, minor } => {
            (K::Mknod, None, vec![place(at), words(&[*kind]), number(*major), number(*minor)])
        }
        Step::Chmod { at, mode } => (K::Chmod, None, vec![place(at), number(*mode)]),
        Step::Chown { at, uid, gid } => (K::Chown, None, vec![place(at), number(*uid), number(*gid)]),
        Step::Setxattr { at, name, value } => (K::Setxattr, None, vec![place(at), text(name), text(value)]),
        Step::Touch { at, seconds, nanoseconds } => {
            (K::Touch, None, vec![place(at), number(*seconds), nonzero(*nanoseconds)])
        }
        Step::Subvolume { at } => (K::Subvolume, None, vec![place(at)]),
        Step::Snapshot { from, to, read_only } => {
            (K::Snapshot, None, vec![place(from), place(to), switch(*read_only, "ro")])
        }
        Step::DeleteSubvolume { at } => (K::DeleteSubvolume, None, vec![place(at)]),
        _ => unreachable!("`parts` handles the others"),
    }
}

/// The same for the steps that make, use or move objects.
fn object_parts(step: &Step) -> (StepKind, Option<&ObjectName>, Slots) {
    match step {
        Step::Open { name, at, flags } => (K::Open, Some(name), vec![place(at), words(flags)]),
        Step::Dup { name, of, cloexec } => (K::Dup, Some(name), vec![object(of), switch(*cloexec, "cloexec")]),
        Step::Memfd { name, label, sealable } => {
            (K::Memfd, Some(name), vec![text(label), switch(*sealable, "sealable")])
        }
        Step::Map { name, of, shared, write } => {
            (K::Map, Some(name), vec![object(of), words(&[Shared(*shared)]), switch(*write, "write")])
        }
        Step::Socketpair { name } => (K::Socketpair, Some(name), Vec::new()),
        Step::Peer { name, of } => (K::Peer, Some(name), vec![object(of)]),
        Step::Send { name, over, object: of } => (K::Send, Some(name), vec![object(over), object(of)]),
        Step::Receive { name, over, cloexec } => {
            (K::Receive, Some(name), vec![object(over), switch(*cloexec, "cloexec")])
        }
        Step::Seek { object: of, offset } => (K::Seek, None, vec![object(of), number(*offset)]),
        Step::Read { object: of, length } => (K::Read, None, vec![object(of), number(*length)]),
        Step::WriteTo { object: of, bytes } => (K::WriteTo, None, vec![object(of), text(bytes)]),
        Step::ReadEntries { object: of } => (K::ReadEntries, None, vec![object(of)]),
        Step::Lock { object: of, kind, write, range } => {
            let [start, length] = [range.start, range.length].map(nonzero);
            (K::Lock, None, vec![object(of), words(&[*kind]), words(&[ForWriting(*write)]), start, length])
        }
        Step::Close { object: of } => (K::Close, None, vec![object(of)]),
        Step::OpenTree { name, at, recursive, attributes } => {
            (K::OpenTree, Some(name), vec![place(at), switch(*recursive, "recursive"), words(attributes)])
        }
        Step::NewTree { name, filesystem, attributes } => {
            (K::NewTree, Some(name), vec![words(&[*filesystem]), words(attributes)])
        }
        Step::External { object: of } => (K::External, None, vec![object(of)]),
        Step::Chdir { at } => (K::Chdir, None, vec![place(at)]),
        Step::Chroot { at } => (K::Chroot, None, vec![place(at)]),
        Step::Exec => (K::Exec, None, Vec::new()),
        Step::Fork { process } => (K::Fork, None, vec![vec![Item::Process(process.clone())]]),
        Step::As { process } => (K::As, None, vec![vec![Item::Process(process.clone())]]),
        Step::Assert { object, claim } => (K::Assert, None, claim_values(object, claim)),
        _ => unreachable!("`parts` handles the others"),
    }
}

/// The same for the steps on the state of descriptors and processes.
fn state_parts(step: &Step) -> (StepKind, Option<&ObjectName>, Slots) {
    match step {
        Step::Seal { object: of, seals } => (K::Seal, None, vec![object(of), words(seals)]),
        Step::SetOwner { object: of } => (K::SetOwner, None, vec![object(of)]),
        Step::SetSignal { object: of, signal } => (K::SetSignal, None, vec![object(of), number(*signal)]),
        Step::Epoll { name, of } => (K::Epoll, Some(name), vec![of.iter().flat_map(object).collect()]),
        Step::Inotify { name, at } => (K::Inotify, Some(name), vec![at.iter().flat_map(place).collect()]),
        Step::Fanotify { name, mark, at } => (K::Fanotify, Some(name), vec![words(&[*mark]), place(at)]),
        Step::Exit { process } => (K::Exit, None, vec![vec![Item::Process(process.clone())]]),
        _ => unreachable!("`parts` handles the others"),
    }
}

fn claim_head(claim: &Claim) -> &'static str {
    match claim {
        Claim::Detached => "assert detached",
        Claim::Visible => "assert visible",
        Claim::Elsewhere => "assert elsewhere",
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
        Claim::Detached | Claim::Visible | Claim::Elsewhere | Claim::Internal => {}
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
