//! The judge cannot be fooled: any one field of an observation that is changed or dropped is a
//! difference, unless it is on the list below.

use std::collections::BTreeMap;

use arbitrary::Unstructured;
use protocol::Observation;
use testing::change::{MAY_CHANGE, changes, places, with_stars};

use super::fixture;
use crate::judge::comparisons::{Mode, compare};

/// Each change of each place that has no difference, by the place with stars for indices.
fn unseen(before: &Observation, mode: Mode) -> (usize, BTreeMap<String, String>) {
    let document = serde_json::to_value(before).unwrap();
    let mut all = Vec::new();
    places(&document, "", &mut all);
    let (mut tried, mut unseen) = (0, BTreeMap::new());
    for place in &all {
        for (what, after) in changes(before, &document, place) {
            tried += 1;
            if compare(before, &after, mode, None).is_empty() {
                unseen.insert(with_stars(place), what);
            }
        }
    }
    (tried, unseen)
}

#[test]
fn every_change_of_every_field_is_seen_when_nothing_was_restored() {
    let (tried, unseen) = unseen(&fixture::observation(0), Mode::Strict);
    assert!(tried > 1500, "only {tried} changes were tried");
    assert_eq!(unseen, BTreeMap::new());
}

#[test]
fn every_change_of_every_field_but_those_listed_is_seen_after_a_restore() {
    let (tried, mut unseen) = unseen(&fixture::observation(0), Mode::Relational);
    assert!(tried > 1500, "only {tried} changes were tried");
    for (end, _) in MAY_CHANGE {
        let count = unseen.len();
        unseen.retain(|place, _| !place.ends_with(end));
        assert!(unseen.len() < count, "{end} is seen after all: take it off the list");
    }
    assert_eq!(unseen, BTreeMap::new());
}

#[test]
fn every_change_is_seen_in_smaller_and_other_worlds() {
    // Which choices are made, as the bytes that `varied` takes: how many objects are missing, and
    // each choice once each way.
    for (missing, [deleted, old_kernel, private]) in [(0, [1, 1, 1]), (1, [0, 1, 0]), (2, [1, 0, 1]), (3, [0, 0, 0])] {
        let bytes = [deleted, old_kernel, missing, 7, 0, 0, 0, private];
        let before = fixture::varied(&mut Unstructured::new(&bytes), 0).expect("there are bytes enough");
        assert_eq!(before.inside.objects.len(), 5 - usize::from(missing));
        let (tried, mut unseen) = unseen(&before, Mode::Relational);
        assert!(tried > 500, "only {tried} changes were tried");
        unseen.retain(|place, _| !MAY_CHANGE.iter().any(|(end, _)| place.ends_with(end)));
        assert_eq!(unseen, BTreeMap::new(), "{bytes:?}");
    }
}
