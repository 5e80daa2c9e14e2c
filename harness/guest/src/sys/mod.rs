//! System calls that std, nix and rustix do not wrap, and the ioctls of loop devices, btrfs and the
//! loopback interface: the only unsafe code of this crate, behind safe functions. Their errors are
//! the call's errno.

#![allow(unsafe_code)]

mod block;
mod confine;
mod descriptor;
mod directory;
mod fanotify;
mod handle;
mod mapping;
mod mount;
mod process;
mod random;
mod signals;
mod socket;
mod xattr;

pub use block::{
    LoopDevice, btrfs_create_subvolume, btrfs_delete_subvolume, btrfs_forget_device, btrfs_snapshot,
    btrfs_subvolume_of, loop_device, loop_devices,
};
pub use confine::{Device, filter_system_calls, keep_capabilities};
pub use descriptor::{
    adopt, close_from, copy_of, duplicate, end_lease, flock, hand_over, inherit, keep_only, place, set_apart,
    set_lease, set_posix_lock, start_without_input, unlock,
};
pub use directory::{Entry, entries, read_some_entries};
pub use fanotify::{FanotifyGroup, FanotifyMark};
pub use handle::{EntryWatch, FileHandle, handle_of, open_handle};
pub use mapping::{MappingRequest, make_page_writable, map_at, map_page, unmap_page};
pub use mount::{
    Identity, MountAttr, attach, filesystem_of, fsmount, fsmount_to_keep, identity, mount_setattr, open_tree,
    set_superblock, statmount_by_fd, statmount_device, statx_mount_id,
};
pub use process::{
    DescriptorOf, copy_mount_namespace, drop_capabilities, fork, fork_as, in_mount_namespace, interface_up, kcmp_file,
    owner_of, pidfd_open, reset_signals, start_in_namespaces, start_in_user_namespace, wait_for_zombie,
};
pub use random::seed_random_numbers;
pub use signals::{
    block_signal, descriptor_of, is_owned_by_thread, own_signals, own_signals_as_thread, pipe_size, seals_of,
    set_signal, signal_of, signal_owner, take_signal,
};
pub use socket::{Peeked, peek_queue, receive_descriptor, send_descriptors, unix_peer, unix_socket_type};
pub use xattr::{getxattr, listxattr};

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// An ioctl's number as the C library takes it: `unsigned long` in glibc, `int` in musl.
const fn request(number: u32) -> libc::Ioctl {
    number as libc::Ioctl
}

/// The result of a raw call: -1 means errno.
fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The result of a raw call that makes a descriptor.
fn check_fd(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = check(result)?;
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel just made this descriptor for us; no other code owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
