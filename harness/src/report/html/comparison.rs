//! A comparison as a page: what got worse first, each trial with what both sides did.

use maud::{Markup, html};

use super::super::comparison::{Comparison, Entry, SideResult};
use super::super::family_title;
use super::super::sanitize::{brief, sanitized};
use super::filters::{Choice, form};
use super::{ladder, page, trial};

/// The words that choose a list, in the order of its titles.
const WORDS: [&str; 5] = ["worse", "better", "different", "flaky", "undecided"];

/// The page.
pub(in crate::report) fn render(comparison: &Comparison) -> String {
    let [same, sum] = comparison.sum();
    let title = format!("{} worse, {} better", comparison.worse.len(), comparison.better.len());
    let head = html! {
        p.result { (sum) }
        p.common { (same) }
        @for image in &comparison.not_as_locked { p.common { "Not as locked: " (image) } }
        dl.commands {
            dt { "base" } dd { code { (sanitized(&comparison.base)) } }
            dt { "candidate" } dd { code { (sanitized(&comparison.candidate)) } }
        }
    };
    let lists: Vec<_> = WORDS.into_iter().zip(comparison.groups()).filter(|(_, (_, list))| !list.is_empty()).collect();
    let words: Vec<String> = lists.iter().map(|(word, _)| (*word).to_owned()).collect();
    let mut families: Vec<String> = Vec::new();
    for entry in lists.iter().flat_map(|(_, (_, list))| list.iter()) {
        let family = family_title(&entry.family).to_owned();
        if !families.contains(&family) {
            families.push(family);
        }
    }
    families.sort();
    let count = lists.iter().map(|(_, (_, list))| list.len()).sum();
    let body = html! {
        (ladder::both(&comparison.ladder))
        (form(&words, &[Choice::of("family", families)], count))
        section #trials aria-label="Trials" {
            @for (number, (word, (title, entries))) in lists.iter().enumerate() {
                h2 { (title) ": " (entries.len()) }
                @for (place, entry) in entries.iter().enumerate() { (one(word, entry, number + place == 0)) }
            }
        }
        @if !comparison.left_out.is_empty() {
            h2 { "left out, " (comparison.why_left_out) ": " (comparison.left_out.len()) }
            details { summary { "their names" } pre { @for id in &comparison.left_out { (sanitized(id)) "\n" } } }
        }
    };
    page(&title, &head, &body)
}

fn one(word: &str, entry: &Entry, open: bool) -> Markup {
    let Entry { id, base, candidate, why, artifacts, .. } = entry;
    html! {
        article.trial data-verdict=(word) data-family=(family_title(&entry.family)) {
            details open[open] {
                summary {
                    span.verdict.(word) { (word) } " "
                    span.name { (sanitized(id)) } " "
                    span.rest { (base.verdict()) " \u{2192} " (candidate.verdict()) } " "
                    @let reason = why.as_ref().unwrap_or(&candidate.reason);
                    @if !reason.is_empty() { span.brief { (brief(reason, trial::REASON)) } }
                }
                div.account {
                    @if let Some(why) = why { p.reason { (sanitized(why)) } }
                    (side("base", base))
                    (side("candidate", candidate))
                    @if let Some(folder) = artifacts {
                        h3 { "Artifacts" }
                        p.reason { code { (sanitized(&folder.display().to_string())) } }
                    }
                }
            }
        }
    }
}

fn side(name: &str, result: &SideResult) -> Markup {
    html! {
        h3 { (name) }
        p.reason { span.verdict.(result.verdict) { (result.verdict()) } @if !result.reason.is_empty() { ": " (sanitized(&result.reason)) } }
        @if !result.differences.is_empty() {
            p.common { "After against before, without what the other side has, too:" }
            (trial::differences(&result.differences, 0))
        }
    }
}
