//! Controls, derived: the program of a scenario without its lazy unmounts, without a mount
//! namespace of its own, and with the mounts themselves for copies that are attached nowhere, so
//! that every mount is in mountinfo.
//!
//! A subject that refuses files on detached mounts shows nothing else by a scenario. By the
//! scenario's control it shows what it does to the same files, names, mounts and descriptors where
//! it can see them. A difference of the two is what the detached mount costs.
//!
//! Nothing is written down: the steps are the scenario's own, the assertions are those that still
//! hold and what the model says beside. Where the model refuses a step, or does not know, there is
//! no control, and [`Why`] says so.
//!
//! The suffix [`SUFFIX`] stands before the axes, `deleted/unlinked+visible@ext4,rdwr,whole`, as if
//! the control were of a file beside the scenario's. Patterns with axes keep their meaning
//! (`overlay/nfs-export@*` has no controls), patterns without have both (`deleted/*`), and no file
//! can be called so.

use std::collections::BTreeMap;
use std::fmt;

use vocabulary::{Flavor, Lifecycle};

use crate::capability::{Base, profile};
use crate::model::{Model, PredictedObject, Refusal};
use crate::program::{Claim, Line, ObjectName, OpenFlag};
use crate::text::{print_program, print_step};
use crate::{Outcome, Program, Scenario, Step, check};
use vocabulary::object::MountState;

/// What a control's name has behind the file's name.
pub const SUFFIX: &str = "+visible";

/// The controls of scenarios, and why others have none of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Controls {
    /// In the order of the scenarios.
    pub scenarios: Vec<Scenario>,
    /// The name that the control would have, and why it does not exist.
    pub missing: Vec<(String, Why)>,
}

/// Why the control does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// With every mount in sight this step is not carried out.
    Impossible {
        /// The step.
        step: String,
        /// Why.
        refusal: Refusal,
    },
    /// Something is on a mount that cannot be seen all the same.
    StillHidden,
    /// The checker refuses it.
    Faulty(String),
    /// Another scenario has the same requirements and the same steps.
    SameAs(String),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Impossible { step, refusal } => {
                write!(f, "with every mount in sight `{step}` is not carried out: {refusal}")
            }
            Why::StillHidden => f.write_str("something is out of sight without the lazy unmounts, too"),
            Why::Faulty(fault) => f.write_str(fault),
            Why::SameAs(name) => write!(f, "it is the same program as {name}"),
        }
    }
}

/// Whether this is the name of a derived control.
pub fn is_control(name: &str) -> bool {
    name.split('@').next().is_some_and(|file| file.ends_with(SUFFIX))
}

/// The name of a scenario's control.
pub fn control_name(name: &str) -> String {
    match name.split_once('@') {
        Some((file, axes)) => format!("{file}{SUFFIX}@{axes}"),
        None => format!("{name}{SUFFIX}"),
    }
}

/// The controls of all scenarios that can be restored and hold something that is out of sight. Of
/// several that are one program the first has it, or a scenario that is written down.
pub fn controls(scenarios: &[Scenario]) -> Controls {
    let mut known: BTreeMap<Identity, String> = BTreeMap::new();
    let mut controls = Controls::default();
    for scenario in scenarios {
        known.entry(identity(scenario)).or_insert_with(|| scenario.name.clone());
    }
    for scenario in scenarios {
        let missing = match control(scenario) {
            None => continue,
            Some(Err(why)) => why,
            Some(Ok(control)) => match known.get(&identity(&control)) {
                Some(first) => Why::SameAs(first.clone()),
                None => {
                    known.insert(identity(&control), control.name.clone());
                    controls.scenarios.push(control);
                    continue;
                }
            },
        };
        controls.missing.push((control_name(&scenario.name), missing));
    }
    controls
}

/// Steps without assertions, and where they can run.
type Identity = (String, Option<(u32, u32)>, Option<(u32, u32)>, Vec<Flavor>, Vec<Lifecycle>);

fn identity(scenario: &Scenario) -> Identity {
    let requires = &scenario.requires;
    let steps = print_program(&scenario.program.with_steps(numbered(actions(&scenario.program).cloned())));
    (steps, requires.kernel_from, requires.kernel_to, requires.flavors.clone(), requires.lifecycles.clone())
}

