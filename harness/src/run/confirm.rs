//! Which failures are run again before they are reported.
//!
//! A second run in a machine that no trial has used tells a failure of the subject from one of the
//! machine. One confirmation for a cause is enough: a reader of 200 failures of one signature
//! learns nothing from 200 second runs, and these cost more than the first ones.
//!
//! The second run is *thorough* (`TrialRequest::thorough`). It tries a failed restore a second time
//! and sends the checkpoint's images. That is too expensive for each of 200 failures. When it fails
//! in the same way, its report replaces the first one.

use std::collections::BTreeSet;
use std::sync::Mutex;

use crate::judge::{Judgement, Signature, Verdict};

/// Which failures are run again.
#[derive(Debug)]
pub enum Confirm {
    /// Every one.
    All,
    /// The first of each cause; these signatures came twice.
    EachCause(Mutex<BTreeSet<Signature>>),
}

/// What `--confirm` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Wanted {
    /// The first failure of each cause
    #[default]
    Cause,
    /// Every failure
    All,
}

impl From<Wanted> for Confirm {
    fn from(wanted: Wanted) -> Self {
        match wanted {
            Wanted::Cause => Self::EachCause(Mutex::default()),
            Wanted::All => Self::All,
        }
    }
}

impl Confirm {
    /// Whether a failure with this signature was seen twice already.
    pub(super) fn has(&self, signature: &Signature) -> bool {
        match self {
            Self::All => false,
            Self::EachCause(known) => known.lock().is_ok_and(|known| known.contains(signature)),
        }
    }

    /// A failure was run again and came to this.
    pub(super) fn note(&self, signature: Signature, second: &Judgement) {
        let is_confirmed = !matches!(second.verdict, Verdict::Flaky { .. });
        if let (Self::EachCause(known), true) = (self, is_confirmed)
            && let Ok(mut known) = known.lock()
        {
            known.insert(signature);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::FailureKind;

    #[test]
    fn a_cause_that_came_twice_is_known_and_a_flaky_one_is_not() {
        let fail = Judgement::plain(Verdict::Fail(FailureKind::DumpFailed), "no");
        let flaky = Judgement::plain(Verdict::Flaky { passed: 1, runs: 2 }, "no");
        let signature = Signature::of(&fail);
        for (wanted, second, expected) in
            [(Wanted::Cause, &fail, true), (Wanted::Cause, &flaky, false), (Wanted::All, &fail, false)]
        {
            let confirm = Confirm::from(wanted);
            assert!(!confirm.has(&signature));
            confirm.note(signature.clone(), second);
            assert_eq!(confirm.has(&signature), expected, "{wanted:?}, {}", second.verdict);
        }
    }
}
