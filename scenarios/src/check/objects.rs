//! Which objects exist, and what can be done with them.

mod kind;
mod processes;
mod sockets;

use std::collections::{BTreeMap, BTreeSet};

use kind::{FileKind, Opened, ends_at_exec};

use super::{Fault, Part, is_object_name, places};
use crate::diagnostic::did_you_mean;
use crate::grammar::{Item, StepParts};
use crate::program::{Claim, FIRST_PROCESS, ObjectName, OpenFlag, Queues, Step};

/// What is known about an object.
#[derive(Clone)]
pub(super) struct Known {
    kind: FileKind,
    /// How deep below the top directory it was opened; `None` when the text does not say.
    depth: Option<usize>,
    closed_at: Option<usize>,
    /// execve(2) closes or unmaps it.
    ends_at_exec: bool,
}

fn no_namespace() -> Fault {
    Fault::whole("nothing is outside: no step above is `unshare-mounts keep-old`")
        .hint("open the file, then `unshare-mounts keep-old`, then `external`")
}

#[derive(Clone)]
pub(super) struct Objects {
    /// Those of the process that carries out the steps.
    known: BTreeMap<ObjectName, Known>,
    /// That process.
    process: ObjectName,
    /// The objects of the other processes.
    others: BTreeMap<ObjectName, BTreeMap<ObjectName, Known>>,
    /// Of each process that was forked the one that it was forked from.
    parents: BTreeMap<ObjectName, ObjectName>,
    /// The processes that have ended.
    ended: BTreeSet<ObjectName>,
    /// The process left the namespace that it started in, and whether that lives.
    left: Option<bool>,
    queues: Queues,
    steps: usize,
}

impl Default for Objects {
    fn default() -> Self {
        let object = |name: &str, kind| {
            (ObjectName(name.to_owned()), Known { kind, depth: Some(0), closed_at: None, ends_at_exec: false })
        };
        let known = [
            object("cwd", FileKind::Directory),
            object("root", FileKind::Directory),
            object("exe", FileKind::Executable),
        ];
        let process = ObjectName(FIRST_PROCESS.to_owned());
        Objects {
            known: known.into(),
            process,
            others: BTreeMap::new(),
            parents: BTreeMap::new(),
            ended: BTreeSet::new(),
            left: None,
            queues: Queues::default(),
            steps: 0,
        }
    }
}

impl Objects {
    pub(super) fn open(&self) -> impl Iterator<Item = &ObjectName> {
        self.known.iter().filter(|(_, known)| known.closed_at.is_none()).map(|(name, _)| name)
    }

    /// The step that closed an object of any process.
    pub(super) fn closed_at(&self, name: &ObjectName) -> Option<usize> {
        self.anywhere(name)?.closed_at
    }

    fn of_process(&self, process: &ObjectName) -> Option<&BTreeMap<ObjectName, Known>> {
        if *process == self.process { Some(&self.known) } else { self.others.get(process) }
    }

    /// An object of any process: `child.fd0` where it is not the first one's.
    fn anywhere(&self, name: &ObjectName) -> Option<&Known> {
        let (process, name) = name.parts();
        self.of_process(&process)?.get(&name)
    }

    /// The same, when it is open.
    pub(super) fn known_anywhere(&self, name: &ObjectName, part: Part) -> Result<&Known, Fault> {
        let (process, local) = name.parts();
        if process == self.process && name.0 == local.0 {
            return self.known(&local, part);
        }
        let Some(objects) = self.of_process(&process) else { return Err(self.no_process(&process, part)) };
        match objects.get(&local) {
            Some(known) if known.closed_at.is_none() => Ok(known),
            Some(_) => Err(Fault::new(part, format!("`{name}` is closed"))),
            None => Err(Fault::new(part, format!("`{process}` has no object `{local}`"))),
        }
    }

    /// The open objects of all processes, by their full names.
    pub(super) fn of_processes(&self) -> impl Iterator<Item = ObjectName> {
        let own = std::iter::once((&self.process, &self.known));
        own.chain(&self.others).flat_map(|(process, objects)| {
            let open = objects.iter().filter(|(_, known)| known.closed_at.is_none());
            open.map(|(name, _)| name.of_process(process))
        })
    }

    pub(super) fn depth(&self, name: &ObjectName) -> Option<usize> {
        self.known.get(name)?.depth
    }

    /// The object, when it exists and is open.
    pub(super) fn known(&self, name: &ObjectName, part: Part) -> Result<&Known, Fault> {
        match self.known.get(name) {
            Some(known) if known.closed_at.is_none() => Ok(known),
            Some(_) => Err(Fault::new(part, format!("`{}` is closed", name.0))),
            None => {
                let known: Vec<&str> = self.open().map(|name| name.0.as_str()).collect();
                let fault = Fault::new(part, format!("no step above makes an object `{}`", name.0));
                let hint = did_you_mean(&name.0, known.iter().copied());
                Err(Fault { expected: known.into_iter().map(str::to_owned).collect(), hint, ..fault })
            }
        }
    }

