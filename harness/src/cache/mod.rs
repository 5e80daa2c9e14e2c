//! The cache: a directory of finished images, each addressed by what it was asked for.
//!
//! `images/KIND-NAME-KEY/` holds an image and its build record, `locks/` a lock file for each,
//! `tmp/` what is being built, `lists/` package lists. An image is built in `tmp/`, on the same
//! filesystem, and renamed when its build record is written, so a run that is killed leaves nothing
//! that looks finished.
//!
//! Locks are flock(2): shared by each user of an image, for as long as it uses it, exclusive to
//! a process that builds or removes it. So two runs build once, and nothing is removed under a
//! running VM.

pub mod error;
pub mod progress;
pub mod record;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use error::{ImageError, at, content};
use progress::{Progress, Step};
use record::{BuildRecord, Look, Package};

/// Which image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// `qemu`, `kernel`, `userland`, `agent`, `initramfs`, `template`.
    pub(crate) kind: &'static str,
    /// Its name in the manifest; empty where there is only one.
    pub(crate) name: String,
    /// A hash of what it is asked for to be.
    pub(crate) key: String,
}

/// What a builder made.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) version: String,
    pub(crate) packages: Vec<Package>,
}

/// An image in use; it stays as it is until this is dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its directory.
    pub(crate) directory: PathBuf,
    /// Its build record.
    pub(crate) record: BuildRecord,
    _lock: Flock<File>,
}

/// How an image is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// All files are there.
    Whole(Box<BuildRecord>),
    /// It was never built.
    Absent,
    /// It cannot be used, and why.
    Damaged(String),
}

/// The cache's directory.
pub(crate) struct Cache {
    root: PathBuf,
    progress: Arc<dyn Progress>,
    /// How closely an image is checked before it is used.
    look: Look,
}

impl Slot {
    /// The name of its directory; the key's first 16 digits tell a dozen images apart.
    pub(crate) fn directory(&self) -> String {
        let Slot { kind, name, key } = self;
        let key = &key[..16];
        if name.is_empty() { format!("{kind}-{key}") } else { format!("{kind}-{name}-{key}") }
    }

    /// For people.
    pub(crate) fn title(&self) -> String {
        if self.name.is_empty() { self.kind.to_owned() } else { format!("{} {}", self.kind, self.name) }
    }
}

impl Cache {
    /// Opens a cache, which is made when it is not there.
    pub(crate) fn open(root: &Path, progress: Arc<dyn Progress>) -> Result<Cache, ImageError> {
        let root = std::path::absolute(root).map_err(at("find", root))?;
        for name in ["images", "locks", "tmp", "lists"] {
            let directory = root.join(name);
            fs::create_dir_all(&directory).map_err(at("create", &directory))?;
        }
        Ok(Cache { root, progress, look: Look::Quick })
    }

