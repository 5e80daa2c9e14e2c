//! What the fuzz targets call: one function each, which panics when a property does not hold.
//!
//! - [`program_text`], [`round_trip`]: what is said of any text
//! - [`scenario`]: an input as a scenario, for targets that carry programs out
//! - [`mutate`], [`cross`]: libFuzzer's hooks, so that its inputs stay programs
//! - [`dictionary`]: the words of the language

mod hooks;

use std::collections::BTreeSet;
use std::path::Path;

use crate::grammar::{Kind, forms};
use crate::model::Model;
use crate::program::Line;
use crate::scenario::Requirements;
use crate::{Program, Scenario, text};

pub use hooks::{cross, mutate};

/// The name of an input, where a scenario needs one.
const NAME: &str = "fuzz/input";

/// Text parses or is refused; what parses is printed and parses to the same again, and printing
/// that gives the same text. The model takes or refuses every program that the checker takes.
///
/// # Panics
/// When one of these does not hold.
pub fn program_text(data: &[u8]) {
    match text::scenarios(data, NAME, Path::new("input.scn")) {
        Ok(scenarios) => {
            scenarios.iter().for_each(round_trip);
            if let Some(model) = scenarios.first().and_then(|scenario| Model::run(&scenario.program).ok()) {
                model.predict();
            }
        }
        Err(diagnostics) => {
            assert!(!diagnostics.is_empty(), "a refusal says why");
            for diagnostic in diagnostics {
                assert!(!diagnostic.to_string().is_empty());
            }
        }
    }
}

/// A scenario survives being printed and parsed.
///
/// # Panics
/// When it does not.
pub fn round_trip(scenario: &Scenario) {
    let printed = text::print_scenario(scenario);
    let path = scenario.file.as_deref().unwrap_or(Path::new("printed"));
    let parsed = text::scenarios(printed.as_bytes(), &scenario.name, path).unwrap_or_else(|diagnostics| {
        let first = diagnostics.first().expect("a refusal says why");
        panic!("what was printed does not parse: {first}\n---\n{printed}")
    });
    let [parsed] = parsed.as_slice() else { panic!("one scenario became {}:\n{printed}", parsed.len()) };
    let expected = Scenario { file: parsed.file.clone(), ..without_lines(scenario) };
    assert_eq!(without_lines(parsed), expected, "printed:\n{printed}");
    assert_eq!(text::print_scenario(parsed), printed);
    let in_place = text::print_program_in_place(&parsed.program);
    assert_eq!(text::program(&in_place).as_ref(), Ok(&parsed.program), "in place:\n{in_place}");
}

fn without_lines(scenario: &Scenario) -> Scenario {
    let plain = |lines: &[Line]| lines.iter().cloned().map(|line| Line { number: 0, ..line }).collect();
    let Program { steps, changes } = &scenario.program;
    Scenario { program: Program { steps: plain(steps), changes: plain(changes) }, ..scenario.clone() }
}

/// An input as a scenario: the first one of a scenario file, or one around steps without a header.
/// `None` when it is neither.
pub fn scenario(data: &[u8]) -> Option<Scenario> {
    if let Ok(scenarios) = text::scenarios(data, NAME, Path::new("input.scn")) {
        return scenarios.into_iter().next();
    }
    Some(around(text::program(std::str::from_utf8(data).ok()?).ok()?))
}

/// A scenario of a program, with a root of its own.
fn around(program: Program) -> Scenario {
    let requires = Requirements { flavors: vec![vocabulary::Flavor::Ns], ..Requirements::default() };
    Scenario { requires, ..Scenario::generated(NAME, program) }
}

/// Every word of the language, for libFuzzer's `-dict`.
pub fn dictionary() -> BTreeSet<String> {
    let header = [
        "with ",
        "requires ",
        "outcome restored",
        "outcome refused \"",
        "fs=",
        "base=",
        "kernel=",
        "flavor=",
        "lifecycle=",
        "$fs",
        "$of",
        "$in",
        "$at",
        "$link",
    ];
    let signs = ["\"", "\\x00", "\\n", "/", "..", ":", " = ", "#", "|", "\n"];
    let mut words: BTreeSet<String> = header.iter().chain(&signs).map(|word| (*word).to_owned()).collect();
    for form in forms() {
        words.insert(form.head());
        for argument in form.arguments {
            words.extend(argument.key.map(|key| format!("{key}=")));
            match argument.kind {
                Kind::Word(all) => words.extend(all().into_iter().map(str::to_owned)),
                Kind::Literal(word) => _ = words.insert(word.to_owned()),
                _ => {}
            }
        }
    }
    words
}
