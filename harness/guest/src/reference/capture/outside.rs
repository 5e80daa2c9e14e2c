//! Files on mounts of another namespace, which the process left and which lives. They are never
//! made again: who restores the process gives them to it.

use protocol::observation::{FileKind, Object};

use super::super::checkpoint::NameImage;
use super::Capture;
use super::object::CapturedObject;
use super::refusal::Cause;

/// What is known of that namespace.
#[derive(Clone, Debug, Default)]
pub struct Outside {
    /// The mounts there, by their IDs.
    pub mounts: Vec<u64>,
    /// The files that the caller gives at the restore: mount ID, inode number.
    pub given: Vec<(u64, u64)>,
}

impl Capture<'_> {
    /// A file of that namespace, by its path there.
    pub(super) fn given_file(&mut self, captured: &CapturedObject) -> Result<usize, Cause> {
        if !self.outside.given.contains(&(captured.mount, captured.status.file.inode)) {
            return Err(Cause::Outside);
        }
        if !matches!(captured.object, Object::Fd(_)) || captured.status.kind == FileKind::Symlink {
            return Err(Cause::Unsupported(format!("{} on a mount of another namespace", captured.label)));
        }
        let name = NameImage::Live { file: captured.status.file, kind: captured.status.kind };
        Ok(self.file(captured, captured.link.clone(), name))
    }
}
