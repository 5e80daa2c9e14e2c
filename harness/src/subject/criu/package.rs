//! A criu with the libraries that it needs, to be carried into a guest whose own libraries are
//! others.
//!
//! In the guest all of it is in a folder of its own, `/subject`: the program, its loader, its
//! libraries. It gets there when the guest is up (module `vm::subject`). The agent starts the
//! program through that loader, so neither the guest's libraries are in its way nor its own in
//! theirs: criu starts `tar` and `sh`, which are the userland's.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Variant, asan, coverage};
use crate::architecture::HOST;
use crate::cache::error::{ImageError, at};
use crate::cache::record::{sha256, sha256_of_file};
use crate::elf::ld_cache;
use crate::elf::needed::{self, Needed, NeededError, Places, Role};
use crate::image::cpio::Segment;
use crate::process::command;
use crate::process::work_folder::WorkFolder;

/// The segment's file name.
pub(super) const SEGMENT: &str = "criu.cpio";

/// The folder in the guest, and the names in it and in the image; crate `guest`, module `criu`,
/// knows them too.
const FOLDER: &str = "subject";
const PROGRAM: &str = "criu";
const LOADER: &str = "ld.so";
const LIBRARIES: &str = "lib";
/// Empty files beside a criu that counts what it does, and one that has the address sanitizer.
const COUNTS: &str = "coverage";
const ASAN: &str = "asan";

/// The files that a program of this host needs, by the rules of its loader.
pub(super) fn of_host(program: &Path) -> Result<Vec<Needed>, ImageError> {
    let cache = ld_cache::parse(&fs::read("/etc/ld.so.cache").unwrap_or_default());
    let real = fs::canonicalize(program).map_err(at("find", program))?;
    let first = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let first = std::env::split_paths(&first).filter(|path| path.is_absolute()).collect();
    files(Path::new("/"), &real, Places { first, cache, ..Places::default() })
}

/// The files that a program which was built in a tree of unpacked packages needs.
pub(super) fn of_tree(root: &Path, program: &Path) -> Result<Vec<Needed>, ImageError> {
    files(root, program, Places::default())
}

fn files(root: &Path, program: &Path, places: Places) -> Result<Vec<Needed>, ImageError> {
    let what = || program.display().to_string();
    let refuse = |why: String| Err(ImageError::Subject { what: what(), why });
    fs::File::open(program).map_err(at("read", program))?;
    if needed::machine_of(program) != Some(HOST.elf_machine()) {
        return refuse(format!(
            "is no program for {HOST} (a script that starts criu is none either): name criu itself"
        ));
    }
    let directories = HOST.library_directories().map(PathBuf::from).into();
    let relative = program.strip_prefix("/").unwrap_or(program).to_path_buf();
    let found = needed::search_from(root, vec![(relative, program.to_path_buf())], &Places { directories, ..places })?;
    if !found.missing.is_empty() {
        let line = |missing: &NeededError| match missing {
            NeededError::NoLibrary { library, by, .. } => format!("\n  {library}, needed by /{}", by.display()),
            other => format!("\n  {other}"),
        };
        let lines: String = found.missing.iter().map(line).collect();
        return refuse(format!(
            "these libraries are neither in its run path, nor in LD_LIBRARY_PATH, nor known to this system's loader; \
             install them or name their directory:{lines}"
        ));
    }
    Ok(found.files)
}

/// A hash of all these files.
pub(super) fn key(files: &[Needed]) -> Result<String, ImageError> {
    let mut text = String::new();
    for file in files {
        text.push_str(&format!("{:?} {} {}\n", file.role, file.path.display(), sha256_of_file(&file.source)?));
    }
    Ok(sha256(text.as_bytes()))
}

