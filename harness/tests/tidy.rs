//! The house keeps its rules: what the documents say to type is understood, files stay small, nothing that must not be
//! in the repository is.

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
fn words(line: &str) -> Vec<String> {
    let line = line.split(" #").next().unwrap_or_default();
    let line = line.split("   ").next().unwrap_or_default();
    let line = line.split(" > ").next().unwrap_or_default();
    line.split_whitespace().map(|word| word.trim_matches('\'').to_owned()).collect()
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
    for file in files(&[".md"]) {
        let name = file.strip_prefix(tree()).expect("it is below the tree").display().to_string();
        assert!(name == "README.md" || readme.contains(&format!("({name})")), "README.md does not link {name}");
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
fn files_stay_small() {
    for file in files(&[".rs"]) {
        let lines = text(&file).lines().count();
        assert!(lines <= 400, "{} has {lines} lines: split it", file.display());
    }
}

#[test]
fn modules_say_what_they_are_for() {
    for file in files(&[".rs"]) {
        let starts = text(&file).starts_with("//!") || file.ends_with("fuzz/build.rs");
        assert!(starts, "{} does not start with what it is for (//!)", file.display());
    }
}
