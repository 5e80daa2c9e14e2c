//! Which programs a campaign runs: the N-th of a seed is always the same, as long as the corpus is,
//! and what was learnt.
//!
//! What is known to be broken ([`super::learn`]) is taken out of a program that has it: a step at a
//! time is left out, and what hangs on it, until one is found without which the program is of use
//! and needs nothing that is broken.

use std::ops::Range;

use arbitrary::Unstructured;
use scenarios::Program;
use scenarios::generate::{self, Limits};
use scenarios::program::{Filesystem, Step};

use super::learn::{Avoid, Needs};

/// How many bytes a program is drawn from.
const BYTES: usize = 4096;
/// How many of 256 may be as long as the limits allow; the others have no more than `SHORT` steps
/// and what ends them.
const LONG: u8 = 32;
const SHORT: usize = 14;
/// How many of 256 programs hold nothing that is detached.
const VISIBLE: u8 = 12;
/// How many of 256 programs may hold what cannot be restored: these run alone.
const LOST: u8 = 4;
/// What is in memory.
const MEMORY: &[Filesystem] = &[Filesystem::Tmpfs, Filesystem::Ramfs];
/// How often a useless program is drawn again; the later ones have no parents, which may all
/// have what is broken.
const TRIES: usize = 20;
const TRIES_WITH_PARENTS: usize = 8;

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What the machine can do.
    pub limits: Limits,
    /// How many of 256 programs may use disks, which few can at a time.
    pub disks: u8,
    /// How many of 256 programs may have filesystems in memory, which criu saves with the help of
    /// three programs each.
    pub memory: u16,
    /// How many of 256 programs may need a process of their own, in which a program takes ten times
    /// as long as among others.
    pub alone: u8,
    /// Nothing is on a detached mount: what a criu can restore that knows nothing of them.
    pub controls: bool,
}

/// What a program is made from, if not from nothing.
pub type Parents = Option<(Program, Program)>;

/// Two of the corpus for every second number, as soon as there are some.
pub fn parents(seed: u64, numbers: Range<u64>, corpus: &[Program]) -> Vec<(u64, Parents)> {
    let mut random = fastrand::Rng::with_seed(seed.wrapping_add(numbers.start));
    let choose = |random: &mut fastrand::Rng| random.choice(corpus).cloned();
    let pair = |random: &mut fastrand::Rng| Some((choose(random)?, choose(random)?)).filter(|_| random.bool());
    numbers.map(|number| (number, pair(&mut random))).collect()
}

/// The program with this number, from nothing or from two earlier ones, without what is broken;
/// `None` when a few tries gave nothing useful.
pub fn program(seed: u64, number: u64, parents: &Parents, wanted: &Wanted, avoid: &Avoid) -> Option<Program> {
    let mut random = fastrand::Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut bytes = [0; BYTES];
    let shares = random.u8(..) >= wanted.alone;
    let disks = wanted.limits.disks && random.u8(..) < wanted.disks;
    let in_memory = u16::from(random.u8(..)) < wanted.memory;
    let without = if in_memory { wanted.limits.without } else { wanted.limits.without.and(MEMORY) };
    let steps = if random.u8(..) < LONG { wanted.limits.steps } else { wanted.limits.steps.min(SHORT) };
    let controls = wanted.controls || random.u8(..) < VISIBLE || avoid.is_all_detached();
    let may_be_lost = !controls && random.u8(..) < LOST;
    let wanted = &Wanted {
        limits: Limits { steps, detaches: !controls, shares, disks, without, ..wanted.limits },
        controls,
        ..*wanted
    };
    for tries in 0..TRIES {
        random.fill(&mut bytes);
        let mut u = Unstructured::new(&bytes);
        let drawn = match parents {
            Some((one, other)) if tries < TRIES_WITH_PARENTS => generate::mutate(&mut u, one, other, &wanted.limits),
            _ => generate::program(&mut u, &wanted.limits),
        };
        let Ok(program) = drawn else { continue };
        let program = if wanted.controls { control(&mut u, &program, &wanted.limits) } else { program };
        if !is_of_use(&program, wanted, may_be_lost) {
            continue;
        }
        match avoid.hits(Needs::of(&program)) {
            0 => return Some(program),
            hits => {
                if let Some(program) = mended(&program, hits, wanted, avoid, &mut random) {
                    return Some(asserted(&mut u, program, &wanted.limits));
                }
            }
        }
    }
    None
}

/// A program with that many broken words, without them: without a step and what hangs on it, or
/// without two.
fn mended(
    program: &Program,
    hits: usize,
    wanted: &Wanted,
    avoid: &Avoid,
    random: &mut fastrand::Rng,
) -> Option<Program> {
    let mut order: Vec<usize> = (0..program.steps.len()).collect();
    order.retain(|&at| !matches!(program.steps[at].step, Step::Assert { .. }));
    random.shuffle(&mut order);
    let mut best = None;
    for at in order {
        let mut without = program.clone();
        without.steps.remove(at);
        let without = generate::repair_within(&without, &wanted.limits);
        if !is_of_use(&without, wanted, false) {
            continue;
        }
        match avoid.hits(Needs::of(&without)) {
            0 => return Some(without),
            fewer if fewer < hits && best.as_ref().is_none_or(|(least, _)| fewer < *least) => {
                best = Some((fewer, without));
            }
            _ => {}
        }
    }
    let (fewer, program) = best?;
    mended(&program, fewer, wanted, avoid, random)
}

/// The program without its lazy unmounts.
fn control(u: &mut Unstructured<'_>, program: &Program, limits: &Limits) -> Program {
    let mut without = program.clone();
    without.steps.retain(|line| !matches!(line.step, Step::Unmount { lazy: true, .. }));
    let without = generate::repair_within(&without, limits);
    asserted(u, without, limits)
}

/// With assertions of what the model says, if the limits want some.
fn asserted(u: &mut Unstructured<'_>, program: Program, limits: &Limits) -> Program {
    if limits.assertions { generate::assert(u, &program, limits).unwrap_or(program) } else { program }
}

/// Whether it holds something to observe, and can be restored, or must be refused and that is
/// wanted.
pub(super) fn is_of_use(program: &Program, wanted: &Wanted, may_be_lost: bool) -> bool {
    let Ok(model) = scenarios::model::Model::run(program) else { return false };
    let opens = program.steps.iter().any(|line| matches!(line.step, Step::Open { .. } | Step::Chdir { .. }));
    let is_certain = model.is_restorable() || may_be_lost && model.is_irrecoverable();
    opens && is_certain && wanted.controls != model.survey().has_detached
}
