//! The most telling trials first: when time runs out, what was run says the most.
//!
//! First the controls, which stock CRIU passes or fails in known ways and where a mistake in ordinary things shows; then
//! one trial of each family, then the second of each, and so on.

use std::collections::HashMap;

use crate::run::Task;

/// Puts tasks in that order; what is equal stays as it was.
pub(super) fn telling_first(mut tasks: Vec<Task>) -> Vec<Task> {
    let mut seen: HashMap<(bool, String), usize> = HashMap::new();
    let mut rank = |task: &Task| {
        let name = task.trial.scenario.rsplit('/').next().unwrap_or_default();
        let control = name.starts_with("control");
        let before = seen.entry((control, task.trial.family.clone())).or_default();
        *before += 1;
        (!control, *before)
    };
    let ranks: Vec<(bool, usize)> = tasks.iter().map(&mut rank).collect();
    let mut order: Vec<usize> = (0..tasks.len()).collect();
    order.sort_by_key(|&index| ranks[index]);
    let mut taken: Vec<Option<Task>> = tasks.drain(..).map(Some).collect();
    order.into_iter().filter_map(|index| taken[index].take()).collect()
}

#[cfg(test)]
mod tests {
    use protocol::message::{Engine, Flavor, Lifecycle};

    use super::*;
    use crate::judge::Trial;

    fn task(name: &str) -> Task {
        let text = "# One.\noutcome restored\n\nwrite f \"x\"\nfd0 = open f rdwr\nassert fd0 link \"/f\"\n";
        let scenario =
            scenarios::text::scenarios(text.as_bytes(), name, std::path::Path::new("x.scn")).unwrap().remove(0);
        let trial = Trial {
            scenario: name.to_owned(),
            family: name.split('/').next().unwrap_or_default().to_owned(),
            flavor: Flavor::Ns,
            lifecycle: Lifecycle::DumpRestore,
            kernel: "6.12".into(),
            subject: "x".into(),
        };
        Task { trial, scenario, engine: Engine::Criu }
    }

    #[test]
    fn controls_then_one_of_each_family_then_the_rest() {
        let names = ["a/one", "a/two", "a/control@x", "b/control", "b/one", "b/two", "c/one"];
        let order = telling_first(names.map(task).into());
        let names: Vec<&str> = order.iter().map(|task| task.trial.scenario.as_str()).collect();
        assert_eq!(names, ["a/control@x", "b/control", "a/one", "b/one", "c/one", "a/two", "b/two"]);
    }
}
