//! A campaign that knows no scenario finds a mistake that was built in, and hands over a short
//! program.

use libtest_mimic::Failed;
use serde_json::Value;

use crate::program::document;

pub(crate) fn a_campaign_finds_a_mistake() -> Result<(), Failed> {
    let (status, rows) = document(&["selftest", "--fuzz", "mount-ro-lost", "--backend", "host"])?;
    let row = &rows[0];
    let text = row["program"].as_str().unwrap_or_default();
    let program = scenarios::text::program(text.trim_start_matches("# Generated.\noutcome restored\n"));
    let is_read_only = text.lines().any(|line| line.split(' ').any(|word| word == "ro"));
    match (status, program) {
        (Some(0), Ok(_)) if is_read_only => Ok(()),
        (status, program) => Err(format!("ended with {status:?}: {row:#}, {program:?}").into()),
    }
}

/// What both engines do alike, right or wrong, is not a finding; what only the one with the mistake
/// does is.
pub(crate) fn a_comparison_of_two_engines_finds_the_mistake_of_one() -> Result<(), Failed> {
    let subjects = ["--subject", "reference", "--subject", "reference+fault:position-lost"];
    let (status, report) = campaign(&[&["--differential", "--first", "--time", "60s"], &subjects[..]].concat())?;
    let all = report["buckets"].as_array().map(Vec::as_slice).unwrap_or_default();
    let begins = "differs reference: pass; reference+fault:position-lost: wrong-flags";
    let is_it = |bucket: &Value| {
        let signature = bucket["signature"].as_str().unwrap_or_default();
        signature.starts_with(begins) && bucket["steps"].as_u64().is_some_and(|steps| steps <= 8)
    };
    match status {
        Some(1) if !all.is_empty() && all.iter().all(is_it) => Ok(()),
        status => Err(format!("ended with {status:?}: {report:#}").into()),
    }
}

/// What is known by its signature is counted, and never analyzed: each time would take two new
/// machines.
pub(crate) fn what_is_known_costs_nothing() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let known = folder.path().join("known");
    std::fs::write(&known, "# where it stood is not where it stands\nwrong-flags descriptor position\n")?;
    let known = known.to_str().ok_or("a folder with an odd name")?;
    let fixed = ["--subject", "reference+fault:position-lost", "--programs", "400"];
    let (status, report) = campaign(&[&fixed[..], &["--known", known]].concat())?;
    let count = report["known"]["wrong-flags descriptor position"].as_u64().unwrap_or_default();
    let resets = report["resets"].as_u64().unwrap_or(u64::MAX);
    let others: Vec<_> = report["buckets"].as_array().into_iter().flatten().collect();
    match status {
        Some(0) if others.is_empty() && count >= 8 && resets < count => Ok(()),
        status => Err(format!("ended with {status:?}, {count} known, {resets} resets: {report:#}").into()),
    }
}

/// What an engine has not learnt is named, and hardly any program has it after that.
pub(crate) fn a_campaign_learns_what_is_broken() -> Result<(), Failed> {
    let (_, report) =
        campaign(&[&ALONE[..], &["--subject", "reference+lacks:deleted", "--programs", "1500"]].concat())?;
    let failed: u64 = report["buckets"].as_array().into_iter().flatten().filter_map(|one| one["count"].as_u64()).sum();
    match report["drawn_without"].as_array().map(Vec::as_slice) {
        Some([word]) if word == "deleted" && (3..150).contains(&failed) => Ok(()),
        _ => Err(format!("{failed} failed: {report:#}").into()),
    }
}

/// Where nothing can be found but one cause the campaign ends before its time, and goes on when it
/// continues past it on request.
pub(crate) fn a_campaign_ends_where_every_program_fails() -> Result<(), Failed> {
    let subject = ["--subject", "reference+fault:refuses-all", "--controls", "--programs", "2000"];
    let subject = [&ALONE[..], &subject].concat();
    let (_, report) = campaign(&subject)?;
    let Some(cause) = report["every_program_fails"].as_str() else {
        return Err(format!("it goes on: {report:#}").into());
    };
    let (_, past) = campaign(&[&subject[..], &["--past", cause]].concat())?;
    let ran = |report: &Value| report["programs"].as_u64().unwrap_or_default();
    let known = past["known"][cause].as_u64().unwrap_or_default();
    if ran(&report) < 60 && past["every_program_fails"].is_null() && known > 40 {
        return Ok(());
    }
    Err(format!("{} programs, then {}, {known} known: {past:#}", ran(&report), ran(&past)).into())
}

/// With one machine, for at most a minute.
const ALONE: [&str; 4] = ["-j", "1", "--time", "60s"];

/// A campaign on the host: its exit status and its document.
fn campaign(arguments: &[&str]) -> Result<(Option<i32>, Value), Failed> {
    let folder = tempfile::tempdir()?;
    let state = folder.path().to_str().ok_or("a folder with an odd name")?;
    let fixed = ["fuzz", "--backend", "host", "--state", state];
    document(&[&fixed, arguments].concat())
}
