//! Who hears of a run's events, and what is kept of failed trials.

use std::io::Write;
use std::path::Path;

use crate::exit;
use crate::judge::expectations::uses::Uses;
use crate::judge::range::Version;
use crate::judge::{Expectations, Group};
use crate::notices::{advice, say};
use crate::process::interrupt;
use crate::report::record::digest;
use crate::report::terminal::Terminal;
use crate::report::{Event, Finished, Reporter as _, Reporters, artifacts};
use crate::run::{Over, Task};

/// Passes the events of a run to the terminal and to the other reporters.
pub(super) struct RunReporter<'a> {
    pub(super) terminal: Terminal<Box<dyn Write>>,
    reporters: Reporters,
    uses: Uses<'a>,
    keep: &'a Path,
    /// What could not be written; the run goes on without it.
    unwritten: Vec<String>,
}

impl<'a> RunReporter<'a> {
    pub(super) fn new(
        terminal: Terminal<Box<dyn Write>>,
        reporters: Reporters,
        keep: &'a Path,
        expectations: &'a Expectations,
    ) -> Self {
        Self { terminal, reporters, uses: Uses::new(expectations), keep, unwritten: Vec::new() }
    }

    pub(super) fn report(&mut self, event: &Event) -> anyhow::Result<()> {
        for error in self.reporters.each(event) {
            self.unwritten(error.to_string());
        }
        match self.terminal.event(event) {
            // Its terminal was closed: the other reports are made all the same.
            Err(error) if interrupt::requested() => {
                self.unwritten(format!("writing to the terminal: {error}"));
                Ok(())
            }
            Err(error) => {
                let what = format!(
                    "cannot write to the terminal: {error}{}",
                    advice(&error, "send standard output to another disk")
                );
                Err(anyhow::Error::msg(what))
            }
            Ok(()) => Ok(()),
        }
    }

    fn unwritten(&mut self, what: String) {
        if !self.unwritten.contains(&what) {
            self.unwritten.push(what);
        }
    }

    /// A trial is over; true when it failed. What failed leaves artifacts.
    pub(super) fn over(&mut self, over: Over) -> anyhow::Result<bool> {
        let criu = over.criu.as_deref().and_then(Version::find);
        self.uses.note(&over.task.trial, criu.as_ref(), &over.judgement);
        let Over { task: Task { trial, scenario, .. }, judgement, report, criu, seconds, traces, .. } = over;
        let failed = judgement.verdict.group() == Group::Failed;
        let file = scenario.file.clone().filter(|_| trial.family.is_empty());
        let program = scenarios::text::print_scenario(&scenario);
        let digest = Some(digest(&program));
        let profile = scenarios::capability::profile(&scenario.program);
        let mut finished = Finished {
            trial,
            file,
            judgement,
            seconds,
            artifacts: None,
            criu,
            program: Some(program.clone()),
            digest,
            profile,
        };
        if failed {
            let files = traces.files();
            let extras: Vec<_> = files.iter().map(|(name, bytes)| artifacts::Extra { name, bytes }).collect();
            match artifacts::write(self.keep, &finished, &program, report.as_ref(), &extras) {
                Ok(folder) => finished.artifacts = Some(folder),
                Err(error) => self.unwritten(error.to_string()),
            }
        }
        self.report(&Event::TrialFinished(Box::new(finished)))?;
        Ok(failed)
    }

    /// The end of the run, and its exit status. Only a whole run can tell which known defects do
    /// not show any more.
    pub(super) fn end(mut self, event: &Event, whole: bool) -> anyhow::Result<u8> {
        self.report(event)?;
        let interrupted = interrupt::requested();
        let mut status = self.terminal.tally().exit_status(interrupted);
        let whole = whole && self.terminal.tally().of("not-run") == 0;
        for complaint in if whole { self.uses.idle() } else { Vec::new() } {
            say(&format!("error: {complaint}"));
            status = status.max(exit::FAILED);
        }
        for what in &self.unwritten {
            say(&format!("error: {what}"));
        }
        Ok(if status == 0 && !self.unwritten.is_empty() { 3 } else { status })
    }
}
