//! The JSON report: one document, rewritten as the run goes on, so that an abort loses nothing.
//!
//! Each rewrite is a new file that takes the old one's place, so a reader never sees half a
//! document. A trial is made into text once, but the whole text is written each time; with ten
//! thousand trials that is megabytes. So a rewrite waits until twenty times as long has passed as
//! the last one took: reporting costs at most a twentieth of the run, in a small run every trial is
//! there at once, in a large one within a fraction of a second. What is still due is written with
//! the next event, at the end of the run, and when the report is dropped.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::record::{Summary, TrialRecord, VERSION};
use super::zdtm::ZdtmTest;
use super::{Destination, Event, Reporter};
use crate::causes::{Case, Ladder, causes};
use crate::judge::Tally;
use crate::subject::Identity;

/// How many times the duration of a rewrite passes before the next one.
const REST: u32 = 20;

/// The report.
#[derive(Debug)]
pub struct Json {
    to: Sink,
    trials: Vec<u8>,
    subjects: Vec<Identity>,
    zdtm: Vec<ZdtmTest>,
    not_as_locked: Vec<String>,
    /// What the causes are made of.
    cases: Vec<Case>,
    tally: Tally,
    started: Instant,
    due: bool,
    rest_until: Instant,
    /// How often the document was written.
    rewrites: usize,
}

#[derive(Debug)]
enum Sink {
    /// Something that cannot be replaced: standard output, a pipe, a device. Written once, at the
    /// end.
    Once(Destination),
    /// A plain file.
    Replaced(PathBuf),
}

impl Json {
    /// Opens the report; a plain file holds an empty run from now on.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn open(to: Destination) -> io::Result<Self> {
        let to = match to {
            Destination::File(file) if !fs::metadata(&file).is_ok_and(|meta| !meta.is_file()) => {
                // The file behind a symbolic link is replaced, not the link.
                Sink::Replaced(fs::canonicalize(&file).unwrap_or(file))
            }
            other => Sink::Once(other),
        };
        let now = Instant::now();
        let (trials, cases, tally) = (Vec::new(), Vec::new(), Tally::default());
        let (subjects, zdtm, not_as_locked) = (Vec::new(), Vec::new(), Vec::new());
        let mut report = Self {
            to,
            trials,
            subjects,
            zdtm,
            not_as_locked,
            cases,
            tally,
            started: now,
            due: true,
            rest_until: now,
            rewrites: 0,
        };
        report.write(false, 0.0)?;
        Ok(report)
    }

    fn document(&self, seconds: f64) -> io::Result<Vec<u8>> {
        let summary = serde_json::to_string(&Summary::new(&self.tally, seconds))?;
        let causes = serde_json::to_string(&causes(&self.cases))?;
        let ladder = serde_json::to_string(&Ladder::of(&self.cases).records())?;
        let subjects = unless_empty("subjects", &self.subjects)? + &unless_empty("not_as_locked", &self.not_as_locked)?;
        let zdtm = unless_empty("zdtm", &self.zdtm)?;
        let head = format!(
            "{{\"version\": {VERSION}, \"summary\": {summary},\n{subjects}\"causes\": {causes},\n\"ladder\": {ladder},\n{zdtm}"
        );
        let mut out = format!("{head}\"trials\": [").into_bytes();
        out.extend_from_slice(&self.trials);
        out.extend_from_slice(if self.trials.is_empty() { b"]}\n" } else { b"\n]}\n" });
        Ok(out)
    }

    fn add(&mut self, record: &TrialRecord) -> io::Result<()> {
        self.trials.extend_from_slice(if self.trials.is_empty() { b"\n" } else { b",\n" });
        serde_json::to_writer(&mut self.trials, record)?;
        self.cases.extend(record.case());
        Ok(())
    }

    fn write(&mut self, last: bool, seconds: f64) -> io::Result<()> {
        let began = Instant::now();
        match &self.to {
            Sink::Once(_) if !last => return Ok(()),
            Sink::Once(Destination::Stdout) => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(&self.document(seconds)?)?;
                stdout.flush()?;
            }
            Sink::Once(Destination::File(file)) => super::write_whole(file, &self.document(seconds)?)?,
            Sink::Replaced(file) => replace(file, &self.document(seconds)?)?,
        }
        self.due = false;
        self.rewrites += 1;
        let now = Instant::now();
        self.rest_until = now + (now - began) * REST;
        Ok(())
    }

    fn write_when_rested(&mut self) -> io::Result<()> {
        if self.due && Instant::now() >= self.rest_until {
            self.write(false, self.started.elapsed().as_secs_f64())?;
        }
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn rewrites(&self) -> usize {
        self.rewrites
    }
}

/// A member of the document.
fn unless_empty<T: serde::Serialize>(name: &str, values: &[T]) -> io::Result<String> {
    if values.is_empty() { Ok(String::new()) } else { Ok(format!("\"{name}\": {},\n", serde_json::to_string(values)?)) }
}

/// Puts a new file in the place of the old one.
fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // The mode of an ordinary new file; the kernel takes the umask off.
    let mode = fs::Permissions::from_mode(0o666);
    let write = || {
        let mut new = tempfile::Builder::new().prefix(".report-").permissions(mode).tempfile_in(folder)?;
        new.write_all(bytes)?;
        new.persist(file).map(drop).map_err(|error| error.error)
    };
    write().map_err(of_system)
}

/// The kernel's error, without the name of the temporary file: that is another one each time.
fn of_system(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::StorageFull => io::Error::from_raw_os_error(libc::ENOSPC),
        io::ErrorKind::QuotaExceeded => io::Error::from_raw_os_error(libc::EDQUOT),
        _ => error,
    }
}

impl Reporter for Json {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::RunStarted { .. } => {
                self.started = Instant::now();
                Ok(())
            }
            Event::Subjects(subjects) => {
                self.subjects.clone_from(subjects);
                self.due = true;
                self.write_when_rested()
            }
            Event::Zdtm(tests) => {
                self.zdtm.clone_from(tests);
                self.due = true;
                self.write_when_rested()
            }
            Event::NotAsLocked(images) => {
                self.not_as_locked.clone_from(images);
                self.due = true;
                self.write_when_rested()
            }
            Event::TrialStarted { .. } | Event::MachineStarted { .. } => self.write_when_rested(),
            Event::TrialFinished(finished) => {
                self.tally.add(finished.judgement.verdict);
                self.due = true;
                self.add(&TrialRecord::from(&**finished))?;
                self.write_when_rested()
            }
            Event::RunFinished { seconds, .. } => self.write(true, *seconds),
        }
    }
}

impl Drop for Json {
    fn drop(&mut self) {
        if self.due && matches!(self.to, Sink::Replaced(_)) {
            // The error has no receiver any more. The file keeps what was written before.
            let _ = self.write(true, self.started.elapsed().as_secs_f64());
        }
    }
}
