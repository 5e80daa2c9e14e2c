//! The report for people: a line for each trial, then the table, what failed, and the last line.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::causes_text as text;
use super::epilogue::account;
use super::eta::Eta;
use super::matrix::Matrix;
use super::record::TrialRecord;
use super::sanitize::{Colour, colour_of, paint, sanitized};
use super::table::table;
use super::zdtm::{self, ZdtmTest};
use super::{Event, Finished, Reporter, SharedAxes};
use crate::causes::{Case, Cause, Ladder, causes};
use crate::judge::{Group, Signature, Tally, Verdict};
use crate::notices;
use crate::subject::Identity;

/// A log gets a line after this time without output, so that a long trial does not look like a
/// hang.
pub const QUIET: Duration = Duration::from_secs(30);

/// How many causes have their first trial described in full.
const ACCOUNTS: usize = 10;
/// How many further trials of a cause are named.
const NAMES: usize = 5;

/// Where colours are wanted: `--color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ColourChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How much is said of each trial: `--quiet`, `--verbose`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// Only what failed, and the table.
    Failures,
    /// A line for each trial.
    #[default]
    Lines,
    /// Under each line why it is not a plain pass, also when that was expected.
    Reasons,
}

/// How the report looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Columns of the terminal.
    pub width: usize,
    /// With colours.
    pub colour: bool,
    /// With a progress bar on standard error.
    pub bar: bool,
    /// How much is said.
    pub detail: Detail,
}

impl Look {
    /// What fits standard output, or standard error. `NO_COLOR` counts when it is set to anything
    /// but nothing (no-color.org).
    pub fn detect(choice: ColourChoice, detail: Detail, on_stderr: bool) -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let (terminal, screen) = match on_stderr {
            true => (io::stderr().is_terminal(), console::Term::stderr()),
            false => (io::stdout().is_terminal(), console::Term::stdout()),
        };
        let width = if terminal { screen.size().1.into() } else { 80 };
        let colour = colour_wanted(choice, no_colour, terminal);
        Self { width, colour, bar: terminal && io::stderr().is_terminal(), detail }
    }
}

/// Whether there are colours.
pub fn colour_wanted(choice: ColourChoice, no_colour: bool, terminal: bool) -> bool {
    match choice {
        ColourChoice::Always => true,
        ColourChoice::Never => false,
        ColourChoice::Auto => terminal && !no_colour,
    }
}

/// The report.
#[derive(Debug)]
pub struct Terminal<W: Write> {
    out: W,
    look: Look,
    trials: usize,
    shared: SharedAxes,
    total: Tally,
    families: BTreeMap<String, Tally>,
    matrix: Matrix,
    /// The first failure of each cause.
    first: BTreeMap<Signature, Finished>,
    cases: Vec<Case>,
    zdtm: Vec<ZdtmTest>,
    bar: Option<ProgressBar>,
    eta: Eta,
    /// The first machine is up.
    begun: bool,
    /// When something was printed.
    printed: Instant,
}

impl<W: Write> Terminal<W> {
    /// A report that is written to `out`.
    pub fn new(out: W, look: Look) -> Self {
        let now = Instant::now();
        let (total, families) = (Tally::default(), BTreeMap::new());
        Self {
            out,
            look,
            trials: 0,
            shared: SharedAxes::default(),
            total,
            families,
            matrix: Matrix::default(),
            first: BTreeMap::new(),
            cases: Vec::new(),
            zdtm: Vec::new(),
            bar: None,
            eta: Eta::new(now),
            printed: now,
            begun: false,
        }
    }

    /// Time has passed without an event. A log without a bar gets a line when nothing
    /// was said for [`QUIET`].
    ///
    /// # Errors
    /// It cannot be written.
    pub fn tick(&mut self, now: Instant) -> io::Result<()> {
        if self.bar.is_some() || now.duration_since(self.printed) < QUIET {
            return Ok(());
        }
        let line = format!("... {}\n", self.eta.line(self.total.total(), self.trials, now));
        self.print(&line)?;
        self.printed = now;
        Ok(())
    }

