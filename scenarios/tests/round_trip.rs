//! Properties: what is printed parses to the same; nothing panics, whatever the text.

use std::collections::BTreeSet;
use std::path::Path;

use arbtest::arbitrary::Unstructured;
use scenarios::grammar::{decompose, forms};
use scenarios::{arbitrary_text, check, fuzz, generate, text};

/// So many programs have every form.
const PROGRAMS: u64 = 2_000;

#[test]
fn what_is_printed_parses_to_the_same() {
    let mut seen = BTreeSet::new();
    for seed in 0..PROGRAMS {
        let Ok(scenario) = arbitrary_text::scenario(&mut Unstructured::new(&generate::noise(seed))) else { continue };
        assert_eq!(check::scenario(&scenario), [], "the generator makes well-formed programs");
        seen.extend(scenario.program.steps.iter().map(|line| decompose(&line.step).form.head()));
        fuzz::round_trip(&scenario);
    }
    let missing: Vec<_> = forms().map(scenarios::grammar::Form::head).filter(|head| !seen.contains(head)).collect();
    assert!(missing.is_empty(), "the generator never made {missing:?}");
}

#[test]
fn every_form_comes_apart_into_what_it_was_made_of() {
    arbtest::arbtest(|u| {
        let checker = check::Checker::new();
        for form in forms() {
            if let Some(step) = arbitrary_text::step(u, form, &checker)? {
                let parts = decompose(&step);
                assert_eq!(parts.form.head(), form.head());
                assert_eq!(parts.form.step(parts.name, parts.slots), step);
            }
        }
        Ok(())
    });
}

#[test]
fn noise_never_panics() {
    arbtest::arbtest(|u| {
        fuzz::program_text(u.bytes(u.len())?);
        Ok(())
    });
}

#[test]
fn mutated_text_never_panics() {
    let pieces = [
        "$",
        "$fs",
        "$of",
        "$in",
        "$at",
        "$link",
        "requires base=whole|file|again\n",
        "\"",
        "\\",
        ":",
        "=",
        " = ",
        "#",
        "\t",
        "\r",
        "\n",
        "|",
        "..",
        "é",
        "漢",
        "\u{1b}",
        "fd0",
        "0",
    ];
    arbtest::arbtest(|u| {
        let mut printed = text::print_scenario(&arbitrary_text::scenario(u)?);
        for _ in 0..u.int_in_range(1..=6)? {
            let mut from = u.choose_index(printed.len() + 1)?;
            let mut to = (from + u.int_in_range(0..=4)?).min(printed.len());
            while !printed.is_char_boundary(from) {
                from -= 1;
            }
            while !printed.is_char_boundary(to) {
                to += 1;
            }
            printed.replace_range(from..to, u.choose(&pieces)?);
        }
        fuzz::program_text(printed.as_bytes());
        Ok(())
    })
    .budget_ms(1_000);
}

#[test]
fn steps_keep_their_lines_when_printed_in_place() {
    let source = "# s\noutcome restored\n\n\nfd0 = open .\n# c\nassert fd0 visible\n";
    let scenarios = text::scenarios(source.as_bytes(), "x", Path::new("x.scn")).unwrap();
    let printed = text::print_program_in_place(&scenarios[0].program);
    assert_eq!(printed, "\n\n\n\nfd0 = open .\n\nassert fd0 visible\n");
    assert_eq!(text::program(&printed).unwrap(), scenarios[0].program);
}
