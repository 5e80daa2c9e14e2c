//! Which programs may well fail as a whole, as others did that are filed, where no capability
//! explains it ([`super::learn`]). A campaign that knows such a mistake of its subject would else
//! meet it all the time: each such program costs a pack. What is filed of programs that are
//! restored wrongly costs nothing and is not learned.
//!
//! Learned while the campaign runs, by logistic regression with a step size of its own for each
//! weight (AdaGrad), from the spelling of a program alone: its verbs with their words, its names,
//! and which step uses what an earlier one made. Nothing of it is kept: a campaign that goes on
//! learns again in a minute.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use scenarios::grammar::{Item, decompose};
use scenarios::program::{ObjectName, Place};
use scenarios::{Program, Step};

/// Weights; traits that share one by chance do little harm.
const WEIGHTS: usize = 1 << 14;
/// The first step of a weight.
const STEP: f32 = 0.3;

/// A program is at risk when it is as likely as this to fail as a whole, as others did: that costs
/// what thirty programs cost.
pub const HIGH: f32 = 0.04;
/// What every program has; its weight is how likely it is in general, and that is little where
/// nothing was learned yet.
const ANY: &str = "any";
const LITTLE: f32 = -4.0;

/// What was learned.
#[derive(Clone, Debug)]
pub struct Risk {
    weights: Vec<f32>,
    squares: Vec<f32>,
}

/// What a program is like, as places of weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traits(BTreeSet<usize>);

impl Default for Risk {
    fn default() -> Self {
        let mut weights = vec![0.0; WEIGHTS];
        weights[place_of(ANY)] = LITTLE;
        Risk { weights, squares: vec![1.0; WEIGHTS] }
    }
}

impl Risk {
    /// What a program did: it failed as a whole, or it did not.
    pub fn learn(&mut self, traits: &Traits, fails: bool) {
        let error = self.probability(traits) - if fails { 1.0 } else { 0.0 };
        for &at in &traits.0 {
            self.squares[at] += error * error;
            self.weights[at] -= STEP * error / self.squares[at].sqrt();
        }
    }

    /// How likely a program is to fail as a whole.
    pub fn probability(&self, traits: &Traits) -> f32 {
        let sum: f32 = traits.0.iter().map(|&at| self.weights[at]).sum();
        1.0 / (1.0 + (-sum).exp())
    }
}

impl Traits {
    /// Those of a program.
    pub fn of(program: &Program) -> Self {
        let mut all = Traits(BTreeSet::new());
        all.add(ANY);
        let mut places: Vec<(Place, (&str, usize))> = Vec::new();
        let mut makers: HashMap<ObjectName, &str> = HashMap::new();
        for line in program.steps.iter().filter(|line| !matches!(line.step, Step::Assert { .. })) {
            let step = decompose(&line.step);
            let verb = step.form.verb();
            all.add(verb);
            for (slot, items) in step.slots.iter().enumerate() {
                for item in items {
                    match item {
                        Item::Word(word) => all.add((verb, word)),
                        Item::Object(name) => all.add((makers.get(name), "makes it for", verb)),
                        Item::Place(place) => {
                            all.place(place, (verb, slot), &places, &makers);
                            places.push((place.clone(), (verb, slot)));
                        }
                        Item::Text(_) | Item::Number(_) | Item::Process(_) => {}
                    }
                }
            }
            makers.extend(step.name.map(|name| (name, verb)));
        }
        all
    }

    fn place(
        &mut self,
        place: &Place,
        here: (&str, usize),
        earlier: &[(Place, (&str, usize))],
        makers: &HashMap<ObjectName, &str>,
    ) {
        if let Some(base) = &place.base {
            self.add((makers.get(base), "is the base for", here));
        }
        for name in place.path.0.split(|&byte| byte == b'/') {
            self.add((name, "is in a path"));
        }
        for (other, there) in earlier.iter().filter(|(other, _)| other.base == place.base) {
            match place.path.0.strip_prefix(other.path.as_slice()) {
                Some([]) => self.add((there, "same place", here)),
                Some([b'/', ..]) => self.add((there, "above", here)),
                _ => {}
            }
        }
    }

    fn add(&mut self, what: impl Hash) {
        self.0.insert(place_of(what));
    }
}

fn place_of(what: impl Hash) -> usize {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    (hasher.finish() % WEIGHTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use arbitrary::Unstructured;
    use scenarios::generate::{self, Limits};

    use super::*;

    fn programs(seed: u64, count: usize) -> Vec<Program> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut bytes = [0; 2048];
        let mut draw = || {
            random.fill(&mut bytes);
            generate::program(&mut Unstructured::new(&bytes), &Limits { steps: 16, ..Limits::default() })
                .expect("drawn")
        };
        (0..count).map(|_| draw()).collect()
    }

    fn has(program: &Program, verb: &str) -> bool {
        program.steps.iter().any(|line| decompose(&line.step).form.verb() == verb)
    }

    #[test]
    fn what_programs_of_a_finding_have_in_common_is_learned() {
        let mut risk = Risk::default();
        let shows = |program: &Program| has(program, "bind") && !has(program, "write");
        for program in programs(1, 600) {
            risk.learn(&Traits::of(&program), shows(&program));
        }
        let (mut right, mut wrong) = ([0, 0], [0, 0]);
        for program in programs(2, 400) {
            let shows = shows(&program);
            let said = (risk.probability(&Traits::of(&program)) > HIGH) == shows;
            (if said { &mut right } else { &mut wrong })[usize::from(shows)] += 1;
        }
        assert!(right[1] > 4 * wrong[1] && right[0] > 4 * wrong[0], "right {right:?}, wrong {wrong:?}");
    }

    #[test]
    fn where_nothing_fails_nothing_is_at_risk() {
        let mut risk = Risk::default();
        let all: Vec<Traits> = programs(3, 50).iter().map(Traits::of).collect();
        all.iter().for_each(|traits| risk.learn(traits, false));
        assert!(!all.iter().any(|traits| risk.probability(traits) > HIGH));
        assert!(Risk::default().probability(&all[0]) <= HIGH, "nothing is known yet");
    }

    #[test]
    fn traits_are_of_steps_and_not_of_assertions() {
        let traits = |text: &str| Traits::of(&scenarios::text::program(text).expect("a program"));
        let short = traits("mount tmpfs a\nwrite a/f \"x\"\nfd0 = open a/f\n");
        assert_eq!(short, traits("mount tmpfs a\nwrite a/f \"y\"\nfd0 = open a/f\nassert fd0 visible\n"));
        assert_ne!(short, traits("mount tmpfs a\nwrite a/f \"x\"\nfd0 = open a/f rdwr\n"));
        assert_ne!(short, traits("mount tmpfs a\nwrite f \"x\"\nfd0 = open f\n"));
    }
}
