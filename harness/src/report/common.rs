//! What all trials of a run have in common: told once, so that the line of a trial holds only what is its own.

use std::fmt;

use crate::judge::Trial;
use crate::judge::verdict::flavor_word;

/// The parts of the trials' ids that are the same in all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Common {
    /// In the order of an id: flavor, lifecycle, kernel, subject.
    parts: [Option<String>; 4],
}

/// The parts of an id after the scenario's name, each with what it is called.
fn parts(trial: &Trial) -> [(&'static str, &str); 4] {
    [
        ("flavor", flavor_word(trial.flavor)),
        ("lifecycle", trial.lifecycle.word()),
        ("kernel", &trial.kernel),
        ("subject", &trial.subject),
    ]
}

impl Common {
    /// Of these trials; nothing when there are none.
    pub fn of<'a>(trials: impl IntoIterator<Item = &'a Trial>) -> Self {
        let mut trials = trials.into_iter();
        let Some(first) = trials.next() else { return Self::default() };
        let mut common = parts(first).map(|(_, word)| Some(word));
        for trial in trials {
            for (kept, (_, word)) in common.iter_mut().zip(parts(trial)) {
                *kept = kept.filter(|known| *known == word);
            }
        }
        Self { parts: common.map(|part| part.map(str::to_owned)) }
    }

    /// A trial's id without them.
    pub fn rest(&self, trial: &Trial) -> String {
        let own = parts(trial).into_iter().zip(&self.parts).filter(|(_, common)| common.is_none());
        own.fold(trial.scenario.clone(), |id, ((_, word), _)| format!("{id}/{word}"))
    }
}

impl fmt::Display for Common {
    /// `flavor ns, kernel 6.12`; empty when nothing is common.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 4] = ["flavor", "lifecycle", "kernel", "subject"];
        let words =
            NAMES.iter().zip(&self.parts).filter_map(|(name, part)| part.as_ref().map(|part| format!("{name} {part}")));
        f.write_str(&words.collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use protocol::message::{Flavor, Lifecycle};

    use super::*;

    #[test]
    fn what_differs_stays_in_the_line() {
        let one = Trial {
            scenario: "names/spaces@ext4".into(),
            family: "names".into(),
            flavor: Flavor::Ns,
            lifecycle: Lifecycle::DumpRestore,
            kernel: "6.12".into(),
            subject: "debian:trixie".into(),
        };
        let other = Trial { kernel: "7.3".into(), flavor: Flavor::Host, ..one.clone() };
        let common = Common::of([&one, &other]);
        assert_eq!(common.to_string(), "lifecycle dump-restore, subject debian:trixie");
        assert_eq!(common.rest(&other), "names/spaces@ext4/host/7.3");
        assert_eq!(Common::of([&one]).rest(&one), "names/spaces@ext4");
        assert_eq!(Common::default().rest(&one), one.to_string());
    }
}
