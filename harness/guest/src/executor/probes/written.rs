//! Regular files: what is written through one object is read through all others of the file, and by
//! its names; what is written by a name is read through the objects.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{Whence, lseek, write};
use protocol::observation::{FileId, FileKind, Object, Outcome, TreeEntry};
use protocol::probe::ProbeGroup::Written;
use scenarios::Bytes;

use super::{Outcomes, Subject, done, text};
use crate::observe::{hash, names_below, own_procfs, read_own_shared_mapping, status};
use crate::sys::set_apart;

/// So much of a file is read; programs write less.
const READ_LIMIT: u64 = 1 << 20;
/// So much at a time.
const READ_SIZE: usize = 64 << 10;
/// Enough for every filesystem and disk.
const ALIGNMENT: usize = 4096;

pub(super) fn probe(subjects: &[Subject], top: &str, outcomes: &mut Outcomes) -> io::Result<()> {
    let mut files = Vec::new();
    for (index, subject) in subjects.iter().enumerate() {
        let Some(fd) = subject.fd_of(FileKind::File) else { continue };
        files.push(status(fd)?.file);
        let line = format!("probe {index}\n");
        let written = write(fd, line.as_bytes()).and_then(|_| lseek(fd, 0, Whence::SeekCur));
        outcomes.add(Written, &subject.name, "write a line", text(written, |position| format!("then at {position}")));
    }
    if files.is_empty() {
        return Ok(());
    }
    let root = set_apart(nix::fcntl::open("/", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?)?;
    let Ok(names) = names_below(root.as_fd(), top) else {
        // The program went where its top directory cannot be reached.
        read_all(subjects, "read", outcomes);
        return Ok(());
    };
    let names = names.iter().filter(|entry| is_one_of(entry, &files));
    let names: Vec<(String, Vec<u8>)> =
        names.map(|entry| (entry.path.to_string(), below_root(top, &entry.path))).collect();
    for (name, path) in &names {
        let content = open_again(root.as_fd(), path, OFlag::O_RDONLY).and_then(|file| read(file.as_fd()));
        outcomes.add(Written, name, "read by this name", content_text(content));
    }
    read_all(subjects, "read", outcomes);
    for (name, path) in &names {
        let file = open_again(root.as_fd(), path, OFlag::O_WRONLY | OFlag::O_APPEND);
        let appended = file.and_then(|file| Ok(write(file, b"appended\n")?));
        outcomes.add(Written, name, "append a line by this name", done(appended));
    }
    if !names.is_empty() {
        read_all(subjects, "read after the append", outcomes);
    }
    Ok(())
}

/// A path below the top directory, from the root.
fn below_root(top: &str, path: &Bytes) -> Vec<u8> {
    let whole = [top.trim_matches('/').as_bytes(), path.as_slice()].join(&b'/');
    whole.strip_prefix(b"/").map(<[u8]>::to_vec).unwrap_or(whole)
}

fn is_one_of(entry: &TreeEntry, files: &[FileId]) -> bool {
    matches!(&entry.status, Outcome::Ok(status) if status.kind == FileKind::File && files.contains(&status.file))
}

/// A lease makes it fail instead of wait (fcntl(2)).
fn open_again(root: BorrowedFd<'_>, path: &[u8], flags: OFlag) -> io::Result<OwnedFd> {
    Ok(openat(root, path, flags | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// What each object shows of its file.
fn read_all(subjects: &[Subject], what: &str, outcomes: &mut Outcomes) {
    for subject in subjects {
        let bytes = match subject.object {
            Object::Fd(_) => match subject.fd_of(FileKind::File) {
                Some(fd) => read(fd),
                None => continue,
            },
            // What is written to a file does not reach a private mapping for sure (mmap(2)).
            Object::Map(start) => match own_procfs().and_then(|proc| read_own_shared_mapping(proc.as_fd(), start)) {
                Ok(None) => continue,
                Ok(Some(memory)) => Ok(memory),
                Err(error) => Err(error),
            },
            _ => continue,
        };
        outcomes.add(Written, &subject.name, what, content_text(bytes));
    }
}

fn read(fd: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let file = File::from(fd.try_clone_to_owned()?);
    // With O_DIRECT the address must be aligned (open(2)): it must not depend on where memory was
    // free in this process.
    let mut room = vec![0; READ_SIZE + ALIGNMENT];
    let start = room.as_ptr().align_offset(ALIGNMENT);
    let bytes = &mut room[start..start + READ_SIZE];
    let mut all = Vec::new();
    while all.len() < READ_LIMIT as usize {
        match file.read_at(bytes, all.len() as u64)? {
            0 => break,
            count => all.extend_from_slice(&bytes[..count]),
        }
    }
    Ok(all)
}

/// Length and digest, or an error's name.
pub(super) fn content_text(bytes: io::Result<Vec<u8>>) -> String {
    let content = bytes.and_then(|bytes| hash(&mut bytes.as_slice()));
    text(content, |content| format!("{} bytes, sha256 {}", content.length, content.sha256))
}
