//! One trial: its line, and behind it what differs, the log, the program and both observations.

use maud::{Markup, html};

use super::super::epilogue::first_difference;
use super::super::sanitize::{brief, sanitized};
use super::super::{Finished, epilogue, family_title};
use super::causes::Places;
use super::filters::Marks;
use super::{DIMENSIONS, Dimension, TrialRecord, sides};
use crate::judge::{Difference, Group};

/// More of a reason is behind the line, in characters.
pub(super) const REASON: usize = 200;

/// The trial; what has nothing to say is one line. The first that failed is open, so that a reader
/// sees what exists.
pub(super) fn trial(trial: &TrialRecord, varying: &[&Dimension], places: &Places, first: bool) -> Markup {
    let verdict = trial.verdict().map_or_else(|_| trial.verdict.clone(), |verdict| verdict.to_string());
    let kind = trial.kind.map(|kind| kind.to_string()).unwrap_or_default();
    let dimensions: Vec<String> = DIMENSIONS.iter().map(|(_, read)| read(trial)).collect();
    let own: Vec<String> = varying.iter().map(|(_, read)| read(trial)).collect();
    let open = first && failed(trial);
    let Marks { cause, bases, capabilities } = Marks::of(trial, places);
    // Where a cause's link leads without scripts.
    let anchor = places.get(trial).filter(|place| place.place == 0).map(|place| format!("cause={}", place.number));
    let line = html! {
        span.verdict.(trial.verdict) { (verdict) } " "
        span.name { (sanitized(&trial.scenario)) } " "
        span.rest { (own.join(" ")) }
        @if !trial.reason.is_empty() { span.brief { (brief(&trial.reason, REASON)) } }
        span.seconds { (format!("{:.1} s", trial.seconds)) }
    };
    let plain = trial.reason.is_empty() && trial.differences.is_empty() && trial.log.is_empty();
    html! {
        article.trial id=[anchor] data-verdict=(trial.verdict) data-kind=(kind) data-family=(family_title(&trial.family))
            data-cause=(cause) data-base=(bases) data-capability=(capabilities)
            data-kernel=(dimensions[0]) data-subject=(dimensions[1])
            data-flavor=(dimensions[2]) data-lifecycle=(dimensions[3]) {
            @if plain { div.line { (line) } } @else { details open[open] { summary { (line) } (account(trial)) } }
        }
    }
}

fn failed(trial: &TrialRecord) -> bool {
    trial.verdict().is_ok_and(|verdict| verdict.group() == Group::Failed)
}

fn account(trial: &TrialRecord) -> Markup {
    html! {
        div.account {
            @if !trial.reason.is_empty() { p.reason { (sanitized(&trial.reason)) } }
            @if !trial.differences.is_empty() {
                h3 { "What differs" }
                (differences(&trial.differences, trial.more_differences))
            }
            @if !trial.log.is_empty() {
                h3 { "Log" }
                pre.log { @for line in &trial.log { (sanitized(line.trim_end())) "\n" } }
            }
            @if let Some(program) = &trial.program {
                h3 { "Program" }
                pre.program { @for line in program.lines() { (sanitized(line)) "\n" } }
            }
            @if failed(trial) { (sides::sides(trial)) (commands(trial)) }
        }
    }
}

/// Each difference: what was expected beside what was got, both marked from the first character
/// that differs.
pub(super) fn differences(all: &[Difference], more: usize) -> Markup {
    html! {
        div.scroll { table.differences {
            thead { tr { th { "where" } th { "expected" } th { "got" } } }
            tbody {
                @for difference in all { (row(difference)) }
                @if more > 0 { tr { td colspan="3" { "... and " (more) " more" } } }
            }
        } }
    }
}

fn row(difference: &Difference) -> Markup {
    let (expected, got) = (sanitized(&difference.expected), sanitized(&difference.got));
    html! {
        tr.known[difference.known.is_some()] {
            td {
                (sanitized(&difference.to_string())) " "
                span.kind { (difference.kind.to_string()) }
                @if let Some(why) = &difference.known { span.why { "known: " (sanitized(why)) } }
            }
            td.text { (marked(&expected, &got)) }
            td.text { (marked(&got, &expected)) }
        }
    }
}

/// The text, marked from where it is not the other one's.
pub(super) fn marked(text: &str, other: &str) -> Markup {
    let at = first_difference(text, other);
    let same: String = text.chars().take(at).collect();
    let rest: String = text.chars().skip(at).collect();
    html! { (same) @if text != other { mark { @if rest.is_empty() { "\u{2007}" } @else { (rest) } } } @else { (rest) } }
}

/// What to type next.
fn commands(trial: &TrialRecord) -> Markup {
    let commands = Finished::try_from(trial.clone()).map(|finished| epilogue::commands(&finished)).unwrap_or_default();
    html! {
        h3 { "Next" }
        dl.commands {
            @for (what, command) in &commands { dt { (what) } dd { code { (sanitized(command)) } } }
            @if let Some(folder) = &trial.artifacts {
                dt { "artifacts:" } dd { code { (sanitized(&folder.display().to_string())) } }
            }
        }
    }
}
