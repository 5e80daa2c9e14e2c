//! Programs that live: the checker accepts them, and every step is carried out, by the model and by
//! the kernel. They are drawn from the bytes of an [`Unstructured`], with the model at hand: only
//! what exists is opened, only what is mounted is unmounted, and what is about to be detached is
//! held first. Most end with an object on a detached mount.
//!
//! - [`program`] makes one; [`Limits`] say what the machine at hand allows
//! - [`Swarm`]: each program has only some kinds of steps, filesystems and names, so that they meet
//!   more often
//! - [`Exhaustive`]: every program of a small vocabulary, instead of some of all
//! - [`mutate`], [`splice`]: one program from another, or from two
//! - [`repair`]: what is left of a program when the steps that cannot be done are dropped
//!
//! For programs that are only *spelled* well, and for properties of the text form, there is
//! [`crate::arbitrary_text`].
//!
//! A kind of step is drawn first, then its arguments from what the model says is there
//! (`Model::survey`). Checker and model decide at the end. What a step lacks is made before it
//! (`needs.rs`), so every kind can follow every other. `ending.rs` holds something on a mount and
//! then detaches it. `scenarios::fuzz::mutate` is the entry for libFuzzer's hook.

mod arguments;
mod choose;
mod claims;
mod ending;
mod exhaustive;
mod mounting;
mod mutate;
mod needs;
mod states;
mod swarm;
mod vocabulary;
mod without;

use arbitrary::{Result, Unstructured};

pub use exhaustive::Exhaustive;
pub use mutate::{mutate, noise, splice};
pub use swarm::{Swarm, kinds};
pub use without::Without;

use crate::check::{Checker, STEP_LIMIT};
use crate::grammar::decompose;
use crate::model::Model;
use crate::program::{Line, ObjectName};
use crate::sharing::is_shareable_in_parts;
use crate::{Program, Step};

/// What generated programs may do: how long they get, and what the machine allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// No program gets longer, its assertions not counted, nor what a mutant needs to end as
    /// `detaches` says.
    pub steps: usize,
    /// Most programs end with an object on a detached mount, else with one on a mount.
    pub detaches: bool,
    /// There are disks for ext4, xfs and btrfs.
    pub disks: bool,
    /// The process has a root of its own, so that it can change it.
    pub own_root: bool,
    /// The process has the privileges of the machine's root: device nodes, files of others,
    /// mappings.
    pub privileged: bool,
    /// The program ends in assertions of what the model predicts.
    pub assertions: bool,
    /// Others are carried out beside it in the same process ([`crate::sharing`]).
    pub shares: bool,
    /// What no program has.
    pub without: Without,
}

impl Default for Limits {
    /// A VM, or the host as root.
    fn default() -> Self {
        Limits {
            steps: 32,
            detaches: true,
            disks: true,
            own_root: true,
            privileged: true,
            assertions: true,
            shares: false,
            without: Without::default(),
        }
    }
}

/// A program under construction, with the state of the checker and the model after it.
#[derive(Clone, Default)]
pub(crate) struct ProgramBuilder {
    pub(crate) model: Model,
    checker: Checker,
    program: Program,
    made: usize,
    shares: bool,
    without: Without,
}

impl ProgramBuilder {
    pub(crate) fn new(limits: &Limits) -> Self {
        ProgramBuilder { shares: limits.shares, without: limits.without, ..ProgramBuilder::default() }
    }

    /// Adds a step when checker and model have nothing against it.
    pub(crate) fn add(&mut self, step: &Step) -> bool {
        let Some(checker) = self.checked(step) else { return false };
        if self.model.step(step).is_err() {
            // Few are refused: to begin anew then costs less than a copy before each.
            self.model = self.replayed();
            return false;
        }
        self.checker = checker;
        self.program.steps.push(Line { number: self.program.steps.len() + 1, step: step.clone() });
        true
    }

    /// The model of the steps so far, which it takes all.
    fn replayed(&self) -> Model {
        Model::run(&self.program).expect("every step was taken before")
    }

