//! Only the files on detached mounts, for a checkpointer that saves all else of the processes and
//! takes these from outside, as criu does (`--external file[MNT:INO]`, `--inherit-fd`, criu(8)).
//! Each is known by its mount and its inode number there, and is opened again from its magic link
//! ([`crate::assist`]).

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use protocol::observation::{FileKind, Mount};
use serde::{Deserialize, Serialize};

use super::super::checkpoint::{Checkpoint, DescriptionImage, InodeSource, NameImage};
use super::super::private_mount_ns::look_at;
use super::super::table::Table;
use super::object::{self, CapturedObject};
use super::outside::Outside;
use super::refusal::{Cause, Refusal};
use super::{Capture, Options, all_objects, refuse};
use crate::observe;

/// A file that is given at the restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// The process's mount of it, `mnt_id` in fdinfo.
    pub mount: u64,
    /// Its inode number.
    pub inode: u64,
}

/// The files that are given.
#[derive(Clone, Debug)]
pub struct GivenFiles {
    /// With one description for each key, which only finds the file.
    pub checkpoint: Checkpoint,
    /// The keys, in the order of the descriptions.
    pub keys: Vec<Key>,
}

impl Key {
    fn of(captured: &CapturedObject) -> Self {
        Key { mount: captured.mount, inode: captured.status.file.inode }
    }
}

/// The files on detached mounts of the processes `pids`. `proc` and `hidden` as in
/// [`super::processes`].
///
/// # Errors
/// A refusal for every object that cannot be given; or what makes any capture impossible.
pub fn files(
    proc: BorrowedFd<'_>,
    pids: &[i32],
    hidden: &[i32],
    outside: &Outside,
) -> io::Result<Result<GivenFiles, Vec<Refusal>>> {
    let table = Table::own(proc)?;
    let processes = object::images(proc, pids)?;
    let objects = all_objects(proc, pids, &processes, hidden)?;
    let capture = Capture::new(proc, (pids, processes), &table, Options::default(), outside)?;
    let (detached, others) = objects.into_iter().partition::<Vec<_>, _>(|captured| capture.is_unlisted(captured));
    Ok(capture.given(&detached, &others))
}

impl Capture<'_> {
    fn given(mut self, detached: &[CapturedObject], others: &[CapturedObject]) -> Result<GivenFiles, Vec<Refusal>> {
        let mut refusals = self.connected(detached);
        refusals.extend(self.roots_of_open_trees(detached).map(|captured| refuse(captured, Cause::TreeIsOpen)));
        refusals.extend(
            detached
                .iter()
                .filter(|captured| is_not_followed(captured))
                .map(|captured| refuse(captured, Cause::NotFollowed)),
        );
        if !refusals.is_empty() {
            return Err(refusals);
        }
        let files = self.files(detached, &mut refusals);
        let mut keys: BTreeMap<Key, usize> = BTreeMap::new();
        for captured in detached {
            let Some(&file) = files.get(&captured.id()) else { continue };
            for key in self.keys(captured) {
                let is_visible = |other: &&CapturedObject| Key::of(other) == key;
                if *keys.entry(key).or_insert(file) != file || others.iter().any(|other| is_visible(&other)) {
                    refusals.push(refuse(captured, Cause::NotTheOnlyOne));
                    break;
                }
            }
        }
        refusals
            .extend(others.iter().filter(|other| self.is_made_again(other)).map(|other| refuse(other, Cause::Both)));
        if !refusals.is_empty() {
            return Err(refusals);
        }
        for &file in keys.values() {
            // One without a name is made by its open, which O_PATH would not do.
            let never = matches!(self.checkpoint.files[file].name, NameImage::Never { .. });
            let flags = if never { libc::O_RDWR } else { libc::O_PATH };
            self.checkpoint.descriptions.push(DescriptionImage { file, flags, ..DescriptionImage::default() });
        }
        self.checkpoint.processes.clear();
        Ok(GivenFiles { checkpoint: self.checkpoint, keys: keys.into_keys().collect() })
    }

    /// Its key; of a file on an overlay also those of the visible overlays that show the file under
    /// its link text, because criu takes it to be there (`fixup_overlayfs` in criu/files-reg.c).
    fn keys(&self, captured: &CapturedObject) -> Vec<Key> {
        let own = Key::of(captured);
        let overlays = self.table.all().iter().filter(|_| captured.magic_number == observe::OVERLAYFS);
        let shows = |mount: &&Mount| {
            let path = [mount.mount_point.as_slice(), captured.link.as_slice()].concat().into();
            let found = look_at(self.proc, &path).and_then(|fd| observe::status(fd.as_fd()));
            mount.fs_type.0 == b"overlay" && found.is_ok_and(|found| found.file == captured.status.file)
        };
        std::iter::once(own).chain(overlays.filter(shows).map(|mount| Key { mount: mount.id, ..own })).collect()
    }

    /// Whether a file that is open on a visible mount, too, would be a new one.
    fn is_made_again(&self, other: &CapturedObject) -> bool {
        let mut inodes = self.checkpoint.inodes.iter();
        inodes.any(|inode| inode.file == other.status.file && matches!(inode.source, InodeSource::Contents(_)))
    }
}

/// Whether criu could not open it again from a descriptor: it opens the magic link with the flags
/// of the old one, and with `O_NOFOLLOW` no link can be opened (`ELOOP`).
fn is_not_followed(captured: &CapturedObject) -> bool {
    let flags = captured.descriptor.as_ref().map_or(0, |descriptor| descriptor.flags.cast_signed());
    flags & libc::O_NOFOLLOW != 0 || captured.status.kind == FileKind::Symlink
}
