//! Which files a program needs to start: its ELF interpreter and, transitively, the libraries of its `DT_NEEDED`
//! entries. Used for the userland's binaries, for QEMU, and for programs built on the host that go into a guest.
//!
//! The search is that of ld.so(8) without `ld.so.cache`: `DT_RPATH`/`DT_RUNPATH` with `$ORIGIN`, then the given
//! directories in order. Not for what a program opens with dlopen(3): nothing in the file says so.
//!
//! Symbolic links are resolved inside the root that is searched, never on the host, so a tree unpacked from packages
//! can be walked without chroot(2).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use object::elf;
use object::read::StringTable;
use object::read::elf::{Dyn, FileHeader, ProgramHeader};

/// Why a walk failed.
#[derive(Debug, thiserror::Error)]
pub enum NeededError {
    /// A file to start from is not there.
    #[error("{} is not in {}", file.display(), root.display())]
    NoFile {
        /// The file, relative to the root.
        file: PathBuf,
        /// The root.
        root: PathBuf,
    },
    /// A library is not there.
    #[error("{} needs the library {library}, which is in none of {directories} of {}", by.display(), root.display())]
    NoLibrary {
        /// The name in `DT_NEEDED`.
        library: String,
        /// Who needs it, relative to the root.
        by: PathBuf,
        /// Where it was looked for.
        directories: String,
        /// The root.
        root: PathBuf,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{} is not a 64-bit ELF file for this purpose: {error}", path.display())]
    Elf {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        error: String,
    },
}

/// What a file is needed as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// One of those that the walk started from.
    Start,
    /// The ELF interpreter; must be at exactly this path.
    Interpreter,
    /// A library; must be found by its name.
    Library,
}

/// A file that is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// The path by which it is looked for, relative to the root, symbolic links not resolved.
    pub path: PathBuf,
    /// The regular file on the host that has the content.
    pub source: PathBuf,
    /// What for.
    pub role: Role,
}

/// Where libraries of Debian's amd64 packages are, in ld.so's order, relative to the root.
pub const DEBIAN_LIBRARY_DIRECTORIES: [&str; 6] =
    ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64", "usr/lib64", "lib", "usr/lib"];

/// Everything that the files need, themselves included, each path once, sorted by path.
///
/// `root` is the directory that stands for `/` (`/` itself for the host's own programs), `files` and
/// `library_directories` are relative to it. A script or a static program needs nothing but itself.
///
/// # Errors
/// A file or library that is missing (named, with who needs it), unreadable or broken.
pub fn walk(
    root: &Path,
    files: &[impl AsRef<Path>],
    library_directories: &[impl AsRef<Path>],
) -> Result<Vec<Needed>, NeededError> {
    let mut found: BTreeMap<PathBuf, Needed> = BTreeMap::new();
    let mut known: BTreeSet<String> = BTreeSet::new();
    let mut queue: VecDeque<PathBuf> = VecDeque::new();
    let mut add = |path: PathBuf, source: PathBuf, role: Role, queue: &mut VecDeque<PathBuf>| {
        if !found.contains_key(&path) {
            queue.push_back(path.clone());
            found.insert(path.clone(), Needed { path, source, role });
        }
    };
    for file in files {
        let path = relative(file.as_ref());
        let source =
            resolve(root, &path).ok_or_else(|| NeededError::NoFile { file: path.clone(), root: root.to_path_buf() })?;
        add(path, source, Role::Start, &mut queue);
    }
    while let Some(path) = queue.pop_front() {
        let source = resolve(root, &path).expect("it was resolved when it was queued");
        let links = links(&source)?;
        if let Some(interpreter) = links.interpreter {
            let wanted = relative(&interpreter);
            let real = resolve(root, &wanted)
                .ok_or_else(|| NeededError::NoFile { file: wanted.clone(), root: root.to_path_buf() })?;
            // The interpreter is also in DT_NEEDED of some libraries, and is loaded already.
            known.extend(wanted.file_name().map(|name| name.to_string_lossy().into_owned()));
            add(wanted, real, Role::Interpreter, &mut queue);
        }
        for library in links.needed {
            if !known.insert(library.clone()) {
                continue;
            }
            let mut directories = run_path(&links.run_path, &path);
            directories.extend(library_directories.iter().map(|directory| directory.as_ref().to_path_buf()));
            let hit = directories.iter().map(|directory| relative(directory).join(&library)).find_map(|candidate| {
                let source = resolve(root, &candidate)?;
                Some((candidate, source))
            });
            let Some((wanted, real)) = hit else {
                let directories: Vec<_> = directories.iter().map(|path| path.display().to_string()).collect();
                return Err(NeededError::NoLibrary {
                    library,
                    by: path,
                    directories: directories.join(", "),
                    root: root.to_path_buf(),
                });
            };
            add(wanted, real, Role::Library, &mut queue);
        }
    }
    Ok(found.into_values().collect())
}

