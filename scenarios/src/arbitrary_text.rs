//! Arbitrary well-formed programs, from the bytes of an [`Unstructured`]: for properties of this
//! crate and as the ground that fuzzing grows from.
//!
//! Steps are drawn from the table of forms and kept when the [`Checker`] has nothing against them,
//! so that this module cannot disagree with either. Well-formed means that the checker accepts it;
//! most of these programs fail when they are carried out, because a path does not exist.

use arbitrary::{Result, Unstructured};

use vocabulary::{Flavor, Lifecycle};

use crate::check::{Checker, STEP_LIMIT, changes};
use crate::grammar::{self, Argument, Count, Form, Item, Kind, StepKind, forms};
use crate::program::{FIRST_PROCESS, Line, ObjectName, Place, Step};
use crate::scenario::Requirements;
use crate::{Bytes, Outcome, Program, Scenario};

/// Names that programs are made of: plain ones, so that steps meet, and those that are often taken
/// for something else.
const NAMES: &[&[u8]] = &[
    b"a",
    b"b",
    b"d",
    b"f",
    b"g",
    b"n",
    b".f",
    b"..f",
    b"...",
    b"f (deleted)",
    b"two words",
    b"new\nline",
    b"tab\t",
    b"back\\slash",
    b"\\040",
    b"\"",
    b"$fs",
    b"#",
    b"a:b",
    b"k=v",
    b"//deleted",
    b"\xff\xfe",
    "größe".as_bytes(),
    b"-",
];

const PROCESSES: &[&str] = &[FIRST_PROCESS, "p", "child-2"];

/// A program of all kinds of steps; ends in at least one `assert`.
///
/// # Errors
/// Errors of the byte source. Running out of bytes is not an error.
pub fn program(u: &mut Unstructured<'_>) -> Result<Program> {
    let (claims, actions): (Vec<_>, Vec<_>) = forms().partition(|form| form.kind == StepKind::Assert);
    let mut generator = Generator { checker: Checker::new(), program: Program::default(), made: 0 };
    let length = u.int_in_range(0..=24)?;
    for _ in 0..length {
        let form = *u.choose(&actions)?;
        generator.add(u, form)?;
    }
    let length = u.int_in_range(0..=4)?;
    for _ in 0..length {
        let form = *u.choose(&claims)?;
        generator.add(u, form)?;
    }
    let visible = claims[1].step(None, vec![vec![Item::Object(ObjectName("cwd".to_owned()))], Vec::new()]);
    generator.keep(visible);
    Ok(generator.program)
}

/// A step of one form that this state of a program allows; `None` when a few tries gave none.
///
/// # Errors
/// Errors of the byte source. Running out of bytes is not an error.
pub fn step(u: &mut Unstructured<'_>, form: &'static Form, checker: &Checker) -> Result<Option<Step>> {
    let all: Vec<_> = checker.open_objects().cloned().collect();
    let of_all_processes: Vec<_> = checker.objects_of_processes().collect();
    let sockets: Vec<_> = checker.sockets().cloned().collect();
    for _ in 0..4 {
        let name = if form.makes { Some(ObjectName(format!("fd{}", u.int_in_range(0..=999)?))) } else { None };
        let slots: Result<Vec<_>> = form
            .arguments
            .iter()
            .map(|argument| match argument.kind {
                // Without one the checker refuses whatever it is.
                Kind::AnyObject => slot(u, argument, &of_all_processes),
                Kind::Socket if !sockets.is_empty() => slot(u, argument, &sockets),
                _ => slot(u, argument, &all),
            })
            .collect();
        let step = form.step(name, slots?);
        if checker.clone().step(&step).is_empty() {
            return Ok(Some(step));
        }
    }
    Ok(None)
}

/// A scenario around [`program`], with every part of a header.
///
/// # Errors
/// Errors of the byte source. Running out of bytes is not an error.
pub fn scenario(u: &mut Unstructured<'_>) -> Result<Scenario> {
    let release = |u: &mut Unstructured<'_>| Ok((u.int_in_range(4..=9)?, u.int_in_range(0..=30)?));
    let kernel_from = if u.arbitrary()? { Some(release(u)?) } else { None };
    let kernel_to = if kernel_from.is_none() && u.arbitrary()? { Some(release(u)?) } else { None };
    fn first<T: Copy>(u: &mut Unstructured<'_>, of: &[T]) -> Result<Vec<T>> {
        Ok(of[..u.int_in_range(0..=of.len())?].to_vec())
    }
    let axes = first(u, &["fs", "base", "access", "x"])?;
    let value = |axis: &str| {
        let value = match axis {
            "fs" => "ext4",
            "base" => "file",
            _ => "v1.0",
        };
        (axis.to_owned(), value.to_owned())
    };
    let outcome = match u.arbitrary()? {
        true => Outcome::Restored,
        false => {
            Outcome::Refused { reason: u.choose(&["nobody can", "a \"quoted\" \\ reason", "größe"])?.to_string() }
        }
    };
    let mut program = program(u)?;
    let mut lifecycles = first(u, Lifecycle::ALL)?;
    lifecycles.retain(|lifecycle| *lifecycle != Lifecycle::ChangedTree);
    program.changes = changes(u, program.steps.len())?;
    if !program.changes.is_empty() {
        lifecycles = vec![Lifecycle::ChangedTree];
    }
    Ok(Scenario {
        name: "family/name".to_owned(),
        family: "family".to_owned(),
        summary: u.choose(&["A summary.", "# twice", "größe = 漢字: \"x\""])?.to_string(),
        requires: Requirements {
            axes: axes.into_iter().map(value).collect(),
            kernel_from,
            kernel_to,
            flavors: vec![Flavor::Ns],
            lifecycles,
        },
        outcome,
        program,
        file: None,
    })
}

