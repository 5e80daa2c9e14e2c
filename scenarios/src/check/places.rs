//! Paths: relative, below the top directory, not into the harness's own directory.

use super::objects::Objects;
use super::{Fault, Part};
use crate::grammar::{Item, StepKind, StepParts};
use crate::program::{Place, Step};

/// The directory at the top that belongs to the harness.
const HIDDEN: &[u8] = b".zdtm";
const COMPONENT_LIMIT: usize = 255; // NAME_MAX
const PATH_LIMIT: usize = 4095; // PATH_MAX without the final \0

/// The components of a path, without empty ones and `.`.
fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".")
}

/// How deep below the top directory a path leads, as its text says; `None` when it leads above.
pub(super) fn depth(from: usize, path: &[u8]) -> Option<usize> {
    components(path).try_fold(from, |depth, name| if name == b".." { depth.checked_sub(1) } else { Some(depth + 1) })
}

pub(super) fn check(place: &Place, objects: &Objects, part: Part) -> Result<(), Fault> {
    let path = place.path.as_slice();
    let wrong = |what: &str| Err(Fault::new(part, what));
    let from = match &place.base {
        Some(base) => objects.base(base, path, part)?,
        None if path.is_empty() => return wrong("an empty path; the top directory is `.`"),
        None => 0,
    };
    if path.starts_with(b"/") {
        return Err(Fault::new(part, "an absolute path")
            .hint("paths start from the program's top directory: leave the `/` out"));
    }
    if path.contains(&0) {
        return wrong("a path cannot hold \\0");
    }
    if path.len() > PATH_LIMIT {
        return wrong("a path has at most 4095 bytes; open a directory on the way and go on with `OBJECT:`");
    }
    if components(path).any(|name| name.len() > COMPONENT_LIMIT) {
        return wrong("a name has at most 255 bytes");
    }
    let mut depth = from;
    for name in components(path) {
        if depth == 0 && name == HIDDEN {
            return wrong("`.zdtm` at the top belongs to the harness");
        }
        match self::depth(depth, name) {
            Some(next) => depth = next,
            None => return wrong("`..` leads above the top directory"),
        }
    }
    Ok(())
}

/// Steps that cannot be done to the top directory itself.
pub(super) fn top(parts: &StepParts, objects: &Objects) -> Vec<Fault> {
    let arguments = not_the_top(parts.form.kind);
    let is_top = |place: &Place| {
        let from = place.base.as_ref().map_or(Some(0), |base| objects.depth(base));
        from.and_then(|from| depth(from, place.path.as_slice())) == Some(0)
    };
    let mut faults = Vec::new();
    for argument in arguments {
        if let Some(Item::Place(place)) = parts.slots[*argument].first()
            && !place.path.is_empty()
            && is_top(place)
        {
            let part = Part::Argument { argument: *argument, nth: 0 };
            faults.push(Fault::new(part, format!("`{}` cannot be done to the top directory", parts.form.kind)));
        }
    }
    faults
}

/// The arguments of a step that cannot be the top directory, by their place among all.
fn not_the_top(kind: StepKind) -> &'static [usize] {
    use StepKind as K;
    match kind {
        K::Mount | K::MountAgain | K::Bind | K::Rbind => &[1],
        K::Overlay | K::Unmount | K::UnmountLazy | K::Rmdir | K::Unlink => &[0],
        K::Move | K::Rename => &[0, 1],
        K::Remount | K::Propagate | K::PivotRoot => &[],
        K::Mkdir | K::Write | K::Append | K::Truncate | K::Symlink | K::Link | K::Mkfifo | K::Mksocket | K::Mknod => {
            &[]
        }
        K::Chmod | K::Chown | K::Setxattr | K::Touch => &[],
        K::Subvolume | K::Snapshot | K::DeleteSubvolume => &[],
        K::Open | K::Dup | K::Memfd | K::Map | K::Socketpair | K::Peer | K::Close => &[],
        K::Send | K::Receive => &[],
        K::Seek | K::Read | K::WriteTo | K::ReadEntries | K::Lock => &[],
        K::Chdir | K::Chroot | K::UnshareMounts | K::External | K::Exec | K::Assert => &[],
        K::OpenTree | K::NewTree | K::Fork | K::As | K::Seal | K::SetOwner | K::SetSignal => &[],
        K::Epoll | K::Inotify | K::Fanotify | K::Exit => &[],
    }
}

/// The depth of a place after a step that opens it or goes there.
pub(super) fn reached(step: &Step, objects: &Objects) -> Option<usize> {
    let (Step::Open { at, .. } | Step::OpenTree { at, .. } | Step::Chdir { at } | Step::Chroot { at }) = step else {
        return None;
    };
    let from = at.base.as_ref().map_or(Some(0), |base| objects.depth(base))?;
    depth(from, at.path.as_slice())
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_cannot_be_done_to_the_top_directory() {
        let refused = [
            "mount tmpfs .",
            "mount-again a .",
            "overlay . lower=a lower=b",
            "bind a .",
            "rbind a .",
            "move . a",
            "move a .",
            "umount .",
            "umount-lazy a/..",
            "rename . a",
            "rename a .",
            "unlink .",
            "rmdir .",
        ];
        for line in refused {
            let faults = crate::text::program(&format!("{line}\n")).expect_err(line);
            assert!(faults[0].to_string().contains("cannot be done to the top directory"), "{line}: {}", faults[0]);
        }
        for line in ["tree = open-tree .", "bind . a", "propagation . shared", "chdir .", "chmod . 0700"] {
            crate::text::program(&format!("{line}\n")).expect(line);
        }
    }
}
