//! Instances of epoll, inotify and fanotify. fdinfo has what they watch: a file by device and inode
//! number (proc_pid_fdinfo(5)), without a path and without the mount that it was found on.
//!
//! A watched file that the process has open is found by its descriptor. Any other is searched for
//! below the visible mounts of its filesystem.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use nix::sys::stat::makedev;
use protocol::observation::{FileId, Mount, Object, ObjectId};
use scenarios::Bytes;

use super::super::checkpoint::{MarkImage, MountImage, NameImage, PollImage, TargetImage, WatchImage, WatchesImage};
use super::Capture;
use super::entry::walk;
use super::object::CapturedObject;
use super::refusal::Cause;
use crate::observe;
use crate::sys::FanotifyMark;

/// The link texts of the instances (fs/eventpoll.c, fs/notify).
const EPOLL: &[u8] = b"anon_inode:[eventpoll]";
const INOTIFY: &[u8] = b"anon_inode:inotify";
const FANOTIFY: &[u8] = b"anon_inode:[fanotify]";

/// Whether it is an instance of epoll, inotify or fanotify.
pub(super) fn has_watches(captured: &CapturedObject) -> bool {
    [EPOLL, INOTIFY, FANOTIFY].contains(&captured.link.as_slice())
}

/// A line of `key:value` words.
struct Line<'a>(Vec<&'a str>);

impl Line<'_> {
    fn hex(&self, key: &str) -> Option<u64> {
        let word = self.0.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix(':'))?;
        u64::from_str_radix(word, 16).ok()
    }

    fn hex_32(&self, key: &str) -> Option<u32> {
        u32::try_from(self.hex(key)?).ok()
    }

    /// The word behind this one.
    fn behind(&self, key: &str) -> Option<&str> {
        let at = self.0.iter().position(|word| *word == key)?;
        self.0.get(at + 1).copied()
    }

    /// Device, in the kernel's own form with 20 bits of minor, and inode.
    fn device(&self) -> Option<(u32, u32)> {
        let device = self.hex_32("sdev")?;
        Some((device >> 20, device & 0xf_ffff))
    }
}

/// `tfd:        5 events:       19 data:                5  pos:0 ino:1f sdev:34`
fn poll(line: &Line<'_>) -> Option<PollImage> {
    Some(PollImage {
        number: line.behind("tfd:")?.parse().ok()?,
        events: u32::from_str_radix(line.behind("events:")?, 16).ok()?,
        data: u64::from_str_radix(line.behind("data:")?, 16).ok()?,
    })
}

