//! Entries as text: new ones, and changes to those that are there. What is not changed keeps every
//! character.

use toml_edit::{Array, DocumentMut, Item, Table, Value};

use super::group::Group;
use crate::judge::FailureKind;

/// A change to the file; lines are 1-based and those of the old text.
#[derive(Clone, Debug)]
pub(super) enum Edit {
    /// A new entry before the one in this line, or at the end.
    Insert {
        /// The line of the other entry.
        before: Option<usize>,
        /// The entry.
        text: String,
    },
    /// The entry in this line does not mean these scenarios any more, except in what is left of
    /// them.
    Narrow {
        /// Its line.
        line: usize,
        /// Names.
        gone: Vec<String>,
        /// What it still says of them.
        rest: Vec<Group>,
    },
}

/// An entry of its own.
pub(super) fn new(group: &Group, kind: FailureKind, says: &str, reason: &str, link: Option<&str>) -> String {
    let mut table = Table::new();
    place(&mut table, group);
    table["kind"] = text(kind.word());
    table["says"] = text(says);
    table["reason"] = text(reason);
    if let Some(link) = link {
        table["link"] = text(link);
    }
    format!("[[expect]]\n{table}")
}

fn text(value: &str) -> Item {
    Item::Value(value.into())
}

/// One text, or a list of them.
fn texts(values: &[String]) -> Item {
    match values {
        [one] => text(one),
        more => Item::Value(Value::Array(more.iter().map(String::as_str).collect::<Array>())),
    }
}

/// The keys that say where an entry applies.
fn place(table: &mut Table, group: &Group) {
    table["scenario"] = texts(&group.scenarios);
    table["flavor"] = texts(&group.values(|place| Some(&place.flavor)));
    table["lifecycle"] = texts(&group.values(|place| Some(&place.lifecycle)));
    table["kernel"] = texts(&group.values(|place| Some(&place.kernel)));
    table["subject"] = texts(&group.values(|place| Some(&place.subject)));
    let criu = group.values(|place| place.criu.as_ref());
    if !criu.is_empty() {
        table["criu"] = texts(&criu);
    }
}

/// The text with the edits, from its end to its beginning, so that lines stay where they are looked
/// for.
pub(super) fn edited(old: &str, mut edits: Vec<Edit>) -> String {
    if edits.is_empty() {
        return old.to_owned();
    }
    let mut lines: Vec<String> = old.lines().map(str::to_owned).collect();
    let line_of = |edit: &Edit| match edit {
        Edit::Insert { before, .. } => before.unwrap_or(usize::MAX),
        Edit::Narrow { line, .. } => *line,
    };
    // At the same entry it is narrowed first: what is inserted before it moves it.
    edits.sort_by_key(|edit| (std::cmp::Reverse(line_of(edit)), matches!(edit, Edit::Insert { .. })));
    for edit in edits {
        match edit {
            Edit::Insert { before: None, text } => {
                lines.push(String::new());
                lines.extend(text.lines().map(str::to_owned));
            }
            Edit::Insert { before: Some(line), text } => {
                let at = above_comment(&lines, line - 1);
                let new = text.lines().map(str::to_owned).chain([String::new()]);
                lines.splice(at..at, new);
            }
            Edit::Narrow { line, gone, rest } => {
                let (from, to) = (line - 1, end(&lines, line - 1));
                let new = narrowed(&lines[from..to].join("\n"), &gone, &rest);
                lines.splice(from..to, new.lines().map(str::to_owned));
            }
        }
    }
    lines.join("\n") + "\n"
}

/// Where the comment begins that stands right above a line.
fn above_comment(lines: &[String], line: usize) -> usize {
    let comment = lines[..line].iter().rev().take_while(|line| line.starts_with('#')).count();
    line - comment
}

/// The line after an entry's last key.
fn end(lines: &[String], from: usize) -> usize {
    let next = (from + 1..lines.len()).find(|&line| lines[line].starts_with("[[")).unwrap_or(lines.len());
    let own = lines[from..next].iter().rposition(|line| !line.trim().is_empty() && !line.starts_with('#'));
    from + own.map_or(1, |last| last + 1)
}

/// The entry's text without these scenarios, then what is left of them; nothing of an entry that
/// meant only them.
fn narrowed(entry: &str, gone: &[String], rest: &[Group]) -> String {
    let Ok(mut document) = entry.parse::<DocumentMut>() else { return entry.to_owned() };
    let Some(table) = document["expect"].as_array_of_tables_mut().and_then(|all| all.get_mut(0)) else {
        return entry.to_owned();
    };
    let left: Vec<String> = rest
        .iter()
        .map(|group| {
            let mut part = table.clone();
            part.remove("except");
            place(&mut part, group);
            format!("[[expect]]\n{part}")
        })
        .collect();
    let named = list(table.get("scenario"));
    let kept: Vec<String> = named.iter().filter(|name| !gone.contains(name)).cloned().collect();
    let patterns = kept.iter().any(|name| name.contains('*'));
    // A name in the list is removed from it; one that a pattern means becomes an
    // exception.
    let meant = |name: &String| !named.contains(name) || patterns;
    let except: Vec<String> = gone.iter().filter(|name| meant(name)).cloned().collect();
    let own = if kept.is_empty() {
        String::new()
    } else {
        if kept != named {
            table["scenario"] = texts(&kept);
        }
        if !except.is_empty() {
            let all: Vec<String> = list(table.get("except")).into_iter().chain(except).collect();
            match table.get_mut("except") {
                Some(item) => *item = texts(&all),
                None => insert_after_scenario(table, texts(&all)),
            }
        }
        document.to_string()
    };
    [own]
        .into_iter()
        .chain(left)
        .filter(|part| !part.is_empty())
        .map(|part| part.trim_end().to_owned())
        .collect::<Vec<_>>()
        .join("\n\n")
}

/// `except` right below `scenario`, where people look for it.
fn insert_after_scenario(table: &mut Table, except: Item) {
    let others: Vec<(String, Item)> =
        table.iter().filter(|(key, _)| *key != "scenario").map(|(key, item)| (key.to_owned(), item.clone())).collect();
    for (key, _) in &others {
        table.remove(key);
    }
    table["except"] = except;
    for (key, item) in others {
        table[&key] = item;
    }
}

/// A text or a list of texts.
fn list(item: Option<&Item>) -> Vec<String> {
    let Some(value) = item.and_then(Item::as_value) else { return Vec::new() };
    match value.as_array() {
        Some(array) => array.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        None => value.as_str().map(str::to_owned).into_iter().collect(),
    }
}
