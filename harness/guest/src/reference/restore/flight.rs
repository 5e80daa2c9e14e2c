//! Sockets and what is in flight in them: pairs are made anew and every message is sent again, over
//! the other end.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{AddressFamily, Shutdown, SockFlag, SockType, shutdown, socketpair};
use protocol::Fault;

use super::super::checkpoint::{Checkpoint, SocketImage};
use super::{Failure, Opened, Options, at, missing};
use crate::sys::{self, set_apart};

/// Makes the sockets of a checkpoint.
pub(super) fn pairs(checkpoint: &Checkpoint, opened: &mut Opened) -> Result<(), Failure> {
    for (index, socket) in sockets(checkpoint).filter(|(index, socket)| *index < socket.peer) {
        let (one, other) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::empty())
            .map_err(at("a pair of sockets"))?;
        for (end, fd) in [(index, one), (socket.peer, other)] {
            let flags = OFlag::from_bits_retain(checkpoint.descriptions[end].flags);
            fcntl(&fd, FcntlArg::F_SETFL(flags)).map_err(at("the flags of a socket"))?;
            opened.descriptions[end] = Some(set_apart(fd).map_err(at("a descriptor"))?);
        }
    }
    Ok(())
}

/// Fills the queues; everything that is sent is open.
pub(super) fn fill(checkpoint: &Checkpoint, options: Options, descriptions: &[Option<OwnedFd>]) -> Result<(), Failure> {
    let open = |index: usize| descriptions.get(index).and_then(Option::as_ref).ok_or_else(|| missing("a description"));
    for (_, socket) in sockets(checkpoint) {
        let over = open(socket.peer)?;
        for message in &socket.queue {
            let sent = message.descriptions.iter().map(|&index| open(index).map(AsRawFd::as_raw_fd));
            let mut sent = sent.collect::<Result<Vec<RawFd>, Failure>>()?;
            if options.fault == Some(Fault::InFlightDropped) {
                sent.clear();
            }
            sys::send_descriptors(over.as_fd(), message.bytes.as_slice(), &sent)
                .map_err(at::<io::Error>("a message in flight"))?;
        }
        if options.fault == Some(Fault::SocketShut) {
            shutdown(over.as_raw_fd(), Shutdown::Write).map_err(at("shutting a socket"))?;
        }
    }
    Ok(())
}

fn sockets(checkpoint: &Checkpoint) -> impl Iterator<Item = (usize, &SocketImage)> {
    let all = checkpoint.descriptions.iter().enumerate();
    all.filter_map(|(index, description)| Some((index, description.socket.as_ref()?)))
}
