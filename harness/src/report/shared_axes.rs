//! The axes that nearly all trials of a run share. They are printed once; the line of a trial has
//! only its own.

use std::collections::BTreeMap;
use std::fmt;

use crate::judge::Trial;

/// The parts of an id that are the same in nearly all trials. A trial that differs in one keeps it
/// in its id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SharedAxes {
    /// In the order of an id: flavor, lifecycle, kernel, subject.
    parts: [Option<Part>; 4],
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    word: String,
    /// How many trials have another word.
    others: usize,
}

/// An axis is shared when at most one in this number of trials differs in it.
const NEARLY_ALL: usize = 20;

/// The parts of an id after the scenario's name, each with what it is called.
fn parts(trial: &Trial) -> [(&'static str, &str); 4] {
    [
        ("flavor", trial.flavor.word()),
        ("lifecycle", trial.lifecycle.word()),
        ("kernel", &trial.kernel),
        ("subject", &trial.subject),
    ]
}

impl SharedAxes {
    /// Of these trials; nothing when there are none.
    pub fn of<'a>(trials: impl IntoIterator<Item = &'a Trial>) -> Self {
        let mut counts: [BTreeMap<&str, usize>; 4] = Default::default();
        for trial in trials {
            for (counts, (_, word)) in counts.iter_mut().zip(parts(trial)) {
                *counts.entry(word).or_default() += 1;
            }
        }
        let part = |counts: BTreeMap<&str, usize>| {
            let all: usize = counts.values().sum();
            let (word, most) = counts.into_iter().max_by_key(|(_, count)| *count)?;
            let part = Part { word: word.to_owned(), others: all - most };
            Some(part).filter(|part| part.others * NEARLY_ALL <= all)
        };
        Self { parts: counts.map(part) }
    }

    /// A trial's id without them.
    pub fn rest(&self, trial: &Trial) -> String {
        let own = parts(trial).into_iter().zip(&self.parts);
        let own = own.filter(|((_, word), shared)| shared.as_ref().is_none_or(|part| part.word != *word));
        own.fold(trial.scenario.clone(), |id, ((_, word), _)| format!("{id}/{word}"))
    }
}

impl fmt::Display for SharedAxes {
    /// `flavor ns, lifecycle dump-restore (3 others)`; empty when nothing is common.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 4] = ["flavor", "lifecycle", "kernel", "subject"];
        let words = NAMES.iter().zip(&self.parts).filter_map(|(name, part)| {
            let Part { word, others } = part.as_ref()?;
            let but = if *others == 0 { String::new() } else { format!(" ({others} others)") };
            Some(format!("{name} {word}{but}"))
        });
        f.write_str(&words.collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use protocol::message::{Flavor, Lifecycle};

    use super::*;
    use crate::fixtures::trial;

    #[test]
    fn what_differs_stays_in_the_line() {
        let one = trial("names/spaces@ext4");
        let other = Trial { kernel: "7.3".into(), flavor: Flavor::Host, ..one.clone() };
        let shared = SharedAxes::of([&one, &other]);
        assert_eq!(shared.to_string(), "lifecycle dump-restore, subject debian:trixie");
        assert_eq!(shared.rest(&other), "names/spaces@ext4/host/7.3");
        assert_eq!(SharedAxes::of([&one]).rest(&one), "names/spaces@ext4");
        assert_eq!(SharedAxes::default().rest(&one), one.to_string());
    }

    #[test]
    fn a_few_others_have_their_own_word() {
        let one = trial("a/b");
        let other = Trial { lifecycle: Lifecycle::PreDump, ..one.clone() };
        let many = |others: usize| {
            SharedAxes::of(std::iter::repeat_n(&one, 40 - others).chain(std::iter::repeat_n(&other, others)))
        };
        assert_eq!(
            many(2).to_string(),
            "flavor ns, lifecycle dump-restore (2 others), kernel 6.12, subject debian:trixie"
        );
        assert_eq!((many(2).rest(&one), many(2).rest(&other)), ("a/b".to_owned(), "a/b/pre-dump".to_owned()));
        assert_eq!(many(3).rest(&one), "a/b/dump-restore");
    }
}
