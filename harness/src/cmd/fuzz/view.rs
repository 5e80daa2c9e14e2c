//! What a campaign tells: a line on a terminal, a heartbeat in a log, the page, and the end.

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget};

use super::FuzzFormat;
use crate::fuzz::State;
use crate::fuzz::buckets::Bucket;
use crate::fuzz::document::Document;
use crate::fuzz::page::{duration, page};
use crate::judge::Signature;
use crate::notices::say;
use crate::report::epilogue::quoted;
use crate::sanitize::sanitized;

/// A log gets a line so often.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// The page is written so often.
const PAGE: Duration = Duration::from_secs(10);

/// Where reports go, and in which form.
pub(super) struct View {
    folder: PathBuf,
    format: FuzzFormat,
    bar: Option<ProgressBar>,
    start: (Instant, u64),
    reported: Instant,
    paged: Option<Instant>,
    buckets: BTreeSet<Signature>,
    last: Option<Instant>,
}

impl View {
    pub(super) fn new(folder: &Path, format: FuzzFormat, state: &State, goes_on: bool) -> Self {
        let how = match &state.every {
            _ if goes_on => format!("goes on after {} programs", state.programs),
            Some(every) => every.total.map_or("shortest first".to_owned(), |total| format!("{total} programs")),
            None => format!("seed {}", state.seed),
        };
        say(&format!("{}; {how}; {}/", state.what, folder.display()));
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let buckets = state.buckets.iter().map(|bucket| bucket.signature.clone()).collect();
        let now = Instant::now();
        Self {
            folder: folder.to_owned(),
            format,
            bar,
            start: (now, state.programs),
            reported: now,
            paged: None,
            buckets,
            last: None,
        }
    }

    pub(super) fn show(&mut self, state: &State) {
        for bucket in state.buckets.iter().filter(|bucket| !self.buckets.contains(&bucket.signature)) {
            let line = format!("finding: {} ({} steps)", bucket.signature, bucket.steps);
            match &self.bar {
                Some(bar) => bar.println(sanitized(&line)),
                None => say(&line),
            }
            self.last = Some(Instant::now());
        }
        self.buckets.extend(state.buckets.iter().map(|bucket| bucket.signature.clone()));
        let line = self.line(state);
        if let Some(bar) = &self.bar {
            bar.set_message(line);
        } else if self.reported.elapsed() >= HEARTBEAT {
            self.reported = Instant::now();
            say(&line);
        }
        if self.paged.is_none_or(|paged| paged.elapsed() >= PAGE) {
            self.paged = Some(Instant::now());
            // An error does not stop the campaign: the end writes the page again and reports it.
            let _ = std::fs::write(self.folder.join("index.html"), page(state));
        }
    }

    fn line(&self, state: &State) -> String {
        let (start, before) = self.start;
        let rate = (state.programs - before) as f64 / start.elapsed().as_secs_f64().max(0.001);
        let last = self
            .last
            .map_or_else(String::new, |last| format!(", the last {} ago", duration(last.elapsed().as_secs_f64())));
        let arcs = match state.arcs.len() {
            0 => String::new(),
            arcs => format!(", {arcs} arcs"),
        };
        let every = state.every.as_ref().map_or_else(String::new, |every| format!("; {}", every.describe(state.next)));
        format!(
            "{} programs, {rate:.1}/s, {} features{arcs}, {} findings{last}, {} known, {} left out, {} resets{every}",
            state.programs,
            state.features.len(),
            state.buckets.len(),
            state.known.values().sum::<u64>(),
            state.skipped,
            state.resets
        )
    }

    pub(super) fn end(&mut self, state: &State) -> anyhow::Result<()> {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        let file = self.folder.join("index.html");
        std::fs::write(&file, page(state)).with_context(|| format!("writing {}", file.display()))?;
        print(state, self.format, |_| self.folder.clone())?;
        if self.format == FuzzFormat::Human {
            writeln!(std::io::stdout(), "{}", self.line(state))?;
        }
        if let Some(signature) = &state.every_program_fails {
            let past = quoted(&signature.0);
            say(&format!("every program fails: {signature}; `--past {past}` goes on"));
        }
        Ok(())
    }
}

/// Prints what was found; `folder` is that of the campaign which has a finding's file.
///
/// # Errors
/// Standard output cannot be written to.
pub(super) fn print(state: &State, format: FuzzFormat, folder: impl Fn(&Bucket) -> PathBuf) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if format == FuzzFormat::Json {
        serde_json::to_writer(&mut out, &Document::of(state))?;
        writeln!(out)?;
        return Ok(());
    }
    for bucket in state.buckets.iter() {
        let file = folder(bucket).join(format!("findings/{}.scn", bucket.signature.file_name()));
        let signature = sanitized(&bucket.signature.0);
        writeln!(out, "{:>6} x  {signature}\n          {} steps: {}", bucket.count, bucket.steps, file.display())?;
    }
    for (signature, count) in &state.known {
        writeln!(out, "{count:>6} x  known: {}", sanitized(signature))?;
    }
    for words in &state.broken {
        writeln!(out, "drawn without: {}", sanitized(words))?;
    }
    Ok(())
}
