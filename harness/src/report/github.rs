//! GitHub Actions: an annotation for each cause of failures (workflow commands), and the step's
//! summary: a table of causes, then some trials of each.

use std::fmt::Write;
use std::io::Write as _;
use std::path::Path;

use super::record::{RunRecord, TrialRecord};
use super::sanitize::{brief, sanitized};
use super::zdtm::{self, Numbers, ZdtmTest};
use super::{account_of, markdown};
use crate::causes::Cause;
use crate::notices::say;

/// More annotations than this are not shown by GitHub, and the summary has all.
const ANNOTATIONS: usize = 50;
/// So many trials of a cause are named in the summary.
const TRIALS: usize = 5;
/// So many causes have their trials named; GitHub refuses a summary of more than a MiB.
const CAUSES: usize = 100;
/// More of a message is in the other reports, in characters.
const MESSAGE: usize = 300;

/// The workflow commands. The summary goes to the file that `GITHUB_STEP_SUMMARY` names, where it
/// is set.
pub(super) fn render(run: &RunRecord) -> String {
    let file = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|file| !file.is_empty());
    render_with(run, file.as_deref().map(Path::new))
}

/// The same with this file for the summary; it is added to what other steps wrote.
pub(super) fn render_with(run: &RunRecord, summary_file: Option<&Path>) -> String {
    if let Some(file) = summary_file {
        let open = std::fs::OpenOptions::new().create(true).append(true).open(file);
        if let Err(error) = open.and_then(|mut file| file.write_all(summary(run).as_bytes())) {
            say(&format!("error: writing the step's summary to {}: {error}", file.display()));
        }
    }
    annotations(run)
}

/// `restore-failed: Error (criu/a.c:17): no /x`
fn title(cause: &Cause) -> String {
    brief(&format!("{}: {}", cause.word(), cause.first), MESSAGE)
}

/// `1 trial`, `28 trials`
fn trials(count: usize) -> String {
    if count == 1 { "1 trial".to_owned() } else { format!("{count} trials") }
}

fn annotations(run: &RunRecord) -> String {
    let mut out = String::new();
    for cause in run.causes.iter().take(ANNOTATIONS) {
        let title = format!("{}: {}", trials(cause.count), title(cause));
        let mut text = cause.note().map(|note| format!("{}\n", sanitized(&note))).unwrap_or_default();
        let _ = writeln!(text, "{}", sanitized(&cause.example));
        if let Some(example) = trial(run, &cause.example) {
            text.push_str(&account_of(example));
        }
        if cause.count > 1 {
            let _ = writeln!(text, "and {} more with this cause", cause.count - 1);
        }
        let _ = writeln!(out, "::error title={}::{}", property(&title), data(&text));
    }
    for cause in zdtm::causes(&run.zdtm).iter().take(ANNOTATIONS) {
        let title = format!("zdtm: {}: {}", tests(cause.tests.len()), cause.title());
        let _ = writeln!(out, "::error title={}::{}", property(&title), data(&cause.names()));
    }
    let zdtm = if run.zdtm.is_empty() { String::new() } else { format!("; zdtm: {}", Numbers::of(&run.zdtm)) };
    let _ = writeln!(out, "::notice title=zdtm-detached::{}{zdtm}", numbers(run));
    out
}

/// `2 passed, 3 failed (2 causes), 1 skipped`
fn numbers(run: &RunRecord) -> String {
    let summary = &run.summary;
    let causes = match run.causes.len() {
        0 => String::new(),
        1 => " (1 cause)".to_owned(),
        count => format!(" ({count} causes)"),
    };
    format!("{} passed, {} failed{causes}, {} skipped", summary.passed, summary.failed, summary.skipped)
}

/// `1 test`, `28 tests`
fn tests(count: usize) -> String {
    if count == 1 { "1 test".to_owned() } else { format!("{count} tests") }
}

/// Markdown.
fn summary(run: &RunRecord) -> String {
    trials_summary(run) + &zdtm_summary(&run.zdtm)
}

fn zdtm_summary(all: &[ZdtmTest]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let mut out = format!("\n### zdtm: {}\n\n", Numbers::of(all));
    for cause in zdtm::causes(all).iter().take(CAUSES) {
        let (title, names) = (markdown::text(&cause.title()), markdown::text(&cause.names()));
        let _ = writeln!(out, "- **{}: {title}**: {names}", tests(cause.tests.len()));
    }
    out
}

fn trials_summary(run: &RunRecord) -> String {
    let mut out = format!("### zdtm-detached: {}\n\n", numbers(run));
    if run.causes.is_empty() {
        return out;
    }
    out.push_str("| trials | cause | what is known | smallest program |\n| ---: | --- | --- | --- |\n");
    for cause in &run.causes {
        let note = markdown::text(&cause.note().unwrap_or_default());
        let (title, example) = (markdown::code(&title(cause)), markdown::code(&cause.example));
        let _ = writeln!(out, "| {} | {title} | {note} | {example} |", cause.count);
    }
    for cause in run.causes.iter().take(CAUSES) {
        let _ = writeln!(out, "\n**{}: {}**\n", trials(cause.count), markdown::text(&title(cause)));
        for trial in cause.trials.iter().take(TRIALS).filter_map(|id| trial(run, id)) {
            let (id, reason) = (markdown::code(&trial.id), markdown::text(&brief(&trial.reason, MESSAGE)));
            let _ = writeln!(out, "- {id} {}: {reason}", word(trial));
        }
        if cause.count > TRIALS {
            let _ = writeln!(out, "- and {} more", cause.count - TRIALS);
        }
    }
    out
}

fn trial<'a>(run: &'a RunRecord, id: &str) -> Option<&'a TrialRecord> {
    run.trials.iter().find(|trial| trial.id == id)
}

fn word(trial: &TrialRecord) -> String {
    trial.kind.map_or_else(|| trial.verdict.clone(), |kind| format!("{}({kind})", trial.verdict))
}

/// The text of a workflow command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property of a workflow command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
