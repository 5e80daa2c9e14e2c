//! The order of what trials teach, so that the causes of failures stand after the first seconds and
//! a run that was broken off has an answer.
//!
//! What is visible comes first, since a subject that breaks ordinary files fails everything. Then
//! come scenarios that need a base alone or one capability beside it, then pairs, then more. Among
//! those that need as much, each profile comes once before any comes a second time.

use std::collections::{BTreeMap, HashMap};

use scenarios::capability::{Profile, profile};

use super::Task;

/// Puts tasks in that order; what teaches as much stays as it was.
pub fn teaching_first(tasks: Vec<Task>) -> Vec<Task> {
    let mut profiles: HashMap<String, Profile> = HashMap::new();
    let mut occurrences: BTreeMap<Profile, usize> = BTreeMap::new();
    let mut ranked: Vec<_> = tasks
        .into_iter()
        .map(|task| {
            let name = task.scenario.name.clone();
            let profile = profiles.entry(name).or_insert_with(|| profile(&task.scenario.program)).clone();
            let needs = profile.bases.len() + profile.capabilities.len();
            let is_detached = profile.is_detached();
            let before = occurrences.entry(profile).or_default();
            *before += 1;
            ((is_detached, needs, *before), task)
        })
        .collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, task)| task).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn task(name: &str, steps: &str) -> Task {
        fixtures::task(name, &format!("mount tmpfs a\nwrite a/f \"x\"\nbind a b\n{steps}"))
    }

    #[test]
    fn controls_then_one_capability_then_pairs_and_each_once_before_any_twice() {
        let open = "fd0 = open b/f rdwr\n";
        let detach = "umount-lazy b\nassert fd0 detached\n";
        let deleted = format!("{open}unlink b/f\n{detach}");
        let dup = format!("{open}fd1 = dup fd0\n{detach}");
        let both = format!("{open}fd1 = dup fd0\nunlink b/f\n{detach}");
        let tasks = vec![
            task("pair", &both),
            task("deleted", &deleted),
            task("deleted-again", &deleted),
            task("dup", &dup),
            task("alone", &format!("{open}{detach}")),
            task("control", &format!("{open}assert fd0 link \"/b/f\"\n")),
        ];
        let order = teaching_first(tasks);
        let names: Vec<&str> = order.iter().map(|task| task.trial.scenario.as_str()).collect();
        assert_eq!(names, ["control", "alone", "deleted", "dup", "deleted-again", "pair"]);
    }
}
