//! What the process can do, against what its twin can: probe by probe.
//!
//! Looks come first. A difference that a look sees explains what a probe makes of it.

use std::collections::BTreeMap;

use protocol::probe::{Probe, ProbeGroup, Probed, Probes};

use super::comparisons::PROBES;
use super::difference::{Difference, Side};

/// What the twin alone did not try, or the process alone.
const NOT_TRIED: &str = "(not tried)";

/// What became of the probes of a trial.
pub(super) enum Compared {
    /// Both were probed; what differs.
    Both(Vec<Difference>),
    /// Only the twin could be probed, and why the process could not.
    TwinOnly(String),
    /// Nothing can be said, and why.
    Neither(String),
}

/// Compares them, the groups in the order of the comparisons.
pub(super) fn compare(probes: &Probes) -> Compared {
    match (&probes.process, &probes.twin) {
        (_, Probed::Failed(why)) => Compared::Neither(format!("probing the twin: {why}")),
        (Probed::Failed(why), Probed::Done(_)) => Compared::TwinOnly(why.clone()),
        (Probed::Done(process), Probed::Done(twin)) => Compared::Both(differences(process, twin)),
    }
}

/// What was tried with what, and the how many-th time.
type Key<'a> = (&'a str, &'a str, usize);

fn differences(process: &[Probe], twin: &[Probe]) -> Vec<Difference> {
    let mut all = Vec::new();
    for (group, row) in PROBES {
        let (process, twin) = (of_group(process, group), of_group(twin, group));
        let outcomes: BTreeMap<Key<'_>, &str> = process.iter().copied().collect();
        let expected: BTreeMap<Key<'_>, &str> = twin.iter().copied().collect();
        let new = process.iter().filter(|(key, _)| !expected.contains_key(key));
        let keys = twin.iter().chain(new).map(|(key, _)| *key);
        let pairs = keys.map(|key| (key, expected.get(&key), outcomes.get(&key)));
        for ((of, what, _), expected, got) in pairs.filter(|(_, expected, got)| expected != got) {
            let text = |outcome: Option<&&str>| outcome.map_or(NOT_TRIED, |outcome| outcome).to_owned();
            all.push(Difference {
                comparison: row.to_owned(),
                kind: super::comparisons::kind_of(row),
                view: Side::Probe,
                object: Some(of.to_owned()),
                what: what.to_owned(),
                expected: text(expected),
                got: text(got),
                known: None,
            });
        }
    }
    all
}

fn of_group(probes: &[Probe], group: ProbeGroup) -> Vec<(Key<'_>, &str)> {
    let mut times: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let of_group = probes.iter().filter(|probe| probe.group == group);
    of_group
        .map(|probe| {
            let time = times.entry((&probe.of, &probe.what)).or_default();
            *time += 1;
            ((probe.of.as_str(), probe.what.as_str(), *time), probe.outcome.as_str())
        })
        .collect()
}
