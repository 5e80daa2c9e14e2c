//! What failing and passing profiles say about the cause.

use std::collections::BTreeSet;

use super::super::{Base, Capability, Connection, Profile, Word, blocked_by, explain};

fn profile(words: &str) -> Profile {
    let mut out = Profile::default();
    for word in words.split(' ') {
        match word.parse().unwrap() {
            Word::Base(base) => drop(out.bases.insert(base)),
            Word::Capability(capability) => drop(out.capabilities.insert(capability)),
            Word::Detached => panic!("it follows from the bases"),
        }
    }
    out
}

/// The answer for profiles as texts.
fn answer(failed: &[&str], passed: &[&str]) -> String {
    let profiles = |words: &[&str]| words.iter().map(|words| profile(words)).collect::<Vec<_>>();
    let (failed, passed) = (profiles(failed), profiles(passed));
    let (failed, passed): (Vec<_>, Vec<_>) = (failed.iter().collect(), passed.iter().collect());
    explain(&failed, &passed).map_or("nothing".to_owned(), |found| found.to_string())
}

#[test]
fn one_word_explains_all() {
    assert_eq!(answer(&["subdir deleted", "subdir"], &["whole deleted", "whole"]), "subdirectory bind");
    assert_eq!(answer(&["whole lock"], &["whole position", "subdir"]), "lock");
}

#[test]
fn words_that_the_scenarios_cannot_tell_apart_are_all_named() {
    assert_eq!(answer(&["whole lock fifo"], &["whole"]), "named pipe or lock");
    assert_eq!(answer(&["whole lock fifo device sparse"], &["whole"]), "named pipe or device node or lock or 1 others");
}

#[test]
fn a_pair_where_no_single_word_does() {
    let passed = ["whole deleted", "subdir", "subdir lock"];
    assert_eq!(
        answer(&["subdir deleted", "subdir deleted lock"], &passed),
        "subdirectory bind with deleted file or directory"
    );
}

#[test]
fn each_its_part_where_there_are_several_causes() {
    let failed = ["whole lock", "subdir lock", "whole fifo"];
    assert_eq!(answer(&failed, &["whole", "subdir"]), "lock, named pipe");
    assert_eq!(answer(&["whole lock", "subdir fifo", "whole"], &["whole", "subdir"]), "named pipe, lock (2 of 3)");
}

#[test]
fn what_fails_more_often_where_everything_passes_somewhere() {
    let failed = ["whole lock", "whole lock position", "whole"];
    assert_eq!(answer(&failed, &["whole lock", "whole", "whole position", "whole fifo"]), "lock (2 of 3)");
    assert_eq!(answer(&["whole"], &["whole"]), "nothing");
}

#[test]
fn controls_are_no_evidence_against_a_word_for_detached_mounts() {
    assert_eq!(answer(&["whole deleted"], &["visible deleted", "whole"]), "deleted file or directory");
    assert_eq!(answer(&["whole", "subdir lock"], &["visible", "visible lock"]), "any detached mount");
    // A control that fails says nothing of detached mounts.
    assert_eq!(answer(&["visible deleted", "whole deleted"], &["visible", "whole"]), "deleted file or directory");
}

#[test]
fn what_is_refused_anyway_is_no_evidence_either() {
    assert_eq!(answer(&["whole deleted"], &["whole deleted refusal", "whole"]), "deleted file or directory");
    assert_eq!(answer(&["whole deleted refusal"], &["whole deleted", "whole"]), "refusal");
}

#[test]
fn nothing_is_said_without_anything_that_passes_or_fails() {
    assert_eq!(answer(&["whole"], &[]), "nothing");
    assert_eq!(answer(&[], &["whole"]), "nothing");
}

#[test]
fn the_order_of_the_profiles_does_not_matter() {
    let mut failed = [profile("whole lock"), profile("subdir fifo"), profile("file lock")];
    let passed = profile("whole");
    let first = blocked_by(&failed.iter().collect::<Vec<_>>(), &[&passed]);
    failed.reverse();
    assert_eq!(first, blocked_by(&failed.iter().collect::<Vec<_>>(), &[&passed]));
    assert_eq!(first, [Word::Capability(Capability::Lock), Word::Base(Base::Subdir)]);
}

#[test]
fn words_are_read_as_they_are_written() {
    let all: Vec<Word> = Word::all().collect();
    for &word in &all {
        assert_eq!(word.word().parse(), Ok(word));
    }
    let texts: BTreeSet<&str> = all.iter().map(|word| word.text()).collect();
    assert_eq!(texts.len(), all.len(), "two words have one text");
    assert!("no-such-word".parse::<Word>().is_err() && "detached".parse::<Capability>().is_err());
    assert_eq!(explain(&[], &[]).map(|found| found.connection), None::<Connection>);
}
