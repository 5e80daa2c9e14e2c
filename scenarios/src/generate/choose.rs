//! One step of a kind, with arguments that exist. Whether it can be done is for checker and
//! model to say.

use arbitrary::{Result, Unstructured};

use super::arguments::{Choice, below};
use super::{ProgramBuilder, Swarm, mounting, states};
use crate::Bytes;
use crate::grammar::{StepKind, StepKind as K};
use crate::model::{Entry, EntryKind, Survey};
use crate::program::{DeviceKind, Filesystem, ObjectName, OpenFlag, Place, Step};

/// The kind of step to make, with those of its arguments that are fixed already.
#[derive(Clone, Copy, Debug)]
pub(super) struct StepRequest {
    pub(super) kind: StepKind,
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
    /// On a mount that is attached nowhere.
    Tree,
    /// Of a memfd that can have seals.
    Sealable,
}

impl StepRequest {
    pub(super) const fn of(kind: StepKind) -> Self {
        StepRequest { kind, filesystem: None, flags: &[], at: Spot::Anywhere }
    }
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
    let made = match request.kind {
        K::Mount => mounting::mount(u, &choice, request.filesystem)?,
        K::MountAgain => return mounting::again(u, &choice),
        K::Overlay => return mounting::overlay(u, &choice),
        K::Bind => return mounting::bind(u, &choice, false),
        K::Rbind => return mounting::bind(u, &choice, true),
        K::Move => return mounting::move_mount(u, &choice),
        K::Remount => return mounting::remount(u, &choice),
        K::Propagate => mounting::propagate(u, &choice)?,
        K::Unmount => return mounting::unmount(u, &choice),
        K::UnmountLazy => return mounting::unmount_lazily(u, &choice),
        K::PivotRoot => return mounting::pivot(u, &choice),
        K::Mkdir => Step::Mkdir { at: choice.fresh(u)? },
        K::Write => return choice.write(u, request.at),
        K::Append => return choice.at(u, is_file, |u, at| Ok(Step::Append { at, bytes: text(u)? })),
        K::Truncate => return choice.at(u, is_file, |u, at| Ok(Step::Truncate { at, length: length(u, 10_000_000)? })),
        K::Symlink => Step::Symlink { target: choice.target(u)?, at: choice.fresh(u)? },
        K::Link => Step::Link { old: choice.linkable(u)?, new: choice.fresh(u)? },
        K::Rename => return choice.rename(u),
        K::Unlink => return choice.at(u, is_no_directory, |_, at| Ok(Step::Unlink { at })),
        K::Rmdir => return choice.at(u, is_removable, |_, at| Ok(Step::Rmdir { at })),
        K::Mkfifo => Step::Mkfifo { at: choice.fresh(u)? },
        K::Mksocket => Step::Mksocket { at: choice.fresh(u)? },
        K::Mknod => choice.mknod(u)?,
        K::Chmod => return choice.at(u, is_any, |u, at| Ok(Step::Chmod { at, mode: *u.choose(MODES)? })),
        K::Chown => return choice.at(u, is_any, chown),
        K::Setxattr => return choice.setxattr(u),
        K::Touch => return choice.at(u, is_any, touch),
        K::Subvolume => Step::Subvolume { at: choice.new_on_btrfs(u)? },
        K::Snapshot => return choice.snapshot(u),
        K::DeleteSubvolume => return choice.at(u, is_loose_subvolume, |_, at| Ok(Step::DeleteSubvolume { at })),
        K::Open => return choice.open(u, builder, request),
        K::Dup => return choice.dup(u, builder),
        K::Memfd | K::Epoll | K::Inotify | K::Fanotify | K::Seal | K::SetOwner | K::SetSignal | K::Lock => {
            return states::step(u, builder, &choice, request);
        }
        K::Map => return choice.map(u, builder),
        K::Socketpair => Step::Socketpair { name: builder.name("s") },
        K::Peer => return choice.of_socket(u, |_, of| Ok(Step::Peer { name: builder.name("s"), of })),
        K::Send | K::Receive => return choice.message(u, builder, request.kind),
        K::Seek => return choice.of_object(u, seek),
        K::Read => return choice.of_object(u, |u, object| Ok(Step::Read { object, length: u.int_in_range(0..=8)? })),
        K::WriteTo => return choice.of_object(u, |u, object| Ok(Step::WriteTo { object, bytes: text(u)? })),
        K::ReadEntries => return choice.of_object(u, |_, object| Ok(Step::ReadEntries { object })),
        K::Close => return choice.of_object(u, |_, object| Ok(Step::Close { object })),
        K::Chdir => return choice.at(u, is_directory, |_, at| Ok(Step::Chdir { at })),
        K::Chroot => return choice.chroot(u),
        K::UnshareMounts => Step::UnshareMounts { keep_old: u.ratio(1, 3)? },
        K::External => return choice.of_object(u, |_, object| Ok(Step::External { object })),
        K::OpenTree => return mounting::open_tree(u, &choice, builder),
        K::NewTree => mounting::new_tree(u, builder)?,
        K::Exec => Step::Exec,
        K::Fork => Step::Fork { process: builder.name("p") },
        K::As | K::Exit => return other(u, builder, request.kind),
        // Those come at the end, from what the model predicts.
        K::Assert => return Ok(None),
    };
    Ok(Some(made))
}

