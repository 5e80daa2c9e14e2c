//! Words that contradict each other.

use super::{Fault, Part};
use crate::grammar::{decompose, word};
use crate::program::{Claim, Filesystem, LockKind, LockRange, MountAttribute, OpenFlag, OverlaySettings, Place, Step};

pub(super) fn check(step: &Step) -> Vec<Fault> {
    match step {
        Step::Open { flags, .. } => open(flags).into_iter().collect(),
        Step::Mount { attributes, .. }
        | Step::MountAgain { attributes, .. }
        | Step::Bind { attributes, .. }
        | Step::OpenTree { attributes, .. }
        | Step::Remount { attributes, superblock: false, .. } => mount(step, attributes).into_iter().collect(),
        Step::Remount { attributes, superblock: true, .. } => {
            let other = attributes.iter().position(|attribute| *attribute != MountAttribute::Ro);
            let fault = |nth| Fault::new(Part::Argument { argument: 2, nth }, "`superblock` goes with `ro` alone");
            other.map(fault).into_iter().collect()
        }
        Step::NewTree { filesystem, attributes, .. } => {
            let bad = !matches!(filesystem, Filesystem::Tmpfs | Filesystem::Ramfs);
            let part = Part::Argument { argument: 0, nth: 0 };
            let fault = bad.then(|| Fault::new(part, format!("`fsmount` makes tmpfs and ramfs, not {filesystem}")));
            let fault = fault.map(|fault| fault.hint("mount it, then `open-tree`"));
            fault.into_iter().chain(mount(step, attributes)).collect()
        }
        Step::Overlay { attributes, upper, work, lower, nfs_export, settings, .. } => {
            let mut faults: Vec<_> = mount(step, attributes).into_iter().collect();
            faults.extend(overlay(lower, upper.as_ref(), work.as_ref()));
            faults.extend(settings_of_overlay(*nfs_export, *settings));
            faults
        }
        Step::Lock { kind, range, .. } => lock(*kind, *range).into_iter().collect(),
        Step::Setxattr { name, .. } => xattr(name.as_slice()).into_iter().collect(),
        Step::Memfd { label, .. } => {
            let bad = label.as_slice().len() > 249 || label.as_slice().contains(&0);
            let part = Part::Argument { argument: 0, nth: 0 };
            bad.then(|| Fault::new(part, "a label has at most 249 bytes and no \\0")).into_iter().collect()
        }
        Step::Symlink { target, .. } => {
            let bad = target.is_empty() || target.as_slice().len() > 4095 || target.as_slice().contains(&0);
            let part = Part::Argument { argument: 0, nth: 0 };
            bad.then(|| Fault::new(part, "a target has 1 to 4095 bytes and no \\0")).into_iter().collect()
        }
        Step::Assert { claim: Claim::LookupFails { path, .. } | Claim::LookupReaches { path, .. }, .. } => {
            let bad = path.is_empty() || path.as_slice().len() > 4095 || path.as_slice().contains(&0);
            let part = Part::Argument { argument: 2, nth: 0 };
            bad.then(|| Fault::new(part, "a path has 1 to 4095 bytes and no \\0")).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// A lock of flock(2) and a lease are on a whole file; no file is longer than 2^63 - 1 bytes
/// (fcntl(2), `EOVERFLOW`).
fn lock(kind: LockKind, range: LockRange) -> Option<Fault> {
    let has_ranges = matches!(kind, LockKind::Posix | LockKind::Ofd);
    if range != LockRange::default() && !has_ranges {
        let argument = if range.start > 0 { 3 } else { 4 };
        let what = format!("`{}` is on the whole file", word(kind));
        return Some(Fault::new(Part::Argument { argument, nth: 0 }, what));
    }
    let is_too_long = range.end().is_some_and(|end| end - 1 > i64::MAX.cast_unsigned());
    is_too_long.then(|| Fault::new(Part::Argument { argument: 4, nth: 0 }, "the range ends behind the largest offset"))
}

/// The second of two words that cannot stand together.
fn contradiction<T: crate::grammar::Vocabulary>(words: &[T], group: &[T], argument: usize) -> Option<Fault> {
    let mut found = words.iter().enumerate().filter(|(_, word)| group.contains(word));
    let (_, first) = found.next()?;
    let (nth, second) = found.find(|(_, other)| *other != first)?;
    let what = format!("`{}` contradicts `{}`", word(*second), word(*first));
    Some(Fault::new(Part::Argument { argument, nth }, what))
}

fn mount(step: &Step, attributes: &[MountAttribute]) -> Option<Fault> {
    use MountAttribute::{Noatime, Relatime, Strictatime};
    let argument = decompose(step).form.arguments.len() - 1;
    contradiction(attributes, &[Noatime, Relatime, Strictatime], argument)
}

fn overlay(lower: &[Place], upper: Option<&Place>, work: Option<&Place>) -> Option<Fault> {
    match (upper, work) {
        _ if lower.is_empty() => Some(Fault::whole("an overlay needs a lower directory")),
        (Some(_), None) => Some(
            Fault::new(Part::Argument { argument: 2, nth: 0 }, "an upper directory needs a work directory")
                .hint("add `work=DIR`, a directory on the filesystem of the upper one"),
        ),
        (None, Some(_)) => {
            Some(Fault::new(Part::Argument { argument: 3, nth: 0 }, "a work directory needs an upper directory"))
        }
        _ => None,
    }
}

/// Settings that exclude each other, `ovl_fs_params_verify` of fs/overlayfs/params.c.
fn settings_of_overlay(nfs_export: bool, settings: OverlaySettings) -> Option<Fault> {
    const METACOPY: usize = 5;
    const INDEX: usize = 7;
    let fault = |argument, what| Some(Fault::new(Part::Argument { argument, nth: 0 }, what));
    match settings {
        OverlaySettings { metacopy: Some(true), redirect_dir: Some(false), .. } => {
            fault(METACOPY, "`metacopy=on` contradicts `redirect-dir=off`")
        }
        OverlaySettings { metacopy: Some(true), .. } if nfs_export => {
            fault(METACOPY, "`metacopy=on` contradicts `nfs-export`")
        }
        OverlaySettings { index: Some(false), .. } if nfs_export => {
            fault(INDEX, "`index=off` contradicts `nfs-export`")
        }
        _ => None,
    }
}

fn xattr(name: &[u8]) -> Option<Fault> {
    let part = Part::Argument { argument: 1, nth: 0 };
    let spaces = ["user.", "trusted.", "security.", "system."];
    let known = spaces.iter().any(|space| name.starts_with(space.as_bytes()) && name.len() > space.len());
    if !known || name.len() > 255 || name.contains(&0) {
        return Some(Fault {
            expected: spaces.iter().map(|space| format!("{space}NAME")).collect(),
            ..Fault::new(part, "an attribute's name starts with its namespace, xattr(7)")
        });
    }
    None
}

fn open(flags: &[OpenFlag]) -> Option<Fault> {
    use OpenFlag::{Cloexec, Create, Directory, Exclusive, Nofollow, Path, Rdonly, Rdwr, Tmpfile, Truncate, Wronly};
    if let Some(fault) = contradiction(flags, &[Rdonly, Wronly, Rdwr], 1) {
        return Some(fault);
    }
    let has = |flag| flags.contains(&flag);
    let fault = |flag: OpenFlag, what: &str| {
        let nth = flags.iter().position(|other| *other == flag).unwrap_or(0);
        Some(Fault::new(Part::Argument { argument: 1, nth }, what))
    };
    let writes = has(Wronly) || has(Rdwr);
    if has(Path) {
        // open(2): O_PATH ignores all others without a word.
        let other = flags.iter().find(|flag| ![Path, Directory, Nofollow, Cloexec].contains(flag))?;
        return fault(*other, &format!("with `path` the kernel ignores `{}`", word(*other)));
    }
    if has(Tmpfile) && !writes {
        return fault(Tmpfile, "`tmpfile` needs write access: add `wronly` or `rdwr`");
    }
    if has(Tmpfile) && (has(Create) || has(Truncate)) {
        return fault(Tmpfile, "`tmpfile` makes a file of its own: `create` and `truncate` contradict it");
    }
    if has(Exclusive) && !has(Create) && !has(Tmpfile) {
        return fault(Exclusive, "`exclusive` without `create` means nothing");
    }
    if has(Truncate) && !writes {
        return fault(Truncate, "`truncate` needs write access: add `wronly` or `rdwr`");
    }
    if has(Directory) && (writes || has(Create)) && !has(Tmpfile) {
        return fault(Directory, "a directory can only be opened for reading");
    }
    None
}
