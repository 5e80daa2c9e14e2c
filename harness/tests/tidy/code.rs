//! Rules on the source text: length of files and functions, comments, words, and modules.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{files, text, tree};

#[test]
fn files_stay_small() {
    for file in files(&[".rs"]) {
        let lines = text(&file).lines().count();
        assert!(lines <= 400, "{} has {lines} lines: split it", file.display());
    }
}

/// Tests with the whole text of many diagnostics: a part of it would say less.
const LONG_FUNCTIONS: [(&str, &str); 4] = [
    ("scenarios/tests/diagnostics/headers.rs", "headers"),
    ("scenarios/tests/diagnostics/sockets.rs", "sockets_and_what_is_in_flight"),
    ("scenarios/tests/diagnostics/steps.rs", "objects"),
    ("scenarios/tests/diagnostics/words.rs", "words"),
];

#[test]
fn functions_fit_a_screen() {
    let mut long = BTreeSet::new();
    for file in files(&[".rs"]) {
        let path = name_of(&file);
        for (number, name, lines) in functions(&text(&file)) {
            let is_allowed = LONG_FUNCTIONS.contains(&(&path, &name));
            assert!(lines <= 70 || is_allowed, "{path}:{number}: {name} has {lines} lines: split it");
            if lines > 70 {
                long.insert((path.clone(), name));
            }
        }
    }
    for (path, name) in LONG_FUNCTIONS {
        let is_long = long.contains(&(path.to_owned(), name.to_owned()));
        assert!(is_long, "{path}: {name} is short or gone: LONG_FUNCTIONS must not name it");
    }
}

/// The line, the name and the length of each function. It relies on the indentation by rustfmt.
fn functions(text: &str) -> Vec<(usize, String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some((qualifiers, rest)) = line.split_once("fn ") else { continue };
        let known = ["pub", "pub(crate)", "pub(super)", "const", "async", "unsafe", "extern", "\"C\""];
        if !qualifiers.split_whitespace().all(|word| known.contains(&word)) {
            continue;
        }
        let name = rest.split(['(', '<']).next().unwrap_or_default().to_owned();
        let indent = &line[..line.len() - line.trim_start().len()];
        let is_end = |line: &&str| {
            let of_function = line.strip_prefix(indent).filter(|rest| !rest.starts_with(' '));
            of_function.is_some_and(|rest| rest == "}" || rest.ends_with(';'))
        };
        let is_short = line.ends_with(['}', ';']);
        let length = if is_short { Some(0) } else { lines[index..].iter().position(is_end) };
        found.push((index + 1, name, length.unwrap_or(lines.len() - index) + 1));
    }
    found
}

#[test]
fn comment_lines_end_at_100_columns() {
    for file in files(&[".rs"]) {
        for (number, line) in text(&file).lines().enumerate() {
            let is_comment = line.trim_start().starts_with("//");
            let columns = line.chars().count();
            assert!(!is_comment || columns <= 100, "{}:{}: {columns} columns", file.display(), number + 1);
        }
    }
}

#[test]
fn modules_say_what_they_are_for() {
    for file in files(&[".rs"]) {
        let starts = text(&file).starts_with("//!") || file.ends_with("fuzz/build.rs");
        assert!(starts, "{} does not start with what it is for (//!)", file.display());
    }
}

/// Words that make a reader read twice, each with what to write instead.
const BANNED: [(&str, &str); 10] = [
    ("nobody", "the subject that cannot do it, or the passive voice"),
    ("whoever", "the process, the caller, the user"),
    ("is told", "receives, knows, is reported"),
    ("are told", "receive, know, are reported"),
    ("none where", "`None` where"),
    ("is none of", "does not belong to"),
    ("stands in", "is in"),
    ("stands on", "is on"),
    ("stands under", "is at"),
    ("stands for", "is, means, matches"),
];

#[test]
fn comments_and_documents_are_plain_english() {
    // A finding is a report in the words that it was sent in.
    let findings = tree().join("docs/findings");
    for file in files(&[".rs", ".md"]).iter().filter(|file| !file.starts_with(&findings)) {
        let is_document = file.extension().is_some_and(|end| end == "md");
        for (number, line) in text(file).lines().enumerate() {
            if !is_document && !line.trim_start().starts_with("//") {
                continue;
            }
            // The text between backticks is code: a user's name, a message.
            let prose: Vec<&str> = line.split('`').step_by(2).collect();
            let prose = format!(" {} ", prose.join(" ").to_lowercase());
            let prose = prose.replace(|c: char| !c.is_alphanumeric(), " ");
            for (word, instead) in BANNED {
                let place = format!("{}:{}", name_of(file), number + 1);
                assert!(!prose.contains(&format!(" {word} ")), "{place}: `{word}`; write: {instead}");
            }
        }
    }
}