/// What others change, behind so many steps.
fn changes(u: &mut Unstructured<'_>, steps: usize) -> Result<Vec<Line>> {
    let forms: Vec<_> = forms().filter(|form| changes::VERBS.contains(&form.verb())).collect();
    let mut found = Vec::new();
    for _ in 0..u.int_in_range(0..=3)? {
        let form = u.choose(&forms)?;
        let step = step(u, form, &Checker::new())?.filter(|step| changes::of_others(step).is_empty());
        found.extend(step.map(|step| Line { number: steps + found.len() + 1, step }));
    }
    Ok(found)
}

struct Generator {
    checker: Checker,
    program: Program,
    made: usize,
}

impl Generator {
    fn add(&mut self, u: &mut Unstructured<'_>, form: &'static Form) -> Result<()> {
        if self.program.steps.len() + 1 < STEP_LIMIT
            && let Some(step) = step(u, form, &self.checker)?
        {
            self.keep(step);
            self.made += 1;
            // By itself hardly any socket gets a peer, and hardly any message is received.
            let next = match form.kind {
                StepKind::Socketpair => grammar::form("peer"),
                StepKind::Send => grammar::form("receive"),
                _ => None,
            };
            if let Some(next) = next.filter(|_| u.arbitrary().unwrap_or(false)) {
                self.add(u, next)?;
            }
        }
        Ok(())
    }

    fn keep(&mut self, step: Step) {
        let faults = self.checker.step(&step);
        debug_assert!(faults.is_empty(), "{faults:?}");
        self.program.steps.push(Line { number: self.program.steps.len() + 1, step });
    }
}

fn slot(u: &mut Unstructured<'_>, argument: &Argument, objects: &[ObjectName]) -> Result<Vec<Item>> {
    let count = match (argument.kind, argument.count) {
        (Kind::Literal(_), Count::One) => 0,
        (_, Count::One) => 1,
        (_, Count::Optional) => u.int_in_range(0..=1)?,
        (_, Count::Many) => u.int_in_range(0..=2)?,
        (_, Count::Some) => u.int_in_range(1..=3)?,
    };
    (0..count).map(|_| item(u, argument, objects)).collect()
}

fn item(u: &mut Unstructured<'_>, argument: &Argument, objects: &[ObjectName]) -> Result<Item> {
    Ok(match argument.kind {
        Kind::Object | Kind::Socket | Kind::AnyObject => Item::Object(u.choose(objects)?.clone()),
        Kind::Process => Item::Process(ObjectName((*u.choose(PROCESSES)?).to_owned())),
        Kind::Place => Item::Place(place(u, objects)?),
        Kind::Text | Kind::Label => Item::Text(text(u)?),
        Kind::Number(from, to) => {
            let small = u.int_in_range(from.max(0)..=to.min(100))?;
            Item::Number(if u.ratio(1, 8)? { *u.choose(&[from, to])? } else { small })
        }
        Kind::Octal(to) => Item::Number(u.int_in_range(0..=to)?),
        Kind::Word(words) => Item::Word(u.choose(&words())?),
        Kind::Literal(word) => Item::Word(word),
    })
}

fn text(u: &mut Unstructured<'_>) -> Result<Bytes> {
    Ok(match u.int_in_range(0..=3)? {
        0 => Bytes(u.arbitrary::<[u8; 3]>()?.to_vec()),
        1 => Bytes::from(*u.choose(&["user.x", "hello", "/f (deleted)", ""])?),
        _ => Bytes::from(*u.choose(NAMES)?),
    })
}

fn place(u: &mut Unstructured<'_>, objects: &[ObjectName]) -> Result<Place> {
    let base = if u.ratio(1, 4)? { Some(u.choose(objects)?.clone()) } else { None };
    let length = u.int_in_range(usize::from(base.is_none())..=3)?;
    let names: Result<Vec<&[u8]>> = (0..length)
        .map(|_| match u.int_in_range(0..=15)? {
            0 => Ok(b"..".as_slice()),
            1 => Ok(b".".as_slice()),
            2..=5 => u.choose(NAMES).copied(),
            _ => u.choose(&NAMES[..6]).copied(),
        })
        .collect();
    Ok(Place { base, path: Bytes(names?.join(&b'/')) })
}
