//! Compares results of one trial: the one place that decides whether two failures are the same,
//! and that combines the results of repeated runs.
//!
//! - `identity`: what stays of a difference from run to run; a whole failure has a
//!   [`Signature`](crate::judge::Signature)
//! - `outcome`: what a result says about the subject, and how often a trial passed
//! - `change`: the runs of two subjects
//!
//! Used where a failure is confirmed (`run`), where results are merged (`report`) and blessed, and
//! where two subjects are compared.

mod change;
mod identity;
mod outcome;

pub(crate) use change::{Change, RunOutcome, compare, ever};
pub(crate) use identity::sign;
pub(crate) use outcome::{Outcome, Runs};
