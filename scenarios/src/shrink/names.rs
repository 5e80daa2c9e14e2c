//! Names all over a program: one place in place of another, a directory left out of every path, a
//! short name in place of a long one, objects numbered anew.

use std::collections::BTreeSet;

use crate::grammar::{Item, decompose};
use crate::program::{Line, ObjectName, Place, Step};
use crate::{Bytes, Program};

/// Names to take in place of others.
const PLAIN: &[u8] = b"abcdefghijklmnopqrstuvwxyz";

pub(super) fn programs(program: &Program) -> Vec<Program> {
    let mut out = vec![renumbered(program)];
    let names = names(program);
    out.extend(names.iter().map(|name| without(program, name)));
    out.extend(moved(program));
    out.extend(renamed(program, &names));
    out
}

/// Every step, with other places, texts of links, and object names.
fn rewritten(
    program: &Program,
    place: impl Fn(&Place) -> Place,
    target: impl Fn(&Bytes) -> Bytes,
    object: impl Fn(&ObjectName) -> ObjectName,
) -> Program {
    let step = |step: &Step| {
        let mut parts = decompose(step);
        parts.name = parts.name.as_ref().map(&object);
        for item in parts.slots.iter_mut().flatten() {
            match item {
                Item::Place(old) => {
                    let mut new = place(old);
                    new.base = new.base.as_ref().map(&object);
                    *old = new;
                }
                Item::Object(name) => *name = object(name),
                Item::Text(text) if matches!(step, Step::Symlink { .. } | Step::MountAgain { .. }) => {
                    *text = target(text);
                }
                _ => {}
            }
        }
        parts.form.step(parts.name, parts.slots)
    };
    let line = |line: &Line| Line { number: line.number, step: step(&line.step) };
    program.with_steps(program.steps.iter().map(line).collect())
}

/// The objects are `fd0`, `fd1` and so on, in the order in which they are made.
fn renumbered(program: &Program) -> Program {
    let made: Vec<ObjectName> = program.steps.iter().filter_map(|line| decompose(&line.step).name).collect();
    let number = |name: &ObjectName| {
        let (process, local) = name.parts();
        match made.iter().position(|other| *other == local) {
            Some(index) => ObjectName(format!("fd{index}")).of_process(&process),
            None => name.clone(),
        }
    };
    rewritten(program, Clone::clone, Clone::clone, number)
}

/// The names in all paths and links.
fn names(program: &Program) -> BTreeSet<Vec<u8>> {
    let mut names = BTreeSet::new();
    for line in &program.steps {
        for item in decompose(&line.step).slots.into_iter().flatten() {
            let path = match (item, &line.step) {
                (Item::Place(place), _) => place.path,
                (Item::Text(text), Step::Symlink { .. }) => text,
                _ => continue,
            };
            names.extend(parts(&path).map(<[u8]>::to_vec));
        }
    }
    names.retain(|name| !matches!(name.as_slice(), b"" | b"." | b".." | b"proc"));
    names
}

/// Without one directory: what was in it is in the one above.
fn without(program: &Program, name: &[u8]) -> Program {
    let path = |path: &Bytes| {
        let rest: Vec<&[u8]> = parts(path).filter(|part| *part != name).collect();
        if rest.is_empty() { path.clone() } else { Bytes(rest.join(&b'/')) }
    };
    let place = |place: &Place| Place { base: place.base.clone(), path: path(&place.path) };
    rewritten(program, place, path, Clone::clone)
}

/// One place, and all that is below it, in place of another: of two directories or mounts there is
/// one.
fn moved(program: &Program) -> Vec<Program> {
    let mut places = BTreeSet::new();
    for line in &program.steps {
        for item in decompose(&line.step).slots.into_iter().flatten() {
            let Item::Place(place) = item else { continue };
            let path = place.path.as_slice();
            let ends = (0..path.len()).filter(|&index| path[index] == b'/').chain([path.len()]);
            places.extend(ends.map(|end| Place { base: place.base.clone(), path: Bytes::from(&path[..end]) }));
        }
    }
    places.retain(|place| !place.path.is_empty());
    let mut out = Vec::new();
    for old in &places {
        for new in places.iter().filter(|new| *new != old && length(new) <= length(old)) {
            let place = |place: &Place| match place.path.as_slice().strip_prefix(old.path.as_slice()) {
                Some(rest) if place.base == old.base && (rest.is_empty() || rest.starts_with(b"/")) => {
                    Place { base: new.base.clone(), path: Bytes([new.path.as_slice(), rest].concat()) }
                }
                _ => place.clone(),
            };
            out.push(rewritten(program, place, Clone::clone, Clone::clone));
        }
    }
    out
}

fn length(place: &Place) -> usize {
    place.path.as_slice().len() + place.base.as_ref().map_or(0, |base| base.0.len() + 1)
}

/// One name replaced by a plain one that is not in use, wherever it stands.
fn renamed(program: &Program, names: &BTreeSet<Vec<u8>>) -> Vec<Program> {
    let free = PLAIN.iter().map(|&letter| vec![letter]).find(|letter| !names.contains(letter));
    let Some(free) = free else { return Vec::new() };
    let long = names.iter().filter(|name| name.len() > 1 && name.as_slice() != b"tmp");
    let with = |name: &Vec<u8>| {
        let path = |path: &Bytes| {
            let new: Vec<&[u8]> = parts(path).map(|part| if part == name { free.as_slice() } else { part }).collect();
            Bytes(new.join(&b'/'))
        };
        let place = |place: &Place| Place { base: place.base.clone(), path: path(&place.path) };
        rewritten(program, place, path, Clone::clone)
    };
    long.map(with).collect()
}

fn parts(path: &Bytes) -> impl Iterator<Item = &[u8]> {
    path.as_slice().split(|&byte| byte == b'/')
}