impl Capture<'_> {
    /// An instance, which has no path.
    pub(super) fn watcher(&mut self, captured: &CapturedObject) -> usize {
        self.file(captured, Bytes::default(), NameImage::Pathless { file: captured.status.file })
    }

    /// What each instance watches, once all descriptions are known.
    pub(super) fn watches(
        &mut self,
        objects: &[CapturedObject],
        descriptions: &BTreeMap<ObjectId, usize>,
    ) -> Result<(), Cause> {
        for captured in objects.iter().filter(|captured| has_watches(captured)) {
            let (Some(&index), Some(descriptor)) = (descriptions.get(&captured.id()), &captured.descriptor) else {
                continue;
            };
            if self.pids.len() > 1 {
                return Err(Cause::Unsupported("watches of one of several processes".to_owned()));
            }
            let text: Vec<String> = descriptor.details.iter().map(ToString::to_string).collect();
            let lines: Vec<Line<'_>> = text.iter().map(|line| Line(line.split_ascii_whitespace().collect())).collect();
            let known = Known { objects, descriptions };
            let watches = match captured.link.as_slice() {
                EPOLL => polls(&lines, objects),
                INOTIFY => self.inotify(&lines, known),
                _ => self.fanotify(&lines, known),
            };
            self.checkpoint.descriptions[index].watches = Some(watches?);
        }
        Ok(())
    }

    /// `inotify wd:1 ino:9e7e sdev:800013 mask:800afce ignored_mask:0 fhandle-bytes:8 ...`
    fn inotify(&mut self, lines: &[Line<'_>], known: Known<'_>) -> Result<WatchesImage, Cause> {
        let mut watches = Vec::new();
        for line in lines {
            let number = line.0.iter().find_map(|word| word.strip_prefix("wd:")?.parse().ok());
            let found = || Some((number?, line.hex_32("mask")?, line.device()?, line.hex("ino")?));
            let (number, events, device, inode) = found().ok_or_else(|| unknown(line))?;
            watches.push(WatchImage { number, events, target: self.target(device, inode, known)? });
        }
        watches.sort_by_key(|watch| watch.number);
        Ok(WatchesImage::Inotify(watches))
    }

    /// `fanotify flags:200 event-flags:0`, then a line for each mark.
    fn fanotify(&mut self, lines: &[Line<'_>], known: Known<'_>) -> Result<WatchesImage, Cause> {
        let (mut flags, mut event_flags, mut marks) = (0, 0, Vec::new());
        for line in lines {
            if let (Some(first), Some(second)) = (line.hex_32("flags"), line.hex_32("event-flags")) {
                (flags, event_flags) = (first, second);
                continue;
            }
            let found = || Some((line.hex_32("mflags")?, line.hex("mask")?));
            let (mark_flags, events) = found().ok_or_else(|| unknown(line))?;
            let (mark, target) = match (line.device(), line.hex("ino"), line.hex("mnt_id")) {
                (Some(device), Some(inode), _) => (FanotifyMark::Inode, self.target(device, inode, known)?),
                (Some(device), None, _) => (FanotifyMark::Filesystem, self.on_filesystem(device)?),
                (None, _, Some(mount)) => (FanotifyMark::Mount, self.on_mount(mount, known)?),
                _ => return Err(unknown(line)),
            };
            marks.push(MarkImage { mark, flags: mark_flags, events, target });
        }
        Ok(WatchesImage::Fanotify { flags, event_flags, marks })
    }

    /// A watched file.
    fn target(&mut self, (major, minor): (u32, u32), inode: u64, known: Known<'_>) -> Result<TargetImage, Cause> {
        let file = FileId { device: makedev(major.into(), minor.into()), inode };
        if let Some(description) = known.description(|captured| captured.status.file == file) {
            return Ok(TargetImage::Description(description));
        }
        let table = self.table;
        let shows = |mount: &&Mount| (mount.major, mount.minor) == (major, minor) && self.is_in_sight(mount.id);
        let mounts: Vec<&Mount> = table.all().iter().filter(shows).collect();
        for mount in mounts {
            let private_ns = self.private_ns(mount.id)?;
            let mut found = None;
            let visit = &mut |path: &Bytes, fd: std::os::fd::BorrowedFd<'_>, _| {
                if observe::status(fd)?.file == file {
                    found = Some(path.clone());
                }
                Ok(found.is_none())
            };
            walk(private_ns.root.as_fd(), visit).map_err(Cause::of("searching for a watched file"))?;
            if let Some(path) = found {
                return Ok(TargetImage::Path { mount: self.visible_mount(mount.id), path, file });
            }
        }
        Err(Cause::Unsupported(format!("a watch of the file with inode number {inode}, which no visible mount shows")))
    }

    fn on_filesystem(&mut self, (major, minor): (u32, u32)) -> Result<TargetImage, Cause> {
        let shows = |mount: &&Mount| (mount.major, mount.minor) == (major, minor) && self.is_in_sight(mount.id);
        let mount = self.table.all().iter().find(shows).ok_or(Cause::NoVisibleMount)?;
        self.root_of(mount.id)
    }

    fn on_mount(&mut self, mount: u64, known: Known<'_>) -> Result<TargetImage, Cause> {
        let description = known.description(|captured| captured.mount == mount);
        if description.is_none() && self.table.get(mount).is_some() {
            return if self.is_in_sight(mount) { self.root_of(mount) } else { Err(Cause::Covered) };
        }
        let nothing = || Cause::Unsupported("a mark on a detached mount without a descriptor on it".to_owned());
        description.map(TargetImage::Description).ok_or_else(nothing)
    }

    /// Whether the path of a visible mount leads to its root, and not to a mount over it.
    fn is_in_sight(&self, mount: u64) -> bool {
        self.magic_numbers.contains_key(&mount)
    }

    /// The root of a visible mount.
    fn root_of(&mut self, mount: u64) -> Result<TargetImage, Cause> {
        let private_ns = self.private_ns(mount)?;
        let status = observe::status(private_ns.root.as_fd()).map_err(Cause::of("looking at the root of a mount"))?;
        Ok(TargetImage::Path { mount: self.visible_mount(mount), path: Bytes::default(), file: status.file })
    }

    /// The index of a visible mount, noted now unless it was before.
    fn visible_mount(&mut self, id: u64) -> usize {
        let next = self.checkpoint.mounts.len();
        let index = *self.mounts.entry(id).or_insert(next);
        if index == next {
            self.checkpoint.mounts.push(MountImage::Visible { id });
        }
        index
    }
}

/// What was captured before.
#[derive(Clone, Copy)]
struct Known<'a> {
    objects: &'a [CapturedObject],
    descriptions: &'a BTreeMap<ObjectId, usize>,
}

impl Known<'_> {
    /// The description of the first descriptor for which this is true.
    fn description(&self, is_it: impl Fn(&CapturedObject) -> bool) -> Option<usize> {
        let found = self.objects.iter().filter(|captured| matches!(captured.object, Object::Fd(_)) && is_it(captured));
        found.filter_map(|captured| self.descriptions.get(&captured.id()).copied()).next()
    }
}

/// A set of epoll; every descriptor in it must still be the one that was put there.
fn polls(lines: &[Line<'_>], objects: &[CapturedObject]) -> Result<WatchesImage, Cause> {
    let mut polls = Vec::new();
    for line in lines {
        let poll = poll(line).ok_or_else(|| unknown(line))?;
        let is_same = |captured: &CapturedObject| {
            captured.object == Object::Fd(poll.number) && line.hex("ino") == Some(captured.status.file.inode)
        };
        if !objects.iter().any(is_same) {
            return Err(Cause::Unsupported("a watched descriptor that is closed".to_owned()));
        }
        polls.push(poll);
    }
    Ok(WatchesImage::Epoll(polls))
}

fn unknown(line: &Line<'_>) -> Cause {
    Cause::Unsupported(format!("the watch {:?}", line.0.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line<'_> {
        Line(text.split_ascii_whitespace().collect())
    }

    #[test]
    fn lines_are_read() {
        let set = line("tfd:        5 events:       19 data:              3ed  pos:0 ino:1f sdev:34");
        assert_eq!(poll(&set), Some(PollImage { number: 5, events: 0x19, data: 0x3ed }));
        let watch = line("inotify wd:1 ino:9e7e sdev:800013 mask:6 ignored_mask:0 fhandle-bytes:8");
        assert_eq!((watch.hex("ino"), watch.device(), watch.hex_32("mask")), (Some(0x9e7e), Some((8, 19)), Some(6)));
        assert_eq!(poll(&watch), None);
    }
}
