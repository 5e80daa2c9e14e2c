//! One argument simpler: words dropped, contents shortened, a plainer step in place of an unusual
//! one.

use super::names;
use crate::program::{Filesystem, Line, LockRange, OpenFlag, OverlaySettings, Step};
use crate::{Bytes, Program};

/// Programs that differ from this one in one argument, or in one name all over, the more promising
/// ones first.
pub(super) fn programs(program: &Program) -> Vec<Program> {
    let mut out = names::programs(program);
    for (index, line) in program.steps.iter().enumerate() {
        for step in simpler(&line.step) {
            let mut other = program.clone();
            other.steps[index] = Line { number: line.number, step };
            out.push(other);
        }
    }
    out
}

/// The list without all of it, then without each one.
fn fewer<T: Clone>(list: &[T]) -> Vec<Vec<T>> {
    let each = (0..list.len()).map(|index| [&list[..index], &list[index + 1..]].concat());
    if list.len() > 1 { std::iter::once(Vec::new()).chain(each).collect() } else { each.collect() }
}

fn shorter(bytes: &Bytes) -> Vec<Bytes> {
    let shorter = [Bytes::default(), Bytes::from("x"), Bytes::from(&bytes.as_slice()[..bytes.as_slice().len() / 2])];
    shorter.into_iter().filter(|other| other.as_slice().len() < bytes.as_slice().len()).collect()
}

fn smaller(number: u64) -> Vec<u64> {
    [0, 1, number / 2].into_iter().filter(|other| *other < number).collect()
}

/// The steps that could replace this one.
fn simpler(step: &Step) -> Vec<Step> {
    match step.clone() {
        Step::Mount { filesystem, at, attributes } => {
            let plain = (filesystem != Filesystem::Tmpfs).then_some(Filesystem::Tmpfs);
            let other = |filesystem| Step::Mount { filesystem, at: at.clone(), attributes: attributes.clone() };
            let mut out: Vec<Step> = plain.into_iter().map(other).collect();
            out.extend(fewer(&attributes).into_iter().map(|attributes| Step::Mount {
                filesystem,
                at: at.clone(),
                attributes,
            }));
            out
        }
        Step::MountAgain { of, at, subvolume, attributes } => {
            let bind = Step::Bind { from: of.clone(), to: at.clone(), recursive: false, attributes: Vec::new() };
            let mut out = vec![bind];
            if subvolume.is_some() || !attributes.is_empty() {
                out.push(Step::MountAgain { of: of.clone(), at: at.clone(), subvolume: None, attributes: Vec::new() });
                out.push(Step::MountAgain { of, at, subvolume, attributes: Vec::new() });
            }
            out
        }
        Step::Overlay { .. } => simpler_overlay(step),
        Step::Bind { from, to, recursive, attributes } => {
            let with = |recursive, attributes| Step::Bind { from: from.clone(), to: to.clone(), recursive, attributes };
            let mut out: Vec<Step> = fewer(&attributes).into_iter().map(|fewer| with(recursive, fewer)).collect();
            if recursive {
                out.push(with(false, attributes));
            }
            out
        }
        Step::Remount { at, superblock: true, attributes } => {
            vec![Step::Remount { at, superblock: false, attributes }]
        }
        Step::Remount { at, superblock, attributes } => {
            let some = fewer(&attributes).into_iter().filter(|fewer| !fewer.is_empty());
            some.map(|attributes| Step::Remount { at: at.clone(), superblock, attributes }).collect()
        }
        Step::OpenTree { name, at, recursive, attributes } => {
            let with =
                |recursive, attributes| Step::OpenTree { name: name.clone(), at: at.clone(), recursive, attributes };
            let mut out: Vec<Step> = fewer(&attributes).into_iter().map(|fewer| with(recursive, fewer)).collect();
            if recursive {
                out.push(with(false, attributes.clone()));
            }
            out.push(Step::Open { name: name.clone(), at: at.clone(), flags: vec![OpenFlag::Path] });
            out
        }
        Step::NewTree { name, filesystem, attributes } => {
            let with = |filesystem, attributes| Step::NewTree { name: name.clone(), filesystem, attributes };
            let mut out: Vec<Step> = fewer(&attributes).into_iter().map(|fewer| with(filesystem, fewer)).collect();
            if filesystem != Filesystem::Tmpfs {
                out.push(with(Filesystem::Tmpfs, attributes));
            }
            out
        }
        Step::Propagate { at, kind, recursive: true } => vec![Step::Propagate { at, kind, recursive: false }],
        Step::Snapshot { from, to, read_only: true } => vec![Step::Snapshot { from, to, read_only: false }],
        _ => simpler_file(step),
    }
}