/// Fills the directory: the files, to be started here, and the segment. The version that criu
/// tells. The guest learns of a special build.
pub(super) fn pack(files: &[Needed], variant: &Variant, to: &Path) -> Result<String, ImageError> {
    let mut segment = Segment::new();
    fs::create_dir_all(to.join(LIBRARIES)).map_err(at("create", to))?;
    segment.directory(&format!("{FOLDER}/{LIBRARIES}"), 0o755);
    for file in files {
        let name = match file.role {
            Role::Start => PROGRAM.to_owned(),
            Role::Interpreter => LOADER.to_owned(),
            Role::Library => {
                format!("{LIBRARIES}/{}", file.path.file_name().unwrap_or_default().to_string_lossy())
            }
        };
        let mut bytes = fs::read(&file.source).map_err(at("read", &file.source))?;
        let copy = to.join(&name);
        fs::write(&copy, &bytes).map_err(at("write", &copy))?;
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).map_err(at("make executable", &copy))?;
        if file.role == Role::Start && variant.asan {
            asan::own_loader(&mut bytes, &file.path)?;
        }
        segment.file(&format!("{FOLDER}/{name}"), 0o755, &bytes);
    }
    for (is_marked, mark) in [(variant.coverage, COUNTS), (variant.asan, ASAN)] {
        if is_marked {
            segment.file(&format!("{FOLDER}/{mark}"), 0o444, b"");
        }
    }
    let path = to.join(SEGMENT);
    fs::write(&path, segment.finish()).map_err(at("write", &path))?;
    version(to)
}

/// Starts it as the agent does, which shows too that nothing is missing.
fn version(directory: &Path) -> Result<String, ImageError> {
    let (program, loader) = (directory.join(PROGRAM), directory.join(LOADER));
    let mut command = Command::new(if loader.exists() { &loader } else { &program });
    if loader.exists() {
        command.arg("--library-path").arg(directory.join(LIBRARIES)).arg(&program);
    }
    // One that counts would make a folder of the build root on this host.
    let counters = WorkFolder::new().map_err(at("create a directory in", &std::env::temp_dir()))?;
    command.envs([coverage::counters_below(counters.path())]).envs([asan::OPTIONS]);
    let said =
        command::run(command.arg("--version"), "criu --version", "libc6", command::no_advice).map_err(|error| {
            ImageError::Subject { what: "the new criu".into(), why: format!("does not start: {error}") }
        })?;
    let version = said.lines().find_map(|line| line.strip_prefix("Version: ")).map(|version| version.trim().to_owned());
    version.ok_or_else(|| ImageError::Subject {
        what: "the new criu".into(),
        why: format!("is no criu: `--version` says {said:?}, without a line `Version: ...`"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(program: &Path) -> String {
        let to = tempfile::tempdir().unwrap();
        let result = of_host(program).and_then(|files| pack(&files, &Variant::default(), to.path()));
        result.expect_err("it is no criu").to_string()
    }

    #[test]
    fn what_is_no_criu_is_refused() {
        let script = tempfile::NamedTempFile::new().unwrap();
        fs::write(script.path(), "#!/bin/sh\nexec criu \"$@\"\n").unwrap();
        assert!(refused(script.path()).contains("is no program for "));
        assert!(refused(Path::new("/nowhere/criu")).starts_with("cannot find /nowhere/criu"));
        let error = refused(Path::new("/bin/sh"));
        assert!(error.starts_with("the new criu: "), "{error}");
    }

    #[test]
    fn a_program_of_this_host_starts_from_its_copies_alone() {
        let to = tempfile::tempdir().unwrap();
        let files = of_host(Path::new("/bin/cat")).unwrap();
        // It tells no version of criu, but it does start.
        let error = pack(&files, &Variant::default(), to.path()).unwrap_err().to_string();
        assert!(error.contains("is no criu: `--version` says \"cat "), "{error}");
        let segment = fs::read(to.path().join(SEGMENT)).unwrap();
        let names = crate::image::cpio::files_below(&segment, "subject/").unwrap();
        let names: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
        assert!(names.contains(&"criu") && names.contains(&"ld.so") && names.contains(&"lib/libc.so.6"), "{names:?}");
    }
}