    /// The pace, on the bar.
    fn show_eta(&mut self) {
        if let Some(bar) = &self.bar {
            bar.set_position(self.total.total() as u64);
            bar.set_message(self.eta.line(self.total.total(), self.trials, Instant::now()));
        }
    }

    /// How many trials got which verdict so far.
    pub fn tally(&self) -> &Tally {
        &self.total
    }

    /// Writes lines, the bar out of their way.
    fn print(&mut self, text: &str) -> io::Result<()> {
        self.printed = Instant::now();
        let out = &mut self.out;
        let mut write = || out.write_all(text.as_bytes()).and_then(|()| out.flush());
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    fn started(&mut self, trials: usize, shared: &SharedAxes) -> io::Result<()> {
        if trials == 0 {
            return Ok(());
        }
        self.trials = trials;
        self.shared = shared.clone();
        let what = if trials == 1 { "trial" } else { "trials" };
        let shared = Some(shared.to_string()).filter(|shared| !shared.is_empty()).map(|shared| format!(": {shared}"));
        self.print(&sanitized(&format!("{trials} {what}{}", shared.unwrap_or_default())))?;
        self.print("\n")?;
        if self.look.bar {
            let bar = ProgressBar::with_draw_target(Some(trials as u64), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{bar:30} {wide_msg}");
            bar.set_style(style.expect("the template is a constant that is tested"));
            bar.enable_steady_tick(Duration::from_secs(1));
            bar.set_message("preparing");
            notices::bar(Some(bar.clone()));
            self.bar = Some(bar);
        }
        Ok(())
    }

    fn finished(&mut self, finished: &Finished) -> io::Result<()> {
        let verdict = finished.judgement.verdict;
        self.total.add(verdict);
        self.families.entry(finished.trial.family.clone()).or_default().add(verdict);
        self.matrix.add(&finished.trial, verdict);
        // What was not run is counted, not listed: after a Ctrl-C a list of four hundred lines does
        // not help.
        let is_shown = match self.look.detail {
            Detail::Failures => verdict.group() == Group::Failed,
            Detail::Lines | Detail::Reasons => verdict != Verdict::NotRun,
        };
        if is_shown {
            let line = self.line(finished);
            self.print(&line)?;
        }
        self.show_eta();
        if let Some(case) = TrialRecord::from(finished).case() {
            if case.is_failure {
                self.note_failure(&case, finished);
            }
            self.cases.push(case);
        }
        Ok(())
    }

    /// Of each cause the failure with the smallest program is described.
    fn note_failure(&mut self, case: &Case, finished: &Finished) {
        let size = |finished: &Finished| {
            let text = finished.program.as_deref().unwrap_or_default();
            (text.is_empty(), text.lines().count(), finished.trial.to_string())
        };
        match self.first.get(&case.signature) {
            Some(known) if size(known) <= size(finished) => {}
            _ => _ = self.first.insert(case.signature.clone(), finished.clone()),
        }
    }

    /// `[ 3/12] pass  deleted/unlinked@ext4/...  0.4 s`
    fn line(&self, finished: &Finished) -> String {
        let Finished { trial, judgement, seconds, .. } = finished;
        let digits = self.trials.to_string().len();
        let verdict = format!("{:<21}", judgement.verdict);
        let verdict = paint(self.look.colour, colour_of(judgement.verdict), &verdict);
        // Failures are explained at the end; these are not.
        let quiet = match self.look.detail {
            Detail::Reasons => judgement.verdict.group() != Group::Failed && !judgement.reason.is_empty(),
            Detail::Failures | Detail::Lines => judgement.verdict == Verdict::Unsupported,
        };
        let why = if quiet { format!(": {}", sanitized(&judgement.reason)) } else { String::new() };
        let time = paint(self.look.colour, Colour::Dim, &format!("{seconds:.1} s"));
        let count = self.total.total();
        format!("[{count:>digits$}/{}] {verdict} {}  {time}{why}\n", self.trials, sanitized(&self.shared.rest(trial)))
    }

    fn ended(&mut self, seconds: f64, interrupted: bool) -> io::Result<()> {
        if let Some(bar) = self.bar.take() {
            notices::bar(None);
            bar.finish_and_clear();
        }
        let Look { width, colour, .. } = self.look;
        let zdtm = zdtm::text(&self.zdtm, colour);
        if self.total.total() == 0 && !zdtm.is_empty() {
            return self.print(&zdtm);
        }
        let mut out = format!("\n{}", table(&self.families, &self.total, width, colour));
        let matrix = self.matrix.table(width, colour);
        if !matrix.is_empty() {
            out.push_str(&format!("\n{matrix}"));
        }
        let causes = causes(&self.cases);
        // The most common cause comes last: nearest to the summary that begins with it.
        for cause in causes.iter().take(ACCOUNTS).rev() {
            let Some(failure) = self.first.get(&cause.signature) else { continue };
            out.push_str(&format!("\n{}{}", account(failure, width, colour), others(cause, failure)));
        }
        let ladder = text::ladder(&Ladder::of(&self.cases), width, colour);
        for part in [text::causes(&causes, width, colour), ladder, zdtm] {
            if !part.is_empty() {
                out.push_str(&format!("\n{part}"));
            }
        }
        let how = if interrupted { "interrupted after" } else { "in" };
        let count = self.total.total();
        let trials = if count == 1 { "trial" } else { "trials" };
        out.push_str(&format!("\n{count} {trials} {how} {seconds:.1} s\n{}\n", self.total));
        self.print(&out)
    }
}

/// The other trials of a cause, by name.
fn others(cause: &Cause, shown: &Finished) -> String {
    let shown = shown.trial.to_string();
    let others: Vec<&str> = cause.trials.iter().map(String::as_str).filter(|id| *id != shown).collect();
    if others.is_empty() {
        return String::new();
    }
    let scenario = |id: &&str| sanitized(&id.split('/').take(2).collect::<Vec<_>>().join("/"));
    let named: Vec<String> = others.iter().take(NAMES).map(scenario).collect();
    let more = if others.len() > NAMES { format!(", and {} more", others.len() - NAMES) } else { String::new() };
    format!("  same cause: {}{more}\n", named.join(", "))
}

fn not_as_locked(image: &str) -> String {
    sanitized(&format!("not as locked: {image}")) + "\n"
}

impl<W: Write> Reporter for Terminal<W> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::RunStarted { trials, shared } => self.started(*trials, shared),
            Event::Subjects(subjects) => {
                let line = |one: &Identity| sanitized(&format!("{}: {one}", one.subject)) + "\n";
                self.print(&subjects.iter().map(line).collect::<String>())
            }
            Event::Zdtm(tests) => {
                self.zdtm.clone_from(tests);
                Ok(())
            }
            Event::NotAsLocked(images) => self.print(&images.iter().map(|it| not_as_locked(it)).collect::<String>()),
            Event::TrialStarted { trial } => {
                self.eta.begun(self.shared.rest(trial));
                self.show_eta();
                Ok(())
            }
            Event::MachineStarted { reset } => {
                if !std::mem::replace(&mut self.begun, true) {
                    // The preparation before the first machine came up does not count for the
                    // estimate.
                    self.eta.start = Instant::now();
                    self.printed = Instant::now();
                }
                self.eta.resets += usize::from(*reset);
                self.show_eta();
                Ok(())
            }
            Event::TrialFinished(finished) => {
                self.eta.over(&self.shared.rest(&finished.trial));
                self.finished(finished)
            }
            Event::RunFinished { seconds, interrupted } => self.ended(*seconds, *interrupted),
        }
    }
}
