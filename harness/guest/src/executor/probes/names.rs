//! Directories as places for names: where a file appears that is made from an object, with which
//! mode and owner; what can be renamed and linked from one object to another. rename(2) and link(2)
//! tell two mounts of one filesystem apart (`EXDEV`) on every kernel.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::fcntl::{AtFlags, OFlag, open, openat, renameat};
use nix::sys::stat::{Mode, fstatat};
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};
use protocol::observation::FileKind;
use protocol::probe::ProbeGroup::Names;

use super::{Outcomes, Subject, done, list, text};
use crate::observe::{names_below, status};
use crate::sys::set_apart;

/// What the names of all files begin with that a probe makes.
const PREFIX: &str = ".zdtm-probe-";

/// Files are linked into so many directories, the first ones.
const LINKED_INTO: usize = 4;

pub(super) fn probe(subjects: &[Subject], top: &str, outcomes: &mut Outcomes) -> io::Result<()> {
    let directory = |subject: &'_ Subject| subject.fd_of(FileKind::Directory).is_some();
    let places: Vec<Place<'_>> =
        subjects.iter().filter(|subject| directory(subject)).enumerate().map(Place::new).collect();
    let made: Vec<&Place<'_>> = places.iter().filter(|place| place.make(outcomes)).collect();
    where_they_are(&places, &made, top, outcomes)?;
    for (index, place) in made.iter().enumerate() {
        let Some(next) = made.get((index + 1) % made.len()).filter(|next| next.name != place.name) else { continue };
        let aside = format!("{}moved", place.name);
        let moved = renameat(place.fd, place.name.as_str(), next.fd, aside.as_str());
        if moved.is_ok() {
            let _ = renameat(next.fd, aside.as_str(), place.fd, place.name.as_str());
        }
        outcomes.add(Names, place.of, format!("rename from there to {}", next.of), done(moved));
    }
    for place in &made {
        let removed = unlinkat(place.fd, place.name.as_str(), UnlinkatFlags::NoRemoveDir);
        outcomes.add(Names, place.of, "remove a file there", done(removed));
    }
    for file in subjects {
        let Some(fd) = file.fd_of(FileKind::File) else { continue };
        for place in places.iter().take(LINKED_INTO) {
            let name = format!("{PREFIX}link");
            let linked = linkat(fd, "", place.fd, name.as_str(), AtFlags::AT_EMPTY_PATH);
            if linked.is_ok() {
                unlinkat(place.fd, name.as_str(), UnlinkatFlags::NoRemoveDir)?;
            }
            outcomes.add(Names, &file.name, format!("link into {}", place.of), done(linked));
        }
    }
    Ok(())
}

/// A directory in which a file is made.
struct Place<'a> {
    /// The object's name.
    of: &'a str,
    fd: BorrowedFd<'a>,
    /// The file's name.
    name: String,
}

impl<'a> Place<'a> {
    fn new((index, subject): (usize, &'a Subject)) -> Self {
        let fd = subject.fd_of(FileKind::Directory).expect("places are directories");
        Place { of: &subject.name, fd, name: format!("{PREFIX}{index}") }
    }

    /// Makes the file; whether it is there.
    fn make(&self, outcomes: &mut Outcomes) -> bool {
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR | OFlag::O_CLOEXEC;
        let file = openat(self.fd, self.name.as_str(), flags, Mode::from_bits_truncate(0o666));
        outcomes.add(Names, self.of, "make a file there", done(file.as_ref().map_err(|&errno| errno)));
        let Ok(file) = file else { return false };
        let seen = text(status(file.as_fd()), |status| {
            format!("mode {:04o}, owner {}:{}", status.mode, status.uid, status.gid)
        });
        outcomes.add(Names, self.of, "mode and owner of a file made there", seen);
        true
    }
}

/// From which objects and by which paths each file is found.
fn where_they_are(places: &[Place<'_>], made: &[&Place<'_>], top: &str, outcomes: &mut Outcomes) -> io::Result<()> {
    if made.is_empty() {
        return Ok(());
    }
    let root = set_apart(open("/", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?)?;
    let names = names_below(root.as_fd(), top).unwrap_or_default();
    for place in made {
        let seen_from =
            |other: &&Place<'_>| fstatat(other.fd, place.name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW).is_ok();
        let objects: Vec<&str> = places.iter().filter(seen_from).map(|other| other.of).collect();
        let is_its = |path: &&protocol::observation::TreeEntry| {
            path.path.as_slice().rsplit(|&byte| byte == b'/').next() == Some(place.name.as_bytes())
        };
        let paths: Vec<_> = names.iter().filter(is_its).map(|entry| entry.path.clone()).collect();
        outcomes.add(Names, place.of, "objects that show a file made there", list(&objects));
        outcomes.add(Names, place.of, "paths of a file made there", list(&paths));
    }
    Ok(())
}
