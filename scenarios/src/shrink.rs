//! From a program that shows something to a short one that still shows it: delta debugging over the
//! steps, then over their arguments, until nothing can be left out any more.
//!
//! [`shrink`] is the loop: its caller decides what a program shows, how it finds out, and when it
//! has seen enough. [`Shrinker`] proposes and learns. Both give the same for the same answers.
//!
//! Every candidate is valid. Where the model can follow the program, the steps that cannot be done
//! any more when others are gone are dropped with them; where it cannot, only the checker is asked.
//! Every step to a smaller program lowers [`weight`], so it ends. Assertions are dropped at once;
//! `generate::assert` makes new ones.
//!
//! The order is: chunks of steps, halves first, then single steps, then arguments and names. No
//! candidate is proposed twice. Answers may come late, and for many candidates at a time.

mod names;
mod simpler;

use std::collections::{HashSet, VecDeque};

use crate::check::Checker;
use crate::model::Model;
use crate::program::{Filesystem, Line};
use crate::text::print_step;
use crate::{Program, Step, generate};

/// What a shrinking came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shrunk {
    /// The smallest program that was found.
    pub program: Program,
    /// How many programs were tried.
    pub tried: usize,
    /// Nothing is left to try; false when the budget ended first.
    pub minimal: bool,
}

/// The smallest program that `shows` it. The given program must show it. `may_try` decides before
/// each question, from how many were asked, whether there is time for another one.
pub fn shrink(program: &Program, may_try: impl Fn(usize) -> bool, mut shows: impl FnMut(&Program) -> bool) -> Shrunk {
    let mut shrinker = Shrinker::new(program);
    let mut tried = 0;
    while may_try(tried) {
        let Some(candidate) = shrinker.propose() else {
            return Shrunk { program: shrinker.best, tried, minimal: true };
        };
        tried += 1;
        if shows(&candidate) {
            shrinker.accept(candidate);
        }
    }
    Shrunk { program: shrinker.best, tried, minimal: false }
}

/// What is varied at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    /// All assertions go.
    Assertions,
    /// So many steps in a row go.
    Remove(usize),
    /// Arguments get simpler.
    Arguments,
}

/// Proposes smaller programs, one after the other.
#[derive(Clone, Debug)]
pub struct Shrinker {
    best: Program,
    /// The model can follow the program.
    followed: bool,
    pass: Pass,
    /// Something was accepted since steps were last removed one by one.
    progress: bool,
    queue: VecDeque<Program>,
    proposed: HashSet<String>,
}

impl Shrinker {
    /// Starts with a program that shows it.
    pub fn new(program: &Program) -> Self {
        let mut shrinker = Shrinker {
            best: program.clone(),
            followed: Model::run(program).is_ok(),
            pass: Pass::Assertions,
            progress: false,
            queue: VecDeque::new(),
            proposed: HashSet::from([text(program)]),
        };
        shrinker.fill();
        shrinker
    }

    /// The smallest program so far.
    pub fn best(&self) -> &Program {
        &self.best
    }

    /// A smaller program to try; `None` when there is nothing left to try.
    pub fn propose(&mut self) -> Option<Program> {
        loop {
            while let Some(candidate) = self.queue.pop_front() {
                let lighter = weight(&candidate) < weight(&self.best);
                if lighter && self.proposed.insert(text(&candidate)) {
                    return Some(candidate);
                }
            }
            self.pass = self.next_pass()?;
            self.fill();
        }
    }

    /// This candidate shows it too: from here on it goes.
    pub fn accept(&mut self, candidate: Program) {
        if weight(&candidate) < weight(&self.best) {
            self.best = candidate;
            self.progress = true;
            self.fill();
        }
    }

    fn next_pass(&mut self) -> Option<Pass> {
        let length = self.best.steps.len();
        match self.pass {
            Pass::Assertions => Some(Pass::Remove(length.div_ceil(2).max(1))),
            Pass::Remove(1) => {
                self.progress = false;
                Some(Pass::Arguments)
            }
            Pass::Remove(size) => Some(Pass::Remove(size.min(length).div_ceil(2).max(1))),
            Pass::Arguments if self.progress => Some(Pass::Remove(1)),
            Pass::Arguments => None,
        }
    }

    fn fill(&mut self) {
        let steps = &self.best.steps;
        let candidates: Vec<Program> = match self.pass {
            Pass::Assertions => {
                let is_action = |line: &&Line| !matches!(line.step, Step::Assert { .. });
                vec![self.best.with_steps(steps.iter().filter(is_action).cloned().collect())]
            }
            // From the end: what comes last needs what came before.
            Pass::Remove(size) => {
                let starts = (0..steps.len()).step_by(size).rev();
                let without = |start: usize| {
                    let end = (start + size).min(steps.len());
                    self.best.with_steps([&steps[..start], &steps[end..]].concat())
                };
                starts.map(without).collect()
            }
            Pass::Arguments => simpler::programs(&self.best),
        };
        self.queue = candidates.iter().map(|candidate| self.mend(candidate)).collect();
    }

    /// Without the steps that cannot be done.
    fn mend(&self, program: &Program) -> Program {
        if self.followed && self.pass != Pass::Assertions {
            return generate::repair(program);
        }
        let mut checker = Checker::new();
        let mut mended = self.best.with_steps(Vec::new());
        for line in &program.steps {
            let mut next = checker.clone();
            if next.step(&line.step).is_empty() {
                checker = next;
                mended.steps.push(Line { number: mended.steps.len() + 1, step: line.step.clone() });
            }
        }
        mended
    }
}

fn text(program: &Program) -> String {
    crate::text::print_program(program)
}

/// How heavy a program is: its steps, then what a reader has to take in. Less is better.
pub fn weight(program: &Program) -> (usize, usize) {
    let cost = |line: &Line| {
        let unusual = match &line.step {
            Step::Mount { filesystem: Filesystem::Tmpfs, .. } => 0,
            // The shortest name is not the simplest filesystem.
            Step::Mount { .. } | Step::MountAgain { .. } | Step::Overlay { .. } => 20,
            _ => 0,
        };
        print_step(&line.step).len() + unusual
    };
    (program.steps.len(), program.steps.iter().map(cost).sum())
}
