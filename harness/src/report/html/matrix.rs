//! The matrix: families by kernel, subject, flavor and lifecycle, each cell a strip of its
//! verdicts.

use std::collections::{BTreeMap, HashMap};

use maud::{Markup, html};

use super::super::family_title;
use super::{TrialRecord, rank, varying};

/// Trials by verdict.
type Counts = BTreeMap<(usize, String), usize>;

/// The table. A cell chooses its trials in the filters.
pub(super) fn matrix(trials: &[TrialRecord]) -> Markup {
    let varying = varying(trials);
    let column = |trial: &TrialRecord| varying.iter().map(|(_, read)| read(trial)).collect::<Vec<_>>();
    let mut columns: Vec<Vec<String>> = Vec::new();
    let mut numbers: HashMap<Vec<String>, usize> = HashMap::new();
    let mut cells: BTreeMap<&str, BTreeMap<usize, Counts>> = BTreeMap::new();
    for trial in trials {
        let of_trial = column(trial);
        let number = *numbers.entry(of_trial).or_insert_with_key(|of_trial| {
            columns.push(of_trial.clone());
            columns.len() - 1
        });
        let counts = cells.entry(family_title(&trial.family)).or_default().entry(number).or_default();
        *counts.entry((rank(&trial.verdict), trial.verdict.clone())).or_default() += 1;
    }
    html! {
        section.matrix aria-label="Matrix" {
            table {
                thead { tr {
                    th scope="col" { "family" }
                    @for words in &columns { th scope="col" { (if words.is_empty() { "trials".to_owned() } else { words.join(" ") }) } }
                } }
                tbody {
                    @for (family, row) in &cells {
                        tr {
                            th scope="row" { (family) }
                            @for (number, words) in columns.iter().enumerate() {
                                td { @if let Some(counts) = row.get(&number) {
                                    @let chosen = varying.iter().map(|(name, _)| *name).zip(words).collect::<Vec<_>>();
                                    (cell(family, &chosen, counts))
                                } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A button that says how many of what, with the dimensions' values as the words that the filters
/// know.
fn cell(family: &str, chosen: &[(&str, &String)], counts: &Counts) -> Markup {
    let query: Vec<String> = chosen.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let total: usize = counts.values().sum();
    html! {
        button.cell type="button" data-family=(family) data-choose=(query.join("\n")) {
            span.counts {
                @for ((_, verdict), count) in counts { span.verdict.(verdict) { (count) " " (verdict) } }
            }
            span.strip aria-hidden="true" {
                @for ((_, verdict), count) in counts {
                    span.(verdict) style=(format!("flex-grow:{count}")) title=(format!("{count} of {total} {verdict}")) {}
                }
            }
        }
    }
}
