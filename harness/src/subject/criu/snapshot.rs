//! A snapshot of criu's sources as they are to be built: a folder's files or a revision of a
//! repository, with patches on top.
//!
//! Of a folder everything counts that git would take: tracked files, and new ones that are not
//! ignored. So objects of a build in the same folder stay where they are.

use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use sha2::{Digest, Sha256};

use super::{Sources, Tree, Variant, coverage};
use crate::cache::error::{ImageError, at};
use crate::image::through_loader;
use crate::process::command;

/// What a build leaves, for folders where git cannot tell.
const BUILT: [&str; 6] = [".o", ".a", ".d", ".so", ".pb-c.c", ".pb-c.h"];

/// A file of a tree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SourceFile {
    /// Relative to the tree.
    pub(super) path: PathBuf,
    pub(super) executable: bool,
    /// The content, or the target of a symbolic link.
    pub(super) content: Vec<u8>,
    pub(super) link: bool,
}

/// Everything that is to be built, in the order of paths.
#[derive(Debug)]
pub(super) struct SourceSnapshot {
    pub(super) files: Vec<SourceFile>,
    /// How it is to be built.
    pub(super) variant: Variant,
}

impl SourceSnapshot {
    /// Collects the sources and applies the patches. `scratch` is an empty directory for it; `root`
    /// has the program `patch`.
    pub(super) fn of(sources: &Sources, root: &Path, scratch: &Path) -> Result<SourceSnapshot, ImageError> {
        let none = || ImageError::Subject {
            what: sources.tree.to_string(),
            why: "is no source tree of criu: it has no Makefile.versions".into(),
        };
        let mut files = match &sources.tree {
            // Before it is read: somebody may have named a whole disk.
            Tree::Folder(folder) if !folder.join("Makefile.versions").is_file() => return Err(none()),
            Tree::Folder(folder) => read_all(folder, &listed(folder, scratch)?)?,
            Tree::Revision { repository, revision } => {
                let tree = scratch.join("revision");
                archive(repository, revision, &tree)?;
                read_all(&tree, &below(&tree)?)?
            }
        };
        if !files.iter().any(|file| file.path == Path::new("Makefile.versions")) {
            return Err(none());
        }
        if !sources.patches.is_empty() {
            let tree = scratch.join("patched");
            write_all(&files, &tree)?;
            for patch in &sources.patches {
                apply(patch, &tree, root)?;
            }
            files = read_all(&tree, &below(&tree)?)?;
        }
        files.extend(sources.variant.coverage.then(coverage::flush));
        files.sort();
        Ok(SourceSnapshot { files, variant: sources.variant.clone() })
    }

    /// A hash of all of it.
    pub(super) fn key(&self) -> String {
        let mut hash = Sha256::new();
        for file in &self.files {
            hash.update(file.path.as_os_str().as_bytes());
            hash.update([0, u8::from(file.executable), u8::from(file.link)]);
            hash.update(file.content.len().to_le_bytes());
            hash.update(&file.content);
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The files of a folder that count, relative to it.
fn listed(folder: &Path, scratch: &Path) -> Result<Vec<PathBuf>, ImageError> {
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
fn below(folder: &Path) -> Result<Vec<PathBuf>, ImageError> {
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

fn read_all(folder: &Path, paths: &[PathBuf]) -> Result<Vec<SourceFile>, ImageError> {
    let read = |relative: &PathBuf| {
        let path = folder.join(relative);
        let metadata = path.symlink_metadata().map_err(at("look at", &path))?;
        let link = metadata.is_symlink();
        let content = match link {
            true => fs::read_link(&path).map_err(at("read", &path))?.into_os_string().into_encoded_bytes(),
            false => fs::read(&path).map_err(at("read", &path))?,
        };
        let executable = !link && metadata.permissions().mode() & 0o111 != 0;
        Ok(SourceFile { path: relative.clone(), executable, content, link })
    };
    paths.iter().map(read).collect()
}

pub(super) fn write_all(files: &[SourceFile], folder: &Path) -> Result<(), ImageError> {
    files.iter().try_for_each(|file| write(file, folder))
}

/// Writes one file anew, whatever is in its place.
pub(super) fn write(file: &SourceFile, folder: &Path) -> Result<(), ImageError> {
    let path = folder.join(&file.path);
    let parent = path.parent().expect("it is below the folder");
    fs::create_dir_all(parent).map_err(at("create", parent))?;
    if let Ok(metadata) = path.symlink_metadata() {
        let gone = if metadata.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        gone.map_err(at("replace", &path))?;
    }
    if file.link {
        let target = std::ffi::OsStr::from_bytes(&file.content);
        return std::os::unix::fs::symlink(target, &path).map_err(at("create", &path));
    }
    let mut out = fs::File::create(&path).map_err(at("create", &path))?;
    out.write_all(&file.content).map_err(at("write", &path))?;
    let mode = if file.executable { 0o755 } else { 0o644 };
    out.set_permissions(fs::Permissions::from_mode(mode)).map_err(at("write", &path))
}

/// git in a repository of any owner; the user's environment does not send it elsewhere.
fn git(repository: &Path) -> Command {
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

/// Unpacks a revision.
fn archive(repository: &Path, revision: &str, to: &Path) -> Result<(), ImageError> {
    let name = format!("{revision}^{{commit}}");
    let what = format!("finding the revision {revision} in {}", repository.display());
    let mut parse = git(repository);
    parse.args(["rev-parse", "--verify", "--end-of-options", &name]);
    let commit = command::run(&mut parse, &what, "git", command::no_advice)?;
    let tar = to.with_extension("tar");
    let what = format!("reading the revision {revision} of {} (git archive)", repository.display());
    let mut archive = git(repository);
    archive.args(["archive", "--format=tar", "-o"]).arg(&tar).arg(commit.trim());
    command::run(&mut archive, &what, "git", command::no_advice)?;
    fs::create_dir(to).map_err(at("create", to))?;
    let mut unpack = Command::new("tar");
    unpack.arg("-xf").arg(&tar).arg("-C").arg(to);
    command::run(&mut unpack, "unpacking the revision (tar)", "tar", command::no_advice)?;
    Ok(())
}

/// Applies a patch with the build root's `patch`, which names files and hunks.
pub(super) fn apply(patch: &Path, tree: &Path, root: &Path) -> Result<(), ImageError> {
    let input = fs::File::open(patch).map_err(at("open", patch))?;
    let mut command = through_loader(root, Path::new("usr/bin/patch"))?;
    command.args(["-p1", "--batch", "--forward", "--no-backup-if-mismatch", "--reject-file=-", "-d"]).arg(tree);
    let output = command.env("LC_ALL", "C").stdin(input).output().map_err(at("apply", patch))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let lines: Vec<String> =
        String::from_utf8_lossy(&said).lines().take(40).map(|line| format!("\n  | {line}")).collect();
    Err(ImageError::Subject {
        what: format!("the patch {}", patch.display()),
        why: format!("does not apply to the sources (patch -p1):{}", lines.concat()),
    })
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
