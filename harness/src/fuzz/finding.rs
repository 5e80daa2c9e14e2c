//! Which of a campaign's results are findings, and under which signature each is filed. Which
//! failures are the same is the rule of the room `compare`; a campaign adds mistakes of the model,
//! and files what is no failure of the subject, so that somebody reads it.

use crate::judge::signature::plain;
use crate::judge::{Signature, Verdict};
use crate::run::Over;

/// What a program that did not pass is filed under; `None` for one that did, or that this machine
/// cannot run. A program that did not come about as the model says is a failure of the model.
pub(super) fn finding(over: &Over) -> Option<Signature> {
    let setup = over.report.as_ref().and_then(|report| report.setup_failure.as_ref());
    match over.judgement.verdict {
        Verdict::Xfail(_) if over.judgement.is_explained() => None,
        Verdict::Pass | Verdict::Unsupported | Verdict::NotRun => None,
        Verdict::Error if setup.is_some_and(|failure| failure.line > 0) => {
            let what = setup.map_or("", |failure| failure.what.as_str());
            Some(Signature(format!("model step {}", plain(what))))
        }
        Verdict::Error if over.report.as_ref().is_some_and(|report| !report.failed_assertions.is_empty()) => {
            Some(Signature(format!("model {}", plain(&over.judgement.reason))))
        }
        _ => Some(Signature::of(&over.judgement)),
    }
}
