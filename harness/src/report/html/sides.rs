//! Both observations side by side: every field that is not the same after as before, and the other
//! fields of its object; of lists (lookups) only what differs, or the page would be all lists.
//!
//! Taken from the trial's folder of artifacts. Numbers that may change over a restore stand here
//! too: this is what was seen, the table of differences is what the judge made of it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use maud::{Markup, html};
use protocol::limits::REPORT_BYTES;
use serde_json::Value;

use super::super::record::TrialRecord;
use super::super::sanitize::sanitized;
use super::trial::marked;
use crate::limited;

/// More fields than this of one pair are counted only.
const FIELDS: usize = 600;

/// Before and after, for each action that has an after.
pub(super) fn sides(trial: &TrialRecord) -> Markup {
    let Some(folder) = &trial.artifacts else { return html! {} };
    let before = match observed(&folder.join("before.json")) {
        Ok(before) => before,
        Err(why) => return html! { p.missing { "The observations are not here: " (sanitized(&why)) } },
    };
    html! {
        @for (name, path) in afters(folder) {
            @match observed(&path) {
                Ok(after) => (pair(&name, &before, &after)),
                Err(why) => p.missing { (sanitized(&why)) },
            }
        }
    }
}

/// `after-1-dump.json` and so on, in order.
fn afters(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut all: Vec<(String, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let what = name.strip_prefix("after-")?.strip_suffix(".json")?.replace('-', " ");
            Some((what, entry.path()))
        })
        .collect();
    all.sort();
    all
}

/// An observation's objects, each with its fields.
type Fields = BTreeMap<String, BTreeMap<String, String>>;

fn observed(file: &Path) -> Result<Fields, String> {
    let describe = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let text = limited::read(file, REPORT_BYTES).map_err(|error| describe(&error))?;
    let value: Value = serde_json::from_str(&text).map_err(|error| describe(&error))?;
    let mut fields = Fields::new();
    let Value::Object(parts) = &value else { return Err(describe(&"no observation")) };
    for (part, value) in parts {
        match (value, value.get("objects").unwrap_or(value)) {
            (_, Value::Array(items)) => {
                for (number, item) in items.iter().enumerate() {
                    let object = format!("{part}: {}", label(item).unwrap_or_else(|| number.to_string()));
                    flatten(item, "", fields.entry(object).or_default());
                }
            }
            (value, _) => flatten(value, "", fields.entry(part.clone()).or_default()),
        }
    }
    Ok(fields)
}

/// What an element of a list is called, so that both sides' elements meet.
fn label(item: &Value) -> Option<String> {
    let text = |key: &str| item.get(key).and_then(Value::as_str);
    let named = text("name").or(text("mount_point")).map(str::to_owned);
    let named = named.or_else(|| item.get("object").map(|object| plain(object).replace(['{', '}', '"'], "")));
    let how = text("how").map_or_else(String::new, |how| format!(" ({how})"));
    named.or_else(|| text("path").map(|path| format!("{path:?}{how}")))
}

fn flatten(value: &Value, path: &str, into: &mut BTreeMap<String, String>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| flatten(value, &below(key), into)),
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (number, item) in items.iter().flat_map(flattened).enumerate() {
                let name = label(&item).unwrap_or_else(|| number.to_string());
                into.insert(format!("{path}[{name}]"), one_line(&item));
            }
        }
        other => drop(into.insert(path.to_owned(), plain(other))),
    }
}

/// Lookups that stand together as one for each kind; everything else as it is.
fn flattened(item: &Value) -> Vec<Cow<'_, Value>> {
    let Some(kinds) = item.get("how").and_then(Value::as_array) else { return vec![Cow::Borrowed(item)] };
    let with = |kind: &Value| {
        let mut one = item.clone();
        one["how"] = kind.clone();
        Cow::Owned(one)
    };
    kinds.iter().map(with).collect()
}

/// An element of a list in a line: `inode 13, kind file, link /a/d/f`. What names it is left out.
fn one_line(item: &Value) -> String {
    let mut fields = BTreeMap::new();
    flatten(item, "", &mut fields);
    let last = |field: &str| field.rsplit('.').next().unwrap_or(field).to_owned();
    let rest = fields.iter().filter(|(field, _)| !["path", "how"].contains(&field.as_str()));
    rest.map(|(field, value)| format!("{} {value}", last(field))).collect::<Vec<_>>().join(", ")
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn pair(name: &str, before: &Fields, after: &Fields) -> Markup {
    let none = BTreeMap::new();
    let objects = before.keys().chain(after.keys().filter(|key| !before.contains_key(*key)));
    let differing: Vec<(&String, _, _)> = objects
        .map(|object| (object, before.get(object).unwrap_or(&none), after.get(object).unwrap_or(&none)))
        .filter(|(_, one, other)| one != other)
        .collect();
    let alike = before.len().saturating_sub(differing.len());
    let mut room = FIELDS;
    html! {
        details.sides {
            summary { "Observations: before, and after " (name) }
            p { (differing.len()) " of " (differing.len() + alike) " objects are not the same. "
                label { input.same type="checkbox"; " show the fields that are" } }
            div.scroll { table {
                thead { tr { th { "field" } th { "before" } th { "after " (name) } } }
                @for (object, one, other) in differing {
                    tbody {
                        tr.object { th colspan="3" scope="rowgroup" { (sanitized(object)) } }
                        @for field in one.keys().chain(other.keys().filter(|key| !one.contains_key(*key))) {
                            @let (left, right) = (one.get(field), other.get(field));
                            @if room > 0 && (left != right || !field.contains('[')) {
                                (line(field, left, right, &mut room))
                            }
                        }
                    }
                }
            } }
            @if room == 0 { p { "Longer than " (FIELDS) " fields; the folder of artifacts has all." } }
        }
    }
}

fn line(field: &str, left: Option<&String>, right: Option<&String>, room: &mut usize) -> Markup {
    *room -= 1;
    let text = |value: Option<&String>| sanitized(value.map_or("", String::as_str));
    let (one, other) = (text(left), text(right));
    let side = |own: &str, opposite: &str, there: bool| {
        html! { td.text { @if there { (marked(own, opposite)) } @else { em { "nothing" } } } }
    };
    html! {
        tr.alike[left == right] {
            td { (sanitized(field)) }
            (side(&one, &other, left.is_some()))
            (side(&other, &one, right.is_some()))
        }
    }
}
