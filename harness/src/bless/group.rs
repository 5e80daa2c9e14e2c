//! Results by their trials: scenarios that behave alike share an entry.

use std::collections::{BTreeMap, BTreeSet};

use protocol::message::Lifecycle;

use super::{Places, TrialResult};
use crate::judge::expectations::Expectation;
use crate::judge::range::Version;

/// Where a trial of a scenario ran.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Where {
    /// `ns`
    pub flavor: String,
    /// `dump-restore`
    pub lifecycle: String,
    /// `6.12`
    pub kernel: String,
    /// `debian:trixie`
    pub subject: String,
    /// `4.1.1`
    pub criu: Option<String>,
}

impl Where {
    /// Of a result. A kernel and a criu count as the numbers in their names.
    pub(super) fn of(result: &TrialResult) -> Self {
        let number = |text: &str| Version::find(text).map(|version| version.to_string());
        Self {
            flavor: result.trial.flavor.word().to_owned(),
            lifecycle: result.trial.lifecycle.word().to_owned(),
            kernel: number(&result.trial.kernel).unwrap_or_else(|| result.trial.kernel.clone()),
            subject: result.trial.subject.clone(),
            criu: result.criu.as_deref().and_then(number),
        }
    }
}

/// Scenarios with the same result in the same trials: every combination of the lists, no more.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    /// Their names.
    pub scenarios: Vec<String>,
    /// The places.
    pub places: BTreeSet<Where>,
}

impl Group {
    /// The values of one dimension.
    pub(super) fn values(&self, read: impl Fn(&Where) -> Option<&String>) -> Vec<String> {
        let all: BTreeSet<String> = self.places.iter().filter_map(|place| read(place).cloned()).collect();
        all.into_iter().collect()
    }

    /// Whether the places are all combinations of their values.
    fn is_product(&self) -> bool {
        let sizes = [
            self.values(|place| Some(&place.flavor)).len(),
            self.values(|place| Some(&place.lifecycle)).len(),
            self.values(|place| Some(&place.kernel)).len(),
            self.values(|place| Some(&place.subject)).len(),
            self.places.iter().map(|place| &place.criu).collect::<BTreeSet<_>>().len(),
        ];
        sizes.iter().product::<usize>() == self.places.len()
    }
}

/// Scenarios with the same places, and places that are a product, together.
pub(super) fn groups(places: &Places) -> Vec<Group> {
    let mut alike: BTreeMap<&BTreeSet<Where>, Vec<String>> = BTreeMap::new();
    for (scenario, places) in places {
        alike.entry(places).or_default().push(scenario.clone());
    }
    alike
        .into_iter()
        .flat_map(|(places, scenarios)| {
            let whole = Group { scenarios, places: places.clone() };
            if whole.is_product() {
                return vec![whole];
            }
            let alone = |place: &Where| Group { places: BTreeSet::from([place.clone()]), ..whole.clone() };
            places.iter().map(alone).collect()
        })
        .collect()
}

/// What an entry still says of the group's scenarios where no result has them: one part for each
/// dimension, flavor first.
pub(super) fn rest(entry: &Expectation, group: &Group, kernels: &[String]) -> Vec<Group> {
    let scope = &entry.scope;
    let listed = |own: &[String], all: &[&str]| -> Vec<String> {
        if own.is_empty() { all.iter().map(|word| (*word).to_owned()).collect() } else { own.to_vec() }
    };
    let within = |kernel: &String| {
        let version = Version::find(kernel);
        scope.kernel.is_empty()
            || version.is_some_and(|version| scope.kernel.iter().any(|range| range.contains(&version)))
    };
    let flavors = listed(&scope.flavor, &["ns", "host"]);
    let all: Vec<&str> =
        Lifecycle::ALL.iter().filter(|lifecycle| lifecycle.has_a_subject()).map(|lifecycle| lifecycle.word()).collect();
    let lifecycles = listed(&scope.lifecycle, &all);
    let kernels: Vec<String> = kernels.iter().filter(|kernel| within(kernel)).cloned().collect();
    let seen_flavors = group.values(|place| Some(&place.flavor));
    let seen_lifecycles = group.values(|place| Some(&place.lifecycle));
    let seen_kernels = group.values(|place| Some(&place.kernel));
    let subjects = group.values(|place| Some(&place.subject));
    let less = |all: &[String], results: &[String]| -> Vec<String> {
        all.iter().filter(|word| !results.contains(word)).cloned().collect()
    };
    let part = |flavors: &[String], lifecycles: &[String], kernels: &[String]| {
        let mut places = BTreeSet::new();
        for flavor in flavors {
            for lifecycle in lifecycles {
                for kernel in kernels {
                    for subject in &subjects {
                        places.insert(Where {
                            flavor: flavor.clone(),
                            lifecycle: lifecycle.clone(),
                            kernel: kernel.clone(),
                            subject: subject.clone(),
                            criu: None,
                        });
                    }
                }
            }
        }
        Group { scenarios: group.scenarios.clone(), places }
    };
    let parts = [
        part(&less(&flavors, &seen_flavors), &lifecycles, &kernels),
        part(&seen_flavors, &less(&lifecycles, &seen_lifecycles), &kernels),
        part(&seen_flavors, &seen_lifecycles, &less(&kernels, &seen_kernels)),
    ];
    parts.into_iter().filter(|part| !part.places.is_empty()).collect()
}
