//! What objects have besides a file: flags, position, locks, the bytes in a pipe, memory, and what
//! they share.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;

use nix::fcntl::{AtFlags, OFlag, openat};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{Mode, fstatat};
use nix::unistd::pipe2;
use protocol::Fault;
use protocol::observation::{FileKind, Object, ObjectId};
use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, tee};
use scenarios::Bytes;

use super::super::checkpoint::{DescriptionImage, DescriptorImage, LockImage, LockKind, MappingImage, ProcessImage};
use super::object::CapturedObject;
use super::refusal::Cause;
use super::{Capture, watches};
use crate::observe;
use crate::observe::maps::Area;
use crate::sys;

/// More than this a pipe does not hold by itself, in bytes (pipe(7)).
const PIPE_LIMIT: usize = 64 << 10;

impl Capture<'_> {
    /// What an object other than a descriptor has besides its file.
    pub(super) fn state(&mut self, captured: &CapturedObject, file: usize) -> Result<(), Cause> {
        match (captured.object, &captured.mapping) {
            (Object::Cwd, _) => self.image(captured).cwd = file,
            (Object::Root, _) => self.image(captured).root = file,
            (Object::Map(_), Some(range)) => {
                let mapping = self.mapping(captured, range, file).map_err(Cause::of("reading its memory"))?;
                self.image(captured).mappings.push(mapping);
            }
            _ => {}
        }
        Ok(())
    }

    fn image(&mut self, captured: &CapturedObject) -> &mut ProcessImage {
        &mut self.checkpoint.processes[captured.process as usize]
    }

    fn pid(&self, captured: &CapturedObject) -> i32 {
        self.pids[captured.process as usize]
    }

    /// Descriptors, also those in flight, and which of them are one description (kcmp(2)): the
    /// description of each.
    pub(super) fn descriptors(
        &mut self,
        objects: &[CapturedObject],
        files: &BTreeMap<ObjectId, usize>,
    ) -> Result<BTreeMap<ObjectId, usize>, Cause> {
        let mut first_of: Vec<sys::DescriptorOf> = Vec::new();
        let mut descriptions = BTreeMap::new();
        for captured in objects {
            let (Some(descriptor), Some(&file)) = (&captured.descriptor, files.get(&captured.id())) else { continue };
            let number = match (captured.object, &captured.held) {
                (Object::Fd(number), _) => (self.pid(captured), number),
                (_, Some(held)) => (std::process::id().cast_signed(), held.as_raw_fd()),
                _ => continue,
            };
            let flags = descriptor.flags.cast_signed();
            let mut shared = None;
            for (index, &other) in first_of.iter().enumerate() {
                if self.is_shared(number, other, file, index)? {
                    shared = Some(index);
                }
            }
            let description = match shared {
                Some(index) => index,
                None => {
                    first_of.push(number);
                    let (owner, signal) = self.signals(number, flags)?;
                    let description = DescriptionImage {
                        file,
                        flags: flags & !libc::O_CLOEXEC,
                        position: descriptor.position,
                        // A socket has none; it counts what is in flight there.
                        locks: match captured.socket.is_some() || watches::has_watches(captured) {
                            true => Vec::new(),
                            false => self.locks(&descriptor.details)?,
                        },
                        owner,
                        signal,
                        pipe: self.pipe(captured, flags).map_err(Cause::of("reading its pipe"))?,
                        waits_for_writer: waits_for_writer(captured, number, flags)
                            .map_err(Cause::of("polling its pipe"))?,
                        ..DescriptionImage::default()
                    };
                    self.checkpoint.descriptions.push(description);
                    first_of.len() - 1
                }
            };
            descriptions.insert(captured.id(), description);
            if let Object::Fd(number) = captured.object {
                let cloexec = flags & libc::O_CLOEXEC != 0;
                self.image(captured).descriptors.push(DescriptorImage { number, description, cloexec });
            }
        }
        self.sockets(objects, &descriptions)?;
        self.watches(objects, &descriptions)?;
        Ok(descriptions)
    }

    /// A lock of the process is not captured where there are several: whose it is, fdinfo says by a
    /// number only.
    fn locks(&self, details: &[Bytes]) -> Result<Vec<LockImage>, Cause> {
        let locks = locks(details)?;
        if self.pids.len() > 1 && locks.iter().any(|lock| lock.kind == LockKind::Posix) {
            return Err(Cause::Unsupported("a POSIX lock of one of several processes".to_owned()));
        }
        Ok(locks)
    }

    /// Who gets the signals of a description, and which. An owner is one that the first process can
    /// make itself.
    fn signals(&self, (pid, number): sys::DescriptorOf, flags: i32) -> Result<(Option<usize>, i32), Cause> {
        if flags & libc::O_PATH != 0 {
            return Ok((None, 0));
        }
        let ask = || -> io::Result<(i32, i32)> {
            let copy = sys::descriptor_of((pid, number))?;
            Ok((sys::signal_owner(copy.as_raw_fd())?, sys::signal_of(copy.as_raw_fd())?))
        };
        let (owner, signal) = ask().map_err(Cause::of("asking for the owner of its signals"))?;
        match owner {
            0 => Ok((None, signal)),
            owner if self.pids.first() == Some(&owner) => Ok((Some(0), signal)),
            _ => Err(Cause::Unsupported("signals that another process gets".to_owned())),
        }
    }

    fn is_shared(
        &self,
        one: sys::DescriptorOf,
        other: sys::DescriptorOf,
        file: usize,
        description: usize,
    ) -> Result<bool, Cause> {
        match self.options.fault {
            Some(Fault::SplitDescription) => return Ok(false),
            Some(Fault::SplitBetweenProcesses) if one.0 != other.0 => return Ok(false),
            Some(Fault::MergedDescriptions) => return Ok(self.checkpoint.descriptions[description].file == file),
            _ => {}
        }
        // One description is of one file; to ask the kernel about each pair takes long where there
        // are many.
        if self.checkpoint.descriptions[description].file != file {
            return Ok(false);
        }
        Ok(sys::kcmp_file(one, other).map_err(Cause::of("kcmp"))?.is_eq())
    }

    fn mapping(&self, captured: &CapturedObject, range: &Area, file: usize) -> io::Result<MappingImage> {
        let letter = |index: usize, letter: u8| range.permissions.as_bytes().get(index) == Some(&letter);
        let bit = |index, sign, bit| if letter(index, sign) { bit } else { 0 };
        let protection = bit(0, b'r', libc::PROT_READ) | bit(1, b'w', libc::PROT_WRITE) | bit(2, b'x', libc::PROT_EXEC);
        let shared = letter(3, b's');
        let memory = if shared { None } else { self.changed_memory(captured, range)? };
        let (start, length, offset) = (range.start, range.length, range.offset.cast_signed());
        let writable = self.is_open_for_writing(captured)?;
        Ok(MappingImage { start, length, protection, shared, writable, offset, file, memory })
    }

    /// Whether the file of a mapping is open for writing: the mode of its link in `map_files` says
    /// it (`proc_map_files_instantiate`, fs/proc/base.c).
    fn is_open_for_writing(&self, captured: &CapturedObject) -> io::Result<bool> {
        let link = fstatat(self.proc, captured.magic.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
        Ok(Mode::from_bits_truncate(link.st_mode).contains(Mode::S_IWUSR))
    }

    /// The memory of a private mapping as far as the file reaches, where the process has written to
    /// it.
    fn changed_memory(&self, captured: &CapturedObject, range: &Area) -> io::Result<Option<Bytes>> {
        let rest = captured.status.size.saturating_sub(range.offset).min(range.length);
        let memory = observe::read_memory(self.proc, &self.pid(captured).to_string(), range.start, rest)?;
        let mut content = vec![0; memory.len()];
        let file = openat(self.proc, captured.magic.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        File::from(file).read_exact_at(&mut content, range.offset)?;
        Ok((memory != content).then(|| memory.into()))
    }

    /// What a named pipe holds, without taking it out.
    fn pipe(&self, captured: &CapturedObject, flags: i32) -> io::Result<Bytes> {
        if captured.status.kind != FileKind::Fifo || flags & libc::O_PATH != 0 {
            return Ok(Bytes::default());
        }
        let reading = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let from = openat(self.proc, captured.magic.as_str(), reading, Mode::empty())?;
        let (copy, to) = pipe2(OFlag::O_CLOEXEC)?;
        match tee(&from, &to, PIPE_LIMIT, SpliceFlags::NONBLOCK) {
            Ok(_) => {}
            Err(Errno::AGAIN) => return Ok(Bytes::default()),
            Err(error) => return Err(error.into()),
        }
        drop(to);
        let mut bytes = Vec::new();
        File::from(copy).read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }
}

/// Whether it is a reader of a named pipe that was opened without a writer, and has seen none since
/// (`fifo_open` and `pipe_poll` in fs/pipe.c).
fn waits_for_writer(captured: &CapturedObject, number: sys::DescriptorOf, flags: i32) -> io::Result<bool> {
    let reads_only = flags & (libc::O_ACCMODE | libc::O_PATH | libc::O_NONBLOCK) == libc::O_RDONLY | libc::O_NONBLOCK;
    if captured.status.kind != FileKind::Fifo || !reads_only {
        return Ok(false);
    }
    let copy = sys::descriptor_of(number)?;
    let mut polled = [PollFd::new(copy.as_fd(), PollFlags::POLLIN)];
    Ok(poll(&mut polled, PollTimeout::ZERO)? == 0)
}

/// `lock:\t1: POSIX  ADVISORY  WRITE 7 00:1c:2 0 EOF` (proc_locks(5)).
fn locks(details: &[Bytes]) -> Result<Vec<LockImage>, Cause> {
    details.iter().map(|line| lock(&line.to_string()).ok_or_else(|| unknown(line))).collect()
}

fn unknown(line: &Bytes) -> Cause {
    Cause::Unsupported(format!("the state {line:?}"))
}

fn lock(line: &str) -> Option<LockImage> {
    // The text form of bytes writes the tab behind the colon as an escape.
    let words: Vec<&str> = line.strip_prefix("lock:\\t")?.split_ascii_whitespace().collect();
    let kind = match *words.get(1)? {
        "POSIX" => LockKind::Posix,
        "OFDLCK" => LockKind::Ofd,
        "FLOCK" => LockKind::Flock,
        "LEASE" => LockKind::Lease,
        _ => return None,
    };
    let write = *words.get(3)? == "WRITE";
    let start = words.get(6)?.parse().ok()?;
    let length = match *words.get(7)? {
        "EOF" => 0,
        end => end.parse::<i64>().ok()? - start + 1,
    };
    Some(LockImage { kind, write, start, length })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_read() {
        let line = Bytes::from("lock:\t1: OFDLCK ADVISORY  READ -1 00:1c:2 5 9");
        let expected = LockImage { kind: LockKind::Ofd, write: false, start: 5, length: 5 };
        assert_eq!(locks(&[line]).unwrap(), [expected]);
        assert!(locks(&[Bytes::from("inotify wd:1")]).is_err());
    }
}
