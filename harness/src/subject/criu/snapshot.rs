//! A snapshot of criu's sources as they are to be built: a folder's files or a revision of a
//! repository, with patches on top.

use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use super::{Sources, Variant, coverage};
use crate::cache::error::{ImageError, at};
use crate::image::through_loader;
use crate::process::command;
use crate::sources::Tree;
use crate::sources::git::{below, commit, git, listed};

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

/// Unpacks a revision.
fn archive(repository: &Path, revision: &str, to: &Path) -> Result<(), ImageError> {
    let commit = commit(repository, revision)?;
    let tar = to.with_extension("tar");
    let what = format!("reading the revision {revision} of {} (git archive)", repository.display());
    let mut archive = git(repository);
    archive.args(["archive", "--format=tar", "-o"]).arg(&tar).arg(commit);
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
