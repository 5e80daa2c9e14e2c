//! The judge cannot be fooled: any one field of an observation that is changed or dropped is a difference, unless it
//! is on the list below.
//!
//! The mutation knows nothing of the judge: it works on the JSON of an observation. So a field that is added to the
//! observation and forgotten in the comparisons makes this test fail.

use std::collections::BTreeMap;

use protocol::Observation;
use serde_json::Value;

use super::fixture;
use crate::judge::comparisons::{Mode, compare};

/// What may change after a restore without a difference, as the end of a path in the JSON (list indices are `*`),
/// and why. The full account is `comparisons::NOT_COMPARED`.
const MAY_CHANGE: &[(&str, &str)] =
    &[("status.ok.ctime.*", "change times cannot be set"), ("process.pid", "handed out by the kernel")];

/// Words that a text may be exchanged for where it must be one of a fixed set.
const WORDS: &[&str] =
    &["visible", "detached", "file", "directory", "symlink", "plain", "beneath", "in-root", "reopen-read"];

/// Every place in the document: pointers to leaves, to list elements, and to values that could be null.
fn places(value: &Value, path: &str, out: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                let path = format!("{path}/{key}");
                out.push(path.clone());
                places(inner, &path, out);
            }
        }
        Value::Array(list) => {
            for (index, inner) in list.iter().enumerate() {
                let path = format!("{path}/{index}");
                out.push(path.clone());
                places(inner, &path, out);
            }
        }
        _ => {}
    }
}

/// Every way in which the value at a place can be changed and still make an observation.
fn changes(before: &Observation, document: &Value, place: &str) -> Vec<(String, Observation)> {
    let mut out = Vec::new();
    let mut attempt = |what: String, change: &dyn Fn(&mut Value)| {
        let mut changed = document.clone();
        change(&mut changed);
        if let Ok(seen) = serde_json::from_value::<Observation>(changed)
            && seen != *before
        {
            out.push((what, seen));
        }
    };
    let at = document.pointer(place).unwrap();
    let set = |new: Value| move |document: &mut Value| *document.pointer_mut(place).unwrap() = new.clone();
    match at {
        Value::Number(number) => {
            let number = number.as_i64().unwrap();
            for other in [number + 1, number + 7_777, 0] {
                attempt(format!("{number} -> {other}"), &set(other.into()));
            }
        }
        Value::String(text) => {
            let fixed = WORDS.iter().filter(|_| WORDS.contains(&text.as_str()));
            let mut others: Vec<String> = fixed.map(|word| (*word).to_owned()).collect();
            others.push(format!("{text}x"));
            others.push(String::new());
            others.push(text.chars().skip(1).collect());
            for other in others {
                attempt(format!("{text:?} -> {other:?}"), &set(other.into()));
            }
        }
        Value::Object(map) if map.len() == 1 && map.contains_key("ok") => {
            attempt("an error".to_owned(), &set(serde_json::json!({"err": "EIO"})));
        }
        Value::Object(map) if map.len() == 1 && map.contains_key("err") => {
            attempt("no error".to_owned(), &set(serde_json::json!({"ok": []})));
        }
        _ => {}
    }
    attempt("none".to_owned(), &set(Value::Null));
    let (parent, index) = place.rsplit_once('/').unwrap();
    if let (Ok(index), Some(Value::Array(_))) = (index.parse::<usize>(), document.pointer(parent)) {
        attempt("dropped".to_owned(), &|document| {
            document.pointer_mut(parent).unwrap().as_array_mut().unwrap().remove(index);
        });
        attempt("doubled".to_owned(), &|document| {
            let list = document.pointer_mut(parent).unwrap().as_array_mut().unwrap();
            list.push(list[index].clone());
        });
    }
    out
}

fn with_stars(place: &str) -> String {
    let parts = place.split('/').skip(1).map(|part| if part.parse::<usize>().is_ok() { "*" } else { part });
    parts.collect::<Vec<_>>().join(".")
}

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
fn a_change_in_a_generated_observation_is_seen() {
    arbtest::arbtest(|u| {
        let before = fixture::varied(u, 0)?;
        let document = serde_json::to_value(&before).unwrap();
        let mut all = Vec::new();
        places(&document, "", &mut all);
        let place = u.choose(&all)?;
        for (what, after) in changes(&before, &document, place) {
            let allowed = MAY_CHANGE.iter().any(|(end, _)| with_stars(place).ends_with(end));
            let seen = !compare(&before, &after, Mode::Relational, None).is_empty();
            assert!(seen || allowed, "{place}: {what}");
            assert!(!compare(&before, &after, Mode::Strict, None).is_empty(), "strictly, {place}: {what}");
        }
        Ok(())
    })
    .budget_ms(2000);
}
