//! The calls of the steps that make objects and change their state.

use scenarios::Step;
use scenarios::program::{LockKind, LockRange, ObjectName, OpenFlag, Seal};

use super::holdings::Holding;
use super::literal::string;
use super::steps::{Part, Writer};

type Done = Result<(), &'static str>;

pub(super) fn carry_out(writer: &mut Writer<'_>, step: &Step) -> Done {
    match step {
        Step::Open { name, at, flags } => {
            let creates = flags.iter().any(|flag| matches!(flag, OpenFlag::Create | OpenFlag::Tmpfile));
            let flags = format!("{}{}", open_flags(flags), if creates { ", 0644" } else { "" });
            let call = match &at.base {
                Some(base) if !at.path.is_empty() => {
                    let base = writer.holdings.expression(base);
                    format!("openat({base}, {}, {flags})", string(at.path.as_slice()))
                }
                _ => format!("open({}, {flags})", writer.path(at)?),
            };
            let fd = writer.holdings.add(name, Holding::Descriptor);
            writer.run(format!("{fd} = {call}"));
        }
        Step::Dup { name, of, cloexec } => {
            let of = writer.holdings.expression(of);
            let fd = writer.holdings.add(name, Holding::Descriptor);
            let command = if *cloexec { "F_DUPFD_CLOEXEC" } else { "F_DUPFD" };
            writer.run(format!("{fd} = fcntl({of}, {command}, 0)"));
        }
        Step::Memfd { name, label, sealable } => {
            let fd = writer.holdings.add(name, Holding::Descriptor);
            let flags = if *sealable { "MFD_ALLOW_SEALING" } else { "0" };
            writer.run(format!("{fd} = memfd_create({}, {flags})", string(label.as_slice())));
        }
        Step::Map { .. } => map(writer, step),
        Step::Socketpair { .. } | Step::Peer { .. } | Step::Send { .. } | Step::Receive { .. } => sockets(writer, step),
        Step::Seek { object, offset } => {
            let fd = writer.holdings.expression(object);
            writer.run(format!("lseek({fd}, {offset}, SEEK_SET)"));
        }
        Step::Read { object, length } => {
            if *length > 4096 {
                return Err("it reads more than 4096 bytes");
            }
            let fd = writer.holdings.expression(object);
            writer.run(format!("read({fd}, (char[{}]){{ 0 }}, {length})", (*length).max(1)));
        }
        Step::WriteTo { object, bytes } => {
            let fd = writer.holdings.expression(object);
            writer.run(format!("write({fd}, {}, {})", string(bytes.as_slice()), bytes.0.len()));
        }
        Step::ReadEntries { object } => {
            let fd = writer.holdings.expression(object);
            writer.run(format!("syscall(SYS_getdents64, {fd}, (char[96]){{ 0 }}, 96)"));
        }
        Step::Lock { object, kind, write, range } => lock(writer, object, *kind, *write, *range),
        Step::Seal { .. } | Step::SetOwner { .. } | Step::SetSignal { .. } => state(writer, step),
        Step::Close { object } => {
            let fd = writer.holdings.expression(object);
            writer.run(format!("close({fd})"));
            writer.holdings.remove(object);
        }
        _ => return Err("a step that this version cannot write"),
    }
    Ok(())
}

/// Sockets, and what is sent over them.
fn sockets(writer: &mut Writer<'_>, step: &Step) {
    match step {
        Step::Socketpair { name } => {
            let one = writer.holdings.add(name, Holding::Socket);
            let pair = one.trim_end_matches("[0]");
            writer.run(format!("socketpair(AF_UNIX, SOCK_SEQPACKET, 0, {pair})"));
        }
        Step::Peer { name, of } => {
            writer.holdings.add_peer(name, of);
        }
        Step::Send { name, over, object } => {
            let (socket, fd) = (writer.holdings.expression(over), writer.holdings.expression(object));
            writer.holdings.add_in_flight(name, over);
            writer.run(format!("send_descriptor({socket}, {fd})"));
        }
        Step::Receive { name, over, cloexec } => {
            let socket = writer.holdings.expression(over);
            writer.holdings.receive(&socket);
            let fd = writer.holdings.add(name, Holding::Descriptor);
            let flags = if *cloexec { "MSG_CMSG_CLOEXEC" } else { "0" };
            writer.run(format!("{fd} = receive_descriptor({socket}, {flags})"));
        }
        _ => {}
    }
}

