//! Opening files: each for everything that has it, on its mount, with the flags of each.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl, openat};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::Mode;
use nix::unistd::{Whence, lseek};
use protocol::observation::FileKind;
use protocol::{Fault, Lack};
use scenarios::Bytes;

use super::super::checkpoint::{DescriptionImage, InodeSource, MountImage, NameImage};
use super::super::table::{join, split};
use super::mounts::{Opener, RestoreContext};
use super::{Failure, Opened, at, inode, magic, wrong};
use crate::observe;
use crate::sys::{self, set_apart};

/// The smallest pipe holds so many bytes (fcntl(2)).
const PAGE: libc::c_int = 4096;

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// A description, by its index.
    Description(usize),
    /// A mapping, by its process and its index there.
    Mapping(usize, usize),
    /// The working directory of a process.
    Cwd(usize),
    /// The root directory of a process.
    Root(usize),
}

impl RestoreContext<'_> {
    /// Everything that has this file.
    pub(super) fn uses(&self, file: usize) -> Vec<Use> {
        let checkpoint = self.checkpoint;
        let descriptions =
            checkpoint.descriptions.iter().enumerate().filter(|(_, description)| description.file == file);
        let mut uses: Vec<Use> = descriptions.map(|(index, _)| Use::Description(index)).collect();
        let living = checkpoint.processes.iter().enumerate().filter(|(_, image)| image.ended.is_none());
        for (process, image) in living {
            let mappings = image.mappings.iter().enumerate().filter(|(_, mapping)| mapping.file == file);
            uses.extend(mappings.map(|(index, _)| Use::Mapping(process, index)));
            uses.extend((image.cwd == file).then_some(Use::Cwd(process)));
            uses.extend((image.root == file).then_some(Use::Root(process)));
        }
        uses
    }

    /// Opens a file by its name, and checks that it is the right one.
    pub(super) fn open_live(&self, file: usize, opened: &mut Opened) -> Result<(), Failure> {
        let NameImage::Live { file: expected, kind } = self.checkpoint.files[file].name else { return Ok(()) };
        for purpose in self.uses(file) {
            let fd = self.open(file, purpose, kind, opened)?;
            let found = observe::status(fd.as_fd()).map_err(at(&self.checkpoint.files[file].object))?.file;
            if found != expected && self.options.fault.is_none() {
                let error = io::Error::other("another file stands under its path now");
                return Err(Failure { what: self.checkpoint.files[file].object.clone(), error });
            }
            self.keep(opened, purpose, fd)?;
        }
        Ok(())
    }

    /// Opens the object at the path of a file, for one purpose.
    pub(super) fn open(
        &self,
        file: usize,
        purpose: Use,
        kind: FileKind,
        opened: &mut Opened,
    ) -> Result<OwnedFd, Failure> {
        let object = &self.checkpoint.files[file].object;
        let own = self.opener_for(file, purpose)?;
        let path = &self.checkpoint.files[file].path;
        let (opener, path) = match (self.given(file), &own) {
            (Some(directory), _) => (directory, split(path).1),
            (None, Some(own)) => (own, join(&own.prefix, path)),
            (None, None) => {
                let opener = self.opener(self.checkpoint.files[file].mount)?;
                (opener, join(&opener.prefix, path))
            }
        };
        let flags = self.flags(purpose);
        let anonymous = match self.options.fault {
            Some(Fault::LeftAnonymous) => path.is_empty() && flags == libc::O_PATH,
            Some(Fault::TreeDissolved) => false,
            _ => matches!(purpose, Use::Description(index) if self.checkpoint.descriptions[index].tree.is_some()),
        };
        if anonymous {
            return set_apart(&opener.root).map_err(at(object));
        }
        // While it is held open for writing, a reader would see a writer.
        let waits = self.options.fault != Some(Fault::WriterShown)
            && matches!(purpose, Use::Description(index) if self.checkpoint.descriptions[index].waits_for_writer);
        if kind == FileKind::Fifo && flags & libc::O_PATH == 0 && !waits {
            let both = OFlag::O_RDWR | OFlag::O_NONBLOCK;
            let pipe = self.open_on(opener, &path, both).map_err(at(object))?;
            self.fill(purpose, &pipe).map_err(at(object))?;
            opened.held.push(pipe);
        }
        if self.options.fault == Some(Fault::CopiedUp) && kind == FileKind::File && flags & libc::O_PATH == 0 {
            // Where it cannot be written, nothing happens.
            let _ = self.open_on(opener, &path, OFlag::O_WRONLY);
        }
        self.open_on(opener, &path, OFlag::from_bits_retain(flags)).map_err(at(object))
    }

    fn open_on(&self, opener: &Opener, path: &Bytes, flags: OFlag) -> io::Result<OwnedFd> {
        let flags = flags | OFlag::O_CLOEXEC;
        let fd = if !path.is_empty() {
            openat(&opener.root, path.as_slice(), flags, Mode::empty())?
        } else if observe::status(opener.root.as_fd())?.kind == FileKind::Directory {
            openat(&opener.root, ".", flags, Mode::empty())?
        } else if let Some(path) = opener.path.as_ref().filter(|_| flags.contains(OFlag::O_NOFOLLOW)) {
            path.open(self.proc, flags)?
        } else {
            openat(self.proc, magic(&opener.root).as_str(), flags, Mode::empty())?
        };
        set_apart(fd)
    }

    /// A mount of its own for this purpose, where a mistake wants one.
    fn opener_for(&self, file: usize, purpose: Use) -> Result<Option<Opener>, Failure> {
        let index = self.checkpoint.files[file].mount;
        let MountImage::Detached(mount) = &self.checkpoint.mounts[index] else { return Ok(None) };
        let opener = match (self.options.fault, purpose) {
            (Some(Fault::SplitMount), _) => self.another(index),
            (Some(Fault::Attached), Use::Description(_))
            | (Some(Fault::CwdAttached | Fault::Lacks(Lack::Cwd)), Use::Cwd(_))
            | (Some(Fault::RootAttached), Use::Root(_)) => wrong::attached(self, mount, false),
            (Some(Fault::OtherBind), Use::Description(_)) => wrong::attached(self, mount, true),
            _ => Ok(None),
        };
        opener.map_err(at(&self.checkpoint.files[file].object))
    }

    /// The flags that a file is opened with for a purpose.
    pub(super) fn flags(&self, purpose: Use) -> libc::c_int {
        let index = match purpose {
            Use::Description(index) => index,
            Use::Mapping(process, index) => {
                let mapping = &self.checkpoint.processes[process].mappings[index];
                let may_be_written = mapping.writable && self.options.fault != Some(Fault::MappingNarrowed);
                let write = mapping.shared && (may_be_written || mapping.protection & libc::PROT_WRITE != 0);
                return if write { libc::O_RDWR } else { libc::O_RDONLY };
            }
            Use::Cwd(_) | Use::Root(_) => return libc::O_PATH | libc::O_DIRECTORY,
        };
        let flags = self.checkpoint.descriptions[index].flags;
        let is_path = flags & libc::O_PATH != 0;
        match self.options.fault {
            Some(Fault::AppendLost) => flags & !libc::O_APPEND,
            Some(Fault::AccessWidened) if !is_path && flags & (libc::O_ACCMODE | libc::O_DIRECTORY) == 0 => {
                flags | libc::O_RDWR
            }
            Some(Fault::PathOpened) => flags & !libc::O_PATH,
            Some(Fault::SymlinkFollowed) => flags & !libc::O_NOFOLLOW,
            _ => flags,
        }
    }

    /// Puts the bytes back into a named pipe, once.
    fn fill(&self, purpose: Use, pipe: &OwnedFd) -> io::Result<()> {
        let Use::Description(index) = purpose else { return Ok(()) };
        let description = &self.checkpoint.descriptions[index];
        // Every description of the pipe has captured the same bytes: the first one brings them
        // back.
        let first = self
            .checkpoint
            .descriptions
            .iter()
            .position(|other| !other.pipe.is_empty() && self.same_inode(other.file, description.file));
        if first == Some(index) {
            let stat = nix::sys::stat::fstat(pipe)?;
            let mut bytes = description.pipe.0.clone();
            match self.options.fault {
                Some(Fault::FifoEmptied) => return Ok(()),
                Some(Fault::FifoReversed) => bytes.reverse(),
                Some(Fault::PipeSizeChanged) => drop(fcntl(pipe, FcntlArg::F_SETPIPE_SZ(PAGE))?),
                _ => {}
            }
            let count = nix::unistd::write(pipe, &bytes)?;
            if count != bytes.len() {
                return Err(io::Error::other(format!("only {count} bytes went back into the pipe")));
            }
            let times = [(stat.st_atime, stat.st_atime_nsec), (stat.st_mtime, stat.st_mtime_nsec)];
            inode::own_times(pipe, times)?;
        }
        Ok(())
    }

    fn same_inode(&self, one: usize, other: usize) -> bool {
        let file = |index: usize| match &self.checkpoint.files[index].name {
            NameImage::Live { file, .. } | NameImage::Pathless { file } => Some(*file),
            NameImage::Removed { inode, .. } | NameImage::Never { inode, .. } | NameImage::Memfd { inode, .. } => {
                self.checkpoint.inodes.get(*inode).map(|inode| inode.file)
            }
        };
        file(one) == file(other)
    }

    /// A memfd: label, contents, seals. Its descriptions open it through the first one's magic
    /// link.
    pub(super) fn open_memfd(&self, file: usize, opened: &mut Opened) -> Result<(), Failure> {
        let image = &self.checkpoint.files[file];
        let NameImage::Memfd { inode, seals } = image.name else { return Ok(()) };
        let InodeSource::Contents(contents) = &self.checkpoint.inodes[inode].source else { return Ok(()) };
        let made = || -> io::Result<OwnedFd> {
            let label = CString::new(image.path.as_slice()).map_err(io::Error::other)?;
            let fd = memfd_create(label.as_c_str(), MFdFlags::MFD_ALLOW_SEALING | MFdFlags::MFD_CLOEXEC)?;
            if self.options.fault != Some(Fault::MemfdEmptied) {
                inode::fill(&fd, contents)?;
            }
            nix::sys::stat::fchmod(&fd, Mode::from_bits_truncate(contents.mode))?;
            set_apart(fd)
        };
        let first = made().map_err(at(&image.object))?;
        for purpose in self.uses(file) {
            let flags = OFlag::from_bits_retain(self.flags(purpose));
            let fd = self.open_again(&first, flags).map_err(at(&image.object))?;
            self.keep(opened, purpose, fd)?;
        }
        if self.options.fault == Some(Fault::SealsLost) {
            return Ok(());
        }
        let seals = SealFlag::from_bits_retain(seals);
        fcntl(&first, FcntlArg::F_ADD_SEALS(seals)).map(drop).map_err(at(&image.object))
    }

    /// An open file once more, through its magic link.
    pub(super) fn open_again(&self, fd: &OwnedFd, flags: OFlag) -> io::Result<OwnedFd> {
        set_apart(openat(self.proc, magic(fd).as_str(), flags | OFlag::O_CLOEXEC, Mode::empty())?)
    }

    /// Puts an open file where its purpose finds it, at its position: a removed directory may not
    /// take one any more.
    pub(super) fn keep(&self, opened: &mut Opened, purpose: Use, fd: OwnedFd) -> Result<(), Failure> {
        match purpose {
            Use::Description(index) => {
                let DescriptionImage { flags, position, file, .. } = self.checkpoint.descriptions[index];
                if flags & libc::O_PATH == 0 && position != 0 && self.options.fault != Some(Fault::PositionLost) {
                    let object = &self.checkpoint.files[file].object;
                    lseek(&fd, position.cast_signed(), Whence::SeekSet)
                        .map_err(at(format!("{object}: its position")))?;
                    if self.options.fault == Some(Fault::EntryMoved) {
                        wrong::entry_moved(self.proc, &fd).map_err(at(object))?;
                    }
                }
                opened.descriptions[index] = Some(fd);
            }
            Use::Mapping(process, index) => opened.processes[process].mappings[index] = Some(fd),
            Use::Cwd(process) => opened.processes[process].cwd = Some(fd),
            Use::Root(process) => opened.processes[process].root = Some(fd),
        }
        Ok(())
    }
}

/// An inode by its handle, or by one of its names, on a visible mount.
pub(super) fn linked(writable_root: BorrowedFd<'_>, source: &InodeSource) -> io::Result<OwnedFd> {
    match source {
        InodeSource::Linked { handle: Some(handle), .. } => sys::open_handle(writable_root, handle),
        InodeSource::Linked { path: Some(path), .. } => super::super::private_mount_ns::look_at(writable_root, path),
        _ => Err(io::Error::other("it has no other names")),
    }
}
