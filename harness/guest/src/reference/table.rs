//! The mounts that are visible in a mount namespace, as the walk through them needs them.

use std::io;
use std::os::fd::BorrowedFd;

use protocol::observation::Mount;
use scenarios::Bytes;

use crate::observe::{mountinfo, read_file};

/// A mount table.
#[derive(Clone, Debug)]
pub struct Table {
    mounts: Vec<Mount>,
}

/// What tells a mount from the others of a table and of every copy of it: the way to it from the
/// top. Numbers differ in a copy.
pub type Chain = Vec<(Bytes, Bytes, u32, u32)>;

impl Table {
    /// The mounts of this process's namespace, below its root. `proc` is a procfs in which `self`
    /// is this process.
    ///
    /// # Errors
    /// Those of reading `self/mountinfo`.
    pub fn own(proc: BorrowedFd<'_>) -> io::Result<Self> {
        Self::read(proc, "self/mountinfo")
    }

    /// The mounts that another process sees below its root.
    ///
    /// # Errors
    /// Those of reading its `mountinfo`.
    pub fn of(proc: BorrowedFd<'_>, pid: i32) -> io::Result<Self> {
        Self::read(proc, &format!("{pid}/mountinfo"))
    }

    fn read(proc: BorrowedFd<'_>, path: &str) -> io::Result<Self> {
        Ok(Table { mounts: mountinfo::parse(&read_file(proc, path)?).map_err(io::Error::other)? })
    }

    /// The mount with this ID.
    pub fn get(&self, id: u64) -> Option<&Mount> {
        self.mounts.iter().find(|mount| mount.id == id)
    }

    /// All.
    pub fn all(&self) -> &[Mount] {
        &self.mounts
    }

    /// The mount and those below it, up to the topmost.
    pub fn line(&self, id: u64) -> Vec<&Mount> {
        let mut line: Vec<&Mount> = Vec::new();
        let mut next = self.get(id);
        while let Some(mount) = next {
            if line.iter().any(|other| other.id == mount.id) {
                break;
            }
            line.push(mount);
            next = self.get(mount.parent);
        }
        line
    }

    /// See [`Chain`].
    pub fn chain(&self, id: u64) -> Chain {
        self.line(id).into_iter().map(link).collect()
    }

    /// The mount that the chain leads to.
    pub fn find(&self, chain: &Chain) -> Option<&Mount> {
        let last = chain.first()?;
        let alike = |mount: &&Mount| mount.mount_point == last.0 && link(mount) == *last;
        self.mounts.iter().filter(alike).find(|mount| self.chain(mount.id) == *chain)
    }

    /// A mount on this one, or one that hides it or its path, and that its path leads to.
    pub fn in_the_way(&self, base: &Mount) -> Option<&Mount> {
        let mut line = self.line(base.id);
        line.reverse();
        line.iter().enumerate().find_map(|(index, parent)| {
            let hides = |mount: &&Mount| match line.get(index + 1) {
                None => true,
                Some(next) => mount.id != next.id && below(&mount.mount_point, &next.mount_point).is_some(),
            };
            let on_it = self.mounts.iter().filter(|mount| mount.parent == parent.id && mount.id != parent.id);
            on_it.filter(hides).min_by_key(|mount| mount.mount_point.0.len()).map(|mount| self.topmost(mount))
        })
    }

    /// What a path to a mount point leads to: the last of those that are mounted on each other's
    /// root there.
    fn topmost<'a>(&'a self, mut mount: &'a Mount) -> &'a Mount {
        let on_its_root = |below: &Mount, mount: &Mount| {
            mount.parent == below.id && mount.id != below.id && mount.mount_point == below.mount_point
        };
        while let Some(next) = self.mounts.iter().find(|next| on_its_root(mount, next)) {
            mount = next;
        }
        mount
    }

    /// Removes a mount and all mounts on it.
    pub fn remove(&mut self, id: u64) {
        let mut gone = vec![id];
        while let Some(id) = gone.pop() {
            let (on_it, rest) = std::mem::take(&mut self.mounts).into_iter().partition(|mount| mount.parent == id);
            self.mounts = rest;
            gone.extend(on_it.iter().map(|mount: &Mount| mount.id));
            self.mounts.retain(|mount| mount.id != id);
        }
    }

    /// The mounts of a superblock, those that show most of it first.
    pub fn of_device(&self, (major, minor): (u32, u32)) -> Vec<&Mount> {
        let mut found: Vec<&Mount> =
            self.mounts.iter().filter(|mount| (mount.major, mount.minor) == (major, minor)).collect();
        found.sort_by_key(|mount| (mount.root.0.len(), mount.id));
        found
    }

    /// Among the mounts of this one's superblock the one that shows most and this one's root, and
    /// where on it that is. All files of a superblock are put back through the same one where that
    /// is possible.
    pub fn widest(&self, id: u64) -> Option<(&Mount, Bytes)> {
        let mount = self.get(id)?;
        let bases = self.of_device((mount.major, mount.minor));
        bases.into_iter().find_map(|base| Some((base, below(&base.root, &mount.root)?)))
    }
}

fn link(mount: &Mount) -> (Bytes, Bytes, u32, u32) {
    (mount.mount_point.clone(), mount.root.clone(), mount.major, mount.minor)
}

/// The rest of a path below another, without a slash in front; `None` when it is not below. Both
/// are absolute.
pub fn below(above: &Bytes, path: &Bytes) -> Option<Bytes> {
    let above = above.0.strip_suffix(b"/").unwrap_or(&above.0);
    let rest = path.0.strip_prefix(above)?;
    match rest.split_first() {
        None => Some(Bytes::default()),
        Some((b'/', rest)) => Some(rest.into()),
        Some(_) => None,
    }
}

/// Two paths, one below the other; none of them starts with a slash, both may be empty.
pub fn join(one: &Bytes, other: &Bytes) -> Bytes {
    match (one.is_empty(), other.is_empty()) {
        (true, _) => other.clone(),
        (_, true) => one.clone(),
        _ => [one.as_slice(), b"/", other.as_slice()].concat().into(),
    }
}

/// The directory of a path and the last name.
pub fn split(path: &Bytes) -> (Bytes, Bytes) {
    match path.0.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (path.0[..slash].into(), path.0[slash + 1..].into()),
        None => (Bytes::default(), path.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_ends_at_names() {
        let rest = |above: &str, path: &str| below(&above.into(), &path.into()).map(|rest| rest.to_string());
        assert_eq!(rest("/", "/d/f"), Some("d/f".to_owned()));
        assert_eq!(rest("/d", "/d/f"), Some("f".to_owned()));
        assert_eq!(rest("/d", "/d"), Some(String::new()));
        assert_eq!(rest("/", "/"), Some(String::new()));
        assert_eq!(rest("/d", "/dd"), None);
        assert_eq!(rest("/d/e", "/d"), None);
    }

    #[test]
    fn split_and_join_are_inverse() {
        arbtest::arbtest(|u| {
            let path: String =
                (0..u.int_in_range(1..=4)?).map(|_| u.choose(&["a", "/", ".b"]).copied()).collect::<Result<_, _>>()?;
            let path: Bytes = path.trim_matches('/').into();
            let (directory, name) = split(&path);
            if !directory.is_empty() && !name.is_empty() {
                assert_eq!(join(&directory, &name), path);
            }
            Ok(())
        });
    }
}
