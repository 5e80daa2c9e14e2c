//! The processes of a program: what each has of its own, and fork(2).

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::mounts::Path;
use super::objects::Held;
use super::{Model, Refusal, Result, objects, unknown};
use crate::program::{FIRST_PROCESS, LockKind, ObjectName};

/// What a process has of its own.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) name: ObjectName,
    /// Where paths of the program start, whatever becomes of the root.
    pub(super) top: Path,
    pub(super) root: Path,
    pub(super) cwd: Path,
    pub(super) exe: Path,
    /// By the names that the process itself has for them.
    pub(super) objects: BTreeMap<ObjectName, Held>,
}

impl Process {
    /// The process that the program starts as.
    pub(super) fn first(top: Path, exe: Path) -> Self {
        let name = ObjectName(FIRST_PROCESS.to_owned());
        Process { name, top, root: top, cwd: top, exe, objects: BTreeMap::new() }
    }
}

pub(super) fn fork(model: &mut Model, name: &ObjectName) -> Result<()> {
    if model.process.objects.values().any(|held| matches!(held, Held::Watcher(_))) {
        return unknown("watches of one of several processes");
    }
    if model.has_posix_locks() {
        return unknown("locks that belong to one of several processes");
    }
    if model.has_owner() {
        return unknown("the owner of a description that two processes have");
    }
    let child = Process { name: name.clone(), ..model.process.clone() };
    model.others.insert(name.clone(), child);
    Ok(())
}

pub(super) fn switch(model: &mut Model, name: &ObjectName) -> Result<()> {
    let next = model.others.remove(name).ok_or(Refusal::Fails("there is no such process"))?;
    let before = std::mem::replace(&mut model.process, next);
    model.others.insert(before.name.clone(), before);
    Ok(())
}

/// Its descriptors are closed (`exit_files`, kernel/exit.c), and everything else that it held goes.
pub(super) fn exit(model: &mut Model, name: &ObjectName) -> Result<()> {
    let ended = model.others.remove(name).ok_or(Refusal::Fails("there is no such process"))?;
    model.ended += 1;
    for held in ended.objects.into_values() {
        match held {
            Held::Descriptor(number) => objects::closed(model, number)?,
            Held::Mapping(number) => objects::released(model, number)?,
            Held::InFlight(_) | Held::Socket | Held::Watcher(_) => {}
        }
    }
    Ok(())
}

impl Model {
    /// Every process.
    pub(super) fn processes(&self) -> impl Iterator<Item = &Process> {
        std::iter::once(&self.process).chain(self.others.values())
    }

    pub(crate) fn has_forked(&self) -> bool {
        !self.others.is_empty() || self.ended > 0
    }

    /// What an object of the process that carries out the steps is called everywhere.
    pub(crate) fn full_name(&self, name: &ObjectName) -> ObjectName {
        name.of_process(&self.process.name)
    }

    /// The same state with each of the processes as the one that looks: the first one, then the
    /// others in the order of their names.
    pub(super) fn views(&self) -> impl Iterator<Item = Cow<'_, Model>> {
        let first = ObjectName(FIRST_PROCESS.to_owned());
        let mut names: Vec<&ObjectName> = self.processes().map(|process| &process.name).collect();
        names.sort_by_key(|name| (**name != first, *name));
        names.into_iter().map(|name| self.view(name).expect("it is one of them"))
    }

    /// The state with this process as the one that looks.
    pub(super) fn view(&self, process: &ObjectName) -> Option<Cow<'_, Model>> {
        if *process == self.process.name {
            return Some(Cow::Borrowed(self));
        }
        let mut view = self.clone();
        switch(&mut view, process).ok()?;
        Some(Cow::Owned(view))
    }

    fn has_posix_locks(&self) -> bool {
        let mut locked = (0..self.descriptions.len()).filter(|&index| self.is_held(index));
        locked.any(|index| {
            let row = self.files.inode(self.inode_at(self.descriptions[index].path));
            row.locks.iter().any(|lock| lock.kind == LockKind::Posix)
        })
    }
}
