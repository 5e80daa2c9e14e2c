//! What an engine fails to restore that has not learnt everything ([`Lack`]). It finds out when it
//! comes to the object: by then the process has ended.

use std::io;

use nix::errno::Errno;
use protocol::Lack;
use protocol::observation::FileKind;

use super::super::checkpoint::{MountImage, NameImage};
use super::Failure;
use super::mounts::RestoreContext;

/// Whether all objects on detached mounts can be restored without it.
///
/// # Errors
/// The first object that cannot.
pub(super) fn check(context: &RestoreContext<'_>, lack: Lack) -> Result<(), Failure> {
    let checkpoint = context.checkpoint;
    let object = |file: usize| checkpoint.files[file].object.clone();
    let failure = match lack {
        Lack::Directory => {
            let mut directories = checkpoint.descriptions.iter().map(|description| description.file);
            let found = directories.find(|&file| is_detached(context, file) && is_directory(context, file));
            found.map(|file| (object(file), Errno::EISDIR.into()))
        }
        Lack::Mapping => {
            let mut mappings = checkpoint.processes.iter().flat_map(|process| &process.mappings);
            let found = mappings.find(|mapping| is_detached(context, mapping.file));
            let missing = || io::Error::new(io::ErrorKind::NotFound, "no visible mount has its file");
            found.map(|mapping| (format!("mapping at {:x}", mapping.start), missing()))
        }
        Lack::Overlay => {
            let mut files = 0..checkpoint.files.len();
            let found = files.find(|&file| is_detached(context, file) && is_on_overlay(context, file));
            found.map(|file| (format!("{}: open_by_handle_at", object(file)), Errno::EOPNOTSUPP.into()))
        }
        _ => None,
    };
    failure.map_or(Ok(()), |(what, error)| Err(Failure { what, error }))
}

fn is_detached(context: &RestoreContext<'_>, file: usize) -> bool {
    matches!(context.checkpoint.mounts[context.checkpoint.files[file].mount], MountImage::Detached(_))
}

fn is_on_overlay(context: &RestoreContext<'_>, file: usize) -> bool {
    let MountImage::Detached(mount) = &context.checkpoint.mounts[context.checkpoint.files[file].mount] else {
        return false;
    };
    context.table.get(mount.base).is_some_and(|base| base.fs_type.0 == b"overlay")
}

fn is_directory(context: &RestoreContext<'_>, file: usize) -> bool {
    match &context.checkpoint.files[file].name {
        NameImage::Live { kind, .. } => *kind == FileKind::Directory,
        NameImage::Removed { inode, .. } => context.checkpoint.inodes[*inode].source.kind() == FileKind::Directory,
        _ => false,
    }
}
