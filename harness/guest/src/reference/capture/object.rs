//! The objects of a process as they are found: each with an `O_PATH` descriptor, its link text and
//! its mount.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use protocol::observation::{Descriptor, FileStatus, Object, ObjectId};
use scenarios::Bytes;

use super::super::checkpoint::ProcessImage;
use super::super::private_mount_ns::text;
use super::flight::{self, Socket};
use crate::observe::maps::{self, Area};
use crate::observe::{self, fdinfo, link_text, path_fd, read_file};
use crate::sys;

/// An object that was found.
#[derive(Debug)]
pub struct CapturedObject {
    /// How a message calls it: `fd 3`.
    pub label: String,
    /// Whose it is, as in [`ObjectId::process`].
    pub process: u32,
    /// What it is.
    pub object: Object,
    /// Its magic link below the procfs.
    pub magic: String,
    /// The file, by `O_PATH`.
    pub fd: OwnedFd,
    /// The link text, from the reader's root.
    pub link: Bytes,
    /// The mount's ID.
    pub mount: u64,
    /// `fstat(2)`
    pub status: FileStatus,
    /// `f_type` of `fstatfs(2)`.
    pub magic_number: u64,
    /// `f_flags` of `fstatfs(2)`.
    pub mount_flags: u64,
    /// What only descriptors have.
    pub descriptor: Option<Descriptor>,
    /// What only mappings have.
    pub mapping: Option<Area>,
    /// What only Unix sockets have.
    pub socket: Option<Socket>,
    /// Of a descriptor in flight the one of this process, which the magic link leads to.
    pub held: Option<OwnedFd>,
}

impl CapturedObject {
    /// Which object of which process.
    pub fn id(&self) -> ObjectId {
        ObjectId { process: self.process, object: self.object }
    }
}

/// Descriptors, those in flight behind the socket that they wait in, working directory, root,
/// executable and file mappings of a process, in this order. `hidden` are descriptors that are not
/// the program's.
///
/// # Errors
/// What makes any observation impossible, with the object that it failed for.
pub fn objects(proc: BorrowedFd<'_>, pid: i32, hidden: &[i32]) -> io::Result<Vec<CapturedObject>> {
    let base = pid.to_string();
    let mut found = Vec::new();
    let mut look = |label: String, object, magic: String, mapping| -> io::Result<()> {
        let mut captured = see(proc, label, object, magic, mapping)?;
        let in_flight = flight::look(proc, pid, &mut captured)?;
        found.push(captured);
        found.extend(in_flight);
        Ok(())
    };
    for number in observe::numbers(proc, &base, hidden)? {
        look(format!("fd {number}"), Object::Fd(number), format!("{base}/fd/{number}"), None)?;
    }
    look("cwd".to_owned(), Object::Cwd, format!("{base}/cwd"), None)?;
    look("root directory".to_owned(), Object::Root, format!("{base}/root"), None)?;
    look("executable".to_owned(), Object::Exe, format!("{base}/exe"), None)?;
    let executable = link_text(proc, &format!("{base}/exe"))?;
    for (magic, range) in mappings(proc, &base)? {
        if link_text(proc, &magic)? != executable {
            let label = format!("mapping at {:x}", range.start);
            look(label, Object::Map(range.start), magic, Some(range))?;
        }
    }
    Ok(found)
}

/// What there is to see of an object through its magic link.
pub(super) fn see(
    proc: BorrowedFd<'_>,
    label: String,
    object: Object,
    magic: String,
    mapping: Option<Area>,
) -> io::Result<CapturedObject> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{label}: {error}"));
    let fd = path_fd(proc, &magic).map_err(named)?;
    let link = link_text(proc, &magic).map_err(named)?;
    let status = observe::status(fd.as_fd()).map_err(named)?;
    let (magic_number, mount_flags) = sys::filesystem_of(fd.as_fd()).map_err(named)?;
    let (descriptor, mount) = match object {
        Object::Fd(_) | Object::InFlight { .. } => {
            let text = read_file(proc, &magic.replace("/fd/", "/fdinfo/")).map_err(named)?;
            let (descriptor, mount) = fdinfo::parse(&text).map_err(|what| named(io::Error::other(what)))?;
            (Some(descriptor), mount)
        }
        _ => (None, sys::statx_mount_id(fd.as_fd()).map_err(named)?),
    };
    let (socket, held) = (None, None);
    Ok(CapturedObject {
        label,
        process: 0,
        object,
        magic,
        fd,
        link,
        mount,
        status,
        magic_number,
        mount_flags,
        descriptor,
        mapping,
        socket,
        held,
    })
}

/// Of each process its number, the last of those in `NSpid`, and its parent.
pub(super) fn images(proc: BorrowedFd<'_>, pids: &[i32]) -> io::Result<Vec<ProcessImage>> {
    let image = |&pid: &i32| {
        let status = text(proc, &format!("{pid}/status"))?;
        let last = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            let number = line.and_then(|line| line.split_ascii_whitespace().last()?.parse::<i32>().ok());
            number.ok_or_else(|| io::Error::other(format!("no {field} in /proc/{pid}/status")))
        };
        let parent = last("PPid:")?;
        let parent = pids.iter().position(|other| *other == parent).unwrap_or(0);
        let is_zombie = status.lines().any(|line| line.starts_with("State:\tZ"));
        let ended = if is_zombie { Some(exit_status(proc, pid)?) } else { None };
        Ok(ProcessImage { number: last("NSpid:")?, parent, ended, ..ProcessImage::default() })
    };
    pids.iter().map(image).collect()
}

/// What waitpid(2) will give: the last field of `/proc/PID/stat`.
fn exit_status(proc: BorrowedFd<'_>, pid: i32) -> io::Result<i32> {
    let stat = text(proc, &format!("{pid}/stat"))?;
    let status = stat.split_ascii_whitespace().last().and_then(|last| last.parse().ok());
    status.ok_or_else(|| io::Error::other(format!("no exit status in /proc/{pid}/stat")))
}

/// The mappings that have an entry in `map_files`: those of files.
fn mappings(proc: BorrowedFd<'_>, base: &str) -> io::Result<Vec<(String, Area)>> {
    let areas = maps::parse(&read_file(proc, &format!("{base}/maps"))?);
    let of_file = areas.into_iter().filter(|area| area.inode != 0);
    let with_link = |area: Area| (format!("{base}/map_files/{:x}-{:x}", area.start, area.start + area.length), area);
    Ok(of_file.map(with_link).collect())
}
