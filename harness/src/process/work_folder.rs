//! Folders for the files of one run in `TMPDIR`, for this user alone, gone when the run ends.
//!
//! A run that is killed cannot remove its folder. The next one does: a folder is locked, flock(2),
//! for as long as its process lives, and the kernel releases the lock of a dead one, however it
//! died. Age proves nothing: a campaign runs for days.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Once;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use tempfile::TempDir;

use crate::notices::say;

/// What their names begin with.
const PREFIX: &str = "zdtm-detached-work-";

/// A folder; dropping it removes it.
#[derive(Debug)]
pub struct WorkFolder {
    // The fields are dropped in this order: the lock outlives the folder.
    folder: TempDir,
    _lock: Flock<File>,
}

impl WorkFolder {
    /// A new one. The first of a process removes those of dead ones before, and says so.
    ///
    /// # Errors
    /// It cannot be made or locked.
    pub fn new() -> io::Result<Self> {
        static REMOVED: Once = Once::new();
        let parent = std::env::temp_dir();
        REMOVED.call_once(|| remove_dead(&parent));
        Self::in_folder(&parent)
    }

    fn in_folder(parent: &Path) -> io::Result<Self> {
        loop {
            let private = Permissions::from_mode(0o700);
            let folder = tempfile::Builder::new().prefix(PREFIX).permissions(private).tempdir_in(parent)?;
            if let Some(claimed) = Self::claim(folder)? {
                return Ok(claimed);
            }
        }
    }

    /// Locks a new folder; `None` where another run found it without a lock before, and removed it.
    fn claim(folder: TempDir) -> io::Result<Option<Self>> {
        match lock_folder(folder.path(), Wait::Yes) {
            Ok(Some(lock)) if is_at(&lock, folder.path()) => Ok(Some(Self { folder, _lock: lock })),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Whether a lock that another process has is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It is.
    Yes,
    /// It is not.
    No,
}

/// Locks a folder; `None` when another process has the lock.
///
/// # Errors
/// It is no folder, or cannot be locked.
pub fn lock_folder(folder: &Path, wait: Wait) -> io::Result<Option<Flock<File>>> {
    let mut open = fs::OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(folder)?;
    let how = if wait == Wait::Yes { FlockArg::LockExclusive } else { FlockArg::LockExclusiveNonblock };
    loop {
        match Flock::lock(open, how) {
            Ok(lock) => return Ok(Some(lock)),
            Err((_, Errno::EWOULDBLOCK)) => return Ok(None),
            Err((again, Errno::EINTR)) => open = again,
            Err((_, errno)) => return Err(errno.into()),
        }
    }
}

/// Whether the open folder is the one at the path, and not the target of a symbolic link there.
fn is_at(open: &File, path: &Path) -> bool {
    let identity = |meta: &fs::Metadata| (meta.dev(), meta.ino());
    matches!((open.metadata(), fs::symlink_metadata(path)), (Ok(one), Ok(other)) if identity(&one) == identity(&other))
}

/// Removes what dead runs of this user left. What cannot be removed stays: this run can do without.
fn remove_dead(parent: &Path) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
    let removed: Vec<PathBuf> = ours.map(|entry| entry.path()).filter(|folder| remove_if_dead(folder)).collect();
    match &removed[..] {
        [] => {}
        [one] => say(&format!("removed {}, which a run left that was killed", one.display())),
        [first, rest @ ..] => {
            let (count, first) = (rest.len(), first.display());
            say(&format!("removed {first} and {count} more, which runs left that were killed"));
        }
    }
}

fn remove_if_dead(folder: &Path) -> bool {
    let is_own = fs::symlink_metadata(folder).is_ok_and(|meta| meta.uid() == nix::unistd::geteuid().as_raw());
    let lock = if is_own { lock_folder(folder, Wait::No) } else { Ok(None) };
    // The lock is held until the folder is gone: a run that has just made it finds out.
    matches!(lock, Ok(Some(lock)) if is_at(&lock, folder) && fs::remove_dir_all(folder).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_locked_stays() {
        let parent = tempfile::tempdir().unwrap();
        let alive = WorkFolder::in_folder(parent.path()).unwrap();
        let dead = WorkFolder::in_folder(parent.path()).unwrap();
        let path = dead.folder.path().to_owned();
        fs::write(path.join("console"), "").unwrap();
        // As after a kill: the lock is gone, the folder is there.
        let WorkFolder { folder, _lock: lock } = dead;
        std::mem::forget(folder);
        drop(lock);
        fs::create_dir(parent.path().join("zdtm-detached-other")).unwrap();
        std::os::unix::fs::symlink("/", parent.path().join(format!("{PREFIX}link"))).unwrap();
        remove_dead(parent.path());
        assert!(!path.exists() && alive.path().exists());
        assert!(parent.path().join("zdtm-detached-other").exists());
        assert_eq!(fs::metadata(alive.path()).unwrap().mode() & 0o777, 0o700);
        let path = alive.path().to_owned();
        drop(alive);
        assert!(!path.exists());
    }

    #[test]
    fn a_new_folder_that_another_run_removes_is_not_used() {
        let parent = tempfile::tempdir().unwrap();
        let new = || tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent.path()).unwrap();
        let folder = new();
        assert!(remove_if_dead(folder.path()));
        assert!(WorkFolder::claim(folder).unwrap().is_none(), "it is removed before it is locked");
        let folder = new();
        let lock = lock_folder(folder.path(), Wait::Yes).unwrap().unwrap();
        assert!(is_at(&lock, folder.path()) && !remove_if_dead(folder.path()));
        fs::remove_dir(folder.path()).unwrap();
        assert!(!is_at(&lock, folder.path()), "it is removed while its lock is waited for");
        fs::create_dir(folder.path()).unwrap();
        assert!(!is_at(&lock, folder.path()), "another one has its name");
    }
}
