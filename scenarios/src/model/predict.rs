//! What must be observed of the objects: the observer's own list (`guest/src/observe`), answered by
//! the model.

use std::collections::BTreeSet;

use super::content::Content;
use super::files::{Ino, Kind, Type};
use super::mounts::{Mnt, Path};
use super::objects::Held;
use super::opening::Access;
use super::{Model, Refusal};
use crate::Bytes;
use crate::program::ObjectName;
use vocabulary::Errno;
use vocabulary::object::{FileKind, LookupKind, MountState};

/// The observer looks up no more paths than this from one directory.
const PATH_LIMIT: usize = 96;
/// The observer's nested paths reach this deep.
const DEPTH_LIMIT: usize = 4;
/// The harness's own corner.
const CORNER: &[u8] = b".zdtm";

/// A file's identity: two are one inode when they are equal. No number of the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileKey(pub(super) Ino);

/// A mount's identity: two are one mount when they are equal. No number of the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MountKey(pub(super) Mnt);

/// Everything that the model says about a program's end. In every field none means that the model
/// does not know.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// One for each object, `cwd`, `root` and `exe` among them; sockets are left out.
    pub objects: Vec<PredictedObject>,
}

/// What is observed of one object.
#[derive(Clone, Debug)]
pub struct PredictedObject {
    /// Its name in the program; `child.fd0` for one of the process `child`.
    pub name: String,
    /// The text of its magic link.
    pub link: Option<Bytes>,
    /// What getcwd(2) gives, for `cwd`.
    pub getcwd: Option<Result<Bytes, Errno>>,
    /// Where its mount is to be seen.
    pub state: MountState,
    /// Its mount.
    pub mount: MountKey,
    /// Its inode.
    pub file: Option<FileKey>,
    /// What it is.
    pub kind: FileKind,
    /// `st_nlink`.
    pub links: Option<u64>,
    /// What it holds, of a regular file.
    pub content: Option<Content>,
    /// Its open file description, of a descriptor: two are one when the numbers are equal.
    pub description: Option<usize>,
    /// The file offset of a descriptor, in bytes.
    pub position: Option<u64>,
    /// Opening it again for reading, for writing, for both; of descriptors of files and
    /// directories.
    pub reopen: Vec<Option<Result<Reached, Errno>>>,
    /// Lookups from it, of a directory.
    pub lookups: Vec<Lookup>,
    /// The lookups are those that the observer makes, all of them.
    pub complete: bool,
}

/// A lookup from a directory.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// The path.
    pub path: Bytes,
    /// The way it is looked up.
    pub how: LookupKind,
    /// Where it leads.
    pub outcome: Option<Result<Reached, Errno>>,
}

/// What a lookup leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The inode.
    pub file: Option<FileKey>,
    /// What it is.
    pub kind: FileKind,
    /// The mount.
    pub mount: MountKey,
    /// Where that is to be seen.
    pub state: MountState,
    /// The text of its magic link.
    pub link: Option<Bytes>,
}

impl Model {
    /// What is seen when the program is at this point.
    pub fn predict(&self) -> Prediction {
        Prediction { objects: self.views().flat_map(|view| view.predict_own()).collect() }
    }

    fn predict_own(&self) -> Vec<PredictedObject> {
        let mut objects = self.own_outline();
        for (seen, (_, held, path)) in objects.iter_mut().zip(self.looked_at()) {
            if held.is_some_and(|held| !matches!(held, Held::Mapping(_))) {
                seen.reopen = self.reopen(path);
            }
            if self.is_looked_up_from(path) {
                (seen.lookups, seen.complete) = self.lookups(path);
            }
        }
        objects
    }

    /// The same without lookups, and without what opening an object again gives: what is cheap to
    /// know.
    pub fn outline(&self) -> Vec<PredictedObject> {
        self.views().flat_map(|view| view.own_outline()).collect()
    }

    fn own_outline(&self) -> Vec<PredictedObject> {
        let seen = |(name, held, path)| {
            let mut seen = self.seen(name, path);
            if let Some(Held::Descriptor(number) | Held::InFlight(number)) = held {
                seen.description = Some(number);
                seen.position = self.descriptions[number].position;
            }
            seen
        };
        let mut objects: Vec<PredictedObject> = self.looked_at().map(seen).collect();
        objects[0].getcwd = self.getcwd().map(|text| text.map(Bytes::from));
        objects[2].content = None;
        objects
    }

    /// The lookups with `openat(O_PATH)` from one object of the outline, by its place there.
    pub fn plain_lookups(&self, object: usize) -> Vec<Lookup> {
        let mut nth = object;
        for view in self.views() {
            let count = view.looked_at().count();
            if nth < count {
                return view.own_plain_lookups(nth);
            }
            nth -= count;
        }
        Vec::new()
    }

    fn own_plain_lookups(&self, nth: usize) -> Vec<Lookup> {
        let path = self.looked_at().nth(nth).map(|(.., path)| path);
        let Some(path) = path.filter(|path| self.is_looked_up_from(*path)) else { return Vec::new() };
        self.paths(path).0.into_iter().map(|name| self.lookup(path, name, LookupKind::Plain)).collect()
    }

    /// Everything of the process that is observed, how it is held, and where it is: working
    /// directory, root, executable, then the program's objects but for sockets.
    fn looked_at(&self) -> impl Iterator<Item = (&str, Option<Held>, Path)> {
        let of_process = [("cwd", self.process.cwd), ("root", self.process.root), ("exe", self.process.exe)];
        let of_program = self.process.objects.iter().filter_map(|(name, &held)| match held {
            Held::Descriptor(number) | Held::Mapping(number) | Held::InFlight(number) => {
                Some((name.0.as_str(), Some(held), self.descriptions[number].path))
            }
            _ => None,
        });
        of_process.map(|(name, path)| (name, None, path)).into_iter().chain(of_program)
    }

