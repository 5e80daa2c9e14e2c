//! The calls that carry out a step, but for those on mounts.
//!
//! They are the calls that the executor makes (`guest/src/executor`). Paths start from the top
//! directory. That is the working directory as long as steps are carried out: where a step goes
//! elsewhere, the program keeps the directory open and goes there when all steps are done.

use std::collections::BTreeSet;

use scenarios::grammar::{Item, decompose};
use scenarios::model::{Entry, EntryKind, Model};
use scenarios::program::{Claim, Line, ObjectName, Place};
use scenarios::{Bytes, Program, Step};

use super::holdings::{Holding, Holdings};
use super::literal::{comment, string};
use super::{Dialect, Refusal, mounts, names, objects};

/// A part of the C file that is there only when something needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// `at()`: the path of a place that starts from a descriptor.
    At,
    /// A variable `file` for the calls on one.
    File,
    /// A variable `data` for the options of a mount.
    Options,
    /// `<linux/btrfs.h>`
    Btrfs,
    /// `struct mount_attr`.
    MountAttributes,
    /// A variable `cwd` for the working directory to be.
    Cwd,
    /// `struct statx` for `external`.
    Status,
    /// A root that is not the one of `/proc`.
    OwnProc,
    /// The owners of files are compared.
    Owners,
    /// Device numbers are compared.
    Devices,
    /// Times are compared.
    Times,
    /// Locks are compared.
    Locks,
    /// Seals are compared.
    Seals,
    /// Owners and signals of descriptions are compared.
    Signals,
}

/// A program that becomes C, step by step.
pub(super) struct Writer<'a> {
    pub(super) dialect: Dialect,
    program: &'a Program,
    /// Index of the step under way.
    index: usize,
    /// What there is before it; `None` when the model cannot say.
    model: Option<Model>,
    pub(super) holdings: Holdings,
    pub(super) parts: BTreeSet<Part>,
    /// The lines of the steps before `exec`, and of all others.
    pub(super) before_exec: Option<Vec<String>>,
    pub(super) lines: Vec<String>,
    /// Where a block device was mounted: its number and its filesystem.
    pub(super) disks: Vec<(Place, &'static str)>,
    /// Extended attributes that were set, by their names.
    pub(super) xattrs: Vec<Bytes>,
    /// The working directory is in the variable `cwd`.
    pub(super) has_moved: bool,
    root_moved: bool,
    unshared: bool,
    executed: bool,
    pub(super) keeps_old: bool,
}

impl<'a> Writer<'a> {
    pub(super) fn new(program: &'a Program, dialect: Dialect) -> Self {
        Writer {
            dialect,
            program,
            index: 0,
            model: Some(Model::new()),
            holdings: Holdings::default(),
            parts: BTreeSet::new(),
            before_exec: None,
            lines: Vec::new(),
            disks: Vec::new(),
            xattrs: Vec::new(),
            has_moved: false,
            root_moved: false,
            unshared: false,
            executed: false,
            keeps_old: program.steps.iter().any(|line| line.step == Step::UnshareMounts { keep_old: true }),
        }
    }

    /// All steps.
    pub(super) fn carry_out(&mut self) -> Result<(), Refusal> {
        if let Some(line) = self.program.changes.first() {
            return Err(Refusal::at(line, "others change the tree between dump and restore"));
        }
        for (index, line) in self.program.steps.iter().enumerate() {
            if let Step::Assert { .. } = line.step {
                continue;
            }
            self.index = index;
            let (before, after_exec) = (self.lines.len(), self.before_exec.is_some());
            self.step(&line.step).map_err(|reason| Refusal::at(line, reason))?;
            let lines = match &mut self.before_exec {
                Some(lines) if !after_exec => lines,
                _ => &mut self.lines,
            };
            if let Some(first) = lines.get_mut(before) {
                first.push_str(&format!(" /* {} */", comment(&line.step.to_string())));
            }
            if let Some(model) = &mut self.model
                && model.step(&line.step).is_err()
            {
                self.model = None;
            }
        }
        if self.unshared && !self.executed {
            return Err(self.of_unshare("without `exec` the program itself stays in the namespace that it leaves"));
        }
        if self.has_moved {
            self.lines.push("/* Where the steps went. */".to_owned());
            self.run("fchdir(cwd)");
            self.run("close(cwd)");
        }
        Ok(())
    }

    fn of_unshare(&self, reason: &'static str) -> Refusal {
        let is_unshare = |line: &&Line| matches!(line.step, Step::UnshareMounts { .. });
        match self.program.steps.iter().find(is_unshare) {
            Some(line) => Refusal::at(line, reason),
            None => Refusal { place: None, reason },
        }
    }

