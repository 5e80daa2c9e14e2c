//! One step of a kind, with arguments that exist. Whether it can be done is for checker and
//! model to say.

use arbitrary::{Result, Unstructured};

use super::{ProgramBuilder, Swarm, mounting};
use crate::Bytes;
use crate::model::{Entry, EntryKind, Survey};
use crate::program::{DeviceKind, Filesystem, LockKind, ObjectName, OpenFlag, Place, Step};

/// The kind of step to make, with those of its arguments that are fixed already.
#[derive(Clone, Copy, Debug)]
pub(super) struct StepRequest {
    pub(super) kind: &'static str,
    pub(super) filesystem: Option<Filesystem>,
    pub(super) flags: &'static [OpenFlag],
    pub(super) at: Spot,
}

/// Where the requested step has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spot {
    Anywhere,
    /// On a mount that the program made and that can be unmounted.
    Mount,
    /// In a btrfs subvolume's root directory.
    Subvolume,
    /// A named pipe or a device.
    Special,
}

impl StepRequest {
    pub(super) const fn of(kind: &'static str) -> Self {
        StepRequest { kind, filesystem: None, flags: &[], at: Spot::Anywhere }
    }
}

/// What a choice is made from.
pub(super) struct Choice<'a> {
    pub(super) survey: &'a Survey,
    pub(super) swarm: &'a Swarm,
    pub(super) objects: Vec<ObjectName>,
    pub(super) sockets: Vec<ObjectName>,
}

pub(super) fn step(
    u: &mut Unstructured<'_>,
    builder: &mut ProgramBuilder,
    survey: &Survey,
    swarm: &Swarm,
    request: StepRequest,
) -> Result<Option<Step>> {
    let reserved = ["cwd", "root", "exe"];
    let objects = builder.checker.open_objects().filter(|name| !reserved.contains(&name.0.as_str())).cloned().collect();
    let sockets = builder.checker.sockets().cloned().collect();
    let choice = Choice { survey, swarm, objects, sockets };
    match request.kind {
        "mount" | "mount-again" | "overlay" | "bind" | "rbind" | "move" | "remount" | "propagation" | "umount"
        | "umount-lazy" | "pivot-root" => mounting::step(u, &choice, request),
        "open" => choice.open(u, builder, request),
        "socketpair" | "peer" | "send" => choice.of_socket(u, builder, request.kind),
        "dup" | "map" | "seek" | "read" | "write-to" | "read-entries" | "lock" | "close" | "memfd" => {
            choice.of_object(u, builder, request.kind)
        }
        "subvolume" | "snapshot" | "delete-subvolume" => choice.of_subvolume(u, request.kind),
        _ => choice.of_name(u, request),
    }
}

/// Contents and attributes: short.
fn text(u: &mut Unstructured<'_>) -> Result<Bytes> {
    Ok(Bytes::from(*u.choose(&["hello", "x", "", "two\nlines", "decoy"])?))
}

pub(super) fn below(place: &Place, name: &[u8]) -> Place {
    let mut path = place.path.0.clone();
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    Place { base: place.base.clone(), path: Bytes(path) }
}

/// Whether a path leads to a place or below it, by its spelling.
pub(super) fn is_at_or_below(place: &Place, above: &Place) -> bool {
    let rest = place.path.as_slice().strip_prefix(above.path.as_slice());
    place.base == above.base && matches!(rest, Some([] | [b'/', ..]))
}

