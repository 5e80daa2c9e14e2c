//! Which of its branches a criu took that was built to count them (subject `src:DIR+coverage`).
//!
//! GCC's instrumentation writes a file of counters for each object file where a process ends with
//! exit(3), and before it starts another program; crate `harness`, module
//! `subject::criu::coverage`, has restored tasks write them, too. Processes of criu work in three
//! roots: the agent's, the process's, and that of the new process. So the folder for counters has
//! one name in all of them, in the harness's own corner, which no observation goes into.
//!
//! - [`gcda`]: such a file
//!
//! The agent sends the counters as numbers after the trial. `fuzz/arcs.rs` of the harness keeps the
//! new ones.

pub mod gcda;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use protocol::message::ARC_LIMIT;

/// Beside a criu that counts (crate `harness`, module `subject::criu::package`).
const MARK: &str = "/subject/coverage";
/// The folder for counters, in every root.
const FOLDER: &str = "/.zdtm/counters";
/// What the instrumentation reads (gcc(1), "Data File Relocation"). The first is the prefix of each
/// file's name. The second is the number of leading folders that it removes, here `/build`. The
/// third is the file for its messages: standard error may be the process's.
const PREFIX: &str = "GCOV_PREFIX";
const STRIP: (&str, &str) = ("GCOV_PREFIX_STRIP", "1");
const ERRORS: &str = "GCOV_ERROR_FILE";
const ERROR_FILE: &str = "/.zdtm/counters/errors";
/// A larger file does not hold counters: criu's have some ten thousand bytes.
const FILE_LIMIT_BYTES: u64 = 4 << 20;

/// Whether this machine's criu counts.
fn counts() -> bool {
    Path::new(MARK).exists()
}

/// Tells a criu that counts where to write.
pub(crate) fn instruct(command: &mut Command) {
    if counts() {
        command.env(PREFIX, FOLDER).env(STRIP.0, STRIP.1).env(ERRORS, ERROR_FILE);
    }
}

/// Makes the folders for counters, empty: in the agent's root and in that of a trial, where its own
/// corner is already.
pub(crate) fn make_room(top: &str) -> io::Result<()> {
    if !counts() {
        return Ok(());
    }
    forget()?;
    for folder in [FOLDER.to_owned(), format!("{top}{FOLDER}")] {
        fs::create_dir_all(&folder)?;
        // In a user namespace the process is not root of the machine.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))?;
    }
    Ok(())
}

/// The arcs that were taken since room was made for this trial, as numbers in ascending order, no
/// more than [`ARC_LIMIT`]; their files are gone afterwards, or go with the trial's top directory.
pub(crate) fn collect(top: &str) -> io::Result<Vec<u32>> {
    if !counts() {
        return Ok(Vec::new());
    }
    let mut numbers = BTreeSet::new();
    for folder in [FOLDER.to_owned(), format!("{top}{FOLDER}")] {
        for (name, path) in files(Path::new(&folder))? {
            if fs::metadata(&path)?.len() > FILE_LIMIT_BYTES {
                continue;
            }
            // A process that was killed may have torn a file: nothing is known of its arcs.
            let arcs = gcda::parse(&fs::read(&path)?).unwrap_or_default();
            numbers.extend(arcs.into_iter().map(|arc| number(name.as_os_str().as_bytes(), arc)));
        }
    }
    forget()?;
    Ok(numbers.into_iter().take(ARC_LIMIT).collect())
}

fn forget() -> io::Result<()> {
    match fs::remove_dir_all(FOLDER) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// The files of counters below a folder, by their names in it.
fn files(folder: &Path) -> io::Result<Vec<(PathBuf, PathBuf)>> {
    let mut found = Vec::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(current) = todo.pop() {
        let entries = match fs::read_dir(&current) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let (kind, path) = (entry.file_type()?, entry.path());
            if kind.is_dir() {
                todo.push(path);
            } else if kind.is_file() && path.extension().is_some_and(|end| end == "gcda") {
                found.push((path.strip_prefix(folder).unwrap_or(&path).to_owned(), path));
            }
        }
    }
    Ok(found)
}

/// One number for file, function and counter, the same in every run of the same build. 32 bits are
/// enough: of thirty thousand arcs, as criu has, fewer than one on average has another's number.
fn number(file: &[u8], gcda::Arc { function, index }: gcda::Arc) -> u32 {
    let parts = [file, &function.to_le_bytes(), &index.to_le_bytes()];
    // FNV-1a with 64 bits, folded.
    let hash = parts
        .iter()
        .copied()
        .flatten()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (hash ^ hash >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arcs_have_numbers_of_their_own() {
        let all = |file: &'static str| {
            let arc = |function, index| number(file.as_bytes(), gcda::Arc { function, index });
            (0..100).flat_map(move |function| (0..100).map(move |index| arc(function, index)))
        };
        let numbers: BTreeSet<u32> = all("criu/mount.gcda").chain(all("criu/namespaces.gcda")).collect();
        assert!(numbers.len() > 19_990, "{}", numbers.len());
    }

    #[test]
    fn files_have_the_names_that_they_have_below_their_folder() {
        let folder = std::env::temp_dir().join(format!("zdtm-counters-{}", std::process::id()));
        fs::create_dir_all(folder.join("criu/arch")).unwrap();
        for name in ["criu/arch/cpu.gcda", "criu/mem.gcda", "errors"] {
            fs::write(folder.join(name), "").unwrap();
        }
        let mut names: Vec<_> = files(&folder).unwrap().into_iter().map(|(name, _)| name).collect();
        names.sort();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(names, [Path::new("criu/arch/cpu.gcda"), Path::new("criu/mem.gcda")]);
        assert!(files(&folder).unwrap().is_empty());
    }
}
