//! CRIU's own test suite in a VM. The first run builds it; a later one takes less than a minute.

#![allow(clippy::unwrap_used, reason = "what fails here is the end of the test")]

use libtest_mimic::{Arguments, Trial};
use serde_json::json;

use crate::subjects::{document_of, sources};

pub(crate) fn tests(_: &Arguments) -> Vec<Trial> {
    trials!(None => zdtm_py_passes_a_control_and_fails_a_detached_file_as_a_trial_does)
}

fn zdtm_py_passes_a_control_and_fails_a_detached_file_as_a_trial_does() {
    let subject = format!("src:{}", sources().display());
    let words = ["zdtm", "--subject", &subject, "--format", "json"];
    let (status, document) = document_of(&[&words[..], &["deleted/unlinked@tmpfs,rdwr,whole"]].concat());
    assert_eq!((status, &document["control"]["zdtm"]["verdict"]), (Some(0), &json!("pass")), "{document:#}");
    let [row] = &document["rows"].as_array().unwrap()[..] else { panic!("{document:#}") };
    assert_eq!(row["harness"]["verdict"], "fail(dump-failed)", "{document:#}");
    assert_eq!((&row["zdtm"]["verdict"], &row["zdtm"]["text"]), (&json!("fail"), &json!("CRIU dump")), "{document:#}");
}
