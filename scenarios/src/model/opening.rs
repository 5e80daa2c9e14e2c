//! Opening files: the way to an inode, created or truncated when the flags ask for it, and what is
//! in the way (`path_openat`, `may_open`, `do_dentry_open`).

use super::files::{Ino, Kind, Type};
use super::mounts::Path;
use super::walk::{Last, Parent};
use super::{Model, Result, errno, overlay, unknown};
use crate::program::{DeviceKind, OpenFlag, Place};
use vocabulary::Errno;

/// How something is opened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Access {
    pub(super) reads: bool,
    pub(super) writes: bool,
    pub(super) create: bool,
    pub(super) exclusive: bool,
    pub(super) truncate: bool,
    pub(super) nofollow: bool,
    pub(super) directory: bool,
    pub(super) nonblock: bool,
    pub(super) direct: bool,
}

impl Access {
    pub(super) fn of(flags: &[OpenFlag]) -> Self {
        let has = |flag| flags.contains(&flag);
        Access {
            reads: !has(OpenFlag::Wronly),
            writes: has(OpenFlag::Wronly) || has(OpenFlag::Rdwr),
            create: has(OpenFlag::Create),
            exclusive: has(OpenFlag::Exclusive),
            truncate: has(OpenFlag::Truncate),
            nofollow: has(OpenFlag::Nofollow),
            directory: has(OpenFlag::Directory),
            nonblock: has(OpenFlag::Nonblock),
            direct: has(OpenFlag::Direct),
        }
    }
}

pub(super) fn tmpfile(model: &mut Model, at: &Place, access: Access) -> Result<Path> {
    let directory = model.find(at)?;
    if !model.files.is_directory(directory.den) {
        return errno(Errno::ENOTDIR);
    }
    model.want_write(directory.mnt)?;
    let kind = model.files.type_of(directory.den);
    if kind == Type::Vfat {
        return errno(Errno::EOPNOTSUPP);
    }
    if access.exclusive {
        return unknown("a file that can never be given a name, which nothing shows but the try");
    }
    let known = matches!(kind, Type::Tmpfs | Type::Ramfs | Type::Ext4 | Type::Xfs | Type::Btrfs);
    let row = model.files.inode_of(directory.den);
    if !known || row.dead || row.opaque || access.direct && kind == Type::Tmpfs {
        return unknown("files without a name there");
    }
    if access.direct && kind == Type::Ramfs {
        return errno(Errno::EINVAL);
    }
    model.may_change(model.inode_at(directory))?;
    let (sb, volume) = (row.sb, row.volume);
    let inode = model.files.add_inode(sb, Kind::File);
    let row = model.files.inode_mut(inode);
    (row.links, row.linkable, row.volume) = (0, !access.exclusive, volume);
    let den = model.files.add_loose(directory.den, b"#", inode);
    model.files.dentry_mut(den).numbered = true;
    Ok(Path { den, ..directory })
}

enum Reached {
    There(Path),
    Made(Path),
}

impl Model {
    /// The file that an open reaches, made or emptied when that is asked for (`path_openat`).
    pub(super) fn open_path(&mut self, at: &Place, access: Access) -> Result<Path> {
        let path = match self.reach(at, access)? {
            Reached::There(path) => path,
            Reached::Made(path) => return self.may_open_new(path, access).map(|()| path),
        };
        let ino = self.inode_at(path);
        if access.create {
            self.may_create_over(path, access)?;
        }
        self.may_open(path, access)?;
        if access.writes && self.files.inode(ino).kind == Kind::File {
            overlay::copy_up(self, path)?;
            if access.truncate {
                self.changed(ino);
                self.files.inode_mut(ino).content.truncate(0);
            }
        }
        Ok(path)
    }

    fn may_create_over(&self, path: Path, access: Access) -> Result<()> {
        let row = self.files.inode_of(path.den);
        if access.exclusive {
            return errno(Errno::EEXIST);
        }
        if row.kind == Kind::Directory {
            return errno(Errno::EISDIR);
        }
        // `may_create_in_sticky`: a setting of the machine says what becomes of files of others
        // (proc_sys_fs(5)).
        let parent = self.files.inode_of(self.files.dentry(path.den).parent);
        if parent.mode & 0o1000 != 0 && row.uid != 0 {
            return unknown("a file of another user in a directory like /tmp");
        }
        Ok(())
    }

