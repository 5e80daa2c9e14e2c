//! Which programs a campaign runs: the N-th of a seed is always the same, as long as the corpus is.

use std::ops::Range;

use arbitrary::Unstructured;
use scenarios::Program;
use scenarios::live::{self, Terms};
use scenarios::program::{Filesystem, Step};

/// How many bytes a program is drawn from.
const BYTES: usize = 4096;
/// So many of 256 may be as long as the terms allow; the others have no more than `SHORT` steps and what ends them.
const LONG: u8 = 32;
const SHORT: usize = 14;
/// So many of 256 hold nothing that is detached, and so many may hold what nobody can restore: the latter run alone.
const VISIBLE: u8 = 12;
const LOST: u8 = 4;
/// What is in memory.
const MEMORY: &[Filesystem] = &[Filesystem::Tmpfs, Filesystem::Ramfs];
/// A program that is no use is drawn again so often.
const TRIES: usize = 20;

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What the machine can do.
    pub terms: Terms,
    /// So many of 256 programs may use disks, which few can at a time.
    pub disks: u8,
    /// So many of 256 programs may have filesystems in memory, which criu saves with the help of three programs each.
    pub memory: u16,
    /// So many of 256 programs may need a process of their own, in which a program takes ten times as long as among others.
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

/// The program with this number, from nothing or from two earlier ones; none when nothing of use came in a few tries.
pub fn program(seed: u64, number: u64, parents: &Parents, wanted: &Wanted) -> Option<Program> {
    let mut random = fastrand::Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut bytes = [0; BYTES];
    let shares = random.u8(..) >= wanted.alone;
    let disks = wanted.terms.disks && random.u8(..) < wanted.disks;
    let in_memory = u16::from(random.u8(..)) < wanted.memory;
    let without = if in_memory { wanted.terms.without } else { wanted.terms.without.and(MEMORY) };
    let steps = if random.u8(..) < LONG { wanted.terms.steps } else { wanted.terms.steps.min(SHORT) };
    let controls = wanted.controls || random.u8(..) < VISIBLE;
    let may_be_lost = !controls && random.u8(..) < LOST;
    let wanted = &Wanted {
        terms: Terms { steps, detaches: !controls, shares, disks, without, ..wanted.terms },
        controls,
        ..*wanted
    };
    for _ in 0..TRIES {
        random.fill(&mut bytes);
        let mut u = Unstructured::new(&bytes);
        let drawn = match parents {
            Some((one, other)) => live::mutate(&mut u, one, other, &wanted.terms),
            None => live::program(&mut u, &wanted.terms),
        };
        let Ok(program) = drawn else { continue };
        let program = if wanted.controls { control(&mut u, &program, &wanted.terms) } else { program };
        if is_of_use(&program, wanted, may_be_lost) {
            return Some(program);
        }
    }
    None
}

/// The program without its lazy unmounts.
fn control(u: &mut Unstructured<'_>, program: &Program, terms: &Terms) -> Program {
    let mut without = program.clone();
    without.steps.retain(|line| !matches!(line.step, Step::Unmount { lazy: true, .. }));
    let without = live::repair_within(&without, terms);
    if terms.assertions { live::assert(u, &without, terms).unwrap_or(without) } else { without }
}

/// Whether it holds something to look at, and can be restored, or nobody can and that is wanted.
pub(super) fn is_of_use(program: &Program, wanted: &Wanted, may_be_lost: bool) -> bool {
    let Ok(model) = scenarios::model::Model::run(program) else { return false };
    let opens = program.steps.iter().any(|line| matches!(line.step, Step::Open { .. } | Step::Chdir { .. }));
    let is_certain = model.is_restorable() || may_be_lost && model.is_irrecoverable();
    opens && is_certain && wanted.controls != model.survey().has_detached
}
