//! Which files a program needs to start: its ELF interpreter and, transitively, the libraries of
//! its `DT_NEEDED` entries. Used for the userland's binaries, for QEMU, and for programs built on
//! the host that go into a guest.
//!
//! The search is that of ld.so(8): `DT_RPATH` or `DT_RUNPATH`, `LD_LIBRARY_PATH` between the two,
//! then `ld.so.cache` where there is one (`ld_cache`), then the given directories in order. Not for
//! what a program opens with dlopen(3): nothing in the file says so.
//!
//! Symbolic links are resolved inside the root that is searched, never on the host, so a tree
//! unpacked from packages can be walked without chroot(2).

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

/// Where libraries are searched for, in addition to the paths in the files that need them.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// `LD_LIBRARY_PATH`, for programs of this host.
    pub first: Vec<PathBuf>,
    /// What `ld.so.cache` says: the path by a library's name.
    pub cache: BTreeMap<String, PathBuf>,
    /// Directories, in their order.
    pub directories: Vec<PathBuf>,
}

/// What a search came to.
#[derive(Debug)]
pub struct Found {
    /// Each path once, sorted by path.
    pub files: Vec<Needed>,
    /// A [`NeededError::NoLibrary`] for each library that is nowhere.
    pub missing: Vec<NeededError>,
}

/// A file whose needs are still to be read.
struct Todo {
    path: PathBuf,
    source: PathBuf,
    /// `DT_RPATH` of those that led here: it holds for everything below them.
    inherited: Vec<PathBuf>,
}

/// Everything that the files need, themselves included, each path once, sorted by path.
///
/// `root` is the directory that is `/` for the program, `files` and `library_directories` are
/// relative to it. A script or a static program needs nothing but itself.
///
/// # Errors
/// A file or library that is missing (named, with who needs it), unreadable or broken.
pub fn walk(
    root: &Path,
    files: &[impl AsRef<Path>],
    library_directories: &[impl AsRef<Path>],
) -> Result<Vec<Needed>, NeededError> {
    let directories = library_directories.iter().map(|directory| directory.as_ref().to_path_buf()).collect();
    let found = search(root, files, &Places { directories, ..Places::default() })?;
    match found.missing.into_iter().next() {
        Some(missing) => Err(missing),
        None => Ok(found.files),
    }
}

/// The same for a root with an `ld.so.cache`, and with everything that is missing and not only the
/// first.
///
/// # Errors
/// A file that is missing, unreadable or broken.
pub fn search(root: &Path, files: &[impl AsRef<Path>], places: &Places) -> Result<Found, NeededError> {
    let start = files.iter().map(|file| {
        let path = relative(file.as_ref());
        match resolve(root, &path) {
            Some(source) => Ok((path, source)),
            None => Err(NeededError::NoFile { file: path, root: root.to_path_buf() }),
        }
    });
    search_from(root, start.collect::<Result<_, _>>()?, places)
}

/// The same for files that need not be in the root: the path that each would have there, and where
/// it is.
///
/// # Errors
/// A file that is missing, unreadable or broken.
pub fn search_from(root: &Path, start: Vec<(PathBuf, PathBuf)>, places: &Places) -> Result<Found, NeededError> {
    let mut found: BTreeMap<PathBuf, Needed> = BTreeMap::new();
    let mut known: BTreeSet<String> = BTreeSet::new();
    let mut missing = Vec::new();
    let mut queue: VecDeque<Todo> = VecDeque::new();
    let mut add = |path: PathBuf, source: PathBuf, role: Role, inherited: &[PathBuf], queue: &mut VecDeque<Todo>| {
        if !found.contains_key(&path) {
            queue.push_back(Todo { path: path.clone(), source: source.clone(), inherited: inherited.to_vec() });
            found.insert(path.clone(), Needed { path, source, role });
        }
    };
    for (path, source) in start {
        add(path, source, Role::Start, &[], &mut queue);
    }
    while let Some(Todo { path, source, inherited }) = queue.pop_front() {
        let links = links(&source)?;
        if let Some(interpreter) = &links.interpreter {
            let wanted = relative(interpreter);
            let nowhere = || NeededError::NoFile { file: wanted.clone(), root: root.to_path_buf() };
            let real = resolve(root, &wanted).ok_or_else(nowhere)?;
            // The interpreter is also in DT_NEEDED of some libraries, and is loaded already.
            known.extend(wanted.file_name().map(|name| name.to_string_lossy().into_owned()));
            add(wanted, real, Role::Interpreter, &[], &mut queue);
        }
        let (order, inherited) = order(&links, &path, inherited, places);
        let machine = machine_of(&source);
        for library in links.needed {
            if !known.insert(library.clone()) {
                continue;
            }
            match locate(root, machine, &library, &order, places) {
                Some((wanted, real)) => add(wanted, real, Role::Library, &inherited, &mut queue),
                None => missing.push(NeededError::NoLibrary {
                    library,
                    by: path.clone(),
                    directories: words(order.iter().chain(&places.directories)),
                    root: root.to_path_buf(),
                }),
            }
        }
    }
    Ok(Found { files: found.into_values().collect(), missing })
}

