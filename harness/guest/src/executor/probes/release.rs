//! The end: when everything is closed and unmounted that can be, what was there is gone. A
//! reference that a restore left behind keeps a filesystem alive that no mount table shows.
//!
//! A watch (inotify(7)) sees it. It keeps neither a mount nor a filesystem: with the filesystem it
//! ends, which the event `IN_UNMOUNT` tells.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use nix::sys::stat::Mode;
use nix::unistd::{close, fchdir};
use protocol::observation::Object;
use protocol::probe::ProbeGroup::Release;

use super::{Outcomes, Subject, busy, text};
use crate::observe::{Made, own_procfs};
use crate::sys::{self, set_apart};

/// In a process that is not the one to look: closes everything, so that what is gone then can be
/// seen from there.
pub(super) fn let_go(made: &[Made]) -> io::Result<()> {
    if has_in_flight(made) { Ok(()) } else { close_all(made, &own_procfs()?) }
}

fn has_in_flight(made: &[Made]) -> bool {
    made.iter().any(|made| matches!(made.object, Object::InFlight { .. }))
}

/// Closes and unmaps. The working directory is on a procfs afterwards.
fn close_all(made: &[Made], proc: &OwnedFd) -> io::Result<()> {
    fchdir(proc)?;
    for made in made {
        match made.object {
            Object::Fd(number) => close(number)?,
            Object::Map(start) => sys::unmap_page(start)?,
            Object::Cwd | Object::Root | Object::Exe | Object::InFlight { .. } => {}
        }
    }
    Ok(())
}

/// Watches that wait for the end of what the process holds.
pub(super) struct Watches {
    group: Inotify,
    proc: OwnedFd,
    watched: Vec<(String, nix::Result<WatchDescriptor>)>,
}

impl Watches {
    /// Of all objects that have a descriptor; `None` where the end may come later: descriptors in
    /// flight are freed by a thread of the kernel (`unix_gc`, net/unix/garbage.c).
    pub(super) fn new(made: &[Made], subjects: &[Subject]) -> io::Result<Option<Self>> {
        if has_in_flight(made) {
            return Ok(None);
        }
        let group = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let proc = own_procfs()?;
        let before = set_apart(open(".", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?)?;
        fchdir(&proc)?;
        let watch = |fd: BorrowedFd<'_>| {
            let path = format!("self/fd/{}", fd.as_raw_fd());
            group.add_watch(path.as_str(), AddWatchFlags::IN_DELETE_SELF)
        };
        let with_fd = subjects.iter().filter_map(|subject| Some((subject.name.clone(), subject.fd.as_ref()?)));
        let watched = with_fd.map(|(name, fd)| (name, watch(fd.as_fd()))).collect();
        fchdir(before)?;
        Ok(Some(Self { group, proc, watched }))
    }

    /// Closes, unmaps and unmounts; what is gone then. The working directory is on a procfs
    /// afterwards.
    pub(super) fn release(self, made: &[Made], top: &str, outcomes: &mut Outcomes) -> io::Result<()> {
        close_all(made, &self.proc)?;
        busy::unmount_all(top)?;
        let events = match self.group.read_events() {
            Err(Errno::EAGAIN) => Vec::new(),
            events => events?,
        };
        for (name, watch) in self.watched {
            let outcome = text(watch, |watch| {
                let seen = |flag| events.iter().any(|event| event.wd == watch && event.mask.contains(flag));
                let end = if seen(AddWatchFlags::IN_UNMOUNT) {
                    "its filesystem is gone"
                } else if seen(AddWatchFlags::IN_DELETE_SELF) {
                    "it is gone, its filesystem is not"
                } else {
                    "it stays"
                };
                end.to_owned()
            });
            outcomes.add(Release, &name, "close and unmount everything", outcome);
        }
        Ok(())
    }
}
