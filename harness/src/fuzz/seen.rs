//! What a campaign has found so far, for whoever judges: what comes again is expected then.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::judge::{FailureKind, Judgement, Signature, Verdict};

/// Findings that need no second look: whoever runs the programs takes them as expected, so that they cost no more than a
/// pass, neither a confirmation nor a fresh machine nor a pack that is split.
#[derive(Debug, Default)]
pub struct Seen(Mutex<BTreeSet<Signature>>);

impl Seen {
    /// One more. What harms a machine is never taken as expected.
    pub fn add(&self, signature: &Signature) {
        let harms = |kind| matches!(kind, FailureKind::Hang | FailureKind::Crash | FailureKind::KernelSplat);
        if signature.kind().is_some_and(|kind| !harms(kind)) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(signature.clone());
        }
    }

    /// A judgement in the light of what was seen.
    pub fn expect(&self, judgement: Judgement) -> Judgement {
        let Verdict::Fail(kind) = judgement.verdict else { return judgement };
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&Signature::of(&judgement));
        if seen { Judgement { verdict: Verdict::Xfail(kind), ..judgement } } else { judgement }
    }
}
