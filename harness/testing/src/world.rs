//! Observations to judge, for fuzz targets and for the judge's own tests: a plausible small
//! world, the same every time or varied by a generator.
//!
//! Every number that the kernel hands out is in at least two places (the two sides see the same
//! objects, every file has a name in the tree), so that a change of any one of them changes the
//! partition.

use arbitrary::{Result, Unstructured};
use protocol::observation::*;
use scenarios::{Bytes, Errno};

/// Numbers as one run of a kernel hands them out; another `shift` is another run.
#[derive(Clone, Copy)]
pub struct World {
    /// Added to every number.
    pub shift: u64,
}

const EXT4_MAGIC: u64 = 0xef53;

impl World {
    fn device(self, index: u64) -> u64 {
        // Block devices 7:N, as makedev(3) puts them together.
        0x700 + ((index + self.shift) & 0xff)
    }

    /// A file of a device.
    pub fn file(self, device: u64, index: u64) -> FileId {
        FileId { device: self.device(device), inode: 100 + index * 3 + self.shift * 1000 }
    }

    fn mount_id(self, index: u64) -> u64 {
        30 + index * 7 + self.shift * 500
    }

    /// A mount of the world.
    pub fn mount(self, index: u64, state: MountState) -> MountRef {
        MountRef { id: self.mount_id(index), state }
    }

    fn table_row(self, index: u64, parent: u64, at: &str, root: &str) -> Mount {
        Mount {
            id: self.mount_id(index),
            parent: self.mount_id(parent),
            major: 7,
            minor: u32::try_from((index.min(1) + self.shift) & 0xff).expect("it has 8 bits"),
            root: root.into(),
            mount_point: at.into(),
            options: "rw,relatime".into(),
            propagation: vec![
                format!("shared:{}", 5 + index + self.shift).into_bytes().into(),
                format!("master:{}", 5 + parent + self.shift).into_bytes().into(),
            ],
            fs_type: "ext4".into(),
            source: "/dev/loop0".into(),
            super_options: "rw".into(),
        }
    }
}

fn status(file: FileId, kind: FileKind) -> FileStatus {
    FileStatus {
        file,
        kind,
        mode: if kind == FileKind::Directory { 0o755 } else { 0o644 },
        uid: 0,
        gid: 0,
        size: if kind == FileKind::Directory { 4096 } else { 5 },
        links: if kind == FileKind::Directory { 2 } else { 1 },
        rdev: 0,
        mtime: (1_700_000_000, 123_456_789),
        ctime: (1_700_000_001, 987_654_321),
        attributes: 0x40,
    }
}

/// What every file of the world has in it.
pub fn hello() -> Content {
    Content {
        length: 5,
        sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824".into(),
        head: "hello".into(),
        holes: vec![(0, 1)],
    }
}

fn reached(file: FileId, mount: MountRef, kind: FileKind, link: &str) -> Outcome<Reached> {
    Outcome::Ok(Reached { file, kind, mount, link: link.into() })
}

/// Of a memfd that cannot shrink and is a pipe, too, with a signal of its own.
fn control() -> Control {
    Control { owner: SignalOwner::Itself, signal: 40, seals: Some(2), pipe_size: Some(4096) }
}

/// A descriptor of `f` on a detached mount.
fn file_object(world: World, fd: i32, details: Vec<Bytes>) -> ObjectView {
    let (file, mount) = (world.file(1, 1), world.mount(4, MountState::Detached));
    ObjectView {
        process: 0,
        object: Object::Fd(fd),
        name: Some(format!("fd{}", fd - 3)),
        link: "/f".into(),
        getcwd: None,
        mount: mount.clone(),
        descriptor: Some(Descriptor { position: 3, flags: 0o2_100_002, details, control: Some(control()) }),
        mapping: None,
        queue: None,
        status: Outcome::Ok(status(file, FileKind::File)),
        filesystem: Outcome::Ok(FilesystemStatus { magic: EXT4_MAGIC, flags: 0x1020 }),
        statmount: Some(Outcome::Ok(StatMount {
            fs_type: "ext4".into(),
            root: "/d".into(),
            attributes: 0x2,
            propagation: 1 << 18,
            source: "/dev/loop0".into(),
        })),
        content: Some(Outcome::Ok(hello())),
        xattrs: Outcome::Ok(vec![("user.a".into(), "1".into())]),
        reopen: vec![Lookup {
            path: "".into(),
            how: LookupKind::ReopenRead,
            outcome: reached(file, mount, FileKind::File, "/f"),
        }],
        lookups: vec![],
    }
}

