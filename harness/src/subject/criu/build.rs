//! criu out of its sources, in the build root.
//!
//! Each source folder has a build tree in the cache that is kept: what changed is written into it,
//! what did not keeps its times, so `make` does no more than it must. Where that fails once, the
//! tree is made anew: a build that fails only because of an earlier build's files is not the tree's
//! concern.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::snapshot::{self, SourceFile, SourceSnapshot};
use super::{asan, coverage, headers};
use crate::cache::error::{ImageError, at};
use crate::sources::make::{failure, jobs};
use crate::sources::sandbox::Sandbox;

/// The arguments of `make`: criu alone, without its Python tools, and warnings are not errors,
/// because older sources meet a newer compiler here.
const TARGET: [&str; 2] = ["WERROR=0", "criu"];

/// Where the program is in a tree.
const PROGRAM: &str = "criu/criu";

/// A build tree in the cache; its lock is held.
pub(super) struct BuildTree<'a> {
    /// The unpacked build root.
    pub(super) root: &'a Path,
    /// The root's suite.
    pub(super) suite: &'a str,
    /// The suites that there are, oldest first.
    pub(super) roots: &'a [String],
    /// The build tree's directory.
    pub(super) directory: PathBuf,
}

impl BuildTree<'_> {
    /// Builds; the program.
    pub(super) fn build(&self, what: &str, snapshot: &SourceSnapshot) -> Result<PathBuf, ImageError> {
        let fresh = !self.tree().exists();
        let made = self.attempt(snapshot)?;
        if made
            || (!fresh && {
                self.clear()?;
                self.attempt(snapshot)?
            })
        {
            return Ok(self.tree().join(PROGRAM));
        }
        let log = self.log();
        let text = fs::read(&log).map_err(at("read", &log))?;
        let text = String::from_utf8_lossy(&text);
        let advice = {
            let sources = snapshot.files.iter().map(|file| &file.content[..]);
            headers::advice(&text, self.suite, self.roots, sources, || headers::of_root(self.root))
        };
        let advice = advice.map_or_else(String::new, |advice| format!("\n{advice}"));
        Err(ImageError::Subject { what: what.to_owned(), why: failure(&text, &log) + &advice })
    }

    fn attempt(&self, snapshot: &SourceSnapshot) -> Result<bool, ImageError> {
        self.synchronise(snapshot)?;
        let program = self.tree().join(PROGRAM);
        let counting = if snapshot.variant.coverage { Vec::from(coverage::words()) } else { Vec::new() };
        let mut more: Vec<&str> = counting.iter().map(String::as_str).collect();
        more.extend(snapshot.variant.asan.then_some(asan::WORDS).into_iter().flatten());
        let jobs = jobs();
        let words = [&["make", &jobs], &more[..], &TARGET[..]].concat();
        let tree = self.tree();
        let made = Sandbox { root: self.root, folder: &tree, sources: None }.run(&words, &self.log())?;
        Ok(made && program.is_file())
    }

    /// Writes these sources and calls `make` with each of these lists of words, in the tree.
    pub(super) fn make(&self, what: &str, snapshot: &SourceSnapshot, calls: &[Vec<&str>]) -> Result<(), ImageError> {
        self.synchronise(snapshot)?;
        let (tree, log) = (self.tree(), self.log());
        let sandbox = Sandbox { root: self.root, folder: &tree, sources: None };
        for call in calls {
            let jobs = jobs();
            if !sandbox.run(&[&["make", &jobs], &call[..]].concat(), &log)? {
                let text = fs::read(&log).map_err(at("read", &log))?;
                let why = failure(&String::from_utf8_lossy(&text), &log);
                return Err(ImageError::Subject { what: what.to_owned(), why });
            }
        }
        Ok(())
    }

    pub(super) fn tree(&self) -> PathBuf {
        self.directory.join("tree")
    }

    fn log(&self) -> PathBuf {
        self.directory.join("make.log")
    }

    fn clear(&self) -> Result<(), ImageError> {
        fs::remove_dir_all(self.tree()).map_err(at("remove", &self.tree()))
    }

    /// Writes what is new or changed, removes what is gone; what a build made stays.
    fn synchronise(&self, snapshot: &SourceSnapshot) -> Result<(), ImageError> {
        let (tree, list) = (self.tree(), self.directory.join("sources"));
        fs::create_dir_all(&tree).map_err(at("create", &tree))?;
        let name = |file: &SourceFile| file.path.to_string_lossy().into_owned();
        let now: BTreeSet<String> = snapshot.files.iter().map(name).collect();
        let before = fs::read_to_string(&list).unwrap_or_default();
        for gone in before.lines().filter(|path| !now.contains(*path)) {
            let path = tree.join(gone);
            if path.symlink_metadata().is_ok() {
                fs::remove_file(&path).map_err(at("remove", &path))?;
            }
        }
        // First the list: a listed file that is missing does no harm, the reverse would stay
        // for ever.
        let lines: Vec<&str> = now.iter().map(String::as_str).collect();
        fs::write(&list, lines.join("\n")).map_err(at("write", &list))?;
        for file in snapshot.files.iter().filter(|file| !is_there(file, &tree)) {
            snapshot::write(file, &tree)?;
        }
        Ok(())
    }
}

/// Whether the tree has this file already.
fn is_there(file: &SourceFile, tree: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let path = tree.join(&file.path);
    let Ok(metadata) = path.symlink_metadata() else { return false };
    if metadata.is_symlink() || file.link {
        let target = fs::read_link(&path).map(|target| target.into_os_string().into_encoded_bytes());
        return file.link && target.is_ok_and(|target| target == file.content);
    }
    let executable = metadata.permissions().mode() & 0o111 != 0;
    metadata.is_file()
        && executable == file.executable
        && metadata.len() == file.content.len() as u64
        && fs::read(&path).is_ok_and(|content| content == file.content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::criu::Variant;

    fn snapshot(files: &[(&str, &str)]) -> SourceSnapshot {
        let file = |&(path, text): &(&str, &str)| SourceFile {
            path: path.into(),
            executable: false,
            content: text.into(),
            link: false,
        };
        SourceSnapshot { files: files.iter().map(file).collect(), variant: Variant::default() }
    }

    #[test]
    fn what_did_not_change_keeps_its_time_and_what_is_gone_goes() {
        let directory = tempfile::tempdir().unwrap();
        let build_tree =
            BuildTree { root: Path::new("/"), suite: "trixie", roots: &[], directory: directory.path().to_path_buf() };
        build_tree.synchronise(&snapshot(&[("a.c", "1"), ("d/b.c", "1"), ("gone.c", "1")])).unwrap();
        fs::write(build_tree.tree().join("a.o"), "object").unwrap();
        let old = std::time::SystemTime::UNIX_EPOCH;
        for name in ["a.c", "d/b.c"] {
            fs::File::options().write(true).open(build_tree.tree().join(name)).unwrap().set_modified(old).unwrap();
        }
        build_tree.synchronise(&snapshot(&[("a.c", "1"), ("d/b.c", "2")])).unwrap();
        let time = |name| build_tree.tree().join(name).metadata().unwrap().modified().unwrap();
        assert_eq!(time("a.c"), old);
        assert!(time("d/b.c") > old);
        assert_eq!(fs::read_to_string(build_tree.tree().join("d/b.c")).unwrap(), "2");
        assert!(build_tree.tree().join("a.o").exists() && !build_tree.tree().join("gone.c").exists());
    }
}
