//! The folder of a trial: everything that was sent and concluded, for a person or a later `replay`.
//!
//! `program.scn`, `verdict.json` (the trial as in the JSON report), `differences.txt`,
//! `before.json`, `after-N-ACTION.json`, the files that the guest sent, the folder `images`, and
//! what the caller adds (console, command line of QEMU).

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use protocol::message::TrialReport;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Finished;
use super::epilogue::differences;
use super::record::TrialRecord;
use crate::notices::advice;

/// The longest readable part of a folder's or file's name, in bytes.
const NAME_LIMIT: usize = 120;

/// Why a folder could not be written.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot write the artifacts of {trial} to {}: {source}{}; the verdict stands without them",
    .path.display(),
    advice(source, "name another disk with --keep")
)]
pub struct ArtifactsError {
    /// Which trial.
    pub trial: String,
    /// Which file or folder.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// A file that the caller adds: console, command line.
#[derive(Clone, Copy, Debug)]
pub struct Extra<'a> {
    /// A plain file name.
    pub name: &'a str,
    /// What it holds.
    pub bytes: &'a [u8],
}

/// The name of a trial's folder: readable, and unique by a hash of the id.
pub fn folder_name(id: &str) -> String {
    let hash: String = Sha256::digest(id).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{hash}", plain(id))
}

/// Letters, digits and a few signs; never empty, never hidden.
fn plain(name: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "._@+,=-".contains(c) { c } else { '_' };
    let text: String = name.trim_start_matches('.').chars().map(safe).take(NAME_LIMIT).collect();
    if text.is_empty() { "unnamed".to_owned() } else { text }
}

/// Writes the folder below `parent` and gives its path. `finished.artifacts` is ignored. A
/// folder from an earlier run is replaced. Where a file cannot be written, there is no folder: on a
/// full disk the reports need the room.
///
/// # Errors
/// The first file that cannot be written.
pub fn write(
    parent: &Path,
    finished: &Finished,
    program: &str,
    report: Option<&TrialReport>,
    extras: &[Extra<'_>],
) -> Result<PathBuf, ArtifactsError> {
    let folder = parent.join(folder_name(&finished.trial.to_string()));
    match fill(&folder, finished, program, report, extras) {
        Ok(()) => Ok(folder),
        Err(error) => {
            let _ = fs::remove_dir_all(&folder);
            Err(error)
        }
    }
}

fn fill(
    folder: &Path,
    finished: &Finished,
    program: &str,
    report: Option<&TrialReport>,
    extras: &[Extra<'_>],
) -> Result<(), ArtifactsError> {
    let trial = finished.trial.to_string();
    let failed = |path: &Path| {
        let (trial, path) = (trial.clone(), path.to_owned());
        move |source| ArtifactsError { trial, path, source }
    };
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(folder)(error)),
        _ => fs::create_dir_all(folder).map_err(failed(folder))?,
    }
    let taken = RefCell::new(HashMap::new());
    let put = |name: &str, bytes: &[u8]| {
        let path = free(folder, name, &mut taken.borrow_mut());
        fs::write(&path, bytes).map_err(failed(&path))
    };
    put("program.scn", program.as_bytes())?;
    let record = TrialRecord { artifacts: Some(folder.to_owned()), ..TrialRecord::from(finished) };
    put("verdict.json", &pretty(&record))?;
    let judgement = &finished.judgement;
    let text = differences(&judgement.differences, judgement.more_differences, usize::MAX, usize::MAX, false);
    let heading = format!("{}  {trial}\n  {}\n", judgement.verdict, judgement.reason);
    put("differences.txt", (heading + &text).as_bytes())?;
    if let Some(report) = report {
        sent(report, &put)?;
        images(report, &folder.join("images")).map_err(|(path, source)| failed(&path)(source))?;
    }
    extras.iter().try_for_each(|extra| put(&plain(extra.name), extra.bytes))
}

/// What the guest sent.
fn sent(report: &TrialReport, put: &impl Fn(&str, &[u8]) -> Result<(), ArtifactsError>) -> Result<(), ArtifactsError> {
    if let Some(before) = &report.before {
        put("before.json", &pretty(before))?;
    }
    for (index, action) in report.actions.iter().enumerate() {
        if let Some(after) = &action.after {
            put(&format!("after-{}-{}.json", index + 1, action.action.word()), &pretty(after))?;
        }
    }
    if !report.kernel_log.is_empty() {
        put("kernel.log", (report.kernel_log.join("\n") + "\n").as_bytes())?;
    }
    report.files.iter().try_for_each(|file| put(&plain(&file.name), file.text.as_bytes()))
}

/// The images of the checkpoint as they are, and how to read them. Their names are the guest's, and
/// so not trusted.
fn images(report: &TrialReport, folder: &Path) -> Result<(), (PathBuf, io::Error)> {
    if report.images.is_empty() {
        return Ok(());
    }
    fs::create_dir(folder).map_err(|error| (folder.to_owned(), error))?;
    let put = |path: PathBuf, bytes: &[u8]| fs::write(&path, bytes).map_err(|error| (path, error));
    let mut about = HOW_TO_READ_IMAGES.to_owned();
    if !report.images.left_out.is_empty() {
        about.push_str("\nThere was no room for these:\n");
        about.extend(report.images.left_out.iter().map(|line| format!("{}\n", line.escape_debug())));
    }
    put(folder.join("README"), about.as_bytes())?;
    let mut taken = HashMap::new();
    report.images.files.iter().try_for_each(|image| put(free(folder, &plain(&image.name), &mut taken), &image.bytes))
}

/// What stands beside images.
const HOW_TO_READ_IMAGES: &str = "\
The images of the checkpoint, as they are. 1-core-1.img is core-1.img of the first dump of the trial.
criu's own decoder shows most of them as text; Debian has it in the package criu or python3-pycriu:

  crit show 1-core-1.img
";

/// The name in the folder, with a number where it is taken: nothing that was sent overwrites
/// something else. `taken` has the last number of each name, so that thousands of one name are not
/// looked for again each time.
fn free(folder: &Path, name: &str, taken: &mut HashMap<String, usize>) -> PathBuf {
    let last = taken.entry(name.to_owned()).or_insert(0);
    loop {
        *last += 1;
        let path = folder.join(if *last == 1 { name.to_owned() } else { format!("{last}-{name}") });
        if !path.exists() {
            return path;
        }
    }
}

fn pretty(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("these types have only text keys");
    bytes.push(b'\n');
    bytes
}
