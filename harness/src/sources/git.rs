//! What git knows of sources.
//!
//! Of a folder everything counts that git would take: tracked files, and new ones that are not
//! ignored. So objects of a build in the same folder stay where they are.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::Tree;
use crate::cache::error::{ImageError, at};
use crate::process::command;

/// What a build leaves, for folders where git cannot tell.
const BUILT: [&str; 6] = [".o", ".a", ".d", ".so", ".pb-c.c", ".pb-c.h"];

/// The files of a folder that count, relative to it.
pub(crate) fn listed(folder: &Path, scratch: &Path) -> Result<Vec<PathBuf>, ImageError> {
    fs::read_dir(folder).map_err(at("list", folder))?;
    let mut git = git(folder);
    if folder.join(".git").exists() {
        git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    } else {
        // An empty repository beside it: everything is new, and `.gitignore` counts.
        let empty = scratch.join("empty.git");
        let made = Command::new("git").args(["init", "--quiet", "--bare"]).arg(&empty).stdin(Stdio::null()).output();
        if !made.is_ok_and(|output| output.status.success()) {
            return plain(folder);
        }
        // Absolute: git would read it from the folder that it has gone to.
        let whole = folder.canonicalize().map_err(at("find", folder))?;
        git.env("GIT_DIR", &empty).env("GIT_WORK_TREE", whole);
        git.args(["ls-files", "-z", "--others", "--exclude-per-directory=.gitignore"]);
    }
    match git.output() {
        Ok(Output { status, stdout, .. }) if status.success() => {
            let names = stdout.split(|&byte| byte == 0).filter(|name| !name.is_empty());
            let mut paths: Vec<PathBuf> = names.map(|name| PathBuf::from(std::ffi::OsStr::from_bytes(name))).collect();
            paths.sort();
            paths.dedup();
            // A tracked file may have been removed.
            paths.retain(|path| folder.join(path).symlink_metadata().is_ok_and(|data| !data.is_dir()));
            Ok(paths)
        }
        _ => plain(folder),
    }
}

/// Without git: everything but what builds leave.
fn plain(folder: &Path) -> Result<Vec<PathBuf>, ImageError> {
    let mut paths = below(folder)?;
    paths.retain(|path| {
        let name = path.to_string_lossy();
        !path.starts_with(".git") && !BUILT.iter().any(|end| name.ends_with(end))
    });
    Ok(paths)
}

/// Every file below a folder, without the folders, relative to it.
pub(crate) fn below(folder: &Path) -> Result<Vec<PathBuf>, ImageError> {
    let mut paths = Vec::new();
    let mut todo = vec![folder.to_path_buf()];
    while let Some(current) = todo.pop() {
        for entry in fs::read_dir(&current).map_err(at("list", &current))? {
            let entry = entry.map_err(at("list", &current))?;
            let kind = entry.file_type().map_err(at("look at", &current))?;
            if kind.is_dir() {
                todo.push(entry.path());
            } else if kind.is_file() || kind.is_symlink() {
                paths.push(entry.path().strip_prefix(folder).expect("it was listed below it").to_path_buf());
            }
        }
    }
    Ok(paths)
}

/// git in a repository of any owner; the user's environment does not send it elsewhere.
pub(crate) fn git(repository: &Path) -> Command {
    let mut command = Command::new("git");
    command.args(["-c", "safe.directory=*", "-C"]).arg(repository).stdin(Stdio::null());
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(variable);
    }
    command
}

/// Which revision it is, in short, with `-dirty` behind it where a folder has changes that count;
/// `None` where it is not in a git repository.
pub fn revision(tree: &Tree) -> Option<String> {
    let said = |repository: &Path, words: &[&str]| {
        // This query takes no lock and writes no index.
        let output = git(repository).args(words).env("GIT_OPTIONAL_LOCKS", "0").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(text)
    };
    match tree {
        Tree::Revision { repository, revision } => {
            let name = format!("{revision}^{{commit}}");
            said(repository, &["rev-parse", "--short=12", "--verify", "--end-of-options", &name])
        }
        // A folder inside of another repository is not a checkout of criu.
        Tree::Folder(folder) if folder.join(".git").exists() => {
            let hash = said(folder, &["rev-parse", "--short=12", "--verify", "HEAD"])?;
            let changes = said(folder, &["status", "--porcelain"])?;
            Some(if changes.is_empty() { hash } else { format!("{hash}-dirty") })
        }
        Tree::Folder(_) => None,
    }
}

/// The whole name of the commit that a revision is.
///
/// # Errors
/// The repository does not have it.
pub(crate) fn commit(repository: &Path, revision: &str) -> Result<String, ImageError> {
    let name = format!("{revision}^{{commit}}");
    let what = format!("finding the revision {revision} in {}", repository.display());
    let mut parse = git(repository);
    parse.args(["rev-parse", "--verify", "--end-of-options", &name]);
    Ok(command::run(&mut parse, &what, "git", command::no_advice)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_short_and_tells_of_changes() {
        let folder = tempfile::tempdir().unwrap();
        let repository = folder.path().to_path_buf();
        let run = |words: &[&str]| {
            let author = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"];
            assert!(git(&repository).args(author).args(words).output().unwrap().status.success(), "{words:?}");
        };
        let tree = Tree::Folder(repository.clone());
        assert_eq!(revision(&tree), None, "git knows nothing of it");
        fs::write(repository.join("a"), "1").unwrap();
        for words in [&["init", "--quiet"][..], &["add", "a"], &["commit", "--quiet", "-m", "a"], &["tag", "v1"]] {
            run(words);
        }
        let hash = revision(&tree).unwrap();
        assert!(hash.len() == 12 && hash.chars().all(|c| c.is_ascii_hexdigit()), "{hash}");
        fs::write(repository.join("a"), "2").unwrap();
        assert_eq!(revision(&tree), Some(format!("{hash}-dirty")));
        let named = |revision: &str| Tree::Revision { repository: repository.clone(), revision: revision.into() };
        assert_eq!(revision(&named("v1")), Some(hash), "a revision is as it is");
        assert_eq!(revision(&named("v2")), None);
        // Inside of a repository of something else.
        fs::create_dir(repository.join("criu")).unwrap();
        assert_eq!(revision(&Tree::Folder(repository.join("criu"))), None);
    }
}
