//! What a campaign has learnt of its subject: which capabilities are broken, and which spellings
//! are at risk besides.

use std::collections::VecDeque;

use scenarios::Program;

use super::learn::{Avoid, Learned, Needs};
use super::risk::{Risk, Traits};

/// The last programs, from which the risk is learnt once more when other words are broken.
const REMEMBERED: usize = 2000;

/// A program that ran, as far as the risk is concerned.
#[derive(Debug)]
struct Ran {
    needs: Needs,
    traits: Traits,
    breaks: bool,
}

/// Both.
#[derive(Debug, Default)]
pub(super) struct Knowledge {
    learned: Learned,
    risk: Risk,
    avoid: Avoid,
    ran: VecDeque<Ran>,
}

impl Knowledge {
    /// What programs are drawn without.
    pub(super) fn avoid(&self) -> Avoid {
        self.avoid.clone()
    }

    /// How likely it is that a program fails as a whole.
    pub(super) fn risk(&self, program: &Program) -> f32 {
        self.risk.probability(&Traits::of(program))
    }

    /// A program failed or passed. One that `breaks` failed as a whole, in a way that is filed or
    /// crashes.
    pub(super) fn note(&mut self, program: &Program, failed: bool, breaks: bool) {
        let (needs, traits) = (Needs::of(program), Traits::of(program));
        let changed = self.learned.note(needs, failed);
        // What is broken explains these already.
        if self.avoid.hits(needs) == 0 {
            self.risk.learn(&traits, breaks);
        }
        if self.ran.len() >= REMEMBERED {
            self.ran.pop_front();
        }
        self.ran.push_back(Ran { needs, traits, breaks });
        if changed {
            self.avoid = self.learned.avoid();
            self.risk = Risk::default();
            let others = self.ran.iter().filter(|ran| self.avoid.hits(ran.needs) == 0);
            others.for_each(|ran| self.risk.learn(&ran.traits, ran.breaks));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(text: &str) -> Program {
        scenarios::text::program(text).expect("a program")
    }

    #[test]
    fn what_a_broken_word_explains_is_no_risk_of_its_spelling() {
        let subdir =
            program("mount tmpfs a\nmkdir a/d\nwrite a/d/f \"x\"\nbind a/d b\nfd0 = open b/f\numount-lazy b\n");
        let whole = program("mount tmpfs a\nmkdir a/d\nwrite a/d/f \"x\"\nbind a b\nfd0 = open b/d/f\numount-lazy b\n");
        let mut knowledge = Knowledge::default();
        (0..10).for_each(|_| knowledge.note(&subdir, true, true));
        let before = knowledge.risk(&whole);
        (0..40).for_each(|_| knowledge.note(&whole, false, false));
        (0..10).for_each(|_| knowledge.note(&subdir, true, true));
        assert_eq!(knowledge.avoid().words(), ["subdir"]);
        assert!(knowledge.risk(&whole) < 0.02 && before > 0.1, "{before} before, {}", knowledge.risk(&whole));
    }
}
