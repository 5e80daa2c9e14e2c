//! The filters: verdicts to tick, and what else trials can be chosen by.

use maud::{Markup, html};

use super::super::sanitize::brief;
use super::causes::Places;
use super::ladder::{bases, rows};
use super::{RunRecord, TrialRecord, rank, values, varying};
use crate::causes::ladder::Row;
use crate::causes::{Case, Cause};

/// More of a cause does not fit a list, in characters.
const CAUSE: usize = 70;

/// Something that can be chosen by.
pub(super) struct Choice {
    name: &'static str,
    /// Values of the trials' attribute, each with its text.
    values: Vec<(String, String)>,
    /// A trial has several of them: its attribute is words with blanks between.
    is_list: bool,
}

impl Choice {
    /// Each trial has one of these values.
    pub(super) fn of(name: &'static str, values: Vec<String>) -> Self {
        Self { name, values: values.into_iter().map(|value| (value.clone(), value)).collect(), is_list: false }
    }

    /// A trial has any number of these words.
    fn list(name: &'static str, words: Vec<String>) -> Self {
        Self { is_list: true, ..Self::of(name, words) }
    }
}

/// The filters of a run.
pub(super) fn filters(run: &RunRecord) -> Markup {
    let trials = &run.trials;
    let mut verdicts = values(trials, |trial| trial.verdict.clone());
    verdicts.sort_by_key(|word| rank(word));
    let mut choices: Vec<Choice> = Vec::new();
    if !run.causes.is_empty() {
        let values = (1..).zip(&run.causes).map(|(number, cause)| (number.to_string(), text(number, cause)));
        choices.push(Choice { name: "cause", values: values.collect(), is_list: false });
    }
    if !run.ladder.is_empty() {
        let capabilities = rows(&run.ladder).into_iter().filter(|row| *row != Row::Total.word());
        choices.push(Choice::list("capability", capabilities.map(str::to_owned).collect()));
        choices.push(Choice::list("base", bases(&run.ladder).iter().map(ToString::to_string).collect()));
    }
    let mut kinds = values(trials, |trial| trial.kind.map(|kind| kind.to_string()).unwrap_or_default());
    kinds.retain(|kind| !kind.is_empty());
    kinds.sort();
    if kinds.len() > 1 {
        choices.push(Choice::of("kind", kinds));
    }
    choices.extend(varying(trials).into_iter().map(|(name, read)| Choice::of(name, values(trials, *read))));
    choices.push(Choice::of("family", values(trials, |trial| super::super::family_title(&trial.family).to_owned())));
    form(&verdicts, &choices, trials.len())
}

/// `1. restore-failed: Error (criu/a.c:17): no /x`
fn text(number: usize, cause: &Cause) -> String {
    brief(&format!("{number}. {}: {}", cause.word(), cause.first), CAUSE)
}

/// What the filters know of a trial beside its id and its verdict.
pub(super) struct Marks {
    /// The number of its cause; empty where it did not fail.
    pub(super) cause: String,
    /// The ladder's columns in which it counts.
    pub(super) bases: String,
    /// The ladder's rows in which it counts, without that of all trials.
    pub(super) capabilities: String,
}

impl Marks {
    /// Of a trial. What the ladder does not count has neither bases nor capabilities, so that a
    /// cell leads to as many trials as it says.
    pub(super) fn of(trial: &TrialRecord, places: &Places) -> Self {
        let cause = places.get(trial).map(|place| place.number.to_string()).unwrap_or_default();
        let Some(case) = trial.case().filter(Case::is_on_ladder) else {
            return Self { cause, bases: String::new(), capabilities: String::new() };
        };
        let bases: Vec<&str> = case.profile.bases.iter().map(|base| base.word()).collect();
        let mut capabilities: Vec<&str> = case.profile.capabilities.iter().map(|word| word.word()).collect();
        if capabilities.is_empty() {
            capabilities.push(Row::Alone.word());
        }
        Self { cause, bases: bases.join(" "), capabilities: capabilities.join(" ") }
    }
}

/// The form, for so many trials.
pub(super) fn form(verdicts: &[String], choices: &[Choice], count: usize) -> Markup {
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
            @for choice in choices {
                label { (choice.name) " "
                    select name=(choice.name) data-list[choice.is_list] {
                        option value="" { "all" }
                        @for (value, text) in &choice.values { option value=(value) { (text) } }
                    }
                }
            }
            button type="reset" { "all trials" }
            output #count aria-live="polite" { (count) " of " (count) }
        }
    }
}
