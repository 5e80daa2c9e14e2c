//! One program from another: a step inserted, removed, moved, or with another argument, or two
//! programs in one. What the model refuses afterwards is dropped, so that the result lives.

use arbitrary::{Result, Unstructured};

use super::{Limits, ProgramBuilder, Swarm, assert, claims, ending, needs, repair, repair_within, repaired};
use crate::grammar::{Item, decompose};
use crate::program::{Line, ObjectName, Place};
use crate::{Program, Step};

/// A mutation is tried so often until something came of it.
const TRIES: usize = 4;

/// Another program, made from `program` and now and then from `other`.
///
/// # Errors
/// Errors of the byte source. Running out of bytes is not an error.
pub fn mutate(u: &mut Unstructured<'_>, program: &Program, other: &Program, limits: &Limits) -> Result<Program> {
    let before = repair_within(program, limits);
    let mut after = ProgramBuilder::new(limits);
    for _ in 0..TRIES {
        let steps: Vec<Step> = before.steps.iter().map(|line| line.step.clone()).collect();
        let steps = match u.int_in_range(0..=9)? {
            0..=3 => inserted(u, steps, limits)?,
            4 | 5 => removed(u, steps)?,
            6 => swapped(u, steps)?,
            7 | 8 => changed(u, steps)?,
            _ => spliced(u, &steps, &repair(other))?,
        };
        after = repaired(ProgramBuilder::new(limits), &of(steps).steps, limits.steps);
        if after.program != before && after.len() > 0 {
            break;
        }
    }
    if !u.ratio(1, 16)? {
        ending::ending(u, &mut after, &Swarm::all(limits), limits)?;
    }
    if limits.assertions {
        claims::add(u, &mut after)?;
    }
    Ok(after.program)
}

/// The first steps of one program and the last of another, as one that lives.
///
/// # Errors
/// Errors of the byte source. Running out of bytes is not an error.
pub fn splice(u: &mut Unstructured<'_>, one: &Program, other: &Program, limits: &Limits) -> Result<Program> {
    let steps: Vec<Step> = repair(one).steps.into_iter().map(|line| line.step).collect();
    let mut after = repair(&of(spliced(u, &steps, &repair(other))?));
    after.steps.truncate(limits.steps);
    if limits.assertions { assert(u, &after, limits) } else { Ok(after) }
}

/// Bytes of a seed (splitmix64), as many as a program needs: for those who have a number and no
/// fuzzer.
pub fn noise(mut seed: u64) -> Vec<u8> {
    let mut next = || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    (0..512).flat_map(|_| next().to_le_bytes()).collect()
}

fn of(steps: Vec<Step>) -> Program {
    let line = |(index, step)| Line { number: index + 1, step };
    Program::of(steps.into_iter().enumerate().map(line).collect())
}

/// A step that fits at a place in between, with what it needs.
fn inserted(u: &mut Unstructured<'_>, steps: Vec<Step>, limits: &Limits) -> Result<Vec<Step>> {
    let at = u.int_in_range(0..=steps.len())?;
    let mut builder = ProgramBuilder::new(limits);
    for step in &steps[..at] {
        builder.add(step);
    }
    // Names further down must stay free.
    builder.made = 100 + steps.len();
    while steps.iter().any(|step| decompose(step).name.is_some_and(|name| name.0.ends_with(&builder.made.to_string())))
    {
        builder.made += 1;
    }
    let swarm = Swarm::all(limits);
    let kind = swarm.kind(u)?;
    needs::step(u, &mut builder, &swarm, kind, at + 1)?;
    let mut out: Vec<Step> = builder.program.steps.into_iter().map(|line| line.step).collect();
    out.extend_from_slice(&steps[at..]);
    Ok(out)
}

