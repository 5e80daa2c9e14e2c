//! The project's own catalogue and its words.

use std::path::Path;

use super::super::{Base, Capability, Profile, Word, blocked_by, profile};
use super::written;
use crate::program::{Claim, Step};
use crate::{Outcome, Scenario, catalogue};

const REFUSAL: Word = Word::Capability(Capability::Refusal);

fn all() -> Vec<Scenario> {
    catalogue::load(Path::new(catalogue::DIRECTORY)).expect("the catalogue can be read")
}

/// Every scenario's name, and its profile.
fn profiles() -> Vec<(String, Profile)> {
    all().into_iter().map(|scenario| (scenario.name.clone(), profile(&scenario.program))).collect()
}

#[test]
fn a_scenario_has_a_base_on_a_detached_mount_where_it_says_so() {
    for scenario in all().into_iter().filter(|one| !catalogue::is_beyond_the_model(&one.name)) {
        let claims = |wanted: Claim| {
            let is_it = |step: &Step| matches!(step, Step::Assert { claim, .. } if *claim == wanted);
            scenario.program.steps.iter().any(|line| is_it(&line.step))
        };
        let (detached, elsewhere) = (claims(Claim::Detached), claims(Claim::Elsewhere));
        let profile = profile(&scenario.program);
        let what = format!("{}: {}", scenario.name, written(&profile));
        assert_eq!(profile.is_detached(), detached, "{what}");
        assert_eq!(profile.bases.contains(&Base::Outside), elsewhere && !detached, "{what}");
        assert_eq!(profile.bases.contains(&Base::Visible), !detached && !elsewhere, "{what}");
    }
}

#[test]
fn what_must_be_refused_is_known() {
    for scenario in all() {
        let refused = matches!(scenario.outcome, Outcome::Refused { .. });
        let profile = profile(&scenario.program);
        assert_eq!(
            profile.capabilities.contains(&Capability::Refusal),
            refused,
            "{}: {}",
            scenario.name,
            written(&profile)
        );
    }
}

#[test]
fn every_word_occurs() {
    let found = profiles();
    for word in Word::all() {
        assert!(found.iter().any(|(_, profile)| profile.has(word)), "no scenario has `{word}`");
    }
}

#[test]
fn what_comes_with_a_capability_is_there_whenever_it_is() {
    for (name, profile) in profiles() {
        for capability in &profile.capabilities {
            for other in capability.comes_with() {
                assert!(profile.capabilities.contains(other), "{name}: {capability} without {other}");
            }
        }
    }
}

/// An engine that lacks one thing and nothing else fails exactly what needs it: then the answer is
/// this one word. Where a catalogue cannot tell two words apart both are named, and this fails: it
/// needs a scenario with one of them alone.
#[test]
fn each_lack_is_named_by_what_fails_and_what_passes() {
    let found = profiles();
    for word in Word::all().filter(|word| *word != Word::Base(Base::Visible)) {
        let all = found.iter().map(|(_, profile)| profile);
        let restorable = |profile: &Profile| !profile.capabilities.contains(&Capability::Refusal);
        let is_out_of_sight = |profile: &Profile| !profile.bases.contains(&Base::Visible);
        let lacks = |profile: &Profile| is_out_of_sight(profile) && profile.has(word);
        // Who must refuse anyway has no need of what is lacking.
        let (failed, passed): (Vec<_>, Vec<_>) =
            all.partition(|profile| lacks(profile) && (restorable(profile) || word == REFUSAL));
        if failed.is_empty() {
            let other = Word::Capability(Capability::OtherFilesystem);
            assert_eq!(word, other, "nothing needs it that can be restored");
            continue;
        }
        assert_eq!(blocked_by(&failed, &passed), [word]);
    }
}
