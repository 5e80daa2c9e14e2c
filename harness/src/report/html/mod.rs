//! The HTML report: one page without anything from elsewhere. It opens on the causes of the
//! failures and the ladder; below stand the families, the filters, and each trial.
//!
//! Everything is in the page when it is written: without scripts it is complete, only the filters
//! are gone.

mod causes;
pub(super) mod comparison;
mod filters;
mod ladder;
mod matrix;
mod sides;
mod trial;
mod zdtm;

use std::collections::HashSet;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::merge::tally;
use super::record::{RunRecord, TrialRecord};
use crate::sanitize::sanitized_lines;
use causes::Places;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page.
pub(super) fn render(run: &RunRecord) -> String {
    let tally = tally(&run.trials);
    let title = format!("{} passed, {} failed", run.summary.passed, run.summary.failed);
    let head = html! {
        p.result { (tally.to_string()) ", " (format!("{:.1} s", run.summary.seconds)) }
        p.common { (common(&run.trials)) }
        @for image in &run.not_as_locked { p.common { "Not as locked: " (image) } }
    };
    let places = Places::of(&run.causes);
    let body = html! {
        div.opening { (causes::causes(&run.causes)) (ladder::ladder(&run.ladder)) }
        // Without a ladder it is all there is of an overview.
        details.families open[run.ladder.is_empty()] { summary { "Families" } (matrix::matrix(&run.trials)) }
        (zdtm::zdtm(&run.zdtm))
        (filters::filters(run))
        section #trials aria-label="Trials" {
            @let varying = varying(&run.trials);
            @for (number, trial) in in_order(&run.trials, &places).into_iter().enumerate() {
                (trial::trial(trial, &varying, &places, number == 0))
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
    sanitized_lines(&page.into_string()) + "\n"
}

/// Failures first, in the order of their causes; then what was skipped, then what is as expected,
/// by id in each.
fn in_order<'a>(trials: &'a [TrialRecord], places: &Places) -> Vec<&'a TrialRecord> {
    let mut all: Vec<&TrialRecord> = trials.iter().collect();
    all.sort_by_key(|trial| {
        let place = places.get(trial);
        (place.is_none(), place, rank(&trial.verdict), &trial.id)
    });
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
    ("flavor", |trial| trial.flavor.word().to_owned()),
    ("lifecycle", |trial| trial.lifecycle.word().to_owned()),
];

/// The dimensions in which the trials differ.
fn varying(trials: &[TrialRecord]) -> Vec<&'static Dimension> {
    DIMENSIONS.iter().filter(|(_, read)| values(trials, *read).len() > 1).collect()
}

/// The values of a dimension, in the order in which they come up.
fn values(trials: &[TrialRecord], read: fn(&TrialRecord) -> String) -> Vec<String> {
    let mut known = HashSet::new();
    trials.iter().map(read).filter(|value| known.insert(value.clone())).collect()
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
