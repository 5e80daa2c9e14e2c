//! What waits in the queues of sockets. The text says it: checker, model and executor need not
//! count.

use std::collections::{BTreeMap, VecDeque};

use super::{ObjectName, Program, Step};

/// The sockets of all processes and the messages in their queues. Objects have the names that they
/// have everywhere: `fd0`, `child.fd0`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Queues {
    /// What each name of a socket means. The two ends of a pair are an even number and the next
    /// one.
    ends: BTreeMap<ObjectName, usize>,
    /// The messages that wait at each end, the oldest first, by their numbers.
    waiting: BTreeMap<usize, VecDeque<usize>>,
    /// The names of each message: a forked process has its own.
    messages: BTreeMap<ObjectName, usize>,
    /// How many pairs there are, and how many messages there have been.
    pairs: usize,
    sent: usize,
}

impl Queues {
    /// Those at the end of a program.
    pub fn of(program: &Program) -> Self {
        let mut queues = Queues::default();
        for (process, line) in program.by_process() {
            queues.step(&process, &line.step);
        }
        queues
    }

    /// Takes a step of a process over.
    pub fn step(&mut self, process: &ObjectName, step: &Step) {
        let full = |name: &ObjectName| name.of_process(process);
        match step {
            Step::Socketpair { name } => {
                self.ends.insert(full(name), 2 * self.pairs);
                self.pairs += 1;
            }
            Step::Peer { name, of } => {
                if let Some(end) = self.ends.get(&full(of)) {
                    self.ends.insert(full(name), end ^ 1);
                }
            }
            Step::Send { name, over, .. } => {
                if let Some(end) = self.ends.get(&full(over)) {
                    self.waiting.entry(end ^ 1).or_default().push_back(self.sent);
                    self.messages.insert(full(name), self.sent);
                    self.sent += 1;
                }
            }
            Step::Receive { over, .. } => {
                let queue = self.ends.get(&full(over)).and_then(|end| self.waiting.get_mut(end));
                if let Some(received) = queue.and_then(VecDeque::pop_front) {
                    self.messages.retain(|_, message| *message != received);
                }
            }
            Step::Fork { process: child } => {
                copy(&mut self.ends, process, child);
                copy(&mut self.messages, process, child);
            }
            Step::Exit { process: ended } => {
                self.ends.retain(|name, _| name.parts().0 != *ended);
                self.messages.retain(|name, _| name.parts().0 != *ended);
            }
            _ => {}
        }
    }

    /// Whether other processes have this end of a pair, or the other one.
    pub fn is_shared(&self, socket: &ObjectName) -> bool {
        let pair = |end: &usize| end / 2;
        let Some(own) = self.ends.get(socket).map(pair) else { return false };
        self.ends.iter().any(|(name, end)| pair(end) == own && name.parts().0 != socket.parts().0)
    }

    /// A message that waits and has a name in this process alone.
    pub fn known_to(&self, process: &ObjectName) -> Option<&ObjectName> {
        let is_of = |name: &ObjectName| name.parts().0 == *process;
        let elsewhere = |number| self.messages.iter().any(|(name, other)| other == number && !is_of(name));
        self.messages.iter().find(|(name, number)| is_of(name) && !elsewhere(*number)).map(|(name, _)| name)
    }

    /// The names of the message that is received next over a socket; empty where nothing waits.
    pub fn next(&self, socket: &ObjectName) -> Vec<ObjectName> {
        let queue = self.ends.get(socket).and_then(|end| self.waiting.get(end));
        let Some(next) = queue.and_then(VecDeque::front) else { return Vec::new() };
        self.messages.iter().filter(|(_, message)| *message == next).map(|(name, _)| name.clone()).collect()
    }

    /// Whether two names mean one end of one pair; `None` where one of them is no socket.
    pub fn are_one(&self, one: &ObjectName, other: &ObjectName) -> Option<bool> {
        Some(self.ends.get(one)? == self.ends.get(other)?)
    }

    /// How many messages are before this one in its queue; `None` where it was received.
    pub fn before(&self, message: &ObjectName) -> Option<usize> {
        let number = self.messages.get(message)?;
        self.waiting.values().find_map(|queue| queue.iter().position(|other| other == number))
    }
}

/// A forked process has what its parent has, under the same names.
fn copy(all: &mut BTreeMap<ObjectName, usize>, parent: &ObjectName, child: &ObjectName) {
    let of_parent = all.iter().map(|(name, &number)| (name.parts(), number));
    let of_parent = of_parent.filter(|((process, _), _)| process == parent);
    let copies: Vec<_> = of_parent.map(|((_, name), number)| (name.of_process(child), number)).collect();
    all.extend(copies);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_received_in_their_order_by_whoever_has_the_socket() {
        let program = "mount tmpfs a\nfd0 = open a\nnear = socketpair\nfar = peer near\nm0 = send near fd0\n\
                       m1 = send near fd0\nback = send far fd0\nfork child\nas child\nfd1 = receive far\n";
        let queues = Queues::of(&crate::text::program(program).unwrap());
        let name = |text: &str| ObjectName(text.to_owned());
        assert_eq!(queues.next(&name("far")), [name("child.m1"), name("m1")]);
        assert_eq!(queues.next(&name("child.near")), [name("back"), name("child.back")]);
        let before = ["m0", "child.m0", "m1", "child.m1", "back"].map(|message| queues.before(&name(message)));
        assert_eq!(before, [None, None, Some(0), Some(0), Some(0)]);
        assert!(queues.is_shared(&name("near")) && queues.is_shared(&name("child.far")));
        let alone = Queues::of(&crate::text::program("near = socketpair\nfork child\n").unwrap());
        assert!(alone.is_shared(&name("near")) && !alone.is_shared(&name("far")));
    }
}
