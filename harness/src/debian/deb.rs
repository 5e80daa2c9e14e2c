//! Unpacks binary packages (deb(5)) as a plain user: files get no owner, and what a package names
//! stays below the directory that it is unpacked into.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use super::compressed;
use crate::cache::error::{ImageError, at, content};

/// The directories of `/` that are links into `/usr`.
const MERGED: [&str; 4] = ["bin", "sbin", "lib", "lib64"];

/// What a package may have unpacked; ten times the size of the largest one here.
const LIMIT: u64 = 8 << 30;

/// Unpacks packages into `root` and merges `/usr`: packages of any suite then end up below `usr/`,
/// and absolute links of one package find the files of another.
pub(crate) fn unpack(debs: &[PathBuf], root: &Path) -> Result<(), ImageError> {
    for name in MERGED {
        let (link, target) = (root.join(name), Path::new("usr").join(name));
        fs::create_dir_all(root.join(&target)).map_err(at("create", root))?;
        symlink(&target, &link).map_err(at("create", &link))?;
    }
    debs.iter().try_for_each(|deb| unpack_one(deb, root).map_err(|why| content(deb.display().to_string(), why)))
}

fn unpack_one(deb: &Path, root: &Path) -> Result<(), String> {
    let file = File::open(deb).map_err(|error| format!("cannot be opened: {error}"))?;
    let mut archive = ar::Archive::new(file);
    while let Some(member) = archive.next_entry() {
        let member = member.map_err(|error| format!("is no Debian package: {error}"))?;
        let name = String::from_utf8_lossy(member.header().identifier()).into_owned();
        if name.starts_with("data.tar") {
            let data = compressed::reader(&name, member).map_err(|error| error.to_string())?;
            return Tree::new(root, MERGED.as_slice())?.fill(data, LIMIT);
        }
    }
    Err("is no Debian package: it has no data.tar".into())
}

/// Unpacks a compressed tar archive of sources; without the first part of each name where `strip`
/// says so.
pub(crate) fn unpack_tar(archive: &Path, to: &Path, strip: bool) -> Result<(), ImageError> {
    let unpack = || {
        let file = File::open(archive).map_err(|error| format!("cannot be opened: {error}"))?;
        let tar = compressed::reader(&archive.to_string_lossy(), file).map_err(|error| error.to_string())?;
        Tree { strip: usize::from(strip), ..Tree::new(to, &[])? }.fill(tar, LIMIT)
    };
    unpack().map_err(|why| content(archive.display().to_string(), why))
}

/// A directory that archives are unpacked into.
struct Tree<'a> {
    /// Without symbolic links.
    root: PathBuf,
    /// What must stay the link that it is.
    kept: &'a [&'a str],
    /// How many leading parts of each name are left out.
    strip: usize,
}

impl<'a> Tree<'a> {
    fn new(root: &Path, kept: &'a [&'a str]) -> Result<Tree<'a>, String> {
        let root = root.canonicalize().map_err(|error| format!("cannot find {}: {error}", root.display()))?;
        Ok(Tree { root, kept, strip: 0 })
    }

    /// Unpacks a tar archive of at most so many bytes.
    fn fill(&self, tar: impl Read, limit: u64) -> Result<(), String> {
        let mut archive = tar::Archive::new(tar.take(limit));
        let entries = archive.entries().map_err(|error| format!("has no tar archive: {error}"))?;
        for entry in entries {
            let mut entry = entry.map_err(|error| format!("is damaged: {error}"))?;
            let name = entry.path().map_err(|error| format!("has a name that is none: {error}"))?.into_owned();
            self.put(&mut entry, &name).map_err(|why| format!("`{}` in it {why}", name.display()))?;
        }
        Ok(())
    }

    fn put(&self, entry: &mut tar::Entry<'_, impl Read>, name: &Path) -> Result<(), String> {
        let Some(path) = self.place(name)? else { return Ok(()) };
        let failed = |error: io::Error| format!("cannot be unpacked: {error}");
        let mode = entry.header().mode().map_err(failed)? & 0o777;
        match entry.header().entry_type() {
            tar::EntryType::Directory => {
                let there = path.symlink_metadata().ok();
                // A link to a directory stays; where it leads counts when something is put there.
                if there.as_ref().is_none_or(|there| !there.is_dir() && !there.is_symlink()) {
                    fs::create_dir(&path).map_err(failed)?;
                }
                if there.is_none_or(|there| there.is_dir()) {
                    fs::set_permissions(&path, fs::Permissions::from_mode(mode | 0o700)).map_err(failed)?;
                }
            }
            tar::EntryType::Regular | tar::EntryType::Continuous => {
                make_room(&path).map_err(failed)?;
                let mut file =
                    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
                io::copy(entry, &mut file).and_then(|_| file.flush()).map_err(failed)?;
                file.set_permissions(fs::Permissions::from_mode(mode | 0o600)).map_err(failed)?;
            }
            tar::EntryType::Symlink => {
                let target = entry.link_name().map_err(failed)?.ok_or("is a link to nothing")?;
                make_room(&path).map_err(failed)?;
                symlink(target, &path).map_err(failed)?;
            }
            tar::EntryType::Link => {
                let target = entry.link_name().map_err(failed)?.ok_or("is a link to nothing")?;
                let target = self.place(&target)?.ok_or("is a link to a directory")?;
                if !target.symlink_metadata().is_ok_and(|data| data.is_file()) {
                    return Err("is a hard link to what is no file".into());
                }
                make_room(&path).map_err(failed)?;
                fs::hard_link(&target, &path).map_err(failed)?;
            }
            // Devices and pipes are for root; tar's own headers are no files.
            _ => {}
        }
        Ok(())
    }

    /// Where a name belongs, with its directory made; nothing for the root and what is kept.
    fn place(&self, name: &Path) -> Result<Option<PathBuf>, String> {
        let mut parts = Vec::new();
        for part in name.components() {
            match part {
                Component::Normal(part) => parts.push(part),
                Component::CurDir => {}
                _ => return Err("leads out of the package".into()),
            }
        }
        let Some((last, directories)) = parts.get(self.strip..).and_then(<[_]>::split_last) else { return Ok(None) };
        if directories.is_empty() && self.kept.iter().any(|kept| *last == *kept) {
            return Ok(None);
        }
        let mut directory = self.root.clone();
        for part in directories {
            directory.push(part);
            match directory.symlink_metadata() {
                Ok(data) if data.is_dir() => {}
                Ok(_) => {
                    let inside = directory.canonicalize().ok().filter(|real| real.starts_with(&self.root));
                    directory = inside.ok_or_else(|| format!("lies behind the link {}", directory.display()))?;
                }
                Err(_) => fs::create_dir(&directory).map_err(|error| format!("has no directory: {error}"))?,
            }
        }
        Ok(Some(directory.join(last)))
    }
}

/// Removes what a file or link replaces.
fn make_room(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
