//! The map of what the catalogue must cover: axes with points, how many scenarios each point has,
//! and why it has none.
//!
//! A point is a question to the facts of a scenario ([`facts`](self)): its program carried out with
//! the model, its capabilities, its requirements. No scenario is named here, so a renamed one stays
//! on its points, and a new one is on all that it is about. A point without scenarios has a
//! [`Reason`], and a test fails when the reason is no longer true.
//!
//! What counts: a scenario that must be restored and holds something on a detached mount. Some
//! points ask for something else, and their names say so: a refusal, a mount of another namespace,
//! a control, a lifecycle or a flavor that the scenario can have.
//!
//! - `facts`: what points ask
//! - `filesystems`, `mounts`, `objects`, `names`, `surroundings`: the points
//! - `reason`: why a point has no scenario

mod facts;
mod filesystems;
mod mounts;
mod names;
mod objects;
mod reason;
mod surroundings;

use std::collections::BTreeSet;

use vocabulary::{Flavor, Lifecycle};

use crate::{Outcome, Scenario};
use facts::Facts;
pub use reason::Reason;

/// What a scenario must have to be on a point.
#[derive(Clone, Copy, Debug)]
enum Question {
    /// It must be restored, holds something on a detached mount, and this.
    Detached(fn(&Facts<'_>) -> bool),
    /// It must be restored, and this.
    Restored(fn(&Facts<'_>) -> bool),
    /// It must be refused, and this.
    Refused(fn(&Facts<'_>) -> bool),
    /// It can have a lifecycle that does this.
    Lifecycle(fn(Lifecycle) -> bool),
    /// It can have this flavor.
    Flavor(Flavor),
    /// The word that the reason says to be missing.
    MissingWord,
}

/// A point of an axis.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// What it is, unique on its axis.
    pub name: &'static str,
    /// Why it has no scenario.
    pub reason: Option<Reason>,
    question: Question,
}

/// Points that belong together.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    /// What they are about.
    pub name: &'static str,
    /// In the order of the map.
    pub points: &'static [Point],
}

/// All axes, in the order of the map.
pub const AXES: &[Axis] = &[
    filesystems::AXIS,
    mounts::MOUNT,
    mounts::PROPERTY,
    mounts::OUTSIDE,
    objects::OBJECT,
    objects::STATE,
    names::NAME,
    names::SHARING,
    names::RESOLUTION,
    surroundings::FLAVOR,
    surroundings::LIFECYCLE,
    surroundings::CRIU,
    surroundings::CONTROLS,
    surroundings::REFUSED,
];

/// A point with what covers it.
#[derive(Clone, Debug)]
pub struct Coverage {
    /// The axis that it is on.
    pub axis: &'static str,
    /// The point.
    pub point: Point,
    /// How many of the scenarios are on it.
    pub scenarios: usize,
    /// The scenarios' files, the one first that needs the least, each by its name without axes.
    pub files: Vec<String>,
}

/// Which of these scenarios are on which point.
pub fn coverage(scenarios: &[Scenario]) -> Vec<Coverage> {
    let mut facts: Vec<Facts<'_>> = scenarios.iter().map(Facts::of).collect();
    facts.sort_by_key(|facts| (facts.profile.capabilities.len(), facts.scenario.name.as_str()));
    let points = AXES.iter().flat_map(|axis| axis.points.iter().map(|point| (axis.name, *point)));
    points.map(|(axis, point)| point.covered_by(axis, &facts)).collect()
}

impl Point {
    /// Scenarios that must be restored and hold something on a detached mount.
    const fn detached(name: &'static str, question: fn(&Facts<'_>) -> bool) -> Self {
        Point { name, reason: None, question: Question::Detached(question) }
    }

    /// Scenarios that must be restored.
    const fn restored(name: &'static str, question: fn(&Facts<'_>) -> bool) -> Self {
        Point { name, reason: None, question: Question::Restored(question) }
    }

    /// Scenarios that must be refused.
    const fn refused(name: &'static str, question: fn(&Facts<'_>) -> bool) -> Self {
        Point { name, reason: None, question: Question::Refused(question) }
    }

    /// Scenarios that can have such a lifecycle.
    const fn lifecycle(name: &'static str, question: fn(Lifecycle) -> bool) -> Self {
        Point { name, reason: None, question: Question::Lifecycle(question) }
    }

    /// Scenarios that can have this flavor.
    const fn flavor(flavor: Flavor) -> Self {
        Point { name: flavor.word(), reason: None, question: Question::Flavor(flavor) }
    }

    /// A point that waits for a word of the language, or of the command line.
    const fn waits(name: &'static str, reason: Reason) -> Self {
        Point { name, reason: Some(reason), question: Question::MissingWord }
    }

    /// The same point, with why it has no scenario.
    const fn without(self, reason: Reason) -> Self {
        Point { reason: Some(reason), ..self }
    }

    fn covered_by(self, axis: &'static str, facts: &[Facts<'_>]) -> Coverage {
        let on_it: Vec<&Facts<'_>> = facts.iter().filter(|facts| self.is_met_by(facts)).collect();
        let mut files: Vec<String> = Vec::new();
        let mut known = BTreeSet::new();
        for facts in &on_it {
            let file = facts.scenario.name.split('@').next().unwrap_or_default();
            if known.insert(file) {
                files.push(file.to_owned());
            }
        }
        Coverage { axis, point: self, scenarios: on_it.len(), files }
    }

    fn is_met_by(&self, facts: &Facts<'_>) -> bool {
        let restored = facts.scenario.outcome == Outcome::Restored;
        match self.question {
            Question::Detached(question) => restored && facts.is_detached() && question(facts),
            Question::Restored(question) => restored && question(facts),
            Question::Refused(question) => !restored && question(facts),
            Question::Lifecycle(question) => facts.lifecycles().any(question),
            Question::Flavor(flavor) => facts.flavors().any(|other| other == flavor),
            Question::MissingWord => self.reason.is_some_and(|reason| reason.is_word_used_by(facts)),
        }
    }

    /// Whether a scenario with this lifecycle is on the point for that alone.
    pub fn is_about(&self, lifecycle: Lifecycle) -> bool {
        matches!(self.question, Question::Lifecycle(question) if question(lifecycle))
    }
}

impl Coverage {
    /// What can be done about it.
    pub fn status(&self) -> Status {
        match self.point.reason {
            _ if self.scenarios > 0 => Status::Covered,
            Some(reason) if !reason.is_expressible() => Status::NotExpressible,
            _ => Status::Without,
        }
    }
}

/// Whether a point has scenarios, and could have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// There are scenarios.
    Covered,
    /// There is none, and it could be written.
    Without,
    /// No scenario can say it yet.
    NotExpressible,
}

impl Status {
    /// The word in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Status::Covered => "covered",
            Status::Without => "without",
            Status::NotExpressible => "not-expressible",
        }
    }
}
