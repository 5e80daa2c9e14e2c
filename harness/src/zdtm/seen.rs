//! A trial's verdict, by what an exported test compares.
//!
//! Such a test looks at itself, from inside: links, lookups, flags, contents, sharing, mounts of
//! its objects. It looks neither at times, nor at what is left behind or changed beside its
//! objects. Where a trial fails by such comparisons alone, a test that passes does not disagree.

use std::collections::BTreeSet;

use super::said::Word;
use crate::judge::{Judgement, Verdict};

/// Comparisons of the judge that no exported test makes.
pub const NOT_IN_A_TEST: [&str; 11] = [
    "process-attributes",
    "tree-names",
    "tree-files",
    "tree-content",
    "tree-attributes",
    "file-times",
    "hidden-names",
    "host-mounts",
    "directory-times",
    "leftovers",
    "statmount",
];

/// What a test of zdtm would say of a trial with this judgement, and the comparisons that saw
/// differences and were left out for that.
pub fn seen(judgement: &Judgement) -> (Word, Vec<String>) {
    match judgement.verdict {
        Verdict::Pass => (Word::Passed, Vec::new()),
        Verdict::Unsupported | Verdict::Error | Verdict::NotRun | Verdict::Flaky { .. } => (Word::Unknown, Vec::new()),
        // What criu itself refused or broke.
        _ if judgement.deciding().is_none() || judgement.more_differences > 0 => (Word::Failed, Vec::new()),
        _ => {
            let names: BTreeSet<&str> = judgement.differences.iter().map(|one| one.comparison.as_str()).collect();
            match names.iter().all(|name| NOT_IN_A_TEST.contains(name)) {
                true => (Word::Passed, names.into_iter().map(str::to_owned).collect()),
                false => (Word::Failed, Vec::new()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::comparisons;
    use crate::judge::{Difference, FailureKind, Side};

    fn judgement(verdict: Verdict, comparisons: &[&str]) -> Judgement {
        let difference = |name: &&str| Difference {
            comparison: (*name).to_owned(),
            kind: FailureKind::WrongContent,
            view: Side::Inside,
            object: Some("fd0".to_owned()),
            what: String::new(),
            expected: "1".to_owned(),
            got: "2".to_owned(),
            known: None,
        };
        Judgement { differences: comparisons.iter().map(difference).collect(), ..Judgement::plain(verdict, "why") }
    }

    #[test]
    fn what_is_left_out_is_a_comparison() {
        for name in NOT_IN_A_TEST {
            assert!(comparisons::ALL.iter().any(|row| row.name == name), "there is no comparison {name}");
        }
    }

    #[test]
    fn only_what_a_test_does_not_compare_is_left_out() {
        let fail = |comparisons: &[&str]| seen(&judgement(Verdict::Fail(FailureKind::WrongContent), comparisons));
        assert_eq!(fail(&["file-times", "file-times"]), (Word::Passed, vec!["file-times".to_owned()]));
        assert_eq!(fail(&["file-times", "position"]), (Word::Failed, vec![]));
        assert_eq!(fail(&["link"]), (Word::Failed, vec![]));
        let more = Judgement { more_differences: 1, ..judgement(Verdict::Fail(FailureKind::Litter), &["leftovers"]) };
        assert_eq!(seen(&more), (Word::Failed, vec![]));
        // A refused dump stays one, whatever it left.
        assert_eq!(seen(&judgement(Verdict::Fail(FailureKind::DumpFailed), &["leftovers"])), (Word::Failed, vec![]));
        assert_eq!(seen(&judgement(Verdict::Pass, &[])), (Word::Passed, vec![]));
        for verdict in [Verdict::Error, Verdict::Unsupported, Verdict::NotRun] {
            assert_eq!(seen(&judgement(verdict, &[])).0, Word::Unknown);
        }
    }
}