/// A page of a file in memory.
fn map(writer: &mut Writer<'_>, step: &Step) {
    let Step::Map { name, of, shared, write } = step else { return };
    let of = writer.holdings.expression(of);
    let map = writer.holdings.add(name, Holding::Mapping);
    let protection = if *write { "PROT_READ | PROT_WRITE" } else { "PROT_READ" };
    let sharing = if *shared { "MAP_SHARED" } else { "MAP_PRIVATE" };
    writer.lines.push(format!("{map} = mmap(NULL, 4096, {protection}, {sharing}, {of}, 0);"));
    writer.run(format!("{map} == MAP_FAILED ? -1 : 0"));
}

fn lock(writer: &mut Writer<'_>, object: &ObjectName, kind: LockKind, write: bool, range: LockRange) {
    writer.parts.insert(Part::Locks);
    let fd = writer.holdings.expression(object);
    let kind_of_lock = if write { "F_WRLCK" } else { "F_RDLCK" };
    let mut fields = vec![format!(".l_type = {kind_of_lock}")];
    let numbers = [("l_start", range.start), ("l_len", range.length)];
    fields.extend(numbers.iter().filter(|(_, number)| *number > 0).map(|(name, number)| format!(".{name} = {number}")));
    let record = format!("&(struct flock){{ {} }}", fields.join(", "));
    writer.run(match kind {
        LockKind::Posix => format!("fcntl({fd}, F_SETLK, {record})"),
        LockKind::Ofd => format!("fcntl({fd}, F_OFD_SETLK, {record})"),
        LockKind::Flock => format!("flock({fd}, {} | LOCK_NB)", if write { "LOCK_EX" } else { "LOCK_SH" }),
        LockKind::Lease => format!("fcntl({fd}, F_SETLEASE, {kind_of_lock})"),
    });
}

/// Seals, owners and signals.
fn state(writer: &mut Writer<'_>, step: &Step) {
    let call = match step {
        Step::Seal { object, seals } => {
            let words: Vec<&str> = seals.iter().map(|seal| seal_word(*seal)).collect();
            writer.parts.insert(Part::Seals);
            format!("fcntl({}, F_ADD_SEALS, {})", writer.holdings.expression(object), words.join(" | "))
        }
        Step::SetOwner { object } => {
            writer.parts.insert(Part::Signals);
            format!("fcntl({}, F_SETOWN, getpid())", writer.holdings.expression(object))
        }
        Step::SetSignal { object, signal } => {
            writer.parts.insert(Part::Signals);
            format!("fcntl({}, F_SETSIG, {signal})", writer.holdings.expression(object))
        }
        _ => return,
    };
    writer.run(call);
}

fn seal_word(seal: Seal) -> &'static str {
    match seal {
        Seal::Seal => "F_SEAL_SEAL",
        Seal::Shrink => "F_SEAL_SHRINK",
        Seal::Grow => "F_SEAL_GROW",
        Seal::Write => "F_SEAL_WRITE",
        Seal::FutureWrite => "F_SEAL_FUTURE_WRITE",
    }
}

fn open_flags(flags: &[OpenFlag]) -> String {
    let word = |flag: &OpenFlag| match flag {
        OpenFlag::Rdonly => "O_RDONLY",
        OpenFlag::Wronly => "O_WRONLY",
        OpenFlag::Rdwr => "O_RDWR",
        OpenFlag::Path => "O_PATH",
        OpenFlag::Directory => "O_DIRECTORY",
        OpenFlag::Nofollow => "O_NOFOLLOW",
        OpenFlag::Append => "O_APPEND",
        OpenFlag::Nonblock => "O_NONBLOCK",
        OpenFlag::Direct => "O_DIRECT",
        OpenFlag::Sync => "O_SYNC",
        OpenFlag::Noatime => "O_NOATIME",
        OpenFlag::Cloexec => "O_CLOEXEC",
        OpenFlag::Create => "O_CREAT",
        OpenFlag::Exclusive => "O_EXCL",
        OpenFlag::Truncate => "O_TRUNC",
        OpenFlag::Tmpfile => "O_TMPFILE",
    };
    let words: Vec<_> = flags.iter().map(word).collect();
    if words.is_empty() { "O_RDONLY".to_owned() } else { words.join(" | ") }
}