/// A step on another process than the one that carries out the steps, if there is one.
fn other(u: &mut Unstructured<'_>, builder: &ProgramBuilder, kind: StepKind) -> Result<Option<Step>> {
    let others: Vec<&ObjectName> = builder.checker.other_processes().collect();
    if others.is_empty() {
        return Ok(None);
    }
    let process = (*u.choose(&others)?).clone();
    Ok(Some(if kind == K::Exit { Step::Exit { process } } else { Step::As { process } }))
}

const MODES: &[u32] = &[0o644, 0, 0o6751, 0o1777, 0o700];

pub(super) fn is_any(_: &Entry) -> bool {
    true
}

fn is_file(entry: &Entry) -> bool {
    entry.kind == EntryKind::File
}

fn is_directory(entry: &Entry) -> bool {
    entry.kind == EntryKind::Directory
}

fn is_no_directory(entry: &Entry) -> bool {
    !is_directory(entry)
}

fn is_removable(entry: &Entry) -> bool {
    is_directory(entry) && entry.empty && !entry.is_mount
}

fn is_loose_subvolume(entry: &Entry) -> bool {
    entry.is_subvolume && !entry.is_mount
}

/// A small number, now and then a large one.
pub(super) fn length(u: &mut Unstructured<'_>, large: u64) -> Result<u64> {
    if u.ratio(1, 8)? { Ok(large) } else { u.int_in_range(0..=8) }
}

fn chown(u: &mut Unstructured<'_>, at: Place) -> Result<Step> {
    Ok(Step::Chown { at, uid: *u.choose(&[0, 1000])?, gid: *u.choose(&[0, 1001])? })
}

fn touch(u: &mut Unstructured<'_>, at: Place) -> Result<Step> {
    Ok(Step::Touch { at, seconds: *u.choose(&[0, 1_000_000_000])?, nanoseconds: 5 })
}

fn seek(u: &mut Unstructured<'_>, object: ObjectName) -> Result<Step> {
    Ok(Step::Seek { object, offset: length(u, 5_000_000_000)? })
}

/// Contents and attributes: short.
fn text(u: &mut Unstructured<'_>) -> Result<Bytes> {
    Ok(Bytes::from(*u.choose(&["hello", "x", "", "two\nlines", "decoy"])?))
}

