//! A campaign by several processes on one folder.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Stdio;

use libtest_mimic::Failed;
use serde_json::Value;

use crate::program::{document, program};

/// What the mistake of the subject shows first.
const SIGNATURE: &str = "wrong-flags descriptor position";

/// A member that finds something is killed at once. What it found is there, the next member counts
/// it and does not file it again, and all together have it once.
pub(crate) fn what_one_member_found_is_not_lost_and_not_filed_again() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    killed_at_its_first_finding(folder.path())?;
    let (status, after_the_kill) = merged(folder.path())?;
    let found = of(&after_the_kill, SIGNATURE).ok_or_else(|| format!("the finding is lost: {after_the_kill:#}"))?;
    let place = folder.path().to_str().ok_or("a folder with an odd name")?;
    let (_, second) = document(&[&member(place, "b")[..], &["--programs", "400"]].concat())?;
    let (_, all) = merged(folder.path())?;
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let counted = number(&second["known"][SIGNATURE]);
    let together = of(&all, SIGNATURE).map(|bucket| number(&bucket["count"]));
    let programs = number(&after_the_kill["programs"]) + number(&second["programs"]);
    let page = std::fs::read_to_string(folder.path().join("index.html"))?;
    let is_right = status == Some(1)
        && of(&second, SIGNATURE).is_none()
        && counted > 0
        && together == Some(number(&found["count"]) + counted)
        && number(&all["programs"]) == programs
        && all["known"][SIGNATURE].is_null()
        && page.matches(SIGNATURE).count() == 1;
    match is_right {
        true => Ok(()),
        false => Err(format!("{status:?}, first {after_the_kill:#}, second {second:#}, all {all:#}").into()),
    }
}

/// The words that start a member on the host.
fn member<'a>(folder: &'a str, name: &'a str) -> [&'a str; 11] {
    let subject = "reference+fault:position-lost";
    ["fuzz", "--share", folder, "--member", name, "--backend", "host", "-j", "1", "--subject", subject]
}

fn killed_at_its_first_finding(folder: &Path) -> Result<(), Failed> {
    let words = member(folder.to_str().ok_or("a folder with an odd name")?, "a");
    let mut child = program(&words).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    let said: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.contains(SIGNATURE)).collect();
    child.kill()?;
    match child.wait()?.signal() {
        Some(9) => Ok(()),
        _ => Err(format!("it ended by itself: {said:#?}").into()),
    }
}

fn merged(folder: &Path) -> Result<(Option<i32>, Value), Failed> {
    document(&["fuzz", "--share", folder.to_str().ok_or("a folder with an odd name")?, "--merged"])
}

/// The finding with this signature.
fn of<'a>(report: &'a Value, signature: &str) -> Option<&'a Value> {
    report["buckets"].as_array().into_iter().flatten().find(|bucket| bucket["signature"] == signature)
}
