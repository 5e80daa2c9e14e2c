//! Which processes there are.

use super::{Fault, Objects, Part};
use crate::check::{PROCESS_LIMIT, is_object_name};
use crate::diagnostic::did_you_mean;
use crate::program::{FIRST_PROCESS, ObjectName, Step};

impl Objects {
    pub(super) fn no_process(&self, process: &ObjectName, part: Part) -> Fault {
        let known: Vec<&str> = self.processes().map(|process| process.0.as_str()).collect();
        let fault = Fault::new(part, format!("no step above is `fork {process}`"));
        let hint = did_you_mean(&process.0, known.iter().copied());
        Fault { expected: known.into_iter().map(str::to_owned).collect(), hint, ..fault }
    }

    /// The processes that there are, the one that carries out the steps first.
    pub(in crate::check) fn processes(&self) -> impl Iterator<Item = &ObjectName> {
        let others = self.others.keys().filter(|process| !self.ended.contains(*process));
        std::iter::once(&self.process).chain(others)
    }

    /// A step that is about processes.
    pub(super) fn processes_after(&mut self, step: &Step, index: usize) -> Option<Fault> {
        let part = Part::Argument { argument: 0, nth: 0 };
        match step {
            Step::Fork { process } => {
                if !is_object_name(process) {
                    return Some(Fault::new(part, format!("`{process}` is not the name of a process")));
                }
                if self.of_process(process).is_some() {
                    return Some(Fault::new(part, format!("there is a process `{process}` already")));
                }
                if self.others.len() + 1 == PROCESS_LIMIT {
                    return Some(Fault::whole(format!("a program has at most {PROCESS_LIMIT} processes")));
                }
                self.others.insert(process.clone(), self.known.clone());
                self.parents.insert(process.clone(), self.process.clone());
                None
            }
            Step::As { process } if *process == self.process => {
                Some(Fault::new(part, format!("`{process}` carries out the steps already")))
            }
            Step::As { process } if self.ended.contains(process) => {
                Some(Fault::new(part, format!("`{process}` has ended")))
            }
            Step::Exit { process } => self.exit(process, index).err().map(|fault| Fault { part, ..fault }),
            Step::As { process } => {
                let Some(objects) = self.others.remove(process) else { return Some(self.no_process(process, part)) };
                let before = std::mem::replace(&mut self.known, objects);
                self.others.insert(std::mem::replace(&mut self.process, process.clone()), before);
                None
            }
            Step::Exec if !self.others.is_empty() => {
                Some(Fault::whole("`exec` only where there is one process").hint("put it before the first `fork`"))
            }
            _ => None,
        }
    }

    /// A process ends, and with it all its objects.
    fn exit(&mut self, process: &ObjectName, index: usize) -> Result<(), Fault> {
        let wrong = |what: String| Err(Fault::whole(what));
        if self.ended.contains(process) {
            return wrong(format!("`{process}` has ended"));
        }
        if process.0 == FIRST_PROCESS {
            return wrong(format!("`{FIRST_PROCESS}` cannot end: it is what is dumped"));
        }
        if *process == self.process {
            let fault = Fault::whole(format!("`{process}` carries out the steps"));
            return Err(fault.hint("let another process carry them out first, `as PROCESS`"));
        }
        if let Some((child, _)) = self.parents.iter().find(|(_, parent)| *parent == process) {
            return wrong(format!("`{process}` has a child, `{child}`, which would get another parent"));
        }
        if let Some(message) = self.queues.known_to(process) {
            return wrong(format!("`{message}` waits in a queue, and no other process has a name for it"));
        }
        let Some(objects) = self.others.get_mut(process) else {
            return Err(self.no_process(process, Part::Whole));
        };
        for known in objects.values_mut() {
            known.closed_at.get_or_insert(index);
        }
        self.ended.insert(process.clone());
        Ok(())
    }
}
