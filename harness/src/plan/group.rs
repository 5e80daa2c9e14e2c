//! How much of the catalogue is run, and in how many ways, where the command line says no more.

use clap::ValueEnum;
use protocol::message::{Flavor, Lifecycle};
use scenarios::Scenario;
use scenarios::capability::{self, Base, Capability};
use scenarios::visible::is_control;
use std::collections::{BTreeSet, HashSet};

/// How much is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Group {
    /// Few scenarios that have something of everything: each family, each filesystem, each
    /// capability on each base
    Quick,
    /// Every scenario once
    #[default]
    Default,
    /// Every scenario in every flavor, the derived controls, and those of quick with every
    /// lifecycle that is not about criu's caller
    All,
}

/// What a scenario has that another may have, too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Trait {
    Family(String),
    Filesystem(String),
    Pair(Base, Option<Capability>),
}

impl Group {
    /// The derived controls are in it.
    pub fn has_controls(self) -> bool {
        self == Group::All
    }

    /// The flavors of a scenario.
    pub(super) fn flavors(self, scenario: &Scenario) -> &'static [Flavor] {
        if self == Group::All && !is_control(&scenario.name) { Flavor::ALL } else { &[Flavor::Ns] }
    }

    /// The lifecycles of one of quick, in flavor `ns`; `None` where it has its own ones. What
    /// criu's caller sees has a family of its own, and a changed tree says what is changed.
    pub(super) fn lifecycles(self, scenario: &Scenario) -> Option<Vec<Lifecycle>> {
        let is_of_all = |lifecycle: &Lifecycle| {
            lifecycle.has_a_subject() && !lifecycle.is_about_the_caller() && *lifecycle != Lifecycle::ChangedTree
        };
        let all = || Lifecycle::ALL.iter().copied().filter(is_of_all);
        (self == Group::All && scenario.requires.lifecycles.is_empty()).then(|| all().collect())
    }
}

/// Those of [`Group::Quick`]: each has something that no simpler one has. Derived controls are not
/// among them.
pub(super) fn telling(scenarios: &[Scenario]) -> HashSet<&str> {
    let mut ranked: Vec<_> = scenarios.iter().filter(|scenario| !is_control(&scenario.name)).collect();
    ranked.sort_by_key(|scenario| scenario.program.steps.len());
    let mut seen = BTreeSet::new();
    ranked.retain(|scenario| {
        let before = seen.len();
        seen.extend(traits(scenario));
        seen.len() > before
    });
    ranked.into_iter().map(|scenario| &*scenario.name).collect()
}

fn traits(scenario: &Scenario) -> BTreeSet<Trait> {
    let capability::Profile { bases, capabilities } = capability::profile(&scenario.program);
    let capabilities: Vec<_> = capabilities.into_iter().map(Some).chain([None]).collect();
    let pairs = bases.into_iter().flat_map(|base| capabilities.iter().map(move |&one| Trait::Pair(base, one)));
    let filesystems = scenario.program.filesystems().into_iter().map(Trait::Filesystem);
    pairs.chain(filesystems).chain([Trait::Family(scenario.family.clone())]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use crate::plan::Axes;

    fn scenario(name: &str, steps: &str) -> Scenario {
        let program = format!("mount tmpfs a\nwrite a/f \"x\"\nbind a b\n{steps}");
        Scenario { name: name.to_owned(), ..fixtures::requiring(name, "", &program) }
    }

    fn all() -> Vec<Scenario> {
        let open = "fd0 = open b/f rdwr\n";
        let detach = "umount-lazy b\nassert fd0 detached\n";
        vec![
            scenario("whole-bind/dup-again", &format!("{open}fd1 = dup fd0\nfd2 = dup fd0\n{detach}")),
            scenario("whole-bind/dup", &format!("{open}fd1 = dup fd0\n{detach}")),
            scenario("whole-bind/plain", &format!("{open}{detach}")),
            scenario("whole-bind/plain-again", &format!("{open}mkdir a/d\n{detach}")),
            scenario("whole-bind/plain+visible@x", &format!("{open}assert fd0 link \"/b/f\"\n")),
        ]
    }

    #[test]
    fn quick_has_the_simplest_of_each() {
        let (scenarios, axes) = (all(), Axes { group: Group::Quick, ..Axes::default() });
        let quick: Vec<_> = axes.combinations(&scenarios).iter().map(|(one, ..)| one.name.clone()).collect();
        assert_eq!(quick, ["whole-bind/dup", "whole-bind/plain"]);
    }

    #[test]
    fn all_has_every_flavor_and_the_telling_ones_every_lifecycle() {
        let scenarios = all();
        let count = |axes: Axes| {
            let mut trials = axes.combinations(&scenarios);
            trials.retain(|(scenario, ..)| scenario.name == "whole-bind/dup");
            trials.len()
        };
        let group = Group::All;
        let lifecycles = group.lifecycles(&scenarios[1]).expect("more than its own");
        assert!(lifecycles.contains(&Lifecycle::KilledRestore) && !lifecycles.contains(&Lifecycle::InputPipe));
        assert_eq!(count(Axes { group, ..Axes::default() }), lifecycles.len() + Flavor::ALL.len() - 1);
        let lifecycle = vec![Lifecycle::DumpRestore];
        assert_eq!(count(Axes { group, lifecycle, ..Axes::default() }), Flavor::ALL.len());
        assert_eq!(count(Axes { group, flavor: vec![Flavor::Host], ..Axes::default() }), 1);
        let controls = Axes { group, ..Axes::default() };
        let controls = controls.combinations(&scenarios).into_iter().filter(|(one, ..)| is_control(&one.name)).count();
        assert_eq!(controls, 1, "in flavor ns only");
    }
}
