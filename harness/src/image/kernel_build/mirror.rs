//! A copy of a kernel's sources in the cache, which is kept: what changed is written into it, what
//! did not keeps its time, so `make` does no more than it must.
//!
//! A copy, because a build of the user's in the same tree must neither be in the way nor be harmed,
//! and because a folder and all revisions of its repository share what is the same. Each file is
//! known by git's hash of it. A file of a folder is read only where its size, times or number
//! changed since the last time, as git's index does it; of a revision git lists the hashes. So a
//! step of a bisection reads and writes a few files out of 90,000.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha1::{Digest as _, Sha1};

use super::blobs::Blobs;
use crate::cache::error::{ImageError, at};
use crate::cache::record::{hex, sha256};
use crate::sources::Tree;
use crate::sources::git::{commit, listed};

/// A file whose time is not older than this, when it is read, may change again without a new time.
const TIME_GRAIN: Duration = Duration::from_secs(2);

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Plain,
    Executable,
    Link,
}

/// A file of the copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Copied {
    /// git's hash of its content; empty while it is not known to be right.
    id: String,
    mode: Mode,
    /// Size, times and number of the folder's file when it was read; empty where these do not say
    /// that it is the same.
    stat: String,
}

pub(super) type Files = BTreeMap<PathBuf, Copied>;

/// The copy.
pub(super) struct Mirror {
    /// The copy's folder.
    pub(super) tree: PathBuf,
    /// What is in it.
    list: PathBuf,
}

impl Mirror {
    /// The one in this directory, which is there.
    pub(super) fn new(directory: &Path) -> Mirror {
        Mirror { tree: directory.join("source"), list: directory.join("files") }
    }

    /// Makes the copy the same as the sources; a hash of all of them. `scratch` is an empty
    /// directory.
    ///
    /// # Errors
    /// What cannot be read or written. The next call makes good what this one left.
    pub(super) fn follow(&self, tree: &Tree, scratch: &Path) -> Result<String, ImageError> {
        let before = parse(&fs::read(&self.list).unwrap_or_default());
        fs::create_dir_all(&self.tree).map_err(at("create", &self.tree))?;
        let after = match tree {
            Tree::Folder(folder) => self.follow_folder(folder, before, &listed(folder, scratch)?)?,
            Tree::Revision { repository, revision } => {
                self.follow_revision(repository, &commit(repository, revision)?, before)?
            }
        };
        self.write_list(&after)?;
        let line = |(path, file): (&PathBuf, &Copied)| format!("{} {:?} {}\n", file.id, file.mode, path.display());
        Ok(sha256(after.iter().map(line).collect::<String>().as_bytes()))
    }

    fn follow_folder(&self, folder: &Path, before: Files, paths: &[PathBuf]) -> Result<Files, ImageError> {
        let begin = SystemTime::now();
        let mut after = Files::new();
        let mut todo = Vec::new();
        for path in paths {
            let place = folder.join(path);
            let data = place.symlink_metadata().map_err(at("look at", &place))?;
            let Some(mode) = mode_of(&data) else { continue };
            let stat = stat_of(&data, begin);
            match before.get(path) {
                Some(old) if !stat.is_empty() && old.stat == stat && old.mode == mode && !old.id.is_empty() => {
                    after.insert(path.clone(), old.clone());
                }
                _ => todo.push((path, Copied { id: String::new(), mode, stat })),
            }
        }
        let unsure = todo.iter().map(|(path, _)| (*path).clone()).collect();
        self.remove_gone(&before, &after, unsure)?;
        for (path, new) in todo {
            let place = folder.join(path);
            let content = match new.mode {
                Mode::Link => fs::read_link(&place).map(|target| target.into_os_string().into_encoded_bytes()),
                _ => fs::read(&place),
            };
            let content = content.map_err(at("read", &place))?;
            let new = Copied { id: blob_hash(&content), ..new };
            if !before.get(path).is_some_and(|old| old.id == new.id && old.mode == new.mode) {
                self.write(path, new.mode, &content)?;
            }
            after.insert(path.clone(), new);
        }
        Ok(after)
    }

    fn follow_revision(&self, repository: &Path, commit: &str, before: Files) -> Result<Files, ImageError> {
        let mut blobs = Blobs::of(repository)?;
        let mut after = Files::new();
        let mut todo = Vec::new();
        for (path, mode, id) in blobs.list(commit)? {
            let new = Copied { id, mode, stat: String::new() };
            match before.get(&path) {
                Some(old) if old.id == new.id && old.mode == new.mode => drop(after.insert(path, new)),
                _ => todo.push((path, new)),
            }
        }
        self.remove_gone(&before, &after, todo.iter().map(|(path, _)| path.clone()).collect())?;
        for (path, new) in todo {
            self.write(&path, new.mode, &blobs.read(&new.id)?)?;
            after.insert(path, new);
        }
        Ok(after)
    }

