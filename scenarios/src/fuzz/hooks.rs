//! libFuzzer's hooks for inputs that are programs: its own mutations of bytes make few programs out
//! of one, and none that lives.

use arbitrary::Unstructured;

use super::{around, scenario};
use crate::check::Checker;
use crate::generate::{self, Limits, noise};
use crate::program::Line;
use crate::{Program, Scenario, Step, text};

/// The hook of libFuzzer's custom mutator: changes `data[..size]` in place, to no more than `max`
/// bytes, and gives the new length. `bytes` is libFuzzer's own mutator. Most results are programs
/// that live; some end in a step that the kernel refuses, some are new, and some are text with a
/// mistake. A text that is not a program counts as an empty one.
pub fn mutate(
    data: &mut [u8],
    size: usize,
    max: usize,
    seed: u32,
    bytes: fn(&mut [u8], usize, usize) -> usize,
) -> usize {
    let kind = seed % 8;
    if kind == 0 {
        return bytes(data, size, max);
    }
    let noise = noise(seed.into());
    let mut u = Unstructured::new(&noise);
    let before = scenario(&data[..size]).unwrap_or_else(|| around(Program::default()));
    let limits = Limits::default();
    let new = |u: &mut Unstructured<'_>| generate::program(u, &limits).unwrap_or_default();
    let program = match kind {
        1 => new(&mut u),
        2 => longer(&before.program, &new(&mut u)),
        _ => {
            let other = new(&mut u);
            generate::mutate(&mut u, &before.program, &other, &limits).unwrap_or_default()
        }
    };
    put(&Scenario { program, ..before }, &mut data[..max])
}

/// The hook of libFuzzer's custom cross-over: what [`generate::mutate`] makes of two programs, into
/// `out`; its length.
pub fn cross(one: &[u8], other: &[u8], out: &mut [u8], seed: u32) -> usize {
    let (Some(one), Some(other)) = (scenario(one), scenario(other)) else { return 0 };
    let noise = noise(seed.into());
    let mut u = Unstructured::new(&noise);
    let program = generate::splice(&mut u, &one.program, &other.program, &Limits::default()).unwrap_or_default();
    put(&Scenario { program, ..one }, out)
}

/// The steps of both as far as the checker takes them, whatever the kernel makes of them: places
/// that are not there, names that are taken. Assertions are left out, since they speak of another
/// program.
fn longer(one: &Program, other: &Program) -> Program {
    let mut checker = Checker::new();
    let mut steps = Vec::new();
    for Line { step, .. } in one.steps.iter().chain(&other.steps) {
        let mut next = checker.clone();
        if !matches!(step, Step::Assert { .. }) && next.step(step).is_empty() {
            checker = next;
            steps.push(Line { number: steps.len() + 1, step: step.clone() });
        }
    }
    Program::of(steps)
}

/// Prints a scenario, with as many of its steps as there is room for.
fn put(scenario: &Scenario, room: &mut [u8]) -> usize {
    let mut scenario = scenario.clone();
    loop {
        let printed = text::print_scenario(&scenario);
        if let Some(room) = room.get_mut(..printed.len()) {
            room.copy_from_slice(printed.as_bytes());
            return printed.len();
        }
        if scenario.program.steps.pop().is_none() {
            return 0;
        }
    }
}