fn removed(u: &mut Unstructured<'_>, mut steps: Vec<Step>) -> Result<Vec<Step>> {
    if !steps.is_empty() {
        let from = u.choose_index(steps.len())?;
        let count = if u.ratio(1, 4)? { u.int_in_range(1..=4)? } else { 1 };
        steps.drain(from..(from + count).min(steps.len()));
    }
    Ok(steps)
}

fn swapped(u: &mut Unstructured<'_>, mut steps: Vec<Step>) -> Result<Vec<Step>> {
    if steps.len() > 1 {
        let from = u.choose_index(steps.len())?;
        let step = steps.remove(from);
        let to = u.int_in_range(0..=steps.len())?;
        steps.insert(to, step);
    }
    Ok(steps)
}

/// One argument of a step, taken from another step of the program, or a word more or less.
fn changed(u: &mut Unstructured<'_>, mut steps: Vec<Step>) -> Result<Vec<Step>> {
    if steps.is_empty() {
        return Ok(steps);
    }
    let index = u.choose_index(steps.len())?;
    let mut parts = decompose(&steps[index]);
    let all: Vec<Item> = steps.iter().flat_map(|step| decompose(step).slots).flatten().collect();
    let slots: Vec<usize> = (0..parts.slots.len()).filter(|&slot| !parts.slots[slot].is_empty()).collect();
    if slots.is_empty() {
        return Ok(steps);
    }
    let slot = *u.choose(&slots)?;
    let place = u.choose_index(parts.slots[slot].len())?;
    let old = parts.slots[slot][place].clone();
    let alike: Vec<&Item> = all.iter().filter(|item| is_alike(item, &old)).collect();
    let new = match (&old, alike.is_empty()) {
        (Item::Word(_), _) => {
            let crate::grammar::Kind::Word(words) = parts.form.arguments[slot].kind else { return Ok(steps) };
            Item::Word(u.choose(&words())?)
        }
        (Item::Number(number), _) => Item::Number((number + u.int_in_range(0..=4)? - 2).max(0)),
        (_, false) => (*u.choose(&alike)?).clone(),
        _ => return Ok(steps),
    };
    parts.slots[slot][place] = new;
    let fits = within(&parts.form.arguments[slot], &parts.slots[slot][place]);
    if fits {
        steps[index] = parts.form.step(parts.name, parts.slots);
    }
    Ok(steps)
}

fn within(argument: &crate::grammar::Argument, item: &Item) -> bool {
    use crate::grammar::Kind;
    match (argument.kind, item) {
        (Kind::Number(from, to), Item::Number(number)) => (from..=to).contains(number),
        (Kind::Octal(to), Item::Number(number)) => (0..=to).contains(number),
        _ => true,
    }
}

fn is_alike(one: &Item, other: &Item) -> bool {
    std::mem::discriminant(one) == std::mem::discriminant(other)
}

/// The first steps of one and the last of the other, whose objects get names of their own.
fn spliced(u: &mut Unstructured<'_>, one: &[Step], other: &Program) -> Result<Vec<Step>> {
    let head = u.int_in_range(0..=one.len())?;
    let tail = u.int_in_range(0..=other.steps.len())?;
    let taken: Vec<ObjectName> = one[..head].iter().filter_map(|step| decompose(step).name).collect();
    let mut out = one[..head].to_vec();
    out.extend(other.steps[tail..].iter().map(|line| renamed(&line.step, &taken)));
    Ok(out)
}

/// The step with `-2` after each name of an object that is taken.
fn renamed(step: &Step, taken: &[ObjectName]) -> Step {
    let mut parts = decompose(step);
    let other =
        |name: &ObjectName| if taken.contains(name) { ObjectName(format!("{}-2", name.0)) } else { name.clone() };
    parts.name = parts.name.as_ref().map(other);
    for item in parts.slots.iter_mut().flatten() {
        match item {
            Item::Object(name) => *name = other(name),
            Item::Place(Place { base: Some(base), .. }) => *base = other(base),
            _ => {}
        }
    }
    parts.form.step(parts.name, parts.slots)
}
