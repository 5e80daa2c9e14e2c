//! The filesystems that a program can mount.

use std::fmt;

/// A filesystem that `mount` makes anew. Those on a block device get an empty one of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Filesystem {
    /// tmpfs(5)
    Tmpfs,
    /// ramfs, tmpfs without limits and without swap
    Ramfs,
    /// ext4(5), on a loop device
    Ext4,
    /// xfs(5), on a loop device
    Xfs,
    /// btrfs(5), on a loop device
    Btrfs,
    /// A new proc(5) mount
    Proc,
    /// A new sysfs(5) mount
    Sysfs,
    /// A new devpts instance
    Devpts,
    /// POSIX message queues, mq_overview(7)
    Mqueue,
    /// Nodes of the kernel's devices: one filesystem for the whole machine
    Devtmpfs,
    /// Files in huge pages (Documentation/admin-guide/mm/hugetlbpage.rst)
    Hugetlbfs,
    /// Control groups, cgroups(7): one filesystem for the whole machine
    Cgroup2,
    /// squashfs, read-only, on a loop device; with a file `f` and one in a directory `d`
    Squashfs,
    /// erofs, read-only, on a loop device; with the same files
    Erofs,
    /// vfat, on a loop device
    Vfat,
}

impl Filesystem {
    /// The kernel's name (`/proc/filesystems`), which is the word of the language.
    pub fn type_name(self) -> &'static str {
        crate::grammar::words::word(self)
    }

    /// True for a filesystem that needs a block device of its own.
    pub fn needs_disk(self) -> bool {
        matches!(self, Filesystem::Ext4 | Filesystem::Xfs | Filesystem::Btrfs | Filesystem::Vfat) || self.is_read_only()
    }

    /// True for a filesystem that is written once, when its image is made.
    pub fn is_read_only(self) -> bool {
        matches!(self, Filesystem::Squashfs | Filesystem::Erofs)
    }

    /// True for a filesystem that only root of the machine may mount, without a device.
    pub fn needs_root(self) -> bool {
        matches!(self, Filesystem::Devtmpfs | Filesystem::Hugetlbfs | Filesystem::Cgroup2)
    }
}

impl fmt::Display for Filesystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.type_name())
    }
}
