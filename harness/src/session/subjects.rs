//! Which subjects a session tests.

use std::path::PathBuf;

use crate::image::Store;
use crate::machine::Backend;
use crate::plan::each_once;
use crate::subject::{self, Subject};
use crate::usage::Usage;

/// The subjects of a command line, each once, patched; the default one when the command line names
/// none.
///
/// # Errors
/// [`Usage`]: a patch on what takes none, a file or suite that is not there.
pub(super) fn subjects(given: &[Subject], patches: &[PathBuf], store: &Store) -> Result<Vec<Subject>, Usage> {
    let default = [Subject::Debian(store.manifest().defaults.userland.clone())];
    let given = if given.is_empty() { &default[..] } else { given };
    let patched = given.iter().map(|subject| subject.clone().patched(patches));
    let subjects: Vec<Subject> =
        patched.collect::<Result<_, _>>().map_err(|error| Usage(format!("--patch: {error}")))?;
    match subjects.iter().find_map(|subject| subject.mistake(store)) {
        Some(mistake) => Err(Usage(mistake)),
        None => Ok(each_once(&subjects)),
    }
}

/// What the backend cannot do is a mistake of the user.
///
/// # Errors
/// [`Usage`]
pub(super) fn check_backend(backend: Backend, subjects: &[Subject]) -> Result<(), Usage> {
    let Some(subject) = subjects.iter().find(|subject| !subject.is_reference()) else { return Ok(()) };
    if backend == Backend::Vm {
        return Ok(());
    }
    Err(Usage(format!(
        "--backend host is for --subject {} only, not for {subject}: criu acts on the whole machine (it freezes, \
         kills and traces processes, and loads modules), so it gets one of its own; leave --backend away",
        subject::REFERENCE
    )))
}
