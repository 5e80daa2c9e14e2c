//! A report that is written once, at the end of the run, or with the results so far when the run is
//! interrupted.

use std::fs;
use std::io::{self, Write};
use std::time::Instant;

use super::record::{RunRecord, Summary, TrialRecord};
use super::zdtm::ZdtmTest;
use super::{Destination, Event, Reporter};
use crate::judge::Tally;
use crate::subject::Identity;

/// A format: from a run to its text.
pub(super) type Render = fn(&RunRecord) -> String;

/// The report.
#[derive(Debug)]
pub(super) struct AtEnd {
    to: Destination,
    render: Render,
    trials: Vec<TrialRecord>,
    subjects: Vec<Identity>,
    zdtm: Vec<ZdtmTest>,
    not_as_locked: Vec<String>,
    tally: Tally,
    started: Instant,
    written: bool,
}

impl AtEnd {
    /// Opens the report; a file is made now, so that a wrong path shows before the run.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn open(to: Destination, render: Render) -> io::Result<Self> {
        if let Destination::File(file) = &to {
            fs::OpenOptions::new().create(true).append(true).open(file)?;
        }
        let (trials, subjects, tally) = (Vec::new(), Vec::new(), Tally::default());
        let (zdtm, not_as_locked) = (Vec::new(), Vec::new());
        Ok(Self { to, render, trials, subjects, zdtm, not_as_locked, tally, started: Instant::now(), written: false })
    }

    fn write(&mut self, seconds: f64) -> io::Result<()> {
        self.written = true;
        let trials = std::mem::take(&mut self.trials);
        let mut run = RunRecord::new(Summary::new(&self.tally, seconds), trials);
        run.subjects.clone_from(&self.subjects);
        run.zdtm.clone_from(&self.zdtm);
        run.not_as_locked.clone_from(&self.not_as_locked);
        let text = (self.render)(&run);
        match &self.to {
            Destination::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(text.as_bytes())?;
                stdout.flush()
            }
            Destination::File(file) => super::write_whole(file, text.as_bytes()),
        }
    }
}

impl Reporter for AtEnd {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::RunStarted { .. } => self.started = Instant::now(),
            Event::Subjects(subjects) => self.subjects.clone_from(subjects),
            Event::Zdtm(tests) => self.zdtm.clone_from(tests),
            Event::NotAsLocked(images) => self.not_as_locked.clone_from(images),
            Event::TrialStarted { .. } | Event::MachineStarted { .. } => {}
            Event::TrialFinished(finished) => {
                self.tally.add(finished.judgement.verdict);
                self.trials.push(TrialRecord::from(&**finished));
            }
            Event::RunFinished { seconds, .. } => return self.write(*seconds),
        }
        Ok(())
    }
}

impl Drop for AtEnd {
    fn drop(&mut self) {
        if !self.written {
            // The run is over, so the error has no receiver.
            let _ = self.write(self.started.elapsed().as_secs_f64());
        }
    }
}
