//! Every program of a small vocabulary, shortest first, each once: what is not drawn at random
//! cannot be missed.
//!
//! The vocabulary (`vocabulary.rs`): mounts of tmpfs, `bind`, `umount-lazy`, `mkdir`, `write`,
//! `symlink`, `link`, `rename`, `unlink`, `rmdir`, `chdir`, `dup`, and `open` for reading, for
//! both, as a directory, with `path`. Places start at the top directory and have at most two names,
//! of which there are three. Everything else is for campaigns that draw.
//!
//! Programs are extended step by step, and what they lead to is compared. So not every text is
//! handed over. Left out are, with all that would follow on them:
//!
//! - *Names in another order.* A step may use the names that the state has and one more. Programs
//!   that differ by a renaming lead to states that do. Lost is what depends on which name sorts
//!   first.
//! - *Steps that lead to a state that was there before*, in a program that is not longer: orders of
//!   steps that do not depend on each other, ways round, whatever changes nothing. The state is the
//!   model's with the flags of every open, up to a renaming of the names and of the objects in
//!   their order (`model/fingerprint.rs`); the order in which mounts were made belongs to it.
//!   Whatever follows on one follows on the other. Lost is what a kernel remembers of the way and
//!   the model does not: times, inode numbers, positions in a directory.
//! - *`close`.* It undoes an `open` or a `dup`, and nothing in the vocabulary needs one to be open
//!   for a while; so the state after it was there before. Nothing is lost.
//! - *What cannot be restored:* an object on a detached mount of a filesystem that no mount shows
//!   any more. No step of the vocabulary brings one back. Lost are programs that must be refused.
//! - *What cannot be worth it within the depth:* before something is detached there must be a
//!   mount, an object on it and a lazy unmount, a step for each. Nothing is lost.
//!
//! Programs that hold nothing, and those that have nothing detached (or, where that is wanted,
//! something), are gone on with but not handed over. Those of one depth come before all others in
//! any greater depth, in the same order.

use std::collections::HashSet;

use super::vocabulary::{NAMES, Vocabulary};
use super::{Limits, ProgramBuilder};
use crate::model::Survey;
use crate::program::{Line, ObjectName, Program, Step};

/// The programs, one after the other. It holds eight bytes for every state that it met, no
/// programs, and goes through the shorter ones once more for every length.
pub struct Exhaustive {
    depth: usize,
    visible: bool,
    root: Node,
    /// How long the programs are that are made now.
    length: usize,
    stack: Vec<Tried>,
    /// The states met, by their fingerprints.
    met: HashSet<u64>,
    /// For each length, whether each step that was tried was gone on with.
    kept: Vec<Answers>,
}

/// A program under way.
#[derive(Clone)]
struct Node {
    builder: ProgramBuilder,
    /// Its objects, each with the flags that it was opened with.
    objects: Vec<(ObjectName, u64)>,
    /// Which names are in its state.
    used: u8,
}

/// A program and what of the steps after it is still to be tried.
struct Tried {
    node: Node,
    left: std::vec::IntoIter<Step>,
}

/// Answers, in the order in which they were given.
#[derive(Default)]
struct Answers {
    bits: Vec<u64>,
    length: usize,
    next: usize,
}

impl Answers {
    fn push(&mut self, bit: bool) {
        if self.length.is_multiple_of(64) {
            self.bits.push(0);
        }
        self.bits[self.length / 64] |= u64::from(bit) << (self.length % 64);
        self.length += 1;
    }

    fn take(&mut self) -> bool {
        self.next += 1;
        self.bits[(self.next - 1) / 64] >> ((self.next - 1) % 64) & 1 == 1
    }
}

impl Exhaustive {
    /// All programs with 1 to `depth` steps that hold something on a detached mount; where
    /// `visible` is set, those that hold something and detach nothing. Of the limits count those
    /// that forbid steps.
    pub fn new(depth: usize, limits: &Limits, visible: bool) -> Self {
        let root = Node { builder: ProgramBuilder::new(limits), objects: Vec::new(), used: 0 };
        let met = HashSet::from([root.fingerprint().number]);
        let kept = (0..=depth).map(|_| Answers::default()).collect();
        Exhaustive { depth, visible, root, length: 0, stack: Vec::new(), met, kept }
    }