/// The regular file that a path inside `root` leads to; symbolic links, absolute ones too, stay inside.
pub fn resolve(root: &Path, path: &Path) -> Option<PathBuf> {
    /// ELOOP's limit on Linux, path_resolution(7).
    const LINKS: usize = 40;
    let mut todo: Vec<PathBuf> = parts(path);
    let mut done = PathBuf::new();
    let mut links = 0;
    while let Some(part) = todo.pop() {
        if part.as_os_str() == ".." {
            done.pop();
            continue;
        }
        let here = root.join(&done).join(&part);
        match std::fs::read_link(&here) {
            Ok(target) => {
                links += 1;
                if links > LINKS {
                    return None;
                }
                if target.is_absolute() {
                    done = PathBuf::new();
                }
                todo.extend(parts(&target));
            }
            Err(_) => done.push(part),
        }
    }
    let file = root.join(done);
    file.is_file().then_some(file)
}

/// The components of a path, last one first.
fn parts(path: &Path) -> Vec<PathBuf> {
    path.components()
        .rev()
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
        .map(|part| PathBuf::from(part.as_os_str()))
        .collect()
}

fn relative(path: &Path) -> PathBuf {
    path.strip_prefix("/").unwrap_or(path).to_path_buf()
}

/// `DT_RUNPATH` as directories relative to the root; `$ORIGIN` is the directory of the file that has it.
fn run_path(run_path: &str, file: &Path) -> Vec<PathBuf> {
    let origin = file.parent().unwrap_or(Path::new("")).display().to_string();
    run_path
        .split(':')
        .filter(|directory| !directory.is_empty())
        .map(|directory| PathBuf::from(directory.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin)))
        .collect()
}

/// What one file says about others.
#[derive(Debug, Default)]
struct Links {
    interpreter: Option<PathBuf>,
    needed: Vec<String>,
    run_path: String,
}

fn links(path: &Path) -> Result<Links, NeededError> {
    let bytes = std::fs::read(path).map_err(|error| NeededError::Read { path: path.to_path_buf(), error })?;
    if !bytes.starts_with(&elf::ELFMAG) {
        return Ok(Links::default());
    }
    elf_links(&bytes).map_err(|error| NeededError::Elf { path: path.to_path_buf(), error: error.to_string() })
}

