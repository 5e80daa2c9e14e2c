//! Unix sockets that are connected to one another within the process, and the descriptors in flight
//! in their queues.
//!
//! The receiving end is peeked: the queue stays as it is, and for each descriptor in it this
//! process gets one of the same open file description, from which the file is found as from any
//! other. Who is at the other end the kernel tells (`unix_diag`); both ends must name each other.
//!
//! `MSG_PEEK` with `SO_PEEK_OFF` leaves the queue as it is. Where the kernel cannot name the other
//! end, the socket is refused. The observer peeks in the same way.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use protocol::observation::{FileKind, Message, Object, ObjectId};
use rustix::process::{PidfdGetfdFlags, pidfd_getfd};

use super::super::checkpoint::{MessageImage, NameImage, SocketImage};
use super::Capture;
use super::object::{self, CapturedObject};
use super::refusal::Cause;
use crate::sys;

/// What only Unix sockets have.
#[derive(Debug)]
pub struct Socket {
    /// `SOCK_SEQPACKET`
    pub kind: libc::c_int,
    /// What is in its queue, the oldest first.
    pub queue: Vec<Message>,
}

/// Looks into the queue of an object that is a descriptor of a Unix socket; what is in flight
/// there.
pub(super) fn look(proc: BorrowedFd<'_>, pid: i32, captured: &mut CapturedObject) -> io::Result<Vec<CapturedObject>> {
    let Object::Fd(socket) = captured.object else { return Ok(Vec::new()) };
    if captured.status.kind != FileKind::Socket {
        return Ok(Vec::new());
    }
    let fd = pidfd_getfd(sys::pidfd_open(pid)?, socket, PidfdGetfdFlags::empty())?;
    let Some(kind) = sys::unix_socket_type(fd.as_fd()) else { return Ok(Vec::new()) };
    let (mut queue, mut found) = (Vec::new(), Vec::new());
    for peeked in sys::peek_queue(fd.as_fd())? {
        let before = found.len();
        for held in peeked.descriptors {
            let nth = u32::try_from(found.len()).map_err(io::Error::other)?;
            let label = format!("number {} in flight to fd {socket}", nth + 1);
            let magic = format!("self/fd/{}", held.as_raw_fd());
            let sent = object::see(proc, label, Object::InFlight { socket, nth }, magic, None)?;
            found.push(CapturedObject { held: Some(held), ..sent });
        }
        let descriptors = u32::try_from(found.len() - before).map_err(io::Error::other)?;
        queue.push(Message { bytes: peeked.bytes.into(), descriptors });
    }
    captured.socket = Some(Socket { kind, queue });
    Ok(found)
}

impl Capture<'_> {
    /// A socket, which has no path.
    pub(super) fn socket(&mut self, captured: &CapturedObject, socket: &Socket) -> Result<usize, Cause> {
        if socket.kind != libc::SOCK_SEQPACKET {
            return Err(Cause::Unsupported("a Unix socket of another type than SOCK_SEQPACKET".to_owned()));
        }
        Ok(self.file(captured, Default::default(), NameImage::Pathless { file: captured.status.file }))
    }

    /// The queue of each socket and its other end, once all descriptions are known.
    pub(super) fn sockets(
        &mut self,
        objects: &[CapturedObject],
        descriptions: &BTreeMap<ObjectId, usize>,
    ) -> Result<(), Cause> {
        for captured in objects {
            let (Object::Fd(number), Some(socket)) = (captured.object, &captured.socket) else { continue };
            let Some(&description) = descriptions.get(&captured.id()) else { continue };
            let peer = descriptions.get(&peer_of(captured, objects)?.id()).ok_or(Cause::PeerElsewhere)?;
            let in_flight = |nth| ObjectId { object: Object::InFlight { socket: number, nth }, ..captured.id() };
            let mut sent = (0..).map(|nth| descriptions.get(&in_flight(nth)).copied());
            let message = |message: &Message| MessageImage {
                bytes: message.bytes.clone(),
                descriptions: sent.by_ref().take(message.descriptors as usize).flatten().collect(),
            };
            let queue = socket.queue.iter().map(message).collect();
            self.checkpoint.descriptions[description].socket = Some(SocketImage { peer: *peer, queue });
        }
        Ok(())
    }
}

/// The object that a socket is connected to.
fn peer_of<'a>(captured: &CapturedObject, objects: &'a [CapturedObject]) -> Result<&'a CapturedObject, Cause> {
    let inode = |captured: &CapturedObject| u32::try_from(captured.status.file.inode).ok();
    let peer_inode = |captured: &CapturedObject| -> Result<Option<u32>, Cause> {
        let Some(inode) = inode(captured) else { return Ok(None) };
        sys::unix_peer(inode).map_err(Cause::of("asking the kernel's unix_diag for the other end of the socket"))
    };
    let number = peer_inode(captured)?.ok_or(Cause::PeerElsewhere)?;
    let peer = objects.iter().find(|other| other.socket.is_some() && inode(other) == Some(number));
    let peer = peer.ok_or(Cause::PeerElsewhere)?;
    if peer_inode(peer)? == inode(captured) { Ok(peer) } else { Err(Cause::PeerElsewhere) }
}