    /// The depth that a path with this base starts from.
    pub(super) fn base(&self, name: &ObjectName, path: &[u8], part: Part) -> Result<usize, Fault> {
        let known = self.known(name, part)?;
        match known.kind {
            FileKind::Directory | FileKind::Descriptor(Opened { memory: false, .. }) => {}
            FileKind::Descriptor(_) if path.is_empty() => {}
            _ => return Err(Fault::new(part, format!("no path starts from `{}`: it is no directory", name.0))),
        }
        Ok(known.depth.unwrap_or(0))
    }

    /// Checks what a step does with objects, and takes its effects over.
    pub(super) fn step(&mut self, step: &Step, parts: &StepParts) -> Vec<Fault> {
        let index = self.steps;
        self.steps += 1;
        let process = self.process.clone();
        let mut faults: Vec<_> = self.use_of(step).into_iter().collect();
        faults.extend(self.processes_after(step, index));
        let depth = places::reached(step, self);
        if let Some(name) = &parts.name {
            match self.make(name) {
                Ok(()) => {
                    let kind = self.made(step);
                    let depth = match step {
                        Step::Dup { of, .. } | Step::Send { object: of, .. } => self.depth(of),
                        Step::Receive { over, .. } => self.next_message(over).and_then(|known| known.depth),
                        _ => depth,
                    };
                    self.known
                        .insert(name.clone(), Known { kind, depth, closed_at: None, ends_at_exec: ends_at_exec(step) });
                }
                Err(fault) => faults.push(fault),
            }
        }
        let directory = match step {
            Step::Chdir { .. } => Some("cwd"),
            Step::Chroot { .. } => Some("root"),
            _ => None,
        };
        if let Some(known) = directory.and_then(|name| self.known.get_mut(&ObjectName(name.to_owned()))) {
            known.depth = depth;
        }
        if let Step::UnshareMounts { keep_old } = step {
            self.left = Some(self.left.unwrap_or(*keep_old));
        }
        if let Step::Close { object } = step
            && let Some(known) = self.known.get_mut(object)
        {
            known.closed_at.get_or_insert(index);
        }
        self.queues_after(&process, step, index);
        if let Step::Peer { of, .. } = step
            && let Some(Known { kind: FileKind::Socket { peer }, .. }) = self.known.get_mut(of)
        {
            *peer = true;
        }
        faults
    }

    fn make(&self, name: &ObjectName) -> Result<(), Fault> {
        if !is_object_name(name) {
            return Err(Fault::new(Part::Name, format!("`{}` is not the name of an object", name.0)));
        }
        match self.known.get(name) {
            None => Ok(()),
            Some(Known { kind: FileKind::Directory | FileKind::Executable, .. }) => {
                Err(Fault::new(Part::Name, format!("`{}` exists from the start and cannot be made", name.0)))
            }
            Some(_) => Err(Fault::new(Part::Name, format!("`{}` is made a second time", name.0))
                .hint("every object has a name of its own, also when another one is closed")),
        }
    }

    fn made(&self, step: &Step) -> FileKind {
        match step {
            Step::Open { flags, .. } => {
                let has = |flag| flags.contains(&flag);
                let path_only = has(OpenFlag::Path);
                let writes = has(OpenFlag::Wronly) || has(OpenFlag::Rdwr);
                let reads = !has(OpenFlag::Wronly) && !path_only;
                FileKind::Descriptor(Opened { path_only, reads, writes, memory: false })
            }
            Step::OpenTree { .. } | Step::NewTree { .. } => {
                FileKind::Descriptor(Opened { path_only: true, reads: false, writes: false, memory: false })
            }
            Step::Memfd { .. } => {
                FileKind::Descriptor(Opened { path_only: false, reads: true, writes: true, memory: true })
            }
            Step::Dup { of, .. } => self.known.get(of).map_or(FileKind::Mapping, |known| known.kind),
            Step::Socketpair { .. } => FileKind::Socket { peer: false },
            Step::Peer { .. } => FileKind::Socket { peer: true },
            Step::Send { object, .. } => match self.known.get(object).map(|known| known.kind) {
                Some(FileKind::Descriptor(opened)) => FileKind::InFlight(opened),
                _ => FileKind::Mapping,
            },
            Step::Receive { over, .. } => match self.next_message(over).map(|known| known.kind) {
                Some(FileKind::InFlight(opened)) => FileKind::Descriptor(opened),
                _ => FileKind::Mapping,
            },
            Step::Epoll { .. } | Step::Inotify { .. } | Step::Fanotify { .. } => FileKind::Watcher,
            _ => FileKind::Mapping,
        }
    }