impl Choice<'_> {
    /// A name that is there.
    pub(super) fn entry(&self, u: &mut Unstructured<'_>, fits: impl Fn(&Entry) -> bool) -> Result<Option<&Entry>> {
        let all: Vec<&Entry> = self.survey.entries.iter().filter(|entry| fits(entry)).collect();
        // On a mount there is more to lose than beside it.
        let deep: Vec<&Entry> = all.iter().copied().filter(|entry| self.is_on_a_mount(entry)).collect();
        let from = if !deep.is_empty() && u.ratio(3, 4)? { deep } else { all };
        if from.is_empty() { Ok(None) } else { Ok(Some(u.choose(&from)?)) }
    }

    pub(super) fn is_on_a_mount(&self, entry: &Entry) -> bool {
        let mut mounts = self.survey.mounts.iter();
        entry.place.base.is_some() || mounts.any(|mount| is_at_or_below(&entry.place, &mount.place))
    }

    pub(super) fn directory(&self, u: &mut Unstructured<'_>) -> Result<Place> {
        let bases = &self.survey.directories;
        if !bases.is_empty() && u.ratio(1, 6)? {
            let base = Some(u.choose(bases)?.clone());
            return Ok(Place { base, path: Bytes::default() });
        }
        if u.ratio(1, 4)? {
            return Ok(Place { base: None, path: Bytes::default() });
        }
        let found = self.entry(u, |entry| entry.kind == EntryKind::Directory)?;
        Ok(found.map_or(Place { base: None, path: Bytes::default() }, |entry| entry.place.clone()))
    }

    /// A name that is there, rather of what is open: that has more to lose.
    fn held_entry(&self, u: &mut Unstructured<'_>, fits: &dyn Fn(&Entry) -> bool) -> Result<Option<&Entry>> {
        if self.survey.entries.iter().any(|entry| entry.held && fits(entry)) && u.arbitrary()? {
            return self.entry(u, |entry| entry.held && fits(entry));
        }
        self.entry(u, fits)
    }

    fn held_place(&self, u: &mut Unstructured<'_>, fits: &dyn Fn(&Entry) -> bool) -> Result<Option<Place>> {
        Ok(self.held_entry(u, fits)?.map(|entry| entry.place.clone()))
    }

    /// A name that need not be there; now and then one that something open has lost.
    pub(super) fn fresh(&self, u: &mut Unstructured<'_>) -> Result<Place> {
        if !self.survey.gone.is_empty() && u.ratio(1, 4)? {
            return u.choose(&self.survey.gone).cloned();
        }
        Ok(below(&self.directory(u)?, self.swarm.name(u)?))
    }

    fn open(
        &self,
        u: &mut Unstructured<'_>,
        builder: &mut ProgramBuilder,
        request: StepRequest,
    ) -> Result<Option<Step>> {
        use OpenFlag as F;
        let directories = request.flags.contains(&F::Directory);
        let files = !request.flags.is_empty() && !directories;
        let fits = |entry: &Entry| {
            (!directories || entry.kind == EntryKind::Directory)
                && (!files || entry.kind == EntryKind::File)
                && (request.at != Spot::Mount || self.is_on_a_mount(entry))
                && (request.at != Spot::Special || entry.kind == EntryKind::Special)
        };
        let Some(entry) = self.entry(u, fits)? else { return Ok(None) };
        let name = builder.name("fd");
        if !request.flags.is_empty() {
            return Ok(Some(Step::Open { name, at: entry.place.clone(), flags: request.flags.to_vec() }));
        }
        let mut at = entry.place.clone();
        let mut flags: Vec<F> = match entry.kind {
            EntryKind::File if u.ratio(1, 12)? => {
                at = self.fresh(u)?;
                vec![*u.choose(&[F::Rdwr, F::Wronly, F::Rdonly])?, F::Create]
            }
            EntryKind::File => match *u.choose(&[0, 0, 1, 1, 1, 2, 3])? {
                0 => Vec::new(),
                1 => vec![F::Rdwr],
                2 => vec![F::Wronly],
                _ => vec![F::Path],
            },
            EntryKind::Directory => u
                .choose(&[&[F::Directory][..], &[], &[F::Path], &[F::Path, F::Directory], &[F::Rdwr, F::Tmpfile]])?
                .to_vec(),
            EntryKind::Symlink => u.choose(&[&[F::Path, F::Nofollow][..], &[], &[F::Rdwr]])?.to_vec(),
            EntryKind::Special => u.choose(&[&[F::Rdwr][..], &[F::Nonblock], &[F::Path], &[F::Wronly]])?.to_vec(),
        };
        if u.ratio(1, 4)? {
            let more = [
                F::Cloexec,
                F::Append,
                F::Nonblock,
                F::Sync,
                F::Noatime,
                F::Nofollow,
                F::Truncate,
                F::Exclusive,
                F::Direct,
            ];
            flags.push(*u.choose(&more)?);
        }
        Ok(Some(Step::Open { name, at, flags }))
    }

    fn of_object(&self, u: &mut Unstructured<'_>, builder: &mut ProgramBuilder, kind: &str) -> Result<Option<Step>> {
        if kind == "memfd" {
            let name = builder.name("mem");
            return Ok(Some(Step::Memfd { name, label: Bytes::from(*u.choose(&["label", "", "two words"])?) }));
        }
        if self.objects.is_empty() {
            return Ok(None);
        }
        let object = u.choose(&self.objects)?.clone();
        let small = |u: &mut Unstructured<'_>| u.int_in_range(0..=8u64);
        Ok(Some(match kind {
            "dup" => Step::Dup { name: builder.name("fd"), of: object, cloexec: u.arbitrary()? },
            "map" => {
                let (shared, write) = (u.arbitrary()?, u.arbitrary()?);
                if !self.swarm.limits.privileged {
                    return Ok(None);
                }
                Step::Map { name: builder.name("map"), of: object, shared, write }
            }
            "seek" => {
                let offset = if u.ratio(1, 8)? { 5_000_000_000 } else { small(u)? };
                Step::Seek { object, offset }
            }
            "read" => Step::Read { object, length: small(u)? },
            "write-to" => Step::WriteTo { object, bytes: text(u)? },
            "read-entries" => Step::ReadEntries { object },
            "lock" => {
                let kinds = [LockKind::Posix, LockKind::Ofd, LockKind::Flock, LockKind::Lease];
                Step::Lock { object, kind: *u.choose(&kinds)?, write: u.arbitrary()? }
            }
            _ => Step::Close { object },
        }))
    }

    fn of_socket(&self, u: &mut Unstructured<'_>, builder: &mut ProgramBuilder, kind: &str) -> Result<Option<Step>> {
        if kind == "socketpair" {
            return Ok(Some(Step::Socketpair { name: builder.name("s") }));
        }
        if self.sockets.is_empty() {
            return Ok(None);
        }
        let socket = u.choose(&self.sockets)?.clone();
        if kind == "peer" {
            return Ok(Some(Step::Peer { name: builder.name("s"), of: socket }));
        }
        let object = u.choose(&self.objects)?.clone();
        Ok(Some(Step::Send { name: builder.name("sent"), over: socket, object }))
    }

    fn of_name(&self, u: &mut Unstructured<'_>, request: StepRequest) -> Result<Option<Step>> {
        let any = |_: &Entry| true;
        let file = |entry: &Entry| entry.kind == EntryKind::File;
        // A place for steps that make something needs nothing; the others end here when there is
        // nothing.
        macro_rules! existing {
            ($fits:expr) => {
                match self.held_place(u, &$fits)? {
                    Some(place) => place,
                    None => return Ok(None),
                }
            };
        }
        Ok(Some(match request.kind {
            "mkdir" => Step::Mkdir { at: self.fresh(u)? },
            "write" if request.at == Spot::Subvolume => {
                let at = below(&existing!(|entry: &Entry| entry.is_subvolume), self.swarm.name(u)?);
                Step::Write { at, bytes: text(u)? }
            }
            "write" => {
                let at = if u.ratio(1, 4)? { existing!(file) } else { self.fresh(u)? };
                Step::Write { at, bytes: text(u)? }
            }
            "append" => Step::Append { at: existing!(file), bytes: text(u)? },
            "truncate" => {
                let at = existing!(file);
                let length = if u.ratio(1, 8)? { 10_000_000 } else { u.int_in_range(0..=8)? };
                Step::Truncate { at, length }
            }
            "symlink" => Step::Symlink { target: self.target(u)?, at: self.fresh(u)? },
            "link" => Step::Link { old: self.linkable(u)?, new: self.fresh(u)? },
            "rename" => {
                let old = existing!(any);
                let new = if u.ratio(1, 3)? { existing!(any) } else { self.beside(u, &old)? };
                Step::Rename { old, new }
            }
            "unlink" => Step::Unlink { at: existing!(|entry: &Entry| entry.kind != EntryKind::Directory) },
            "rmdir" => Step::Rmdir {
                at: existing!(|entry: &Entry| entry.kind == EntryKind::Directory && entry.empty && !entry.is_mount),
            },
            "mkfifo" => Step::Mkfifo { at: self.fresh(u)? },
            "mknod" => {
                let (major, minor) = *u.choose(&[(1, 3), (1, 5), (42, 7), (0, 0)])?;
                Step::Mknod { at: self.fresh(u)?, kind: DeviceKind::Char, major, minor }
            }
            "chmod" => Step::Chmod { at: existing!(any), mode: *u.choose(&[0o644, 0, 0o6751, 0o1777, 0o700])? },
            "chown" => Step::Chown { at: existing!(any), uid: *u.choose(&[0, 1000])?, gid: *u.choose(&[0, 1001])? },
            "setxattr" => {
                let disk = |entry: &Entry| entry.on_disk || entry.on_btrfs;
                let (at, name) = match self.held_place(u, &disk)? {
                    Some(at) if u.arbitrary()? => (at, "user.x"),
                    _ => (existing!(any), "trusted.x"),
                };
                Step::Setxattr { at, name: Bytes::from(name), value: text(u)? }
            }
            "touch" => Step::Touch { at: existing!(any), seconds: *u.choose(&[0, 1_000_000_000])?, nanoseconds: 5 },
            "chdir" => Step::Chdir { at: existing!(|entry: &Entry| entry.kind == EntryKind::Directory) },
            "chroot" => Step::Chroot {
                at: if u.ratio(1, 4)? {
                    Place { base: None, path: Bytes::from(".") }
                } else {
                    existing!(|entry: &Entry| entry.kind == EntryKind::Directory)
                },
            },
            _ => return Ok(None),
        }))
    }

    fn of_subvolume(&self, u: &mut Unstructured<'_>, kind: &str) -> Result<Option<Step>> {
        match kind {
            "subvolume" => Ok(Some(Step::Subvolume { at: below(&self.on_btrfs(u)?, self.swarm.name(u)?) })),
            "snapshot" => {
                // Restoring the wrong one of two empty subvolumes would make no difference.
                let Some(from) = self.held_place(u, &|entry| entry.is_subvolume && !entry.empty)? else {
                    return Ok(None);
                };
                let to = below(&self.on_btrfs(u)?, self.swarm.name(u)?);
                Ok(Some(Step::Snapshot { from, to, read_only: u.arbitrary()? }))
            }
            _ => {
                let at = self.held_place(u, &|entry| entry.is_subvolume && !entry.is_mount)?;
                Ok(at.map(|at| Step::DeleteSubvolume { at }))
            }
        }
    }

    fn on_btrfs(&self, u: &mut Unstructured<'_>) -> Result<Place> {
        let found = self.entry(u, |entry| entry.on_btrfs && entry.kind == EntryKind::Directory)?;
        Ok(found.map_or(Place { base: None, path: Bytes::default() }, |entry| entry.place.clone()))
    }

    /// What a link is made of: a file, or one without a name through its descriptor.
    fn linkable(&self, u: &mut Unstructured<'_>) -> Result<Place> {
        if !self.objects.is_empty() && u.ratio(1, 6)? {
            return Ok(Place { base: Some(u.choose(&self.objects)?.clone()), path: Bytes::default() });
        }
        let found = self.held_entry(u, &|entry| entry.kind != EntryKind::Directory)?;
        found.map_or_else(|| self.fresh(u), |entry| Ok(entry.place.clone()))
    }

    /// Another name in the same directory, or the same name elsewhere on the mount.
    fn beside(&self, u: &mut Unstructured<'_>, place: &Place) -> Result<Place> {
        let path = place.path.as_slice();
        let slash = path.iter().rposition(|&byte| byte == b'/');
        let directory = Place { base: place.base.clone(), path: Bytes::from(&path[..slash.unwrap_or(0)]) };
        if u.ratio(2, 3)? { Ok(below(&directory, self.swarm.name(u)?)) } else { self.fresh(u) }
    }

    /// Where a symbolic link leads: names, up, absolute, nowhere.
    fn target(&self, u: &mut Unstructured<'_>) -> Result<Bytes> {
        let name = self.swarm.name(u)?;
        let prefix: &[u8] = u.choose(&[&b""[..], b"../", b"/", b"./", b"../../", b"no/"])?;
        Ok(Bytes([prefix, name].concat()))
    }
}
