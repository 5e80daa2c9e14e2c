//! Unix sockets (unix(7)): descriptors in messages, peeking at a queue, which leaves it as it is,
//! and who is connected to whom (sock_diag(7)).

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, RecvMsg, SockFlag, SockProtocol, SockType, recv,
    recvmsg, send, sendmsg, socket,
};

use super::check;

/// A longer message is not looked at, in bytes: no program writes one, and the kernel's own limit
/// (`net.core.wmem_default`) is lower on most machines.
const MESSAGE_LIMIT: usize = 256 << 10;
/// `SCM_MAX_FD`: the most descriptors in one message.
const DESCRIPTOR_LIMIT: usize = 253;

/// A message that stays in the queue.
#[derive(Debug)]
pub struct Peeked {
    /// What it says.
    pub bytes: Vec<u8>,
    /// The descriptors in it, as ones of this process; not close-on-exec, as those in flight are
    /// neither.
    pub descriptors: Vec<OwnedFd>,
}

fn option(socket: BorrowedFd<'_>, name: libc::c_int) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut length = libc::socklen_t::try_from(size_of_val(&value)).map_err(io::Error::other)?;
    let at = (&raw mut value).cast();
    // SAFETY: the value is an int, and its length says so.
    check(unsafe { libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, name, at, &raw mut length) }.into())?;
    Ok(value)
}

fn set_option(socket: BorrowedFd<'_>, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of_val(&value)).map_err(io::Error::other)?;
    let at = (&raw const value).cast();
    // SAFETY: the value is an int, and its length says so.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, name, at, length) }.into()).map(drop)
}

/// Whether a descriptor is a Unix socket, and of which type: `SOCK_SEQPACKET`.
pub fn unix_socket_type(fd: BorrowedFd<'_>) -> Option<libc::c_int> {
    let domain = option(fd, libc::SO_DOMAIN).ok()?;
    (domain == libc::AF_UNIX).then(|| option(fd, libc::SO_TYPE).ok()).flatten()
}

/// Every message in a socket's queue, the oldest first; they stay there. An empty one ends the
/// list: it looks like the end of the connection. The offset for peeking is a property of the
/// socket and is put back.
///
/// # Errors
/// Those of the calls; a message that is too long.
pub fn peek_queue(socket: BorrowedFd<'_>) -> io::Result<Vec<Peeked>> {
    let before = option(socket, libc::SO_PEEK_OFF)?;
    set_option(socket, libc::SO_PEEK_OFF, 0)?;
    let peeked = peek_all(socket);
    set_option(socket, libc::SO_PEEK_OFF, before)?;
    peeked
}

fn peek_all(socket: BorrowedFd<'_>) -> io::Result<Vec<Peeked>> {
    let mut queue = Vec::new();
    let mut buffer = vec![0; MESSAGE_LIMIT];
    loop {
        let mut rights = nix::cmsg_space!([RawFd; DESCRIPTOR_LIMIT]);
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        let message = match recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut rights), flags) {
            Err(Errno::EAGAIN) => return Ok(queue),
            message => message?,
        };
        let descriptors = taken(&message)?;
        let (length, cut) = (message.bytes, message.flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC));
        if cut {
            return Err(io::Error::other(format!("a message of more than {MESSAGE_LIMIT} bytes or cut short")));
        }
        if length == 0 {
            return Ok(queue);
        }
        queue.push(Peeked { bytes: buffer[..length].to_vec(), descriptors });
    }
}

/// One message with descriptors in it, without waiting.
///
/// # Errors
/// The call's.
pub fn send_descriptors(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[RawFd]) -> io::Result<()> {
    let rights = [ControlMessage::ScmRights(descriptors)];
    let rights = if descriptors.is_empty() { &[][..] } else { &rights[..] };
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    let count = sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(bytes)], rights, flags, None)?;
    if count == bytes.len() { Ok(()) } else { Err(io::Error::other(format!("only {count} bytes were sent"))) }
}

/// The oldest message in a socket's queue, which has one descriptor in it, without waiting.
///
/// # Errors
/// The call's; a message with another number of descriptors.
pub fn receive_descriptor(socket: BorrowedFd<'_>, cloexec: bool) -> io::Result<OwnedFd> {
    let mut rights = nix::cmsg_space!([RawFd; DESCRIPTOR_LIMIT]);
    let mut byte = [0];
    let mut parts = [IoSliceMut::new(&mut byte)];
    let mut flags = MsgFlags::MSG_DONTWAIT;
    flags.set(MsgFlags::MSG_CMSG_CLOEXEC, cloexec);
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut rights), flags)?;
    let mut descriptors = taken(&message)?;
    match (descriptors.pop(), descriptors.len()) {
        (Some(one), 0) => Ok(one),
        _ => Err(io::Error::other("the message has not one descriptor in it")),
    }
}

/// The descriptors in a message, as ones of this process.
fn taken(message: &RecvMsg<'_, '_, ()>) -> io::Result<Vec<OwnedFd>> {
    let mut descriptors = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = control {
            // SAFETY: the kernel just made these descriptors for us.
            descriptors.extend(numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
        }
    }
    Ok(descriptors)
}