    /// An object that `exec` would take away: the program must close it itself, so that the text
    /// shows which objects there are.
    fn lost_by_exec(&self) -> Option<Fault> {
        let (name, known) = self.known.iter().find(|(_, known)| known.ends_at_exec && known.closed_at.is_none())?;
        let name = &name.0;
        Some(if known.kind == FileKind::Mapping {
            Fault::whole(format!("`exec` would unmap `{name}`")).hint("map it after `exec`")
        } else {
            Fault::whole(format!("`exec` would close `{name}`, which is close-on-exec")).hint("close it before")
        })
    }

    /// What a step cannot do with the object that it names.
    fn use_of(&self, step: &Step) -> Option<Fault> {
        match step {
            Step::Exec => return self.lost_by_exec(),
            Step::External { .. } if self.left != Some(true) => return Some(no_namespace()),
            Step::UnshareMounts { keep_old: true } if self.left.is_some() => {
                let fault = Fault::whole("only the namespace that the process started in can be kept");
                return Some(fault.hint("`keep-old` belongs to the first `unshare-mounts`"));
            }
            _ => {}
        }
        let part = Part::Argument { argument: 0, nth: 0 };
        let (object, what, reads, writes) = match step {
            Step::Dup { of, .. } => (of, "duplicated", false, false),
            Step::Map { of, shared, write, .. } => (of, "mapped", true, *shared && *write),
            Step::Seek { object, .. } => (object, "positioned", false, false),
            Step::Read { object, .. } | Step::ReadEntries { object } => (object, "read", true, false),
            Step::WriteTo { object, .. } => (object, "written", false, true),
            Step::Lock { object, .. } => (object, "locked", false, false),
            Step::Seal { object, .. } => (object, "sealed", false, true),
            Step::SetOwner { object } => (object, "given an owner", false, false),
            Step::SetSignal { object, .. } => (object, "given a signal", false, false),
            Step::Close { object } => (object, "closed", false, false),
            Step::External { object } => (object, "given from outside", false, false),
            Step::Send { object, .. } => return self.unsendable(object),
            Step::Epoll { of, .. } => {
                return of.iter().enumerate().find_map(|(nth, object)| self.unwatchable(object, nth));
            }
            Step::Peer { of, .. } => return self.named_peer(of),
            Step::Receive { over, .. } => return self.nothing_waits(over),
            Step::Assert { object, claim: Claim::Position(_) } => (object, "asked for its position", false, false),
            Step::Assert { object, claim: Claim::SameDescription { other, .. } } => {
                for (argument, name) in [object, other].into_iter().enumerate() {
                    if let Some(Known { kind, .. }) = self.anywhere(name)
                        && !kind.has_description()
                    {
                        let argument = if argument == 0 { 0 } else { self.last_object(step) };
                        let what = format!("`{}` is no descriptor", name.0);
                        return Some(Fault::new(Part::Argument { argument, nth: 0 }, what));
                    }
                }
                return None;
            }
            _ => return None,
        };
        let bare = matches!(step, Step::Dup { .. } | Step::Close { .. } | Step::External { .. });
        let name = &object.0;
        let known = if matches!(step, Step::Assert { .. }) { self.anywhere(object) } else { self.known.get(object) };
        let what = match known?.kind {
            FileKind::Descriptor(Opened { path_only: true, .. }) if !bare => {
                format!("`{name}` was opened with `path` and cannot be {what}")
            }
            FileKind::Descriptor(Opened { reads: false, .. }) if reads => format!("`{name}` is not open for reading"),
            FileKind::Descriptor(Opened { writes: false, .. }) if writes => format!("`{name}` is not open for writing"),
            FileKind::Descriptor(_) => return None,
            FileKind::InFlight(_) if matches!(step, Step::Assert { .. }) => return None,
            FileKind::InFlight(_) => format!("`{name}` is in flight and cannot be {what}"),
            FileKind::Socket { .. } => format!("`{name}` is a socket and cannot be {what}"),
            FileKind::Watcher => format!("`{name}` watches others and cannot be {what}"),
            _ => format!("`{name}` is no descriptor and cannot be {what}"),
        };
        Some(Fault::new(part, what))
    }

    /// That epoll cannot watch this object.
    fn unwatchable(&self, name: &ObjectName, nth: usize) -> Option<Fault> {
        let what = match self.known.get(name)?.kind {
            FileKind::Descriptor(Opened { path_only: false, memory: false, .. })
            | FileKind::Socket { .. }
            | FileKind::Watcher => return None,
            _ => format!("`{}` gives no events and cannot be watched", name.0),
        };
        Some(Fault::new(Part::Argument { argument: 0, nth }, what))
    }

    fn last_object(&self, step: &Step) -> usize {
        let parts = crate::grammar::decompose(step);
        parts.slots.iter().rposition(|items| matches!(items.first(), Some(Item::Object(_)))).unwrap_or(0)
    }
}
