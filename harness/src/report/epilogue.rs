//! What a person needs to know of a failed trial: what differs, what the logs say, and what to type
//! next.

use std::fmt::Write;

use protocol::limits::REPORT_TEXT;

use super::Finished;
use super::sanitize::{Colour, brief, colour_of, columns, paint, sanitized};
use crate::host::KERNEL_PREFIX;
use crate::judge::{Difference, Side, Trial};
use crate::subject::Subject;

/// How many differences of one trial are shown; the artifacts have all.
const DIFFERENCES: usize = 5;
/// How many log lines of one trial are shown.
const LOG_LINES: usize = 8;

/// The account of one failed trial, several lines, ending with a newline.
pub fn account(finished: &Finished, width: usize, colour: bool) -> String {
    let Finished { trial, judgement, .. } = finished;
    let mut out = String::new();
    let verdict = paint(colour, colour_of(judgement.verdict), &judgement.verdict.to_string());
    let _ = writeln!(out, "{verdict}  {}", sanitized(&trial.to_string()));
    let printed = judgement.differences.first().is_some_and(|first| judgement.reason.starts_with(&first.to_string()));
    if !judgement.reason.is_empty() && !printed {
        let _ = writeln!(out, "  {}", brief(&judgement.reason, REPORT_TEXT));
    }
    out.push_str(&differences(&judgement.differences, judgement.more_differences, DIFFERENCES, width, colour));
    if !judgement.quotes.is_empty() {
        out.push_str("  log:\n");
        for line in judgement.quotes.iter().take(LOG_LINES) {
            let _ = writeln!(out, "    {}", brief(line.trim_end(), REPORT_TEXT));
        }
        more(&mut out, judgement.quotes.len().saturating_sub(LOG_LINES), "line");
    }
    let mut next = |what: &str, text: &str| {
        let _ = writeln!(out, "  {} {text}", paint(colour, Colour::Dim, &format!("{what:<10}")));
    };
    for (what, command) in commands(finished) {
        next(what, &sanitized(&command));
    }
    out
}

/// The commands that a failure ends with.
pub(super) fn commands(finished: &Finished) -> Vec<(&'static str, String)> {
    let trial = &finished.trial;
    let name = match &finished.file {
        Some(file) => quoted(&file.display().to_string()),
        None => quoted(&trial.scenario),
    };
    let machine = match trial.kernel.strip_prefix(KERNEL_PREFIX) {
        Some(_) => "--backend host".to_owned(),
        None => format!("--kernel {}", quoted(&trial.kernel)),
    };
    let again = format!(
        "zdtm-detached run {name} --flavor {} --lifecycle {} {machine} --subject {}",
        trial.flavor.word(),
        trial.lifecycle.word(),
        quoted(&trial.subject)
    );
    let folder = finished.artifacts.as_ref().map(|folder| quoted(&folder.display().to_string()));
    let in_vm = !trial.kernel.starts_with(KERNEL_PREFIX);
    let all = [("replay:", "replay"), ("shrink:", "shrink"), ("shell:", "shell")];
    let possible = all.into_iter().filter(|(_, command)| in_vm || *command != "shell");
    let again_typed = typed_again(trial);
    let with_folder = possible.filter_map(|(what, command)| {
        Some((what, format!("zdtm-detached {command} {}{again_typed}", folder.as_ref()?)))
    });
    let program = ("program:", format!("zdtm-detached show {name}"));
    with_folder.chain([("again:", again), program]).collect()
}

/// What a folder does not decide, since it would be executed outside a VM: the user types it.
fn typed_again(trial: &Trial) -> String {
    let mut words = String::new();
    if trial.kernel.starts_with(KERNEL_PREFIX) {
        words.push_str(" --backend host");
    }
    if trial.subject.parse().is_ok_and(|subject: Subject| subject.acts_on_this_machine()) {
        let _ = write!(words, " --subject {}", quoted(&trial.subject));
    }
    words
}

/// Text from a guest as a line that plays no tricks on a terminal.
pub fn plain(text: &str) -> String {
    sanitized(text)
}

/// A word for a shell: in quotes unless it is plain.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:@+,=%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Differences, at most `limit`, each as a heading, what was expected, what was got, and a caret
/// below the first character that differs. A difference that both sides saw is printed once.
pub fn differences(all: &[Difference], further: usize, limit: usize, width: usize, colour: bool) -> String {
    let mut printed: Vec<(&Difference, bool)> = Vec::new();
    for difference in all {
        let twin = |other: &Difference| {
            let alike = Difference { view: difference.view, ..other.clone() };
            alike == *difference && (other.view, difference.view) == (Side::Inside, Side::Outside)
        };
        match printed.iter_mut().find(|(other, _)| twin(other)) {
            Some((_, both)) => *both = true,
            None => printed.push((difference, false)),
        }
    }
    let mut out = String::new();
    for (difference, both) in printed.iter().take(limit) {
        let heading = difference.to_string();
        let heading = if *both { heading.replacen(", inside", ", inside and outside", 1) } else { heading };
        let known = difference.known.as_ref().map_or_else(String::new, |why| format!(", known: {}", sanitized(why)));
        let kind = paint(colour, Colour::Dim, &format!("[{}{known}]", difference.kind));
        let _ = writeln!(out, "  {} {kind}", brief(&heading, REPORT_TEXT));
        out.push_str(&pair(&sanitized(&difference.expected), &sanitized(&difference.got), width, colour));
    }
    more(&mut out, printed.len().saturating_sub(limit) + further, "difference");
    out
}

fn more(out: &mut String, count: usize, what: &str) {
    if count > 0 {
        let _ = writeln!(out, "    ... and {count} more {what}{}", if count == 1 { "" } else { "s" });
    }
}

/// Expected and got below each other, cut to the width around the first difference, and the caret.
fn pair(expected: &str, got: &str, width: usize, colour: bool) -> String {
    let at = first_difference(expected, got);
    let room = width.saturating_sub(14).max(20);
    let longest = columns(expected).max(columns(got));
    // Where the window begins, in characters: a third of the room stays before the difference.
    let from = if longest <= room { 0 } else { at.saturating_sub(room / 3) };
    let window = |text: &str| {
        let mut out = String::new();
        if from > 0 {
            out.push_str("...");
        }
        let rest: String = text.chars().skip(from).collect();
        let left = room - columns(&out);
        out.push_str(&console::truncate_str(&rest, left, "..."));
        out
    };
    let common: String = expected.chars().skip(from).take(at - from).collect();
    let before = columns(&common) + if from > 0 { 3 } else { 0 };
    format!(
        "    expected  {}\n    got       {}\n              {:before$}{}\n",
        paint(colour, Colour::Green, &window(expected)),
        paint(colour, Colour::Red, &window(got)),
        "",
        paint(colour, Colour::Bold, "^"),
    )
}

/// How many characters are the same at the start; never in the middle of an escape, which stands
/// for one byte.
pub(super) fn first_difference(expected: &str, got: &str) -> usize {
    let same = expected.chars().zip(got.chars()).take_while(|(one, other)| one == other).count();
    let common: Vec<char> = expected.chars().take(same).collect();
    let mut at = 0;
    while at < common.len() {
        let length = match (common[at], common.get(at + 1)) {
            ('\\', Some('x')) => 4,
            ('\\', _) => 2,
            _ => 1,
        };
        if at + length > same {
            return at;
        }
        at += length;
    }
    same
}
