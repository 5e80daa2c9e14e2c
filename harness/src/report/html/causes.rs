//! What the page opens on: each cause of failures, with what blocks it and the smallest program
//! that shows it.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::super::sanitize::{brief, sanitized};
use super::TrialRecord;
use crate::causes::Cause;

/// How many causes are shown at once; the others are behind a line.
const SHOWN: usize = 8;
/// More of an error or a difference is in its trials, in characters.
const FIRST: usize = 400;

/// The section; nothing where nothing failed.
pub(super) fn causes(causes: &[Cause]) -> Markup {
    let failures: usize = causes.iter().map(|cause| cause.count).sum();
    let (shown, others) = causes.split_at(causes.len().min(SHOWN));
    html! {
        @if !causes.is_empty() {
            section.causes aria-label="Causes" {
                h2 { (counted(causes.len(), "cause")) " of " (counted(failures, "failure")) }
                (list(shown, 0))
                @if !others.is_empty() {
                    details { summary { "and " (counted(others.len(), "more cause")) } (list(others, SHOWN)) }
                }
            }
        }
    }
}

/// `1 cause`, `3 causes`
pub(super) fn counted(count: usize, one: &str) -> String {
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
}

/// Causes from the number after `before` on.
fn list(causes: &[Cause], before: usize) -> Markup {
    html! {
        ol start=(before + 1) {
            @for (number, cause) in (before + 1..).zip(causes) { li.cause data-cause=(number) { (one(number, cause)) } }
        }
    }
}

fn one(number: usize, cause: &Cause) -> Markup {
    let scenario = cause.example.split('/').take(2).collect::<Vec<_>>().join("/");
    html! {
        p.head {
            a.choose href=(format!("#cause={number}")) { (counted(cause.count, "trial")) } " "
            span.verdict.fail { (sanitized(cause.word())) }
        }
        p.text { (brief(&cause.first, FIRST)) }
        @if let Some(note) = cause.note() { p.note { (sanitized(&note)) } }
        p.example { "smallest: " span.name { (sanitized(&scenario)) } }
        @if !cause.program.is_empty() {
            pre.program { @for line in cause.program.lines() { (sanitized(line)) "\n" } }
        }
    }
}

/// Where a failed trial stands among the causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The number of its cause, from 1.
    pub(super) number: usize,
    /// Its place among the trials of this cause; 0 is the smallest program.
    pub(super) place: usize,
}

/// The places of failed trials by id.
pub(super) struct Places<'a>(BTreeMap<&'a str, Place>);

impl<'a> Places<'a> {
    /// Of the trials of these causes.
    pub(super) fn of(causes: &'a [Cause]) -> Self {
        let trials = (1..).zip(causes).flat_map(|(number, cause)| {
            let ids = cause.trials.iter().enumerate();
            ids.map(move |(place, id)| (id.as_str(), Place { number, place }))
        });
        Self(trials.collect())
    }

    /// The place of a trial; `None` where it did not fail.
    pub(super) fn get(&self, trial: &TrialRecord) -> Option<Place> {
        self.0.get(trial.id.as_str()).copied()
    }
}
