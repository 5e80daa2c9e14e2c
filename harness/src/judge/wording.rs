//! Values of an observation as text: lossless, because the text is what is compared, and readable,
//! because it is what a person sees.

use protocol::observation::{Content, FileKind, LookupKind, MountState, Object, ObjectView, Outcome, SignalOwner};
use scenarios::Bytes;

/// `O_CLOEXEC` as fdinfo prints it, include/uapi/asm-generic/fcntl.h.
pub(crate) const CLOSE_ON_EXEC: u32 = 0o2_000_000;

/// The status flags of open(2), on amd64: observations have them so.
const OPEN_FLAGS: &[(u64, &str)] = &[
    (0o20_000_000, "O_TMPFILE"),
    (0o10_000_000, "O_PATH"),
    (0o4_000_000, "O_SYNC"),
    (0o1_000_000, "O_NOATIME"),
    (0o400_000, "O_NOFOLLOW"),
    (0o200_000, "O_DIRECTORY"),
    (0o100_000, "O_LARGEFILE"),
    (0o40_000, "O_DIRECT"),
    (0o20_000, "O_ASYNC"),
    (0o10_000, "O_DSYNC"),
    (0o4_000, "O_NONBLOCK"),
    (0o2_000, "O_APPEND"),
];

/// `ST_*`, fstatvfs(3).
pub(crate) const STATVFS_FLAGS: &[(u64, &str)] = &[
    (1, "ST_RDONLY"),
    (2, "ST_NOSUID"),
    (4, "ST_NODEV"),
    (8, "ST_NOEXEC"),
    (16, "ST_SYNCHRONOUS"),
    (64, "ST_MANDLOCK"),
    (1024, "ST_NOATIME"),
    (2048, "ST_NODIRATIME"),
    (4096, "ST_RELATIME"),
    (8192, "ST_NOSYMFOLLOW"),
];

/// `F_SEAL_*`, fcntl(2).
pub(crate) const SEALS: &[(u64, &str)] = &[
    (1, "F_SEAL_SEAL"),
    (2, "F_SEAL_SHRINK"),
    (4, "F_SEAL_GROW"),
    (8, "F_SEAL_WRITE"),
    (16, "F_SEAL_FUTURE_WRITE"),
    (32, "F_SEAL_EXEC"),
];

/// `STATX_ATTR_*`, statx(2).
pub(crate) const FILE_ATTRIBUTES: &[(u64, &str)] = &[
    (0x4, "compressed"),
    (0x10, "immutable"),
    (0x20, "append only"),
    (0x40, "no dump"),
    (0x800, "encrypted"),
    (0x10_0000, "verity"),
    (0x20_0000, "dax"),
];

/// `MOUNT_ATTR_*`, mount_setattr(2).
pub(crate) const MOUNT_ATTRIBUTES: &[(u64, &str)] = &[
    (1, "MOUNT_ATTR_RDONLY"),
    (2, "MOUNT_ATTR_NOSUID"),
    (4, "MOUNT_ATTR_NODEV"),
    (8, "MOUNT_ATTR_NOEXEC"),
    (0x10, "MOUNT_ATTR_NOATIME"),
    (0x20, "MOUNT_ATTR_STRICTATIME"),
    (0x80, "MOUNT_ATTR_NODIRATIME"),
    (0x10_0000, "MOUNT_ATTR_IDMAP"),
    (0x20_0000, "MOUNT_ATTR_NOSYMFOLLOW"),
];

/// `MS_*` of propagation, statmount(2).
pub(crate) const PROPAGATION: &[(u64, &str)] =
    &[(1 << 17, "MS_UNBINDABLE"), (1 << 18, "MS_PRIVATE"), (1 << 19, "MS_SLAVE"), (1 << 20, "MS_SHARED")];

/// The number in hexadecimal and the names of its bits: `0x3 (ST_RDONLY|ST_NOSUID)`.
pub(crate) fn bits(value: u64, names: &[(u64, &str)]) -> String {
    let names: Vec<&str> = names.iter().filter(|(bit, _)| value & bit != 0).map(|(_, name)| *name).collect();
    if names.is_empty() { format!("{value:#x}") } else { format!("{value:#x} ({})", names.join("|")) }
}

/// Access mode and status flags, in octal as fdinfo prints them: `0100002 (O_RDWR|O_LARGEFILE)`.
pub(crate) fn open_flags(flags: u32) -> String {
    let access = ["O_RDONLY", "O_WRONLY", "O_RDWR", "access mode 3"][(flags & 3) as usize];
    let mut names = vec![access];
    names.extend(OPEN_FLAGS.iter().filter(|(bit, _)| u64::from(flags) & bit != 0).map(|(_, name)| *name));
    format!("{flags:07o} ({})", names.join("|"))
}