    /// The same, which reads files up to so many bytes before an image is used.
    pub(crate) fn reading_up_to(self, bytes: u64) -> Cache {
        Cache { look: Look::UpTo(bytes), ..self }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn progress(&self) -> &dyn Progress {
        &*self.progress
    }

    /// Where an image is, whether or not it is there.
    pub(crate) fn directory(&self, slot: &Slot) -> PathBuf {
        self.root.join("images").join(slot.directory())
    }

    /// Looks at an image.
    pub(crate) fn state(&self, slot: &Slot, look: Look) -> State {
        let directory = self.directory(slot);
        if !directory.exists() {
            return State::Absent;
        }
        match BuildRecord::read(&directory).and_then(|record| record.check(&directory, look).map(|()| record)) {
            Ok(record) => State::Whole(Box::new(record)),
            Err(why) => State::Damaged(why),
        }
    }

    /// The image, from the cache or from the builder.
    ///
    /// The builder gets an empty directory to fill. With `refresh` it is called although the image
    /// is there, and gets its build record: it may then say `None`, for "the same would come out".
    ///
    /// # Errors
    /// The builder's, or those of the filesystem. What was in the cache before stays there.
    pub(crate) fn obtain(
        &self,
        slot: &Slot,
        refresh: bool,
        build: impl FnOnce(&Path, Option<&BuildRecord>) -> Result<Option<Built>, ImageError>,
    ) -> Result<Entry, ImageError> {
        if !refresh && let Some(entry) = self.whole(slot)? {
            return Ok(entry);
        }
        let lock = self.lock(slot, FlockArg::LockExclusive)?;
        self.locked(slot, refresh, lock, build)
    }

    /// The same, which does not wait until others stop using an image that is damaged: `None`, and
    /// the caller does without. It does wait for another run that builds the image.
    pub(crate) fn obtain_unless_used(
        &self,
        slot: &Slot,
        build: impl FnOnce(&Path, Option<&BuildRecord>) -> Result<Option<Built>, ImageError>,
    ) -> Result<Option<Entry>, ImageError> {
        let path = self.lock_path(&slot.directory());
        loop {
            // This waits for a run that builds it.
            if let Some(entry) = self.whole(slot)? {
                return Ok(Some(entry));
            }
            if let Some(lock) = flock(&path, FlockArg::LockExclusiveNonblock)? {
                return self.locked(slot, false, lock, build).map(Some);
            }
            // Users leave room for one more, a run that has begun to build does not.
            if flock(&path, FlockArg::LockSharedNonblock)?.is_some() && self.is_damaged(slot) {
                return Ok(None);
            }
        }
    }

    fn is_damaged(&self, slot: &Slot) -> bool {
        matches!(self.state(slot, self.look), State::Damaged(_))
    }

    /// The image, built now where that is needed; the caller has the exclusive lock.
    fn locked(
        &self,
        slot: &Slot,
        refresh: bool,
        lock: Flock<File>,
        build: impl FnOnce(&Path, Option<&BuildRecord>) -> Result<Option<Built>, ImageError>,
    ) -> Result<Entry, ImageError> {
        match (self.state(slot, self.look), refresh) {
            // Another run built it in the meantime.
            (State::Whole(_), false) => {}
            (State::Whole(record), true) => {
                self.build(slot, |directory| build(directory, Some(&record)))
                    .map_err(|error| ImageError::Refresh { entry: slot.title(), error: Box::new(error) })?;
            }
            (State::Absent, _) => self.build(slot, |directory| build(directory, None))?,
            (State::Damaged(why), _) => {
                let damage = format!("{}: {why} in {}", slot.title(), self.directory(slot).display());
                self.note(&format!("{damage}; building it anew"));
                self.build(slot, |directory| build(directory, None))
                    .map_err(|error| ImageError::Rebuild { damage, error: Box::new(error) })?;
            }
        }
        drop(lock);
        self.whole(slot)?.ok_or_else(|| {
            let why = "was removed or damaged by something else right after it was built; try again";
            content(slot.title(), why)
        })
    }

    /// The image, if it is there and whole.
    fn whole(&self, slot: &Slot) -> Result<Option<Entry>, ImageError> {
        let lock = self.lock(slot, FlockArg::LockShared)?;
        match self.state(slot, self.look) {
            State::Whole(record) => {
                // The lock file's time says when the image was used last;
                // `image clean --older-than` reads it.
                let _ = lock.set_modified(SystemTime::now());
                Ok(Some(Entry { directory: self.directory(slot), record: *record, _lock: lock }))
            }
            State::Absent | State::Damaged(_) => Ok(None),
        }
    }

    /// Builds aside and puts the result in place; the caller holds the exclusive lock.
    fn build(
        &self,
        slot: &Slot,
        build: impl FnOnce(&Path) -> Result<Option<Built>, ImageError>,
    ) -> Result<(), ImageError> {
        let prefix = format!("{}.", slot.directory());
        self.remove_leftovers(&prefix)?;
        let tmp = self.root.join("tmp");
        let aside =
            tempfile::Builder::new().prefix(&prefix).tempdir_in(&tmp).map_err(at("create a directory in", &tmp))?;
        let new = aside.path().join("new");
        fs::create_dir(&new).map_err(at("create", &new))?;
        let Some(built) = build(&new)? else {
            self.note(&format!("{}: up to date", slot.title()));
            return Ok(());
        };
        BuildRecord::of(&new, built.version, built.packages)?.write(&new)?;
        let place = self.directory(slot);
        if place.exists() {
            let old = aside.path().join("old");
            fs::rename(&place, &old).map_err(at("move away", &place))?;
        }
        fs::rename(&new, &place).map_err(at("put in place", &place))
    }

    /// What killed runs left of this image.
    pub(crate) fn remove_leftovers(&self, prefix: &str) -> Result<(), ImageError> {
        for path in list(&self.root.join("tmp"))? {
            if file_name(&path).starts_with(prefix) {
                fs::remove_dir_all(&path).map_err(at("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Takes a lock, and says so when it has to wait.
    fn lock(&self, slot: &Slot, how: FlockArg) -> Result<Flock<File>, ImageError> {
        let path = self.lock_path(&slot.directory());
        let try_first =
            if how == FlockArg::LockShared { FlockArg::LockSharedNonblock } else { FlockArg::LockExclusiveNonblock };
        match flock(&path, try_first)? {
            Some(lock) => Ok(lock),
            None => {
                self.note(&format!("{}: waiting for another run that builds or uses it", slot.title()));
                Ok(flock(&path, how)?.expect("only the non-blocking forms give nothing"))
            }
        }
    }

    fn lock_path(&self, directory: &str) -> PathBuf {
        self.root.join("locks").join(format!("{directory}.lock"))
    }

    /// Takes the lock of something in the cache that is not an image, and waits for it.
    pub(crate) fn lock_by_name(&self, name: &str) -> Result<Flock<File>, ImageError> {
        Ok(flock(&self.lock_path(name), FlockArg::LockExclusive)?.expect("only the non-blocking forms give nothing"))
    }

    fn note(&self, text: &str) {
        self.progress.step(Step::Note { text });
    }

    /// All images in the cache: the directory's name, its size in bytes, how long ago it was used.
    pub(crate) fn images(&self) -> Result<Vec<(String, u64, Duration)>, ImageError> {
        let sized = |(name, age): (String, Duration)| {
            let size = size_below(&self.root.join("images").join(&name));
            (name, size, age)
        };
        Ok(self.ages()?.into_iter().map(sized).collect())
    }

    /// The same without the sizes, which cost a look at every file.
    pub(crate) fn ages(&self) -> Result<Vec<(String, Duration)>, ImageError> {
        let mut images = Vec::new();
        for path in list(&self.root.join("images"))? {
            let name = file_name(&path);
            let used = self.lock_path(&name).metadata().or_else(|_| path.metadata()).and_then(|data| data.modified());
            images.push((name, used.ok().and_then(|time| time.elapsed().ok()).unwrap_or_default()));
        }
        images.sort();
        Ok(images)
    }

    /// True for the image of this slot.
    pub(crate) fn is(&self, directory: &str, slot: &Slot) -> bool {
        slot.directory() == directory
    }

    /// Removes an image unless it is in use; true when it is gone.
    pub(crate) fn remove(&self, directory: &str) -> Result<bool, ImageError> {
        let lock_path = self.lock_path(directory);
        let Some(_lock) = flock(&lock_path, FlockArg::LockExclusiveNonblock)? else { return Ok(false) };
        let path = self.root.join("images").join(directory);
        let gone = self.root.join("tmp").join(format!("{directory}.removed"));
        if gone.exists() {
            fs::remove_dir_all(&gone).map_err(at("remove", &gone))?;
        }
        match fs::rename(&path, &gone) {
            // Another run was faster.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
            renamed => renamed.map_err(at("move away", &path))?,
        }
        fs::remove_dir_all(&gone).map_err(at("remove", &gone))?;
        Ok(true)
    }

    /// Removes the package lists and what killed runs left.
    pub(crate) fn remove_scratch(&self) -> Result<(), ImageError> {
        for path in list(&self.root.join("lists"))? {
            if let Some(_lock) = flock(&self.lock_path(&file_name(&path)), FlockArg::LockExclusiveNonblock)? {
                fs::remove_dir_all(&path).map_err(at("remove", &path))?;
            }
        }
        for path in list(&self.root.join("tmp"))? {
            let name = file_name(&path);
            let owner = name.rsplit_once('.').map_or(name.as_str(), |(owner, _)| owner);
            if let Some(_lock) = flock(&self.lock_path(owner), FlockArg::LockExclusiveNonblock)? {
                fs::remove_dir_all(&path).map_err(at("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Keeps the `keep` images of a kind that were used last; those in use stay too.
    pub(crate) fn prune(&self, kind: &str, keep: usize) -> Result<(), ImageError> {
        let mut images = self.ages()?;
        images.retain(|(name, _)| name.starts_with(&format!("{kind}-")));
        images.sort_by_key(|(_, age)| *age);
        for (name, _) in images.iter().skip(keep) {
            self.remove(name)?;
        }
        Ok(())
    }
}

/// Opens a lock file and locks it; `None` when the lock is taken and `how` does not wait.
fn flock(path: &Path, how: FlockArg) -> Result<Option<Flock<File>>, ImageError> {
    let file = File::options().create(true).append(true).open(path).map_err(at("open", path))?;
    let mut file = file;
    loop {
        match Flock::lock(file, how) {
            Ok(lock) => return Ok(Some(lock)),
            Err((_, Errno::EWOULDBLOCK)) => return Ok(None),
            Err((again, Errno::EINTR)) => file = again,
            Err((_, errno)) => return Err(at("lock", path)(errno.into())),
        }
    }
}

fn list(directory: &Path) -> Result<Vec<PathBuf>, ImageError> {
    let entries = fs::read_dir(directory).map_err(at("list", directory))?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(at("list", directory))).collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn size_below(path: &Path) -> u64 {
    let Ok(metadata) = path.symlink_metadata() else { return 0 };
    if !metadata.is_dir() {
        // A sparse file takes less than its length.
        return metadata.len().min(std::os::unix::fs::MetadataExt::blocks(&metadata) * 512);
    }
    list(path).map_or(0, |entries| entries.iter().map(|path| size_below(path)).sum())
}
