//! What others change in the tree between dump and restore: names and files, by their paths.

use vocabulary::Lifecycle;

use super::{Checker, Fault, Part, STEP_LIMIT};
use crate::Scenario;
use crate::grammar::{Item, decompose};
use crate::program::{Program, Step};
use crate::text::CHANGE;

/// The steps that others may carry out.
pub(crate) const VERBS: [&str; 10] =
    ["append", "chmod", "link", "mkdir", "rename", "rmdir", "symlink", "truncate", "unlink", "write"];

/// The faults of the changes. Their steps are counted on behind the program's own.
pub(super) fn check(program: &Program) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (index, line) in (program.steps.len()..).zip(&program.changes) {
        let mut found = of_others(&line.step);
        if found.is_empty() {
            found = Checker::new().step(&line.step);
        }
        if index == STEP_LIMIT {
            found.push(Fault::whole(format!("a program has at most {STEP_LIMIT} steps")));
        }
        faults.extend(found.into_iter().map(|fault| Fault { step: Some(index), ..fault }));
    }
    faults
}

pub(crate) fn of_others(step: &Step) -> Vec<Fault> {
    let parts = decompose(step);
    let verb = parts.form.verb();
    if !VERBS.contains(&verb) {
        let fault = Fault::whole(format!("`{verb}` is not something that others change in the tree"));
        return vec![Fault { expected: VERBS.map(str::to_owned).to_vec(), ..fault }];
    }
    let mut faults = Vec::new();
    for (argument, items) in parts.slots.iter().enumerate() {
        for (nth, item) in items.iter().enumerate() {
            if matches!(item, Item::Place(place) if place.base.is_some()) {
                let part = Part::Argument { argument, nth };
                faults.push(Fault::new(part, "others do not have the program's descriptors; a path starts at the top"));
            }
        }
    }
    faults
}

/// A scenario has changes exactly when its lifecycle makes them.
pub(super) fn lifecycle(scenario: &Scenario) -> Option<Fault> {
    let changed = Lifecycle::ChangedTree;
    let lifecycles = &scenario.requires.lifecycles;
    match scenario.program.changes.is_empty() {
        false if *lifecycles != [changed] => {
            let fault = Fault::whole(format!("`{CHANGE}` says what happens between dump and restore"));
            let fault = fault.hint(format!("add the line `requires lifecycle={changed}`"));
            Some(Fault { step: Some(scenario.program.steps.len()), ..fault })
        }
        true if lifecycles.contains(&changed) => {
            Some(Fault::whole(format!("lifecycle {changed} without a line `{CHANGE}`: nothing would change")))
        }
        _ => None,
    }
}
