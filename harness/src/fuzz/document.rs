//! A campaign as a JSON document (docs/FORMATS.md).

use std::collections::BTreeMap;

use serde::Serialize;

use super::State;
use super::buckets::Bucket;
use crate::judge::Signature;

/// The end of a campaign, as `fuzz --format json` prints it.
#[derive(Serialize)]
pub(crate) struct Document<'a> {
    version: u32,
    programs: u64,
    seconds: f64,
    programs_per_second: f64,
    features: usize,
    arcs: usize,
    kept_for_arcs: u64,
    resets: u64,
    skipped: u64,
    flaky: u64,
    unusable: u64,
    drawn_without: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    every_program_fails: Option<&'a Signature>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exhaustive: Option<Exhaustive>,
    buckets: Vec<Row<'a>>,
    known: &'a BTreeMap<String, u64>,
}

/// How far a campaign is that runs every program.
#[derive(Serialize)]
struct Exhaustive {
    depth: usize,
    done: u64,
    total: Option<u64>,
}

#[derive(Serialize)]
struct Row<'a> {
    signature: &'a Signature,
    count: u64,
    steps: usize,
    first_seconds: f64,
    verdict: &'a str,
    reason: &'a str,
    program: &'a str,
}

impl<'a> Document<'a> {
    pub(crate) fn of(state: &'a State) -> Self {
        let row = |bucket: &'a Bucket| Row {
            signature: &bucket.signature,
            count: bucket.count,
            steps: bucket.steps,
            first_seconds: bucket.first_seconds,
            verdict: &bucket.verdict,
            reason: &bucket.reason,
            program: &bucket.program,
        };
        Self {
            version: 1,
            programs: state.programs,
            seconds: state.seconds,
            programs_per_second: state.programs as f64 / state.seconds.max(0.001),
            features: state.features.len(),
            arcs: state.arcs.len(),
            kept_for_arcs: state.arcs.kept,
            resets: state.resets,
            skipped: state.skipped,
            flaky: state.flaky,
            unusable: state.unusable,
            drawn_without: &state.broken,
            every_program_fails: state.every_program_fails.as_ref(),
            exhaustive: state.every.as_ref().map(|every| Exhaustive {
                depth: every.depth,
                done: every.done(state.next),
                total: every.total,
            }),
            buckets: state.buckets.iter().map(row).collect(),
            known: &state.known,
        }
    }
}
