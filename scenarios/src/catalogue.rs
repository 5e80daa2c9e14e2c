//! The catalogue: all scenario files below a directory, and filters on the scenarios' names.
//!
//! This is the one place of the crate that reads files.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::Scenario;
use crate::diagnostic::Diagnostic;
use crate::pattern::fits;
use crate::text::{self, of_the_file};

/// The project's own catalogue, where it was when this crate was built.
pub const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/catalogue");

/// The ending of scenario files, without the dot.
pub const EXTENSION: &str = "scn";

/// Files that the model cannot follow: it does not model what the harness itself needs, nor the
/// files of the kernel's own filesystems.
const BEYOND_THE_MODEL: [&str; 8] = [
    "filesystems/file-of-cgroup2",
    "filesystems/file-of-hugetlbfs",
    "filesystems/node-of-devtmpfs",
    "mount-point/read-only-root",
    "whole-bind/file-of-proc",
    "whole-bind/file-of-sysfs",
    "whole-bind/message-queue",
    "whole-bind/multiplexer-of-devpts",
];

/// The model says of this scenario of the project's catalogue that it does not know.
pub fn is_beyond_the_model(name: &str) -> bool {
    BEYOND_THE_MODEL.contains(&name.split('@').next().unwrap_or_default())
}

/// Every scenario of every `*.scn` below a directory, sorted by name. A file's name is its path
/// from `directory` without the ending: `family/file`.
///
/// # Errors
/// What is wrong with all files together, and what could not be read.
pub fn load(directory: &Path) -> Result<Vec<Scenario>, Vec<Diagnostic>> {
    let mut diagnostics = Vec::new();
    let mut scenarios = Vec::new();
    for (name, path) in files(directory, &mut diagnostics) {
        if !name.split('/').all(is_file_name) {
            let what = format!("the name `{name}` is not made of small letters, digits and `-`");
            diagnostics.push(of_the_file(&path, what));
        }
        match read(&path).and_then(|source| text::scenarios(&source, &name, &path)) {
            Ok(found) => scenarios.extend(found),
            Err(found) => diagnostics.extend(found),
        }
    }
    scenarios.sort_by(|a, b| a.name.cmp(&b.name));
    for pair in scenarios.windows(2) {
        if pair[0].name == pair[1].name {
            let path = pair[1].file.as_deref().unwrap_or(directory);
            diagnostics.push(of_the_file(path, format!("a second scenario `{}`", pair[0].name)));
        }
    }
    if scenarios.is_empty() && diagnostics.is_empty() {
        diagnostics.push(of_the_file(directory, format!("there is no *.{EXTENSION} file in it")));
    }
    if diagnostics.is_empty() { Ok(scenarios) } else { Err(diagnostics) }
}

/// The scenarios of a user's own file; their name is the file's stem.
///
/// # Errors
/// What is wrong with the file, or why it could not be read.
pub fn load_file(path: &Path) -> Result<Vec<Scenario>, Vec<Diagnostic>> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    text::scenarios(&read(path)?, &stem, path)
}

/// Reads a file, but not more than is over the limit.
fn read(path: &Path) -> Result<Vec<u8>, Vec<Diagnostic>> {
    use io::Read;
    let limit = text::TEXT_LIMIT as u64 + 1;
    let mut source = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut source))
        .map_err(|error| vec![of_the_file(path, format!("cannot be read: {error}"))])?;
    Ok(source)
}

fn is_file_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty() && name.chars().all(fits) && !name.starts_with('-')
}

/// The name and path of every scenario file, in the order of the names.
fn files(directory: &Path, diagnostics: &mut Vec<Diagnostic>) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    let mut left = vec![(String::new(), directory.to_owned())];
    while let Some((prefix, directory)) = left.pop() {
        let entries = fs::read_dir(&directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = entries.unwrap_or_else(|error| {
            diagnostics.push(of_the_file(&directory, format!("cannot be read: {error}")));
            Vec::new()
        });
        for entry in entries {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                left.push((format!("{prefix}{name}/"), path));
            } else if let Some(stem) = name.strip_suffix(&format!(".{EXTENSION}")) {
                found.insert(format!("{prefix}{stem}"), path);
            }
        }
    }
    found
}

/// Which scenarios are meant: those whose name holds a text, or matches a pattern with `*` from its
/// first letter to its last (`*` is any text, `/` and `@` included).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(String);

impl Filter {
    /// A text, or a pattern when there is a `*` in it.
    pub fn new(pattern: impl Into<String>) -> Self {
        Filter(pattern.into())
    }

    /// Is this the name of a scenario that is meant?
    pub fn matches(&self, name: &str) -> bool {
        if self.0.contains('*') { fits(&self.0, name) } else { name.contains(&self.0) }
    }

    /// Any of several filters; no filter means everything.
    pub fn any(filters: &[Filter], name: &str) -> bool {
        filters.is_empty() || filters.iter().any(|filter| filter.matches(name))
    }
}
