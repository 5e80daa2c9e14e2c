//! Properties of the comparison as a whole, over generated observations.

use crate::judge::comparisons::{ALL, Mode, compare};

use super::fixture;

fn twice<T>(make: impl Fn(&mut arbitrary::Unstructured<'_>, u64) -> arbitrary::Result<T>, check: impl Fn(T, T)) {
    arbtest::arbtest(|u| {
        let bytes: [u8; 64] = u.arbitrary()?;
        let of = |shift| make(&mut arbitrary::Unstructured::new(&bytes), shift);
        let (one, other) = (of(0)?, of(1 + u64::from(bytes[63] % 7))?);
        check(one, other);
        Ok(())
    })
    .budget_ms(1500);
}

#[test]
fn the_same_observation_has_no_difference() {
    twice(fixture::varied, |one, _| {
        for mode in [Mode::Relational, Mode::Strict] {
            assert_eq!(compare(&one, &one, mode, None), []);
        }
    });
}

#[test]
fn other_numbers_are_no_difference_after_a_restore() {
    twice(fixture::varied, |one, other| {
        assert_eq!(compare(&one, &fixture::restored(other), Mode::Relational, None), []);
    });
}

#[test]
fn other_numbers_are_a_difference_when_nothing_was_restored() {
    twice(fixture::varied, |one, other| {
        let differences = compare(&one, &other, Mode::Strict, None);
        for comparison in ["file-identity", "same-mount", "mount-table", "host-mounts", "tree-files"] {
            assert!(differences.iter().any(|difference| difference.comparison == comparison), "{comparison}");
        }
    });
}

#[test]
fn names_of_comparisons_are_unique() {
    let mut names: Vec<&str> = ALL.iter().map(|row| row.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), ALL.len());
}
