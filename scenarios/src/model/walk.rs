//! From a path to a file (fs/namei.c): symbolic links, `..`, mount points, and the restrictions of
//! openat2(2).

use std::collections::VecDeque;

use super::files::{Den, Kind};
use super::mounts::Path;
use super::{Model, Refusal, Result, errno, unknown, vfat};
use vocabulary::Errno;
use vocabulary::object::LookupKind;

const LINK_LIMIT: usize = 40; // MAXSYMLINKS
const NAME_LIMIT: usize = 255; // NAME_MAX
/// The harness's own prefix comes on top of it.
const PATH_LIMIT: usize = 4000;

/// The last part of a path, for calls that make, remove or rename it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Last {
    Name(Vec<u8>),
    Dot,
    DotDot,
}

/// The directory of a last part, and whether a slash follows that.
#[derive(Clone, Debug)]
pub(super) struct Parent {
    pub(super) at: Path,
    pub(super) last: Last,
    pub(super) slash: bool,
}

/// A path's parts; one that ends in a slash must be a directory, as if `.` followed.
fn parts(text: &[u8]) -> VecDeque<Vec<u8>> {
    let mut parts: VecDeque<_> =
        text.split(|&byte| byte == b'/').filter(|part| !part.is_empty()).map(<[u8]>::to_vec).collect();
    if text.ends_with(b"/") && !parts.is_empty() {
        parts.push_back(b".".to_vec());
    }
    parts
}

pub(super) struct Walk<'a> {
    model: &'a Model,
    how: LookupKind,
    at: Path,
    root: Path,
    /// The kernel has looked for the root in this walk: at its start, or at a `..` on the way.
    root_known: bool,
    left: VecDeque<Vec<u8>>,
    links: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(model: &'a Model, from: Path, text: &[u8], how: LookupKind) -> Self {
        // Restricted lookups start at their own root.
        let root_known = matches!(how, LookupKind::Beneath | LookupKind::InRoot);
        let root = if root_known { from } else { model.process.root };
        Walk { model, how, at: from, root, root_known, left: parts(text), links: 0 }
    }

    /// To the end; a symbolic link there is followed unless `follow` says no.
    pub(super) fn run(mut self, follow: bool) -> Result<Path> {
        while let Some(part) = self.left.pop_front() {
            let last = self.left.is_empty();
            self.part(&part, follow || !last)?;
        }
        Ok(self.at)
    }

    fn part(&mut self, part: &[u8], follow: bool) -> Result<()> {
        let model = self.model;
        if !model.files.is_directory(self.at.den) {
            return errno(Errno::ENOTDIR);
        }
        match part {
            b"." => Ok(()),
            b".." => self.up(),
            name if name.len() > NAME_LIMIT => errno(Errno::ENAMETOOLONG),
            name => match model.child(self.at.den, name)? {
                None => errno(Errno::ENOENT),
                Some(den) => self.into(den, follow),
            },
        }
    }

    /// Onto a name below: through mounts, then through a symbolic link.
    fn into(&mut self, den: Den, follow: bool) -> Result<()> {
        let model = self.model;
        let place = Path { den, ..self.at };
        let found = model.mounts.down(place);
        if found.mnt != place.mnt && self.how == LookupKind::NoXdev {
            return errno(Errno::EXDEV);
        }
        match &model.files.inode_of(found.den).kind {
            Kind::Symlink(target) if follow => self.follow(found, target),
            _ => {
                self.at = found;
                Ok(())
            }
        }
    }

    fn follow(&mut self, link: Path, target: &[u8]) -> Result<()> {
        self.links += 1;
        if self.links > LINK_LIMIT || self.model.mounts.get(link.mnt).nosymfollow {
            return errno(Errno::ELOOP);
        }
        if target.starts_with(b"/") {
            match self.how {
                LookupKind::Beneath => return errno(Errno::EXDEV),
                // `nd_jump_root` compares with a root that may not be known yet.
                LookupKind::NoXdev if !self.root_known || self.at.mnt != self.root.mnt => return errno(Errno::EXDEV),
                _ => self.at = self.root,
            }
            self.root_known = true;
        }
        let mut parts = parts(target);
        parts.append(&mut self.left);
        self.left = parts;
        Ok(())
    }

    /// `follow_dotdot`, then down again through what is mounted there.
    fn up(&mut self) -> Result<()> {
        let model = self.model;
        self.root_known = true;
        let parent = match self.above() {
            None if self.how == LookupKind::Beneath => return errno(Errno::EXDEV),
            None => self.at,
            Some(place) if place.mnt != self.at.mnt && self.how == LookupKind::NoXdev => return errno(Errno::EXDEV),
            Some(place) => {
                let parent = model.files.dentry(place.den).parent;
                // `path_connected`: renamed out of what the mount shows.
                let root = model.mounts.get(place.mnt).root;
                if !model.files.is_root(root) && !model.files.is_below(parent, root) {
                    return errno(Errno::ENOENT);
                }
                Path { den: parent, ..place }
            }
        };
        let found = model.mounts.down(parent);
        if found.mnt != parent.mnt && self.how == LookupKind::NoXdev {
            return errno(Errno::EXDEV);
        }
        self.at = found;
        Ok(())
    }

    /// Where `..` is taken from: here, or where the mount is mounted; none at a root.
    fn above(&self) -> Option<Path> {
        let mounts = &self.model.mounts;
        let mut place = self.at;
        loop {
            if place == self.root {
                return None;
            }
            if place.den != mounts.get(place.mnt).root {
                return Some(place);
            }
            place = mounts.get(place.mnt).on?;
        }
    }
}

impl Model {
    /// A name in a directory.
    pub(super) fn child(&self, directory: Den, name: &[u8]) -> Result<Option<Den>> {
        let row = self.files.inode_of(directory);
        if row.opaque {
            return unknown("what is in this directory");
        }
        vfat::is_plain_name(self, directory, name)?;
        match row.children.get(name) {
            None if row.foreign => unknown("which device nodes the harness made"),
            found => Ok(found.copied()),
        }
    }

    /// A lookup of a path's text.
    pub(super) fn look_up(&self, from: Path, text: &[u8], how: LookupKind) -> Result<Path> {
        if text.len() > PATH_LIMIT {
            return unknown("a path of nearly PATH_MAX");
        }
        Walk::new(self, from, text, how).run(how != LookupKind::Nofollow)
    }

    /// The directory of a path's last part, and that part.
    pub(super) fn look_up_parent(&self, from: Path, text: &[u8]) -> Result<Parent> {
        if text.len() > PATH_LIMIT {
            return unknown("a path of nearly PATH_MAX");
        }
        let mut left = parts(text);
        let slash = text.ends_with(b"/");
        if slash {
            left.pop_back();
        }
        let last = match left.pop_back().as_deref() {
            None => return Err(Refusal::Unknown("a path without a last part")),
            Some(b".") => Last::Dot,
            Some(b"..") => Last::DotDot,
            Some(name) => Last::Name(name.to_vec()),
        };
        let mut walk = Walk::new(self, from, b"", LookupKind::Plain);
        walk.left = left;
        let at = walk.run(true)?;
        if !self.files.is_directory(at.den) {
            return errno(Errno::ENOTDIR);
        }
        Ok(Parent { at, last, slash })
    }
}
