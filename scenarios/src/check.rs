//! Is a program meaningful? Objects are made before they are used, paths stay below the top
//! directory, flags do not contradict each other. It knows only what the text says: whether a path
//! exists is found out by running it.

pub(crate) mod changes;
mod flags;
mod objects;
mod places;

use std::fmt;

use vocabulary::Flavor;

use crate::grammar::{Argument, Item, Kind, StepParts, decompose};
use crate::program::{Filesystem, ObjectName, Program, Step};
use crate::text::print_step;
use crate::{Outcome, Scenario};
use objects::Objects;

/// The most steps of a program.
pub const STEP_LIMIT: usize = 256;
/// The most filesystems of one type on block devices; each needs a device in the guest.
pub const DEVICE_LIMIT: usize = 4;
/// The most processes of a program, the first one included.
pub const PROCESS_LIMIT: usize = 4;
/// The longest name of an object, in bytes.
pub const OBJECT_NAME_LIMIT: usize = 32;

/// Something that a program must not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The step, counted from 0; `None` when it is the program as a whole.
    pub step: Option<usize>,
    /// Which part of the step.
    pub part: Part,
    /// What is wrong.
    pub what: String,
    /// What could stand there.
    pub expected: Vec<String>,
    /// Further advice.
    pub hint: Option<String>,
}

/// A part of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The step itself.
    Whole,
    /// The name of the object that it makes.
    Name,
    /// One value of an argument.
    Argument {
        /// Index in [`crate::grammar::Form::arguments`].
        argument: usize,
        /// Which of its values.
        nth: usize,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(step) = self.step {
            write!(f, "step {}: ", step + 1)?;
        }
        f.write_str(&self.what)
    }
}

impl Fault {
    fn new(part: Part, what: impl Into<String>) -> Self {
        Fault { step: None, part, what: what.into(), expected: Vec::new(), hint: None }
    }

    fn whole(what: impl Into<String>) -> Self {
        Fault::new(Part::Whole, what)
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// True for `[a-z][a-z0-9_-]*` of at most [`OBJECT_NAME_LIMIT`] bytes.
pub fn is_object_name(name: &ObjectName) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
    let name = &name.0;
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(inner) && name.len() <= OBJECT_NAME_LIMIT
}

/// All faults of a program.
pub fn program(program: &Program) -> Vec<Fault> {
    let mut checker = Checker::new();
    let mut faults: Vec<_> = program.steps.iter().flat_map(|line| checker.step(&line.step)).collect();
    faults.extend(checker.asserts(program));
    faults.extend(changes::check(program));
    faults
}

/// All faults of a scenario: those of its program, and an outcome that nothing guards.
pub fn scenario(scenario: &Scenario) -> Vec<Fault> {
    let mut faults = program(&scenario.program);
    let steps = &scenario.program.steps;
    if !steps.iter().any(|line| matches!(line.step, Step::Assert { .. })) {
        let outcome = match scenario.outcome {
            Outcome::Restored => "restored",
            Outcome::Refused { .. } => "refused",
        };
        faults.push(Fault::whole(format!(
            "no step is an `assert`: `outcome {outcome}` would be worth nothing if the steps did not make the situation; \
             say what must hold, `assert OBJECT detached` first of all"
        )));
    }
    faults.extend(changes::lifecycle(scenario));
    let flavors = &scenario.requires.flavors;
    if flavors.is_empty() || flavors.contains(&Flavor::Host) {
        for (index, line) in steps.iter().enumerate() {
            if line.step.needs_own_namespace() {
                let verb = decompose(&line.step).form.verb();
                let fault = Fault::whole(format!("`{verb}` needs a mount namespace of its own"));
                let fault = fault.hint("add the line `requires flavor=ns`");
                faults.push(Fault { step: Some(index), ..fault });
            }
        }
    }
    faults
}

/// Checks step by step; a generator asks it before it adds a step.
#[derive(Clone, Default)]
pub struct Checker {
    objects: Objects,
    devices: Vec<Filesystem>,
    steps: usize,
}

impl Checker {
    /// Before the first step.
    pub fn new() -> Self {
        Self::default()
    }

    /// The objects of the process that are open, in the order of their names; `cwd`, `root` and
    /// `exe` among them.
    pub fn open_objects(&self) -> impl Iterator<Item = &ObjectName> {
        self.objects.open()
    }

    /// The open objects of all processes, by their full names: `fd0`, `child.fd0`.
    pub fn objects_of_processes(&self) -> impl Iterator<Item = ObjectName> {
        self.objects.of_processes()
    }