/// A directory on the same detached mount, with lookups from it.
fn directory_object(world: World, object: Object, name: &str) -> ObjectView {
    let (directory, mount) = (world.file(1, 0), world.mount(4, MountState::Detached));
    let lookup = |path: &str, how, outcome| Lookup { path: path.into(), how, outcome };
    let root = || reached(directory, mount.clone(), FileKind::Directory, "/");
    ObjectView {
        process: 0,
        object,
        name: Some(name.into()),
        link: "/".into(),
        getcwd: (object == Object::Cwd).then(|| Outcome::Ok("(unreachable)/".into())),
        descriptor: matches!(object, Object::Fd(_)).then(|| Descriptor {
            position: 0,
            flags: 0o200_000,
            details: vec![],
            control: Some(control()),
        }),
        status: Outcome::Ok(status(directory, FileKind::Directory)),
        content: None,
        xattrs: Outcome::Err(Errno::EOPNOTSUPP.into()),
        reopen: vec![],
        lookups: vec![
            lookup("f", LookupKind::Plain, reached(world.file(1, 1), mount.clone(), FileKind::File, "/f")),
            lookup("..", LookupKind::Plain, root()),
            lookup("..", LookupKind::Beneath, Outcome::Err(Errno::EXDEV.into())),
            lookup("missing", LookupKind::InRoot, Outcome::Err(Errno::ENOENT.into())),
        ],
        ..file_object(world, 9, vec![])
    }
}

/// The descriptor in the message that waits in descriptor 6.
const IN_FLIGHT: Object = Object::InFlight { socket: 6, nth: 0 };

/// A socket with two messages, of which one has a descriptor in it. For the rest it is a file: what
/// is on a mount of the kernel's own has no lasting times.
fn socket_object(world: World) -> ObjectView {
    let message = |bytes: &str, descriptors| Message { bytes: bytes.into(), descriptors };
    let queue = Some(Outcome::Ok(vec![message("a", 1), message("bc", 0)]));
    ObjectView { object: Object::Fd(6), name: Some("far".into()), queue, ..file_object(world, 6, vec![]) }
}

fn mapping_object(world: World) -> ObjectView {
    ObjectView {
        process: 0,
        object: Object::Map(0x7f00_0000_0000),
        name: Some("m".into()),
        descriptor: None,
        mapping: Some(Mapping { length: 4096, permissions: "rw-s".into(), offset: 0, sha256: Some("aa".repeat(32)) }),
        reopen: vec![],
        ..file_object(world, 9, vec![])
    }
}

