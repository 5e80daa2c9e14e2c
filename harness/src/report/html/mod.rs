//! The HTML report: one page without anything from elsewhere. The matrix, filters, and each trial that did not simply pass.
//!
//! Everything is in the page when it is written: without scripts it is complete, only the filters are gone.

pub(super) mod comparison;
mod matrix;
mod sides;
mod trial;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::merge::tally;
use super::record::{RunRecord, TrialRecord};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page.
pub(super) fn render(run: &RunRecord) -> String {
    let tally = tally(&run.trials);
    let title = format!("{} passed, {} failed", run.summary.passed, run.summary.failed);
    let head = html! {
        p.result { (tally.to_string()) ", " (format!("{:.1} s", run.summary.seconds)) }
        p.common { (common(&run.trials)) }
    };
    let body = html! {
        (matrix::matrix(&run.trials))
        (filters(&run.trials))
        section #trials aria-label="Trials" {
            @let varying = varying(&run.trials);
            @for (number, trial) in in_order(&run.trials).into_iter().enumerate() {
                (trial::trial(trial, &varying, number == 0))
            }
        }
    };
    page(&title, &head, &body)
}

/// A page with its style and its filters' script.
fn page(title: &str, head: &Markup, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "zdtm-detached: " (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header { h1 { "zdtm-detached" } (head) }
                main { (body) p #nothing hidden { "No trial matches the filters." } }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string() + "\n"
}

/// Failures first, then what was skipped, then what is as expected; by id in each.
fn in_order(trials: &[TrialRecord]) -> Vec<&TrialRecord> {
    let mut all: Vec<&TrialRecord> = trials.iter().collect();
    all.sort_by_key(|trial| (rank(&trial.verdict), &trial.id));
    all
}

/// Its place among verdicts, the most telling first.
fn rank(verdict: &str) -> usize {
    const ORDER: &[&str] =
        &["fail", "changed-fail", "xpass", "flaky", "error", "not-run", "unsupported", "improved", "xfail", "pass"];
    ORDER.iter().position(|word| *word == verdict).unwrap_or(0)
}

/// A part of a trial's id that can be chosen by: what it is called, and how to read it.
type Dimension = (&'static str, fn(&TrialRecord) -> String);

/// What differs from trial to trial besides the scenario, as attributes and filters.
const DIMENSIONS: &[Dimension] = &[
    ("kernel", |trial| trial.kernel.clone()),
    ("subject", |trial| trial.subject.clone()),
    ("flavor", |trial| crate::judge::verdict::flavor_word(trial.flavor).to_owned()),
    ("lifecycle", |trial| trial.lifecycle.word().to_owned()),
];

/// The dimensions in which the trials differ.
fn varying(trials: &[TrialRecord]) -> Vec<&'static Dimension> {
    DIMENSIONS.iter().filter(|(_, read)| values(trials, *read).len() > 1).collect()
}

/// The values of a dimension, in the order in which they come up.
fn values(trials: &[TrialRecord], read: fn(&TrialRecord) -> String) -> Vec<String> {
    let mut values = Vec::new();
    for value in trials.iter().map(read) {
        if !values.contains(&value) {
            values.push(value);
        }
    }
    values
}

/// `kernel 6.12, subject debian:trixie`: what all trials share.
fn common(trials: &[TrialRecord]) -> String {
    let shared = DIMENSIONS.iter().filter_map(|(name, read)| match &values(trials, *read)[..] {
        [one] => Some(format!("{name} {one}")),
        _ => None,
    });
    let criu: Vec<String> = values(trials, |trial| trial.criu.clone().unwrap_or_default());
    let criu = criu.into_iter().filter(|version| !version.is_empty()).map(|version| format!("criu {version}"));
    shared.chain(criu).collect::<Vec<_>>().join(", ")
}

fn filters(trials: &[TrialRecord]) -> Markup {
    let mut verdicts = values(trials, |trial| trial.verdict.clone());
    verdicts.sort_by_key(|word| rank(word));
    let mut kinds = values(trials, |trial| trial.kind.map(|kind| kind.to_string()).unwrap_or_default());
    kinds.retain(|kind| !kind.is_empty());
    kinds.sort();
    let mut choices: Vec<Choice> = Vec::new();
    if kinds.len() > 1 {
        choices.push(("kind", kinds));
    }
    choices.extend(varying(trials).into_iter().map(|(name, read)| (*name, values(trials, *read))));
    choices.push(("family", values(trials, |trial| super::family_title(&trial.family).to_owned())));
    form(&verdicts, &choices, trials.len())
}

/// What can be chosen by, and its values.
type Choice = (&'static str, Vec<String>);

/// The filters, for so many trials.
fn form(verdicts: &[String], choices: &[Choice], count: usize) -> Markup {
    html! {
        form #filters aria-label="Filters" {
            label.words { "find "
                input type="search" name="text" placeholder="scenario, reason, log ..." autocomplete="off";
            }
            fieldset {
                legend { "verdict" }
                @for verdict in verdicts {
                    label { input type="checkbox" name="verdict" value=(verdict) checked; " " span.verdict.(verdict) { (verdict) } }
                }
            }
            @for (name, values) in choices {
                label { (name) " "
                    select name=(name) {
                        option value="" { "all" }
                        @for value in values { option value=(value) { (value) } }
                    }
                }
            }
            button type="reset" { "all trials" }
            output #count aria-live="polite" { (count) " of " (count) }
        }
    }
}