fn simpler_overlay(step: &Step) -> Vec<Step> {
    let Step::Overlay { at, lower, upper, work, nfs_export, settings, attributes } = step.clone() else {
        return Vec::new();
    };
    let with = |lower: Vec<_>, writable: bool, nfs_export, settings| Step::Overlay {
        at: at.clone(),
        lower,
        upper: upper.clone().filter(|_| writable),
        work: work.clone().filter(|_| writable),
        nfs_export,
        settings,
        attributes: Vec::new(),
    };
    let mut out = vec![Step::Mount { filesystem: Filesystem::Tmpfs, at: at.clone(), attributes: Vec::new() }];
    if nfs_export || !attributes.is_empty() {
        out.push(with(lower.clone(), true, false, settings));
    }
    for fewer in fewer_settings(settings) {
        out.push(with(lower.clone(), true, nfs_export, fewer));
    }
    if upper.is_some() {
        out.push(with(lower.clone(), false, nfs_export, settings));
    }
    let some = fewer(&lower).into_iter().filter(|fewer| !fewer.is_empty());
    out.extend(some.map(|fewer| with(fewer, true, nfs_export, settings)));
    out
}

/// The settings without each one that is given.
fn fewer_settings(settings: OverlaySettings) -> Vec<OverlaySettings> {
    let without = [
        OverlaySettings { metacopy: None, ..settings },
        OverlaySettings { redirect_dir: None, ..settings },
        OverlaySettings { index: None, ..settings },
        OverlaySettings { xino: None, ..settings },
    ];
    without.into_iter().filter(|other| *other != settings).collect()
}

fn simpler_file(step: &Step) -> Vec<Step> {
    match step.clone() {
        Step::Write { at, bytes } => {
            shorter(&bytes).into_iter().map(|bytes| Step::Write { at: at.clone(), bytes }).collect()
        }
        Step::Append { at, bytes } => {
            shorter(&bytes).into_iter().map(|bytes| Step::Append { at: at.clone(), bytes }).collect()
        }
        Step::WriteTo { object, bytes } => {
            shorter(&bytes).into_iter().map(|bytes| Step::WriteTo { object: object.clone(), bytes }).collect()
        }
        Step::Setxattr { at, name, value } => {
            let with = |value| Step::Setxattr { at: at.clone(), name: name.clone(), value };
            shorter(&value).into_iter().map(with).collect()
        }
        Step::Memfd { name, label, sealable } => {
            let with = |label, sealable| Step::Memfd { name: name.clone(), label, sealable };
            let plain = sealable.then(|| with(label.clone(), false));
            shorter(&label).into_iter().map(|label| with(label, sealable)).chain(plain).collect()
        }
        Step::Epoll { name, of } => {
            let some = fewer(&of).into_iter().filter(|fewer| !fewer.is_empty());
            some.map(|of| Step::Epoll { name: name.clone(), of }).collect()
        }
        Step::Inotify { name, at } => {
            let some = fewer(&at).into_iter().filter(|fewer| !fewer.is_empty());
            some.map(|at| Step::Inotify { name: name.clone(), at }).collect()
        }
        Step::Seal { object, seals } => {
            let some = fewer(&seals).into_iter().filter(|fewer| !fewer.is_empty());
            some.map(|seals| Step::Seal { object: object.clone(), seals }).collect()
        }
        Step::Truncate { at, length } => {
            smaller(length).into_iter().map(|length| Step::Truncate { at: at.clone(), length }).collect()
        }
        Step::Seek { object, offset } => {
            smaller(offset).into_iter().map(|offset| Step::Seek { object: object.clone(), offset }).collect()
        }
        Step::Read { object, length } => {
            smaller(length).into_iter().map(|length| Step::Read { object: object.clone(), length }).collect()
        }
        Step::Open { name, at, flags } => {
            let plain = |flags: &Vec<OpenFlag>| *flags != [OpenFlag::Rdonly];
            let with = |flags| Step::Open { name: name.clone(), at: at.clone(), flags };
            fewer(&flags).into_iter().filter(plain).map(with).collect()
        }
        Step::Lock { object, kind, write, range } if range != LockRange::default() => {
            let whole = Step::Lock { object: object.clone(), kind, write, range: LockRange::default() };
            let starts = smaller(range.start).into_iter().map(|start| LockRange { start, ..range });
            let lengths = smaller(range.length).into_iter().filter(|length| *length > 0);
            let ranges = starts.chain(lengths.map(|length| LockRange { length, ..range }));
            let with = |range| Step::Lock { object: object.clone(), kind, write, range };
            std::iter::once(whole).chain(ranges.map(with)).collect()
        }
        Step::Dup { name, of, cloexec: true } => vec![Step::Dup { name, of, cloexec: false }],
        Step::Map { name, of, write: true, shared } => vec![Step::Map { name, of, write: false, shared }],
        Step::Touch { at, seconds, nanoseconds } if nanoseconds > 0 => {
            vec![Step::Touch { at, seconds, nanoseconds: 0 }]
        }
        _ => Vec::new(),
    }
}
