//! A mount-and-name tree in memory: it carries a program's steps out as the kernel would and says
//! what must be observed afterwards.
//!
//! It is for the generator, which must know what exists before it chooses, and for one of the
//! oracles: what the model says and what the kernel shows must agree. `docs/KERNEL.md` has the
//! rules that were found by comparing them, each with a program. It is *not* a file system: times,
//! owners, attributes and block counts are left out, and it never guesses. What it cannot know it
//! says is unknown ([`Refusal::Unknown`] for a step, none for a prediction).
//!
//! The process has a mount namespace and a root of its own (flavor `ns`) and the privileges of
//! root.
//!
//! - [`Model::step`] carries a step out or says why the kernel would not
//! - [`Model::predict`] says what is seen when all steps are done, [`Model::holds`] whether an
//!   assertion holds
//!
//! Superblocks, inodes, names and mounts are rows with numbers. So a copy is cheap, and a caller
//! tries a step on a copy. Unknown are: the content of the kernel's own filesystems, layers of an
//! overlay that change below it, numbers that a filesystem chooses. In flavor `host` what is above
//! the top directory differs.

mod binding;
mod btrfs;
mod claims;
mod content;
mod files;
mod fingerprint;
mod inventory;
mod link;
mod locks;
mod mounting;
mod mounts;
mod names;
mod namespace;
mod nodes;
mod objects;
mod opening;
mod overlay;
mod places;
mod predict;
mod processes;
mod restorable;
mod states;
mod steps;
mod survey;
mod trees;
mod vfat;
mod walk;
mod watches;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use vocabulary::Errno;

pub use content::Content;
pub(crate) use fingerprint::Fingerprint;
pub(crate) use inventory::{HeldFile, Holder, MountFacts, NameKey, RootKind, SuperblockKind};
pub use predict::{FileKey, Lookup, MountKey, PredictedObject, Prediction, Reached};
pub use survey::{Entry, EntryKind, MountPoint, Survey};

use crate::program::{ObjectName, Place, Queues};
use crate::{Program, Step};
use files::{Den, Files, Kind, Sb, Type};
use mounts::{Mnt, Mounts, Path};
use objects::Description;
use processes::Process;
use watches::Watcher;

/// Why a step is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The kernel refuses it.
    #[error("{0}")]
    Errno(Errno),
    /// It fails, but not by an error of the kernel: a read that gets too little.
    #[error("it fails: {0}")]
    Fails(&'static str),
    /// The model does not know what would happen.
    #[error("the model does not know: {0}")]
    Unknown(&'static str),
}

type Result<T> = std::result::Result<T, Refusal>;

fn errno<T>(errno: Errno) -> Result<T> {
    Err(Refusal::Errno(errno))
}

fn unknown<T>(why: &'static str) -> Result<T> {
    Err(Refusal::Unknown(why))
}

/// The state of the processes that carry out a program, and of everything that they can reach.
#[derive(Clone, Debug)]
pub struct Model {
    files: Files,
    mounts: Mounts,
    /// The process that carries out the steps.
    process: Process,
    /// The other processes, by their names.
    others: BTreeMap<ObjectName, Process>,
    /// How many have ended.
    ended: usize,
    /// The top directory in the namespace that the process left, where that lives.
    left: Option<Path>,
    /// Files of that namespace which the caller gives.
    external: BTreeSet<Path>,
    descriptions: Vec<Description>,
    /// Instances of epoll, inotify and fanotify.
    watchers: Vec<Watcher>,
    /// What waits in the queues of sockets.
    queues: Queues,
    /// The mount of memfds, made when there is one.
    internal: Option<Mnt>,
    /// Filesystems that are one for the whole machine or namespace.
    singles: Vec<(Type, Sb)>,
    /// Disks by the place that `mount` named: superblock, the folder with the device's node.
    disks: BTreeMap<Place, (Sb, Den)>,
}

impl Default for Model {
    fn default() -> Self {
        Self::new()
    }
}

impl Model {
    /// Before the first step: a root with `proc` mounted, an empty `tmp`, and the harness's own
    /// corner.
    pub fn new() -> Self {
        // A copy shares its rows.
        static FIRST: LazyLock<Model> = LazyLock::new(Model::made);
        FIRST.clone()
    }

    fn made() -> Self {
        let mut files = Files::default();
        let mut mounts = Mounts::default();
        // Below every root there is the kernel's own, with the same root directory; no path gets
        // there.
        let base = files.add_superblock(Type::Tmpfs);
        let base_root = files.superblock(base).root;
        let below = mounts.add(base, base_root);
        mounts.get_mut(below).attached = true;
        // The top directory is a bind of a folder: its `..` must stay in it.
        let memory = files.add_superblock(Type::Tmpfs);
        let memory_root = files.superblock(memory).root;
        let folder = files.make(memory_root, b"top", Kind::Directory);
        let corner = files.make(folder, b".zdtm", Kind::Directory);
        let executor = files.make(corner, b"executor", Kind::File);
        files.make(folder, b"tmp", Kind::Directory);
        let proc_point = files.make(folder, b"proc", Kind::Directory);
        let executor_inode = files.dentry(executor).inode;
        files.inode_mut(executor_inode).opaque = true;
        let top = mounts.add(memory, folder);
        mounts.attach(top, Path { mnt: below, den: base_root }, &files);
        let proc_sb = files.add_superblock(Type::Proc);
        let proc_mount = mounts.add(proc_sb, files.superblock(proc_sb).root);
        mounts.attach(proc_mount, Path { mnt: top, den: proc_point }, &files);
        let top = Path { mnt: top, den: folder };
        Model {
            files,
            mounts,
            process: Process::first(top, Path { den: executor, ..top }),
            others: BTreeMap::new(),
            ended: 0,
            left: None,
            external: BTreeSet::new(),
            descriptions: Vec::new(),
            watchers: Vec::new(),
            queues: Queues::default(),
            internal: None,
            singles: Vec::new(),
            disks: BTreeMap::new(),
        }
    }

    /// Carries out all steps of a program; assertions say nothing to it.
    ///
    /// # Errors
    /// The index of the first step that is not carried out, and why.
    pub fn run(program: &Program) -> std::result::Result<Model, (usize, Refusal)> {
        let mut model = Model::new();
        for (index, line) in program.steps.iter().enumerate() {
            model.step(&line.step).map_err(|refusal| (index, refusal))?;
        }
        Ok(model)
    }

    /// Whether the working directory is no longer the top directory.
    pub(crate) fn has_moved(&self) -> bool {
        self.process.cwd != self.process.top
    }

    /// Carries out one step. A step that is refused changes nothing that matters: it may have made
    /// a mount point.
    ///
    /// # Errors
    /// Why the kernel, or the model, refuses it.
    pub fn step(&mut self, step: &Step) -> Result<()> {
        let process = self.process.name.clone();
        steps::carry_out(self, step)?;
        self.queues.step(&process, step);
        Ok(())
    }
}
