//! Compares results of one trial: the one place that decides whether two failures are the same,
//! and that combines the results of repeated runs.
//!
//! - `identity`: the [`Signature`](crate::judge::Signature) of a failure, and what stays of a
//!   difference from run to run
//! - `outcome`: what a result says about the subject, and how often a trial passed
//! - `change`: the runs of two subjects
//!
//! Used where results are merged (`report`) and blessed, where two subjects are compared, where a
//! failure is made small, and where a finding is checked. `run` asks two more questions: a failure
//! is confirmed once for each signature, and it is confirmed by a second run with the same verdict.
//! A campaign (`fuzz`) files by signature as well.

mod change;
mod identity;
mod outcome;

pub(crate) use change::{Change, RunOutcome, compare, ever};
pub(crate) use identity::{failure, sign};
pub(crate) use outcome::{Outcome, Runs};
