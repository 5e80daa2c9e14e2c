//! Single changes of an observation, for a fuzz target and for the judge's own tests.
//!
//! They know nothing of the judge and work on the JSON of an observation. So a field that is added
//! to the observation and forgotten in the comparisons is changed and not seen.

use protocol::Observation;
use serde_json::Value;

const THERE: &str = "the place is one of this document";

/// What may change after a restore without a difference, as the end of a path in the JSON (list
/// indices are `*`), and why. The full account is `comparisons::NOT_COMPARED`.
pub const MAY_CHANGE: &[(&str, &str)] = &[
    ("status.ok.ctime.*", "change times cannot be set"),
    ("process.pid", "handed out by the kernel"),
    ("state.pid", "handed out by the kernel"),
];

/// Words that a text may be exchanged for where it must be one of a fixed set.
const WORDS: &[&str] = &[
    "visible",
    "detached",
    "file",
    "directory",
    "symlink",
    "plain",
    "beneath",
    "in-root",
    "reopen-read",
    "unset",
    "itself",
    "its-thread",
    "other",
];

/// Every place in the document: pointers to leaves, to list elements, and to values that could be
/// null.
pub fn places(value: &Value, path: &str, out: &mut Vec<String>) {
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
pub fn changes(before: &Observation, document: &Value, place: &str) -> Vec<(String, Observation)> {
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
    let at = document.pointer(place).expect(THERE);
    let set = |new: Value| move |document: &mut Value| *document.pointer_mut(place).expect(THERE) = new.clone();
    match at {
        Value::Number(number) => {
            let number = number.as_i64().expect("the world has small numbers");
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
    let (parent, index) = place.rsplit_once('/').expect(THERE);
    if let (Ok(index), Some(Value::Array(_))) = (index.parse::<usize>(), document.pointer(parent)) {
        attempt("dropped".to_owned(), &|document| {
            list(document, parent).remove(index);
        });
        attempt("doubled".to_owned(), &|document| {
            let list = list(document, parent);
            list.push(list[index].clone());
        });
    }
    out
}

/// The place as a path with points, with stars for indices.
pub fn with_stars(place: &str) -> String {
    let parts = place.split('/').skip(1).map(|part| if part.parse::<usize>().is_ok() { "*" } else { part });
    parts.collect::<Vec<_>>().join(".")
}

fn list<'a>(document: &'a mut Value, at: &str) -> &'a mut Vec<Value> {
    document.pointer_mut(at).and_then(Value::as_array_mut).expect(THERE)
}