impl Choice<'_> {
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
                && (request.at != Spot::Tree || !entry.attached)
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

    /// A step on an object, if there is one.
    pub(super) fn of_object(
        &self,
        u: &mut Unstructured<'_>,
        make: impl FnOnce(&mut Unstructured<'_>, ObjectName) -> Result<Step>,
    ) -> Result<Option<Step>> {
        self.one_of(u, &self.objects, make)
    }

    /// A step on a socket, if there is one.
    fn of_socket(
        &self,
        u: &mut Unstructured<'_>,
        make: impl FnOnce(&mut Unstructured<'_>, ObjectName) -> Result<Step>,
    ) -> Result<Option<Step>> {
        self.one_of(u, &self.sockets, make)
    }

    fn one_of(
        &self,
        u: &mut Unstructured<'_>,
        names: &[ObjectName],
        make: impl FnOnce(&mut Unstructured<'_>, ObjectName) -> Result<Step>,
    ) -> Result<Option<Step>> {
        if names.is_empty() {
            return Ok(None);
        }
        let name = u.choose(names)?.clone();
        make(u, name).map(Some)
    }

    /// A step on a name that is there, if one fits.
    pub(super) fn at(
        &self,
        u: &mut Unstructured<'_>,
        fits: impl Fn(&Entry) -> bool,
        make: impl FnOnce(&mut Unstructured<'_>, Place) -> Result<Step>,
    ) -> Result<Option<Step>> {
        match self.held_place(u, &fits)? {
            Some(place) => make(u, place).map(Some),
            None => Ok(None),
        }
    }

    fn dup(&self, u: &mut Unstructured<'_>, builder: &mut ProgramBuilder) -> Result<Option<Step>> {
        self.of_object(u, |u, of| Ok(Step::Dup { name: builder.name("fd"), of, cloexec: u.arbitrary()? }))
    }

    fn map(&self, u: &mut Unstructured<'_>, builder: &mut ProgramBuilder) -> Result<Option<Step>> {
        if self.objects.is_empty() {
            return Ok(None);
        }
        let of = u.choose(&self.objects)?.clone();
        let (shared, write) = (u.arbitrary()?, u.arbitrary()?);
        let privileged = self.swarm.limits.privileged;
        Ok(privileged.then(|| Step::Map { name: builder.name("map"), of, shared, write }))
    }

    /// A message is sent or received. Where another process has the socket, too, nothing is sent: a
    /// message that waits at the end has a name in every process that sees it.
    fn message(&self, u: &mut Unstructured<'_>, builder: &mut ProgramBuilder, kind: StepKind) -> Result<Option<Step>> {
        let is_free = |socket: &&ObjectName| kind == K::Receive || !builder.checker.is_shared(socket);
        let sockets: Vec<ObjectName> = self.sockets.iter().filter(is_free).cloned().collect();
        self.one_of(u, &sockets, |u, over| {
            if kind == K::Receive {
                return Ok(Step::Receive { name: builder.name("fd"), over, cloexec: u.ratio(1, 4)? });
            }
            let object = u.choose(&self.objects)?.clone();
            Ok(Step::Send { name: builder.name("sent"), over, object })
        })
    }

    fn write(&self, u: &mut Unstructured<'_>, spot: Spot) -> Result<Option<Step>> {
        let at = if spot == Spot::Subvolume {
            let found = self.held_place(u, &|entry: &Entry| entry.is_subvolume)?;
            let Some(subvolume) = found else { return Ok(None) };
            below(&subvolume, self.swarm.name(u)?)
        } else if u.ratio(1, 4)? {
            let Some(at) = self.held_place(u, &is_file)? else { return Ok(None) };
            at
        } else {
            self.fresh(u)?
        };
        Ok(Some(Step::Write { at, bytes: text(u)? }))
    }

    fn rename(&self, u: &mut Unstructured<'_>) -> Result<Option<Step>> {
        let Some(old) = self.held_place(u, &is_any)? else { return Ok(None) };
        if u.ratio(1, 3)? {
            return self.at(u, is_any, |_, new| Ok(Step::Rename { old, new }));
        }
        let new = self.beside(u, &old)?;
        Ok(Some(Step::Rename { old, new }))
    }

    fn mknod(&self, u: &mut Unstructured<'_>) -> Result<Step> {
        let (major, minor) = *u.choose(&[(1, 3), (1, 5), (42, 7), (0, 0)])?;
        Ok(Step::Mknod { at: self.fresh(u)?, kind: DeviceKind::Char, major, minor })
    }

    fn setxattr(&self, u: &mut Unstructured<'_>) -> Result<Option<Step>> {
        let disk = |entry: &Entry| entry.on_disk || entry.on_btrfs;
        let set =
            |u: &mut Unstructured<'_>, at, name| Ok(Step::Setxattr { at, name: Bytes::from(name), value: text(u)? });
        match self.held_place(u, &disk)? {
            Some(at) if u.arbitrary()? => set(u, at, "user.x").map(Some),
            _ => self.at(u, is_any, |u, at| set(u, at, "trusted.x")),
        }
    }

    fn chroot(&self, u: &mut Unstructured<'_>) -> Result<Option<Step>> {
        if u.ratio(1, 4)? {
            return Ok(Some(Step::Chroot { at: Place { base: None, path: Bytes::from(".") } }));
        }
        self.at(u, is_directory, |_, at| Ok(Step::Chroot { at }))
    }

    fn snapshot(&self, u: &mut Unstructured<'_>) -> Result<Option<Step>> {
        // Restoring the wrong one of two empty subvolumes would make no difference.
        self.at(
            u,
            |entry| entry.is_subvolume && !entry.empty,
            |u, from| Ok(Step::Snapshot { from, to: self.new_on_btrfs(u)?, read_only: u.arbitrary()? }),
        )
    }
}
