//! Every comparison that the judge makes is needed: for each there is a known mistake that only it
//! catches. Each mistake is made once, in the scenarios that are likely to catch it, and what was
//! seen is judged again without each comparison.
//!
//! A comparison that fails here is dead, or a fault or a scenario for it is lacking.

use harness::judge::comparisons;
use libtest_mimic::Failed;

use crate::program::document;

/// So many mistakes at least are caught by probes alone.
const FAULTS_OF_PROBES: usize = 12;

pub(crate) fn every_comparison_is_needed() -> Result<(), Failed> {
    let (status, record) = document(&["selftest", "--comparisons", "--backend", "host"])?;
    let rows = record["comparisons"].as_array().ok_or("no comparisons")?;
    let names: Vec<&str> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
    if names != comparisons::ALL.iter().map(|row| row.name).collect::<Vec<_>>() {
        return Err(format!("not every comparison was left out once: {names:?}").into());
    }
    let is_dead = |row: &&serde_json::Value| {
        let shown = row["shown"] != false || row["name"] != comparisons::STATMOUNT;
        shown && row["needed_by"].as_array().is_none_or(Vec::is_empty)
    };
    let dead: Vec<_> = rows.iter().filter(is_dead).map(|row| &row["name"]).collect();
    if !dead.is_empty() {
        return Err(format!("without these comparisons every known mistake is still caught: {dead:?}").into());
    }
    let faults = record["faults"].as_array().ok_or("no faults")?;
    let of_probes: Vec<_> =
        faults.iter().filter(|fault| fault["needs_probes"] == true).map(|one| &one["name"]).collect();
    if of_probes.len() < FAULTS_OF_PROBES {
        return Err(format!("only these mistakes need the probes: {of_probes:?}").into());
    }
    match status {
        Some(0) => Ok(()),
        status => {
            Err(format!("selftest ended with {status:?}; caught {} of {}", record["caught"], record["total"]).into())
        }
    }
}
