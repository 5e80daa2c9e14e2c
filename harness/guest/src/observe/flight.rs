//! Descriptors in flight: sent over a Unix socket and not received. The receiving end is peeked,
//! which leaves the queue as it is and gives descriptors of the same open file descriptions. They
//! are observed like any other and then closed.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use protocol::observation::{Message, Object, Outcome};
use rustix::process::{PidfdGetfdFlags, pidfd_getfd};
use scenarios::Bytes;

use super::object::outcome;
use crate::sys;

/// What the sockets of a process hold; the descriptors in flight are open in this process as long
/// as it lives.
#[derive(Debug)]
pub(super) struct Flights {
    queues: BTreeMap<i32, Outcome<Vec<Message>>>,
    held: BTreeMap<Object, OwnedFd>,
}

impl Flights {
    /// Looks into every Unix socket among the descriptors of the process `pid`, which have these
    /// link texts.
    pub(super) fn of(pid: i32, links: &BTreeMap<i32, Bytes>) -> io::Result<Self> {
        let mut flights = Flights { queues: BTreeMap::new(), held: BTreeMap::new() };
        let sockets = links.iter().filter(|(_, link)| link.0.starts_with(b"socket:["));
        let sockets: Vec<i32> = sockets.map(|(&number, _)| number).collect();
        if sockets.is_empty() {
            return Ok(flights);
        }
        let process = sys::pidfd_open(pid)?;
        for number in sockets {
            let socket = pidfd_getfd(&process, number, PidfdGetfdFlags::empty())?;
            if sys::unix_socket_type(socket.as_fd()).is_some() {
                let queue = sys::peek_queue(socket.as_fd()).map(|queue| flights.keep(number, queue));
                flights.queues.insert(number, outcome(queue));
            }
        }
        Ok(flights)
    }

    fn keep(&mut self, socket: i32, queue: Vec<sys::Peeked>) -> Vec<Message> {
        let mut nth = 0;
        let mut message = |peeked: sys::Peeked| {
            let before = nth;
            for descriptor in peeked.descriptors {
                self.held.insert(Object::InFlight { socket, nth }, descriptor);
                nth += 1;
            }
            Message { bytes: peeked.bytes.into(), descriptors: nth - before }
        };
        queue.into_iter().map(&mut message).collect()
    }

    /// What is in flight.
    pub(super) fn objects(&self) -> impl Iterator<Item = Object> {
        self.held.keys().copied()
    }

    /// The descriptor of this process for one in flight.
    pub(super) fn get(&self, object: Object) -> Option<&OwnedFd> {
        self.held.get(&object)
    }

    /// The messages in a socket's queue; `None` for anything but a Unix socket.
    pub(super) fn queue(&self, number: i32) -> Option<Outcome<Vec<Message>>> {
        self.queues.get(&number).cloned()
    }
}