/// What is printed may be a name or a message of somebody else: `say` makes it harmless.
#[test]
fn lines_on_standard_error_go_through_one_function() {
    let house = tree().join("harness/src");
    for file in files(&[".rs"]).iter().filter(|file| file.starts_with(&house) && !file.ends_with("notices.rs")) {
        let prints = text(file).lines().position(|line| line.contains("eprintln!("));
        assert!(prints.is_none(), "{}:{}: use `notices::say`", name_of(file), prints.unwrap_or_default() + 1);
    }
}

#[test]
fn every_file_is_part_of_a_crate() {
    for manifest in files(&["Cargo.toml"]) {
        let folder = manifest.parent().expect("a file has a folder");
        let (sources, tests) = (folder.join("src"), folder.join("tests"));
        let of_crate: BTreeSet<PathBuf> =
            files(&[".rs"]).into_iter().filter(|file| file.starts_with(&sources) || file.starts_with(&tests)).collect();
        let is_root = |file: &Path| {
            let above = file.parent();
            let is_main = file.ends_with("lib.rs") || file.ends_with("main.rs");
            above == Some(&tests)
                || is_main && (above == Some(&sources) || above.and_then(Path::parent) == Some(&tests))
        };
        let mut reached: BTreeSet<PathBuf> = of_crate.iter().filter(|file| is_root(file)).cloned().collect();
        let mut open: Vec<PathBuf> = reached.iter().cloned().collect();
        while let Some(file) = open.pop() {
            let has_folder = is_root(&file) || file.ends_with("mod.rs");
            let below =
                if has_folder { file.parent().expect("a file has a folder").into() } else { file.with_extension("") };
            for module in modules(&text(&file)) {
                let candidates = [below.join(format!("{module}.rs")), below.join(&module).join("mod.rs")];
                open.extend(
                    candidates.into_iter().filter(|file| of_crate.contains(file) && reached.insert(file.clone())),
                );
            }
        }
        let dead: Vec<_> = of_crate.difference(&reached).map(|file| name_of(file)).collect();
        assert!(dead.is_empty(), "no `mod` line leads to {dead:?}");
    }
}

/// The names of the modules that have a file of their own.
fn modules(text: &str) -> Vec<String> {
    let declared = text.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    let named = declared.filter_map(|line| line.strip_suffix(';')?.split_once("mod "));
    let visible = ["", "pub ", "pub(crate) ", "pub(super) "];
    named.filter(|(before, _)| visible.contains(before)).map(|(_, name)| name.to_owned()).collect()
}

/// The path of a file below the tree.
fn name_of(file: &Path) -> String {
    file.strip_prefix(tree()).expect("it is below the tree").display().to_string()
}

/// Where the clock of the wall is read: a date is meant, and no length of time.
const DATES: [(&str, &str); 12] = [
    ("harness/guest/src/agent/warm.rs", "a copy of a saved VM gets the host's time"),
    ("harness/guest/src/reference/capture/wrong.rs", "a fault: a time stamp of now"),
    ("harness/src/cache/mod.rs", "when an image was used last, as the time of a file"),
    ("harness/src/cache/record.rs", "when an image was built, and the times of its files"),
    ("harness/src/debian/archive.rs", "how long a list is valid"),
    ("harness/src/debian/signature.rs", "when keys and signatures end"),
    ("harness/src/image/kernel_build/mirror.rs", "times of files that may have changed since"),
    ("harness/src/image/kernel_build/mirror/tests.rs", "the same"),
    ("harness/src/image/kernel_build/mod.rs", "when a kernel's folder was used last, as the time of a file"),
    ("harness/src/image/store_lock.rs", "when packages were locked"),
    ("harness/src/subject/criu/mod.rs", "when a build tree was used last, as the time of a file"),
    ("harness/src/vm/machine.rs", "the guest's clock, and a number that no earlier process used"),
];

#[test]
fn lengths_of_time_are_of_the_clock_that_is_never_set() {
    let mut found = BTreeSet::new();
    for file in files(&[".rs"]).iter().filter(|file| !name_of(file).contains("/tests/")) {
        let text = text(file);
        let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let mut code = product.lines().filter(|line| !line.trim_start().starts_with("//"));
        if code.any(|line| ["SystemTime", "CLOCK_REALTIME"].iter().any(|clock| line.contains(clock))) {
            found.insert(name_of(file));
        }
    }
    let known: BTreeSet<String> = DATES.iter().map(|(file, _)| (*file).to_owned()).collect();
    assert_eq!(found, known, "limits and durations are of Instant; DATES says where a date is meant");
}

#[test]
fn standard_output_that_cannot_be_written_is_an_error_and_no_panic() {
    let house = tree().join("harness/src");
    for file in files(&[".rs"]).iter().filter(|file| file.starts_with(&house) && !name_of(file).contains("tests")) {
        let text = text(file);
        let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for macro_name in ["println!(", "print!(", "dbg!("] {
            let used = product.lines().any(|line| line.trim_start().starts_with(macro_name));
            assert!(!used, "{}: {macro_name} panics where it cannot write: use notices::print", name_of(file));
        }
    }
}
