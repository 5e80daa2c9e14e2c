//! GitHub Actions: an annotation for each failure (workflow commands), and a table for the step's summary.

use std::fmt::Write;
use std::io::Write as _;
use std::path::Path;

use super::account_of;
use super::record::{RunRecord, TrialRecord};

/// More annotations than this are not shown by GitHub, and the summary has all.
const ANNOTATIONS: usize = 50;

/// The workflow commands. The summary goes to the file that `GITHUB_STEP_SUMMARY` names, where it is set.
pub(super) fn render(run: &RunRecord) -> String {
    let file = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|file| !file.is_empty());
    told(run, file.as_deref().map(Path::new))
}

/// The same with this file for the summary; it is added to what other steps wrote.
pub(super) fn told(run: &RunRecord, summary_file: Option<&Path>) -> String {
    if let Some(file) = summary_file {
        let open = std::fs::OpenOptions::new().create(true).append(true).open(file);
        if let Err(error) = open.and_then(|mut file| file.write_all(summary(run).as_bytes())) {
            eprintln!("error: writing the step's summary to {}: {error}", file.display());
        }
    }
    annotations(run)
}

fn failed(run: &RunRecord) -> impl Iterator<Item = &TrialRecord> {
    run.trials.iter().filter(|trial| !matches!(trial.verdict.as_str(), "pass" | "xfail" | "unsupported" | "not-run"))
}

fn word(trial: &TrialRecord) -> String {
    trial.kind.map_or_else(|| trial.verdict.clone(), |kind| format!("{}({kind})", trial.verdict))
}

fn annotations(run: &RunRecord) -> String {
    let mut out = String::new();
    for trial in failed(run).take(ANNOTATIONS) {
        let title = property(&format!("{} {}", word(trial), trial.id));
        let _ = writeln!(out, "::error title={title}::{}", data(&account_of(trial)));
    }
    let summary = &run.summary;
    let _ = writeln!(
        out,
        "::notice title=zdtm-detached::{} passed, {} failed, {} skipped",
        summary.passed, summary.failed, summary.skipped
    );
    out
}

/// Markdown.
fn summary(run: &RunRecord) -> String {
    let numbers = &run.summary;
    let mut out = format!(
        "### zdtm-detached: {} passed, {} failed, {} skipped\n\n",
        numbers.passed, numbers.failed, numbers.skipped
    );
    let mut rows = failed(run).peekable();
    if rows.peek().is_some() {
        out.push_str("| trial | verdict | why |\n| --- | --- | --- |\n");
    }
    for trial in rows {
        let _ = writeln!(out, "| `{}` | {} | {} |", cell(&trial.id), word(trial), cell(&trial.reason));
    }
    out
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace(['\n', '\r'], " ")
}

/// The text of a workflow command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property of a workflow command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
