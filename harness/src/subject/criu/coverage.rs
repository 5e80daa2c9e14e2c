//! A criu that counts which of its branches are taken, with GCC's instrumentation (`--coverage`;
//! criu's Makefile calls it `GCOV=1`). What runs inside other processes, the parasite and the
//! restorer, is left out by that Makefile.
//!
//! Counters are written where a process ends with exit(3) or starts another program. A restored
//! task does neither: it becomes the program that it was. So a small file is linked in that writes
//! them right before.

use std::path::{Path, PathBuf};

use super::snapshot::SourceFile;
use crate::cache::record::sha256;

/// What is linked in, and its name at the top of the build tree.
const FLUSH: &str = include_str!("coverage.c");
const FLUSH_NAME: &str = "zdtm-detached-coverage.c";

/// The instrumentation's variable for the folder that counters go to.
const FOLDER: &str = "GCOV_PREFIX";

/// The file as one of the tree's.
pub(super) fn flush() -> SourceFile {
    SourceFile { path: FLUSH_NAME.into(), executable: false, content: FLUSH.into(), link: false }
}

/// Additional arguments of `make`. `GMONLDOPT` are words that criu's Makefile has for another kind
/// of profile: they stand where criu itself is linked and nowhere else, and a source file among
/// them is compiled and linked. Where a Makefile does not know it, only restored tasks are not
/// seen.
pub(super) fn words() -> [String; 2] {
    ["GCOV=1".to_owned(), format!("GMONLDOPT={FLUSH_NAME}")]
}

/// A build tree is for objects that were compiled alike: text that tells them apart.
pub(super) fn tree_key(coverage: bool) -> String {
    if coverage { format!(" coverage {}", sha256(FLUSH.as_bytes())) } else { String::new() }
}

/// The variable with which a program that may count writes nowhere but below the folder.
pub(super) fn counters_below(folder: &Path) -> (&'static str, PathBuf) {
    (FOLDER, folder.to_owned())
}
