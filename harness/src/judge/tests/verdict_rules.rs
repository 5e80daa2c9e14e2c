//! The words, the counting, the exit status, and that the documentation has them all.

use crate::judge::comparisons::ALL;
use crate::judge::{FailureKind, Tally, Verdict};
use protocol::message::{Flavor, Lifecycle};

const FORMATS: &str = include_str!("../../../../docs/FORMATS.md");

fn tally(verdicts: &[Verdict]) -> Tally {
    let mut tally = Tally::default();
    verdicts.iter().for_each(|verdict| tally.add(*verdict));
    tally
}

const KIND: FailureKind = FailureKind::Litter;
const EACH: &[Verdict] = &[
    Verdict::Pass,
    Verdict::Xfail(KIND),
    Verdict::Fail(KIND),
    Verdict::Xpass,
    Verdict::Improved,
    Verdict::ChangedFail(KIND),
    Verdict::Flaky { passed: 2, runs: 3 },
    Verdict::Unsupported,
    Verdict::NotRun,
    Verdict::Error,
];

#[test]
fn every_verdict_is_counted_once() {
    let tally = tally(EACH);
    assert_eq!(tally.to_string(), "result: 3 passed, 5 failed, 2 skipped");
    assert!(tally.columns().all(|(_, count)| count == 1));
    assert_eq!(tally.total(), Verdict::WORDS.len());
}

#[test]
fn exit_statuses() {
    let status = |verdicts: &[Verdict]| tally(verdicts).exit_status(false);
    let (skipped, failed, error) = (Verdict::Unsupported, Verdict::Fail(KIND), Verdict::Error);
    assert_eq!(status(&[Verdict::Pass, Verdict::Xfail(KIND), skipped]), 0);
    for bad in [failed, Verdict::Xpass, Verdict::ChangedFail(KIND), Verdict::Flaky { passed: 1, runs: 2 }] {
        assert_eq!(status(&[Verdict::Pass, bad]), 1, "{bad}");
    }
    assert_eq!(status(&[failed, error]), 1);
    assert_eq!(status(&[Verdict::Pass, error]), 3);
    assert_eq!(status(&[]), 4);
    assert_eq!(status(&[skipped, Verdict::NotRun]), 4);
    assert_eq!(tally(&[failed]).exit_status(true), 130);
}

#[test]
fn words_are_the_same_everywhere() {
    for kind in FailureKind::ALL {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.word());
        assert_eq!(kind.word().parse(), Ok(*kind));
        assert!(FORMATS.contains(&format!("| `{kind}` |")), "{kind} is not in docs/FORMATS.md");
    }
    for flavor in [Flavor::Host, Flavor::Ns] {
        assert_eq!(serde_json::to_value(flavor).unwrap(), flavor.word());
    }
    for lifecycle in Lifecycle::ALL {
        let row = format!("| `{lifecycle}` | {} |", lifecycle.text());
        assert!(FORMATS.contains(&row), "docs/FORMATS.md lacks: {row}");
    }
    for word in Verdict::WORDS {
        assert!(FORMATS.contains(&format!("| `{word}` |")), "{word} is not in docs/FORMATS.md");
    }
    assert_eq!(Verdict::Fail(KIND).to_string(), "fail(litter)");
    assert_eq!(EACH[6].to_string(), "flaky(2/3)");
}

#[test]
fn the_documentation_has_the_comparisons_in_their_order() {
    let from = FORMATS.find("1. `objects`").unwrap();
    let list = &FORMATS[from..FORMATS.find("After a dump that left").unwrap()];
    let documented: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
    assert_eq!(documented, ALL.iter().map(|row| row.name).collect::<Vec<_>>());
}

#[test]
fn the_id_of_a_trial() {
    let trial = crate::fixtures::trial("deleted/unlinked@ext4");
    assert_eq!(trial.to_string(), "deleted/unlinked@ext4/ns/dump-restore/6.12/debian:trixie");
}
