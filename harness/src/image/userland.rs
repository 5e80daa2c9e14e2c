//! A userland out of Debian packages, as a cpio segment: the programs that a checkpoint needs,
//! exactly the libraries that these need, blank filesystems, and the directories that the agent
//! expects.
//!
//! A userland lacks `ld.so.cache`, and maintainer scripts do not run, so everything must be where
//! ld.so(8) searches by itself.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::cpio::Segment;
use super::manifest::{BlankEntry, Manifest, UserlandEntry};
use crate::architecture::{Architecture, HOST};
use crate::cache::Built;
use crate::cache::error::{ImageError, at, content};
use crate::debian::source::Unpacked;
use crate::elf::needed::{self, Needed};
use crate::process::command;

/// The segment's file name.
pub(crate) const SEGMENT: &str = "userland.cpio";

/// The directory with blank filesystems in the segment.
pub(crate) const BLANK: &str = "blank";

/// Directories of the guest and their permissions.
const DIRECTORIES: [(&str, u32); 9] = [
    ("proc", 0o755),
    ("sys", 0o755),
    ("dev", 0o755),
    ("run", 0o755),
    ("tmp", 0o1777),
    ("etc", 0o755),
    ("root", 0o700),
    ("t", 0o755),
    (BLANK, 0o755),
];

/// Fills the directory with the userland of the unpacked packages; its version is that of the first
/// package. `blank` is a folder with the blank filesystems: programs of another architecture cannot
/// make them here.
pub(crate) fn build(
    unpacked: Unpacked,
    (entry, architecture): (&UserlandEntry, Architecture),
    manifest: &Manifest,
    blank: Option<&Path>,
    to: &Path,
) -> Result<Built, ImageError> {
    let Unpacked { root, packages } = unpacked;
    let mut segment = Segment::new();
    for (path, mode) in DIRECTORIES {
        segment.directory(path, mode);
    }
    segment.character_device("dev/console", 0o600, 5, 1);
    for name in ["bin", "sbin", "lib", "lib64"] {
        segment.directory(&format!("usr/{name}"), 0o755);
        segment.symlink(name, &format!("usr/{name}"));
    }
    add_files(&mut segment, &needed::walk(&root, &entry.binaries, &architecture.library_directories())?)?;
    for (name, entry) in &manifest.blank {
        for copy in 0..entry.copies {
            let name = format!("{name}-{copy}");
            let bytes = match blank.map(|folder| folder.join(&name)) {
                Some(made) => fs::read(&made).map_err(at("read", &made))?,
                None => blank_filesystem(&root, &name, entry, copy)?,
            };
            segment.file(&format!("{BLANK}/{name}"), 0o644, &bytes);
        }
    }
    let path = to.join(SEGMENT);
    fs::write(&path, segment.finish()).map_err(at("write", &path))?;
    let first = &entry.packages[0];
    let version = packages.iter().find(|package| package.name == *first).map(|package| package.version.clone());
    Ok(Built { version: format!("{first} {}", version.unwrap_or_default()), packages })
}

/// Puts files where ld.so(8) and the merged `/usr` want them; also for what was built on the host.
pub fn add_files(segment: &mut Segment, files: &[Needed]) -> Result<(), ImageError> {
    for file in files {
        let bytes = fs::read(&file.source).map_err(at("read", &file.source))?;
        let metadata = file.source.metadata().map_err(at("look at", &file.source))?;
        let mode = if metadata.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
        segment.file(&merged_usr(&file.path), mode, &bytes);
    }
    Ok(())
}

/// `lib64/ld-linux-x86-64.so.2` is `usr/lib64/ld-linux-x86-64.so.2` behind a link.
fn merged_usr(path: &Path) -> String {
    let path = path.to_string_lossy();
    let top = path.split('/').next().unwrap_or_default();
    if matches!(top, "bin" | "sbin" | "lib" | "lib64") { format!("usr/{path}") } else { path.into_owned() }
}

/// An empty filesystem in its sparse form, made by the userland's own mkfs through its own loader.
fn blank_filesystem(root: &Path, name: &str, blank: &BlankEntry, copy: u32) -> Result<Vec<u8>, ImageError> {
    // Beside the unpacked root: on the cache's disk, and gone when the build is over.
    let file = root.with_file_name(format!("{name}.img"));
    let image = fs::File::create(&file).map_err(at("create", &file))?;
    image.set_len(blank.size_mib << 20).map_err(at("lengthen", &file))?;
    let tree = root.with_file_name(format!("{name}.tree"));
    make_tree(&tree, &blank.tree)?;
    let mut words = blank.command.iter().map(|word| {
        let word = word.replace("{n}", &copy.to_string()).replace("{file}", &file.to_string_lossy());
        word.replace("{tree}", &tree.to_string_lossy())
    });
    let program = PathBuf::from(words.next().expect("the manifest's check wants one"));
    let mut command = through_loader(root, &program)?;
    // Fixed times and random numbers, as far as each mkfs has options for them.
    command.args(words).envs([("SOURCE_DATE_EPOCH", "0"), ("E2FSPROGS_FAKE_TIME", "1"), ("DETERMINISTIC_SEED", "1")]);
    command::run(&mut command, &format!("making the blank filesystem {name}"), "libc6", command::no_advice)?;
    let image = fs::File::open(&file).map_err(at("open", &file))?;
    let bytes =
        protocol::blank::encode(std::io::BufReader::with_capacity(1 << 20, image)).map_err(at("read", &file))?;
    fs::remove_file(&file).map_err(at("remove", &file))?;
    fs::remove_dir_all(&tree).map_err(at("remove", &tree))?;
    Ok(bytes)
}

/// The directory that a filesystem is made of, with fixed modes.
fn make_tree(tree: &Path, files: &BTreeMap<String, String>) -> Result<(), ImageError> {
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(at("set the mode of", path))
    };
    fs::create_dir_all(tree).map_err(at("create", tree))?;
    mode(tree, 0o755)?;
    for (name, contents) in files {
        let path = tree.join(name);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(at("create", directory))?;
            mode(directory, 0o755)?;
        }
        fs::write(&path, contents).map_err(at("write", &path))?;
        mode(&path, 0o644)?;
    }
    Ok(())
}

/// A program of the unpacked tree, to be given its arguments.
pub(crate) fn through_loader(root: &Path, program: &Path) -> Result<Command, ImageError> {
    let files = needed::walk(root, &[program], &HOST.library_directories())?;
    let source = |role| files.iter().find(|file| file.role == role).map(|file| &file.source);
    let (Some(loader), Some(program)) = (source(needed::Role::Interpreter), source(needed::Role::Start)) else {
        return Err(content(program.display().to_string(), "is no dynamic program; correct the manifest"));
    };
    let mut libraries: Vec<_> = HOST.library_directories().iter().map(|path| root.join(path)).collect();
    libraries.retain(|path| path.is_dir());
    let libraries = std::env::join_paths(&libraries).map_err(|_| ImageError::Setting {
        what: "the cache directory",
        value: root.display().to_string(),
        why: "a library path cannot have a colon",
    })?;
    let mut command = Command::new(loader);
    command.arg("--library-path").arg(libraries).arg(program);
    Ok(command)
}