    fn is_looked_up_from(&self, path: Path) -> bool {
        self.files.inode_of(path.den).kind == Kind::Directory && !self.files.type_of(path.den).is_not_looked_into()
    }

    fn seen(&self, name: &str, path: Path) -> PredictedObject {
        let reached = self.reached(path);
        let ino = self.inode_at(path);
        let row = self.files.inode(ino);
        let content = match row.layer {
            _ if row.kind != Kind::File || row.opaque || self.files.type_of(path.den).is_kernels() => None,
            Some(super::files::Layer::Lower(real)) => Some(self.files.inode(real).content.clone()),
            _ => Some(row.content.clone()),
        };
        PredictedObject {
            name: ObjectName(name.to_owned()).of_process(&self.process.name).0,
            link: reached.link,
            getcwd: None,
            state: reached.state,
            mount: reached.mount,
            file: reached.file,
            kind: reached.kind,
            links: self.files.links(ino),
            content,
            description: None,
            position: None,
            reopen: Vec::new(),
            lookups: Vec::new(),
            complete: true,
        }
    }

    pub(super) fn reached(&self, path: Path) -> Reached {
        let ino = self.inode_at(path);
        let row = self.files.inode(ino);
        Reached {
            file: (!row.uncertain && !self.is_stub(path.den)).then_some(FileKey(ino)),
            kind: kind_of(&row.kind),
            mount: MountKey(path.mnt),
            state: self.mount_state(path),
            link: self.link(path).map(Bytes::from),
        }
    }

    /// One lookup with `openat(O_PATH)`; `None` where the model does not know.
    fn outcome(&self, found: Result<Path, Refusal>) -> Option<Result<Reached, Errno>> {
        match found {
            Ok(path) => Some(Ok(self.reached(path))),
            Err(Refusal::Errno(errno)) => Some(Err(errno)),
            Err(_) => None,
        }
    }

    fn reopen(&self, path: Path) -> Vec<Option<Result<Reached, Errno>>> {
        if !matches!(self.files.inode_of(path.den).kind, Kind::File | Kind::Directory) {
            return Vec::new();
        }
        let modes = [(true, false), (false, true), (true, true)];
        let opened = |(reads, writes)| {
            let access = Access { reads, writes, nonblock: true, ..Access::default() };
            // An overlay copies up when it is opened for writing: that is the observer's doing, and
            // harmless.
            self.outcome(self.may_open(path, access).map(|()| path))
        };
        if self.files.type_of(path.den) == Type::Overlay || self.files.type_of(path.den).is_kernels() {
            return vec![None; 3];
        }
        modes.into_iter().map(opened).collect()
    }

    fn lookups(&self, from: Path) -> (Vec<Lookup>, bool) {
        let (paths, complete) = self.paths(from);
        let each =
            |path: Vec<u8>| LookupKind::FROM_DIRECTORY.into_iter().map(move |how| self.lookup(from, path.clone(), how));
        (paths.into_iter().flat_map(each).collect(), complete)
    }

    fn lookup(&self, from: Path, path: Vec<u8>, how: LookupKind) -> Lookup {
        let outcome = self.outcome(self.look_up(from, &path, how));
        Lookup { path: path.into(), how, outcome }
    }

    /// What is looked up from a directory; false when there may be more names.
    fn paths(&self, from: Path) -> (Vec<Vec<u8>>, bool) {
        let mut below = BTreeSet::new();
        let complete = self.collect(from, &mut Vec::new(), &mut below);
        let fixed = [".", "..", "../..", "no-such-name", "no-such-name/.."].map(|path| path.as_bytes().to_vec());
        (fixed.into_iter().chain(below).collect(), complete)
    }

    /// Every name below a directory, and `..` of every directory there; false when there may be
    /// others.
    fn collect(&self, at: Path, prefix: &mut Vec<u8>, paths: &mut BTreeSet<Vec<u8>>) -> bool {
        let row = self.files.inode_of(at.den);
        if row.opaque {
            return false;
        }
        let mut complete = !row.foreign;
        let depth = prefix.split(|&byte| byte == b'/').count();
        for (name, &den) in &row.children {
            if paths.len() >= PATH_LIMIT {
                return complete;
            }
            if prefix.is_empty() && name == CORNER {
                continue;
            }
            let length = prefix.len();
            if !prefix.is_empty() {
                prefix.push(b'/');
            }
            prefix.extend_from_slice(name);
            paths.insert(prefix.clone());
            let child = self.mounts.down(Path { den, ..at });
            if self.files.is_directory(child.den) && !self.files.type_of(child.den).is_not_looked_into() {
                paths.insert([prefix.as_slice(), b"/.."].concat());
                let own = self.files.inode_of(child.den).children.contains_key(CORNER);
                if depth < DEPTH_LIMIT && !own {
                    complete &= self.collect(child, prefix, paths);
                }
            }
            prefix.truncate(length);
        }
        complete
    }
}

fn kind_of(kind: &Kind) -> FileKind {
    use crate::program::DeviceKind;
    match kind {
        Kind::File => FileKind::File,
        Kind::Directory => FileKind::Directory,
        Kind::Symlink(_) => FileKind::Symlink,
        Kind::Fifo => FileKind::Fifo,
        Kind::Socket => FileKind::Socket,
        Kind::Device(DeviceKind::Char, ..) => FileKind::CharDevice,
        Kind::Device(DeviceKind::Block, ..) => FileKind::BlockDevice,
    }
}
