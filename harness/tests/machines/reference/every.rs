//! A campaign that runs every short program: all come back, each runs once, and a mistake is found
//! by the shortest one.

use std::path::Path;

use libtest_mimic::Failed;
use serde_json::Value;

use crate::program::document;

/// So many programs have no more than four steps; fewer steps detach nothing that can be restored.
const PROGRAMS: u64 = 45;

fn fuzz(subject: &str, state: &Path, more: &[&str]) -> Result<(Option<i32>, Value), Failed> {
    let state = state.to_str().ok_or("a folder with an odd name")?;
    let fixed = ["fuzz", "--exhaustive", "4", "--backend", "host", "--subject", subject, "--state", state];
    document(&[&fixed, more].concat())
}

pub(crate) fn every_short_program_comes_back() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    // In two parts; the third finds nothing left.
    for (more, programs) in [(&["--programs", "20"][..], 20), (&[], PROGRAMS), (&[], PROGRAMS)] {
        let (status, report) = fuzz("reference", folder.path(), more)?;
        let is_done = report["programs"] == programs && report["exhaustive"]["done"] == programs;
        if status != Some(0) || !is_done || report["unusable"] != 0 {
            return Err(format!("ended with {status:?}: {report:#}").into());
        }
    }
    Ok(())
}

pub(crate) fn a_mistake_is_found_by_the_shortest_program() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let (status, report) = fuzz("reference+fault:superblock-root", folder.path(), &["--first"])?;
    let steps = report["buckets"].as_array().into_iter().flatten().map(|bucket| bucket["steps"].as_u64());
    match (status, steps.min().flatten()) {
        (Some(1), Some(4)) => Ok(()),
        (status, steps) => Err(format!("ended with {status:?}, {steps:?} steps: {report:#}").into()),
    }
}
