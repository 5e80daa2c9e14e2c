//! The failures that a campaign has found so far. The judge takes one that comes again as expected.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::judge::{FailureKind, Judgement, Signature, Verdict};

/// Failures that were found before. A run takes them as expected, so that they cost no more than a
/// pass: neither a confirmation nor a fresh machine nor a pack that is split.
#[derive(Debug, Default)]
pub struct KnownFailures(Mutex<BTreeSet<Signature>>);

impl KnownFailures {
    /// Adds a failure. One that harms the machine is never expected.
    pub fn add(&self, signature: &Signature) {
        let harms = |kind| matches!(kind, FailureKind::Hang | FailureKind::Crash | FailureKind::KernelSplat);
        if signature.kind().is_some_and(|kind| !harms(kind)) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(signature.clone());
        }
    }

    /// A judgement in the light of what is known.
    pub fn expect(&self, judgement: Judgement) -> Judgement {
        let Verdict::Fail(kind) = judgement.verdict else { return judgement };
        let is_known = self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&Signature::of(&judgement));
        if is_known { Judgement { verdict: Verdict::Xfail(kind), ..judgement } } else { judgement }
    }
}
