//! JUnit's XML, for Jenkins, GitLab and others: a suite for each family, a case for each trial. The
//! message of a failed case is the signature of its cause, so that tools that group by message
//! group by cause; its text has the reason. Every text is made harmless first: the writer leaves
//! characters in that XML 1.0 forbids.

use std::collections::BTreeMap;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::record::{RunRecord, TrialRecord};
use super::sanitize::sanitized;
use super::zdtm::{ZdtmResult, ZdtmTest};
use super::{account_of, family_title};
use crate::causes::Cause;
use crate::judge::Signature;

/// The document.
pub(super) fn render(run: &RunRecord) -> String {
    let signatures = signatures(&run.causes);
    let mut suites: BTreeMap<String, TestSuite> = BTreeMap::new();
    for trial in &run.trials {
        let family = sanitized(family_title(&trial.family));
        let signature = signatures.get(trial.id.as_str()).copied();
        suites.entry(family.clone()).or_insert_with(|| TestSuite::new(family)).add_test_case(case(trial, signature));
    }
    for test in &run.zdtm {
        suites.entry("zdtm".to_owned()).or_insert_with(|| TestSuite::new("zdtm")).add_test_case(zdtm_case(test));
    }
    let mut report = Report::new("zdtm-detached");
    report.set_time(seconds(run.summary.seconds)).add_test_suites(suites.into_values());
    report.to_string().expect("text without a zero byte can be written as XML")
}

/// The signature of each failed trial by its id.
fn signatures(causes: &[Cause]) -> BTreeMap<&str, &Signature> {
    let ids = causes.iter().flat_map(|cause| cause.trials.iter().map(move |id| (id.as_str(), &cause.signature)));
    ids.collect()
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

fn case(trial: &TrialRecord, signature: Option<&Signature>) -> TestCase {
    let status = match trial.verdict.as_str() {
        "pass" | "xfail" | "improved" => TestCaseStatus::success(),
        "unsupported" | "not-run" => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(sanitized(&trial.reason));
            status
        }
        verdict => {
            let kind = if verdict == "error" { NonSuccessKind::Error } else { NonSuccessKind::Failure };
            let mut status = TestCaseStatus::non_success(kind);
            let word = trial.kind.map_or_else(|| verdict.to_owned(), |kind| format!("{verdict}({kind})"));
            let message = signature.map_or(&trial.reason, |signature| &signature.0);
            status.set_message(sanitized(message)).set_type(word).set_description(account_of(trial));
            status
        }
    };
    let mut case = TestCase::new(sanitized(&trial.id), status);
    case.set_classname(sanitized(family_title(&trial.family))).set_time(seconds(trial.seconds));
    if ["xfail", "improved"].contains(&trial.verdict.as_str()) {
        // JUnit has no word for it: the case is a success, and says here that it is not a plain
        // pass.
        case.set_system_out(format!("{}: {}", trial.verdict, sanitized(&trial.reason)));
    }
    case
}

/// A test of zdtm; its message is its cause, as for trials.
fn zdtm_case(test: &ZdtmTest) -> TestCase {
    let status = match test.result {
        ZdtmResult::Passed => TestCaseStatus::success(),
        ZdtmResult::Skipped => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(sanitized(&test.reason));
            status
        }
        ZdtmResult::Failed => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            let lines: Vec<String> = test.log.iter().map(|line| sanitized(line)).collect();
            status.set_message(sanitized(&test.reason)).set_description(lines.join("\n"));
            status
        }
    };
    let mut case = TestCase::new(sanitized(&test.name), status);
    case.set_classname("zdtm");
    case
}
