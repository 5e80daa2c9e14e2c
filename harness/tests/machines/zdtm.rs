//! CRIU's own test suite in a VM. The first run builds it; a later one takes less than a minute.

#![allow(clippy::unwrap_used, reason = "what fails here is the end of the test")]

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::json;

use crate::program::document;
use crate::subjects::sources;

pub(crate) fn tests(_: &Arguments) -> Vec<Trial> {
    trials!(None => zdtm_py_passes_a_control_and_fails_a_detached_file_as_a_trial_does)
}

fn zdtm_py_passes_a_control_and_fails_a_detached_file_as_a_trial_does() -> Result<(), Failed> {
    let subject = format!("src:{}", sources().display());
    let words = ["zdtm", "--subject", &subject, "deleted/unlinked@tmpfs,rdwr,whole"];
    let (status, document) = document(&words)?;
    assert_eq!((status, &document["control"]["zdtm"]["verdict"]), (Some(0), &json!("pass")), "{document:#}");
    let [row] = &document["rows"].as_array().unwrap()[..] else { panic!("{document:#}") };
    assert_eq!(row["harness"]["verdict"], "fail(dump-failed)", "{document:#}");
    assert_eq!((&row["zdtm"]["verdict"], &row["zdtm"]["text"]), (&json!("fail"), &json!("CRIU dump")), "{document:#}");
    Ok(())
}
