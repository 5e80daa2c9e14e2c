//! What the reference engine has not learnt, one thing at a time: everything that does not need it
//! must pass, something that needs it must fail, when the lack says so, and what the failures have
//! in common must be its name.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use protocol::Fault;
use protocol::lack::{self, Description, Shows};
use protocol::message::Lifecycle;
use scenarios::Scenario;
use scenarios::capability::{Capability, Profile, Word, explain, profile};
use serde::Serialize;

use super::Settings;
use crate::judge::{FailureKind, Judgement, Trial, Verdict};
use crate::run::Task;
use crate::subject::Subject;

/// What became of one lack.
#[derive(Clone, Debug, Serialize)]
pub struct LackRecord {
    /// Its name.
    pub name: &'static str,
    /// What scenarios must need in order to fail.
    pub needs: Word,
    /// When it shows.
    pub shows: Shows,
    /// How it fails.
    pub text: &'static str,
    /// The scenarios that need it, of those that were run and can be restored at all.
    pub needing: usize,
    /// The scenarios that failed.
    pub failed: Vec<String>,
    /// How many passed.
    pub passed: usize,
    /// The kinds of the failures, and how many.
    pub kinds: BTreeMap<&'static str, usize>,
    /// What the failures have in common that nothing has that passed.
    pub blocked_by: Vec<Word>,
    /// The same for people.
    pub blocked_by_text: String,
    /// What failed without needing it: name and reason.
    pub unexpected: Vec<(String, String)>,
    /// What is wrong with the result; `None` when it is as it must be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrong: Option<String>,
}

/// The lacks that are tried.
#[derive(Clone, Debug, Default)]
pub(super) struct Lacks {
    tried: Vec<Tried>,
    profiles: BTreeMap<String, Profile>,
}

#[derive(Clone, Debug)]
struct Tried {
    lack: &'static Description,
    subject: String,
    failed: Vec<(String, FailureKind)>,
    passed: Vec<String>,
    unexpected: Vec<(String, String)>,
}

