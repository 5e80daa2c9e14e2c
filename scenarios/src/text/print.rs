//! The canonical text of a program, a scenario, a step.

use super::CHANGE;
use super::lexer::is_bare;
use crate::bytes::escape;
use crate::grammar::{Argument, Count, Item, Kind, decompose};
use crate::program::{Line, Place, Step};
use crate::{Outcome, Program, Scenario};

/// A scenario with all its axes' values filled in; parsing it with the scenario's own name gives
/// the scenario back, its line numbers aside. Comments below the summary are not part of a
/// [`Scenario`] and not printed.
pub fn print_scenario(scenario: &Scenario) -> String {
    let mut out = format!("# {}\n", scenario.summary);
    let requires = &scenario.requires;
    if !requires.axes.is_empty() {
        let axes: Vec<_> = requires.axes.iter().map(|(name, value)| format!("{name}={value}")).collect();
        out.push_str(&format!("with {}\n", axes.join(" ")));
    }
    let release = |release: Option<(u32, u32)>| release.map_or(String::new(), |(a, b)| format!("{a}.{b}"));
    let mut needs = Vec::new();
    if requires.kernel_from.is_some() || requires.kernel_to.is_some() {
        needs.push(format!("kernel={}..{}", release(requires.kernel_from), release(requires.kernel_to)));
    }
    if !requires.flavors.is_empty() {
        needs.push(format!("flavor={}", words(&requires.flavors)));
    }
    if !requires.lifecycles.is_empty() {
        needs.push(format!("lifecycle={}", words(&requires.lifecycles)));
    }
    if !needs.is_empty() {
        out.push_str(&format!("requires {}\n", needs.join(" ")));
    }
    match &scenario.outcome {
        Outcome::Restored => out.push_str("outcome restored\n\n"),
        Outcome::Refused { reason } => out.push_str(&format!("outcome refused \"{}\"\n\n", escape(reason.as_bytes()))),
    }
    out + &print_program(&scenario.program)
}

/// Words as alternatives.
fn words(words: &[impl ToString]) -> String {
    words.iter().map(ToString::to_string).collect::<Vec<_>>().join("|")
}

/// The steps and the changes, one a line, nothing else.
pub fn print_program(program: &Program) -> String {
    lines(program).map(|(_, line)| line + "\n").collect()
}

/// The lines with the numbers that they have.
fn lines(program: &Program) -> impl Iterator<Item = (usize, String)> {
    let steps = program.steps.iter().map(|line| (line.number, print_step(&line.step)));
    let change = |line: &Line| (line.number, format!("{CHANGE} {}", print_step(&line.step)));
    steps.chain(program.changes.iter().map(change))
}

/// The steps and the changes, each on the line that its number says, blank lines between them:
/// what reports a line of this text speaks of the scenario's file. Where the numbers do not grow, a
/// line follows the one before it.
pub fn print_program_in_place(program: &Program) -> String {
    let mut out = String::new();
    let mut next = 1;
    for (number, line) in lines(program) {
        while next < number.min(super::LINE_LIMIT) {
            out.push('\n');
            next += 1;
        }
        out.push_str(&line);
        out.push('\n');
        next += 1;
    }
    out
}

/// One line, without its newline.
pub fn print_step(step: &Step) -> String {
    let parts = decompose(step);
    let mut out = match &parts.name {
        Some(name) => format!("{} = {}", name.0, parts.form.verb()),
        None => parts.form.verb().to_owned(),
    };
    for (argument, items) in parts.form.arguments.iter().zip(&parts.slots) {
        if let (Kind::Literal(word), Count::One) = (argument.kind, argument.count) {
            out.push(' ');
            out.push_str(word);
        }
        for item in items {
            out.push(' ');
            if let Some(key) = argument.key {
                out.push_str(key);
                out.push('=');
            }
            out.push_str(&print_item(argument, item));
        }
    }
    out
}

fn print_item(argument: &Argument, item: &Item) -> String {
    match (item, argument.kind) {
        (Item::Object(name) | Item::Process(name), _) => name.0.clone(),
        (Item::Place(place), _) => print_place(place),
        (Item::Text(bytes), Kind::Label) => bare_or_quoted(bytes.as_slice()),
        (Item::Text(bytes), _) => quoted(bytes.as_slice()),
        (Item::Number(number), Kind::Octal(_)) => format!("{number:04o}"),
        (Item::Number(number), _) => number.to_string(),
        (Item::Word(word), _) => (*word).to_owned(),
    }
}

fn print_place(place: &Place) -> String {
    match &place.base {
        Some(base) if place.path.is_empty() => format!("{}:", base.0),
        Some(base) => format!("{}:{}", base.0, bare_or_quoted(place.path.as_slice())),
        None => bare_or_quoted(place.path.as_slice()),
    }
}

fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", escape(bytes))
}

fn bare_or_quoted(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && text.chars().all(is_bare) => text.to_owned(),
        _ => quoted(bytes),
    }
}
