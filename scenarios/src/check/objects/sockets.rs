//! Sockets, and what waits in their queues.

use super::kind::FileKind;
use super::{Fault, Known, Objects, Part};
use crate::program::{ObjectName, Step};

impl Objects {
    pub(in crate::check) fn sockets(&self) -> impl Iterator<Item = &ObjectName> {
        self.open().filter(|name| matches!(self.known[*name].kind, FileKind::Socket { .. }))
    }

    /// The object is there and a socket.
    pub(in crate::check) fn socket(&self, name: &ObjectName, part: Part) -> Result<(), Fault> {
        match self.known(name, part)?.kind {
            FileKind::Socket { .. } => Ok(()),
            _ => Err(Fault::new(part, format!("`{}` is no socket", name.0))
                .hint("`NAME = socketpair` makes two that are connected")),
        }
    }

    /// That the other end of a socket has a name already.
    pub(super) fn named_peer(&self, name: &ObjectName) -> Option<Fault> {
        let named = self.known.get(name)?.kind == FileKind::Socket { peer: true };
        let what = format!("the other end of `{}` has a name already", name.0);
        named.then(|| Fault::new(Part::Argument { argument: 0, nth: 0 }, what))
    }

    /// The message that is received next over a socket of the process.
    pub(super) fn next_message(&self, socket: &ObjectName) -> Option<&Known> {
        self.anywhere(self.queues.next(&socket.of_process(&self.process)).first()?)
    }

    /// That no message is in the queue of a socket.
    pub(super) fn nothing_waits(&self, socket: &ObjectName) -> Option<Fault> {
        let is_socket = matches!(self.known.get(socket)?.kind, FileKind::Socket { .. });
        let what = format!("nothing waits in the queue of `{socket}`");
        let fault = Fault::new(Part::Argument { argument: 0, nth: 0 }, what);
        (is_socket && self.next_message(socket).is_none())
            .then(|| fault.hint("what is sent over one end of a pair is received over the other"))
    }

    /// That this object cannot be sent.
    pub(super) fn unsendable(&self, name: &ObjectName) -> Option<Fault> {
        let why = match self.known.get(name)?.kind {
            FileKind::Descriptor(_) => return None,
            FileKind::Socket { .. } => "is a socket",
            FileKind::InFlight(_) => "is in flight",
            FileKind::Watcher => "watches others",
            _ => "is no descriptor",
        };
        let part = Part::Argument { argument: 1, nth: 0 };
        Some(Fault::new(part, format!("`{}` {why} and cannot be sent", name.0)))
    }

    /// Whether other processes have this socket of the process that acts, or its peer.
    pub(in crate::check) fn is_shared(&self, socket: &ObjectName) -> bool {
        self.queues.is_shared(&socket.of_process(&self.process))
    }

    /// Takes over what a step of a process does to the queues: a message that is received ends.
    pub(super) fn queues_after(&mut self, process: &ObjectName, step: &Step, index: usize) {
        if let Step::Receive { over, .. } = step {
            for message in self.queues.next(&over.of_process(process)) {
                let (process, name) = message.parts();
                let is_own = process == self.process;
                let objects = if is_own { Some(&mut self.known) } else { self.others.get_mut(&process) };
                if let Some(known) = objects.and_then(|objects| objects.get_mut(&name)) {
                    known.closed_at = Some(index);
                }
            }
        }
        // One that may not end has its names still.
        if !matches!(step, Step::Exit { process } if !self.ended.contains(process)) {
            self.queues.step(process, step);
        }
    }
}
