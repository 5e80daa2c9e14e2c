//! A program that was found, made as small as it gets.

use std::time::Instant;

use arbitrary::Unstructured;
use scenarios::generate::{self, Limits};
use scenarios::shrink::shrink;
use scenarios::{Program, Scenario, Step};

use super::sides::{Planned, Sides};
use crate::judge::Signature;

/// No more programs are tried.
const PROGRAMS: usize = 300;

/// The smallest program found until then that shows the same, each tried once, with assertions of
/// what the model says of it if it shows it with them.
pub(super) fn smallest(sides: &mut Sides<'_>, signature: &Signature, planned: &Planned, until: Instant) -> Program {
    let scenario = &planned.scenario;
    let mut shows = |scenario: Scenario| sides.try_out(&Planned { scenario, ..*planned }).as_ref() == Some(signature);
    let may_try = |tried| tried < PROGRAMS && Instant::now() < until && !crate::process::interrupt::requested();
    let found = shrink(&scenario.program, may_try, |program| {
        let smaller = Scenario::generated(scenario.name.clone(), program.clone());
        smaller.outcome == scenario.outcome && shows(smaller)
    });
    let found = found.program;
    match generate::assert(&mut Unstructured::new(&[0; 4096]), &found, &Limits::default()) {
        Ok(program) if shows(Scenario { program: program.clone(), ..scenario.clone() }) => program,
        _ => found,
    }
}

/// Steps that do something.
pub(crate) fn steps(program: &Program) -> usize {
    program.steps.iter().filter(|line| !matches!(line.step, Step::Assert { .. })).count()
}
