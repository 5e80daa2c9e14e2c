//! The house keeps its rules: the command lines in the documents are valid, links lead somewhere,
//! rooms use only rooms below them. The rules on source text are in `code`.

mod code;

use std::fs;
use std::path::{Path, PathBuf};

use clap::{CommandFactory as _, Parser as _};
use harness::cmd::Cli;

fn tree() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the harness is a directory of the tree")
}

/// Every file below the tree with one of these ends, without what is built or downloaded.
fn files(ends: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![tree().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the tree can be read").flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let skipped = name == "target" || name == "zdtm-results" || (name.starts_with('.') && name != ".ci");
            if path.is_dir() && !skipped {
                folders.push(path);
            } else if path.is_file() && ends.iter().any(|end| name.ends_with(end)) {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty());
    found
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The words of a command line, without what explains it: a comment, or words after several blanks.
/// A shell's variable `$PID` is some process ID.
fn words(line: &str) -> Vec<String> {
    let line = &line.replace("$PID", "4711");
    let line = line.split(" #").next().unwrap_or_default();
    let line = line.split("   ").next().unwrap_or_default();
    let line = line.split(" > ").next().unwrap_or_default();
    // Text between quotes is one word.
    let mut words: Vec<String> = Vec::new();
    for (number, part) in line.split('\'').enumerate() {
        match number % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

#[test]
fn what_the_documents_say_to_type_is_understood() {
    let mut count = 0;
    for file in files(&[".md"]) {
        for line in text(&file).lines().map(str::trim) {
            let arguments = line
                .strip_prefix("zdtm-detached ")
                .map(str::to_owned)
                .or_else(|| line.strip_prefix("cargo run --release -- ").map(str::to_owned));
            let Some(arguments) = arguments else { continue };
            count += 1;
            let words = words(&arguments);
            if let Err(error) = Cli::try_parse_from(std::iter::once("zdtm-detached".to_owned()).chain(words)) {
                panic!("{}: {line}\n{error}", file.display());
            }
        }
    }
    assert!(count > 10, "only {count} command lines were found");
}

#[test]
fn every_command_has_an_example() {
    Cli::command().debug_assert();
    for command in Cli::command().get_subcommands() {
        let help = command.clone().render_long_help().to_string();
        assert!(help.contains("Examples:"), "`{} --help` shows no example", command.get_name());
    }
}

#[test]
fn the_help_of_every_command_says_more_than_its_line_in_the_list() {
    let short = ["fuzz", "bench", "generate"];
    for command in Cli::command().get_subcommands().filter(|command| !short.contains(&command.get_name())) {
        let text = |text: Option<&clap::builder::StyledStr>| text.map(ToString::to_string).unwrap_or_default();
        let (line, help) = (text(command.get_about()), text(command.get_long_about()));
        assert!(help.len() > 2 * line.len(), "`{} --help` explains nothing: {help:?}", command.get_name());
    }
}

#[test]
fn every_example_is_understood() {
    for command in Cli::command().get_subcommands() {
        let help = command.clone().render_long_help().to_string();
        for line in help.lines().filter_map(|line| line.trim().strip_prefix("zdtm-detached ")) {
            let words = words(line);
            let parsed = Cli::try_parse_from(std::iter::once("zdtm-detached".to_owned()).chain(words));
            assert!(parsed.is_ok(), "`{} --help`: {line}: {}", command.get_name(), parsed.expect_err("it is wrong"));
        }
    }
}

#[test]
fn every_document_is_linked_from_the_readme() {
    let readme = text(&tree().join("README.md"));
    let findings = text(&tree().join("docs/FINDINGS.md"));
    for file in files(&[".md"]) {
        let name = file.strip_prefix(tree()).expect("it is below the tree").display().to_string();
        let (from, linked) = match name.strip_prefix("docs/") {
            Some(finding) if finding.starts_with("findings/") => (&findings, format!("({finding})")),
            _ => (&readme, format!("({name})")),
        };
        assert!(name == "README.md" || from.contains(&linked), "no document links {name}");
    }
}

#[test]
fn links_lead_somewhere() {
    for file in files(&[".md"]) {
        let text = text(&file);
        let folder = file.parent().expect("a file has a folder");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap_or_default();
            let outside = link.starts_with("http") || path.is_empty();
            assert!(outside || folder.join(path).exists(), "{}: the link {link} leads nowhere", file.display());
        }
    }
}

#[test]
fn files_that_documents_name_exist() {
    let roots = ["harness/", "scenarios/", "vocabulary/", "fuzz/", "examples/", "vm-images/", "docs/"];
    for file in files(&[".md"]) {
        for path in text(&file).split('`').skip(1).step_by(2) {
            let is_path = roots.iter().any(|root| path.starts_with(root)) && !path.contains(['*', ' ', '{', 'N']);
            assert!(!is_path || tree().join(path).exists(), "{}: there is no {path}", file.display());
        }
    }
}

#[test]
fn every_row_of_reliability_names_a_test_that_exists() {
    let sources: Vec<String> = files(&[".rs"]).iter().map(|file| text(file)).collect();
    let (mut rows, mut promises) = (0, false);
    for row in text(&tree().join("docs/RELIABILITY.md")).lines() {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        promises = row.starts_with("| ") && (promises || cells[0] == "promised");
        if !promises || cells[0] == "promised" || cells[0].starts_with("---") {
            continue;
        }
        rows += 1;
        let tests = cells.last().expect("a row has a cell");
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test holds: {row}");
        for name in names {
            // A unit test has its attribute on the line before, one with machines is in a list.
            let unit = [format!("#[test]\nfn {name}("), format!("#[test]\n    fn {name}(")];
            let listed = [format!("{name},\n"), format!(" {name})")];
            let is_test = |source: &String| {
                let has = |any: &[String; 2]| any.iter().any(|text| source.contains(text));
                has(&unit) || source.contains("trials!(") && has(&listed)
            };
            assert!(sources.iter().any(is_test), "there is no test {name}: {row}");
        }
    }
    assert!(rows > 20, "only {rows} rows were found");
}

/// The rooms of this crate, from the ground up: a room uses only rooms below it.
const ROOMS: [&str; 42] = [
    "exit",
    "usage",
    "architecture",
    "limited",
    "sanitize",
    "notices",
    "archive",
    "export",
    "process",
    "elf",
    "cache",
    "debian",
    "sources",
    "image",
    "subject",
    "vm",
    "host",
    "machine",
    "judge",
    "compare",
    "oracle",
    "needs",
    "causes",
    "run",
    "rules",
    "report",
    "plan",
    "session",
    "trials",
    "bless",
    "findings",
    "fuzz",
    "shrink",
    "gate",
    "selftest",
    "bench",
    "soak",
    "torture",
    "zdtm",
    "args",
    "cmd",
    "main",
];

#[test]
fn rooms_use_only_what_is_below_them() {
    let house = tree().join("harness/src");
    let floor = |room: &str| ROOMS.iter().position(|known| *known == room);
    for file in files(&[".rs"]).iter().filter(|file| file.starts_with(&house) && !file.ends_with("lib.rs")) {
        let path = file.strip_prefix(&house).expect("it was chosen so").display().to_string();
        let room = path.split(['/', '.']).next().unwrap_or_default();
        if path.contains("tests") || room == "fixtures" {
            continue;
        }
        let of_room = floor(room).unwrap_or_else(|| panic!("{path}: the room {room} has no floor in ROOMS"));
        let text = text(file);
        let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for line in product.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for used in line.split("crate::").skip(1) {
                let used = used.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
                let of_used = floor(used).unwrap_or_else(|| panic!("{path}: crate::{used} has no floor in ROOMS"));
                assert!(of_used <= of_room, "{path} uses crate::{used}, which is above {room}");
            }
        }
    }
}