/// The inode number of the Unix socket that the one with this number is connected to; 0 for one
/// that was closed, none for an unconnected one. The kernel's `unix_diag` answers, for sockets of
/// this process's network namespace.
///
/// # Errors
/// `ENOENT` when the kernel has no `unix_diag`, or the socket does not exist.
pub fn unix_peer(inode: u32) -> io::Result<Option<u32>> {
    /// `SOCK_DIAG_BY_FAMILY`, linux/sock_diag.h.
    const BY_FAMILY: u16 = 20;
    /// `UDIAG_SHOW_PEER` and the attribute `UNIX_DIAG_PEER`, linux/unix_diag.h.
    const SHOW_PEER: u32 = 4;
    const PEER: u16 = 2;
    const HEADER: usize = 16; // struct nlmsghdr
    const ANSWER: usize = 16; // struct unix_diag_msg
    let diag = socket(
        AddressFamily::Netlink,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        Some(SockProtocol::NetlinkSockDiag),
    )?;
    let mut request = Vec::new();
    // struct nlmsghdr: length, type and flags (NLM_F_REQUEST), sequence, port.
    request.extend([40_u32, u32::from(BY_FAMILY) | 1 << 16, 1, 0].map(u32::to_ne_bytes).as_flattened());
    // struct unix_diag_req: family, states, inode, what to show, any cookie.
    let family = u32::try_from(libc::AF_UNIX).map_err(io::Error::other)?;
    request.extend([family, u32::MAX, inode, SHOW_PEER, u32::MAX, u32::MAX].map(u32::to_ne_bytes).as_flattened());
    send(diag.as_raw_fd(), &request, MsgFlags::empty())?;
    let mut buffer = [0; 1024];
    let length = recv(diag.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
    let answer = &buffer[..length];
    let short = || io::Error::new(io::ErrorKind::InvalidData, "sock_diag: an answer cut short");
    let number = |at: usize| {
        let bytes = answer.get(at..at + 4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
        bytes.map(u32::from_ne_bytes).ok_or_else(short)
    };
    if number(4)? & 0xffff != u32::from(BY_FAMILY) {
        // NLMSG_ERROR: a negative errno.
        return Err(io::Error::from_raw_os_error(-number(HEADER)?.cast_signed()));
    }
    let mut at = HEADER + ANSWER;
    while at + 4 <= length {
        // struct rtattr: length, type.
        let head = number(at)?;
        if head >> 16 == u32::from(PEER) {
            return number(at + 4).map(Some);
        }
        at += usize::try_from(head & 0xffff).map_err(io::Error::other)?.next_multiple_of(4).max(4);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use nix::sys::socket::socketpair;

    use super::*;

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::empty()).unwrap()
    }

    fn inode(fd: &OwnedFd) -> u64 {
        nix::sys::stat::fstat(fd).unwrap().st_ino
    }

    #[test]
    fn a_queue_stays_as_it_was() {
        let (one, other) = pair();
        let (first, second) = (std::fs::File::open("/").unwrap(), std::fs::File::open("/proc").unwrap());
        send_descriptors(one.as_fd(), b"a", &[first.as_raw_fd(), second.as_raw_fd()]).unwrap();
        send_descriptors(one.as_fd(), b"bc", &[]).unwrap();
        send_descriptors(one.as_fd(), b"d", &[second.as_raw_fd()]).unwrap();
        for _ in 0..2 {
            let seen = peek_queue(other.as_fd()).unwrap();
            let messages: Vec<_> =
                seen.iter().map(|peeked| (peeked.bytes.as_slice(), peeked.descriptors.len())).collect();
            assert_eq!(messages, [(b"a".as_slice(), 2), (b"bc", 0), (b"d", 1)]);
            assert_eq!(inode(&seen[2].descriptors[0]), inode(&second.try_clone().unwrap().into()));
        }
        assert_eq!(option(other.as_fd(), libc::SO_PEEK_OFF).unwrap(), -1);
        assert!(peek_queue(one.as_fd()).unwrap().is_empty());
    }

    #[test]
    fn messages_are_received_oldest_first() {
        let (one, other) = pair();
        let (first, second) = (std::fs::File::open("/").unwrap(), std::fs::File::open("/proc").unwrap());
        send_descriptors(one.as_fd(), b"a", &[first.as_raw_fd()]).unwrap();
        send_descriptors(one.as_fd(), b"b", &[second.as_raw_fd()]).unwrap();
        for (sent, cloexec) in [(first, false), (second, true)] {
            let received = receive_descriptor(other.as_fd(), cloexec).unwrap();
            assert_eq!(inode(&received), inode(&sent.into()));
            let flags = nix::fcntl::fcntl(&received, nix::fcntl::FcntlArg::F_GETFD).unwrap();
            assert_eq!(flags & libc::FD_CLOEXEC != 0, cloexec);
        }
        // Nothing waits, and a message without a descriptor in it does not belong to a program.
        assert_eq!(receive_descriptor(other.as_fd(), false).unwrap_err().raw_os_error(), Some(libc::EAGAIN));
        send_descriptors(one.as_fd(), b"c", &[]).unwrap();
        assert!(receive_descriptor(other.as_fd(), false).unwrap_err().raw_os_error().is_none());
    }

    #[test]
    fn peers_are_reported() {
        let (one, other) = pair();
        let number = |fd: &OwnedFd| u32::try_from(inode(fd)).unwrap();
        assert_eq!(unix_socket_type(one.as_fd()), Some(libc::SOCK_SEQPACKET));
        match unix_peer(number(&one)) {
            Ok(peer) => assert_eq!(peer, Some(number(&other))),
            // A kernel without unix_diag.
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ENOENT)),
        }
        let file: OwnedFd = std::fs::File::open("/").unwrap().into();
        assert_eq!(unix_socket_type(file.as_fd()), None);
    }
}