    /// Removes what the sources do not have any more. Before it the list says what is sure, so that
    /// a run which ends in between leaves nothing that counts as right and is not.
    fn remove_gone(&self, before: &Files, sure: &Files, unsure: Vec<PathBuf>) -> Result<(), ImageError> {
        let gone = before.keys().filter(|path| !sure.contains_key(*path) && unsure.binary_search(path).is_err());
        let gone: Vec<&PathBuf> = gone.collect();
        if gone.is_empty() && unsure.is_empty() {
            return Ok(());
        }
        let mut list = sure.clone();
        let unknown = Copied { id: String::new(), mode: Mode::Plain, stat: String::new() };
        list.extend(unsure.iter().chain(gone.iter().copied()).map(|path| (path.clone(), unknown.clone())));
        self.write_list(&list)?;
        for path in gone {
            remove(&self.tree.join(path))?;
        }
        Ok(())
    }

    fn write(&self, path: &Path, mode: Mode, content: &[u8]) -> Result<(), ImageError> {
        let place = self.tree.join(path);
        self.folders_above(path)?;
        remove(&place)?;
        if mode == Mode::Link {
            return std::os::unix::fs::symlink(OsStr::from_bytes(content), &place).map_err(at("create", &place));
        }
        fs::write(&place, content).map_err(at("write", &place))?;
        let bits = if mode == Mode::Executable { 0o755 } else { 0o644 };
        fs::set_permissions(&place, fs::Permissions::from_mode(bits)).map_err(at("write", &place))
    }

    /// Makes the folders that a file is in. A link in their place, as a repository that was made by
    /// hand can have, would lead out of the copy.
    fn folders_above(&self, path: &Path) -> Result<(), ImageError> {
        let above: Vec<&Path> = path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()).collect();
        for folder in above.iter().rev().map(|above| self.tree.join(above)) {
            if !folder.symlink_metadata().is_ok_and(|data| data.is_dir()) {
                remove(&folder)?;
                fs::create_dir(&folder).map_err(at("create", &folder))?;
            }
        }
        Ok(())
    }

    /// Puts a new list in the place of the old one.
    fn write_list(&self, files: &Files) -> Result<(), ImageError> {
        let mut text = Vec::new();
        for (path, Copied { id, mode, stat }) in files {
            text.extend_from_slice(format!("{id} {} {stat}\t", word(*mode)).as_bytes());
            text.extend_from_slice(path.as_os_str().as_bytes());
            text.push(0);
        }
        let new = self.list.with_extension("new");
        fs::write(&new, text).map_err(at("write", &new))?;
        fs::rename(&new, &self.list).map_err(at("put in place", &self.list))
    }
}

/// The list as it was written; a line that cannot be read is left out, so its file is copied again.
fn parse(list: &[u8]) -> Files {
    let entry = |line: &[u8]| {
        let tab = line.iter().position(|byte| *byte == b'\t')?;
        let mut words = std::str::from_utf8(&line[..tab]).ok()?.splitn(3, ' ');
        let (id, mode, stat) = (words.next()?.to_owned(), words.next()?, words.next()?.to_owned());
        let mode = [Mode::Plain, Mode::Executable, Mode::Link].into_iter().find(|one| word(*one) == mode)?;
        Some((PathBuf::from(OsStr::from_bytes(&line[tab + 1..])), Copied { id, mode, stat }))
    };
    list.split(|byte| *byte == 0).filter_map(entry).collect()
}

/// The hash that git gives a content, gitformat-pack(5).
fn blob_hash(content: &[u8]) -> String {
    let mut hash = Sha1::new_with_prefix(format!("blob {}\0", content.len()));
    hash.update(content);
    hex(hash.finalize().as_slice())
}

fn word(mode: Mode) -> &'static str {
    match mode {
        Mode::Plain => "plain",
        Mode::Executable => "executable",
        Mode::Link => "link",
    }
}

/// Nothing for what is neither a file nor a link.
fn mode_of(data: &Metadata) -> Option<Mode> {
    match data {
        data if data.is_symlink() => Some(Mode::Link),
        data if !data.is_file() => None,
        data if data.permissions().mode() & 0o111 != 0 => Some(Mode::Executable),
        _ => Some(Mode::Plain),
    }
}

/// Nothing for a file that changed just now.
fn stat_of(data: &Metadata, begin: SystemTime) -> String {
    let seconds = u64::try_from(data.mtime().max(data.ctime())).unwrap_or(0);
    if UNIX_EPOCH + Duration::from_secs(seconds) + TIME_GRAIN > begin {
        return String::new();
    }
    let (mtime, ctime) = ((data.mtime(), data.mtime_nsec()), (data.ctime(), data.ctime_nsec()));
    format!("{} {}.{} {}.{} {}", data.size(), mtime.0, mtime.1, ctime.0, ctime.1, data.ino())
}

/// Removes what is there, whatever it is.
fn remove(path: &Path) -> Result<(), ImageError> {
    let removed = match path.symlink_metadata() {
        Ok(data) if data.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(at("remove", path)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