    fn reach(&mut self, at: &Place, access: Access) -> Result<Reached> {
        if !access.create {
            let path = if access.nofollow { self.find_link(at)? } else { self.find(at)? };
            if access.directory && !self.files.is_directory(path.den) {
                return errno(Errno::ENOTDIR);
            }
            return Ok(Reached::There(path));
        }
        if at.path.is_empty() {
            return self.find(at).map(Reached::There);
        }
        let mut parent = self.find_parent(at)?;
        for _ in 0..40 {
            let Parent { at, last, slash } = parent;
            let Last::Name(name) = last else { return errno(Errno::EISDIR) };
            if slash {
                return errno(Errno::EISDIR);
            }
            let Some(den) = self.child(at.den, &name)? else { return self.create(at, &name).map(Reached::Made) };
            let found = self.mounts.down(Path { den, ..at });
            let Kind::Symlink(target) = self.files.inode_of(found.den).kind.clone() else {
                return Ok(Reached::There(found));
            };
            if access.exclusive {
                return errno(Errno::EEXIST);
            }
            if access.nofollow || self.mounts.get(found.mnt).nosymfollow {
                return errno(Errno::ELOOP);
            }
            let from = if target.starts_with(b"/") { self.process.root } else { at };
            parent = self.look_up_parent(from, &target)?;
        }
        errno(Errno::ELOOP)
    }

    fn create(&mut self, at: Path, name: &[u8]) -> Result<Path> {
        if name.len() > 255 {
            return errno(Errno::ENAMETOOLONG);
        }
        let directory = self.inode_at(at);
        if self.files.inode(directory).dead {
            return errno(Errno::ENOENT);
        }
        self.want_write(at.mnt)?;
        self.may_change(directory)?;
        overlay::copy_up(self, at)?;
        self.changed(directory);
        Ok(Path { den: self.files.make(at.den, name, Kind::File), ..at })
    }

    /// What prevents opening an existing inode (`may_open`, `do_dentry_open`).
    pub(super) fn may_open(&self, path: Path, access: Access) -> Result<()> {
        let ino = self.inode_at(path);
        let row = self.files.inode(ino);
        let writes = access.writes;
        match &row.kind {
            Kind::Directory if writes => return errno(Errno::EISDIR),
            Kind::Symlink(_) => return errno(Errno::ELOOP),
            Kind::Device(..) if self.mounts.get(path.mnt).nodev => return errno(Errno::EACCES),
            Kind::Device(..) | Kind::Fifo | Kind::Socket if access.direct => {
                return unknown("what is opened past which cache");
            }
            Kind::Device(DeviceKind::Char, 1, 3 | 5) => return Ok(()),
            Kind::Device(..) => return unknown("what this device does"),
            Kind::Fifo => return self.may_open_fifo(ino, access),
            // `no_open` in fs/inode.c.
            Kind::Socket if access.directory => return errno(Errno::ENOTDIR),
            Kind::Socket => return errno(Errno::ENXIO),
            Kind::Directory | Kind::File => {}
        }
        if access.directory && row.kind != Kind::Directory {
            return errno(Errno::ENOTDIR);
        }
        if writes {
            self.want_write(path.mnt)?;
            self.may_change(ino)?;
        }
        let kind = self.files.type_of(path.den);
        if kind.is_kernels() && access.create {
            return unknown("what the kernel's own filesystems allow");
        }
        if access.direct && row.kind != Kind::File {
            return unknown("whether this can be opened past the page cache");
        }
        self.may_open_new(path, access)?;
        if self.is_leased(ino) && (writes || self.want_write(path.mnt).is_ok()) {
            return unknown("a lease that is broken by this");
        }
        Ok(())
    }

    /// The same for a file that was just made.
    pub(super) fn may_open_new(&self, path: Path, access: Access) -> Result<()> {
        match self.files.type_of(path.den) {
            Type::Ext4 | Type::Xfs | Type::Btrfs => Ok(()),
            _ if access.direct => unknown("whether this can be opened past the page cache"),
            _ => Ok(()),
        }
    }

    /// Without `O_NONBLOCK` an open waits for the other end, fifo(7).
    fn may_open_fifo(&self, ino: Ino, access: Access) -> Result<()> {
        if access.directory {
            return errno(Errno::ENOTDIR);
        }
        let ends = self.descriptions_of(ino);
        let reader = ends.iter().any(|&index| self.descriptions[index].reads);
        let writer = ends.iter().any(|&index| self.descriptions[index].writes);
        match (access.reads, access.writes) {
            (true, true) => Ok(()),
            (true, false) if access.nonblock || writer => Ok(()),
            (false, true) if reader => Ok(()),
            (false, true) if access.nonblock => errno(Errno::ENXIO),
            _ => unknown("an open that waits for ever"),
        }
    }
}
