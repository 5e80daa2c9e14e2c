//! What the fuzz targets call: one function each, which panics when a property does not hold.

use std::path::Path;

use crate::{Program, Scenario, text};

/// Text parses or is refused; what parses is printed and parses to the same again, and printing that gives the same
/// text.
///
/// # Panics
/// When one of these does not hold.
pub fn program_text(data: &[u8]) {
    match text::scenarios(data, "fuzz/input", Path::new("input.scn")) {
        Ok(scenarios) => scenarios.iter().for_each(round_trip),
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
    let steps = scenario.program.steps.iter().cloned().map(|line| crate::program::Line { number: 0, ..line });
    Scenario { program: Program { steps: steps.collect() }, ..scenario.clone() }
}