/// Bytes between quotes, escaped as in the program language.
pub(crate) fn quoted(bytes: &Bytes) -> String {
    ["\"", &scenarios::bytes::escape(bytes.as_slice()), "\""].concat()
}

/// A value as `text` has it, or the error's name; a quoted value is never taken for an error.
pub(crate) fn outcome<T>(outcome: &Outcome<T>, text: impl Fn(&T) -> String) -> String {
    match outcome {
        Outcome::Ok(value) => text(value),
        Outcome::Err(error) => error.to_string(),
    }
}

/// What a file holds: `"hello" (5 bytes, sha256 2cf2...)`.
pub(crate) fn content(content: &Content) -> String {
    format!("{} ({} bytes, sha256 {})", quoted(&content.head), content.length, content.sha256)
}

/// Who gets the signals, for people.
pub(crate) fn signal_owner(owner: SignalOwner) -> &'static str {
    match owner {
        SignalOwner::Unset => "none",
        SignalOwner::Itself => "the process itself",
        SignalOwner::ItsThread => "its first thread alone",
        SignalOwner::Other => "another process, or a group",
    }
}

/// Ranges of a file, each by its first byte and its length.
pub(crate) fn ranges(ranges: &[(u64, u64)]) -> String {
    match ranges {
        [] => "none".to_owned(),
        _ => ranges.iter().map(|(start, length)| format!("{start}+{length}")).collect::<Vec<_>>().join(", "),
    }
}

/// A file's type as a word.
pub(crate) fn file_kind(kind: FileKind) -> &'static str {
    match kind {
        FileKind::File => "regular file",
        FileKind::Directory => "directory",
        FileKind::Symlink => "symbolic link",
        FileKind::Fifo => "fifo",
        FileKind::Socket => "socket",
        FileKind::CharDevice => "character device",
        FileKind::BlockDevice => "block device",
        FileKind::Other => "anonymous inode",
    }
}

/// A mount's state as a word.
pub(crate) fn mount_state(state: MountState) -> &'static str {
    match state {
        MountState::Visible => "visible",
        MountState::Detached => "detached",
        MountState::Elsewhere => "elsewhere",
        MountState::Internal => "internal",
    }
}

/// How a lookup was made, as a word.
pub(crate) fn lookup_kind(kind: LookupKind) -> &'static str {
    match kind {
        LookupKind::Plain => "plain",
        LookupKind::Nofollow => "nofollow",
        LookupKind::Beneath => "beneath",
        LookupKind::InRoot => "in-root",
        LookupKind::NoXdev => "no-xdev",
        LookupKind::ReopenRead => "reopen-read",
        LookupKind::ReopenWrite => "reopen-write",
        LookupKind::ReopenReadWrite => "reopen-read-write",
    }
}

/// What the kernel calls an object.
pub(crate) fn kernel_name(object: Object) -> String {
    match object {
        Object::Fd(number) => format!("descriptor {number}"),
        Object::InFlight { socket, nth } => format!("number {} in flight to descriptor {socket}", nth + 1),
        Object::Cwd => "cwd".to_owned(),
        Object::Root => "root".to_owned(),
        Object::Exe => "exe".to_owned(),
        Object::Map(start) => format!("mapping {start:#x}"),
    }
}

/// What an object is called: by its name in the program, and by what the kernel calls it where that
/// differs.
pub(crate) fn object(view: &ObjectView) -> String {
    let kernel = kernel_name(view.object);
    match &view.name {
        Some(name) if *name != kernel => format!("{name} ({kernel})"),
        _ => kernel,
    }
}

/// A quoted link text without the inode number that the kernel may have put into it: `pipe:[N]`,
/// `mnt:[N]`, and `#N (deleted)` for a file made with `O_TMPFILE`. Only the file's own number is
/// taken out; a file that is *named* like this keeps its name. `None` when the text has none.
pub(crate) fn link_without_inode(quoted: &str, inode: u64) -> Option<String> {
    if let Some(start) = quoted.strip_suffix("]\"") {
        let start = start.strip_suffix(&inode.to_string())?.strip_suffix('[')?;
        return Some(format!("{start}[its inode]\""));
    }
    let start = quoted.strip_suffix(" (deleted)\"")?.strip_suffix(&inode.to_string())?.strip_suffix("/#")?;
    Some(format!("{start}/#(its inode) (deleted)\""))
}
