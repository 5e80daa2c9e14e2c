//! Instances of epoll, inotify and fanotify. Files are watched as soon as all are open; an epoll
//! set is filled in the process, when its descriptors have their numbers.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use protocol::Fault;
use rustix::fs::inotify;

use super::super::checkpoint::{Checkpoint, MarkImage, TargetImage, WatchImage, WatchesImage};
use super::super::private_mount_ns::{in_proc, look_at};
use super::super::table::join;
use super::mounts::RestoreContext;
use super::{Failure, Opened, Options, at, missing, wrong};
use crate::observe;
use crate::sys::{FanotifyGroup, set_apart};

/// Makes the instances of a checkpoint; those of epoll watch nothing yet.
pub(super) fn make(context: &RestoreContext<'_>, opened: &mut Opened) -> Result<(), Failure> {
    for (index, description) in context.checkpoint.descriptions.iter().enumerate() {
        let Some(watches) = &description.watches else { continue };
        let fd = match watches {
            WatchesImage::Epoll(_) => {
                Epoll::new(EpollCreateFlags::empty()).map(|epoll| epoll.0).map_err(at("epoll"))?
            }
            WatchesImage::Inotify(watches) => watched(context, opened, watches)?,
            WatchesImage::Fanotify { flags, event_flags, marks } => {
                marked(context, opened, (*flags, *event_flags), marks)?
            }
        };
        let flags = OFlag::from_bits_retain(description.flags);
        fcntl(&fd, FcntlArg::F_SETFL(flags)).map_err(at("the flags of a watch"))?;
        opened.descriptions[index] = Some(set_apart(fd).map_err(at("a descriptor"))?);
    }
    Ok(())
}

fn watched(context: &RestoreContext<'_>, opened: &Opened, watches: &[WatchImage]) -> Result<OwnedFd, Failure> {
    let group = inotify::init(inotify::CreateFlags::empty()).map_err(at("inotify"))?;
    if context.options.fault == Some(Fault::WatchLost) {
        return Ok(group);
    }
    for watch in watches {
        let what = || format!("watch {} of inotify", watch.number);
        let target = target(context, opened, &watch.target)?;
        let path = format!("self/fd/{}", target.as_raw_fd());
        let events = inotify::WatchFlags::from_bits_retain(watch.events);
        let add = || loop {
            let number = inotify::add_watch(&group, path.as_str(), events)?;
            // The numbers go up, whatever is removed (`idr_alloc_cyclic` in fs/notify/inotify).
            if number == watch.number {
                return Ok(());
            }
            if number > watch.number {
                return Err(io::Error::other(format!("it would have number {number}")));
            }
            inotify::remove_watch(&group, number)?;
        };
        in_proc(context.proc, add).map_err(at(what()))?;
    }
    Ok(group)
}

fn marked(
    context: &RestoreContext<'_>,
    opened: &Opened,
    (flags, event_flags): (u32, u32),
    marks: &[MarkImage],
) -> Result<OwnedFd, Failure> {
    let group = FanotifyGroup::new(flags, event_flags).map_err(at("fanotify"))?;
    for mark in marks.iter().filter(|_| context.options.fault != Some(Fault::MarkLost)) {
        let target = target(context, opened, &mark.target)?;
        let path = CString::new(format!("self/fd/{}", target.as_raw_fd())).map_err(at("a mark of fanotify"))?;
        in_proc(context.proc, || group.mark(mark.mark, mark.flags, mark.events, &path))
            .map_err(at("a mark of fanotify"))?;
    }
    Ok(group.into())
}

/// A descriptor of what is watched.
fn target(context: &RestoreContext<'_>, opened: &Opened, image: &TargetImage) -> Result<OwnedFd, Failure> {
    let (mount, path, file) = match image {
        TargetImage::Description(index) => {
            let fd = opened.descriptions[*index].as_ref().ok_or_else(|| missing("a watched file"))?;
            return set_apart(fd).map_err(at("a descriptor"));
        }
        TargetImage::Path { mount, path, file } => (*mount, path, *file),
    };
    let opener = context.opener(mount)?;
    let found = || {
        let fd = look_at(opener.root.as_fd(), &join(&opener.prefix, path))?;
        match observe::status(fd.as_fd())?.file == file {
            true => set_apart(fd),
            false => Err(io::Error::other("another file stands under its path now")),
        }
    };
    found().map_err(at(format!("a watched file, {path:?}")))
}

/// Fills the epoll sets of this process; all descriptors have their numbers.
pub(super) fn fill(checkpoint: &Checkpoint, options: Options, given: &[Vec<OwnedFd>]) -> Result<(), Failure> {
    let numbered =
        |number: i32| given.iter().flatten().map(AsFd::as_fd).find(|fd: &BorrowedFd<'_>| fd.as_raw_fd() == number);
    for (description, descriptors) in checkpoint.descriptions.iter().zip(given) {
        let (Some(WatchesImage::Epoll(polls)), Some(fd)) = (&description.watches, descriptors.first()) else {
            continue;
        };
        let epoll = Epoll(fd.try_clone().map_err(at("a descriptor"))?);
        for poll in polls.iter().filter(|_| options.fault != Some(Fault::EpollEmptied)) {
            let watched = numbered(poll.number).ok_or_else(|| missing("a descriptor of an epoll set"))?;
            let event = EpollEvent::new(EpollFlags::from_bits_retain(poll.events.cast_signed()), poll.data);
            match options.fault {
                Some(Fault::PollOfOtherEnd) => wrong::add_other_end(&epoll, watched, event, given),
                _ => epoll.add(watched, event).map_err(Into::into),
            }
            .map_err(at::<io::Error>(format!("fd {} in epoll", poll.number)))?;
        }
    }
    Ok(())
}