fn elf_links(bytes: &[u8]) -> object::read::Result<Links> {
    let header = elf::FileHeader64::<object::Endianness>::parse(bytes)?;
    let endian = header.endian()?;
    let segments = header.program_headers(endian, bytes)?;
    let mut links = Links::default();
    for segment in segments {
        if let Some(name) = segment.interpreter(endian, bytes)? {
            links.interpreter = Some(PathBuf::from(OsStr::from_bytes(name)));
        }
        let Some(entries) = segment.dynamic(endian, bytes)? else { continue };
        let value = |tag| entries.iter().find(|entry| entry.tag(endian) == tag).map(|entry| entry.val(endian));
        let (Some(address), Some(size)) = (value(elf::DT_STRTAB), value(elf::DT_STRSZ)) else { continue };
        let text = segments
            .iter()
            .filter(|segment| segment.p_type(endian) == elf::PT_LOAD)
            .find_map(|segment| segment.data_range(endian, bytes, address, size).ok().flatten())
            .unwrap_or_default();
        let strings = StringTable::new(text, 0, text.len() as u64);
        for entry in entries.iter().take_while(|entry| entry.tag(endian) != elf::DT_NULL) {
            let text = || entry.string(endian, strings).map(|text| String::from_utf8_lossy(text).into_owned());
            match entry.tag(endian) {
                elf::DT_NEEDED => links.needed.push(text()?),
                elf::DT_RPATH | elf::DT_RUNPATH => links.run_path = text()?,
                _ => {}
            }
        }
    }
    Ok(links)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// The smallest ELF file that has what the walk looks at.
    fn program(interpreter: &str, needed: &[&str], run_path: &str) -> Vec<u8> {
        let mut strings = vec![0];
        let mut dynamic: Vec<(u64, u64)> = Vec::new();
        let mut string = |tag: u64, text: &str, dynamic: &mut Vec<(u64, u64)>| {
            dynamic.push((tag, strings.len() as u64));
            strings.extend(text.bytes().chain([0]));
        };
        needed.iter().for_each(|name| string(1, name, &mut dynamic));
        string(29, run_path, &mut dynamic);
        let start = 64 + 3 * 56;
        let strings_at = start + (dynamic.len() as u64 + 3) * 16;
        dynamic.extend([(5, strings_at), (10, strings.len() as u64), (0, 0)]);
        let interpreter_at = strings_at + strings.len() as u64;
        let total = interpreter_at + interpreter.len() as u64 + 1;
        let mut out = b"\x7fELF\x02\x01\x01".to_vec();
        out.resize(16, 0);
        out.extend([3, 0, 62, 0, 1, 0, 0, 0]);
        for word in [0u64, 64, 0] {
            out.extend(word.to_le_bytes());
        }
        out.extend([0, 0, 0, 0, 64, 0, 56, 0, 3, 0, 64, 0, 0, 0, 0, 0]);
        let interpreter_type = if interpreter.is_empty() { 0 } else { 3 };
        let segments = [
            (1u32, 0, total),
            (2, start, strings_at - start),
            (interpreter_type, interpreter_at, interpreter.len() as u64 + 1),
        ];
        for (kind, at, size) in segments {
            out.extend(kind.to_le_bytes());
            out.extend(4u32.to_le_bytes());
            for word in [at, at, at, size, size, 8] {
                out.extend(word.to_le_bytes());
            }
        }
        for (tag, value) in dynamic {
            out.extend(tag.to_le_bytes());
            out.extend(value.to_le_bytes());
        }
        out.extend(&strings);
        out.extend(interpreter.bytes().chain([0]));
        out
    }

    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        for directory in ["usr/bin", "usr/lib/x86_64-linux-gnu/private", "usr/lib64"] {
            fs::create_dir_all(at(directory)).unwrap();
        }
        symlink("/usr/lib", at("lib")).unwrap();
        symlink("usr/lib64", at("lib64")).unwrap();
        let interpreter = "/lib64/ld.so.2";
        fs::write(at("usr/bin/p"), program(interpreter, &["liba.so.1", "libc.so.6"], "")).unwrap();
        fs::write(at("usr/bin/script"), "#!/bin/sh\n").unwrap();
        fs::write(at("usr/lib/x86_64-linux-gnu/ld.so.2"), program("", &[], "")).unwrap();
        symlink("/lib/x86_64-linux-gnu/ld.so.2", at("usr/lib64/ld.so.2")).unwrap();
        let library = at("usr/lib/x86_64-linux-gnu");
        fs::write(library.join("libc.so.6"), program("", &["ld.so.2"], "")).unwrap();
        fs::write(library.join("liba.so.1.2.3"), program("", &["libb.so.1", "libc.so.6"], "$ORIGIN/private")).unwrap();
        symlink("liba.so.1.2.3", library.join("liba.so.1")).unwrap();
        fs::write(library.join("private/libb.so.1"), program("", &[], "")).unwrap();
        root
    }

    #[test]
    fn interpreter_and_libraries_are_found_through_links() {
        let root = tree();
        let needed = walk(root.path(), &["usr/bin/p", "usr/bin/script"], &DEBIAN_LIBRARY_DIRECTORIES).unwrap();
        let lines: Vec<String> = needed
            .iter()
            .map(|one| {
                let source = one.source.strip_prefix(root.path()).unwrap();
                format!("{:?} {} = {}\n", one.role, one.path.display(), source.display())
            })
            .collect();
        expect_test::expect![[r#"
            Library lib/x86_64-linux-gnu/liba.so.1 = usr/lib/x86_64-linux-gnu/liba.so.1.2.3
            Library lib/x86_64-linux-gnu/libc.so.6 = usr/lib/x86_64-linux-gnu/libc.so.6
            Library lib/x86_64-linux-gnu/private/libb.so.1 = usr/lib/x86_64-linux-gnu/private/libb.so.1
            Interpreter lib64/ld.so.2 = usr/lib/x86_64-linux-gnu/ld.so.2
            Start usr/bin/p = usr/bin/p
            Start usr/bin/script = usr/bin/script
        "#]]
        .assert_eq(&lines.concat());
    }

    #[test]
    fn what_is_missing_is_named_with_who_needs_it() {
        let root = tree();
        fs::remove_file(root.path().join("usr/lib/x86_64-linux-gnu/private/libb.so.1")).unwrap();
        let error = walk(root.path(), &["usr/bin/p"], &["usr/lib/x86_64-linux-gnu"]).unwrap_err().to_string();
        assert!(error.starts_with(
            "usr/lib/x86_64-linux-gnu/liba.so.1 needs the library libb.so.1, \
             which is in none of usr/lib/x86_64-linux-gnu/private, usr/lib/x86_64-linux-gnu of "
        ));
        let error = walk(root.path(), &["usr/bin/q"], &["usr/lib"]).unwrap_err().to_string();
        assert!(error.starts_with("usr/bin/q is not in "), "{error}");
    }

    #[test]
    fn broken_files_and_link_loops_are_errors() {
        let root = tree();
        fs::write(root.path().join("usr/bin/p"), b"\x7fELF\x02\x01\x01 and no more").unwrap();
        assert!(matches!(walk(root.path(), &["usr/bin/p"], &["lib"]), Err(NeededError::Elf { .. })));
        symlink("loop", root.path().join("loop")).unwrap();
        assert_eq!(resolve(root.path(), Path::new("loop")), None);
        assert_eq!(resolve(root.path(), Path::new("../../../etc/passwd")), None);
    }
}