/// The small world: `top/` on ext4 with `a` mounted, `a/d` once bound to `b`, detached since; `b`'s
/// root is a directory with the file `f`.
pub fn observation(shift: u64) -> Observation {
    let world = World { shift };
    let lock =
        format!("lock:\t1: FLOCK  ADVISORY  WRITE -1 07:{:02x}:{} 0 EOF", (1 + shift) & 0xff, 103 + shift * 1000);
    let mut view = View {
        objects: vec![
            file_object(world, 3, vec![lock.clone().into_bytes().into()]),
            file_object(world, 4, vec![lock.into_bytes().into()]),
            directory_object(world, Object::Fd(5), "fd2"),
            directory_object(world, Object::Cwd, "cwd"),
            mapping_object(world),
            socket_object(world),
            ObjectView { object: IN_FLIGHT, name: Some("m0".into()), ..file_object(world, 7, vec![]) },
            ObjectView { process: 1, name: Some("child.fd0".into()), ..file_object(world, 3, vec![]) },
        ],
    };
    let entry = |path: &str, file: FileId, kind: FileKind| TreeEntry {
        path: path.into(),
        status: Outcome::Ok(status(file, kind)),
        target: (kind == FileKind::Symlink).then(|| "d/f".into()),
        content: (kind == FileKind::File).then(|| Outcome::Ok(Content { holes: Vec::new(), ..hello() })),
    };
    let inside = view.clone();
    for object in &mut view.objects {
        object.getcwd = None;
        object.reopen.clear();
        object.descriptor.iter_mut().for_each(|descriptor| descriptor.control = None);
    }
    let rows = || {
        vec![
            world.table_row(0, 0, "/", "/"),
            world.table_row(1, 0, "/top/a", "/"),
            world.table_row(2, 1, "/top/a/d", "/x"),
            world.table_row(3, 2, "/top/a/d", "/y"),
        ]
    };
    Observation {
        inside,
        outside: view,
        shared_descriptions: [(Object::Fd(3), Object::Fd(4)), (Object::Fd(3), IN_FLIGHT)]
            .map(|(one, other)| (one.into(), other.into()))
            .into_iter()
            .chain([(Object::Fd(3).into(), ObjectId { process: 1, object: Object::Fd(3) })])
            .collect(),
        mounts: rows(),
        host_mounts: rows(),
        tree: vec![
            entry("", world.file(0, 7), FileKind::Directory),
            entry("a", world.file(1, 2), FileKind::Directory),
            entry("a/d", world.file(1, 0), FileKind::Directory),
            entry("a/d/f", world.file(1, 1), FileKind::File),
            entry("a/link", world.file(1, 5), FileKind::Symlink),
            entry("a/same", world.file(1, 5), FileKind::Symlink),
            entry("a2", world.file(1, 2), FileKind::Directory),
            entry("d2", world.file(1, 0), FileKind::Directory),
            entry("top2", world.file(0, 7), FileKind::Directory),
        ],
        process: process(2),
        others: vec![OtherProcess { name: "child".into(), state: process(3) }],
    }
}

fn process(inner_pid: u32) -> ProcessState {
    let signals = vec!["0000000000000000".into(); 5];
    let attribute = |(name, value): (&str, &str)| ProcessAttribute { name: name.into(), value: value.into() };
    let attributes = [("Umask", "0022"), ("Max file size", "unlimited unlimited")].map(attribute).into();
    ProcessState { state: "S".into(), tracer: 0, pid: 4000 + inner_pid, inner_pid, signals, attributes }
}

/// The small world with some of its properties varied.
pub fn varied(u: &mut Unstructured<'_>, shift: u64) -> Result<Observation> {
    let mut seen = observation(shift);
    let deleted: bool = u.arbitrary()?;
    let old_kernel: bool = u.arbitrary()?;
    let fewer = u.int_in_range(0..=3)?;
    let position = u.arbitrary::<u32>()?;
    let private: bool = u.arbitrary()?;
    for view in [&mut seen.inside, &mut seen.outside] {
        view.objects.truncate(5 - fewer);
        for object in &mut view.objects {
            if deleted && object.link.as_slice() == b"/f" {
                object.link = "/f (deleted)".into();
            }
            if old_kernel {
                object.statmount = None;
            }
            if let Some(descriptor) = &mut object.descriptor {
                descriptor.position = position.into();
            }
        }
    }
    if private {
        for mount in seen.mounts.iter_mut().chain(&mut seen.host_mounts) {
            mount.propagation = vec!["unbindable".into()];
        }
    }
    Ok(seen)
}

/// The same world after a restore: other numbers, other process, new change times; all else the
/// same.
pub fn restored(mut seen: Observation) -> Observation {
    seen.process.pid += 17;
    seen.others[0].state.pid += 17;
    let objects = seen.inside.objects.iter_mut().chain(&mut seen.outside.objects).map(|object| &mut object.status);
    for status in objects.chain(seen.tree.iter_mut().map(|entry| &mut entry.status)) {
        if let Outcome::Ok(status) = status {
            status.ctime.0 += 60;
        }
    }
    seen.mounts.reverse();
    seen
}