/// The control of a scenario; `None` where nothing is out of sight, or where it cannot be restored.
///
/// # Errors
/// Why a scenario that holds something detached has no control.
pub fn control(scenario: &Scenario) -> Option<Result<Scenario, Why>> {
    let restored = scenario.outcome == Outcome::Restored;
    let is_out_of_sight = profile(&scenario.program).bases.iter().any(|base| *base != Base::Visible);
    (restored && is_out_of_sight).then(|| derive(scenario))
}

fn derive(scenario: &Scenario) -> Result<Scenario, Why> {
    let stays = |step: &&Step| {
        !matches!(step, Step::Unmount { lazy: true, .. } | Step::UnshareMounts { .. } | Step::External { .. })
    };
    let mut steps: Vec<Step> = actions(&scenario.program).filter(stays).map(in_sight).collect();
    let mut model = Model::new();
    for step in &steps {
        model.step(step).map_err(|refusal| Why::Impossible { step: print_step(step), refusal })?;
    }
    let objects = model.outline();
    if objects.iter().any(|seen| matches!(seen.state, MountState::Detached | MountState::Elsewhere)) {
        return Err(Why::StillHidden);
    }
    steps.extend(assertions(&scenario.program, &model, &objects));
    let program = scenario.program.with_steps(numbered(steps));
    if profile(&program).bases.iter().any(|base| *base != Base::Visible) {
        return Err(Why::StillHidden);
    }
    let control = Scenario {
        name: control_name(&scenario.name),
        family: scenario.family.clone(),
        summary: format!("Nothing is out of sight: {}", scenario.summary),
        requires: scenario.requires.clone(),
        outcome: Outcome::Restored,
        program,
        // Its lines are not those of the scenario's file.
        file: None,
    };
    match check::scenario(&control).first() {
        Some(fault) => Err(Why::Faulty(fault.to_string())),
        None => Ok(control),
    }
}

/// Instead of a copy of a mount, the mount.
fn in_sight(step: &Step) -> Step {
    match step.clone() {
        Step::OpenTree { name, at, .. } => Step::Open { name, at, flags: vec![OpenFlag::Path] },
        other => other,
    }
}

/// What must hold: where each object is, its link, and of the scenario's own assertions those that
/// the model confirms.
fn assertions(program: &Program, model: &Model, objects: &[PredictedObject]) -> Vec<Step> {
    let moved = |seen: &PredictedObject| match ObjectName(seen.name.clone()).parts().1.0.as_str() {
        "cwd" => program.steps.iter().any(|line| matches!(line.step, Step::Chdir { .. } | Step::PivotRoot { .. })),
        "root" => program.steps.iter().any(|line| matches!(line.step, Step::Chroot { .. } | Step::PivotRoot { .. })),
        "exe" => false,
        _ => true,
    };
    let assert = |name: &str, claim| Step::Assert { object: ObjectName(name.to_owned()), claim };
    let mut steps = Vec::new();
    for seen in objects.iter().filter(|seen| moved(seen)) {
        match seen.state {
            MountState::Internal => steps.push(assert(&seen.name, Claim::Internal)),
            _ => {
                steps.push(assert(&seen.name, Claim::Visible));
                steps.extend(seen.link.clone().map(|link| assert(&seen.name, Claim::Link(link))));
            }
        }
    }
    for line in &program.steps {
        if let Step::Assert { object, claim } = &line.step {
            let is_new = !steps.contains(&line.step);
            if is_new && model.holds(object, claim) == Some(true) {
                steps.push(line.step.clone());
            }
        }
    }
    steps
}

/// The steps that do something.
fn actions(program: &Program) -> impl Iterator<Item = &Step> {
    program.steps.iter().map(|line| &line.step).filter(|step| !matches!(step, Step::Assert { .. }))
}

fn numbered(steps: impl IntoIterator<Item = Step>) -> Vec<Line> {
    let line = |(index, step)| Line { number: index + 1, step };
    steps.into_iter().enumerate().map(line).collect()
}
