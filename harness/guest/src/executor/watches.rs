//! Steps that make instances of epoll, inotify and fanotify.

use std::io;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use scenarios::Step;
use scenarios::program::Mark;

use super::world::World;
use crate::sys::{FanotifyGroup, FanotifyMark};

pub(super) fn carry_out(world: &mut World, step: &Step) -> io::Result<()> {
    match step {
        Step::Epoll { name, of } => {
            let epoll = Epoll::new(EpollCreateFlags::empty())?;
            for object in of {
                // What it is called by does not matter, but must come back.
                let data = u64::try_from(world.descriptor(object)?).map_err(io::Error::other)? + 1000;
                epoll.add(world.borrow(object)?, EpollEvent::new(EpollFlags::EPOLLIN, data))?;
            }
            world.keep(name, epoll.0)
        }
        Step::Inotify { name, at } => {
            let group = Inotify::init(InitFlags::IN_NONBLOCK)?;
            for place in at {
                let path = world.path_in_proc(place)?;
                let events = AddWatchFlags::IN_ATTRIB | AddWatchFlags::IN_MODIFY;
                world.in_proc(|| Ok(group.add_watch(path.as_c_str(), events)?))?;
            }
            world.keep(name, group.into())
        }
        Step::Fanotify { name, mark, at } => {
            const REPORT_FID: u32 = 0x200;
            const CLOSE_WRITE: u64 = 0x8;
            let group = FanotifyGroup::new(REPORT_FID, libc::O_RDONLY.cast_unsigned())?;
            let path = world.path_in_proc(at)?;
            let mark = match mark {
                Mark::Inode => FanotifyMark::Inode,
                Mark::Mount => FanotifyMark::Mount,
                Mark::Filesystem => FanotifyMark::Filesystem,
            };
            world.in_proc(|| group.mark(mark, 0, CLOSE_WRITE, &path))?;
            world.keep(name, group.into())
        }
        _ => unreachable!("the caller sends these only"),
    }
}
