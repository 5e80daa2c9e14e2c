//! Steps that make objects and change their state.

use std::io;
use std::os::fd::OwnedFd;

use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl, openat};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::stat::Mode;
use nix::unistd::{Whence, lseek, read, write};
use scenarios::Step;
use scenarios::program::{LockKind, LockRange, ObjectName, OpenFlag, Place, Seal};

use super::world::World;
use crate::sys;

pub(super) fn carry_out(world: &mut World, step: &Step) -> io::Result<()> {
    match step {
        Step::Open { name, at, flags } => {
            let fd = open(world, at, flags)?;
            world.keep(name, fd)
        }
        Step::Dup { name, of, cloexec } => {
            let fd = sys::duplicate(world.borrow(of)?, 0, *cloexec)?;
            world.keep(name, fd)
        }
        Step::Memfd { name, label, sealable } => {
            let flags = if *sealable { MFdFlags::MFD_ALLOW_SEALING } else { MFdFlags::empty() };
            let fd = memfd_create(label.as_slice(), flags)?;
            world.keep(name, fd)
        }
        Step::Map { name, of, shared, write } => {
            let start = sys::map_page(world.borrow(of)?, *shared, *write)?;
            world.keep_mapping(name, start);
            Ok(())
        }
        Step::Socketpair { name } => {
            let (family, kind) = (AddressFamily::Unix, SockType::SeqPacket);
            let (one, other) = socketpair(family, kind, None, SockFlag::empty())?;
            world.keep_pair(name, one, other)
        }
        Step::Peer { name, of } => world.name_peer(name, of),
        Step::Send { name, over, object } => {
            let (receiver, sent) = world.next_message(over)?;
            let byte = b'a' + u8::try_from(sent % 26).map_err(io::Error::other)?;
            sys::send_descriptors(world.borrow(over)?, &[byte], &[world.descriptor(object)?])?;
            world.keep_in_flight(name, receiver);
            Ok(())
        }
        Step::Receive { name, over, cloexec } => {
            world.keep(name, sys::receive_descriptor(world.borrow(over)?, *cloexec)?)
        }
        Step::Seek { object, offset } => {
            let offset = i64::try_from(*offset).map_err(io::Error::other)?;
            lseek(world.borrow(object)?, offset, Whence::SeekSet)?;
            Ok(())
        }
        Step::Read { object, length } => read_exactly(world, object, *length),
        Step::WriteTo { object, bytes } => {
            let count = write(world.borrow(object)?, bytes.as_slice())?;
            if count == bytes.0.len() { Ok(()) } else { Err(io::Error::other(format!("only {count} bytes written"))) }
        }
        Step::ReadEntries { object } => sys::read_some_entries(world.borrow(object)?),
        Step::Lock { object, kind, write, range } => lock(world, object, *kind, *write, *range),
        Step::Seal { object, seals } => {
            let seals: SealFlag = seals.iter().map(seal_flag).collect();
            Ok(fcntl(world.borrow(object)?, FcntlArg::F_ADD_SEALS(seals)).map(drop)?)
        }
        Step::SetOwner { object } => sys::own_signals(world.borrow(object)?),
        Step::SetSignal { object, signal } => sys::set_signal(world.borrow(object)?, (*signal).into()),
        Step::Close { object } => world.give_up(object).map(drop),
        // The agent does it, at the dump and at the restore.
        Step::External { object } => world.is_elsewhere(object),
        Step::Chdir { at } => {
            let path = world.path_in_proc(at)?;
            let fd = world
                .in_proc(|| Ok(nix::fcntl::open(path.as_c_str(), OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?))?;
            Ok(nix::unistd::fchdir(fd)?)
        }
        Step::Chroot { at } => {
            let path = world.path_in_proc(at)?;
            world.in_proc(|| Ok(nix::unistd::chroot(path.as_c_str())?))
        }
        _ => unreachable!("the caller sends steps on objects only"),
    }
}

fn open(world: &World, place: &Place, flags: &[OpenFlag]) -> io::Result<OwnedFd> {
    let at = world.at(place)?;
    let flags: OFlag = flags.iter().map(open_flag).collect();
    Ok(openat(at.dir(), at.path.as_c_str(), flags, Mode::from_bits_truncate(0o644))?)
}

fn open_flag(flag: &OpenFlag) -> OFlag {
    match flag {
        OpenFlag::Rdonly => OFlag::O_RDONLY,
        OpenFlag::Wronly => OFlag::O_WRONLY,
        OpenFlag::Rdwr => OFlag::O_RDWR,
        OpenFlag::Path => OFlag::O_PATH,
        OpenFlag::Directory => OFlag::O_DIRECTORY,
        OpenFlag::Nofollow => OFlag::O_NOFOLLOW,
        OpenFlag::Append => OFlag::O_APPEND,
        OpenFlag::Nonblock => OFlag::O_NONBLOCK,
        OpenFlag::Direct => OFlag::O_DIRECT,
        OpenFlag::Sync => OFlag::O_SYNC,
        OpenFlag::Noatime => OFlag::O_NOATIME,
        OpenFlag::Cloexec => OFlag::O_CLOEXEC,
        OpenFlag::Create => OFlag::O_CREAT,
        OpenFlag::Exclusive => OFlag::O_EXCL,
        OpenFlag::Truncate => OFlag::O_TRUNC,
        OpenFlag::Tmpfile => OFlag::O_TMPFILE,
    }
}

fn seal_flag(seal: &Seal) -> SealFlag {
    match seal {
        Seal::Seal => SealFlag::F_SEAL_SEAL,
        Seal::Shrink => SealFlag::F_SEAL_SHRINK,
        Seal::Grow => SealFlag::F_SEAL_GROW,
        Seal::Write => SealFlag::F_SEAL_WRITE,
        Seal::FutureWrite => SealFlag::from_bits_retain(libc::F_SEAL_FUTURE_WRITE),
    }
}

fn read_exactly(world: &World, object: &ObjectName, length: u64) -> io::Result<()> {
    let mut missing = usize::try_from(length).map_err(io::Error::other)?;
    let mut buffer = [0; 4096];
    while missing > 0 {
        let wanted = missing.min(buffer.len());
        match read(world.borrow(object)?, &mut buffer[..wanted])? {
            0 => return Err(io::Error::other(format!("the file ends {missing} bytes too early"))),
            count => missing -= count,
        }
    }
    Ok(())
}

fn lock(world: &World, object: &ObjectName, kind: LockKind, write: bool, range: LockRange) -> io::Result<()> {
    let fd = world.borrow(object)?;
    let lock_type = if write { libc::F_WRLCK } else { libc::F_RDLCK };
    let record = libc::flock {
        l_type: libc::c_short::try_from(lock_type).map_err(io::Error::other)?,
        l_whence: 0,
        l_start: range.start.cast_signed(),
        l_len: range.length.cast_signed(),
        l_pid: 0,
    };
    match kind {
        LockKind::Posix => fcntl(fd, FcntlArg::F_SETLK(&record)).map(drop)?,
        LockKind::Ofd => fcntl(fd, FcntlArg::F_OFD_SETLK(&record)).map(drop)?,
        LockKind::Flock => sys::flock(fd, write)?,
        LockKind::Lease => sys::set_lease(fd, write)?,
    }
    Ok(())
}
