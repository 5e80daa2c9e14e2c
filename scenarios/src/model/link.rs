//! What a path reads as (fs/d_path.c), and whether its mount is in mountinfo.

use super::Model;
use super::files::Type;
use super::mounts::{Mnt, Path};
use vocabulary::Errno;
use vocabulary::object::MountState;

/// What stood at the end of the way up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The root of the process.
    Root,
    /// The end of a tree of mounts, or of a filesystem's names: not reachable from the root.
    Elsewhere,
}

/// readlink(2) of a magic link has a page for the text.
const TEXT_LIMIT: usize = 4000;

impl Model {
    /// `prepend_path`: the names up to the root of the process, or as far as it goes.
    fn climb(&self, path: Path) -> (Vec<&[u8]>, End) {
        let (mut at, mut names) = (path, Vec::new());
        while at != self.process.root {
            let mount = self.mounts.get(at.mnt);
            if at.den == mount.root {
                let Some(on) = mount.on else { return (names, End::Elsewhere) };
                at = on;
                continue;
            }
            if self.files.is_root(at.den) {
                // Renamed out of what the mount shows: no name is left of the path.
                return (Vec::new(), End::Elsewhere);
            }
            let row = self.files.dentry(at.den);
            names.push(row.name.as_slice());
            at.den = row.parent;
        }
        (names, End::Root)
    }

    /// The names on the way up to the root of the process, or of the namespace; the nearest first.
    pub(super) fn names_up(&self, path: Path) -> Vec<&[u8]> {
        self.climb(path).0
    }

    /// The link text in `/proc/self/fd`; `None` where a part of it is a number that the filesystem
    /// chose.
    pub(super) fn link(&self, path: Path) -> Option<Vec<u8>> {
        let row = self.files.dentry(path.den);
        if self.files.type_of(path.den) == Type::Internal {
            return (!row.numbered).then(|| row.name.clone());
        }
        let (names, _) = self.climb(path);
        let mut text: Vec<u8> = names.iter().rev().flat_map(|name| [b"/", *name].concat()).collect();
        if text.is_empty() {
            text.push(b'/');
        }
        if self.files.is_removed(path.den) {
            text.extend(b" (deleted)");
        }
        (!row.numbered && text.len() < TEXT_LIMIT).then_some(text)
    }

    /// getcwd(2): the text, or the error.
    pub(super) fn getcwd(&self) -> Option<Result<Vec<u8>, Errno>> {
        if self.files.is_removed(self.process.cwd.den) {
            return Some(Err(Errno::ENOENT));
        }
        let text = self.link(self.process.cwd)?;
        let reachable = self.climb(self.process.cwd).1 == End::Root;
        Some(Ok(if reachable { text } else { [b"(unreachable)", text.as_slice()].concat() }))
    }

    /// The observer's word for the mount of a path with this link text.
    pub(super) fn mount_state(&self, path: Path) -> MountState {
        if self.files.type_of(path.den) == Type::Internal {
            MountState::Internal
        } else if self.is_visible(path.mnt) {
            MountState::Visible
        } else if self.mounts.get(path.mnt).elsewhere {
            MountState::Elsewhere
        } else {
            MountState::Detached
        }
    }

    /// mountinfo shows the mounts of the namespace that can be reached from the root of the
    /// process.
    pub(super) fn is_visible(&self, mnt: Mnt) -> bool {
        self.mounts.get(mnt).attached && self.climb(self.mounts.root_of(mnt)).1 == End::Root
    }
}