    fn descend(&mut self, node: Node, survey: &Survey) {
        let left = self.depth - node.builder.len();
        let vocabulary = Vocabulary::new(survey, node.used);
        let mut steps = match self.lacks(&node, survey) {
            // Nothing else makes up for what it lacks.
            1 if left == 1 && !self.visible => vocabulary.lazy_unmounts(),
            _ => vocabulary.steps(&node.builder.clone().name("fd"), node.objects.iter().map(|(name, _)| name)),
        };
        if self.visible {
            steps.retain(|step| !matches!(step, Step::Unmount { .. }));
        }
        self.stack.push(Tried { node, left: steps.into_iter() });
    }

    /// How many more steps a program needs at least before it is handed over.
    fn lacks(&self, node: &Node, survey: &Survey) -> usize {
        match () {
            () if self.visible => usize::from(node.objects.is_empty() && !node.builder.model.has_moved()),
            () if survey.has_detached => 0,
            () if survey.mounts.iter().any(|mount| mount.objects > 0) => 1,
            () if survey.mounts.is_empty() => 3,
            () => 2,
        }
    }

    /// Whether a program leads to something new that is worth it within the depth, and whether it
    /// is to be handed over.
    fn judge(&mut self, node: &mut Node) -> (bool, bool) {
        let model = &node.builder.model;
        if model.is_irrecoverable() {
            return (false, false);
        }
        let lacks = self.lacks(node, &model.survey());
        if node.builder.len() + lacks > self.depth {
            return (false, false);
        }
        let fingerprint = node.fingerprint();
        node.used = fingerprint.used;
        let is_new = self.met.insert(fingerprint.number);
        (is_new, is_new && lacks == 0)
    }
}

impl Iterator for Exhaustive {
    type Item = Program;

    fn next(&mut self) -> Option<Program> {
        loop {
            let Some(tried) = self.stack.last_mut() else {
                if self.length >= self.depth {
                    return None;
                }
                self.length += 1;
                self.kept.iter_mut().for_each(|kept| kept.next = 0);
                let root = self.root.clone();
                let survey = root.builder.model.survey();
                self.descend(root, &survey);
                continue;
            };
            let Some(step) = tried.left.next() else {
                self.stack.pop();
                continue;
            };
            let length = tried.node.builder.len() + 1;
            // Shorter ones were judged when they were the longest.
            if length < self.length {
                if self.kept[length].take() {
                    let mut node = tried.node.after(&step).expect("the same step was taken before");
                    node.used = node.fingerprint().used;
                    let survey = node.builder.model.survey();
                    self.descend(node, &survey);
                }
                continue;
            }
            let mut next = tried.node.after(&step);
            let (is_kept, is_wanted) = next.as_mut().map_or((false, false), |node| self.judge(node));
            if length < self.depth {
                self.kept[length].push(is_kept);
            }
            if let Some(node) = next.filter(|_| is_wanted) {
                return Some(node.builder.program);
            }
        }
    }
}

impl Node {
    /// The program with one more step, if it can be done.
    fn after(&self, step: &Step) -> Option<Node> {
        let (model, checker) = self.builder.after(step)?;
        let (mut program, mut objects) = (self.builder.program.clone(), self.objects.clone());
        program.steps.push(Line { number: program.steps.len() + 1, step: step.clone() });
        match step {
            Step::Open { name, flags, .. } => {
                objects.push((name.clone(), flags.iter().fold(1, |bits, flag| bits | 2 << *flag as u64)));
            }
            Step::Dup { name, of, .. } => objects.push((name.clone(), self.flags(of))),
            _ => {}
        }
        let builder = ProgramBuilder { model, checker, program, made: objects.len(), ..self.builder };
        Some(Node { builder, objects, used: self.used })
    }

    fn flags(&self, object: &ObjectName) -> u64 {
        self.objects.iter().find(|(name, _)| name == object).map_or(0, |(_, flags)| *flags)
    }

    fn fingerprint(&self) -> crate::model::Fingerprint {
        self.builder.model.fingerprint(NAMES, |object| self.flags(object))
    }
}
