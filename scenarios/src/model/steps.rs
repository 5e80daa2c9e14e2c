//! One step: the executor's way of carrying it out (`guest/src/executor`), on the model.

use super::files::Kind;
use super::{
    Model, Result, binding, btrfs, locks, mounting, names, namespace, nodes, objects, processes, states, trees, watches,
};
use crate::program::Step;

pub(super) fn carry_out(model: &mut Model, step: &Step) -> Result<()> {
    match step {
        Step::Mount { filesystem, at, attributes } => mounting::mount(model, *filesystem, at, attributes),
        Step::MountAgain { of, at, subvolume, attributes } => {
            mounting::mount_again(model, (of, at), subvolume.as_ref(), attributes)
        }
        Step::Overlay { .. } => mounting::mount_overlay(model, step),
        Step::Bind { from, to, recursive, attributes } => binding::bind(model, (from, to), *recursive, attributes),
        Step::Move { from, to } => binding::move_mount(model, from, to),
        Step::Remount { at, superblock: true, .. } => mounting::make_read_only(model, at),
        Step::Remount { at, attributes, .. } => binding::remount(model, at, attributes),
        Step::Propagate { at, kind, recursive } => binding::propagate(model, at, *kind, *recursive),
        Step::Unmount { at, lazy } => binding::unmount(model, at, *lazy),
        Step::PivotRoot { new_root, put_old } => binding::pivot_root(model, new_root, put_old),
        Step::UnshareMounts { keep_old } => namespace::unshare(model, *keep_old),
        Step::Exec => namespace::exec(model),
        Step::Fork { process } => processes::fork(model, process),
        Step::As { process } => processes::switch(model, process),
        Step::Exit { process } => processes::exit(model, process),
        Step::Seal { object, seals } => states::seal(model, object, seals),
        Step::SetOwner { object } => states::set_owner(model, object),
        Step::SetSignal { object, signal } => states::set_signal(model, object, *signal),
        Step::Epoll { name, of } => watches::epoll(model, name, of),
        Step::Inotify { name, at } => watches::inotify(model, name, at),
        Step::Fanotify { name, mark, at } => watches::fanotify(model, name, *mark, at),
        Step::Assert { .. } => Ok(()),
        _ => carry_out_other(model, step),
    }
}

fn carry_out_other(model: &mut Model, step: &Step) -> Result<()> {
    match step {
        Step::Mkdir { at } => names::make(model, at, Kind::Directory).map(drop),
        Step::Write { at, bytes } => nodes::write(model, at, bytes.as_slice()),
        Step::Append { at, bytes } => nodes::append(model, at, bytes.as_slice()),
        Step::Truncate { at, length } => nodes::truncate(model, at, *length),
        Step::Symlink { target, at } => names::symlink(model, target.as_slice(), at),
        Step::Link { old, new } => names::link(model, old, new),
        Step::Rename { old, new } => names::rename(model, old, new),
        Step::Unlink { at } => names::unlink(model, at),
        Step::Rmdir { at } => names::rmdir(model, at),
        Step::Mkfifo { at } => names::make(model, at, Kind::Fifo).map(drop),
        Step::Mksocket { at } => names::make(model, at, Kind::Socket).map(drop),
        Step::Mknod { at, kind, major, minor } => nodes::mknod(model, at, *kind, *major, *minor),
        Step::Chmod { at, mode } => nodes::chmod(model, at, *mode),
        Step::Chown { at, uid, .. } => nodes::chown(model, at, *uid),
        Step::Setxattr { at, name, value } => nodes::setxattr(model, at, name.as_slice(), value.as_slice()),
        Step::Touch { at, .. } => nodes::touch(model, at),
        Step::Subvolume { at } => btrfs::subvolume(model, at),
        Step::Snapshot { from, to, read_only } => btrfs::snapshot(model, from, to, *read_only),
        Step::DeleteSubvolume { at } => btrfs::delete(model, at),
        Step::Open { name, at, flags } => objects::open(model, name, at, flags),
        Step::Dup { name, of, .. } => objects::dup(model, name, of),
        Step::Memfd { name, label, sealable } => objects::memfd(model, name, label.as_slice(), *sealable),
        Step::Map { name, of, shared, write } => objects::map(model, name, of, *shared && *write),
        Step::Socketpair { name } | Step::Peer { name, .. } => objects::socket(model, name),
        Step::Send { name, over, object } => objects::send(model, name, over, object),
        Step::Receive { name, over, .. } => objects::receive(model, name, over),
        Step::Seek { object, offset } => objects::seek(model, object, *offset),
        Step::Read { object, length } => objects::read(model, object, *length),
        Step::WriteTo { object, bytes } => objects::write(model, object, bytes.as_slice()),
        Step::ReadEntries { object } => objects::read_entries(model, object),
        Step::Lock { object, kind, write, range } => locks::lock(model, object, *kind, *write, *range),
        Step::Close { object } => objects::close(model, object),
        Step::OpenTree { name, at, recursive, attributes } => trees::open_tree(model, name, at, *recursive, attributes),
        Step::NewTree { name, filesystem, attributes } => {
            trees::new_tree(model, name, *filesystem, attributes);
            Ok(())
        }
        Step::External { object } => namespace::external(model, object),
        Step::Chdir { at } => objects::chdir(model, at),
        Step::Chroot { at } => objects::chroot(model, at),
        Step::Mount { .. }
        | Step::MountAgain { .. }
        | Step::Overlay { .. }
        | Step::Bind { .. }
        | Step::Move { .. }
        | Step::Remount { .. }
        | Step::Propagate { .. }
        | Step::Unmount { .. }
        | Step::PivotRoot { .. }
        | Step::UnshareMounts { .. }
        | Step::Exec
        | Step::Fork { .. }
        | Step::As { .. }
        | Step::Seal { .. }
        | Step::SetOwner { .. }
        | Step::SetSignal { .. }
        | Step::Epoll { .. }
        | Step::Inotify { .. }
        | Step::Fanotify { .. }
        | Step::Exit { .. }
        | Step::Assert { .. } => unreachable!("the caller handles these"),
    }
}
