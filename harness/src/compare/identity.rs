//! What makes two failures the same. For one subject it is the signature: both show the same
//! mistake. A comparison of two subjects also looks at the values, because another wrong value is
//! another failure there: [`sign`] has them.

use regex_lite::Regex;

use crate::judge::{Difference, Judgement, Signature};

/// The identity of the failure that a result shows; `None` where the subject did not fail. Two
/// failures of one subject are the same where these are equal.
pub(crate) fn failure(judgement: &Judgement) -> Option<Signature> {
    judgement.verdict.kind().map(|_| Signature::of(judgement))
}

/// The text of a difference without the parts that change from run to run: times, the trial's
/// number in paths, numbers of processes and mounts, the end of a temporary name (mkstemp(3)).
pub(crate) fn sign(difference: &Difference) -> String {
    let Difference { comparison, view, object, what, expected, got, .. } = difference;
    let values = match comparison.ends_with("-times") {
        true => String::new(),
        false => format!("{expected} -> {got}"),
    };
    let text = format!("{comparison}|{view}|{}|{what}|{values}", object.as_deref().unwrap_or_default());
    let changing = [("/t/[0-9]+", "/t/N"), ("(process|mount) [0-9]+ ", "$1 N "), (r"\.[0-9A-Za-z]{6}$", ".XXXXXX")];
    changing.iter().fold(text, |text, (pattern, sign)| {
        let pattern = Regex::new(pattern).expect("a constant that is tested");
        pattern.replace_all(&text, *sign).into_owned()
    })
}