    /// The processes but for the one that carries out the steps.
    pub fn other_processes(&self) -> impl Iterator<Item = &ObjectName> {
        self.objects.processes().skip(1)
    }

    /// Those of them that are sockets.
    pub fn sockets(&self) -> impl Iterator<Item = &ObjectName> {
        self.objects.sockets()
    }

    /// Whether other processes have this socket of the process that acts, or its peer.
    pub(crate) fn is_shared(&self, socket: &ObjectName) -> bool {
        self.objects.is_shared(socket)
    }

    /// The faults of the next step. Its effects are taken over as far as they make sense.
    pub fn step(&mut self, step: &Step) -> Vec<Fault> {
        self.step_in_parts(step, &decompose(step))
    }

    /// The same for a step that is decomposed already.
    pub(crate) fn step_in_parts(&mut self, step: &Step, parts: &StepParts) -> Vec<Fault> {
        let index = self.steps;
        self.steps += 1;
        let mut faults = Vec::new();
        if index == STEP_LIMIT {
            faults.push(Fault::whole(format!("a program has at most {STEP_LIMIT} steps")));
        }
        for (slot, (argument, items)) in parts.form.arguments.iter().zip(&parts.slots).enumerate() {
            for (nth, item) in items.iter().enumerate() {
                let part = Part::Argument { argument: slot, nth };
                if let Err(fault) = self.item(argument, item, &items[..nth], part) {
                    faults.push(fault);
                }
            }
        }
        faults.extend(places::top(parts, &self.objects));
        faults.extend(flags::check(step));
        faults.extend(self.devices(step));
        faults.extend(self.objects.step(step, parts));
        for fault in &mut faults {
            fault.step = Some(index);
        }
        faults
    }

    fn item(&self, argument: &Argument, item: &Item, before: &[Item], part: Part) -> Result<(), Fault> {
        match item {
            Item::Process(_) => Ok(()),
            Item::Object(name) => match argument.kind {
                Kind::Socket => self.objects.socket(name, part),
                Kind::AnyObject => self.objects.known_anywhere(name, part).map(|_| ()),
                _ => self.objects.known(name, part).map(|_| ()),
            },
            Item::Place(place) => places::check(place, &self.objects, part),
            Item::Number(number) => match argument.kind {
                Kind::Number(from, to) if !(from..=to).contains(number) => {
                    Err(Fault::new(part, format!("{number} is not from {from} to {to}")))
                }
                Kind::Octal(to) if *number > to => Err(Fault::new(part, format!("{number:o} is more than {to:o}"))),
                _ => Ok(()),
            },
            Item::Word(word) => match argument.kind {
                Kind::Word(words) if !words().contains(word) => Err(Fault::new(part, "unknown word")),
                _ if before.contains(item) => Err(Fault::new(part, format!("`{word}` stands a second time"))),
                _ => Ok(()),
            },
            Item::Text(_) => Ok(()),
        }
    }

    fn devices(&mut self, step: &Step) -> Option<Fault> {
        let Step::Mount { filesystem, .. } = step else { return None };
        if !filesystem.needs_disk() {
            return None;
        }
        self.devices.push(*filesystem);
        let count = self.devices.iter().filter(|other| *other == filesystem).count();
        let part = Part::Argument { argument: 0, nth: 0 };
        (count == DEVICE_LIMIT + 1)
            .then(|| Fault::new(part, format!("a program has at most {DEVICE_LIMIT} of these filesystems")))
    }

    /// Asserts are tested when all steps are done: their objects must be open then.
    fn asserts(&self, program: &Program) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (index, line) in program.steps.iter().enumerate() {
            if !matches!(line.step, Step::Assert { .. }) {
                continue;
            }
            let StepParts { slots, .. } = decompose(&line.step);
            for (argument, items) in slots.iter().enumerate() {
                for (nth, item) in items.iter().enumerate() {
                    let Item::Object(name) = item else { continue };
                    if let Some(closed) = self.objects.closed_at(name).filter(|closed| *closed > index) {
                        let closing = print_step(&program.steps[closed].step);
                        let what = format!("`{}` is closed further down (`{closing}`)", name.0);
                        let fault = Fault::new(Part::Argument { argument, nth }, what)
                            .hint("assertions are tested when all steps are done, wherever they stand");
                        faults.push(Fault { step: Some(index), ..fault });
                    }
                }
            }
        }
        faults
    }
}