fn words<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> String {
    paths.map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The directories that a file itself names for its libraries, and what those below it inherit: a
/// `DT_RUNPATH` makes every `DT_RPATH` void, its own and the inherited ones.
fn order(links: &Links, path: &Path, inherited: Vec<PathBuf>, places: &Places) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let lib = places.directories.first().cloned().unwrap_or_default();
    if !links.run_path.is_empty() {
        let own = run_path(&links.run_path, path, &lib);
        return (places.first.iter().cloned().chain(own).collect(), inherited);
    }
    let mut all = run_path(&links.old_run_path, path, &lib);
    all.extend(inherited);
    (all.iter().chain(&places.first).cloned().collect(), all)
}

/// Where a library is: the path by which it is found, and the file.
fn locate(
    root: &Path,
    machine: Option<u16>,
    library: &str,
    own: &[PathBuf],
    places: &Places,
) -> Option<(PathBuf, PathBuf)> {
    let at = |candidate: PathBuf| {
        let source = resolve(root, &candidate)?;
        // The loader passes over files of another machine, as in `/lib32`. What cannot be read is
        // reported when the whole file is.
        machine_of(&source).is_none_or(|other| Some(other) == machine).then_some((candidate, source))
    };
    if library.contains('/') {
        return at(relative(Path::new(library)));
    }
    let inside = |directory: &PathBuf| at(relative(directory).join(library));
    own.iter()
        .find_map(inside)
        .or_else(|| at(relative(places.cache.get(library)?)))
        .or_else(|| places.directories.iter().find_map(inside))
}

/// The machine that an ELF file is for (`e_machine`, 0 for those with 32 bits); none for other
/// files.
pub fn machine_of(path: &Path) -> Option<u16> {
    let mut head = [0; 20];
    std::fs::File::open(path).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut head)).ok()?;
    let is_elf = head.starts_with(&elf::ELFMAG);
    is_elf.then_some(if head[4] == elf::ELFCLASS64.0 { u16::from_le_bytes([head[18], head[19]]) } else { 0 })
}

/// The regular file that a path inside `root` leads to; symbolic links, absolute ones too, stay
/// inside.
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

/// A run path as directories relative to the root; `$ORIGIN` is the directory of the file that has
/// it, `$LIB` the first directory for libraries (ld.so(8)).
fn run_path(run_path: &str, file: &Path, lib: &Path) -> Vec<PathBuf> {
    let origin = file.parent().unwrap_or(Path::new("")).display().to_string();
    let lib = lib.display().to_string();
    let values = [("${ORIGIN}", &origin), ("$ORIGIN", &origin), ("${LIB}", &lib), ("$LIB", &lib)];
    run_path
        .split(':')
        .filter(|directory| !directory.is_empty())
        .map(|directory| values.iter().fold(directory.to_owned(), |text, (token, value)| text.replace(token, value)))
        .map(PathBuf::from)
        .collect()
}

/// What one file says about others.
#[derive(Debug, Default)]
struct Links {
    interpreter: Option<PathBuf>,
    needed: Vec<String>,
    /// `DT_RUNPATH`
    run_path: String,
    /// `DT_RPATH`
    old_run_path: String,
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
                elf::DT_RUNPATH => links.run_path = text()?,
                elf::DT_RPATH => links.old_run_path = text()?,
                _ => {}
            }
        }
    }
    Ok(links)
}

#[cfg(test)]
mod tests;
