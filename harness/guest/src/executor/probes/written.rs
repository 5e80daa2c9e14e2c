//! Regular files: what is written through one object is read through all others of the file, and by
//! its names; what is written by a name is read through the objects.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{Whence, lseek, write};
use protocol::observation::{FileId, FileKind, Object, Outcome, TreeEntry};
use protocol::probe::ProbeGroup::Written;

use super::{Outcomes, Subject, done, text};
use crate::observe::{hash, names_below, own_procfs, read_own_shared_mapping, status};
use crate::sys::set_apart;

/// So much of a file is read; programs write less.
const READ_LIMIT: u64 = 1 << 20;

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
    for (entry, content) in names.iter().filter_map(|entry| Some((entry, entry.content.as_ref()?))) {
        if is_one_of(entry, &files) {
            let content = match content {
                Outcome::Ok(content) => content_text(&content.sha256, content.length),
                Outcome::Err(error) => error.to_string(),
            };
            outcomes.add(Written, &entry.path.to_string(), "read by this name", content);
        }
    }
    read_all(subjects, "read", outcomes);
    let mut appended = false;
    for entry in names.iter().filter(|entry| is_one_of(entry, &files)) {
        let path = [top.trim_matches('/').as_bytes(), entry.path.as_slice()].join(&b'/');
        let path = path.strip_prefix(b"/").unwrap_or(&path);
        let appending = append(root.as_fd(), path);
        outcomes.add(Written, &entry.path.to_string(), "append a line by this name", done(appending));
        appended = true;
    }
    if appended {
        read_all(subjects, "read after the append", outcomes);
    }
    Ok(())
}

fn is_one_of(entry: &TreeEntry, files: &[FileId]) -> bool {
    matches!(&entry.status, Outcome::Ok(status) if status.kind == FileKind::File && files.contains(&status.file))
}

/// A lease makes it fail instead of wait (fcntl(2)).
fn append(root: BorrowedFd<'_>, path: &[u8]) -> io::Result<()> {
    let flags = OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    write(openat(root, path, flags, Mode::empty())?, b"appended\n")?;
    Ok(())
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
        let content = bytes.and_then(|bytes| hash(&mut bytes.as_slice()));
        let content = text(content, |content| content_text(&content.sha256, content.length));
        outcomes.add(Written, &subject.name, what, content);
    }
}

fn read(fd: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let file = File::from(fd.try_clone_to_owned()?);
    let mut bytes = vec![0; 64 << 10];
    let mut all = Vec::new();
    while all.len() < READ_LIMIT as usize {
        match file.read_at(&mut bytes, all.len() as u64)? {
            0 => break,
            count => all.extend_from_slice(&bytes[..count]),
        }
    }
    Ok(all)
}

fn content_text(sha256: &str, length: u64) -> String {
    format!("{length} bytes, sha256 {sha256}")
}