    /// A call that must not fail.
    pub(super) fn run(&mut self, call: impl AsRef<str>) {
        self.lines.push(format!("TRY({});", call.as_ref()));
    }

    /// A place as an argument: a path from the top directory, or one that starts from a descriptor.
    pub(super) fn path(&mut self, place: &Place) -> Result<String, &'static str> {
        match &place.base {
            None if place.path.is_empty() => Ok("\".\"".to_owned()),
            None => Ok(string(place.path.as_slice())),
            Some(_) if self.root_moved => Err("a path that starts from a descriptor, and no /proc in the new root"),
            Some(base) => {
                self.parts.insert(Part::At);
                Ok(format!("at({}, {})", self.holdings.expression(base), string(place.path.as_slice())))
            }
        }
    }

    /// Whether `exec` executes the program again. In the namespaces that zdtm makes, the test has
    /// parents there when it begins, so it cannot.
    pub(super) fn starts_anew(&self) -> bool {
        self.dialect == Dialect::Alone || self.keeps_old
    }

    /// Whether the scenario leaves a namespace that ends then.
    pub(super) fn leaves_namespace(&self) -> bool {
        let is_unshare = |line: &Line| matches!(line.step, Step::UnshareMounts { .. });
        !self.keeps_old && self.program.steps.iter().any(is_unshare)
    }

    /// Whether objects can be one open file description, or the scenario says that they are.
    pub(super) fn shares_descriptions(&self) -> bool {
        self.program.steps.iter().any(|line| match &line.step {
            Step::Dup { .. } | Step::Send { .. } => true,
            Step::Assert { claim, .. } => matches!(claim, Claim::SameDescription { .. }),
            _ => false,
        })
    }

    /// Whether the top directory must be a mount of its own: the scenario leaves its namespace, or
    /// changes that mount.
    pub(super) fn top_is_a_mount(&self) -> bool {
        let is_top = |place: &Place| place.base.is_none() && matches!(place.path.as_slice(), b"" | b".");
        let changes_top = self.program.steps.iter().any(|line| match &line.step {
            Step::Remount { at, .. } | Step::Propagate { at, .. } | Step::Unmount { at, .. } => is_top(at),
            _ => false,
        });
        changes_top || self.leaves_namespace()
    }

    /// The name that is at a place, where the model knows; `Err` where it does not know anything.
    pub(super) fn entry(&self, place: &Place) -> Result<Option<Entry>, ()> {
        let model = self.model.as_ref().ok_or(())?;
        Ok(model.survey().entries.into_iter().find(|entry| entry.place == *place))
    }

    /// What is at a place when the step under way is done, where the model knows.
    pub(super) fn kind_after_step(&self, place: &Place) -> Option<EntryKind> {
        let mut model = self.model.clone()?;
        model.step(&self.program.steps[self.index].step).ok()?;
        model.survey().entries.into_iter().find(|entry| entry.place == *place).map(|entry| entry.kind)
    }

    /// Whether a step has a path into a directory that is in the top directory from the start.
    pub(super) fn is_used(&self, directory: &str) -> bool {
        let is_below = |item: &Item| match item {
            Item::Place(Place { base: None, path }) => {
                path.as_slice().split(|&byte| byte == b'/').next() == Some(directory.as_bytes())
            }
            _ => false,
        };
        self.program.steps.iter().any(|line| decompose(&line.step).slots.iter().flatten().any(is_below))
    }

    /// Whether a later step has a path that starts from the top directory.
    fn is_needed_again(&self) -> bool {
        let is_of_top = |item: &Item| matches!(item, Item::Place(place) if place.base.is_none());
        self.program.steps[self.index + 1..].iter().any(|line| match &line.step {
            Step::Exec | Step::UnshareMounts { .. } => true,
            step => decompose(step).slots.iter().flatten().any(is_of_top),
        })
    }

    fn step(&mut self, step: &Step) -> Result<(), &'static str> {
        match step {
            Step::Fork { .. } | Step::As { .. } | Step::Exit { .. } => return Err("more than one process"),
            Step::PivotRoot { .. } => return Err("the paths of the steps start outside the new root"),
            Step::UnshareMounts { keep_old } => return self.unshare(*keep_old),
            Step::Exec => return self.exec(),
            Step::External { object } => return self.external(object),
            Step::Chdir { at } => {
                let path = self.path(at)?;
                if !self.is_needed_again() && !self.has_moved {
                    self.run(format!("chdir({path})"));
                    return Ok(());
                }
                self.parts.insert(Part::Cwd);
                if self.has_moved {
                    self.run("close(cwd)");
                }
                self.run(format!("cwd = open({path}, O_PATH | O_DIRECTORY)"));
                self.has_moved = true;
            }
            Step::Chroot { at } => {
                let path = self.path(at)?;
                self.run(format!("chroot({path})"));
                self.root_moved = true;
                self.parts.insert(Part::OwnProc);
            }
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
            | Step::DeleteSubvolume { .. } => return names::carry_out(self, step),
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
            | Step::Seal { .. }
            | Step::SetOwner { .. }
            | Step::SetSignal { .. }
            | Step::Close { .. } => return objects::carry_out(self, step),
            Step::Epoll { .. } | Step::Inotify { .. } | Step::Fanotify { .. } => {
                return Err("what epoll, inotify and fanotify watch is not compared in C");
            }
            _ => return mounts::carry_out(self, step),
        }
        Ok(())
    }

    fn unshare(&mut self, keep_old: bool) -> Result<(), &'static str> {
        if self.root_moved {
            return Err("a new mount namespace after `chroot`: the top directory is out of reach");
        }
        self.unshared = true;
        if self.has_moved {
            // The working directory moves to its copy with the process.
            self.run("fchdir(cwd)");
            self.run("close(cwd)");
            self.run("unshare(CLONE_NEWNS)");
            self.run("cwd = open(\".\", O_PATH | O_DIRECTORY)");
            self.run("chdir(top)");
        } else {
            self.run("unshare(CLONE_NEWNS)");
        }
        if keep_old && self.dialect == Dialect::Zdtm {
            self.lines.push("/* The process that started the test keeps the old namespace. */".to_owned());
        }
        Ok(())
    }

    fn exec(&mut self) -> Result<(), &'static str> {
        if std::mem::replace(&mut self.executed, true) {
            return Err("a second `exec`");
        }
        if !self.starts_anew() {
            self.lines
                .push("/* The program stays on a mount of the test's init, which is dumped as well. */".to_owned());
            return Ok(());
        }
        if self.root_moved {
            return Err("`exec` after `chroot`: the program is out of reach");
        }
        let expressions = self.passed_on();
        let format = vec!["%d"; expressions.len()].join(" ");
        let arguments: String = expressions.iter().map(|one| format!(", {one}")).collect();
        self.lines.push(format!("snprintf(numbers, sizeof(numbers), \"{format} \"{arguments});"));
        self.run("setenv(\"ZDTM_REEXEC\", numbers, 1)");
        self.run("chdir(start)");
        self.run("execv(self, argv)");
        self.before_exec = Some(std::mem::take(&mut self.lines));
        if !expressions.is_empty() {
            let addresses: String = expressions.iter().map(|one| format!(", &{one}")).collect();
            self.lines.push(format!("sscanf(numbers, \"{format}\"{addresses});"));
        }
        Ok(())
    }

    /// The variables whose values pass over execve(2).
    fn passed_on(&self) -> Vec<String> {
        let is_number = |holding: &Holding| matches!(holding, Holding::Descriptor | Holding::Socket);
        let mut all: Vec<String> = Vec::new();
        for object in self.holdings.iter().filter(|object| is_number(&object.holding)) {
            let pair = object.expression.strip_suffix("[0]").or(object.expression.strip_suffix("[1]"));
            let expressions = match pair {
                Some(pair) => vec![format!("{pair}[0]"), format!("{pair}[1]")],
                None => vec![object.expression.clone()],
            };
            all.extend(expressions.into_iter().filter(|one| !all.contains(one)).collect::<Vec<_>>());
        }
        all.extend(self.has_moved.then(|| "cwd".to_owned()));
        all
    }

    fn external(&mut self, object: &ObjectName) -> Result<(), &'static str> {
        if self.dialect == Dialect::Zdtm {
            return Err("`--external file[MNT:INO]` has numbers of the run, and a .desc is fixed");
        }
        let fd = self.holdings.expression(object);
        self.parts.insert(Part::Status);
        self.run(format!("statx({fd}, \"\", AT_EMPTY_PATH, STATX_MNT_ID | STATX_INO, &status)"));
        self.lines.push("printf(\"criu dump needs --external file[%llx:%llx]\\n\",".to_owned());
        self.lines
            .push("       (unsigned long long)status.stx_mnt_id, (unsigned long long)status.stx_ino);".to_owned());
        Ok(())
    }
}