impl Lacks {
    /// Those that the arguments name, or all.
    pub(super) fn new(settings: &Settings, scenarios: &[Scenario]) -> Self {
        let wanted = |known: &&Description| match settings.fault.as_slice() {
            [] => !settings.comparisons,
            named => named.contains(&Fault::Lacks(known.lack)),
        };
        let tried = |lack: &'static Description| Tried {
            lack,
            subject: Subject::Reference(Some(Fault::Lacks(lack.lack))).to_string(),
            failed: Vec::new(),
            passed: Vec::new(),
            unexpected: Vec::new(),
        };
        let profiles = scenarios.iter().map(|one| (one.name.clone(), profile(&one.program)));
        Lacks { tried: lack::ALL.iter().filter(wanted).map(tried).collect(), profiles: profiles.collect() }
    }

    /// The trials: of scenarios that need the same one, unless all are wanted.
    pub(super) fn tasks(
        &self,
        all: bool,
        scenarios: &[Scenario],
        task: impl Fn(Option<Fault>, Lifecycle, &Scenario) -> Task,
    ) -> VecDeque<Task> {
        let mut seen = BTreeSet::new();
        let mut chosen: Vec<&Scenario> = scenarios.iter().collect();
        chosen.retain(|scenario| all || seen.insert(&self.profiles[&scenario.name]));
        let each = |tried: &Tried| {
            let fault = Fault::Lacks(tried.lack.lack);
            chosen.iter().map(|scenario| task(Some(fault), Lifecycle::DumpRestore, scenario)).collect::<Vec<_>>()
        };
        self.tried.iter().flat_map(each).collect()
    }

    /// Whether a failure of this trial is what its lack is there for.
    pub(super) fn expects(&self, trial: &Trial) -> bool {
        let tried = self.tried.iter().find(|tried| tried.subject == trial.subject);
        tried.is_some_and(|tried| self.needs(&trial.scenario, tried.lack.needs))
    }

    fn needs(&self, scenario: &str, word: Word) -> bool {
        self.profiles.get(scenario).is_some_and(|profile| profile.is_detached() && profile.has(word))
    }

    /// Records a trial; false when it does not belong to a lack.
    pub(super) fn over(&mut self, trial: &Trial, judgement: &Judgement) -> bool {
        let needed = self.expects(trial);
        let Some(tried) = self.tried.iter_mut().find(|tried| tried.subject == trial.subject) else { return false };
        let name = trial.scenario.clone();
        match judgement.verdict {
            Verdict::Pass => tried.passed.push(name),
            Verdict::Xfail(kind) if needed => tried.failed.push((name, kind)),
            Verdict::Unsupported | Verdict::NotRun => {}
            verdict => tried.unexpected.push((name, format!("{verdict}: {}", judgement.reason))),
        }
        true
    }

    /// What became of each.
    pub(super) fn records(self) -> Vec<LackRecord> {
        self.tried.iter().map(|tried| self.record(tried)).collect()
    }

    fn record(&self, tried: &Tried) -> LackRecord {
        let Description { name, needs, shows, text, .. } = *tried.lack;
        let profiles = |names: &mut dyn Iterator<Item = &String>| {
            names.filter_map(|name| self.profiles.get(name)).collect::<Vec<_>>()
        };
        let failed = profiles(&mut tried.failed.iter().map(|(name, _)| name));
        let passed = profiles(&mut tried.passed.iter());
        let found = explain(&failed, &passed);
        let refusal = Word::Capability(Capability::Refusal);
        let although = passed.iter().filter(|profile| profile.has(needs) && profile.is_detached());
        let although = although.filter(|profile| !profile.has(refusal)).count();
        let mut kinds = BTreeMap::new();
        for (_, kind) in &tried.failed {
            *kinds.entry(kind.word()).or_default() += 1;
        }
        let blocked_by_text = found.as_ref().map(ToString::to_string).unwrap_or_default();
        let blocked_by = found.map(|found| found.words).unwrap_or_default();
        let wrong = if failed.is_empty() {
            Some("nothing failed".to_owned())
        } else if let [(scenario, reason), ..] = &tried.unexpected[..] {
            let count = tried.unexpected.len();
            Some(format!("{count} without need of it, first {scenario}: {reason}"))
        } else if !fits(shows, &tried.failed) {
            Some(format!("it must show {shows}"))
        } else {
            (blocked_by != [needs]).then(|| format!("it is not named: {blocked_by_text}"))
        };
        LackRecord {
            name,
            needs,
            shows,
            text,
            needing: failed.len() + although,
            failed: tried.failed.iter().map(|(name, _)| name.clone()).collect(),
            passed: passed.len(),
            kinds,
            blocked_by,
            blocked_by_text,
            unexpected: tried.unexpected.clone(),
            wrong,
        }
    }
}

/// Whether failures are of the kinds that such a lack shows in: a silent one in some that neither
/// step reports.
fn fits(shows: Shows, failed: &[(String, FailureKind)]) -> bool {
    let mut kinds = failed.iter().map(|(_, kind)| *kind);
    match shows {
        Shows::AtDump => kinds.all(|kind| kind == FailureKind::DumpFailed),
        Shows::AtRestore => kinds.all(|kind| kind == FailureKind::RestoreFailed),
        Shows::Silently => kinds.any(|kind| !matches!(kind, FailureKind::DumpFailed | FailureKind::RestoreFailed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lack_is_in_the_documentation() {
        let tree = crate::image::tree::locate(None).expect("the source tree");
        let document = std::fs::read_to_string(tree.join("docs/FORMATS.md")).expect("the document");
        for Description { name, shows, text, .. } in lack::ALL {
            let row = format!("| `{name}` | {shows} | {text} |");
            assert!(document.contains(&row), "docs/FORMATS.md has no line\n{row}");
        }
    }
}