    /// What is after a step; `None` when checker or model has something against it.
    fn after(&self, step: &Step) -> Option<(Model, Checker)> {
        let checker = self.checked(step)?;
        let mut model = self.model.clone();
        model.step(step).is_ok().then_some((model, checker))
    }

    /// The checker after a step; `None` when it has something against it.
    fn checked(&self, step: &Step) -> Option<Checker> {
        let parts = decompose(step);
        let forbidden = self.shares && !is_shareable_in_parts(step, &parts) || self.without.forbids_parts(step, &parts);
        if self.program.steps.len() >= STEP_LIMIT || forbidden {
            return None;
        }
        let mut checker = self.checker.clone();
        checker.step_in_parts(step, &parts).is_empty().then_some(checker)
    }

    /// A name for a new object.
    pub(crate) fn name(&mut self, stem: &str) -> ObjectName {
        self.made += 1;
        ObjectName(format!("{stem}{}", self.made - 1))
    }

    fn len(&self) -> usize {
        self.program.steps.len()
    }
}

/// A program with a swarm of its own.
///
/// # Errors
/// Errors of the byte source. Running out of bytes is not an error.
pub fn program(u: &mut Unstructured<'_>, limits: &Limits) -> Result<Program> {
    let swarm = Swarm::draw(u, limits)?;
    program_of(u, limits, &swarm)
}

/// A program of these kinds of steps, filesystems and names; what they need comes along.
///
/// # Errors
/// Errors of the byte source. Running out of bytes is not an error.
pub fn program_of(u: &mut Unstructured<'_>, limits: &Limits, swarm: &Swarm) -> Result<Program> {
    let mut builder = ProgramBuilder::new(limits);
    let most = limits.steps.saturating_sub(ending::ENDING_STEPS).max(1);
    // The smaller of two: short programs more often.
    let length = u.int_in_range(1..=most)?.min(u.int_in_range(1..=most)?);
    let mut tries = 0;
    while builder.len() < length && tries < 4 * most {
        tries += 1;
        let kind = swarm.kind(u)?;
        needs::step(u, &mut builder, swarm, kind, length)?;
    }
    if !u.ratio(1, 16)? {
        ending::ending(u, &mut builder, swarm, limits)?;
    }
    if limits.assertions {
        claims::add(u, &mut builder)?;
    }
    Ok(builder.program)
}

/// What is left of a program when every step is dropped that the checker or the model refuses.
/// Assertions are not kept: they said what was true of another program.
pub fn repair(program: &Program) -> Program {
    repaired(ProgramBuilder::default(), &program.steps, STEP_LIMIT).program
}

/// The same, and without the steps that the limits forbid to share a process.
pub fn repair_within(program: &Program, limits: &Limits) -> Program {
    repaired(ProgramBuilder::new(limits), &program.steps, STEP_LIMIT).program
}

fn repaired(mut builder: ProgramBuilder, steps: &[Line], most: usize) -> ProgramBuilder {
    for line in steps {
        if !matches!(line.step, Step::Assert { .. }) && builder.len() < most {
            builder.add(&line.step);
        }
    }
    builder
}

/// Assertions of what the model predicts, after all steps of a program; a few for each object, most
/// of all where it is.
///
/// # Errors
/// Errors of the byte source. Running out of bytes is not an error.
pub fn assert(u: &mut Unstructured<'_>, program: &Program, limits: &Limits) -> Result<Program> {
    let mut builder = ProgramBuilder::new(limits);
    for line in &program.steps {
        builder.add(&line.step);
    }
    claims::add(u, &mut builder)?;
    Ok(builder.program)
}

/// Is every step of this program accepted, by the checker and by the model?
pub fn lives(program: &Program) -> bool {
    crate::check::program(program).is_empty() && Model::run(program).is_ok()
}

/// Does the program hold anything on a mount that no mountinfo lists?
pub fn is_detached(program: &Program) -> bool {
    Model::run(program).is_ok_and(|model| model.survey().has_detached)
}
